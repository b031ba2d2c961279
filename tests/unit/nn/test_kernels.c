/* One table of operations × shapes: every kernel that this machine runs, the portable one included,
 * against plain loops in double over the same numbers; then each vector kernel against the portable
 * one, and against itself when the operation is shared out between threads. */
#include "nn_work.h"

#define TOLERANCE 2e-5 /* of the largest number; of Winograd too, which measures 5e-6 */
#define GUARD 32

/* ---- the table ---- */

static const struct shape shapes[] = {
    {CONV, 1, 1, 0, 1, 1, 0},
    {CONV, 1, 16, 0, 24, 5, 1},
    {CONV, 2, 3, 0, 16, 3, 2},
    {CONV, 28, 1, 0, 24, 2, 0},
    {CONV, 28, 24, 0, 24, 1, 3},
    {CONV, 14, 72, 0, 48, 2, 3},
    {CONV, 7, 48, 0, 48, 3, 1},
    {CONV, 7, 96, 0, 48, 1, 2},
    {CONV, 13, 24, 0, 40, 1, 3},
    {CONV, 5, 20, 0, 20, 2, 3},
    {CONV, 32, 3, 0, 128, 1, 0},
    {CONV, 32, 16, 0, 4, 1, 0},
    {CONV, 16, 128, 0, 128, 1, 1},
    {CONV, 3, 128, 0, 72, 1, 3},
    {CONV, 4, 512, 0, 256, 1, 1},
    {CONV, 4, 16, 0, 512, 3, 2},
    {CONV, 6, 56, 0, 56, 1, 1},
    {CONV, 9, 8, 0, 80, 1, 0},
    {CONV, 31, 8, 0, 2, 1, 0},
    {WINOGRAD, 1, 8, 0, 8, 1, 0},
    {WINOGRAD, 1, 16, 0, 24, 5, 3},
    {WINOGRAD, 2, 3, 0, 16, 3, 2},
    {WINOGRAD, 3, 128, 0, 72, 2, 3},
    {WINOGRAD, 4, 512, 0, 256, 1, 1},
    {WINOGRAD, 4, 16, 0, 512, 30, 2},
    {WINOGRAD, 5, 20, 0, 20, 2, 3},
    {WINOGRAD, 6, 56, 0, 56, 1, 1},
    {WINOGRAD, 7, 48, 0, 48, 3, 1},
    {WINOGRAD, 7, 96, 0, 48, 14, 2},
    {WINOGRAD, 8, 256, 0, 256, 2, 3},
    {WINOGRAD, 9, 8, 0, 80, 1, 0},
    {WINOGRAD, 13, 24, 0, 40, 1, 3},
    {WINOGRAD, 14, 72, 0, 48, 2, 3},
    {WINOGRAD, 16, 1024, 0, 8, 1, 0},
    {WINOGRAD, 28, 24, 0, 24, 2, 3},
    {WINOGRAD, 31, 8, 0, 2, 1, 0},
    {WINOGRAD, 32, 128, 0, 128, 1, 1},
    {WINOGRAD, 64, 16, 0, 88, 1, 2},
    {CONV_STRIDE_2, 9, 24, 0, 48, 2, 1},
    {CONV_STRIDE_2, 17, 3, 0, 128, 1, 1},
    {CONV_STRIDE_2, 3, 128, 0, 24, 3, 0},
    {POINT, 1, 1, 0, 8, 1, 0},
    {POINT, 1, 512, 0, 512, 1, 0},
    {POINT, 1, 96, 0, 480, 8, 0},
    {POINT, 28, 24, 24, 24, 1, 0},
    {POINT, 14, 48, 24, 48, 2, 1},
    {POINT, 7, 20, 20, 20, 3, 3},
    {POINT, 8, 128, 72, 128, 1, 2},
    {POINT, 4, 256, 512, 512, 1, 0},
    {POINT, 7, 48, 0, 144, 2, 0},
    {POINT, 5, 3, 1, 3, 1, 1},
    {POINT, 13, 16, 16, 88, 1, 0},
    {NORM, 1, 8, 0, 0, 2, 1},
    {NORM, 28, 24, 0, 0, 2, 3},
    {NORM, 28, 24, 24, 0, 1, 3},
    {NORM, 14, 48, 24, 0, 2, 3},
    {NORM, 7, 20, 20, 0, 3, 1},
    {NORM, 5, 4, 4, 0, 1, 0},
    {NORM, 32, 128, 0, 0, 1, 7},
    {NORM, 16, 256, 128, 0, 1, 3},
    {NORM, 4, 512, 512, 0, 2, 1},
    {NORM, 9, 72, 0, 0, 1, 4},
    {NORM, 3, 16, 0, 0, 3, 2},
    {NORM, 2, 56, 40, 0, 1, 1},
    {RESAMPLE, 4, 3, 0, 0, 2, NN_BOX_UP},
    {RESAMPLE, 7, 24, 0, 0, 2, NN_BOX_UP},
    {RESAMPLE, 1, 128, 0, 0, 1, NN_BOX_UP},
    {RESAMPLE, 28, 24, 0, 0, 1, NN_BOX_DOWN},
    {RESAMPLE, 14, 72, 0, 0, 2, NN_BOX_DOWN},
    {RESAMPLE, 2, 512, 0, 0, 3, NN_BOX_DOWN},
    {RESAMPLE, 1, 16, 0, 0, 2, NN_FIR_UP},
    {RESAMPLE, 8, 48, 0, 0, 2, NN_FIR_UP},
    {RESAMPLE, 13, 24, 0, 0, 1, NN_FIR_UP},
    {RESAMPLE, 2, 24, 0, 0, 3, NN_FIR_DOWN},
    {RESAMPLE, 16, 128, 0, 0, 1, NN_FIR_DOWN},
    {RESAMPLE, 2, 3, 0, 0, 2, NN_FIR_BLUR},
    {RESAMPLE, 32, 3, 0, 0, 1, NN_FIR_BLUR},
    {RESAMPLE, 8, 40, 0, 0, 1, NN_FIR_BLUR},
    {ATTENTION, 1, 16, 0, 0, 2, 0},
    {ATTENTION, 7, 48, 0, 0, 2, 0},
    {ATTENTION, 4, 24, 0, 0, 3, 0},
    {ATTENTION, 5, 3, 0, 0, 1, 0},
    {ATTENTION, 16, 256, 0, 0, 1, 0},
    {ATTENTION, 9, 72, 0, 0, 1, 0},
    {ATTENTION, 8, 512, 0, 0, 1, 0},
    {ATTENTION, 3, 20, 0, 0, 2, 0},
};

