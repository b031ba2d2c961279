/* Clouds: laying the points out in blocks, group after group, and answering questions about them.
 *
 * A group begins a block of its own; lanes left over hold weight zero (logarithm −∞ as −FLT_MAX,
 * which the exponential makes 0). Within a group sources keep the order of the file. Questions go
 * chunk by chunk over the blocks, so that points are read from memory once for all of a call. */
#include "field_cloud_internal.h"

#include "base_cpu.h"
#include "base_math.h"
#include "base_size.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* In few dimensions powers of distances are made of products, which is faster than logarithms. */
#define PLAIN_POWERS_BELOW 8
#define CHUNK_BYTES ((size_t)256 << 10) /* of points; half of a second-level cache */

const struct field_cloud_kernels *field_cloud_kernels_best(void)
{
#ifdef FIELD_HAVE_X86
    struct cpu_features features = cpu_features_get();
    if (features.avx512)
        return &field_cloud_kernels_avx512;
    if (features.avx2_fma)
        return &field_cloud_kernels_avx2;
#endif
    return &field_cloud_kernels_portable;
}

/* ---- making one ---- */

static int check(const struct field_cloud_points *p, struct err *e)
{
    if (p->count == 0 || p->d == 0)
        return err_fail(e, ERR_INPUT, "points", "there are none: a field needs a source");
    for (size_t i = 0; i < p->count; i++) {
        for (size_t j = 0; j < p->d; j++)
            if (!isfinite(p->points[i * p->d + j]))
                return err_fail(e, ERR_INPUT, "points", "point %zu is not finite", i);
        if (p->weights && !(p->weights[i] > 0 && isfinite(p->weights[i])))
            return err_fail(e, ERR_INPUT, "weights",
                            "the weight of point %zu is %g; weights are finite and above 0", i,
                            (double)p->weights[i]);
        if (p->groups > 0 && (p->group[i] < FIELD_CLOUD_NONE || p->group[i] >= p->groups))
            return err_fail(e, ERR_INPUT, "group", "point %zu has the label %d of %d", i,
                            (int)p->group[i], p->groups);
    }
    return 0;
}

static int group_of(const struct field_cloud_points *p, size_t i)
{
    if (p->groups == 0)
        return 0;
    return p->group[i] == FIELD_CLOUD_NONE ? p->groups : p->group[i];
}

/* begin [sections + 1] and the number of blocks; sections = groups and those without one. */
static int lay_sections(struct field_cloud *c, const struct field_cloud_points *p, struct err *e)
{
    size_t sections = (size_t)p->groups + 1;
    c->begin = calloc(sections + 1, sizeof *c->begin);
    if (!c->begin)
        return err_fail_memory(e, (sections + 1) * sizeof *c->begin);
    for (size_t i = 0; i < p->count; i++)
        c->begin[group_of(p, i) + 1]++;
    for (int g = 0; g < p->groups; g++)
        if (c->begin[g + 1] == 0)
            return err_fail(e, ERR_INPUT, "group", "class %d has no point", g);
    for (size_t g = 0; g < sections; g++)
        c->begin[g + 1] = c->begin[g] + (c->begin[g + 1] + LANES - 1) / LANES;
    c->blocks = c->begin[sections];
    return 0;
}

static int allocate(struct field_cloud *c, struct err *e)
{
    size_t lanes, floats;
    if (!size_mul(c->blocks, LANES, &lanes) || !size_mul(lanes, c->d + 1, &floats) ||
        !size_mul(floats, sizeof(float), &c->bytes))
        return err_fail(e, ERR_LIMIT, "points", "%zu blocks of %zu numbers are too many", c->blocks,
                        c->d);
    c->points = calloc(lanes * c->d, sizeof(float));
    c->own = malloc(lanes * sizeof(float));
    c->centre = calloc(c->d, sizeof *c->centre);
    if (!c->points || !c->own || !c->centre)
        return err_fail_memory(e, c->bytes);
    for (size_t i = 0; i < lanes; i++)
        c->own[i] = -FLT_MAX;
    return 0;
}

