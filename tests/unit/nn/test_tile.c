/* Products in bf16: numbers and their parts, every body of the tile layer against plain loops in
 * double and, bit for bit, against the plain C that says what its instruction computes; in one go
 * and shared out by units. A body whose instructions this machine lacks is a test that is skipped.
 */
#include "base_cpu.h"
#include "nn_tile.h"
#include "nn_work.h"

#define GUARD 32

/* What a body may be off the exact result, of the largest number, by its terms. */
static double tolerance(int terms)
{
    return terms == 3 ? 5e-5 : 2e-2;
}

/* ---- numbers ---- */

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Of the two neighbours the nearer, of two as near the even one. */
static void test_rounding(void **state)
{
    (void)state;
    static const uint32_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    for (uint32_t high = 0; high < 0x10000; high++)
        for (size_t i = 0; i < COUNT(low); i++) {
            float x = from_bits(high << 16 | low[i]);
            uint32_t up = low[i] > 0x8000 || (low[i] == 0x8000 && high % 2 == 1);
            if (isnan(x))
                assert_true(isnan(nn_bf16_value(nn_bf16_round(x))));
            else
                assert_int_equal(nn_bf16_round(x), high + up);
        }
    assert_true(isinf(nn_bf16_value(nn_bf16_round(3.4e38f)))); /* beyond the largest */
}

static void test_two_parts_are_nearly_the_number(void **state)
{
    (void)state;
    float x[1000];
    test_uniforms(11, COUNT(x), x);
    for (size_t i = 0; i < COUNT(x); i++) {
        x[i] *= powf(10, (float)(i % 60) - 30);
        double both = (double)nn_bf16_value(nn_bf16_round(x[i])) + nn_bf16_value(nn_bf16_low(x[i]));
        assert_true(fabs(both - x[i]) <= 0x1p-16 * fabsf(x[i]));
    }
}

/* Every kernel splits to the portable one's bits: numbers of all sizes, none, and infinite ones. */
static void test_kernels_split_alike(void **state)
{
    (void)state;
    enum { PIXELS = 37, LANES = 40, MORE = 24, WIDE = 64 };
    float *a = zeros(PIXELS * LANES), *b = zeros(PIXELS * MORE);
    for (size_t i = 0; i < PIXELS * LANES; i++)
        a[i] = from_bits((uint32_t)(i * 2654435761u) ^ (uint32_t)(i << 7));
    test_uniforms(12, PIXELS * MORE, b);
    a[5] = INFINITY;
    a[6] = -NAN;
    a[7] = from_bits(0x7fffffff);
    for (int terms = 1; terms <= 3; terms += 2) {
        uint16_t expected[2 * PIXELS * WIDE], out[2 * PIXELS * WIDE];
        struct nn_split p = {2,      {{a, LANES, LANES}, {b, MORE - 8, MORE}},
                             1,      1,
                             PIXELS, {expected, 0, PIXELS, PIXELS, WIDE, PIXELS * WIDE, terms}};
        memset(expected, 0xee, sizeof expected);
        nn_kernels_c.split(&p);
        assert_int_equal(expected[WIDE - 1], 0);
        assert_true((expected[PIXELS * WIDE] == 0xeeee) == (terms == 1));
        p.target.out = out;
        for (int k = NN_KERNEL_LANES8; k <= NN_KERNEL_AVX512; k++) {
            if (!nn_kernel_available((enum nn_kernel)k))
                continue;
            memset(out, 0xee, sizeof out);
            nn_kernels_get((enum nn_kernel)k)->split(&p);
            assert_memory_equal(out, expected, sizeof out);
        }
    }
    free(a);
    free(b);
}

