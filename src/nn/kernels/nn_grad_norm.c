/* Group norm there and back.
 *
 * There: one pass for the sums of x and x² about a pivot (the image's first pixel, so that a large
 * common offset does not eat the digits), one for the result. Back: one pass turns the gradient at
 * the SiLU into that at the affine output, in place, and takes its two sums; one gives the result.
 * A row is summed in single precision lane by lane, rows in double; lanes are gathered into groups
 * in the order of channels. */
#include "nn_grad_vector.h"
#include <math.h>
#include <string.h>

#define COLUMNS 4 /* vectors of channels that go through an image together */

#define LAST(v) (half && (v) == vectors - 1)

/* Calls `name` with the number of vectors, and whether the last is half one, as constants; adds the
 * lanes it took to `c`. */
#define COLUMNS_CASE(name, vectors, half, ...)                                                     \
    case 2 * (vectors) - (half):                                                                   \
        name(__VA_ARGS__, vectors, half);                                                          \
        break;
#define COLUMNS_RUN(name, left, ...)                                                               \
    switch (2 * (left) / VEC_WIDTH < 2 * COLUMNS ? 2 * (left) / VEC_WIDTH : 2 * COLUMNS) {         \
        COLUMNS_CASE(name, 1, 1, __VA_ARGS__)                                                      \
        COLUMNS_CASE(name, 1, 0, __VA_ARGS__)                                                      \
        COLUMNS_CASE(name, 2, 1, __VA_ARGS__)                                                      \
        COLUMNS_CASE(name, 2, 0, __VA_ARGS__)                                                      \
        COLUMNS_CASE(name, 3, 1, __VA_ARGS__)                                                      \
        COLUMNS_CASE(name, 3, 0, __VA_ARGS__)                                                      \
        COLUMNS_CASE(name, 4, 1, __VA_ARGS__)                                                      \
    default:                                                                                       \
        name(__VA_ARGS__, COLUMNS, 0);                                                             \
    }

NN_INLINE void sum_to(double *out, vec v, bool half)
{
    if (half)
        vec_add_to_half(out, v);
    else
        vec_add_to(out, v);
}

/* ---- there ---- */

/* plain[lane] += Σ (x - pivot), squares[lane] += Σ (x - pivot)² over an image. */
NN_INLINE void sum_columns(const float *src, size_t lanes, size_t side, double *plain,
                           double *squares, int vectors, bool half)
{
    vec pivot[COLUMNS];
    for (int v = 0; v < vectors; v++)
        pivot[v] = vec_load_part(src + v * VEC_WIDTH, LAST(v));
    for (size_t y = 0; y < side; y++) {
        vec one[COLUMNS], two[COLUMNS];
        for (int v = 0; v < vectors; v++)
            one[v] = two[v] = vec_zero();
        for (size_t x = 0; x < side; x++, src += lanes)
            for (int v = 0; v < vectors; v++) {
                vec apart = vec_sub(vec_load_part(src + v * VEC_WIDTH, LAST(v)), pivot[v]);
                one[v] = vec_add(one[v], apart);
                two[v] = vec_fma(apart, apart, two[v]);
            }
        for (int v = 0; v < vectors; v++) {
            sum_to(plain + v * VEC_WIDTH, one[v], LAST(v));
            sum_to(squares + v * VEC_WIDTH, two[v], LAST(v));
        }
    }
}

/* Fills the image's mean and inverse deviation. */
static void statistics(const struct nn_norm_train *p, size_t image, float *mean, float *inverse)
{
    const struct nn_norm_weights *w = p->weights;
    double *plain = p->scratch, *squares = plain + w->lanes;
    double pixels = (double)(p->side * p->side), count = pixels * w->group_size;
    double center[NN_GROUPS_MAX] = {0}, spread[NN_GROUPS_MAX] = {0};
    float *pivot = mean; /* until the means are known */
    size_t first = 0;
    memset(plain, 0, 2 * w->lanes * sizeof *plain);
    for (int k = 0; k < p->parts; k++) {
        size_t lanes = p->part[k].lanes;
        const float *src = p->part[k].src + image * p->side * p->side * lanes;
        memcpy(pivot + first, src, lanes * sizeof *src);
        for (size_t c = 0; c < lanes; c += COLUMNS * VEC_WIDTH) {
            COLUMNS_RUN(sum_columns, lanes - c, src + c, lanes, p->side, plain + first + c,
                        squares + first + c)
        }
        first += lanes;
    }
    for (size_t c = 0; c < w->lanes; c++)
        if (w->group[c] >= 0)
            center[w->group[c]] += plain[c] + pixels * pivot[c];
    for (int g = 0; g < w->groups; g++)
        center[g] /= count;
    for (size_t c = 0; c < w->lanes; c++)
        if (w->group[c] >= 0) {
            double apart = center[w->group[c]] - pivot[c];
            spread[w->group[c]] += squares[c] - 2 * apart * plain[c] + pixels * apart * apart;
        }
    for (size_t c = 0; c < w->lanes; c++) {
        int32_t g = w->group[c];
        double variance = g < 0 || spread[g] < 0 ? 0 : spread[g] / count;
        mean[c] = g < 0 ? 0.0f : (float)center[g];
        inverse[c] = g < 0 ? 0.0f : (float)(1 / sqrt(variance + NN_NORM_EPSILON));
    }
}

