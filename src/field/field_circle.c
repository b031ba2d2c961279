/* Great circles by the angle between two unit vectors u and v,
 *
 *     w = (sin((1-s)θ) u + sin(sθ) v) / sin θ,
 *
 * which Shoemake ("Animating rotation with quaternion curves", SIGGRAPH 1985) calls slerp. θ comes
 * from its half, whose sine and cosine are |u - v|/2 and |u + v|/2: exact for close vectors and for
 * nearly opposite ones, where the arc cosine of u·v has lost half its digits. */
#include "field_circle.h"

#include "base_math.h"
#include "base_rng.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define TURN 6.283185307179586476925
#define CLOSE 1e-7 /* sin θ below which both are one direction, or opposite ones */

/* Scaled by the largest element, so that no square overflows. */
static double norm(size_t d, const double *x)
{
    double largest = 0.0, sum = 0.0;
    for (size_t i = 0; i < d; i++)
        largest = fmax(largest, fabs(x[i]));
    if (largest == 0.0)
        return 0.0;
    for (size_t i = 0; i < d; i++)
        sum += x[i] / largest * (x[i] / largest);
    return largest * sqrt(sum);
}

/* The angle, in turns, whose sine and cosine are as y to x; 0 to a quarter. Each round of
 * Newton's method on the sine of what is missing cubes the error, which is at most an eighth of a
 * turn at first. */
static double angle_of(double y, double x)
{
    const double length = sqrt(x * x + y * y);
    double turns = 0.125, sine, cosine;
    for (int round = 0; round < 6; round++) {
        math_sincos_turn(turns, &sine, &cosine);
        turns += (y * cosine - x * sine) / length / TURN;
        turns = fmin(fmax(turns, 0.0), 0.25);
    }
    return turns;
}

/* Half a turn from a to -a by way of a direction e that is drawn: out = cos(πs) u + sin(πs) e,
 * times `length`. */
static void go_around(size_t d, const double *a, double a_norm, double s, uint64_t seed,
                      double length, double *out)
{
    double sine, cosine, along = 0.0, square = 0.0;
    rng_normals(seed, 0, RNG_CIRCLE, d, out);
    for (size_t i = 0; i < d; i++)
        along += out[i] * (a[i] / a_norm);
    for (size_t i = 0; i < d; i++) {
        out[i] -= along * (a[i] / a_norm);
        square += out[i] * out[i];
    }
    const double size = sqrt(square);
    math_sincos_turn(s / 2.0, &sine, &cosine);
    for (size_t i = 0; i < d; i++)
        out[i] = length * (cosine * (a[i] / a_norm) + sine * (out[i] / size));
}

/* Half the angle between the directions of a and b, in turns; both have a norm. */
static double half_angle(size_t d, const double *a, double a_norm, const double *b, double b_norm)
{
    double apart = 0.0, together = 0.0;
    for (size_t i = 0; i < d; i++) {
        const double u = a[i] / a_norm, v = b[i] / b_norm;
        apart += (u - v) * (u - v);
        together += (u + v) * (u + v);
    }
    return angle_of(sqrt(apart), sqrt(together));
}

void field_circle_between(size_t d, const double *a, const double *b, double s, uint64_t seed,
                          double *out)
{
    if (s <= 0.0 || s >= 1.0) {
        memcpy(out, s <= 0.0 ? a : b, d * sizeof *out);
        return;
    }
    const double a_norm = norm(d, a), b_norm = norm(d, b);
    const double length = (1.0 - s) * a_norm + s * b_norm;
    const bool directed = a_norm > 0.0 && b_norm > 0.0;
    const double half = directed ? half_angle(d, a, a_norm, b, b_norm) : 0.0;
    double sine, of_a, of_b, ignored;
    math_sincos_turn(2.0 * half, &sine, &ignored);
    math_sincos_turn(2.0 * half * (1.0 - s), &of_a, &ignored);
    math_sincos_turn(2.0 * half * s, &of_b, &ignored);
    if (fabs(sine) >= CLOSE) {
        for (size_t i = 0; i < d; i++)
            out[i] = length * (of_a / sine * (a[i] / a_norm) + of_b / sine * (b[i] / b_norm));
    } else if (half > 0.125 && d > 1) {
        go_around(d, a, a_norm, s, seed, length, out);
    } else {
        for (size_t i = 0; i < d; i++) /* along one line, or from or to 0 */
            out[i] = (1.0 - s) * a[i] + s * b[i];
    }
}
