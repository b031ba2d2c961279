/* Every bit pattern of the 16-bit float types against their definition in arithmetic. */
#include "ckpt_test.h"

#include "ckpt_dtype.h"
#include <math.h>

/* sign · fraction · 2^exponent, with infinities and NaN at the top exponent. */
static double defined(uint16_t bits, int exponent_bits, int fraction_bits)
{
    int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    int fraction = bits & ((1 << fraction_bits) - 1);
    int bias = (1 << (exponent_bits - 1)) - 1;
    double value;
    if (exponent == (1 << exponent_bits) - 1)
        value = fraction ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        value = ldexp(fraction, 1 - bias - fraction_bits);
    else
        value = ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
    return bits >> 15 ? -value : value;
}

static void compare(uint16_t bits, float got, double expected)
{
    if (isnan(expected) ? !isnan(got)
                        : (double)got != expected || !signbit(got) != !signbit(expected))
        fail_msg("0x%04x is %g, got %g", bits, expected, (double)got);
}

static void half_exhaustive(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++)
        compare((uint16_t)bits, ckpt_half_to_f32((uint16_t)bits), defined((uint16_t)bits, 5, 10));
}

static void bfloat_exhaustive(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++)
        compare((uint16_t)bits, ckpt_bfloat_to_f32((uint16_t)bits), defined((uint16_t)bits, 8, 7));
}

static void steps_and_widths(void **state)
{
    /* one byte in front, so that nothing is aligned */
    unsigned char bytes[1 + 6 * 8];
    const double doubles[6] = {1, -2, 0.1, 1e-60, 3e38, -0.0};
    float out[3];
    double wide[6];
    (void)state;
    memcpy(bytes + 1, doubles, sizeof doubles);
    assert_int_equal(ckpt_elements_to_f32(CKPT_F64, bytes + 1, 2, 3, out), 3);
    assert_true(out[0] == 1.0f && out[1] == 0.1f && out[2] == 3e38f);
    ckpt_elements_to_f64(CKPT_F64, bytes + 1, 6, wide);
    assert_memory_equal(wide, doubles, sizeof wide);
    const float floats[4] = {1.5f, 2.5f, NAN, INFINITY};
    memcpy(bytes + 1, floats, sizeof floats);
    assert_int_equal(ckpt_elements_to_f32(CKPT_F32, bytes + 1, 3, 2, out), 2);
    assert_true(out[0] == 1.5f && isinf(out[1]));
    ckpt_elements_to_f64(CKPT_F32, bytes + 1, 2, wide);
    assert_true(wide[0] == 1.5 && wide[1] == 2.5);
}

static void too_large_for_single(void **state)
{
    const double doubles[4] = {1, (double)INFINITY, 3.5e38, 0};
    float out[4];
    (void)state;
    assert_int_equal(ckpt_elements_to_f32(CKPT_F64, (const unsigned char *)doubles, 1, 4, out), 2);
    assert_true(isinf(out[1])); /* an infinity is no overflow: the census of values refuses it */
}

static void names_and_sizes(void **state)
{
    static const struct {
        const char *name;
        size_t size;
        bool is_float;
    } all[] = {{"F64", 8, true},  {"F32", 4, true},  {"F16", 2, true},  {"BF16", 2, true},
               {"I64", 8, false}, {"I32", 4, false}, {"I16", 2, false}, {"I8", 1, false},
               {"U64", 8, false}, {"U32", 4, false}, {"U16", 2, false}, {"U8", 1, false},
               {"BOOL", 1, false}};
    enum ckpt_dtype dtype;

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_true(ckpt_dtype_parse(all[i].name, &dtype));
        assert_string_equal(ckpt_dtype_name(dtype), all[i].name);
        assert_int_equal(ckpt_dtype_size(dtype), all[i].size);
        assert_int_equal(ckpt_dtype_is_float(dtype), all[i].is_float);
    }
    assert_false(ckpt_dtype_parse("F8_E4M3", &dtype));
    assert_false(ckpt_dtype_parse("f32", &dtype));
}

static void shape_text(void **state)
{
    const uint64_t shape[CKPT_RANK_MAX] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                           UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    char text[CKPT_SHAPE_TEXT];
    (void)state;
    assert_string_equal(ckpt_shape_text(0, shape, text), "[]");
    assert_string_equal(ckpt_shape_text(2, (const uint64_t[]){3, 40}, text), "[3, 40]");
    assert_int_equal(strlen(ckpt_shape_text(CKPT_RANK_MAX, shape, text)), 8 * 20 + 7 * 2 + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_exhaustive),  cmocka_unit_test(bfloat_exhaustive),
        cmocka_unit_test(steps_and_widths), cmocka_unit_test(too_large_for_single),
        cmocka_unit_test(names_and_sizes),  cmocka_unit_test(shape_text),
    };
    return cmocka_run_group_tests_name("ckpt_dtype", tests, NULL, NULL);
}