NN_INLINE void apply_part(const struct nn_norm_train *p, int part, size_t image, size_t first,
                          const float *mean, const float *scale, bool silu)
{
    size_t lanes = p->part[part].lanes;
    const float *src = p->part[part].src + image * p->side * p->side * lanes;
    const float *beta = p->weights->beta;
    for (size_t y = 0; y < p->side; y++) {
        float *row = nn_target_row(&p->target, image, y) + first;
        for (size_t x = 0; x < p->side; x++, src += lanes, row += p->target.lanes)
            for (size_t c = 0; c < lanes; c += VEC_WIDTH) {
                bool half = lanes - c < VEC_WIDTH;
                vec v =
                    vec_sub(vec_load_part(src + c, half), vec_load_part(mean + first + c, half));
                v = vec_fma(v, vec_load_part(scale + first + c, half),
                            vec_load_part(beta + first + c, half));
                if (silu)
                    v = vec_mul(v, vec_logistic(v));
                vec_store_part(row + c, v, half);
            }
    }
}

void NN_VEC(norm_train)(const struct nn_norm_train *p)
{
    const struct nn_norm_weights *w = p->weights;
    float *scale = (float *)(p->scratch + 2 * w->lanes);
    for (size_t b = 0; b < p->images; b++) {
        float *mean = p->mean + b * w->lanes, *inverse = p->inverse + b * w->lanes;
        size_t first = 0;
        statistics(p, b, mean, inverse);
        for (size_t c = 0; c < w->lanes; c++)
            scale[c] = inverse[c] * w->gamma[c];
        for (int k = 0; k < p->parts; k++) {
            if (p->silu)
                apply_part(p, k, b, first, mean, scale, true);
            else
                apply_part(p, k, b, first, mean, scale, false);
            first += p->part[k].lanes;
        }
    }
}

/* ---- back ---- */

/* One part's columns: where they lie, and the lanes' constants. */
struct back {
    const float *src;
    float *slope;
    size_t lanes, slope_lanes, side;
    const float *mean, *scale, *beta;
    double *plain, *apart;
    bool silu;
};

NN_INLINE void back_columns(const struct back *b, size_t c, int vectors, bool half)
{
    const float *src = b->src + c;
    float *slope = b->slope + c;
    for (size_t y = 0; y < b->side; y++) {
        vec plain[COLUMNS], apart[COLUMNS];
        for (int v = 0; v < vectors; v++)
            plain[v] = apart[v] = vec_zero();
        for (size_t x = 0; x < b->side; x++, src += b->lanes, slope += b->slope_lanes)
            for (int v = 0; v < vectors; v++) {
                size_t at = (size_t)v * VEC_WIDTH;
                vec d = vec_load_part(slope + at, LAST(v));
                vec value = vec_sub(vec_load_part(src + at, LAST(v)),
                                    vec_load_part(b->mean + c + at, LAST(v)));
                if (b->silu) {
                    vec affine = vec_fma(value, vec_load_part(b->scale + c + at, LAST(v)),
                                         vec_load_part(b->beta + c + at, LAST(v)));
                    d = vec_mul(d, vec_silu_slope(affine));
                    vec_store_part(slope + at, d, LAST(v));
                }
                plain[v] = vec_add(plain[v], d);
                apart[v] = vec_fma(d, value, apart[v]);
            }
        for (int v = 0; v < vectors; v++) {
            sum_to(b->plain + c + v * VEC_WIDTH, plain[v], LAST(v));
            sum_to(b->apart + c + v * VEC_WIDTH, apart[v], LAST(v));
        }
    }
}

