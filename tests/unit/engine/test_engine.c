/* The engine: the seed rule under every kind of company, failures that fell nobody else,
 * cancellation, limits and counters. The checkpoint is the bundled digits8. */
#include "engine.h"

#include "base_cpu.h"
#include "base_rng.h"
#include "sanitized.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define DIGITS MODELS_DIR "/digits8.safetensors"

static struct engine *new_engine_in(int workers, int batch, size_t queue,
                                    const struct model_options *model_options)
{
    struct err e = {0};
    const struct engine_options options = {workers, batch, queue};
    struct engine *g = engine_new(&options, &e);
    assert_non_null(g);
    struct model *m = model_load(DIGITS, model_options, &e);
    if (!m || !engine_model_add(g, "digits8", m, &e))
        fail_msg("%s: %s", e.at, e.text);
    return g;
}

static struct engine *new_engine(int workers, int batch, size_t queue, enum nn_kernel kernel)
{
    const struct model_options options = {kernel, NN_PRECISION_AUTO};
    return new_engine_in(workers, batch, queue, &options);
}

/* Kernels and precisions of which the seed rule is told; those that this machine can run at all
 * fast. */
static const struct model_options ways[] = {
    {NN_KERNEL_C, NN_PRECISION_F32},         {NN_KERNEL_OPENBLAS, NN_PRECISION_F32},
    {NN_KERNEL_LANES8, NN_PRECISION_F32},    {NN_KERNEL_AVX512, NN_PRECISION_F32},
    {NN_KERNEL_AVX512, NN_PRECISION_BF16X3}, {NN_KERNEL_AVX512, NN_PRECISION_BF16},
    {NN_KERNEL_AMX, NN_PRECISION_BF16X3},    {NN_KERNEL_AMX, NN_PRECISION_BF16},
};

static bool way_runs(const struct model_options *w)
{
    bool slow = w->precision != NN_PRECISION_F32 && w->kernel == NN_KERNEL_AVX512 &&
                !cpu_features_get().avx512_bf16;
    if (TEST_SANITIZED) /* the threads do the same */
        slow = slow || w->precision == NN_PRECISION_BF16X3 ||
               (w->kernel == NN_KERNEL_C && nn_kernel_available(NN_KERNEL_LANES8));
    if (nn_kernel_available(w->kernel) && !slow)
        return true;
    printf("skipped: %s, %s\n", nn_kernel_id_in(w->kernel, w->precision),
           nn_precision_name(w->precision));
    return false;
}

static struct engine_order order_of(struct engine *g, uint64_t seed, uint64_t first, size_t n)
{
    struct engine_model *em = engine_model_find(g, NULL);
    struct engine_order order = {
        .model = em,
        .seed = seed,
        .first_index = first,
        .n = n,
        .solver = model_solver_default(engine_model_get(em)),
        .output = ENGINE_OUTPUT_PNG,
    };
    order.solver.ode.method = ODE_EULER;
    order.solver.ode.steps = 12;
    return order;
}

static struct engine_request *submit(struct engine *g, const struct engine_order *order)
{
    struct engine_request *r = NULL;
    struct err e = {0};
    if (engine_submit(g, order, &r, &e) != 0)
        fail_msg("%s: %s", e.at, e.text);
    return r;
}

static void wait_success(struct engine_request *r)
{
    assert_true(engine_request_wait(r, 600000));
    const struct err *e = engine_request_error(r);
    if (e)
        fail_msg("%s: %s", e->at, e->text);
}

