/* Every operation of nn_vector.h against plain C on numbers where bodies could differ: zeros of
 * both signs, numbers below the normal range, infinities, NaN, halves between whole numbers, 2^31,
 * and products that end half-way between two numbers. All bits are compared; of a NaN only that it
 * is one, since its bits are the maker's. */
#include "nn_test.h"
#include "nn_bf16.h"
#include "nn_math.h"
#include "vector_table.h"
#include <float.h>

static const float edges[] = {0.0f,
                              -0.0f,
                              1.0f,
                              -1.0f,
                              0.5f,
                              -0.5f,
                              1.5f,
                              -1.5f,
                              2.5f,
                              -2.5f,
                              0.49999997f,
                              8388607.5f,
                              -8388607.5f,
                              8388609.0f,
                              0x1p31f,
                              -0x1p31f,
                              0x1.fffffep30f,
                              0x1p32f,
                              0x1p63f,
                              FLT_MIN,
                              -FLT_MIN,
                              0x1p-149f,
                              -0x1p-149f,
                              0x1.8p-148f,
                              0x1.fffffcp-127f,
                              FLT_MAX,
                              -FLT_MAX,
                              INFINITY,
                              -INFINITY,
                              NAN,
                              0x1.000002p0f,
                              0x1.fffffep-1f,
                              0x1.002p0f,
                              -0x1.002p0f,
                              1.00390625f,
                              1.01171875f,
                              0x1.fffffep127f,
                              3.1415927f,
                              -3.1415927f,
                              87.0f,
                              -87.0f,
                              88.0f,
                              -88.0f,
                              88.5f,
                              -103.0f,
                              126.0f,
                              -126.0f,
                              127.0f,
                              0x1p-75f,
                              -0x1p-75f,
                              1e-20f,
                              1e20f,
                              12345.678f,
                              -0.3333333f};
#define EDGES (sizeof edges / sizeof edges[0])

/* ---- plain C ---- */

static float plain_min(float a, float b)
{
    return a < b ? a : b;
}

static float plain_max(float a, float b)
{
    return a > b ? a : b;
}

static float plain_exp(float x)
{
    x = plain_min(NN_EXP_MAX, plain_max(NN_EXP_MIN, x));
    float n = rintf(x * NN_LOG2_E);
    float r = fmaf(-n, NN_LN2_LOW, fmaf(-n, NN_LN2_HIGH, x));
    float p = NN_EXP_C5;
    p = fmaf(p, r, NN_EXP_C4);
    p = fmaf(p, r, NN_EXP_C3);
    p = fmaf(p, r, NN_EXP_C2);
    p = fmaf(p, r, NN_EXP_C1);
    p = fmaf(p, r, NN_EXP_C0);
    return ldexpf(fmaf(p, r * r, r) + 1.0f, isnan(n) ? 0 : (int)n);
}

/* The constants are nn_vector.h's. */
static float plain_silu(float x)
{
    float held = plain_max(-NN_EXP_MAX, plain_min(x, NN_EXP_MAX)), n = rintf(held * -NN_LOG2_E);
    float r = fmaf(-held, 1.92596299e-8f, fmaf(held, -NN_LOG2_E, -n));
    float p = 1.3264727e-3f;
    p = fmaf(p, r, 9.6715130e-3f);
    p = fmaf(p, r, 5.5507336e-2f);
    p = fmaf(p, r, 0.24022242f);
    p = fmaf(p, r, 0.69314700f);
    p = fmaf(p, r, 1.0f);
    return x / (1.0f + ldexpf(p, (int)n));
}

static float plain_logistic(float x)
{
    return 1.0f / (1.0f + plain_exp(0.0f - x));
}

static float plain_slope(float y)
{
    float s = plain_logistic(y);
    return s * fmaf(y, 1.0f - s, 1.0f);
}

