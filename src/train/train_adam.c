/* Plain loops that a compiler may widen: no sum crosses elements except in the norm, whose pieces
 * are added in their order. */
#include "train_adam.h"
#include "base_math.h"
#include <math.h>
#include <stdlib.h>

#define PIECE ((size_t)16384)
#define BETA1 0.9
#define BETA2 0.999
#define EPSILON 1e-8

struct norm {
    const float *gradient;
    size_t count;
    double sums[64]; /* of pieces task, task + 64, … */
};

static double piece_square(const float *g, size_t count)
{
    double part[8] = {0}, sum = 0;
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        for (size_t k = 0; k < 8; k++)
            part[k] += (double)g[i + k] * (double)g[i + k];
    for (; i < count; i++)
        sum += (double)g[i] * (double)g[i];
    for (size_t k = 0; k < 8; k++)
        sum += part[k];
    return sum;
}

static void norm_task(void *context, size_t task, int thread)
{
    struct norm *n = context;
    (void)thread;
    for (size_t first = task * PIECE; first < n->count; first += 64 * PIECE) {
        size_t left = n->count - first;
        n->sums[task] += piece_square(n->gradient + first, left < PIECE ? left : PIECE);
    }
}

double train_gradient_norm(struct pool *pool, const float *gradient, size_t count)
{
    struct norm n = {.gradient = gradient, .count = count};
    double sum = 0;
    pool_run(pool, 64, norm_task, &n);
    for (size_t i = 0; i < 64; i++)
        sum += n.sums[i];
    return sqrt(sum);
}

struct update {
    struct train_adam *a;
    const struct train_adam_step *s;
    float scale, rate, root;
};

/* Moves an average's values from `first` on towards the weights. */
static void follow(const struct train_average *average, int64_t step, size_t first,
                   const float *restrict weights, size_t count)
{
    const double n = (double)step, ramp = (1 + n) / (10 + n);
    const double rate = average->ramp && ramp < average->rate ? ramp : average->rate;
    const float keep = (float)(1 - rate);
    float *restrict values = average->values + first;
    for (size_t i = 0; i < count; i++)
        values[i] -= keep * (values[i] - weights[i]);
}

static void update_task(void *context, size_t task, int thread)
{
    const struct update *u = context;
    size_t first = task * PIECE, left = u->a->count - first, count = left < PIECE ? left : PIECE;
    float *restrict w = u->a->weights + first, *restrict mean = u->a->mean + first;
    float *restrict square = u->a->square + first;
    const float *restrict gradient = u->s->gradient + first;
    (void)thread;
    for (size_t i = 0; i < count; i++) {
        float g = gradient[i] * u->scale;
        mean[i] = (float)BETA1 * mean[i] + (float)(1 - BETA1) * g;
        square[i] = (float)BETA2 * square[i] + (float)(1 - BETA2) * g * g;
        w[i] -= u->rate * mean[i] / (sqrtf(square[i]) * u->root + (float)EPSILON);
    }
    for (int k = 0; k < u->a->average_count; k++)
        follow(&u->a->averages[k], u->s->step, first, w, count);
}

void train_adam_update(struct pool *pool, struct train_adam *a, const struct train_adam_step *s)
{
    double n = (double)s->step;
    double correct1 = 1 - math_exp(n * math_log(BETA1)),
           correct2 = 1 - math_exp(n * math_log(BETA2));
    double scale = s->clip / (s->norm + 1e-6);
    struct update u = {.a = a,
                       .s = s,
                       .scale = (float)(scale < 1 ? scale : 1),
                       .rate = (float)(s->rate / correct1),
                       .root = (float)(1 / sqrt(correct2))};
    pool_run(pool, (a->count + PIECE - 1) / PIECE, update_task, &u);
}