static void same_seed_same_bytes_in_any_company_webui_376(void **state)
{
    (void)state;
    const int workers[] = {1, 2, 4}, batches[] = {1, 3, 8};
    const size_t sizes[] = {1, 2, 3, 8, 17};
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        if (!way_runs(&ways[k]))
            continue;
        char expected[17][SHA256_HEX_SIZE] = {{0}};
        int compared = 0;
        for (int w = 0; w < 3; w++) {
            struct engine *g = new_engine_in(workers[w], batches[w], 0, &ways[k]);
            struct engine_request *others[4];
            for (int i = 0; i < 4; i++) {
                struct engine_order other = order_of(g, 100 + (uint64_t)i, 0, 5);
                other.solver.ode.method = i % 2 ? ODE_HEUN : ODE_IMPROVED_EULER;
                others[i] = submit(g, &other);
            }
            for (int s = 0; s < 5; s++)
                for (uint64_t first = 0; first < 17; first += sizes[s]) {
                    size_t n = first + sizes[s] > 17 ? 17 - (size_t)first : sizes[s];
                    struct engine_order order = order_of(g, 7, first, n);
                    struct engine_request *r = submit(g, &order);
                    wait_success(r);
                    for (size_t i = 0; i < n; i++) {
                        const struct engine_image *image = engine_request_image(r, i);
                        assert_int_equal(image->index, first + i);
                        if (!expected[first + i][0])
                            memcpy(expected[first + i], image->sha256, SHA256_HEX_SIZE);
                        assert_string_equal(image->sha256, expected[first + i]);
                        compared++;
                    }
                    engine_request_free(r);
                }
            for (int i = 0; i < 4; i++) {
                wait_success(others[i]);
                engine_request_free(others[i]);
            }
            engine_free(g);
        }
        printf("%s, %s: %d images, each as it was alone\n",
               nn_kernel_id_in(ways[k].kernel, ways[k].precision),
               nn_precision_name(ways[k].precision), compared);
        for (int i = 1; i < 17; i++)
            assert_string_not_equal(expected[0], expected[i]);
    }
}

static void seeds_of_64_bits_keep_every_digit_kmp_569(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 8, 0, NN_KERNEL_AUTO);
    const uint64_t seeds[] = {UINT64_C(6687881544318117707),
                              UINT64_C(6687881544318117708),
                              UINT64_C(9007199254740993),
                              UINT64_C(9007199254740992),
                              UINT64_MAX,
                              UINT64_MAX - 1};
    char digests[6][SHA256_HEX_SIZE];
    for (int i = 0; i < 6; i++) {
        struct engine_order order = order_of(g, seeds[i], UINT64_MAX, 1);
        struct engine_request *r = submit(g, &order);
        wait_success(r);
        memcpy(digests[i], engine_request_image(r, 0)->sha256, SHA256_HEX_SIZE);
        char number[24];
        snprintf(number, sizeof number, "\"%" PRIu64 "\"", seeds[i]);
        struct buf text;
        buf_init(&text, 4096);
        assert_int_equal(engine_seed_text(&order, UINT64_MAX, NULL, &text, NULL), 0);
        assert_non_null(strstr((char *)text.data, number));
        buf_clear(&text);
        engine_request_free(r);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(digests[i], digests[j]);
    }
    engine_free(g);
}

static void one_failure_fells_nobody_else_litserve_340(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 8, 0, NN_KERNEL_AUTO);
    struct engine_request *good[7];
    struct engine_order order = order_of(g, 1, 0, 1);
    struct engine_order bad = order_of(g, 1, 0, 3);
    bad.solver.ode.method = ODE_RK45;
    bad.solver.ode.max_nfe = 20;
    double latents[2 * 64] = {0};
    latents[64 + 3] = NAN;
    struct engine_order non_finite = order_of(g, 1, 0, 2);
    non_finite.latents = latents;
    for (int i = 0; i < 3; i++)
        good[i] = submit(g, &order);
    struct engine_request *fails = submit(g, &bad), *nan = submit(g, &non_finite);
    for (int i = 3; i < 7; i++)
        good[i] = submit(g, &order);
    assert_true(engine_request_wait(fails, 600000));
    assert_true(engine_request_wait(nan, 600000));
    assert_int_equal(engine_request_error(fails)->code, ERR_LIMIT);
    assert_int_equal(strncmp(engine_request_error(fails)->at, "/images/", 8), 0);
    assert_int_equal(engine_request_error(nan)->code, ERR_NUMERIC);
    assert_string_equal(engine_request_error(nan)->at, "/images/1");
    for (int i = 0; i < 7; i++) {
        wait_success(good[i]);
        assert_string_equal(engine_request_image(good[i], 0)->sha256,
                            engine_request_image(good[0], 0)->sha256);
    }
    for (int i = 0; i < 7; i++)
        engine_request_free(good[i]);
    engine_request_free(fails);
    engine_request_free(nan);
    engine_free(g);
}

