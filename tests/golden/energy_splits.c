/* energy_splits SAMPLES.npy HELD_OUT.npy: whether samples are as good as data. Splits both at
 * random TRIES times and prints the medians of the energy distance, 2 E‖X − Y‖ − E‖X − X'‖ − E‖Y −
 * Y'‖ over all pairs (so never negative), of SIZE samples to SIZE held-out points and of other SIZE
 * held-out points to the same. Points of a plane, float32. */
#include "base_file.h"
#include "base_rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE ((size_t)2000)
#define TRIES ((size_t)20)
#define PREFIX 10 /* of an NPY file of version 1: magic, version, length of the header */

struct points {
    float *at; /* [count][2] */
    size_t count;
};

static int read_points(const char *path, struct points *out)
{
    struct err e = {0};
    struct buf text;
    buf_init(&text, (size_t)1 << 28);
    if (file_read(path, &text, &e) || text.length < PREFIX) {
        fprintf(stderr, "%s: %s\n", path, e.text);
        return -1;
    }
    size_t header = PREFIX + (text.data[8] | (size_t)text.data[9] << 8);
    out->count = (text.length - header) / (2 * sizeof(float));
    out->at = malloc(text.length);
    if (!out->at || !memmem(text.data, header, "<f4", 3))
        return -1;
    memcpy(out->at, text.data + header, out->count * 2 * sizeof(float));
    buf_clear(&text);
    return 0;
}

/* The first `wanted` places become a random choice: Fisher and Yates. */
static void shuffle(struct points *p, size_t wanted, uint64_t stream)
{
    double *u = malloc(wanted * sizeof *u);
    if (!u)
        abort();
    rng_uniforms(1, stream, RNG_TEST, wanted, u);
    for (size_t i = 0; i < wanted; i++) {
        size_t k = i + (size_t)(u[i] * (double)(p->count - i));
        float kept[2];
        memcpy(kept, p->at + 2 * i, sizeof kept);
        memcpy(p->at + 2 * i, p->at + 2 * k, sizeof kept);
        memcpy(p->at + 2 * k, kept, sizeof kept);
    }
    free(u);
}

static double mean_distance(const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < SIZE; i++)
        for (size_t k = 0; k < SIZE; k++) {
            double x = (double)a[2 * i] - (double)b[2 * k];
            double y = (double)a[2 * i + 1] - (double)b[2 * k + 1];
            sum += sqrt(x * x + y * y);
        }
    return sum / (double)(SIZE * SIZE);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double v[TRIES])
{
    qsort(v, TRIES, sizeof *v, compare);
    return (v[TRIES / 2 - 1] + v[TRIES / 2]) / 2;
}

int main(int argc, char **argv)
{
    struct points samples, held_out;
    double model[TRIES], data[TRIES];
    if (argc != 3 || read_points(argv[1], &samples) || read_points(argv[2], &held_out) ||
        samples.count < SIZE || held_out.count < 2 * SIZE) {
        fprintf(stderr, "energy_splits: two NPY files of %zu and %zu points are needed\n", SIZE,
                2 * SIZE);
        return 2;
    }
    for (size_t i = 0; i < TRIES; i++) {
        shuffle(&samples, SIZE, 2 * i);
        shuffle(&held_out, 2 * SIZE, 2 * i + 1);
        const float *y = held_out.at, *x = held_out.at + 2 * SIZE;
        double own = mean_distance(y, y);
        model[i] = 2 * mean_distance(samples.at, y) - mean_distance(samples.at, samples.at) - own;
        data[i] = 2 * mean_distance(x, y) - mean_distance(x, x) - own;
    }
    printf("{\"model\": %.6g, \"data\": %.6g}\n", median(model), median(data));
    free(samples.at);
    free(held_out.at);
    return 0;
}