/* Group norm straight to bf16 is what it is in f32, split. */
static void test_norm_writes_parts(void **state)
{
    (void)state;
    static const struct nn_case_shape shapes[] = {
        {NN_CASE_NORM, 28, 24, 0, 0, 2, 3},    {NN_CASE_NORM, 28, 24, 24, 0, 1, 3},
        {NN_CASE_NORM, 7, 20, 20, 0, 3, 1},    {NN_CASE_NORM, 5, 4, 4, 0, 1, 0},
        {NN_CASE_NORM, 16, 256, 128, 0, 1, 3}, {NN_CASE_NORM, 3, 16, 0, 0, 3, 2},
        {NN_CASE_NORM, 2, 56, 40, 0, 1, 1}};
    for (size_t i = 0; i < COUNT(shapes) * 2; i++) {
        struct nn_case_shape plain = shapes[i / 2];
        struct nn_case w;
        int terms = i % 2 ? 3 : 1;
        plain.option &= NN_CASE_SILU; /* no border */
        case_open(&w, &plain);
        size_t lanes = w.norm_weights.lanes, side = plain.side;
        size_t plane = plain.images * side * side;
        plane *= nn_tile_lanes(lanes);
        for (int k = NN_KERNEL_C; k <= NN_KERNEL_AVX512; k++) {
            const struct nn_kernels *kernels = nn_kernels_get((enum nn_kernel)k);
            if (!nn_kernel_available((enum nn_kernel)k))
                continue;
            float *single = zeros(w.count), *memory[2] = {zeros(plane), zeros(plane)};
            case_run(&w, kernels, NULL, 0, single);
            struct nn_split split = {
                1,
                {{single, lanes, lanes}},
                plain.images,
                side,
                side,
                {(void *)memory[0], 0, side, side * side, nn_tile_lanes(lanes), plane, terms}};
            kernels->split(&split);
            struct nn_tile_target target = split.target;
            target.out = (void *)memory[1];
            memset(memory[1], 0xff, terms == 3 ? plane * sizeof(float) : plane * 2);
            struct nn_norm p = w.norm;
            p.tiles = &target;
            kernels->norm(&p);
            assert_memory_equal(memory[1], memory[0], plane * sizeof(float));
            float *all[] = {single, memory[0], memory[1]};
            for (size_t f = 0; f < COUNT(all); f++)
                free(all[f]);
        }
        nn_case_clear(&w);
    }
}

/* ---- products ---- */

static const struct nn_case_shape shapes[] = {
    {NN_CASE_CONV, 1, 16, 0, 24, 5, 1},
    {NN_CASE_CONV, 2, 3, 0, 16, 3, 2},
    {NN_CASE_CONV, 20, 24, 0, 24, 1, 3},
    {NN_CASE_CONV, 7, 48, 0, 48, 3, 1},
    {NN_CASE_CONV, 13, 24, 0, 40, 1, 3},
    {NN_CASE_CONV, 5, 20, 0, 20, 2, 3},
    {NN_CASE_CONV, 16, 32, 0, 4, 1, 0},
    {NN_CASE_CONV, 12, 64, 0, 40, 1, 1},
    {NN_CASE_CONV, 8, 64, 0, 64, 2, 3},
    {NN_CASE_CONV, 4, 128, 0, 64, 3, 2},
    {NN_CASE_CONV, 9, 8, 0, 2, 5, 0},
    {NN_CASE_CONV, 3, 300, 0, 72, 1, 3},
    {NN_CASE_CONV, 33, 1, 0, 8, 1, 0},
    {NN_CASE_CONV, 3, 1024, 0, 8, 1, 1},
    {NN_CASE_CONV_STRIDE_2, 9, 24, 0, 48, 2, 1},
    {NN_CASE_CONV_STRIDE_2, 17, 8, 0, 64, 1, 1},
    {NN_CASE_CONV_STRIDE_2, 3, 128, 0, 24, 3, 0},
    {NN_CASE_POINT, 1, 1, 0, 8, 1, 0},
    {NN_CASE_POINT, 1, 512, 0, 512, 1, 0},
    {NN_CASE_POINT, 28, 24, 24, 24, 1, 0},
    {NN_CASE_POINT, 14, 48, 24, 48, 2, 1},
    {NN_CASE_POINT, 7, 20, 20, 20, 3, 3},
    {NN_CASE_POINT, 5, 3, 1, 3, 1, 1},
    {NN_CASE_POINT, 13, 16, 16, 88, 1, 0},
    {NN_CASE_POINT, 4, 256, 512, 256, 1, 2},
    {NN_CASE_ATTENTION, 1, 16, 0, 0, 2, 0},
    {NN_CASE_ATTENTION, 7, 48, 0, 0, 2, 0},
    {NN_CASE_ATTENTION, 4, 24, 0, 0, 3, 0},
    {NN_CASE_ATTENTION, 5, 3, 0, 0, 1, 0},
    {NN_CASE_ATTENTION, 9, 72, 0, 0, 1, 0},
    {NN_CASE_ATTENTION, 16, 64, 0, 0, 1, 0},
};

