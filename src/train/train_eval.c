/* Distances are sums over pairs, split over the pool by rows; each row's sum is kept and the rows
 * are added in their order, so that the number of threads changes nothing. */
#include "train_eval.h"
#include "base_math.h"
#include "field_denoise.h"
#include "train_batch.h"
#include "train_denoise.h"
#include "train_rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LARGE_BATCH 1024 /* rows that a target is taken from */

static double distance(const float *a, const float *b, size_t n)
{
    double part[8] = {0}, sum = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++) {
            float apart = a[i + k] - b[i + k];
            part[k] += (double)(apart * apart);
        }
    for (; i < n; i++)
        sum += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
    for (size_t k = 0; k < 8; k++)
        sum += part[k];
    return sqrt(sum);
}

/* ---- pairs ---- */

struct pairs {
    struct train_rows_view a, b;
    bool same; /* a is b: a row is not paired with itself */
    double *sums;
    size_t *index; /* nearest; or NULL */
};

static void pairs_task(void *context, size_t i, int thread)
{
    struct pairs *p = context;
    double sum = 0, least = INFINITY;
    (void)thread;
    for (size_t j = 0; j < p->b.count; j++) {
        if (p->same && i == j)
            continue;
        double d = distance(p->a.values + i * p->a.n, p->b.values + j * p->b.n, p->a.n);
        sum += d;
        if (p->index && d < least) {
            least = d;
            p->index[i] = j;
        }
    }
    p->sums[i] = p->index ? least : sum;
}

/* Mean distance of pairs; NaN where there is no pair. */
static int mean_distance(struct pool *pool, struct train_rows_view a, struct train_rows_view b,
                         double *out, struct err *e)
{
    struct pairs p = {a, b, a.values == b.values, calloc(a.count + 1, sizeof(double)), NULL};
    double sum = 0, count = (double)a.count * (double)(b.count - p.same);
    if (!p.sums)
        return err_fail_memory(e, (a.count + 1) * sizeof(double));
    pool_run(pool, a.count, pairs_task, &p);
    for (size_t i = 0; i < a.count; i++)
        sum += p.sums[i];
    free(p.sums);
    *out = count > 0 ? sum / count : NAN;
    return 0;
}

int train_energy_distance(struct pool *pool, struct train_rows_view a, struct train_rows_view b,
                          double *out, struct err *e)
{
    double between, within_a, within_b;
    if (mean_distance(pool, a, b, &between, e) != 0 ||
        mean_distance(pool, a, a, &within_a, e) != 0 ||
        mean_distance(pool, b, b, &within_b, e) != 0)
        return -1;
    *out = 2 * between - within_a - within_b;
    return 0;
}

void train_nearest(struct pool *pool, struct train_rows_view a, struct train_rows_view b,
                   size_t *index, double *nearest)
{
    struct pairs p = {a, b, false, nearest, index};
    pool_run(pool, a.count, pairs_task, &p);
}

/* ---- slices ---- */

