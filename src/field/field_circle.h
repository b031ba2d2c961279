/* The path between two points of the plane t = T.
 *
 * A latent of a Poisson flow is a direction, on which what the image shows depends, and a norm. The
 * straight line between two latents of high dimension passes far below both norms, where the prior
 * has no mass; so directions go along their great circle at constant speed, and norms from one to
 * the other in even steps. Both are counted from 0: whoever has a prior about another place takes
 * it off before (model_latents_between). Bits depend on the arguments alone: sines are
 * base_math.h's. Pure; any thread. */
#ifndef FIELD_CIRCLE_H
#define FIELD_CIRCLE_H

#include <stddef.h>
#include <stdint.h>

/* The point out [d] at fraction s, 0 ≤ s ≤ 1, of the path from a [d] to b [d]. All are finite;
 * `out` is neither of them. The ends are exact: s = 0 gives a and s = 1 gives b, bit for bit.
 *
 * Where the circle does not exist or is not the only one: with a norm of 0 the direction is the
 * other point's all along; opposite directions (within 1e-7 of half a turn) go by way of a
 * direction that is drawn by `seed` (normals of RNG_CIRCLE, index 0), made perpendicular to a: an
 * axis would be all of an image's weight on one pixel. With d = 1, where there is no way around,
 * straight through 0. `seed` counts in that case alone. */
void field_circle_between(size_t d, const double *a, const double *b, double s, uint64_t seed,
                          double *out);

#endif