/* Unit by unit, the last one first, each by a thread that has just come; or all in one go. */
static void run_shares(const struct nn_sharing *how, const void *op, size_t scratch, bool apart)
{
    float *own = zeros(scratch);
    size_t units = how->units(op), step = apart ? 1 : units;
    for (size_t last = units; last > 0; last -= step) {
        struct nn_share share = {last - step, last, own, 0};
        how->run(op, &share);
    }
    free(own);
}

static void case_tiles(const struct nn_tiles *tiles, int terms, struct nn_case *c, bool apart,
                       float *out)
{
    struct err e = {0};
    if (nn_case_prepare(c, &nn_kernels_c, terms, &e))
        fail_msg("%s: %s", e.at, e.text);
    if (c->shape.op == NN_CASE_ATTENTION) {
        struct nn_tile_attention p = {c->attention, &nn_kernels_c, tiles, terms};
        p.attention.out = out;
        run_shares(&nn_tile_attention_sharing, &p,
                   nn_tile_attention_scratch(p.attention.pixels, p.attention.lanes, terms), apart);
        return;
    }
    struct nn_product p = c->product;
    p.out = out;
    if (c->shape.option & NN_CASE_RESIDUAL) {
        p.residual = out;
        memcpy(out, c->residual, c->count * sizeof *out);
    }
    run_shares(&tiles->product, &p, 0, apart);
}

/* A body's result with nothing written behind it; by units and, if asked, the same in one go. */
static float *result_of(const struct nn_tiles *tiles, int terms, struct nn_case *w, bool twice)
{
    float *out[2] = {NULL, NULL};
    for (int apart = twice ? 0 : 1; apart < 2; apart++) {
        out[apart] = zeros(w->count + GUARD);
        for (size_t i = w->count; i < w->count + GUARD; i++)
            out[apart][i] = 1234.5f;
        case_tiles(tiles, terms, w, apart, out[apart]);
        for (size_t i = w->count; i < w->count + GUARD; i++)
            assert_true(out[apart][i] == 1234.5f);
    }
    if (twice)
        assert_memory_equal(out[0], out[1], w->count * sizeof **out);
    free(out[0]);
    return out[1];
}

/* Every shape, near enough to the exact result; and `same`'s bits, if that is not NULL. */
static void check_body(const struct nn_tiles *tiles, const struct nn_tiles *same)
{
    double worst[4] = {0};
    for (size_t i = 0; i < COUNT(shapes); i++) {
        struct nn_case w;
        case_open(&w, &shapes[i]);
        float *exact = same ? NULL : case_expect(&w);
        for (int terms = 1; terms <= 3; terms += 2) {
            float *out = result_of(tiles, terms, &w, true);
            if (same) {
                float *expected = result_of(same, terms, &w, false);
                assert_memory_equal(out, expected, w.count * sizeof *out);
                free(expected);
            } else {
                double apart = test_distance(out, exact, w.count);
                worst[terms] = fmax(worst[terms], apart);
                if (!(apart <= tolerance(terms)))
                    fail_msg("shape %zu, %d terms: off by %g", i, terms, apart);
            }
            free(out);
        }
        free(exact);
        nn_case_clear(&w);
    }
    if (!same)
        print_message("worst of bf16 %.1e, of bf16x3 %.1e\n", worst[1], worst[3]);
}

