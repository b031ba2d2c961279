/* The exact family: the field of the data themselves, no network and no training.
 *
 * x̂(x, t) is the log-weighted mean of all sources (field_cloud.h), the slope is dx/d ln t = x − x̂,
 * and a last step to t = 0 ends on a source, or on the mean of those that t_min cannot tell apart.
 * The start is the prior about the sources' centre of mass, unclipped. With labels, a class is the
 * field of its own sources.
 *
 * The kernel id has no instruction set in it: all builds of the loops give the same bits. */
#include "model_family.h"

#include "field_cloud.h"
#include "field_prior.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_ID "exact.2"
/* Bytes come back by rounding down, so a source lies a hair above its byte's value. */
#define NUDGE 1e-4
#define SOURCES_BYTES_MAX ((size_t)16 << 30)

/* The points as the file has them, until the cloud has copied them. */
struct sources {
    size_t count;
    float *points, *weights;
    int32_t *label;
};

static void sources_clear(struct sources *s)
{
    free(s->points);
    free(s->weights);
    free(s->label);
}

static int tensor_fail(const struct ckpt_file *f, const char *name, const char *what, struct err *e)
{
    return err_fail(e, ERR_INPUT, ckpt_file_path(f), "tensor \"%s\" %s", name, what);
}

static int points_read(const struct ckpt_file *f, size_t d, struct sources *s, struct err *e)
{
    const struct ckpt_tensor *t = ckpt_file_find(f, CKPT_SOURCES);
    if (!t)
        return tensor_fail(f, CKPT_SOURCES, "is missing", e);
    if (t->rank != 2 || t->shape[0] < 1 || t->shape[1] != d)
        return tensor_fail(f, CKPT_SOURCES, "must have the shape [n, d] of the data described", e);
    if (t->count > SOURCES_BYTES_MAX / sizeof(float))
        return tensor_fail(f, CKPT_SOURCES, "holds more than 16 GiB of numbers", e);
    s->count = (size_t)t->shape[0];
    s->points = malloc((size_t)t->count * sizeof(float));
    if (!s->points)
        return err_fail_memory(e, (size_t)t->count * sizeof(float));
    if (t->dtype != CKPT_U8)
        return ckpt_tensor_to_f32(t, s->points, e);
    /* bytes are read into the end of their place and widened from its beginning on */
    unsigned char *bytes = (unsigned char *)(s->points + t->count) - t->count;
    if (ckpt_tensor_read(t, bytes, e) != 0)
        return -1;
    for (size_t i = 0; i < t->count; i++) {
        const float value = (float)(((double)bytes[i] + NUDGE) / 127.5 - 1.0);
        s->points[i] = value;
    }
    return 0;
}

static int weights_read(const struct ckpt_file *f, struct sources *s, struct err *e)
{
    const struct ckpt_tensor *t = ckpt_file_find(f, CKPT_SOURCE_WEIGHTS);
    if (!t)
        return 0;
    if (t->rank != 1 || t->shape[0] != s->count)
        return tensor_fail(f, CKPT_SOURCE_WEIGHTS, "must have one number a source", e);
    s->weights = malloc(s->count * sizeof(float));
    return s->weights ? ckpt_tensor_to_f32(t, s->weights, e)
                      : err_fail_memory(e, s->count * sizeof(float));
}

static int labels_read(const struct ckpt_file *f, int classes, struct sources *s, struct err *e)
{
    const struct ckpt_tensor *t = ckpt_file_find(f, CKPT_SOURCE_LABELS);
    if (!t != (classes == 0))
        return tensor_fail(f, CKPT_SOURCE_LABELS,
                           t ? "is there, but the description names no labels"
                             : "is missing: the description names labels",
                           e);
    if (!t)
        return 0;
    if (t->dtype != CKPT_I32 || t->rank != 1 || t->shape[0] != s->count)
        return tensor_fail(f, CKPT_SOURCE_LABELS, "must be I32, one a source", e);
    s->label = malloc(s->count * sizeof *s->label);
    if (!s->label)
        return err_fail_memory(e, s->count * sizeof *s->label);
    return ckpt_tensor_read(t, s->label, e);
}

