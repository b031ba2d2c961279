/* Distances to many rows are a matrix product: d² = ‖x‖² + ‖Y‖² − 2 x·Y + t². Close to a row that
 * cancels, and the weights raise the error to the power N+1; so the nearest rows of each point are
 * computed again, directly and in double. Rows go through in chunks, which fit the caches; the sum
 * Σ w_j Y_j is a second product. One thread, nothing is allocated after _new. */
#include "train_field.h"
#include "base_math.h"
#include "base_size.h"
#include "base_arena.h"
#include "nn_grad_kernels.h"
#include "train_rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 128     /* rows */
#define NEAREST 16    /* rows of a point that are computed again */
#define DUST -36.0    /* weights below e^-36 of the largest change no float */
#define MULTIPLIED 16 /* powers up to here are products */
#define SMALL 1e-7    /* the reference's guard of its divisions */

struct train_field {
    const struct nn_kernels *kernels;
    const struct nn_grad_kernels *grad;
    size_t n, lanes, rows;
    struct nn_product_shape shape; /* points as outputs */
    unsigned char *block;
    float *chunk;  /* [CHUNK][lanes] */
    float *points; /* [lanes][TRAIN_BLOCK], then packed */
    float *packed;
    float *dots;     /* [CHUNK][TRAIN_BLOCK], and weights in the same place */
    float *distance; /* [rows][TRAIN_BLOCK] distances; then log weights, then weights */
    float *sum;      /* [TRAIN_BLOCK][lanes] */
    float *zeros;    /* [TRAIN_BLOCK] */
    float *centred;  /* [TRAIN_BLOCK][n] */
};

/* ---- perturbation ---- */

void train_perturb(const struct train_config *c, int64_t step, int image, size_t n, const float *y,
                   double *scratch, float *x, float *t)
{
    uint64_t index = train_rng_index(step, (uint64_t)image);
    double u[2];
    rng_uniforms(c->seed, index, RNG_TRAIN_EXPONENT, 2, u);
    rng_normals(c->seed, index, RNG_TRAIN_NOISE, n + 1, scratch);
    double height = fabs(scratch[0]) * c->sigma;
    double m = u[0] * (double)c->m;
    if (c->restrict_m && height < 0.5 * c->sigma)
        m = u[1] * floor(0.7 * (double)c->m);
    double reach = math_exp(m * math_log(1 + c->tau));
    /* Length and direction of a normal vector are independent, so that one vector gives both. */
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(y[i] + scratch[i + 1] * c->sigma * reach);
    double moved = height * reach;
    *t = (float)(moved > 1e-10 ? moved : 1e-10);
}

/* ---- the field ---- */

struct train_field *train_field_new(enum nn_kernel kernel, size_t n, size_t rows, struct err *e)
{
    struct train_field *f = calloc(1, sizeof *f);
    size_t lanes = (n + NN_LANES - 1) / NN_LANES * NN_LANES, floats, bytes;
    if (!f) {
        err_fail_memory(e, sizeof *f);
        return NULL;
    }
    f->kernels = nn_kernels_get(kernel);
    f->grad = nn_grad_kernels_get(kernel);
    f->n = n;
    f->lanes = lanes;
    f->rows = rows;
    f->shape = (struct nn_product_shape){NN_PRODUCT_POINT, lanes, TRAIN_BLOCK};
    size_t packed = f->kernels->pack_size(&f->shape);
    size_t fixed = CHUNK * lanes + 2 * TRAIN_BLOCK * lanes + packed + (CHUNK + 1 + n) * TRAIN_BLOCK;
    if (!size_mul(rows, TRAIN_BLOCK, &floats) || !size_add(floats, fixed + 8 * 16, &floats) ||
        !size_mul(floats, sizeof(float), &bytes) ||
        posix_memalign((void **)&f->block, ARENA_ALIGN, bytes) != 0) {
        free(f);
        err_fail_memory(e, fixed * sizeof(float));
        return NULL;
    }
    memset(f->block, 0, bytes);
    f->chunk = (float *)f->block;
    f->points = f->chunk + CHUNK * lanes;
    f->sum = f->points + TRAIN_BLOCK * lanes;
    f->packed = f->sum + TRAIN_BLOCK * lanes;
    f->dots = f->packed + (packed + 15) / 16 * 16;
    f->zeros = f->dots + CHUNK * TRAIN_BLOCK;
    f->distance = f->zeros + TRAIN_BLOCK;
    f->centred = f->distance + rows * TRAIN_BLOCK;
    return f;
}