struct slices {
    struct train_rows_view a, b;
    uint64_t seed;
    double *areas; /* [directions] */
    double *work;  /* [threads] a direction and both projections */
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void project(struct train_rows_view v, const double *direction, double *out)
{
    for (size_t i = 0; i < v.count; i++) {
        double sum = 0;
        for (size_t k = 0; k < v.n; k++)
            sum += direction[k] * (double)v.values[i * v.n + k];
        out[i] = sum;
    }
    qsort(out, v.count, sizeof *out, compare);
}

static void slice_task(void *context, size_t task, int thread)
{
    struct slices *s = context;
    size_t n = s->a.n, count = s->a.count;
    double *direction = s->work + (size_t)thread * (n + 2 * count), norm = 0, area = 0;
    double *one = direction + n, *two = one + count;
    rng_normals(s->seed, task, RNG_TRAIN_EVAL, n, direction);
    for (size_t k = 0; k < n; k++)
        norm += direction[k] * direction[k];
    for (size_t k = 0; k < n; k++)
        direction[k] /= sqrt(norm);
    project(s->a, direction, one);
    project(s->b, direction, two);
    for (size_t i = 0; i < count; i++)
        area += fabs(one[i] - two[i]);
    s->areas[task] = area / (double)count;
}

int train_sliced_distance(struct pool *pool, struct train_rows_view a, struct train_rows_view b,
                          int directions, uint64_t seed, double *out, struct err *e)
{
    const size_t threads = (size_t)pool_threads(pool), size = a.n + 2 * a.count;
    struct slices s = {a, b, seed, calloc((size_t)directions, sizeof(double)),
                       calloc(threads * size, sizeof(double))};
    double sum = 0;
    const int result = s.areas && s.work ? 0 : err_fail_memory(e, threads * size * sizeof(double));
    if (result == 0)
        pool_run(pool, (size_t)directions, slice_task, &s);
    for (int i = 0; result == 0 && i < directions; i++)
        sum += s.areas[i];
    *out = sum / directions;
    free(s.areas);
    free(s.work);
    return result;
}

/* ---- which images ---- */

/* All images in the order of a permutation, sorted by class (those without one first). */
static int sort_by_class(const struct data_set *d, uint64_t seed, size_t *out, struct err *e)
{
    size_t classes = d->label ? (size_t)d->classes : 0, at = 0;
    size_t *first = calloc(classes + 2, sizeof *first);
    if (!first)
        return err_fail_memory(e, (classes + 2) * sizeof *first);
    for (size_t i = 0; i < d->count && classes > 0; i++)
        first[d->label[i] + 2]++;
    for (size_t c = 0; c <= classes; c++) {
        at += first[c + 1];
        first[c + 1] = at;
    }
    for (size_t k = 0; k < d->count; k++) {
        size_t image = train_shuffle(seed, 0, d->count, k);
        out[first[classes > 0 ? (size_t)(d->label[image] + 1) : 0]++] = image;
    }
    free(first);
    return 0;
}

int train_eval_choose(const struct data_set *data, size_t n, uint64_t seed, size_t *out,
                      struct err *e)
{
    size_t *sorted = calloc(data->count, sizeof *sorted);
    int result = sorted ? 0 : err_fail_memory(e, data->count * sizeof *sorted);
    if (result == 0)
        result = sort_by_class(data, seed, sorted, e);
    /* evenly spaced places: each class gets its share, and so do even and odd places */
    for (size_t i = 0; i < n && result == 0; i++)
        out[i] = sorted[(2 * i + 1) * data->count / (2 * n)];
    free(sorted);
    return result;
}

/* ---- loss ---- */

struct losses {
    const struct model *m;
    struct train_batch *b;
    struct model_workspace **ws; /* [threads] */
    double *loss;
};

/* The batch has what a network takes; the model takes the point itself, which comes in its place.
 */
static void judge_denoiser(struct losses *l, size_t task, int thread)
{
    const struct train_batch *b = l->b;
    const struct train_config *c = b->config;
    float t = (float)train_denoise_sigma(c, b->t[task]), *denoised = b->clean[thread], none;
    const struct field_denoise around =
        field_denoise_at((double)t, c->sigma_data, nn_arch_of_vectors(&c->arch));
    float *point = b->values + task * b->n;
    for (size_t i = 0; i < b->n; i++)
        point[i] = (float)((double)point[i] / around.in);
    model_field(l->m, l->ws[thread], 1, &b->x[task], &t, NULL, &denoised, &none);
    l->loss[task] =
        train_denoise_judge(c, b->n, point, b->t[task], b->target + task * (b->n + 1), denoised);
}

static void loss_task(void *context, size_t task, int thread)
{
    struct losses *l = context;
    size_t n = l->b->n;
    const float *target = l->b->target + task * (n + 1);
    float *v_x = l->b->clean[thread], v_t;
    if (l->b->config->objective == TRAIN_OBJECTIVE_PFGMPP) {
        judge_denoiser(l, task, thread);
        return;
    }
    model_field(l->m, l->ws[thread], 1, &l->b->x[task], &l->b->t[task], NULL, &v_x, &v_t);
    l->loss[task] = train_loss(n, target, v_x, v_t, 1, NULL, NULL);
}

static void add_losses(const struct losses *l, const struct train_config *c, int count,
                       struct train_eval_loss *out)
{
    double low = math_log(c->t_min), high = math_log(c->t_max);
    for (int i = 0; i < count; i++) {
        bool denoise = c->objective == TRAIN_OBJECTIVE_PFGMPP;
        double t = denoise ? train_denoise_sigma(c, l->b->t[i]) : (double)l->b->t[i];
        double place = (math_log(t) - low) / (high - low) * TRAIN_EVAL_BINS;
        int bin = place < 0 ? 0 : place < TRAIN_EVAL_BINS ? (int)place : TRAIN_EVAL_BINS - 1;
        out->bin[bin].loss += l->loss[i];
        out->bin[bin].count++;
        out->mean += l->loss[i];
    }
}

static int run_losses(struct losses *l, struct train_config *c, const struct data_set *data,
                      struct pool *pool, size_t points, struct train_eval_loss *out, struct err *e)
{
    struct train_batch b;
    int result = train_batch_init(&b, c, data, nn_kernel_resolve(NN_KERNEL_AUTO), pool, e);
    l->b = &b;
    l->loss = calloc((size_t)c->batch, sizeof *l->loss);
    if (result == 0 && !l->loss)
        result = err_fail_memory(e, (size_t)c->batch * sizeof *l->loss);
    for (size_t done = 0, step = 0; result == 0 && done < points; done += (size_t)b.count) {
        const size_t left = points - done, count = left < (size_t)b.count ? left : (size_t)b.count;
        train_batch_make(&b, (int64_t)step++);
        pool_run(pool, count, loss_task, l);
        add_losses(l, c, (int)count, out);
    }
    free(l->loss);
    train_batch_clear(&b);
    return result;
}

static void settle_loss(const struct train_config *c, struct train_eval_loss *out)
{
    double low = math_log(c->t_min), width = (math_log(c->t_max) - low) / TRAIN_EVAL_BINS;
    size_t count = 0;
    for (int k = 0; k < TRAIN_EVAL_BINS; k++) {
        count += out->bin[k].count;
        out->bin[k].t_low = math_exp(low + k * width);
        out->bin[k].t_high = math_exp(low + (k + 1) * width);
        out->bin[k].loss = out->bin[k].count ? out->bin[k].loss / (double)out->bin[k].count : NAN;
    }
    out->mean /= (double)count;
}

/* Pictures of the objective direct have a field of any length, and only this tells them from those
 * of pfgm. */
static bool may_be_direct(const struct model *m)
{
    const struct ckpt_description *d = model_description(m);
    return !model_denoises(m) && !model_vectors(m) && d->gamma == 0 && d->t_substitution == 0 &&
           model_dimension(m) <= TRAIN_DIRECT_DIMENSION_MAX;
}

const char *train_eval_no_loss(const struct model *m)
{
    const struct ckpt_description *d = model_description(m);
    return d->family == CKPT_FAMILY_EXACT ? "the field is exact"
           : *d->teacher_sha256           ? "a student has learned a path, and no field"
           : may_be_direct(m) ? "its field may be of the objective direct, and have any length"
           : model_class_count(m) > 0 && !model_null_class(m)
               ? "it is of no class, of which the model has learned nothing"
               : NULL;
}

int train_eval_loss(const struct model *m, struct pool *pool, const struct data_set *held_out,
                    size_t points, uint64_t seed, struct train_eval_loss *out, struct err *e)
{
    const struct ckpt_description *d = model_description(m);
    struct train_config c = {.sigma = d->sigma,
                             .tau = d->tau,
                             .gamma = d->gamma,
                             .m = d->m,
                             .restrict_m = true,
                             .t_max = d->t_max,
                             .t_min = d->t_min,
                             .arch = d->arch,
                             .objective =
                                 model_denoises(m) ? TRAIN_OBJECTIVE_PFGMPP : TRAIN_OBJECTIVE_PFGM,
                             .added = d->added,
                             .sigma_data = d->sigma_data,
                             .log_sigma_mean = train_config_noise_mean(d->sigma_data),
                             .log_sigma_deviation = TRAIN_NOISE_DEVIATION,
                             .batch = points < 64 ? (int64_t)points : 64,
                             .large_batch = LARGE_BATCH,
                             .seed = seed};
    int threads = pool_threads(pool), result = 0;
    struct losses l = {.m = m, .ws = calloc((size_t)threads, sizeof *l.ws)};
    *out = (struct train_eval_loss){0};
    if (!l.ws)
        return err_fail_memory(e, (size_t)threads * sizeof *l.ws);
    for (int i = 0; i < threads && result == 0; i++)
        result = (l.ws[i] = model_workspace_new(m, 1, e)) ? 0 : -1;
    if (result == 0)
        result = run_losses(&l, &c, held_out, pool, points, out, e);
    if (result == 0)
        settle_loss(&c, out);
    for (int i = 0; i < threads; i++)
        model_workspace_free(l.ws[i]);
    free(l.ws);
    return result;
}