static int exact_load(struct model *m, struct ckpt_file *f, const struct model_options *options,
                      struct err *e)
{
    const int classes = m->description.label_count;
    const size_t d = m->dimension;
    struct sources s = {0};
    (void)options; /* one kernel, one precision */
    int result = points_read(f, d, &s, e) != 0 || weights_read(f, &s, e) != 0 ||
                 labels_read(f, classes, &s, e) != 0;
    if (result == 0 &&
        ckpt_file_count(f) != 1 + (size_t)(s.weights != NULL) + (size_t)(s.label != NULL))
        result = err_fail(e, ERR_INPUT, ckpt_file_path(f),
                          "holds tensors that do not belong to an exact field: only \"" CKPT_SOURCES
                          "\", \"" CKPT_SOURCE_WEIGHTS "\" and \"" CKPT_SOURCE_LABELS "\" do");
    if (result == 0) {
        m->own = field_cloud_new(&(struct field_cloud_points){.count = s.count,
                                                              .d = d,
                                                              .points = s.points,
                                                              .weights = s.weights,
                                                              .group = s.label,
                                                              .groups = classes},
                                 e);
        result = m->own == NULL;
    }
    const char *digest = result != 0 ? NULL : ckpt_file_sha256(f, e);
    if (digest) {
        memcpy(m->sha256, digest, sizeof m->sha256);
        m->parameters = s.count * d;
        m->bytes = field_cloud_bytes(m->own);
        m->deviation = m->vectors ? field_cloud_deviation(m->own) : 0.0;
    }
    sources_clear(&s);
    return digest ? 0 : -1;
}

static void exact_unload(struct model *m)
{
    field_cloud_free(m->own);
}

static const char *exact_kernel_id(const struct model *m)
{
    (void)m;
    return KERNEL_ID;
}

static const double *exact_mean(const struct model *m)
{
    return field_cloud_centre(m->own);
}

/* The cloud's scratch, and a prediction for each question. */
struct exact_scratch {
    struct field_cloud_scratch *cloud;
    struct field_cloud_query *queries;
    struct field_cloud_derivative *derivatives;
    double *predictions, *points;
};

static void exact_workspace_clear(struct model_workspace *ws)
{
    struct exact_scratch *s = ws->own;
    if (!s)
        return;
    field_cloud_scratch_free(s->cloud);
    free(s->queries);
    free(s->derivatives);
    free(s->predictions);
    free(s->points);
    free(s);
}

static int exact_workspace_fill(const struct model *m, struct model_workspace *ws, struct err *e)
{
    const size_t batch = (size_t)ws->batch, d = m->dimension;
    struct exact_scratch *s = calloc(1, sizeof *s);
    ws->own = s;
    if (!s)
        return err_fail_memory(e, sizeof *s);
    s->cloud = field_cloud_scratch_new(m->own, ws->batch, e); /* refuses sizes that overflow */
    if (!s->cloud)
        return -1;
    s->queries = calloc(batch, sizeof *s->queries);
    s->derivatives = calloc(batch, sizeof *s->derivatives);
    s->predictions = calloc(batch * d, sizeof *s->predictions);
    s->points = calloc(batch * d, sizeof *s->points);
    return s->queries && s->derivatives && s->predictions && s->points
               ? 0
               : err_fail_memory(e, batch * d * sizeof *s->points);
}

static size_t exact_time_components(const struct model *m)
{
    (void)m;
    return 0;
}

static void exact_prior_draw(const struct model *m, const struct model_solver *solver,
                             uint64_t seed, uint64_t index, double *x)
{
    const struct field_prior prior = {
        .d = m->dimension, .t_max = solver->t_max, .norm_min = 0.0, .norm_max = INFINITY};
    const double *centre = field_cloud_centre(m->own);
    field_prior_draw(&prior, seed, index, x);
    for (size_t j = 0; j < prior.d; j++)
        x[j] += centre[j];
}

