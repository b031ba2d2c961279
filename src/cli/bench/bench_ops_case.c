/* Making and running single operations; see bench_ops_case.h. */
#include "bench_ops_case.h"
#include "base_arena.h"
#include <stdio.h>
#include <stdlib.h>

const char *bench_shape_name(const struct bench_shape *s)
{
    static const char *const names[] = {"conv3x3",   "winograd",  "conv1x1", "linear",
                                        "norm+silu", "attention", "resample"};
    static const char *const kinds[] = {"box-up", "box-down", "fir-up", "fir-down", "fir-blur"};
    return s->op == BENCH_RESAMPLE ? kinds[s->kind] : names[s->op];
}

const char *bench_shape_size(const struct bench_shape *s, char *out, size_t size)
{
    if (s->op == BENCH_LINEAR)
        snprintf(out, size, "%zu>%zu", s->in, s->out);
    else if (s->out)
        snprintf(out, size, "%zux%zu %zu>%zu", s->side, s->side, s->in, s->out);
    else
        snprintf(out, size, "%zux%zu %zu", s->side, s->side, s->in);
    return out;
}

/* ---- operands ---- */

/* The case of src/nn/cases that an operation is. As in the network's first convolution, the pixels
 * of an image are not padded; those of a 1×1 convolution are one row. */
static struct nn_case_shape case_of(const struct bench_shape *s, size_t images)
{
    static const enum nn_case_op ops[] = {NN_CASE_CONV,    NN_CASE_WINOGRAD, NN_CASE_POINT,
                                          NN_CASE_LINEAR,  NN_CASE_NORM,     NN_CASE_ATTENTION,
                                          NN_CASE_RESAMPLE};
    struct nn_case_shape c = {
        .op = ops[s->op], .side = s->side, .in = s->in, .out = s->out, .images = images};
    if (s->op == BENCH_CONV && s->in < NN_LANES)
        c.option = NN_CASE_UNPADDED;
    else if (s->op == BENCH_POINT)
        c.option = NN_CASE_ROW;
    else if (s->op == BENCH_NORM)
        c.option = NN_CASE_SILU | NN_CASE_BORDER;
    else if (s->op == BENCH_RESAMPLE)
        c.option = (int)s->kind;
    return c;
}

/* What a run computes and moves. */
static void count_work(struct bench_case *c)
{
    const struct bench_shape *s = c->shape;
    const struct nn_case *w = &c->work;
    double pixels = (double)(c->images * s->side * s->side), in = pixels * (double)w->lanes_in;
    double out = (double)c->out_count;
    c->bytes = 4.0 * (in + out);
    if (nn_case_is_product(w)) {
        double inputs = (double)w->product.shape.inputs;
        c->flop = 2.0 * pixels * inputs * (double)s->out;
        c->bytes += 4.0 * inputs * (double)w->lanes_out;
    } else if (s->op == BENCH_NORM) {
        c->bytes = 8.0 * in;
    } else if (s->op == BENCH_ATTENTION) {
        c->flop = 4.0 * pixels * (double)(s->side * s->side) * (double)s->in;
        c->bytes = 16.0 * out;
    }
}

int bench_case_init(struct bench_case *c, const struct bench_shape *shape, size_t images,
                    struct err *e)
{
    const struct nn_case_shape work = case_of(shape, images);
    *c = (struct bench_case){.shape = shape, .images = images};
    if (nn_case_open(&c->work, &work, e) != 0)
        return -1;
    c->out_count = c->work.count;
    c->out = (void *)arena_memory(c->out_count * sizeof *c->out, e);
    if (!c->out) {
        bench_case_clear(c);
        return -1;
    }
    count_work(c);
    return 0;
}

void bench_case_clear(struct bench_case *c)
{
    nn_case_clear(&c->work);
    free(c->out);
    *c = (struct bench_case){0};
}

/* ---- running ---- */

struct bench_variant bench_variant_of(enum nn_kernel kernel, enum nn_precision precision)
{
    int terms = precision == NN_PRECISION_F32 ? 0 : precision == NN_PRECISION_BF16 ? 1 : 3;
    return (struct bench_variant){kernel, precision, nn_kernels_get(kernel), nn_tiles_get(kernel),
                                  terms};
}

int bench_case_pack(struct bench_case *c, const struct bench_variant *variant, struct err *e)
{
    return nn_case_prepare(&c->work, variant->kernels, variant->terms, e);
}

bool bench_case_has(const struct bench_case *c, const struct bench_variant *variant)
{
    const struct bench_shape *s = c->shape;
    bool inner = s->op == BENCH_CONV || s->op == BENCH_POINT || s->op == BENCH_ATTENTION;
    return variant->terms == 0 || (inner && s->in >= NN_LANES);
}

bool bench_case_is_used(const struct bench_case *c, const struct bench_variant *variant)
{
    const struct bench_shape *s = c->shape;
    bool conv = s->op == BENCH_CONV || s->op == BENCH_WINOGRAD;
    /* The first layer's pixels are not padded, which the transformed form needs. */
    bool winograd = variant->terms == 0 && conv && s->in >= NN_LANES &&
                    variant->kernels->winograd(nn_lanes(s->in), nn_lanes(s->out), s->side);
    return winograd == (s->op == BENCH_WINOGRAD);
}

void bench_case_run(struct bench_case *c, const struct bench_variant *variant)
{
    nn_case_run(&c->work, variant->kernels, variant->tiles, c->out);
}