void train_field_free(struct train_field *f)
{
    if (!f)
        return;
    free(f->block);
    free(f);
}

/* Where vectors have their mean: distances do not change when all is moved there, and the products
 * that make them lose nothing if the data lie far from 0. NULL: pictures, which lie about 0. */
static const float *centre_of(const struct train_rows *rows)
{
    return rows->data && rows->data->values ? rows->data->offset : NULL;
}

/* The points, moved there like the rows; in `out` and the scratch, or as they are. */
static const struct train_points *centre(const struct train_field *f, const struct train_rows *rows,
                                         const struct train_points *p, struct train_points *out)
{
    const float *middle = centre_of(rows);
    if (!middle)
        return p;
    *out = *p;
    for (int i = 0; i < p->count; i++) {
        float *x = f->centred + (size_t)i * f->n;
        for (size_t k = 0; k < f->n; k++)
            x[k] = p->x[i][k] - middle[k];
        out->x[i] = x;
    }
    return out;
}

/* Row j in data scale, or moved; the lanes behind it stay zero. */
static void read_row(const struct train_field *f, const struct train_rows *rows, size_t j,
                     float *out)
{
    if (rows->data)
        data_image(rows->data, rows->index[j] >> 1, (struct data_view){.flip = rows->index[j] & 1},
                   out);
    else
        memcpy(out, rows->values + j * f->n, f->n * sizeof *out);
    const float *middle = centre_of(rows);
    for (size_t k = 0; middle && k < f->n; k++)
        out[k] -= middle[k];
}

static double square(const float *v, size_t n)
{
    double part[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t k = 0; k < 4; k++)
            part[k] += (double)v[i + k] * v[i + k];
    for (; i < n; i++)
        part[0] += (double)v[i] * v[i];
    return (part[0] + part[1]) + (part[2] + part[3]);
}

static void load_points(struct train_field *f, const struct train_points *p)
{
    memset(f->points, 0, f->lanes * TRAIN_BLOCK * sizeof *f->points);
    for (int i = 0; i < p->count; i++)
        for (size_t k = 0; k < f->n; k++)
            f->points[k * TRAIN_BLOCK + (size_t)i] = p->x[i][k];
    f->kernels->pack(&f->shape, f->points, f->packed);
}

/* Squares of the distances of all rows, approximately. */
static void distances(struct train_field *f, const struct train_rows *rows,
                      const struct train_points *p)
{
    double own[TRAIN_BLOCK] = {0};
    for (int i = 0; i < p->count; i++)
        own[i] = square(p->x[i], f->n) + (double)p->t[i] * p->t[i];
    for (size_t first = 0; first < rows->count; first += CHUNK) {
        size_t count = rows->count - first < CHUNK ? rows->count - first : CHUNK;
        for (size_t j = 0; j < count; j++)
            read_row(f, rows, first + j, f->chunk + j * f->lanes);
        const struct nn_product product = {.shape = f->shape,
                                           .packed = f->packed,
                                           .bias = f->zeros,
                                           .segments = 1,
                                           .segment = {{f->chunk, f->lanes, f->lanes}},
                                           .in_image = count,
                                           .in_row = count,
                                           .in_step = 1,
                                           .images = 1,
                                           .height = 1,
                                           .width = count,
                                           .scale = 1.0f,
                                           .out = f->dots};
        f->kernels->product(&product);
        for (size_t j = 0; j < count; j++) {
            double row = square(f->chunk + j * f->lanes, f->n);
            for (int i = 0; i < p->count; i++) {
                double d2 = own[i] + row - 2 * (double)f->dots[j * TRAIN_BLOCK + (size_t)i];
                f->distance[(first + j) * TRAIN_BLOCK + (size_t)i] = (float)(d2 > 0 ? d2 : 0);
            }
        }
    }
}

