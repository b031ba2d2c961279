/* One table of operations × shapes: every kernel that this machine runs, the portable one included,
 * against plain loops in double over the same numbers; then each vector kernel against the portable
 * one, and against itself when the operation is shared out between threads. */
#include "nn_work.h"

#define TOLERANCE 2e-5 /* of the largest number; of Winograd too, which measures 5e-6 */
#define GUARD 32

/* ---- the table ---- */

static const struct nn_case_shape shapes[] = {
    {NN_CASE_CONV, 1, 1, 0, 1, 1, 0},
    {NN_CASE_CONV, 1, 16, 0, 24, 5, 1},
    {NN_CASE_CONV, 2, 3, 0, 16, 3, 2},
    {NN_CASE_CONV, 28, 1, 0, 24, 2, 0},
    {NN_CASE_CONV, 28, 24, 0, 24, 1, 3},
    {NN_CASE_CONV, 14, 72, 0, 48, 2, 3},
    {NN_CASE_CONV, 7, 48, 0, 48, 3, 1},
    {NN_CASE_CONV, 7, 96, 0, 48, 1, 2},
    {NN_CASE_CONV, 13, 24, 0, 40, 1, 3},
    {NN_CASE_CONV, 5, 20, 0, 20, 2, 3},
    {NN_CASE_CONV, 32, 3, 0, 128, 1, 0},
    {NN_CASE_CONV, 32, 16, 0, 4, 1, 0},
    {NN_CASE_CONV, 16, 128, 0, 128, 1, 1},
    {NN_CASE_CONV, 3, 128, 0, 72, 1, 3},
    {NN_CASE_CONV, 4, 512, 0, 256, 1, 1},
    {NN_CASE_CONV, 4, 16, 0, 512, 3, 2},
    {NN_CASE_CONV, 6, 56, 0, 56, 1, 1},
    {NN_CASE_CONV, 9, 8, 0, 80, 1, 0},
    {NN_CASE_CONV, 31, 8, 0, 2, 1, 0},
    {NN_CASE_WINOGRAD, 1, 8, 0, 8, 1, 0},
    {NN_CASE_WINOGRAD, 1, 16, 0, 24, 5, 3},
    {NN_CASE_WINOGRAD, 2, 3, 0, 16, 3, 2},
    {NN_CASE_WINOGRAD, 3, 128, 0, 72, 2, 3},
    {NN_CASE_WINOGRAD, 4, 512, 0, 256, 1, 1},
    {NN_CASE_WINOGRAD, 4, 16, 0, 512, 30, 2},
    {NN_CASE_WINOGRAD, 5, 20, 0, 20, 2, 3},
    {NN_CASE_WINOGRAD, 6, 56, 0, 56, 1, 1},
    {NN_CASE_WINOGRAD, 7, 48, 0, 48, 3, 1},
    {NN_CASE_WINOGRAD, 7, 96, 0, 48, 14, 2},
    {NN_CASE_WINOGRAD, 8, 256, 0, 256, 2, 3},
    {NN_CASE_WINOGRAD, 9, 8, 0, 80, 1, 0},
    {NN_CASE_WINOGRAD, 13, 24, 0, 40, 1, 3},
    {NN_CASE_WINOGRAD, 14, 72, 0, 48, 2, 3},
    {NN_CASE_WINOGRAD, 16, 1024, 0, 8, 1, 0},
    {NN_CASE_WINOGRAD, 28, 24, 0, 24, 2, 3},
    {NN_CASE_WINOGRAD, 31, 8, 0, 2, 1, 0},
    {NN_CASE_WINOGRAD, 32, 128, 0, 128, 1, 1},
    {NN_CASE_WINOGRAD, 64, 16, 0, 88, 1, 2},
    {NN_CASE_CONV_STRIDE_2, 9, 24, 0, 48, 2, 1},
    {NN_CASE_CONV_STRIDE_2, 17, 3, 0, 128, 1, 1},
    {NN_CASE_CONV_STRIDE_2, 3, 128, 0, 24, 3, 0},
    {NN_CASE_POINT, 1, 1, 0, 8, 1, 0},
    {NN_CASE_POINT, 1, 512, 0, 512, 1, 0},
    {NN_CASE_POINT, 1, 96, 0, 480, 8, 0},
    {NN_CASE_POINT, 28, 24, 24, 24, 1, 0},
    {NN_CASE_POINT, 14, 48, 24, 48, 2, 1},
    {NN_CASE_POINT, 7, 20, 20, 20, 3, 3},
    {NN_CASE_POINT, 8, 128, 72, 128, 1, 2},
    {NN_CASE_POINT, 4, 256, 512, 512, 1, 0},
    {NN_CASE_POINT, 7, 48, 0, 144, 2, 0},
    {NN_CASE_POINT, 5, 3, 1, 3, 1, 1},
    {NN_CASE_POINT, 13, 16, 16, 88, 1, 0},
    {NN_CASE_POINT, 4, 48, 24, 48, 3, NN_CASE_ROW | NN_CASE_BIASES},
    {NN_CASE_LINEAR, 1, 96, 0, 480, 8, 0},
    {NN_CASE_LINEAR, 1, 13, 0, 40, 5, NN_CASE_RESIDUAL},
    {NN_CASE_CONV, 28, 3, 0, 24, 2, NN_CASE_UNPADDED},
    {NN_CASE_CONV, 5, 1, 0, 40, 3, NN_CASE_UNPADDED | NN_CASE_BIASES},
    {NN_CASE_NORM, 1, 8, 0, 0, 2, 1},
    {NN_CASE_NORM, 28, 24, 0, 0, 2, 3},
    {NN_CASE_NORM, 28, 24, 24, 0, 1, 3},
    {NN_CASE_NORM, 14, 48, 24, 0, 2, 3},
    {NN_CASE_NORM, 7, 20, 20, 0, 3, 1},
    {NN_CASE_NORM, 5, 4, 4, 0, 1, 0},
    {NN_CASE_NORM, 32, 128, 0, 0, 1, 7},
    {NN_CASE_NORM, 16, 256, 128, 0, 1, 3},
    {NN_CASE_NORM, 4, 512, 512, 0, 2, 1},
    {NN_CASE_NORM, 9, 72, 0, 0, 1, 4},
    {NN_CASE_NORM, 3, 16, 0, 0, 3, 2},
    {NN_CASE_NORM, 2, 56, 40, 0, 1, 1},
    {NN_CASE_RESAMPLE, 4, 3, 0, 0, 2, NN_BOX_UP},
    {NN_CASE_RESAMPLE, 7, 24, 0, 0, 2, NN_BOX_UP},
    {NN_CASE_RESAMPLE, 1, 128, 0, 0, 1, NN_BOX_UP},
    {NN_CASE_RESAMPLE, 28, 24, 0, 0, 1, NN_BOX_DOWN},
    {NN_CASE_RESAMPLE, 14, 72, 0, 0, 2, NN_BOX_DOWN},
    {NN_CASE_RESAMPLE, 2, 512, 0, 0, 3, NN_BOX_DOWN},
    {NN_CASE_RESAMPLE, 1, 16, 0, 0, 2, NN_FIR_UP},
    {NN_CASE_RESAMPLE, 8, 48, 0, 0, 2, NN_FIR_UP},
    {NN_CASE_RESAMPLE, 13, 24, 0, 0, 1, NN_FIR_UP},
    {NN_CASE_RESAMPLE, 2, 24, 0, 0, 3, NN_FIR_DOWN},
    {NN_CASE_RESAMPLE, 16, 128, 0, 0, 1, NN_FIR_DOWN},
    {NN_CASE_RESAMPLE, 2, 3, 0, 0, 2, NN_FIR_BLUR},
    {NN_CASE_RESAMPLE, 32, 3, 0, 0, 1, NN_FIR_BLUR},
    {NN_CASE_RESAMPLE, 8, 40, 0, 0, 1, NN_FIR_BLUR},
    {NN_CASE_ATTENTION, 1, 16, 0, 0, 2, 0},
    {NN_CASE_ATTENTION, 7, 48, 0, 0, 2, 0},
    {NN_CASE_ATTENTION, 4, 24, 0, 0, 3, 0},
    {NN_CASE_ATTENTION, 5, 3, 0, 0, 1, 0},
    {NN_CASE_ATTENTION, 16, 256, 0, 0, 1, 0},
    {NN_CASE_ATTENTION, 9, 72, 0, 0, 1, 0},
    {NN_CASE_ATTENTION, 8, 512, 0, 0, 1, 0},
    {NN_CASE_ATTENTION, 3, 20, 0, 0, 2, 0},
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
static void check_shares(const struct nn_kernels *k, struct nn_case *c, const float *whole)
{
    if (!k->product_sharing.units)
        return;
    struct nn_kernels by_units = *k;
    float *out = zeros(c->count);
    split = k;
    by_units.product = product_units;
    by_units.norm = k->norm_sharing.units ? norm_units : k->norm;
    by_units.resample = k->resample_sharing.units ? resample_units : k->resample;
    by_units.attention = attention_units;
    case_run(c, &by_units, NULL, 0, out);
    assert_memory_equal(out, whole, c->count * sizeof *out);
    free(out);
}

static void check_case(const struct nn_case_shape *s, double worst[LAST_KERNEL + 1][2])
{
    struct nn_case c;
    case_open(&c, s);
    if (case_is_too_large(&c)) {
        nn_case_clear(&c);
        return;
    }
    float *expected = case_expect(&c), *oracle = zeros(c.count + GUARD);
    for (int k = NN_KERNEL_C; k <= LAST_KERNEL; k++) {
        const struct nn_kernels *kernels = nn_kernels_get((enum nn_kernel)k);
        if (!nn_kernel_available((enum nn_kernel)k))
            continue;
        float *out = zeros(c.count + GUARD);
        for (size_t i = c.count; i < c.count + GUARD; i++)
            out[i] = 1234.5f;
        case_run(&c, kernels, NULL, 0, out);
        for (size_t i = c.count; i < c.count + GUARD; i++)
            assert_true(out[i] == 1234.5f);
        check_shares(kernels, &c, out);
        if (k == NN_KERNEL_C)
            memcpy(oracle, out, c.count * sizeof *out);
        double apart =
            fmax(test_distance(out, expected, c.count), test_distance(out, oracle, c.count));
        double *most = &worst[k][s->op == NN_CASE_WINOGRAD];
        *most = fmax(*most, apart);
        if (!(apart <= TOLERANCE))
            fail_msg(
                "%s, operation %d, side %zu, channels %zu + %zu to %zu, %zu images, option %d: "
                "off by %g",
                nn_kernel_id((enum nn_kernel)k), (int)s->op, s->side, s->in, s->skip, s->out,
                s->images, s->option, apart);
        free(out);
    }
    free(oracle);
    free(expected);
    nn_case_clear(&c);
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
