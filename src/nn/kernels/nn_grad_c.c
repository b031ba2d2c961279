/* The oracle of training's operations: plain loops in the order of the formulas, sums over pixels
 * in double. The dispatch among instruction sets is here too. */
#include "nn_grad_kernels.h"
#include "nn_math.h"
#include <math.h>
#include <string.h>

const struct nn_grad_kernels *nn_grad_kernels_get(enum nn_kernel kernel)
{
    switch (nn_kernel_resolve(kernel)) {
#ifdef NN_HAVE_LANES8
    case NN_KERNEL_LANES8:
        return &nn_grad_kernels_lanes8;
#endif
#ifdef NN_HAVE_X86
    case NN_KERNEL_AVX512:
    case NN_KERNEL_AMX:
        return &nn_grad_kernels_avx512;
#endif
    default:
        return &nn_grad_kernels_c;
    }
}

static const float *pixel_of(const struct nn_target *t, size_t image, size_t y, size_t x)
{
    return nn_target_row(t, image, y) + x * t->lanes;
}

/* ---- the gradient of weights ---- */

static double outer_sum(const struct nn_outer *p, const struct nn_segment *g, size_t k, size_t o)
{
    double sum = 0;
    for (size_t b = 0; b < p->images; b++)
        for (size_t y = 0; y < p->height; y++)
            for (size_t x = 0; x < p->width; x++) {
                size_t position = b * p->in_image + y * p->in_row + x * p->in_step;
                sum += (double)g->base[position * g->stride + k] * pixel_of(&p->slope, b, y, x)[o];
            }
    return sum;
}

static void outer(const struct nn_outer *p)
{
    float *row = p->sum;
    for (int s = 0; s < p->segments; s++)
        for (size_t k = 0; k < p->segment[s].length; k++, row += p->slope.lanes)
            for (size_t o = 0; o < p->slope.lanes; o++)
                row[o] += (float)outer_sum(p, &p->segment[s], k, o);
}

static size_t conv_outer_scratch(size_t lanes, size_t outputs, size_t images, size_t side)
{
    (void)lanes;
    (void)outputs;
    (void)images;
    (void)side;
    return 0;
}

static void conv_outer(const struct nn_conv_outer *p)
{
    const struct nn_outer o = nn_conv_outer_direct(p);
    outer(&o);
}

/* ---- group norm ---- */

static void norm_apply(const struct nn_norm_train *p, size_t image, const float *mean,
                       const float *inverse)
{
    const struct nn_norm_weights *w = p->weights;
    size_t first = 0;
    for (int k = 0; k < p->parts; k++) {
        size_t lanes = p->part[k].lanes;
        const float *src = p->part[k].src + image * p->side * p->side * lanes;
        for (size_t y = 0; y < p->side; y++) {
            float *row = nn_target_row(&p->target, image, y) + first;
            for (size_t x = 0; x < p->side; x++, src += lanes, row += p->target.lanes)
                for (size_t c = 0; c < lanes; c++) {
                    size_t at = first + c;
                    float v = (src[c] - mean[at]) * (inverse[at] * w->gamma[at]) + w->beta[at];
                    row[c] = p->silu ? nn_silu(v) : v;
                }
        }
        first += lanes;
    }
}

static void norm(const struct nn_norm_train *p)
{
    const struct nn_norm_weights *w = p->weights;
    double count = (double)(p->side * p->side) * w->group_size;
    for (size_t b = 0; b < p->images; b++) {
        double mean[NN_GROUPS_MAX], squares[NN_GROUPS_MAX];
        float *kept = p->mean + b * w->lanes, *inverse = p->inverse + b * w->lanes;
        nn_group_sums(w, p->part, p->parts, p->side * p->side, b, NULL, mean);
        for (int g = 0; g < w->groups; g++)
            mean[g] /= count;
        nn_group_sums(w, p->part, p->parts, p->side * p->side, b, mean, squares);
        for (size_t c = 0; c < w->lanes; c++) {
            int32_t g = w->group[c];
            kept[c] = g < 0 ? 0.0f : (float)mean[g];
            inverse[c] = g < 0 ? 0.0f : (float)(1 / sqrt(squares[g] / count + NN_NORM_EPSILON));
        }
        norm_apply(p, b, kept, inverse);
    }
}

/* SiLU'(y) = s (1 + y (1 - s)) with s the logistic function. */
static float silu_slope(float y)
{
    float s = 1.0f / (1.0f + nn_exp(-y));
    return s * (1.0f + y * (1.0f - s));
}

