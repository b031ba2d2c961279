/* Philox against its authors' known answers, and the normals that are made from it. */
#include "base_rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "judge.h"

static void philox_gives_the_published_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], answer[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        rng_philox(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].answer, sizeof out);
    }
}

static void normals_are_finite_for_any_words_gpuocean_37(void **state)
{
    (void)state;
    const uint64_t words[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63, 0xfff};
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < 6; j++) {
            double pair[2];
            rng_normal_pair(words[i], words[j], pair);
            assert_true(isfinite(pair[0]) && isfinite(pair[1]));
            assert_true(pair[0] != 0.0 && pair[1] != 0.0);
        }
    assert_true(rng_unit(0) > 0.0);
    assert_true(rng_unit(UINT64_MAX) < 1.0);
}

static void a_number_does_not_depend_on_how_many_are_drawn(void **state)
{
    (void)state;
    double all[101], some[101];
    rng_normals(UINT64_MAX, UINT64_MAX - 3, RNG_PRIOR_DIRECTION, 101, all);
    for (size_t n = 1; n <= 101; n++) {
        memset(some, 0, sizeof some);
        rng_normals(UINT64_MAX, UINT64_MAX - 3, RNG_PRIOR_DIRECTION, n, some);
        assert_memory_equal(some, all, n * sizeof *all);
    }
}

