/* Data scale to bytes: a table of values whose byte is known, both references' formulas spelled out
 * once more, and samples that must not become pixels. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "image.h"
#include <float.h>
#include <math.h>
#include <string.h>

static uint8_t quantise_one(double x, enum image_rounding rounding)
{
    struct err e;
    uint8_t pixel = 77;
    assert_int_equal(image_quantise(&x, (struct image_shape){1, 1, 1}, rounding, &pixel, &e), 0);
    return pixel;
}

static void quantise_known_values(void **state)
{
    static const struct {
        double x;
        uint8_t pfgm, pfgmpp;
    } table[] = {
        {-1.0, 0, 0},        {1.0, 255, 255},
        {0.0, 127, 128},     {-2.0, 0, 0},
        {2.0, 255, 255},     {-1e308, 0, 0},
        {1e308, 255, 255},   {DBL_MAX, 255, 255},
        {-DBL_MAX, 0, 0},    {0.5, 191, 191},
        {-0.5, 63, 64},      {0.9999, 254, 255},
        {-0.9999, 0, 0},     {-0.0, 127, 128},
        {DBL_MIN, 127, 128}, {127.0 / 127.5, 254, 255}, /* PFGM's last step below white: 254.5 */
        {-0.25, 95, 96},     {0.25, 159, 159},
        {-1.004, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(quantise_one(table[i].x, IMAGE_ROUND_PFGM), table[i].pfgm);
        assert_int_equal(quantise_one(table[i].x, IMAGE_ROUND_PFGMPP), table[i].pfgmpp);
    }
}

/* The byte rises exactly where the reference's formula does: at the first double that reaches it.
 */
static void quantise_boundaries(void **state)
{
    (void)state;
    for (int k = 1; k <= 255; k++) {
        double low = ((double)k - 128.0) / 127.5 - 1e-6, at = low + 2e-6;
        while (low + (at - low) / 2.0 > low && low + (at - low) / 2.0 < at) {
            double middle = low + (at - low) / 2.0;
            if (127.5 * middle + 128.0 < (double)k)
                low = middle;
            else
                at = middle;
        }
        assert_int_equal(quantise_one(at, IMAGE_ROUND_PFGMPP), k);
        assert_int_equal(quantise_one(low, IMAGE_ROUND_PFGMPP), k - 1);
    }
}

/* Compares with the references' order of operations, written from their text: scale, then
 * clip(·255). */
static void quantise_follows_reference_formula(void **state)
{
    (void)state;
    for (int i = -3000; i <= 3000; i++) {
        double x = (double)i / 2000.0;
        double scaled = (x + 1.0) / 2.0 * 255.0;
        int pfgm = (int)fmin(fmax(scaled, 0.0), 255.0);
        int pfgmpp = (int)fmin(fmax(x * 127.5 + 128.0, 0.0), 255.0);
        assert_int_equal(quantise_one(x, IMAGE_ROUND_PFGM), pfgm);
        assert_int_equal(quantise_one(x, IMAGE_ROUND_PFGMPP), pfgmpp);
    }
}

static void quantise_interleaves_channels(void **state)
{
    struct image_shape shape = {3, 2, 2};
    double sample[12];
    uint8_t pixels[12];
    struct err e;
    (void)state;
    for (int i = 0; i < 12; i++) /* the exact centre of byte 10·i */
        sample[i] = (10.0 * i + 0.5) / 127.5 - 1.0;
    assert_int_equal(image_shape_count(shape), 12);
    assert_int_equal(image_quantise(sample, shape, IMAGE_ROUND_PFGM, pixels, &e), 0);
    for (int p = 0; p < 4; p++) {
        for (int c = 0; c < 3; c++)
            assert_int_equal(pixels[p * 3 + c], 10 * (c * 4 + p));
    }
}

static void quantise_refuses_non_finite(void **state)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    struct image_shape shape = {2, 3, 4};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double sample[24] = {0};
        uint8_t pixels[24];
        struct err e = {0};
        memset(pixels, 0xa5, sizeof pixels);
        sample[12 + 2 * 4 + 1] = bad[i];
        assert_int_equal(image_quantise(sample, shape, IMAGE_ROUND_PFGM, pixels, &e), -1);
        assert_int_equal(e.code, ERR_NUMERIC);
        assert_non_null(strstr(e.text, "channel 1, row 2, column 1"));
        for (size_t p = 0; p < sizeof pixels; p++)
            assert_int_equal(pixels[p], 0xa5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantise_known_values),
        cmocka_unit_test(quantise_boundaries),
        cmocka_unit_test(quantise_follows_reference_formula),
        cmocka_unit_test(quantise_interleaves_channels),
        cmocka_unit_test(quantise_refuses_non_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
