/* Group norm with SiLU, SiLU alone, bf16's parts, and resampling: work on each pixel's channels,
 * vector by vector.
 *
 * Group norm goes over an image three times: sums, squares about the mean, and the result. A row is
 * summed in single precision, pixel by pixel in each lane, and the rows in double; then lanes are
 * gathered into groups in the order of channels. So what belongs to a group depends on its own
 * lanes alone, and threads may share an image between them by whole groups. */
#include "nn_vector.h"
#include <math.h>

#define COLUMNS 4 /* vectors of channels that go through an image together */

/* ---- statistics ---- */

/* sum[lane] += Σ over an image of x, or with the means Σ (x - mean)², for `vectors` vectors of
 * channels, the last one half if `half`. */
NN_INLINE void sum_columns(const float *src, size_t lanes, size_t side, const float *mean,
                           double *sum, int vectors, bool half)
{
    vec center[COLUMNS];
    for (int v = 0; v < vectors; v++)
        center[v] =
            mean ? vec_load_part(mean + v * VEC_WIDTH, half && v == vectors - 1) : vec_zero();
    for (size_t y = 0; y < side; y++) {
        vec row[COLUMNS];
        for (int v = 0; v < vectors; v++)
            row[v] = vec_zero();
        for (size_t x = 0; x < side; x++, src += lanes)
            for (int v = 0; v < vectors; v++) {
                vec value = vec_load_part(src + v * VEC_WIDTH, half && v == vectors - 1);
                vec apart = vec_sub(value, center[v]);
                row[v] = mean ? vec_fma(apart, apart, row[v]) : vec_add(row[v], value);
            }
        for (int v = 0; v < vectors - half; v++)
            vec_add_to(sum + v * VEC_WIDTH, row[v]);
        if (half)
            vec_add_to_half(sum + (vectors - 1) * VEC_WIDTH, row[vectors - 1]);
    }
}

#define SUM_CASE(vectors, half)                                                                    \
    case 2 * vectors - half:                                                                       \
        if (mean)                                                                                  \
            sum_columns(src, lanes, side, mean, sum, vectors, half);                               \
        else                                                                                       \
            sum_columns(src, lanes, side, NULL, sum, vectors, half);                               \
        return (vectors)*VEC_WIDTH;

/* The next columns of a part, at most COLUMNS vectors; returns how many lanes it took or more. */
static size_t sum_some(const float *src, size_t lanes, size_t left, size_t side, const float *mean,
                       double *sum)
{
    size_t halves = 2 * left / VEC_WIDTH;
    switch (halves < 2 * COLUMNS ? halves : 2 * COLUMNS) {
        SUM_CASE(1, 1)
        SUM_CASE(1, 0)
        SUM_CASE(2, 1)
        SUM_CASE(2, 0)
        SUM_CASE(3, 1)
        SUM_CASE(3, 0)
        SUM_CASE(4, 1)
    default:
        if (mean)
            sum_columns(src, lanes, side, mean, sum, COLUMNS, false);
        else
            sum_columns(src, lanes, side, NULL, sum, COLUMNS, false);
        return COLUMNS * VEC_WIDTH;
    }
}

/* Lanes [first, last) of all parts together, whole groups and a multiple of NN_LANES. */
struct span {
    size_t first, last;
};

/* What of a span lies in the part whose lanes begin at `before`, counted from there. */
static struct span span_in_part(struct span s, size_t before, size_t lanes)
{
    size_t first = s.first > before ? s.first - before : 0;
    size_t last = s.last > before ? s.last - before : 0;
    return (struct span){first < lanes ? first : lanes, last < lanes ? last : lanes};
}