static void normals_have_the_moments_of_normals(void **state)
{
    (void)state;
    enum { N = 400000 };
    static double x[N];
    rng_normals(1871412062, 0, RNG_TEST, N, x);
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    for (int i = 0; i < N; i++) {
        m1 += x[i];
        m2 += x[i] * x[i];
        m3 += x[i] * x[i] * x[i];
        m4 += x[i] * x[i] * x[i] * x[i];
    }
    printf("moments: %.4f %.4f %.4f %.4f\n", m1 / N, m2 / N, m3 / N, m4 / N);
    /* Within five standard errors. */
    assert_true(fabs(m1 / N) < 5 * sqrt(1.0 / N));
    assert_true(fabs(m2 / N - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(m3 / N) < 5 * sqrt(15.0 / N));
    assert_true(fabs(m4 / N - 3) < 5 * sqrt(96.0 / N));
}

static void streams_differ_by_seed_index_and_purpose(void **state)
{
    (void)state;
    double a, b, c, d, e;
    rng_normals(1, 1, RNG_TEST, 1, &a);
    rng_normals(2, 1, RNG_TEST, 1, &b);
    rng_normals(1, 2, RNG_TEST, 1, &c);
    rng_normals(1, 1, RNG_PRIOR_RADIUS, 1, &d);
    rng_normals(UINT64_C(1) | UINT64_C(1) << 32, 1, RNG_TEST, 1, &e);
    assert_true(a != b && a != c && a != d && a != e && b != c && c != d && d != e);
}

/* Below a bound, words that fall into the incomplete last multiple of it are passed over. */
static void integers_below_a_bound_are_exact(void **state)
{
    (void)state;
    const uint64_t half = (UINT64_C(1) << 63) + 1; /* nearly every second word is passed over */
    const uint32_t key[2] = {9, 0};
    int passed = 0;
    for (uint32_t index = 0; index < 200; index++) {
        uint64_t word = UINT64_MAX;
        for (uint32_t k = 0; word >= half; k++, passed += word >= half) {
            const uint32_t counter[4] = {index, 0, RNG_CLASS, k / 2};
            uint32_t out[4];
            rng_philox(counter, key, out);
            word = (uint64_t)out[2 * (k % 2) + 1] << 32 | out[2 * (k % 2)];
        }
        assert_true(rng_below(9, index, RNG_CLASS, half) == word);
        assert_int_equal(rng_below(9, index, RNG_CLASS, 1), 0);
    }
    assert_in_range(passed, 120, 280); /* 200 ± 4 deviations of √(200 · 2) */
    size_t counts[7] = {0};
    double shares[7];
    for (uint64_t index = 0; index < 70000; index++)
        counts[rng_below(3, index << 30, RNG_CLASS, 7)]++;
    for (int i = 0; i < 7; i++)
        shares[i] = 1.0 / 7;
    assert_shares(counts, shares, 7, "integers below 7");
}

/* Chi-square in law: closed forms of 1, 2, 3 and 8 degrees; mean k and variance 2k of millions. */
static double chi_square_law(double degrees, double x)
{
    double half = 0.5 * x;
    if (degrees == 2.0)
        return -expm1(-half);
    if (degrees == 8.0)
        return 1.0 - exp(-half) * (1.0 + half * (1.0 + half / 2.0 * (1.0 + half / 3.0)));
    double one = erf(sqrt(half));
    return degrees == 1.0 ? one : one - sqrt(2.0 * x / 3.14159265358979323846) * exp(-half);
}

static void chi_squares_have_their_law(void **state)
{
    (void)state;
    enum { N = 100000 };
    static double value[N];
    static const double small[] = {1.0, 2.0, 3.0, 8.0}, large[] = {1.5, 128.0, 2048.0, 3072000.0};
    for (size_t k = 0; k < 4; k++) {
        char what[64];
        for (size_t i = 0; i < N; i++)
            value[i] = chi_square_law(small[k], rng_chi_square(5, i, RNG_TEST, small[k]));
        snprintf(what, sizeof what, "chi-square of %g degrees", small[k]);
        assert_uniform(value, N, what);
    }
    for (size_t k = 0; k < 4; k++) {
        double degrees = large[k], sum = 0.0, square = 0.0;
        for (size_t i = 0; i < N; i++) {
            double z = (rng_chi_square(6, i, RNG_TEST, degrees) - degrees) / sqrt(2.0 * degrees);
            sum += z;
            square += z * z;
        }
        /* The fourth moment of z is 3 + 12/k. */
        double mean = sum / sqrt(N), spread = (square - N) / sqrt(N * (2.0 + 12.0 / degrees));
        print_message("chi-square of %g degrees: z of mean %.2f, of variance %.2f\n", degrees, mean,
                      spread);
        assert_true(fabs(mean) < 4.0 && fabs(spread) < 4.0);
    }
}

/* A part of a stream is what it is in the whole; as many of one sign as of the other, also beside
 * each other. */
static void signs_are_bits_of_one_stream(void **state)
{
    (void)state;
    enum { SIGNS = 1 << 16 };
    static double all[SIGNS], part[1000];
    double sum = 0, beside = 0;
    rng_signs(21, 3, RNG_TEST, 0, SIGNS, all);
    for (uint64_t first = 0; first < 300; first += 13) {
        rng_signs(21, 3, RNG_TEST, first, 1000, part);
        assert_memory_equal(part, all + first, sizeof part);
    }
    for (int i = 0; i < SIGNS; i++) {
        assert_true(all[i] == 1.0 || all[i] == -1.0);
        sum += all[i];
        beside += i > 0 ? all[i] * all[i - 1] : 0;
    }
    assert_true(fabs(sum) < 4 * sqrt(SIGNS) && fabs(beside) < 4 * sqrt(SIGNS));
    const uint32_t counter[4] = {3, 0, RNG_TEST, 2}, key[2] = {21, 0};
    uint32_t words[4];
    rng_philox(counter, key, words);
    for (size_t i = 0; i < 128; i++) /* the lowest bit of the lowest word first */
        assert_true(all[256 + i] == (words[i / 32] >> i % 32 & 1 ? 1.0 : -1.0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_answers),
        cmocka_unit_test(normals_are_finite_for_any_words_gpuocean_37),
        cmocka_unit_test(a_number_does_not_depend_on_how_many_are_drawn),
        cmocka_unit_test(normals_have_the_moments_of_normals),
        cmocka_unit_test(streams_differ_by_seed_index_and_purpose),
        cmocka_unit_test(integers_below_a_bound_are_exact),
        cmocka_unit_test(chi_squares_have_their_law),
        cmocka_unit_test(signs_are_bits_of_one_stream),
    };
    return cmocka_run_group_tests_name("base: random numbers", tests, NULL, NULL);
}
