/* The loops of field_cloud.c, compiled once for each instruction set from one source; all give the
 * same bits. Inside the room only.
 *
 * Points are [block][d][FIELD_CLOUD_LANES]: a lane is a source, so that sums over d need no
 * exchange between lanes. */
#ifndef FIELD_CLOUD_KERNELS_H
#define FIELD_CLOUD_KERNELS_H

#include "field_cloud.h"

struct field_cloud_kernels {
    /* out [blocks][lanes] = min(‖x − y‖² + t², FLT_MAX); the least of them. */
    float (*distances)(const float *points, size_t d, size_t blocks, const float *x, float t_square,
                       float *out);
    /* In place, squares [blocks][lanes] to log weights: own − power · ln(square / least). */
    float (*log_weights)(float *squares, const float *own, size_t blocks, float power, float least);
    /* In place, log weights to e^(log weight − largest); their sum. */
    double (*weights)(float *log_weights, size_t blocks, float largest);
    /* Both at once where the power is small and all weights are alike. In place, squares [blocks]
     * [lanes] to (least/square)^(halves/2), 0 where own < 0; their sum. */
    double (*powers)(float *squares, const float *own, size_t blocks, int halves, float least);
    /* sum [d] += Σ weight · y; `lanes` is scratch [d][lanes]. */
    void (*mean)(const float *points, size_t d, size_t blocks, const float *weights, float *lanes,
                 double *sum);
    /* For derivatives; both pass over blocks in which no source has a weight that is not 0.
     * out [blocks][lanes] = (y − origin)·direction, 0 where passed over. */
    void (*along)(const float *points, size_t d, size_t blocks, const float *weights,
                  const float *origin, const float *direction, float *out);
    /* sum [d] = Σ weight · (y − origin); `lanes` as of mean. */
    void (*offset)(const float *points, size_t d, size_t blocks, const float *weights,
                   const float *origin, float *lanes, double *sum);
};

extern const struct field_cloud_kernels field_cloud_kernels_portable;
#ifdef FIELD_HAVE_X86
extern const struct field_cloud_kernels field_cloud_kernels_avx2;
extern const struct field_cloud_kernels field_cloud_kernels_avx512;
#endif
/* The widest that this machine runs. */
const struct field_cloud_kernels *field_cloud_kernels_best(void);

#endif
