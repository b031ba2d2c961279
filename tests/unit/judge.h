/* Judging samples by numbers: Kolmogorov–Smirnov and chi-square. Include after <cmocka.h>. */
#ifndef JUDGE_H
#define JUDGE_H

#include <math.h>
#include <stdlib.h>

static inline double *room(size_t n)
{
    double *values = calloc(n, sizeof(double));
    assert_non_null(values);
    return values;
}

static inline int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov's tail probability of the distance d at n (effective) samples, with Stephens'
 * correction. */
static inline double ks_probability(double d, double n)
{
    double lambda = (sqrt(n) + 0.12 + 0.11 / sqrt(n)) * d, sum = 0.0;
    if (lambda < 0.2)
        return 1.0;
    for (int k = 1; k <= 100; k++)
        sum += (k % 2 == 1 ? 2.0 : -2.0) * exp(-2.0 * k * k * lambda * lambda);
    return fmin(fmax(sum, 0.0), 1.0);
}

/* Sorts the values of a distribution function, which should be uniform on (0, 1). */
static inline void assert_uniform(double *u, size_t n, const char *what)
{
    double worst = 0.0;
    qsort(u, n, sizeof u[0], ascending);
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, u[i] - (double)i / (double)n);
        worst = fmax(worst, (double)(i + 1) / (double)n - u[i]);
    }
    double p = ks_probability(worst, (double)n);
    print_message("%-48s n = %6zu  D = %.5f  p = %.4f\n", what, n, worst, p);
    assert_true(p > 0.001);
}

static inline void assert_same_law(double *a, double *b, size_t n, const char *what)
{
    double worst = 0.0;
    size_t i = 0, j = 0;
    qsort(a, n, sizeof a[0], ascending);
    qsort(b, n, sizeof b[0], ascending);
    while (i < n && j < n) {
        if (a[i] <= b[j])
            i++;
        else
            j++;
        worst = fmax(worst, fabs((double)i - (double)j) / (double)n);
    }
    double p = ks_probability(worst, 0.5 * (double)n);
    print_message("%-48s n = %6zu  D = %.5f  p = %.4f\n", what, n, worst, p);
    assert_true(p > 0.001);
}

/* Counts of `classes` outcomes (odd, so that the tail of chi-square has a closed form) against the
 * shares that they should have. */
static inline void assert_shares(const size_t *counts, const double *shares, size_t classes,
                                 const char *what)
{
    double n = 0.0, square = 0.0, term = 1.0, sum = 1.0;
    assert_true(classes % 2 == 1);
    for (size_t i = 0; i < classes; i++)
        n += (double)counts[i];
    for (size_t i = 0; i < classes; i++) {
        double difference = (double)counts[i] - n * shares[i];
        square += difference * difference / (n * shares[i]);
    }
    for (size_t k = 1; k < (classes - 1) / 2; k++) {
        term *= 0.5 * square / (double)k;
        sum += term;
    }
    double p = exp(-0.5 * square) * sum;
    print_message("%-48s n = %6.0f  X2 = %.3f  p = %.4f\n", what, n, square, p);
    assert_true(p > 0.001);
}

#endif
