/* Who gets a slot and when it is taken away: priorities, deadlines, models that are replaced under
 * load, previews, and counters that add up whatever happened. */
#include "engine.h"

#include "base_cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define DIGITS MODELS_DIR "/digits8.safetensors"
#define ENDLESS 100000 /* steps, of two evaluations each: more than a test waits for */

static struct model *load(void)
{
    struct err e = {0};
    const struct model_options options = {NN_KERNEL_AUTO, NN_PRECISION_AUTO};
    struct model *m = model_load(DIGITS, &options, &e);
    if (!m)
        fail_msg("%s: %s", e.at, e.text);
    return m;
}

static struct engine *new_engine(int workers, int batch)
{
    struct err e = {0};
    const struct engine_options options = {.workers = workers, .batch = batch};
    struct engine *g = engine_new(&options, &e);
    assert_non_null(g);
    if (!engine_model_add(g, "digits8", load(), &e))
        fail_msg("%s: %s", e.at, e.text);
    return g;
}

static struct engine_order order_of(struct engine *g, size_t n, int steps)
{
    struct engine_model *em = engine_model_find(g, NULL);
    engine_model_release(em); /* no test replaces it between an order and its submission */
    struct engine_order order = {
        .model = em,
        .seed = 7,
        .n = n,
        .solver = model_solver_default(engine_model_get(em)),
        .output = ENGINE_OUTPUT_PNG,
    };
    order.solver.ode.method = steps == ENDLESS ? ODE_HEUN : ODE_EULER;
    order.solver.ode.steps = steps;
    order.solver.ode.max_nfe = 1000000;
    return order;
}

static struct engine_request *submit(struct engine *g, struct engine_order *order)
{
    struct engine_request *r = NULL;
    struct err e = {0};
    if (engine_submit(g, order, &r, &e) != 0)
        fail_msg("%s: %s", e.at, e.text);
    return r;
}

static void counters_add_up(struct engine *g)
{
    assert_true(engine_wait_empty(g, 600000));
    struct engine_stats s = engine_stats_get(g);
    assert_int_equal(s.queued_images, 0);
    assert_int_equal(s.live_images, 0);
    for (int p = 0; p < ENGINE_PRIORITIES; p++) {
        assert_int_equal(s.queued[p].images, 0);
        assert_int_equal(s.queued[p].requests, 0);
    }
    assert_int_equal(s.images_admitted, s.images_ok + s.images_failed + s.images_cancelled);
    struct engine_model *em = engine_model_find(g, NULL);
    struct engine_model_stats m = engine_model_stats_get(em);
    engine_model_release(em);
    uint64_t sum = 0, timed = 0;
    for (int i = 0; i < ENGINE_OUTCOMES; i++)
        sum += m.images[i];
    for (int i = 0; i <= ENGINE_HISTOGRAM_BOUNDS; i++)
        timed += m.image_s.counts[i];
    assert_int_equal(sum, m.images_admitted);
    assert_int_equal(timed, m.images[ENGINE_OUTCOME_OK]);
    assert_int_equal(m.field_evaluations, s.field_evaluations);
}

static void an_interactive_request_does_not_wait_for_batch(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 1);
    struct engine_order big = order_of(g, 1, ENDLESS), small = order_of(g, 1, 10);
    big.priority = ENGINE_PRIORITY_BATCH;
    struct engine_request *slow[3];
    for (int i = 0; i < 3; i++)
        slow[i] = submit(g, &big);
    while (engine_stats_get(g).live_images == 0)
        usleep(1000);
    struct engine_request *quick = submit(g, &small);
    assert_true(engine_request_wait(quick, 600000));
    assert_null(engine_request_error(quick));
    assert_false(engine_request_wait(slow[0], 0)); /* it holds the only common place all along */
    for (int i = 0; i < 3; i++) {
        engine_request_cancel(slow[i]);
        assert_true(engine_request_wait(slow[i], 600000));
        assert_int_equal(engine_request_cause(slow[i]), ENGINE_CAUSE_CLIENT);
        engine_request_free(slow[i]);
    }
    engine_request_free(quick);
    counters_add_up(g);
    engine_free(g);
}