static void orders_are_checked_by_name(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 2, 10, NN_KERNEL_AUTO);
    struct engine_request *r = NULL;
    struct err e = {0};
    struct engine_order order = order_of(g, 1, 0, 0);
    assert_int_equal(engine_submit(g, &order, &r, &e), -1);
    assert_string_equal(e.at, "n");
    order = order_of(g, 1, UINT64_MAX, 2);
    assert_int_equal(engine_submit(g, &order, &r, &e), -1);
    assert_string_equal(e.at, "first_index");
    order = order_of(g, 1, 0, 1);
    order.solver.ode.steps = 0;
    assert_int_equal(engine_submit(g, &order, &r, &e), -1);
    assert_string_equal(e.at, "steps");
    order = order_of(g, 1, 0, 4);
    order.output = ENGINE_OUTPUT_SHEET;
    order.grid = (struct image_grid){2, 100000, 0};
    assert_int_equal(engine_submit(g, &order, &r, &e), -1);
    assert_string_equal(e.at, "grid");
    order = order_of(g, 1, 0, 11);
    assert_int_equal(engine_submit(g, &order, &r, &e), -1);
    assert_string_equal(e.at, "queue");
    assert_int_equal(e.code, ERR_LIMIT);
    engine_drain(g);
    order = order_of(g, 1, 0, 1);
    assert_int_equal(engine_submit(g, &order, &r, &e), -1);
    assert_int_equal(e.code, ERR_CANCELLED);
    engine_free(g);
}

static void a_sheet_holds_each_image_in_its_place(void **state)
{
    (void)state;
    struct engine *g = new_engine(2, 4, 0, NN_KERNEL_AUTO);
    struct engine_order order = order_of(g, 3, 10, 5);
    order.output = ENGINE_OUTPUT_SHEET;
    order.grid = (struct image_grid){3, 2, 0};
    struct engine_request *sheet = submit(g, &order), *again = submit(g, &order);
    wait_success(sheet);
    wait_success(again);
    const struct engine_image *image = engine_request_sheet(sheet);
    assert_int_equal(image->index, 10);
    assert_int_equal(image->counts.nfe, 5 * 12);
    assert_true(image->png.length > 100);
    assert_string_equal(image->sha256, engine_request_sheet(again)->sha256);
    /* Width and height in the PNG's header: 3 × 8 × 2 and 2 × 8 × 2. */
    assert_int_equal(image->png.data[19], 48);
    assert_int_equal(image->png.data[23], 32);
    engine_request_free(sheet);
    engine_request_free(again);
    engine_free(g);
}

struct tally {
    atomic_int done, ok, cancelled;
};

static void count_and_free(struct engine_request *r, void *context)
{
    struct tally *tally = context;
    const struct err *e = engine_request_error(r);
    if (!e)
        atomic_fetch_add(&tally->ok, 1);
    else if (e->code == ERR_CANCELLED)
        atomic_fetch_add(&tally->cancelled, 1);
    atomic_fetch_add(&tally->done, 1);
    engine_request_free(r);
}

