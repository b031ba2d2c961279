/* The exact field's derivatives, in closed form.
 *
 * With π_i = w_i / Σ w and log w_i = log weight_i − (d+1)/2 · log q_i, q_i = ‖x − y_i‖² + t², the
 * gradient of log w_i is −(d+1)(x − y_i)/q_i, hence of x̂ = Σ π y
 *
 *     Jᵀc  = −(d+1) Σ π_i ((y_i − x̂)·c) (x − y_i)/q_i,
 *     tr J = −(d+1) Σ π_i (y_i − x̂)·(x − y_i)/q_i.
 *
 * Near a source nearly all weight is its own, y_i − x̂ all but vanishes and 1/q_i is large: the
 * difference of two rounded numbers would then be the whole answer. So all is told from the
 * heaviest source y*: with u_i = y_i − y* and ū = Σ π u, y_i − x̂ is u_i − ū, where only the others
 * add to ū.
 *
 * One question after the other, for each reads the points two to four times. Any thread, with its
 * scratch; sums in order, so the bits depend on the question alone. */
#include "field_cloud_internal.h"

#include <math.h>
#include <string.h>

/* A question's sources and what was found for them. */
struct view {
    const struct field_cloud *c;
    struct field_cloud_scratch *s;
    const float *points, *weights, *x; /* of the blocks that count */
    size_t blocks;
    float t_square;
    double total;
    float *squares, *dots, *lengths; /* rows of the scratch */
    float *heaviest, *direction;     /* vectors of the scratch: y*, and one to look along */
};

static struct view view_of(const struct field_cloud *c, struct field_cloud_scratch *s, int i,
                           const struct field_cloud_query *query)
{
    struct view v = {.c = c, .s = s, .x = s->x + (size_t)i * c->d, .total = s->total[i]};
    size_t first, heaviest = 0;
    /* a group has a block at least, so there is one */
    field_cloud_part(c, query->group, 0, c->blocks, &first, &v.blocks);
    v.points = c->points + first * c->d * LANES;
    v.weights = s->weights + (size_t)i * s->stride + first * LANES;
    v.t_square = (float)query->t * (float)query->t;
    v.squares = s->rows;
    v.dots = s->rows + s->stride;
    v.lengths = s->rows + 2 * s->stride;
    v.heaviest = s->vectors;
    v.direction = s->vectors + c->d;
    for (size_t k = 1; k < v.blocks * LANES; k++)
        heaviest = v.weights[k] > v.weights[heaviest] ? k : heaviest;
    const float *block = v.points + heaviest / LANES * c->d * LANES + heaviest % LANES;
    for (size_t j = 0; j < c->d; j++)
        v.heaviest[j] = block[j * LANES];
    c->kernels->distances(v.points, c->d, v.blocks, v.x, v.t_square, v.squares);
    return v;
}

/* (u_i − ū)·direction in the place of dots; then Jᵀ of that direction. */
static void product(const struct view *v, const double *cotangent, double *out)
{
    const size_t d = v->c->d, sources = v->blocks * LANES;
    double largest = 0.0, mean = 0.0;
    for (size_t j = 0; j < d; j++) /* a NaN stays */
        largest = fabs(cotangent[j]) <= largest ? largest : fabs(cotangent[j]);
    for (size_t j = 0; j < d; j++)
        v->direction[j] = largest > 0.0 ? (float)(cotangent[j] / largest) : 0.0f;
    v->c->kernels->along(v->points, d, v->blocks, v->weights, v->heaviest, v->direction, v->dots);
    for (size_t k = 0; k < sources; k++)
        mean += (double)v->weights[k] * (double)v->dots[k];
    mean /= v->total;
    for (size_t k = 0; k < sources; k++)
        v->dots[k] =
            (float)((double)v->weights[k] * ((double)v->dots[k] - mean) / (double)v->squares[k]);
    v->c->kernels->offset(v->points, d, v->blocks, v->dots, v->x, v->s->lanes, v->s->sum);
    const double factor = ((double)d + 1.0) / v->total * largest;
    for (size_t j = 0; j < d; j++)
        out[j] = factor * v->s->sum[j];
}

/* With X = x − y*: (u_i − ū)·(X − u_i) = u_i·(X + ū) − ‖u_i‖² − ū·X. */
static double divergence(const struct view *v)
{
    const size_t d = v->c->d, sources = v->blocks * LANES;
    double across = 0.0, sum = 0.0;
    v->c->kernels->offset(v->points, d, v->blocks, v->weights, v->heaviest, v->s->lanes, v->s->sum);
    for (size_t j = 0; j < d; j++) {
        double mean = v->s->sum[j] / v->total, to_x = (double)v->x[j] - (double)v->heaviest[j];
        across += mean * to_x;
        v->direction[j] = (float)(to_x + mean);
    }
    v->c->kernels->along(v->points, d, v->blocks, v->weights, v->heaviest, v->direction, v->dots);
    v->c->kernels->distances(v->points, d, v->blocks, v->heaviest, 0.0f, v->lengths);
    for (size_t k = 0; k < sources; k++)
        if (v->weights[k] != 0.0f)
            sum += (double)v->weights[k] * ((double)v->dots[k] - (double)v->lengths[k] - across) /
                   (double)v->squares[k];
    return -((double)d + 1.0) * sum / v->total;
}

static bool all_finite(const double *values, size_t n)
{
    bool all = true;
    for (size_t j = 0; j < n; j++)
        all = all && isfinite(values[j]);
    return all;
}

void field_cloud_differentiate(const struct field_cloud *c, struct field_cloud_scratch *s, int n,
                               const struct field_cloud_query *queries,
                               const struct field_cloud_derivative *derivatives)
{
    field_cloud_predict(c, s, n, queries);
    for (int i = 0; i < n; i++) {
        const struct field_cloud_derivative *wanted = &derivatives[i];
        const struct view v = view_of(c, s, i, &queries[i]);
        const bool known = all_finite(queries[i].x, c->d);
        if (wanted->divergence)
            *wanted->divergence = known ? divergence(&v) : (double)NAN;
        if (!wanted->cotangent)
            continue;
        if (known && all_finite(wanted->cotangent, c->d)) {
            product(&v, wanted->cotangent, wanted->product);
            continue;
        }
        for (size_t j = 0; j < c->d; j++)
            wanted->product[j] = (double)NAN;
    }
}