/* The numbers of the rows that are nearest to point i, in ascending order. */
static size_t nearest(const struct train_field *f, size_t rows, size_t i, size_t found[NEAREST])
{
    size_t count = 0;
    for (size_t j = 0; j < rows; j++) {
        float d2 = f->distance[j * TRAIN_BLOCK + i];
        size_t at = count;
        if (count == NEAREST) {
            if (!(d2 < f->distance[found[NEAREST - 1] * TRAIN_BLOCK + i]))
                continue;
            at = NEAREST - 1;
        } else {
            count++;
        }
        for (; at > 0 && d2 < f->distance[found[at - 1] * TRAIN_BLOCK + i]; at--)
            found[at] = found[at - 1];
        found[at] = j;
    }
    return count;
}

static double exact_distance(const struct train_field *f, const struct train_rows *rows, size_t j,
                             const float *x, double t)
{
    double sum = t * t;
    read_row(f, rows, j, f->chunk);
    for (size_t k = 0; k < f->n; k++) {
        double apart = (double)f->chunk[k] - x[k];
        sum += apart * apart;
    }
    return sqrt(sum);
}

/* (least / d)^power for least ≤ d: in few dimensions a product, where no power can vanish, else by
 * logarithms. */
static double weight_of(double least, double log_least, double d, unsigned power)
{
    if (power > MULTIPLIED)
        return math_exp((double)power * (log_least - math_log(d)));
    double base = least / d, product = 1;
    for (; power; power >>= 1, base *= base)
        product *= power & 1 ? base : 1;
    return product;
}

/* Distances of point i to weights that add up to nearly 1, in place. Returns their sum. */
static double weigh(struct train_field *f, const struct train_rows *rows,
                    const struct train_points *p, size_t i)
{
    size_t found[NEAREST], near = nearest(f, rows->count, i, found);
    double exact[NEAREST], least = INFINITY, total = 0, power = (double)(f->n + 1);
    float *at = f->distance + i;
    for (size_t j = 0; j < rows->count; j++)
        at[j * TRAIN_BLOCK] = sqrtf(at[j * TRAIN_BLOCK]);
    for (size_t k = 0; k < near; k++) {
        exact[k] = exact_distance(f, rows, found[k], p->x[i], p->t[i]);
        least = exact[k] < least ? exact[k] : least;
    }
    least = least > 0 ? least : 1e-30;
    double log_least = math_log(least);
    double farthest = (least + SMALL) * math_exp(-DUST / power); /* with a weight worth having */
    for (size_t j = 0; j < rows->count; j++) {
        double d = at[j * TRAIN_BLOCK];
        at[j * TRAIN_BLOCK] =
            d > farthest ? 0 : (float)weight_of(least, log_least, d + SMALL, (unsigned)f->n + 1);
    }
    for (size_t k = 0; k < near; k++)
        at[found[k] * TRAIN_BLOCK] =
            (float)weight_of(least, log_least, exact[k] + SMALL, (unsigned)f->n + 1);
    for (size_t j = 0; j < rows->count; j++)
        total += at[j * TRAIN_BLOCK];
    for (size_t j = 0; j < rows->count; j++)
        at[j * TRAIN_BLOCK] = (float)(at[j * TRAIN_BLOCK] / (total + SMALL));
    return total / (total + SMALL);
}