/* ---- any bits ---- */

/* A number of bf16 of any sign and fraction, its exponent in a range; one in 16 is none. */
static uint16_t any_number(uint64_t *seed, uint32_t least, uint32_t range)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    uint32_t r = (uint32_t)(*seed >> 33);
    uint32_t exponent = r % 16 == 0 ? 0 : least + r / 16 % range;
    return (uint16_t)((r >> 16 & 0x807f) | exponent << 7);
}

static bool same_number(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

/* Operands of all sizes, so that sums overflow, cancel, and fall below the normal range. */
static void check_bits(const struct nn_tiles *tiles, const struct nn_tiles *same)
{
    enum { PIXELS = 96, K = 64, OUTPUTS = 32 };
    static const uint32_t ranges[][2] = {{120, 16}, {1, 254}, {1, 140},
                                         {40, 50},  {50, 20}, {0, 255}};
    static _Alignas(64) uint16_t in[(PIXELS + NN_TILE_SLACK) * K], packed[K * OUTPUTS];
    static float out[2][PIXELS * OUTPUTS];
    uint64_t seed = 1;
    for (size_t round = 0; round < 40 * COUNT(ranges); round++) {
        const uint32_t *range = ranges[round % COUNT(ranges)];
        for (size_t i = 0; i < COUNT(in); i++)
            in[i] = any_number(&seed, range[0], range[1]);
        for (size_t i = 0; i < COUNT(packed); i++)
            packed[i] = any_number(&seed, range[0], range[1]);
        for (int k = 0; k < 2; k++) {
            const struct nn_product p = {.shape = {NN_PRODUCT_POINT, K, OUTPUTS},
                                         .in_image = PIXELS,
                                         .in_row = PIXELS,
                                         .in_step = 1,
                                         .images = 1,
                                         .height = 1,
                                         .width = PIXELS,
                                         .out = out[k],
                                         .terms = 1,
                                         .tile = {in, packed, K, 0, 0}};
            nn_tile_product(k ? same : tiles, &p);
        }
        for (size_t i = 0; i < PIXELS * OUTPUTS; i++)
            assert_true(same_number(out[0][i], out[1][i]));
    }
}

/* ---- the bodies ---- */

static void test_plain_c_in_the_order_of_avx512bf16(void **state)
{
    (void)state;
    check_body(&nn_tiles_c, NULL);
}

static void test_plain_c_in_the_order_of_amx(void **state)
{
    (void)state;
    check_body(&nn_tiles_c_amx, NULL);
}

static void check_instructions(enum nn_kernel kernel, bool there, const char *name,
                               const struct nn_tiles *same)
{
    if (!there) {
        print_message("skipped: this machine has no %s\n", name);
        skip();
    }
    const struct nn_tiles *tiles = nn_tiles_get(kernel);
    assert_true(tiles != &nn_tiles_c);
    check_body(tiles, same);
    check_bits(tiles, same);
}

static void test_avx512bf16_is_what_plain_c_says(void **state)
{
    (void)state;
    check_instructions(NN_KERNEL_AVX512, cpu_features_get().avx512_bf16, "AVX512-BF16",
                       &nn_tiles_c);
}

static void test_amx_is_what_plain_c_says(void **state)
{
    (void)state;
    check_instructions(NN_KERNEL_AMX, cpu_features_get().amx_bf16, "AMX", &nn_tiles_c_amx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_two_parts_are_nearly_the_number),
        cmocka_unit_test(test_kernels_split_alike),
        cmocka_unit_test(test_norm_writes_parts),
        cmocka_unit_test(test_plain_c_in_the_order_of_avx512bf16),
        cmocka_unit_test(test_plain_c_in_the_order_of_amx),
        cmocka_unit_test(test_avx512bf16_is_what_plain_c_says),
        cmocka_unit_test(test_amx_is_what_plain_c_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