/* ---- shares ---- */

/* A kernel that computes every operation unit by unit, the last one first, each as a thread would
 * that has just come: its scratch holds nothing. */
static const struct nn_kernels *split;

static void run_units(const struct nn_sharing *how, const void *op, size_t scratch)
{
    float *own = zeros(scratch);
    for (size_t unit = how->units(op); unit-- > 0;) {
        struct nn_share share = {unit, unit + 1, own, 0};
        memset(own, 0xff, scratch * sizeof *own);
        how->run(op, &share);
    }
    free(own);
}

static void product_units(const struct nn_product *p)
{
    run_units(&split->product_sharing, p, split->product_scratch(&p->shape));
}

static void norm_units(const struct nn_norm *p)
{
    run_units(&split->norm_sharing, p, 4 * p->weights->lanes);
}

static void resample_units(const struct nn_resample *p)
{
    run_units(&split->resample_sharing, p, 0);
}

static void attention_units(const struct nn_attention *p)
{
    run_units(&split->attention_sharing, p, nn_attention_scratch(p->pixels, p->lanes));
}

/* The same bits, whoever computes what. */
static void check_shares(const struct nn_kernels *k, const struct work *w, const float *whole)
{
    if (!k->product_sharing.units)
        return;
    struct nn_kernels by_units = *k;
    float *out = zeros(w->count);
    split = k;
    by_units.product = product_units;
    by_units.norm = norm_units;
    by_units.resample = resample_units;
    by_units.attention = attention_units;
    run(&by_units, w, out);
    assert_memory_equal(out, whole, w->count * sizeof *out);
    free(out);
}

static void check_case(const struct shape *s, double worst[LAST_KERNEL + 1][2])
{
    struct work w = {.s = *s};
    setup(&w);
    expect(&w);
    const size_t count = w.count;
    if (count == 0 || count > (size_t)1 << 29)
        abort();
    float *oracle = zeros(count + GUARD);
    for (int k = NN_KERNEL_C; k <= LAST_KERNEL; k++) {
        if (!nn_kernel_available((enum nn_kernel)k))
            continue;
        float *out = zeros(count + GUARD);
        for (size_t i = count; i < count + GUARD; i++)
            out[i] = 1234.5f;
        run(nn_kernels_get((enum nn_kernel)k), &w, out);
        for (size_t i = count; i < count + GUARD; i++)
            assert_true(out[i] == 1234.5f);
        check_shares(nn_kernels_get((enum nn_kernel)k), &w, out);
        if (k == NN_KERNEL_C)
            memcpy(oracle, out, count * sizeof *out);
        double apart =
            fmax(test_distance(out, w.expected, count), test_distance(out, oracle, count));
        worst[k][s->op == WINOGRAD] = fmax(worst[k][s->op == WINOGRAD], apart);
        if (!(apart <= TOLERANCE))
            fail_msg(
                "%s, operation %d, side %zu, channels %zu + %zu to %zu, %zu images, option %d: "
                "off by %g",
                nn_kernel_id((enum nn_kernel)k), s->op, s->side, s->in, s->skip, s->out, s->images,
                s->option, apart);
        free(out);
    }
    float *all[] = {oracle, w.in, w.skip, w.weights, w.bias, w.residual, w.expected};
    for (size_t i = 0; i < COUNT(all); i++)
        free(all[i]);
    free(w.norm.group);
}

static void test_operations(void **state)
{
    (void)state;
    double worst[LAST_KERNEL + 1][2] = {0}; /* without Winograd, and with */
    for (size_t i = 0; i < COUNT(shapes); i++)
        check_case(&shapes[i], worst);
    for (int k = NN_KERNEL_C; k <= LAST_KERNEL; k++)
        print_message("%s: worst %.1e, of Winograd %.1e\n", nn_kernel_id((enum nn_kernel)k),
                      worst[k][0], worst[k][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_operations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
