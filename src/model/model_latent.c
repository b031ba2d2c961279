/* Latents, the points of the plane t = T, as the prior sees them: what counts is where they lie
 * from its centre. Pictures have it at 0. Vectors lie where they lie, so there norms and directions
 * from 0 would say how far the data are from 0, and little else. */
#include "model_family.h"

#include "field_circle.h"

#include <math.h>
#include <string.h>

const double *model_prior_centre(const struct model *m)
{
    return m->family->prior_centre ? m->family->prior_centre(m) : NULL;
}

double model_prior_distance(const struct model *m, const double *x)
{
    const double *centre = model_prior_centre(m);
    double square = 0.0;
    for (size_t j = 0; j < m->dimension; j++) {
        const double offset = x[j] - (centre ? centre[j] : 0.0);
        square += offset * offset;
    }
    return sqrt(square);
}

/* The first and the last row of the path have the ends as they lie from the centre until the others
 * have been laid. */
void model_latents_between(const struct model *m, const double *ends, size_t frames, uint64_t seed,
                           double *out)
{
    const size_t d = m->dimension;
    const double *centre = model_prior_centre(m);
    double *first = out, *last = out + (frames - 1) * d;
    for (size_t j = 0; j < d; j++) {
        first[j] = ends[j] - (centre ? centre[j] : 0.0);
        last[j] = ends[d + j] - (centre ? centre[j] : 0.0);
    }
    for (size_t k = 1; k + 1 < frames; k++) {
        double *row = out + k * d;
        field_circle_between(d, first, last, (double)k / (double)(frames - 1), seed, row);
        for (size_t j = 0; centre && j < d; j++)
            row[j] += centre[j];
    }
    memcpy(first, ends, d * sizeof *out);
    memcpy(last, ends + d, d * sizeof *out);
}