static void cancelled_requests_leave_nothing_behind_triton_6494(void **state)
{
    (void)state;
    struct engine *g = new_engine(4, 2, 100000, NN_KERNEL_AUTO);
    struct tally quick = {0};
    enum { KEPT = 60, LEFT = 60 };
    struct engine_request *left[LEFT];
    for (int i = 0; i < KEPT; i++) {
        struct engine_order order = order_of(g, 1, (uint64_t)i, 1 + (size_t)i % 3);
        struct engine_request *ignored;
        order.done = count_and_free;
        order.context = &quick;
        assert_int_equal(engine_submit(g, &order, &ignored, NULL), 0);
        struct engine_order slow = order_of(g, 2, (uint64_t)i, 1 + (size_t)i % 40);
        slow.solver.ode.method = ODE_HEUN;
        slow.solver.ode.steps = 100000; /* never done before it is cancelled */
        slow.solver.ode.max_nfe = 1000000;
        left[i] = submit(g, &slow);
        if (i % 3 == 0)
            usleep(500);
        if (i % 2)
            engine_request_cancel(left[i]);
    }
    for (int i = 0; i < LEFT; i++) {
        engine_request_cancel(left[i]);
        engine_request_cancel(left[i]); /* twice does no harm */
        assert_true(engine_request_wait(left[i], 600000));
        assert_int_equal(engine_request_error(left[i])->code, ERR_CANCELLED);
        engine_request_free(left[i]);
    }
    assert_true(engine_wait_empty(g, 600000));
    assert_int_equal(quick.done, KEPT);
    assert_int_equal(quick.ok, KEPT);
    struct engine_stats s = engine_stats_get(g);
    assert_int_equal(s.queued_images, 0);
    assert_int_equal(s.live_images, 0);
    assert_int_equal(s.workers_busy, 0);
    assert_int_equal(s.images_admitted, s.images_ok + s.images_failed + s.images_cancelled);
    assert_true(s.images_cancelled > 0);
    engine_free(g);
}

static void freeing_the_engine_ends_what_runs(void **state)
{
    (void)state;
    struct engine *g = new_engine(2, 2, 100000, NN_KERNEL_AUTO);
    struct tally tally = {0};
    for (int i = 0; i < 20; i++) {
        struct engine_order order = order_of(g, 1, 0, 10);
        order.solver.ode.method = ODE_HEUN;
        order.solver.ode.steps = 100000;
        order.solver.ode.max_nfe = 1000000;
        order.done = count_and_free;
        order.context = &tally;
        struct engine_request *ignored;
        assert_int_equal(engine_submit(g, &order, &ignored, NULL), 0);
    }
    engine_free(g);
    assert_int_equal(tally.done, 20);
    assert_int_equal(tally.cancelled, 20);
}

static void progress_ends_at_one(void **state)
{
    (void)state;
    struct engine *g = new_engine(2, 2, 0, NN_KERNEL_AUTO);
    struct engine_order order = order_of(g, 1, 0, 6);
    order.solver = model_solver_default(engine_model_get(order.model));
    struct engine_request *r = submit(g, &order);
    wait_success(r);
    struct engine_progress p = engine_request_progress(r);
    assert_int_equal(p.images_done, 6);
    assert_true(fabs(p.fraction - 1.0) < 1e-5);
    int64_t nfe = 0;
    for (size_t i = 0; i < 6; i++)
        nfe += engine_request_image(r, i)->counts.nfe;
    assert_int_equal(p.nfe, nfe);
    struct engine_timings t = engine_request_timings(r);
    assert_true(t.queue_ns >= 0 && t.compute_ns > 0 && t.encode_ns > 0);
    engine_request_free(r);
    engine_free(g);
}

static void too_many_workers_are_refused_openblas_1735(void **state)
{
    (void)state;
    struct err e = {0};
    const struct engine_options options = {.workers = 300};
    assert_null(engine_new(&options, &e));
    assert_string_equal(e.at, "workers");
    assert_int_equal(e.code, ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_bytes_in_any_company_webui_376),
        cmocka_unit_test(seeds_of_64_bits_keep_every_digit_kmp_569),
        cmocka_unit_test(one_failure_fells_nobody_else_litserve_340),
        cmocka_unit_test(orders_are_checked_by_name),
        cmocka_unit_test(a_sheet_holds_each_image_in_its_place),
        cmocka_unit_test(cancelled_requests_leave_nothing_behind_triton_6494),
        cmocka_unit_test(freeing_the_engine_ends_what_runs),
        cmocka_unit_test(progress_ends_at_one),
        cmocka_unit_test(too_many_workers_are_refused_openblas_1735),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