/* Per lane, then per group. */
static void group_sums(const struct nn_norm *p, size_t image, struct span span, const float *mean,
                       double *sum, double *group)
{
    const struct nn_norm_weights *w = p->weights;
    size_t before = 0;
    memset(sum + span.first, 0, (span.last - span.first) * sizeof *sum);
    memset(group, 0, NN_GROUPS_MAX * sizeof *group);
    for (int k = 0; k < p->parts; k++) {
        size_t lanes = p->part[k].lanes;
        struct span part = span_in_part(span, before, lanes);
        const float *src = p->part[k].src + image * p->side * p->side * lanes;
        for (size_t c = part.first; c < part.last;)
            c += sum_some(src + c, lanes, part.last - c, p->side, mean ? mean + before + c : NULL,
                          sum + before + c);
        before += lanes;
    }
    for (size_t c = span.first; c < span.last; c++)
        if (w->group[c] >= 0)
            group[w->group[c]] += sum[c];
}

/* ---- the result ---- */

NN_INLINE vec activate(vec x, vec scale, vec shift, bool silu)
{
    vec v = vec_fma(x, scale, shift);
    return silu ? vec_silu(v) : v;
}

/* Channels [first, last) of a pixel, whole vectors. */
NN_INLINE void apply_pixel(const float *src, const struct vec_sink *to, size_t at, size_t first,
                           size_t last, const float *scale, const float *shift, bool silu,
                           int terms)
{
    for (size_t c = first; c < last; c += VEC_WIDTH)
        vec_sink_store(to, at + c,
                       activate(vec_load(src + c), vec_load(scale + c), vec_load(shift + c), silu),
                       false, terms);
}

/* Where a row of an image begins, and the distance of its pixels. */
static size_t row_place(const struct nn_norm *p, size_t image, size_t y)
{
    const struct nn_target *t = &p->target;
    if (p->tiles)
        return nn_tile_target_row(p->tiles, image, y);
    return (t->first + image * t->image + y * t->row) * t->lanes;
}

static size_t pixel_step(const struct nn_norm *p)
{
    return p->tiles ? p->tiles->lanes : p->target.lanes;
}

/* Lanes `span` of a part, which begins with lane `before` of all. A half vector that is left over
 * goes through with the next pixel's. */
NN_INLINE void apply_part(const struct nn_norm *p, int part, size_t image, struct span span,
                          size_t before, const float *scale, const float *shift, bool silu,
                          int terms)
{
    const struct vec_sink to = {p->target.out, p->tiles ? p->tiles->out : NULL,
                                p->tiles ? p->tiles->plane : 0};
    size_t lanes = p->part[part].lanes, next = pixel_step(p);
    size_t whole = span.first + (span.last - span.first) / VEC_WIDTH * VEC_WIDTH;
    const float *src = p->part[part].src + image * p->side * p->side * lanes;
    scale += before;
    shift += before;
    for (size_t y = 0; y < p->side; y++) {
        size_t row = row_place(p, image, y) + before;
        for (size_t x = 0; x < p->side; x++)
            apply_pixel(src + x * lanes, &to, row + x * next, span.first, whole, scale, shift, silu,
                        terms);
        if (whole < span.last) {
            vec a = vec_load_two(scale + whole, scale + whole);
            vec b = vec_load_two(shift + whole, shift + whole);
            const float *in = src + whole;
            size_t at = row + whole, x = 0;
            for (; x + 2 <= p->side; x += 2, in += 2 * lanes, at += 2 * next)
                vec_sink_store_two(&to, at, at + next,
                                   activate(vec_load_two(in, in + lanes), a, b, silu), terms);
            if (x < p->side)
                vec_sink_store(&to, at, activate(vec_load_half(in), a, b, silu), true, terms);
        }
        src += p->side * lanes;
    }
}

#define APPLY(terms)                                                                               \
    do {                                                                                           \
        if (p->silu)                                                                               \
            apply_part(p, part, image, span, before, scale, shift, true, terms);                   \
        else                                                                                       \
            apply_part(p, part, image, span, before, scale, shift, false, terms);                  \
    } while (0)

static void apply(const struct nn_norm *p, int part, size_t image, struct span span, size_t before,
                  const float *scale, const float *shift)
{
    if (!p->tiles)
        APPLY(0);
    else if (p->tiles->terms == 1)
        APPLY(1);
    else
        APPLY(3);
}

