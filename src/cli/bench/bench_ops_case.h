/* One operation of a network at one size, with everything that a kernel needs to run it. For
 * src/cli/bench only.
 *
 * This is the one place outside of the nn room that drives the table of kernels (nn_kernels.h)
 * directly: a benchmark of single operations cannot go through a network. Operands are random, the
 * same for every kernel, and lie in memory of the kind that a network's do. */
#ifndef BENCH_OPS_CASE_H
#define BENCH_OPS_CASE_H

#include "nn_case.h"
#include "nn_tile.h"

enum bench_op {
    BENCH_CONV,     /* 3×3 from a bordered image, with a bias, directly */
    BENCH_WINOGRAD, /* the same by transformed weights, where the kernel knows them */
    BENCH_POINT,    /* 1×1 */
    BENCH_LINEAR,
    BENCH_NORM, /* group norm and SiLU into a bordered image */
    BENCH_ATTENTION,
    BENCH_RESAMPLE
};

struct bench_shape {
    enum bench_op op;
    enum nn_resample_kind kind; /* of BENCH_RESAMPLE */
    size_t side, in, out;       /* pixels a side; channels (out of products only) */
};

/* How a report calls the operation, and its size ("32x32 128>256"), in at most `size` bytes. */
const char *bench_shape_name(const struct bench_shape *s);
const char *bench_shape_size(const struct bench_shape *s, char *out, size_t size);

/* How it is computed: a kernel and a precision that this machine runs. */
struct bench_variant {
    enum nn_kernel kernel;
    enum nn_precision precision;
    const struct nn_kernels *kernels;
    const struct nn_tiles *tiles;
    int terms; /* of nn_product; 0: f32 */
};
struct bench_variant bench_variant_of(enum nn_kernel kernel, enum nn_precision precision);

struct bench_case {
    const struct bench_shape *shape;
    struct nn_case work;
    size_t images;
    double flop;  /* of a run: two for each multiply-add; 0 where memory decides */
    double bytes; /* of a run: each input, weight and output once */
    float *out;   /* [out_count], with its border, which stays zero */
    size_t out_count;
};

/* Makes the operands for `images` images. On failure nothing is left to close. */
int bench_case_init(struct bench_case *c, const struct bench_shape *shape, size_t images,
                    struct err *e);
void bench_case_clear(struct bench_case *c);
/* Whether a precision concerns the operation: bf16 that of products of padded pixels. */
bool bench_case_has(const struct bench_case *c, const struct bench_variant *variant);
/* Packs a product's weights for a variant and makes its scratch and inputs; before running it. */
int bench_case_pack(struct bench_case *c, const struct bench_variant *variant, struct err *e);
void bench_case_run(struct bench_case *c, const struct bench_variant *variant);
/* Whether a network would run this form of the operation in that variant. */
bool bench_case_is_used(const struct bench_case *c, const struct bench_variant *variant);

#endif