static int place_points(struct field_cloud *c, const struct field_cloud_points *p, struct err *e)
{
    size_t sections = (size_t)p->groups + 1;
    size_t *next = malloc(sections * sizeof *next);
    if (!next)
        return err_fail_memory(e, sections * sizeof *next);
    for (size_t g = 0; g < sections; g++)
        next[g] = c->begin[g] * LANES;
    for (size_t i = 0; i < p->count; i++) {
        size_t place = next[group_of(p, i)]++;
        float *block = c->points + place / LANES * c->d * LANES + place % LANES;
        for (size_t j = 0; j < c->d; j++)
            block[j * LANES] = p->points[i * c->d + j];
        c->own[place] = p->weights ? (float)math_log((double)p->weights[i]) : 0.0f;
    }
    /* what is left over repeats the section's first point, so that no distance is odd */
    for (size_t g = 0; g < sections; g++) {
        const float *first = c->points + c->begin[g] * c->d * LANES;
        for (size_t place = next[g]; place < c->begin[g + 1] * LANES; place++)
            for (size_t j = 0; j < c->d; j++)
                c->points[(place / LANES * c->d + j) * LANES + place % LANES] = first[j * LANES];
    }
    free(next);
    return 0;
}

static double weight_of(const struct field_cloud_points *p, size_t i)
{
    return p->weights ? (double)p->weights[i] : 1.0;
}

static void measure(struct field_cloud *c, const struct field_cloud_points *p)
{
    double total = 0.0, squares = 0.0;
    for (size_t i = 0; i < p->count; i++) {
        double w = weight_of(p, i);
        total += w;
        for (size_t j = 0; j < c->d; j++)
            c->centre[j] += w * (double)p->points[i * c->d + j];
    }
    for (size_t j = 0; j < c->d; j++)
        c->centre[j] /= total;
    for (size_t i = 0; i < p->count; i++) {
        double square = 0.0;
        for (size_t j = 0; j < c->d; j++) {
            double difference = (double)p->points[i * c->d + j] - c->centre[j];
            square += difference * difference;
        }
        c->radius = fmax(c->radius, sqrt(square));
        squares += weight_of(p, i) * square;
    }
    c->deviation = sqrt(squares / total / (double)c->d);
}

struct field_cloud *field_cloud_new(const struct field_cloud_points *points, struct err *e)
{
    struct field_cloud *c = calloc(1, sizeof *c);
    if (!c) {
        err_fail_memory(e, sizeof *c);
        return NULL;
    }
    c->d = points->d;
    c->groups = points->groups;
    c->power = (float)(0.5 * ((double)points->d + 1.0));
    c->halves = points->d < PLAIN_POWERS_BELOW && !points->weights ? (int)points->d + 1 : 0;
    c->kernels = field_cloud_kernels_best();
    if (check(points, e) != 0 || lay_sections(c, points, e) != 0 || allocate(c, e) != 0 ||
        place_points(c, points, e) != 0) {
        field_cloud_free(c);
        return NULL;
    }
    measure(c, points);
    return c;
}

void field_cloud_free(struct field_cloud *c)
{
    if (!c)
        return;
    free(c->points);
    free(c->own);
    free(c->begin);
    free(c->centre);
    free(c);
}

size_t field_cloud_bytes(const struct field_cloud *c)
{
    return c->bytes;
}

const double *field_cloud_centre(const struct field_cloud *c)
{
    return c->centre;
}

double field_cloud_radius(const struct field_cloud *c)
{
    return c->radius;
}

double field_cloud_deviation(const struct field_cloud *c)
{
    return c->deviation;
}

/* ---- scratch ---- */

struct field_cloud_scratch *field_cloud_scratch_new(const struct field_cloud *c, int batch,
                                                    struct err *e)
{
    struct field_cloud_scratch *s = calloc(1, sizeof *s);
    size_t count = (size_t)batch, floats;
    if (!s) {
        err_fail_memory(e, sizeof *s);
        return NULL;
    }
    s->batch = batch;
    s->stride = c->blocks * LANES;
    /* beside each question's weights and point, what derivatives of one need */
    if (batch < 1 || !size_mul(count + DERIVATIVE_ROWS, s->stride + c->d + 1, &floats) ||
        !size_mul(floats, sizeof(float), &floats)) {
        err_fail(e, ERR_LIMIT, "batch", "%d questions are too many for one call", batch);
        free(s);
        return NULL;
    }
    s->weights = malloc(count * s->stride * sizeof(float));
    s->x = malloc(count * c->d * sizeof(float));
    s->lanes = malloc(c->d * LANES * sizeof(float));
    s->number = malloc(count * sizeof *s->number);
    s->total = malloc(count * sizeof *s->total);
    s->rows = malloc(DERIVATIVE_ROWS * s->stride * sizeof(float));
    s->vectors = malloc(DERIVATIVE_VECTORS * c->d * sizeof(float));
    s->sum = malloc(c->d * sizeof *s->sum);
    if (s->weights && s->x && s->lanes && s->number && s->total && s->rows && s->vectors && s->sum)
        return s;
    err_fail_memory(e, floats);
    field_cloud_scratch_free(s);
    return NULL;
}