/* Nor for another interactive one that holds every place, however long that takes. */
static void a_large_request_leaves_a_place_for_others(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 4);
    struct engine_order big = order_of(g, 64, ENDLESS), small = order_of(g, 2, 10);
    struct engine_request *slow = submit(g, &big);
    while (engine_stats_get(g).live_images < 4)
        usleep(1000);
    for (int i = 0; i < 3; i++) {
        struct engine_request *quick = submit(g, &small);
        assert_true(engine_request_wait(quick, 60000));
        assert_null(engine_request_error(quick));
        engine_request_free(quick);
        const struct engine_stats s = engine_stats_get(g);
        assert_int_equal(s.live_images, 4); /* and takes none of those itself */
        assert_int_equal(s.queued_images, 60);
    }
    engine_request_cancel(slow);
    assert_true(engine_request_wait(slow, 600000));
    engine_request_free(slow);
    counters_add_up(g);
    engine_free(g);
}

/* What the engine had done when an image came to some of its steps. */
struct pace {
    struct engine *g;
    uint64_t at_first, at_last;
    atomic_bool done;
};

static void on_step(struct engine_request *r, size_t i, int64_t step, const struct buf *png,
                    void *context)
{
    struct pace *pace = context;
    (void)r, (void)i, (void)png;
    *(step == 100 ? &pace->at_first : &pace->at_last) = engine_stats_get(pace->g).steps;
}

static void on_last(struct engine_request *r, void *context)
{
    struct pace *pace = context;
    (void)r;
    atomic_store(&pace->done, true);
}

/* Steps that were done for others between two steps of an image, 200 of its own apart. Counted
 * where the image itself stands at a step: when this thread has its turn does not matter. */
static uint64_t steps_for_others(struct engine *g)
{
    struct pace pace = {.g = g};
    struct engine_order small = order_of(g, 1, 400);
    small.preview = on_step;
    small.preview_every = 100;
    small.done = on_last;
    small.context = &pace;
    struct engine_request *quick = submit(g, &small);
    while (!atomic_load(&pace.done))
        usleep(1000);
    assert_null(engine_request_error(quick));
    engine_request_free(quick);
    return pace.at_last - pace.at_first - 200;
}

/* Nor does each of its steps take as long as one of all of them. A step of batch in which this
 * machine stood still is followed by a rest as many times as long, which may outlast the image: so
 * one of a few images sees batch go on. */
static void an_interactive_image_shares_few_steps_with_batch(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 8);
    struct engine_order big = order_of(g, 8, ENDLESS);
    big.priority = ENGINE_PRIORITY_BATCH;
    struct engine_request *slow = submit(g, &big);
    while (engine_stats_get(g).live_images < 8)
        usleep(1000);
    uint64_t others = 0;
    for (int i = 0; i < 10 && others == 0; i++) {
        others = steps_for_others(g);
        assert_true(others < 400); /* of 1600 if they were taken together */
    }
    assert_true(others > 0); /* of batch, which is not left for ever either */
    engine_request_cancel(slow);
    assert_true(engine_request_wait(slow, 600000));
    engine_request_free(slow);
    counters_add_up(g);
    engine_free(g);
}

/* How many images of another request were done when one ended. */
struct ahead {
    struct engine_request *of;
    size_t images;
    atomic_bool done;
};

static void count_ahead(struct engine_request *r, void *context)
{
    struct ahead *ahead = context;
    (void)r;
    ahead->images = engine_request_progress(ahead->of).images_done;
    atomic_store(&ahead->done, true);
}