/* Zeros behind the last channel, for tiles. */
static void pad(const struct nn_norm *p, size_t image)
{
    const struct nn_tile_target *t = p->tiles;
    size_t lanes = p->weights->lanes, bytes = (t->lanes - lanes) * sizeof *t->out;
    for (size_t i = 0; i < p->side * p->side && bytes > 0; i++) {
        size_t at = row_place(p, image, i / p->side) + i % p->side * t->lanes + lanes;
        memset(t->out + at, 0, bytes);
        if (t->terms == 3)
            memset(t->out + t->plane + at, 0, bytes);
    }
}

/* Scratch: [lanes] sums in double, then [lanes] means or scales and [lanes] shifts in single. */
static void norm_span(const struct nn_norm *p, size_t image, struct span span, double *sum)
{
    const struct nn_norm_weights *w = p->weights;
    double mean[NN_GROUPS_MAX], squares[NN_GROUPS_MAX];
    float *scale = (float *)(sum + w->lanes), *shift = scale + w->lanes;
    double count = (double)(p->side * p->side) * w->group_size;
    group_sums(p, image, span, NULL, sum, mean);
    for (int g = 0; g < w->groups; g++)
        mean[g] /= count;
    for (size_t c = span.first; c < span.last; c++)
        scale[c] = w->group[c] < 0 ? 0.0f : (float)mean[w->group[c]];
    group_sums(p, image, span, scale, sum, squares);
    for (size_t c = span.first; c < span.last; c++) {
        int32_t g = w->group[c];
        double factor = g < 0 ? 0 : w->gamma[c] / sqrt(squares[g] / count + NN_NORM_EPSILON);
        scale[c] = (float)factor;
        shift[c] = g < 0 ? 0.0f : (float)(w->beta[c] - mean[g] * factor);
    }
    size_t before = 0;
    for (int k = 0; k < p->parts; k++) {
        apply(p, k, image, span_in_part(span, before, p->part[k].lanes), before, scale, shift);
        before += p->part[k].lanes;
    }
    if (p->tiles && span.last == w->lanes)
        pad(p, image);
}

void NN_VEC(norm)(const struct nn_norm *p)
{
    for (size_t b = 0; b < p->images; b++)
        norm_span(p, b, (struct span){0, p->weights->lanes}, p->scratch);
}

/* ---- sharing ---- */

#define SPAN_LANES 64

/* Lanes of a unit: whole groups, about SPAN_LANES; all of an image where padding stands between
 * channels. */
static size_t unit_lanes(const struct nn_norm_weights *w)
{
    size_t size = (size_t)w->group_size, step = size;
    while (step % NN_LANES != 0)
        step += size;
    if (w->lanes != (size_t)w->groups * size)
        return w->lanes;
    return step < SPAN_LANES ? SPAN_LANES / step * step : step;
}

static size_t image_units(const struct nn_norm_weights *w)
{
    return (w->lanes + unit_lanes(w) - 1) / unit_lanes(w);
}

size_t NN_VEC(norm_units)(const void *op)
{
    const struct nn_norm *p = op;
    return p->images * image_units(p->weights);
}

void NN_VEC(norm_share)(const void *op, struct nn_share *share)
{
    const struct nn_norm *p = op;
    size_t units = image_units(p->weights), lanes = unit_lanes(p->weights);
    for (size_t unit = share->first; unit < share->last; unit++) {
        struct span span = {unit % units * lanes, (unit % units + 1) * lanes};
        if (span.last > p->weights->lanes)
            span.last = p->weights->lanes;
        norm_span(p, unit / units, span, (double *)(void *)share->scratch);
    }
}

void NN_VEC(silu)(size_t count, const float *in, float *out)
{
    size_t i = 0;
    for (; i + VEC_WIDTH <= count; i += VEC_WIDTH)
        vec_store(out + i, vec_silu(vec_load(in + i)));
    if (i < count)
        vec_store_half(out + i, vec_silu(vec_load_half(in + i)));
}

/* ---- bf16 ---- */