void field_cloud_scratch_free(struct field_cloud_scratch *s)
{
    if (!s)
        return;
    free(s->weights);
    free(s->x);
    free(s->lanes);
    free(s->number);
    free(s->total);
    free(s->rows);
    free(s->vectors);
    free(s->sum);
    free(s);
}

/* ---- questions ---- */

static void measure_distances(const struct field_cloud *c, struct field_cloud_scratch *s, int n,
                              const struct field_cloud_query *queries, size_t begin, size_t end)
{
    for (int i = 0; i < n; i++) {
        size_t first, count;
        float t = (float)queries[i].t;
        if (!field_cloud_part(c, queries[i].group, begin, end, &first, &count))
            continue;
        float least = c->kernels->distances(c->points + first * c->d * LANES, c->d, count,
                                            s->x + (size_t)i * c->d, t * t,
                                            s->weights + (size_t)i * s->stride + first * LANES);
        s->number[i] = least < s->number[i] ? least : s->number[i];
    }
}

/* From squares to weights, over all blocks of each question. */
static void weigh(const struct field_cloud *c, struct field_cloud_scratch *s, int n,
                  const struct field_cloud_query *queries)
{
    for (int i = 0; i < n; i++) {
        size_t first, count;
        if (!field_cloud_part(c, queries[i].group, 0, c->blocks, &first, &count))
            continue;
        float *w = s->weights + (size_t)i * s->stride + first * LANES;
        if (c->halves > 0) {
            s->total[i] =
                c->kernels->powers(w, c->own + first * LANES, count, c->halves, s->number[i]);
            continue;
        }
        float largest =
            c->kernels->log_weights(w, c->own + first * LANES, count, c->power, s->number[i]);
        s->total[i] = c->kernels->weights(w, count, largest);
    }
}

static void add_means(const struct field_cloud *c, struct field_cloud_scratch *s, int n,
                      const struct field_cloud_query *queries, size_t begin, size_t end)
{
    for (int i = 0; i < n; i++) {
        size_t first, count;
        if (field_cloud_part(c, queries[i].group, begin, end, &first, &count))
            c->kernels->mean(c->points + first * c->d * LANES, c->d, count,
                             s->weights + (size_t)i * s->stride + first * LANES, s->lanes,
                             queries[i].prediction);
    }
}

void field_cloud_predict(const struct field_cloud *c, struct field_cloud_scratch *s, int n,
                         const struct field_cloud_query *queries)
{
    size_t block_bytes = c->d * LANES * sizeof(float);
    size_t chunk = block_bytes < CHUNK_BYTES ? CHUNK_BYTES / block_bytes : 1;
    for (int i = 0; i < n; i++) {
        for (size_t j = 0; j < c->d; j++) {
            s->x[(size_t)i * c->d + j] = (float)queries[i].x[j];
            queries[i].prediction[j] = 0.0;
        }
        s->number[i] = FLT_MAX;
    }
    for (size_t begin = 0; begin < c->blocks; begin += chunk)
        measure_distances(c, s, n, queries, begin, begin + chunk);
    weigh(c, s, n, queries);
    for (size_t begin = 0; begin < c->blocks; begin += chunk)
        add_means(c, s, n, queries, begin, begin + chunk);
    for (int i = 0; i < n; i++)
        for (size_t j = 0; j < c->d; j++)
            /* a point that is not finite has no field: it shows */
            queries[i].prediction[j] =
                isfinite(queries[i].x[j]) ? queries[i].prediction[j] / s->total[i] : (double)NAN;
}