/* Gradient at the affine output in place, and its sums: Σ slope and Σ slope · (x - mean). */
static void norm_back_sums(const struct nn_norm_back *p, size_t image, double *plain, double *apart)
{
    const struct nn_norm_weights *w = p->weights;
    const float *mean = p->mean + image * w->lanes, *inverse = p->inverse + image * w->lanes;
    size_t pixels = p->side * p->side, first = 0;
    for (int k = 0; k < p->parts; k++) {
        size_t lanes = p->part[k].lanes;
        for (size_t i = 0; i < pixels; i++)
            for (size_t c = 0; c < lanes; c++) {
                size_t at = first + c;
                float x = p->part[k].src[(image * pixels + i) * lanes + c] - mean[at];
                float *slope = p->slope + (image * pixels + i) * w->lanes + at;
                if (p->silu)
                    *slope *= silu_slope(x * (inverse[at] * w->gamma[at]) + w->beta[at]);
                plain[at] += *slope;
                apart[at] += (double)*slope * x;
            }
        first += lanes;
    }
}

static void norm_back_apply(const struct nn_norm_back *p, size_t image, const double *by_apart,
                            const double *constant)
{
    const struct nn_norm_weights *w = p->weights;
    const float *mean = p->mean + image * w->lanes, *inverse = p->inverse + image * w->lanes;
    size_t pixels = p->side * p->side, first = 0;
    for (int k = 0; k < p->parts; k++) {
        size_t lanes = p->part[k].lanes;
        for (size_t i = 0; i < pixels; i++)
            for (size_t c = 0; c < lanes; c++) {
                size_t at = first + c, place = (image * pixels + i) * lanes + c;
                double x = p->part[k].src[place] - mean[at];
                size_t whole = (image * pixels + i) * w->lanes + at;
                double slope = p->slope[whole];
                double sum = w->gamma[at] * inverse[at] * slope + by_apart[at] * x + constant[at];
                float *out = nn_target_row(&p->in[k], image, i / p->side) + i % p->side * lanes + c;
                if (p->plus)
                    sum += (double)p->plus[whole] * p->plus_scale;
                *out = (float)(p->add[k] ? *out + sum : sum);
            }
        first += lanes;
    }
}

static void norm_back(const struct nn_norm_back *p)
{
    const struct nn_norm_weights *w = p->weights;
    double count = (double)(p->side * p->side) * w->group_size;
    double *plain = p->scratch, *apart = plain + w->lanes;
    for (size_t b = 0; b < p->images; b++) {
        const float *inverse = p->inverse + b * w->lanes;
        double group_plain[NN_GROUPS_MAX] = {0}, group_apart[NN_GROUPS_MAX] = {0};
        memset(plain, 0, 2 * w->lanes * sizeof *plain);
        norm_back_sums(p, b, plain, apart);
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
            plain[c] = g < 0 ? 0 : -i * group_plain[g] / count;
            apart[c] = g < 0 ? 0 : -i * i * i * group_apart[g] / count;
        }
        norm_back_apply(p, b, apart, plain);
    }
}

/* ---- small ones ---- */

static void columns(const struct nn_target *src, size_t images, size_t side, float *out)
{
    for (size_t b = 0; b < images; b++)
        for (size_t c = 0; c < src->lanes; c++) {
            double sum = 0;
            for (size_t y = 0; y < side; y++)
                for (size_t x = 0; x < side; x++)
                    sum += pixel_of(src, b, y, x)[c];
            out[b * src->lanes + c] = (float)sum;
        }
}

static void place(const float *src, float scale, size_t images, size_t side,
                  const struct nn_target *dst)
{
    for (size_t b = 0; b < images; b++)
        for (size_t y = 0; y < side; y++) {
            float *row = nn_target_row(dst, b, y);
            for (size_t i = 0; i < side * dst->lanes; i++)
                row[i] = scale * *src++;
        }
}

static void add(const float *src, float scale, size_t count, float *dst)
{
    for (size_t i = 0; i < count; i++)
        dst[i] += scale * src[i];
}

static void dropout(const uint8_t *keep, float scale, size_t images, size_t side,
                    const struct nn_target *dst)
{
    for (size_t b = 0; b < images; b++)
        for (size_t y = 0; y < side; y++) {
            float *row = nn_target_row(dst, b, y);
            for (size_t i = 0; i < side * dst->lanes; i++)
                row[i] *= *keep++ ? scale : 0.0f;
        }
}

static void silu_back(size_t count, const float *x, float *slope)
{
    for (size_t i = 0; i < count; i++)
        slope[i] *= silu_slope(x[i]);
}

static void softmax_back(const float *weights, float *slope, size_t count, float scale)
{
    double dot = 0;
    for (size_t k = 0; k < count; k++)
        dot += (double)weights[k] * slope[k];
    for (size_t k = 0; k < count; k++)
        slope[k] = scale * weights[k] * (slope[k] - (float)dot);
}

const struct nn_grad_kernels nn_grad_kernels_c = {
    .outer = outer,
    .conv_outer_scratch = conv_outer_scratch,
    .conv_outer = conv_outer,
    .norm = norm,
    .norm_back = norm_back,
    .columns = columns,
    .place = place,
    .add = add,
    .dropout = dropout,
    .silu_back = silu_back,
    .softmax = nn_softmax,
    .softmax_back = softmax_back,
};
