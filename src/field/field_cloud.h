/* The exact field of many points, fast: the same log-weighted mean as field_exact.h in single
 * precision, for models that are made of the data themselves.
 *
 * Differences, not products: ‖x − y‖² by a matrix product would cancel near the data and have its
 * sources computed again; at one image a call the sum of squared differences is as fast, since
 * reading the points is what takes the time, and every distance is good to a few units in the last
 * place. It also keeps the seed rule by itself: sources lie in blocks of FIELD_CLOUD_LANES, sums
 * run over blocks in order, no product is fused, so the bits are a function of the question alone,
 * the same for any number of questions in a call and on every instruction set.
 *
 * A cloud is read-only and shared; each thread brings its scratch. */
#ifndef FIELD_CLOUD_H
#define FIELD_CLOUD_H

#include "base_err.h"
#include <stdint.h>

#define FIELD_CLOUD_LANES 16
#define FIELD_CLOUD_NONE (-1)

struct field_cloud_points {
    size_t count, d;
    const float *points;  /* [count, d] */
    const float *weights; /* [count] > 0, or NULL for equal ones */
    const int32_t *group; /* [count], 0 to groups − 1 or FIELD_CLOUD_NONE; NULL with groups 0 */
    int groups;
};

struct field_cloud;
/* Copies the points. Every group needs one; ERR_INPUT names the group or the point that is at fault
 * ("weights", "group", "points"). Free with field_cloud_free. */
struct field_cloud *field_cloud_new(const struct field_cloud_points *points, struct err *e);
void field_cloud_free(struct field_cloud *c);
size_t field_cloud_bytes(const struct field_cloud *c);
/* Weighted mean of all points [d], the largest distance of one from it, and the root of the mean
 * square of all their numbers' distances from it. */
const double *field_cloud_centre(const struct field_cloud *c);
double field_cloud_radius(const struct field_cloud *c);
double field_cloud_deviation(const struct field_cloud *c);

struct field_cloud_scratch;
/* For up to `batch` questions a call. */
struct field_cloud_scratch *field_cloud_scratch_new(const struct field_cloud *c, int batch,
                                                    struct err *e);
void field_cloud_scratch_free(struct field_cloud_scratch *s);

struct field_cloud_query {
    const double *x; /* [d] */
    double t;        /* > 0 */
    int group;       /* the sources that count, or FIELD_CLOUD_NONE for all */
    double
        *prediction; /* [d], out: x̂(x, t), as field_exact_prediction; NaN where x is not finite */
};
void field_cloud_predict(const struct field_cloud *c, struct field_cloud_scratch *s, int n,
                         const struct field_cloud_query *queries);

/* What is asked of the prediction's Jacobian J = ∂x̂/∂x [d, d] at a question's (x, t). */
struct field_cloud_derivative {
    const double *cotangent; /* [d], or NULL: no product */
    double *product;         /* [d], out: Jᵀ·cotangent */
    double *divergence;      /* out: the trace of J, = ∇·x̂; or NULL */
};
/* field_cloud_predict, with the same bits, and of each question its derivative: J is the covariance
 * under the sources' weights π of y and −(d+1)(x − y)/(‖x − y‖² + t²), the gradient of log π. As
 * good as the prediction for the x in single precision that it has. Costs about two predictions
 * more, whatever d; NaN where x or the cotangent is not finite. */
void field_cloud_differentiate(const struct field_cloud *c, struct field_cloud_scratch *s, int n,
                               const struct field_cloud_query *queries,
                               const struct field_cloud_derivative *derivatives);

#endif
