/* Elementary functions whose bits do not depend on the machine.
 *
 * The C library picks among several versions of exp, log, sin and cos by the processor it finds
 * (with and without fused multiply-add), and they differ in the last bit. An image's bytes must be
 * the same on every machine that runs the same kernel, so what feeds a sample uses these: plain
 * double arithmetic in a fixed order, compiled without contraction. sqrt, fabs and floor are exact
 * in IEEE 754 and may be called directly. Errors are below 2 units in the last place. */
#ifndef BASE_MATH_H
#define BASE_MATH_H

/* e^x. Overflow gives +inf, underflow gradually 0, NaN stays NaN. */
double math_exp(double x);
/* ln x for x > 0; -inf at 0; NaN below. Subnormals are handled. */
double math_log(double x);
/* sin(2πu) and cos(2πu), 0 ≤ u < 1: the angle is reduced exactly, in turns. */
void math_sincos_turn(double u, double *sine, double *cosine);
/* x^y for x > 0, as exp(y ln x): relative error about 2^-52 · |y ln x|. */
double math_pow(double x, double y);
/* ln Γ(x) for x > 0, to 2e-14 of max(1, |ln Γ|). */
double math_lgamma(double x);

#endif