static void put_queries(const struct exact_scratch *s, size_t d, int n,
                        const struct model_query *queries)
{
    for (int i = 0; i < n; i++)
        s->queries[i] = (struct field_cloud_query){queries[i].x, queries[i].t, queries[i].label,
                                                   s->predictions + (size_t)i * d};
}

static double form_factor(const struct model_query *q)
{
    return q->form == ODE_SLOPE_DLNT ? 1.0 : 1.0 / q->t;
}

static void put_slopes(const struct exact_scratch *s, size_t d, int n,
                       const struct model_query *queries)
{
    for (int i = 0; i < n; i++) {
        const double *prediction = s->queries[i].prediction, *x = queries[i].x;
        double factor = form_factor(&queries[i]);
        for (size_t j = 0; j < d; j++)
            queries[i].slope[j] = factor * (x[j] - prediction[j]);
    }
}

static void exact_slopes(const struct model *m, struct model_workspace *ws, int n,
                         const struct model_query *queries)
{
    const size_t d = m->dimension;
    struct exact_scratch *s = ws->own;
    put_queries(s, d, n, queries);
    field_cloud_predict(m->own, s->cloud, n, s->queries);
    put_slopes(s, d, n, queries);
}

/* In closed form: the slope's Jacobian is 1 less that of the prediction. */
static void exact_slopes_vjp(const struct model *m, struct model_workspace *ws, int n,
                             const struct model_query *queries)
{
    const size_t d = m->dimension;
    struct exact_scratch *s = ws->own;
    put_queries(s, d, n, queries);
    for (int i = 0; i < n; i++)
        s->derivatives[i] = (struct field_cloud_derivative){.cotangent = queries[i].cotangent,
                                                            .product = queries[i].product};
    field_cloud_differentiate(m->own, s->cloud, n, s->queries, s->derivatives);
    put_slopes(s, d, n, queries);
    for (int i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            queries[i].product[j] =
                form_factor(&queries[i]) * (queries[i].cotangent[j] - queries[i].product[j]);
}

/* The field's direction at the length of the learned one's limit, v = √d · (x̂ − x, −t)/‖·‖. */
static void exact_field(const struct model *m, struct model_workspace *ws, int n,
                        const float *const x[], const float t[], const int32_t label[],
                        float *const v_x[], float v_t[])
{
    const size_t d = m->dimension;
    struct exact_scratch *s = ws->own;
    for (int i = 0; i < n; i++) {
        double *point = s->points + (size_t)i * d;
        for (size_t j = 0; j < d; j++)
            point[j] = (double)x[i][j];
        s->queries[i] =
            (struct field_cloud_query){point, (double)t[i], label ? label[i] : FIELD_CLOUD_NONE,
                                       s->predictions + (size_t)i * d};
    }
    field_cloud_predict(m->own, s->cloud, n, s->queries);
    for (int i = 0; i < n; i++) {
        const double *prediction = s->queries[i].prediction, *point = s->queries[i].x;
        double square = (double)t[i] * (double)t[i];
        for (size_t j = 0; j < d; j++)
            square += (prediction[j] - point[j]) * (prediction[j] - point[j]);
        double scale = sqrt((double)d / square);
        for (size_t j = 0; j < d; j++)
            v_x[i][j] = (float)(scale * (prediction[j] - point[j]));
        v_t[i] = (float)(-scale * (double)t[i]);
    }
}

const struct model_family model_family_exact = {
    .rounding = IMAGE_ROUND_PFGM,
    .to_zero = true,
    .load = exact_load,
    .unload = exact_unload,
    .kernel_id = exact_kernel_id,
    .mean = exact_mean,
    .workspace_fill = exact_workspace_fill,
    .workspace_clear = exact_workspace_clear,
    .time_components = exact_time_components,
    .prior_centre = exact_mean,
    .prior_draw = exact_prior_draw,
    .slopes = exact_slopes,
    .slopes_vjp = exact_slopes_vjp,
    .field = exact_field,
};