static float plain(enum vector_op op, float a, float b, float c, float first)
{
    switch (op) {
    case VECTOR_LOAD:
        return a;
    case VECTOR_SET:
        return first;
    case VECTOR_ADD:
        return a + b;
    case VECTOR_SUB:
        return a - b;
    case VECTOR_MUL:
        return a * b;
    case VECTOR_DIV:
        return a / b;
    case VECTOR_FMA:
        return fmaf(a, b, c);
    case VECTOR_FMS:
        return fmaf(a, b, -c);
    case VECTOR_FNMA:
        return fmaf(-a, b, c);
    case VECTOR_MIN:
        return plain_min(a, b);
    case VECTOR_MAX:
        return plain_max(a, b);
    case VECTOR_CLAMP:
        return isnan(a) ? NAN : plain_max(-88.0f, plain_min(a, 88.0f));
    case VECTOR_ROUND:
        return rintf(a);
    case VECTOR_TIMES_POWER2:
        return ldexpf(a, (int)b);
    case VECTOR_BF16:
        return nn_bf16_value(nn_bf16_round(a));
    case VECTOR_EXP:
        return plain_exp(a);
    case VECTOR_SILU:
        return plain_silu(a);
    case VECTOR_LOGISTIC:
        return plain_logistic(a);
    case VECTOR_SILU_SLOPE:
        return plain_slope(a);
    default:
        return 0.0f;
    }
}

/* ---- the comparison ---- */

static const char *const names[VECTOR_OPS] = {"load", "set", "zero",  "add",      "sub",
                                              "mul",  "div", "fma",   "fms",      "fnma",
                                              "min",  "max", "clamp", "round",    "times_power2",
                                              "bf16", "exp", "silu",  "logistic", "silu_slope"};

