/* What the files of the cloud share: how it lies in memory, and what a thread brings. Inside the
 * room only. A cloud is read-only once it is made, a scratch belongs to one thread. */
#ifndef FIELD_CLOUD_INTERNAL_H
#define FIELD_CLOUD_INTERNAL_H

#include "field_cloud_kernels.h"

#define LANES FIELD_CLOUD_LANES

struct field_cloud {
    size_t d, blocks, bytes;
    float power; /* (d + 1) / 2 */
    int halves;  /* d + 1 where plain powers make the weights, else 0 */
    float *points, *own;
    size_t *begin; /* [groups + 1], blocks; what has no group lies behind the last one */
    int groups;
    double *centre, radius, deviation;
    const struct field_cloud_kernels *kernels;
};

enum { DERIVATIVE_ROWS = 3, DERIVATIVE_VECTORS = 2 };

struct field_cloud_scratch {
    int batch;
    size_t stride; /* floats of one question's weights */
    float *weights, *x, *lanes;
    float *number; /* [batch] least square, then largest log weight */
    double *total;
    /* of derivatives: [DERIVATIVE_ROWS, stride], [DERIVATIVE_VECTORS, d], [d] */
    float *rows, *vectors;
    double *sum;
};

/* The blocks that count for a question, cut to [begin, end): false when none is left. */
static inline bool field_cloud_part(const struct field_cloud *c, int group, size_t begin,
                                    size_t end, size_t *first, size_t *count)
{
    size_t low = group == FIELD_CLOUD_NONE ? 0 : c->begin[group];
    size_t high = group == FIELD_CLOUD_NONE ? c->blocks : c->begin[group + 1];
    low = low > begin ? low : begin;
    high = high < end ? high : end;
    *first = low;
    *count = high > low ? high - low : 0;
    return *count > 0;
}

#endif