static void batch_gets_its_turn_while_interactive_keeps_coming(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 1);
    /* Images that take long, so that it does not matter when this thread has its turn. */
    struct engine_order order = order_of(g, 400, 400), other = order_of(g, 1, 20);
    struct engine_request *stream = submit(g, &order);
    struct ahead ahead = {.of = stream};
    other.priority = ENGINE_PRIORITY_BATCH;
    other.done = count_ahead;
    other.context = &ahead;
    struct engine_request *batch = submit(g, &other);
    while (!atomic_load(&ahead.done))
        usleep(1000);
    assert_null(engine_request_error(batch));
    assert_true(ahead.images < 200);
    engine_request_cancel(stream);
    assert_true(engine_request_wait(stream, 600000));
    engine_request_free(stream);
    engine_request_free(batch);
    counters_add_up(g);
    engine_free(g);
}

static void deadlines_end_work_in_the_queue_and_in_the_solve(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 1);
    struct engine_order order = order_of(g, 1, ENDLESS), waiting = order_of(g, 2, 10);
    struct engine_request *live = submit(g, &order);
    while (engine_stats_get(g).live_images == 0)
        usleep(1000);
    waiting.deadline_ns = clock_ns() + 150000000;
    waiting.deadline_s = 12.3456; /* which the error says, and not when the order was taken */
    struct engine_request *queued = submit(g, &waiting);
    assert_true(engine_request_wait(queued, 600000));
    assert_false(engine_request_wait(live, 0)); /* not when the other one's work ends */
    assert_int_equal(engine_request_cause(queued), ENGINE_CAUSE_DEADLINE);
    assert_non_null(strstr(engine_request_error(queued)->text, "of 12.3456 s passed in the queue"));
    engine_request_cancel(live);
    assert_true(engine_request_wait(live, 600000));
    engine_request_free(live);
    engine_request_free(queued);
    uint64_t late =
        0; /* those whose deadline came before their place, on a machine that stood still */
    for (bool in_compute = false; !in_compute; late++) {
        order.deadline_ns = clock_ns() + 300000000;
        live = submit(g, &order);
        assert_true(engine_request_wait(live, 600000));
        assert_int_equal(engine_request_cause(live),
                         ENGINE_CAUSE_DEADLINE); /* it did not just end */
        in_compute = strstr(engine_request_error(live)->text, "in compute") != NULL;
        engine_request_free(live);
    }
    struct engine_stats s = engine_stats_get(g);
    assert_int_equal(s.cancellations[ENGINE_CAUSE_DEADLINE], 1 + late);
    struct engine_model *em = engine_model_find(g, NULL);
    assert_int_equal(engine_model_stats_get(em).images[ENGINE_OUTCOME_DEADLINE], 2 + late);
    engine_model_release(em);
    counters_add_up(g);
    engine_free(g);
}

static void a_deadline_that_is_kept_changes_nothing(void **state)
{
    (void)state;
    struct engine *g = new_engine(2, 4);
    struct engine_order order = order_of(g, 6, 10);
    order.deadline_ns = clock_ns() + 60000000000;
    struct engine_request *r = submit(g, &order);
    assert_true(engine_request_wait(r, 600000));
    assert_null(engine_request_error(r));
    engine_request_free(r);
    counters_add_up(g);
    engine_free(g);
}

/* Requests in flight end on the model that they were ordered from. */
static void a_model_is_replaced_under_load(void **state)
{
    (void)state;
    struct engine *g = new_engine(2, 2);
    struct err e = {0};
    struct engine_request *before[12], *after[12];
    char expected[SHA256_HEX_SIZE] = "";
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 12; i++) {
            struct engine_order order = order_of(g, 2, 60);
            before[i] = submit(g, &order);
        }
        struct engine_model *em = engine_model_replace(g, "digits8", load(), &e);
        assert_non_null(em);
        for (int i = 0; i < 12; i++) {
            struct engine_order order = order_of(g, 2, 60);
            assert_ptr_equal(order.model, em);
            after[i] = submit(g, &order);
        }
        for (int i = 0; i < 24; i++) {
            struct engine_request *r = i < 12 ? before[i] : after[i - 12];
            assert_true(engine_request_wait(r, 600000));
            assert_null(engine_request_error(r));
            if (!expected[0])
                memcpy(expected, engine_request_image(r, 0)->sha256, sizeof expected);
            assert_string_equal(engine_request_image(r, 0)->sha256, expected);
            engine_request_free(r);
        }
    }
    assert_int_equal(engine_model_count(g), 1);
    assert_null(engine_model_replace(g, "no/name", load(), &e));
    assert_int_equal(engine_model_count(g), 1);
    counters_add_up(g);
    engine_free(g);
}