NN_INLINE void split_pixel(const struct nn_split *p, size_t pixel, const struct vec_sink *to,
                           size_t at, int terms)
{
    size_t end = at + p->target.lanes;
    for (int k = 0; k < p->parts; k++) {
        const float *src = p->part[k].src + pixel * p->part[k].step;
        size_t lanes = p->part[k].lanes, c = 0;
        for (; c + VEC_WIDTH <= lanes; c += VEC_WIDTH)
            vec_sink_store(to, at + c, vec_load(src + c), false, terms);
        if (c < lanes)
            vec_sink_store(to, at + c, vec_load_half(src + c), true, terms);
        at += lanes;
    }
    for (; at < end; at += NN_LANES)
        vec_sink_store(to, at, vec_zero(), true, terms);
}

size_t NN_VEC(split_units)(const void *op)
{
    const struct nn_split *p = op;
    return p->images * p->height;
}

/* A unit is a row of an image. */
void NN_VEC(split_share)(const void *op, struct nn_share *share)
{
    const struct nn_split *p = op;
    const struct vec_sink to = {NULL, p->target.out, p->target.plane};
    for (size_t unit = share->first; unit < share->last; unit++) {
        size_t at = nn_tile_target_row(&p->target, unit / p->height, unit % p->height);
        for (size_t x = 0; x < p->width; x++, at += p->target.lanes)
            if (p->target.terms == 1)
                split_pixel(p, unit * p->width + x, &to, at, 1);
            else
                split_pixel(p, unit * p->width + x, &to, at, 3);
    }
}

void NN_VEC(split)(const struct nn_split *p)
{
    struct nn_share all = {.last = NN_VEC(split_units)(p)};
    NN_VEC(split_share)(p, &all);
}

/* ---- resampling ---- */

struct taps {
    int count;
    const float *at[16];
    float weight[16];
};

/* The input pixels of output (y,x) that lie inside the image, in order of rows. */
static void gather(const struct nn_resample *p, size_t image, size_t y, size_t x, struct taps *t)
{
    float wy[4], wx[4];
    long y0, x0, side = (long)p->side;
    int ny = nn_resample_taps(p->kind, y, &y0, wy), nx = nn_resample_taps(p->kind, x, &x0, wx);
    t->count = 0;
    for (long i = 0; i < ny; i++)
        for (long j = 0; j < nx; j++) {
            if (y0 + i < 0 || y0 + i >= side || x0 + j < 0 || x0 + j >= side)
                continue;
            size_t pixel = (image * p->side + (size_t)(y0 + i)) * p->side + (size_t)(x0 + j);
            t->at[t->count] = p->src + pixel * p->target.lanes;
            t->weight[t->count++] = wy[i] * wx[j];
        }
}

NN_INLINE void blend(const struct taps *t, size_t c, float *out, bool half)
{
    vec sum = vec_zero();
    for (int i = 0; i < t->count; i++)
        sum = vec_fma(vec_set(t->weight[i]), vec_load_part(t->at[i] + c, half), sum);
    vec_store_part(out + c, sum, half);
}

size_t NN_VEC(resample_units)(const void *op)
{
    const struct nn_resample *p = op;
    return p->images * nn_resample_side(p->kind, p->side);
}

/* A unit is a row of an image. */
void NN_VEC(resample_share)(const void *op, struct nn_share *share)
{
    const struct nn_resample *p = op;
    size_t side = nn_resample_side(p->kind, p->side), lanes = p->target.lanes;
    for (size_t unit = share->first; unit < share->last; unit++) {
        float *row = nn_target_row(&p->target, unit / side, unit % side);
        for (size_t x = 0; x < side; x++, row += lanes) {
            struct taps t;
            size_t c = 0;
            gather(p, unit / side, unit % side, x, &t);
            for (; c + VEC_WIDTH <= lanes; c += VEC_WIDTH)
                blend(&t, c, row, false);
            if (c < lanes)
                blend(&t, c, row, true);
        }
    }
}

void NN_VEC(resample)(const struct nn_resample *p)
{
    struct nn_share all = {.last = NN_VEC(resample_units)(p)};
    NN_VEC(resample_share)(p, &all);
}
