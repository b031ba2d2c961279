/* What to learn from: pictures (a folder of PNGs, an IDX pair, or an NPY or NPZ array of bytes), or
 * vectors (an NPY or NPZ array of floats).
 *
 * All images of a set have one shape and lie in memory as bytes. Vectors keep their own coordinates
 * and are treated as images of d channels and one pixel. What is in the set, and in which
 * order, depends on the files' names and contents alone, never on the order in which a folder lists
 * them. Files that cannot be used are skipped with a warning that names file and reason, and
 * counted; with `strict` the first one is an error. Read-only after opening; any thread. */
#ifndef DATA_H
#define DATA_H

#include "base_crypto.h"
#include "base_err.h"
#include "image.h"

#define DATA_SIDE_MAX 1024
#define DATA_BYTES_MAX ((size_t)16 << 30)
#define DATA_CLASSES_MAX 1000
#define DATA_NUMBERS_MAX 4096 /* of a vector; as wide as a network can be */
#define DATA_VALUE_MAX 1e12f  /* of a vector's numbers: their squares and quotients stay floats */

struct data_options {
    const char *path;
    const char
        *labels; /* IDX: the file of labels, NULL: the one that belongs to the images' name */
    bool strict;
    int center_crop; /* to this many pixels a side, first; 0: none */
    int resize;      /* then to this many; 0: none */
};

struct data_set {
    int channels, side;
    size_t count;
    uint8_t *pixels;      /* [count][C,H,W], or NULL: */
    float *values;        /* vectors [count][channels] */
    float *offset, scale; /* of vectors: their mean [channels], and the deviation of all numbers */
    int32_t *label;       /* [count], -1 for none; NULL: no classes */
    char **names;         /* of classes, each of which has an image */
    int classes;
    int32_t *number; /* [classes]: of each among the `numbers` that the labels had before those */
    int numbers;     /* without an image were left out; NULL: nothing was */
    size_t skipped;  /* files that could not be used */
    double norm; /* mean over the images of the norm in data scale, of vectors from their mean */
    char sha256[SHA256_HEX_SIZE]; /* of pixels and labels */
};

/* Whether the name is that of a picture: it ends in .png, in any case. */
bool data_picture_named(const char *name);

/* Reads the whole set. ERR_INPUT "no usable images" when nothing is left. */
int data_open(const struct data_options *options, struct data_set *out, struct err *e);
void data_clear(struct data_set *d);

/* How far apart floats are where vectors lie farthest from 0, which is at *largest; of pictures
 * nothing that counts. */
double data_float_step(const struct data_set *d, double *largest);
/* ERR_INPUT at `what` where vectors lie so far from 0 that float32 has no more than ten numbers in
 * their deviation. */
int data_resolution_check(const struct data_set *d, const char *what, struct err *e);

/* How a picture is shown: mirrored, then moved right and down by so many pixels, less than a side;
 * what is uncovered repeats the picture's border. */
struct data_view {
    bool flip;
    int right, down;
};

/* Image i in data scale, [C,H,W], as `view` says; or vector i. */
void data_image(const struct data_set *d, size_t i, struct data_view view, float *out);

#endif