struct seen {
    _Atomic int images, previews;
    _Atomic int64_t last_step;
};

static void on_image(struct engine_request *r, size_t i, void *context)
{
    struct seen *seen = context;
    assert_true(engine_request_image(r, i)->png.length > 0);
    atomic_fetch_add(&seen->images, 1);
}

static void on_preview(struct engine_request *r, size_t i, int64_t step, const struct buf *png,
                       void *context)
{
    struct seen *seen = context;
    assert_true(i < engine_request_order(r)->n);
    assert_memory_equal(png->data, "\x89PNG", 4);
    assert_int_equal(step % 5, 0);
    atomic_store(&seen->last_step, step);
    atomic_fetch_add(&seen->previews, 1);
}

static void on_done(struct engine_request *r, void *context)
{
    (void)r, (void)context;
}

static void images_and_previews_are_told_of(void **state)
{
    (void)state;
    struct engine *g = new_engine(2, 2);
    struct seen seen = {0};
    struct engine_order order = order_of(g, 3, 20);
    order.image = on_image;
    order.preview = on_preview;
    order.preview_every = 5;
    order.done = on_done;
    order.context = &seen;
    struct engine_request *r = submit(g, &order);
    assert_true(engine_wait_empty(g, 600000));
    assert_int_equal(seen.images, 3);
    assert_int_equal(seen.previews, 3 * 3); /* the twentieth step is the image itself */
    engine_request_free(r);
    counters_add_up(g);
    engine_free(g);
}

static void slots_can_be_looked_at(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 2);
    struct engine_slot_view views[8];
    struct engine_order order = order_of(g, 4, ENDLESS);
    struct engine_request *r = submit(g, &order);
    while (engine_stats_get(g).live_images < 2)
        usleep(1000);
    assert_int_equal(engine_slots_get(g, views, 1), 1);
    assert_int_equal(engine_slots_get(g, views, 8), 2);
    assert_string_equal(views[0].model, "digits8");
    assert_int_equal(views[0].seed, 7);
    assert_int_equal(views[0].index + views[1].index, 1);
    engine_request_cancel(r);
    assert_true(engine_request_wait(r, 600000));
    engine_request_free(r);
    counters_add_up(g);
    assert_int_equal(engine_slots_get(g, views, 8), 0);
    engine_free(g);
}

/* What was seen of a slot does not end with the slot's model. */
static void a_slot_that_was_looked_at_outlives_its_model(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 1);
    struct engine_slot_view view;
    struct err e = {0};
    struct engine_order order = order_of(g, 1, ENDLESS);
    struct engine_request *r = submit(g, &order);
    while (engine_slots_get(g, &view, 1) < 1)
        usleep(1000);
    struct engine_model *em = engine_model_replace(g, "digits8", load(), &e);
    assert_non_null(em);
    engine_request_cancel(r);
    assert_true(engine_request_wait(r, 600000));
    engine_request_free(r); /* the last hold of the model that was replaced */
    assert_string_equal(view.model, "digits8");
    engine_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_interactive_request_does_not_wait_for_batch),
        cmocka_unit_test(a_large_request_leaves_a_place_for_others),
        cmocka_unit_test(an_interactive_image_shares_few_steps_with_batch),
        cmocka_unit_test(batch_gets_its_turn_while_interactive_keeps_coming),
        cmocka_unit_test(deadlines_end_work_in_the_queue_and_in_the_solve),
        cmocka_unit_test(a_deadline_that_is_kept_changes_nothing),
        cmocka_unit_test(a_model_is_replaced_under_load),
        cmocka_unit_test(images_and_previews_are_told_of),
        cmocka_unit_test(slots_can_be_looked_at),
        cmocka_unit_test(a_slot_that_was_looked_at_outlives_its_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