static bool same(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void check(const char *body, enum vector_op op, size_t lanes, const float *a, const float *b,
                  const float *c, const float *out)
{
    for (size_t i = 0; i < lanes; i++) {
        float right = plain(op, a[i], b[i], c[i], a[0]);
        /* What a NaN is held to is any number between. */
        if (op == VECTOR_CLAMP && isnan(a[i]) ? !(fabsf(out[i]) <= 88.0f) : !same(out[i], right))
            fail_msg("%s: %s of %a, %a, %a in lane %zu is %a, not %a", body, names[op],
                     (double)a[i], (double)b[i], (double)c[i], i, (double)out[i], (double)right);
    }
}

/* The next vectors of operands: all pairs of edges, and with each every third in turn. */
static void operands(enum vector_op op, size_t from, size_t lanes, float *a, float *b, float *c)
{
    for (size_t i = 0; i < lanes; i++) {
        size_t k = from + i;
        a[i] = edges[k % EDGES];
        b[i] = edges[k / EDGES % EDGES];
        c[i] = edges[k / EDGES / EDGES % EDGES];
        if (op == VECTOR_TIMES_POWER2)
            b[i] = isnan(b[i]) || fabsf(b[i]) > 126.0f ? -126.0f : rintf(b[i]);
    }
}

static void check_operations(const char *body, const struct vector_table *t)
{
    float a[VECTOR_WIDTH_MAX], b[VECTOR_WIDTH_MAX], c[VECTOR_WIDTH_MAX], out[VECTOR_WIDTH_MAX];
    for (int op = 0; op < VECTOR_OPS; op++) {
        bool three = op == VECTOR_FMA || op == VECTOR_FMS || op == VECTOR_FNMA;
        size_t count = EDGES * EDGES * (three ? EDGES : 1);
        for (size_t from = 0; from < count; from += t->width) {
            operands(op, from, t->width, a, b, c);
            t->op[op](a, b, c, out);
            check(body, op, t->width, a, b, c, out);
            if (!t->eight[op])
                continue;
            t->eight[op](a, b, c, out);
            check(body, op, NN_LANES, a, b, c, out);
        }
    }
}

/* Halves and twos: which lanes come from where, and that no other is written. */
static void check_halves(const char *body, const struct vector_table *t)
{
    float p[VECTOR_WIDTH_MAX], q[VECTOR_WIDTH_MAX], out[VECTOR_WIDTH_MAX], more[VECTOR_WIDTH_MAX];
    size_t beyond = t->width - NN_LANES;
    print_message("%s\n", body);
    test_uniforms(1, t->width, p);
    test_uniforms(2, t->width, q);
    t->load_half(p, out);
    assert_memory_equal(out, p, NN_LANES * sizeof *p);
    for (size_t i = NN_LANES; i < t->width; i++)
        assert_true(same(out[i], 0.0f));
    memcpy(out, q, sizeof out);
    t->store_half(p, out);
    assert_memory_equal(out, p, NN_LANES * sizeof *p);
    assert_memory_equal(out + NN_LANES, q + NN_LANES, beyond * sizeof *p);
    t->load_two(p, q, out);
    assert_memory_equal(out, p, NN_LANES * sizeof *p);
    assert_memory_equal(out + NN_LANES, q, beyond * sizeof *p);
    memcpy(out, q, sizeof out);
    memcpy(more, q, sizeof more);
    t->store_two(p, out, more);
    assert_memory_equal(out, p, NN_LANES * sizeof *p);
    assert_memory_equal(out + NN_LANES, q + NN_LANES, beyond * sizeof *p);
    assert_memory_equal(more, p + NN_LANES, beyond * sizeof *p);
    assert_memory_equal(more + beyond, q + beyond, (t->width - beyond) * sizeof *p);
}

static void check_sums(const char *body, const struct vector_table *t)
{
    float p[VECTOR_WIDTH_MAX], ignored[VECTOR_WIDTH_MAX];
    double sum[VECTOR_WIDTH_MAX];
    for (size_t from = 0; from < EDGES; from++)
        for (int half = 0; half < 2; half++) {
            operands(VECTOR_LOAD, from, t->width, p, ignored, ignored);
            for (size_t i = 0; i < t->width; i++)
                sum[i] = 0.1 * (double)i;
            (half ? t->add_to_half : t->add_to)(p, sum);
            for (size_t i = 0; i < t->width; i++) {
                double right = 0.1 * (double)i + (half && i >= NN_LANES ? 0.0 : (double)p[i]);
                if (!(isnan(right) && isnan(sum[i])) && memcmp(&right, &sum[i], sizeof right) != 0)
                    fail_msg("%s: %a added in lane %zu gives %a, not %a", body, (double)p[i], i,
                             sum[i], right);
            }
        }
}

static void check_bits(const char *body, const struct vector_table *t)
{
    float p[VECTOR_WIDTH_MAX], ignored[VECTOR_WIDTH_MAX];
    uint16_t right[VECTOR_WIDTH_MAX], out[VECTOR_WIDTH_MAX + 1], more[VECTOR_WIDTH_MAX + 1];
    size_t beyond = t->width - NN_LANES;
    print_message("%s in bf16\n", body);
    for (size_t from = 0; from < EDGES; from++) {
        operands(VECTOR_LOAD, from, t->width, p, ignored, ignored);
        for (size_t i = 0; i < t->width; i++)
            right[i] = nn_bf16_round(p[i]);
        out[t->width] = 7;
        t->bits_store(p, out);
        assert_memory_equal(out, right, t->width * sizeof *out);
        assert_int_equal(out[t->width], 7);
        out[NN_LANES] = more[beyond] = 7;
        t->bits_store_half(p, out);
        assert_memory_equal(out, right, NN_LANES * sizeof *out);
        assert_int_equal(out[NN_LANES], 7);
        t->bits_store_two(p, out, more);
        assert_memory_equal(out, right, NN_LANES * sizeof *out);
        assert_int_equal(out[NN_LANES], 7);
        assert_memory_equal(more, right + NN_LANES, beyond * sizeof *out);
        assert_int_equal(more[beyond], 7);
    }
}

static void check_body(enum nn_kernel kernel, const char *body, const struct vector_table *t)
{
    if (!nn_kernel_available(kernel)) {
        print_message("skipped: this machine cannot run %s\n", body);
        return;
    }
    check_halves(body, t);
    check_operations(body, t);
    check_sums(body, t);
    check_bits(body, t);
}

static void test_vectors_are_plain_c(void **state)
{
    (void)state;
#ifdef HAVE_LANES8
    check_body(NN_KERNEL_LANES8, "lanes8", &nn_lanes8_table);
#endif
#ifdef HAVE_AVX512
    check_body(NN_KERNEL_AVX512, "avx512", &nn_avx512_table);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors_are_plain_c)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