/* sum [i] = Σ_j weight_j Y_j. */
static void weighted_sums(struct train_field *f, const struct train_rows *rows)
{
    memset(f->sum, 0, TRAIN_BLOCK * f->lanes * sizeof *f->sum);
    for (size_t first = 0; first < rows->count; first += CHUNK) {
        size_t count = rows->count - first < CHUNK ? rows->count - first : CHUNK, used = 0;
        for (size_t j = 0; j < count; j++) {
            const float *weights = f->distance + (first + j) * TRAIN_BLOCK;
            bool any = false;
            for (size_t i = 0; i < TRAIN_BLOCK; i++)
                any |= weights[i] > 0;
            if (!any)
                continue;
            read_row(f, rows, first + j, f->chunk + used * f->lanes);
            memcpy(f->dots + used++ * TRAIN_BLOCK, weights, TRAIN_BLOCK * sizeof *weights);
        }
        const struct nn_outer outer = {.segments = 1,
                                       .segment = {{f->dots, TRAIN_BLOCK, TRAIN_BLOCK}},
                                       .in_image = used,
                                       .in_row = used,
                                       .in_step = 1,
                                       .images = 1,
                                       .height = 1,
                                       .width = used,
                                       .slope = {f->chunk, 0, used, used, f->lanes},
                                       .sum = f->sum};
        if (used > 0)
            f->grad->outer(&outer);
    }
}

void train_field_targets(struct train_field *f, double gamma, const struct train_rows *rows,
                         const struct train_points *points)
{
    double shares[TRAIN_BLOCK], root = sqrt((double)f->n);
    struct train_points moved;
    const struct train_points *p = centre(f, rows, points, &moved);
    load_points(f, p);
    memset(f->distance, 0, rows->count * TRAIN_BLOCK * sizeof *f->distance);
    distances(f, rows, p);
    for (int i = 0; i < p->count; i++)
        shares[i] = weigh(f, rows, p, (size_t)i);
    weighted_sums(f, rows);
    for (int i = 0; i < p->count; i++) {
        const float *sum = f->sum + (size_t)i * f->lanes;
        double height = -(double)p->t[i] * shares[i], length = height * height;
        for (size_t k = 0; k < f->n; k++) {
            double e = sum[k] - (double)p->x[i][k] * shares[i];
            length += e * e;
        }
        double scale = root / (sqrt(length) + gamma);
        for (size_t k = 0; k < f->n; k++)
            p->target[i][k] = (float)(scale * (sum[k] - (double)p->x[i][k] * shares[i]));
        p->target[i][f->n] = (float)(scale * height);
    }
}

void train_field_direct(struct train_field *f, const struct train_rows *rows,
                        const struct train_points *points)
{
    double root = sqrt((double)f->n), power = (double)(f->n + 1);
    struct train_points moved;
    const struct train_points *p = centre(f, rows, points, &moved);
    load_points(f, p);
    memset(f->distance, 0, rows->count * TRAIN_BLOCK * sizeof *f->distance);
    distances(f, rows, p);
    for (int i = 0; i < p->count; i++) {
        size_t found[NEAREST], near = nearest(f, rows->count, (size_t)i, found);
        const struct train_rows single = {rows->data, &p->partner[i], NULL, 1};
        double r = exact_distance(f, &single, 0, p->x[i], p->t[i]), least = r;
        for (size_t k = 0; k < near; k++) {
            double d = exact_distance(f, rows, found[k], p->x[i], p->t[i]);
            least = d < least ? d : least;
        }
        read_row(f, &single, 0, f->chunk);
        double scale = root / least * math_exp(power * (math_log(least) - math_log(r)));
        for (size_t k = 0; k < f->n; k++)
            p->target[i][k] = (float)(scale * ((double)f->chunk[k] - (double)p->x[i][k]));
        p->target[i][f->n] = (float)(-scale * (double)p->t[i]);
    }
}

double train_loss(size_t n, const float *target, const float *v_x, float v_t, float share,
                  float *v_x_slope, float *v_t_slope)
{
    double part[4] = {0}, last = (double)v_t - target[n];
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t k = 0; k < 4; k++) {
            float apart = v_x[i + k] - target[i + k];
            part[k] += (double)apart * apart;
        }
    for (; i < n; i++)
        part[0] += (double)(v_x[i] - target[i]) * (double)(v_x[i] - target[i]);
    if (v_x_slope) {
        for (i = 0; i < n; i++)
            v_x_slope[i] = share * (v_x[i] - target[i]);
        *v_t_slope = share * (float)last;
    }
    return 0.5 * ((part[0] + part[1]) + (part[2] + part[3]) + last * last);
}
