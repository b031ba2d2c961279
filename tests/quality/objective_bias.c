/* objective_bias IMAGES: what PFGM's objective learns with a large batch of B images beside the
 * field of all of them. At perturbed images, by the range of t: the mean of the normalised target
 * over many large batches, whose first image is the perturbed one's own as in training, against the
 * target of the whole set. One JSON object: "rows": [{"t_low", "t_high", "large_batch", "bias",
 * "spread"}], both relative to the length of the whole set's target: of the mean's distance, and of
 * a single batch's (root mean square). */
#include "base_rng.h"
#include "train_field.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS 16 /* perturbed images in a range of t */
#define DRAWS 48  /* large batches a point */
#define RANGES 4

static const double ranges[RANGES + 1] = {0.01, 0.1, 1, 10, 60};
static const size_t batches[] = {16, 64, 256, 1024, 4096};
#define BATCHES (sizeof batches / sizeof *batches)

struct point {
    float *x, t;
    uint32_t image;
};

/* Of one block of points: the target of `rows`, in `out` [count][n + 1]. */
static void targets(struct train_field *f, const struct train_rows *rows,
                    const struct point *points, int count, size_t n, float *out)
{
    struct train_points p = {.count = count};
    for (int i = 0; i < count; i++) {
        p.x[i] = points[i].x;
        p.t[i] = points[i].t;
        p.target[i] = out + (size_t)i * (n + 1);
    }
    train_field_targets(f, 5, rows, &p);
}

/* Means over the points of a range. */
static void compare(const struct data_set *d, struct train_field *f, const struct point *p,
                    size_t count, size_t n, size_t large, double low, double high)
{
    float *whole = calloc(n + 1, sizeof *whole), *one = calloc(n + 1, sizeof *one);
    double *mean = calloc(n + 1, sizeof *mean), bias = 0, spread = 0;
    uint32_t *index = calloc(d->count, sizeof *index);
    if (!whole || !one || !mean || !index)
        exit(1);
    for (size_t k = 0; k < count; k++) {
        double length = 0, off = 0, apart = 0;
        for (size_t j = 0; j < d->count; j++)
            index[j] = (uint32_t)j << 1;
        const struct train_rows all = {.data = d, .index = index, .count = d->count};
        targets(f, &all, &p[k], 1, n, whole);
        memset(mean, 0, (n + 1) * sizeof *mean);
        for (uint64_t draw = 0; draw < DRAWS; draw++) {
            const struct train_rows some = {.data = d, .index = index, .count = large};
            index[0] = p[k].image << 1;
            for (size_t j = 1; j < large; j++)
                index[j] = (uint32_t)rng_below(k, draw << 32 | j, RNG_TEST, d->count) << 1;
            targets(f, &some, &p[k], 1, n, one);
            for (size_t j = 0; j <= n; j++) {
                mean[j] += (double)one[j] / DRAWS;
                apart += pow((double)one[j] - (double)whole[j], 2) / DRAWS;
            }
        }
        for (size_t j = 0; j <= n; j++) {
            length += (double)whole[j] * (double)whole[j];
            off += pow(mean[j] - (double)whole[j], 2);
        }
        bias += sqrt(off / length) / (double)count;
        spread += sqrt(apart / length) / (double)count;
    }
    printf(
        "{\"t_low\": %g, \"t_high\": %g, \"large_batch\": %zu, \"bias\": %.4f, \"spread\": %.4f}",
        low, high, large, bias, spread);
    free(whole);
    free(one);
    free(mean);
    free(index);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct data_set d = {0};
    const struct data_options options = {.path = argc == 2 ? argv[1] : ""};
    if (argc != 2 || data_open(&options, &d, &e)) {
        fprintf(stderr, "usage: objective_bias IMAGES; %s: %s\n", e.at, e.text);
        return 2;
    }
    const struct train_config c = {.sigma = 0.01, .tau = 0.03, .m = 291, .seed = 1};
    size_t n = (size_t)d.channels * (size_t)d.side * (size_t)d.side, found[RANGES] = {0};
    struct train_field *f = train_field_new(nn_kernel_resolve(NN_KERNEL_AUTO), n, d.count, &e);
    double *scratch = calloc(n + 1, sizeof *scratch);
    float *clean = calloc(n, sizeof *clean), *x = calloc(n, sizeof *x), t;
    struct point *points = calloc(RANGES * POINTS, sizeof *points);
    if (!f || !scratch || !clean || !x || !points)
        return 1;
    for (int64_t step = 0, left = RANGES * POINTS; left > 0; step++) {
        uint32_t image = (uint32_t)rng_below(2, (uint64_t)step, RNG_TEST, d.count);
        data_image(&d, image, (struct data_view){0}, clean);
        train_perturb(&c, step, 0, n, clean, scratch, x, &t);
        for (size_t r = 0; r < RANGES; r++)
            if ((double)t >= ranges[r] && (double)t < ranges[r + 1] && found[r] < POINTS) {
                struct point *p = &points[r * POINTS + found[r]++];
                *p = (struct point){calloc(n, sizeof(float)), t, image};
                if (!p->x)
                    return 1;
                memcpy(p->x, x, n * sizeof *x);
                left--;
            }
    }
    printf("{\"rows\": [");
    for (size_t r = 0; r < RANGES; r++)
        for (size_t b = 0; b < BATCHES; b++) {
            printf("%s", r + b ? ", " : "");
            compare(&d, f, &points[r * POINTS], found[r], n, batches[b], ranges[r], ranges[r + 1]);
            fflush(stdout);
        }
    printf("]}\n");
    for (size_t i = 0; i < RANGES * POINTS; i++)
        free(points[i].x);
    free(points);
    free(scratch);
    free(clean);
    free(x);
    train_field_free(f);
    data_clear(&d);
    return 0;
}