static void back_sums(const struct nn_norm_back *p, size_t image, const float *scale, double *plain,
                      double *apart)
{
    const struct nn_norm_weights *w = p->weights;
    size_t pixels = p->side * p->side, first = 0;
    for (int k = 0; k < p->parts; k++) {
        size_t lanes = p->part[k].lanes;
        const struct back b = {.src = p->part[k].src + image * pixels * lanes,
                               .slope = p->slope + image * pixels * w->lanes + first,
                               .lanes = lanes,
                               .slope_lanes = w->lanes,
                               .side = p->side,
                               .mean = p->mean + image * w->lanes + first,
                               .scale = scale + first,
                               .beta = w->beta + first,
                               .plain = plain + first,
                               .apart = apart + first,
                               .silu = p->silu};
        for (size_t c = 0; c < lanes; c += COLUMNS * VEC_WIDTH) {
            COLUMNS_RUN(back_columns, lanes - c, &b, c)
        }
        first += lanes;
    }
}

/* in = scale · slope + by_apart · (x - mean) + constant (+ what is there) (+ plus). */
static void back_apply(const struct nn_norm_back *p, size_t image, const float *scale,
                       const float *by_apart, const float *constant)
{
    size_t pixels = p->side * p->side, first = 0;
    const float *mean = p->mean + image * p->weights->lanes;
    for (int k = 0; k < p->parts; k++) {
        size_t lanes = p->part[k].lanes;
        const float *src = p->part[k].src + image * pixels * lanes;
        const float *slope = p->slope + image * pixels * p->weights->lanes + first;
        const float *plus = p->plus ? p->plus + image * pixels * p->weights->lanes + first : NULL;
        bool add = p->add[k];
        for (size_t y = 0; y < p->side; y++) {
            float *row = nn_target_row(&p->in[k], image, y);
            for (size_t x = 0; x < p->side; x++, src += lanes, row += lanes) {
                for (size_t c = 0; c < lanes; c += VEC_WIDTH) {
                    bool half = lanes - c < VEC_WIDTH;
                    size_t at = first + c;
                    vec v = vec_sub(vec_load_part(src + c, half), vec_load_part(mean + at, half));
                    v = vec_fma(v, vec_load_part(by_apart + at, half),
                                vec_load_part(constant + at, half));
                    v = vec_fma(vec_load_part(slope + c, half), vec_load_part(scale + at, half), v);
                    if (plus)
                        v = vec_fma(vec_load_part(plus + c, half), vec_set(p->plus_scale), v);
                    if (add)
                        v = vec_add(v, vec_load_part(row + c, half));
                    vec_store_part(row + c, v, half);
                }
                slope += p->weights->lanes;
                plus = plus ? plus + p->weights->lanes : NULL;
            }
        }
        first += lanes;
    }
}

void NN_VEC(norm_back)(const struct nn_norm_back *p)
{
    const struct nn_norm_weights *w = p->weights;
    double count = (double)(p->side * p->side) * w->group_size;
    double *plain = p->scratch, *apart = plain + w->lanes;
    float *scale = (float *)(apart + w->lanes), *by_apart = scale + w->lanes;
    float *constant = by_apart + w->lanes;
    for (size_t b = 0; b < p->images; b++) {
        const float *inverse = p->inverse + b * w->lanes;
        double group_plain[NN_GROUPS_MAX] = {0}, group_apart[NN_GROUPS_MAX] = {0};
        memset(plain, 0, 2 * w->lanes * sizeof *plain);
        for (size_t c = 0; c < w->lanes; c++)
            scale[c] = inverse[c] * w->gamma[c];
        back_sums(p, b, scale, plain, apart);
        for (size_t c = 0; c < w->lanes; c++) {
            if (p->gamma) {
                p->beta[c] += (float)plain[c];
                p->gamma[c] += (float)(apart[c] * inverse[c]);
            }
            if (w->group[c] >= 0) {
                group_plain[w->group[c]] += w->gamma[c] * plain[c];
                group_apart[w->group[c]] += w->gamma[c] * apart[c];
            }
        }
        for (size_t c = 0; c < w->lanes; c++) {
            int32_t g = w->group[c];
            double i = inverse[c];
            by_apart[c] = g < 0 ? 0.0f : (float)(-i * i * i * group_apart[g] / count);
            constant[c] = g < 0 ? 0.0f : (float)(-i * group_plain[g] / count);
        }
        back_apply(p, b, scale, by_apart, constant);
    }
}
