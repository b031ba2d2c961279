/* Making and running single operations; see bench_ops_case.h. */
#include "bench_ops_case.h"
#include "base_size.h"
#include "bench_subject.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 3

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

/* Zeroed floats that the case owns; NULL and the error when memory is short. */
static float *take(struct bench_case *c, size_t count, struct err *e)
{
    size_t bytes;
    if (!size_mul(count, sizeof(float), &bytes)) {
        err_fail(e, ERR_LIMIT, "batch", "%zu images are too many", c->images);
        return NULL;
    }
    void *memory = arena_memory(bytes, e);
    if (memory)
        c->memory[c->memory_count++] = memory;
    return memory;
}

static float *take_filled(struct bench_case *c, uint64_t stream, size_t count, struct err *e)
{
    float *out = take(c, count, e);
    if (out)
        bench_uniforms(SEED, stream, count, 1.0, out);
    return out;
}

/* A product over `inputs` numbers a pixel: weights, bias and output. */
static int open_product(struct bench_case *c, enum nn_product_kind kind, size_t inputs,
                        size_t pixels, struct err *e)
{
    const struct bench_shape *s = c->shape;
    size_t lanes = nn_lanes(s->out);
    double work = (double)pixels * (double)inputs * (double)s->out;
    c->out_count = pixels * lanes;
    c->canonical = take(c, inputs * lanes, e);
    c->out = take(c, c->out_count, e);
    float *bias = take_filled(c, 2, lanes, e);
    if (!c->canonical || !c->out || !bias)
        return -1;
    for (size_t k = 0; k < inputs; k++) /* the padding of the outputs stays zero */
        bench_uniforms(SEED, 16 + k, s->out, sqrt(3.0 / (double)inputs), c->canonical + k * lanes);
    c->flop = 2.0 * work;
    c->bytes = 4.0 * ((double)c->out_count + (double)inputs * (double)lanes);
    c->product = (struct nn_product){
        .shape = {kind, inputs, lanes}, .bias = bias, .in_step = 1, .scale = 1.0f, .out = c->out};
    return 0;
}

/* Random pixels inside, zeros at the border. */
static float *bordered_input(struct bench_case *c, size_t side, size_t lanes, struct err *e)
{
    size_t pitch = side + 1;
    float *in = take(c, nn_bordered_pixels(c->images, side) * lanes, e);
    for (size_t row = 0; in && row < c->images * side; row++) {
        size_t image = row / side, y = row % side;
        size_t first = (image * pitch + y + 1) * pitch + 1;
        bench_uniforms(SEED, (uint64_t)1 << 20 | row, side * lanes, 1.0, in + first * lanes);
    }
    return in;
}

static int open_conv(struct bench_case *c, struct err *e)
{
    const struct bench_shape *s = c->shape;
    size_t pitch = s->side + 1, pixels = c->images * s->side * s->side;
    /* As in the network's first convolution, an image's pixels are not padded. */
    size_t lanes = s->in < NN_LANES ? s->in : nn_lanes(s->in);
    enum nn_product_kind kind = s->op == BENCH_WINOGRAD ? NN_PRODUCT_WINOGRAD : NN_PRODUCT_3X3;
    float *in = bordered_input(c, s->side, lanes, e);
    if (!in || open_product(c, kind, 9 * lanes, pixels, e) < 0)
        return -1;
    struct nn_product *p = &c->product;
    p->segments = 3;
    for (size_t i = 0; i < 3; i++)
        p->segment[i] = (struct nn_segment){in + i * pitch * lanes, lanes, 3 * lanes};
    p->in_image = pitch * pitch;
    p->in_row = pitch;
    p->images = c->images;
    p->height = p->width = s->side;
    c->bytes += 4.0 * (double)(pixels * lanes);
    return 0;
}

static int open_point(struct bench_case *c, struct err *e)
{
    const struct bench_shape *s = c->shape;
    size_t pixels = s->op == BENCH_LINEAR ? 1 : s->side * s->side, lanes = nn_lanes(s->in);
    float *in = take_filled(c, 3, c->images * pixels * lanes, e);
    if (!in || open_product(c, NN_PRODUCT_POINT, lanes, c->images * pixels, e) < 0)
        return -1;
    struct nn_product *p = &c->product;
    p->segments = 1;
    p->segment[0] = (struct nn_segment){in, lanes, lanes};
    p->in_image = p->in_row = c->images * pixels;
    p->images = p->height = 1;
    p->width = c->images * pixels;
    c->bytes += 4.0 * (double)(c->images * pixels * lanes);
    return 0;
}

static int open_norm(struct bench_case *c, struct err *e)
{
    const struct bench_shape *s = c->shape;
    size_t lanes = nn_lanes(s->in), pitch = s->side + 1;
    size_t count = c->images * s->side * s->side * lanes;
    int groups = nn_groups((int)s->in), size = (int)s->in / groups;
    c->out_count = nn_bordered_pixels(c->images, s->side) * lanes;
    float *in = take_filled(c, 4, count, e), *gamma = take_filled(c, 5, lanes, e);
    float *beta = take_filled(c, 6, lanes, e), *scratch = take(c, 4 * lanes, e);
    int32_t *group = (void *)take(c, lanes, e);
    c->out = take(c, c->out_count, e);
    if (!in || !gamma || !beta || !scratch || !group || !c->out)
        return -1;
    for (size_t i = 0; i < lanes; i++)
        group[i] = i < s->in ? (int32_t)i / size : -1;
    c->weights = (struct nn_norm_weights){lanes, groups, size, gamma, beta, group};
    c->norm = (struct nn_norm){
        .weights = &c->weights,
        .parts = 1,
        .part = {{in, lanes}},
        .images = c->images,
        .side = s->side,
        .silu = true,
        .target = {c->out, pitch + 1, pitch, pitch * pitch, lanes},
        .scratch = (void *)scratch,
    };
    c->bytes = 8.0 * (double)count;
    return 0;
}

static int open_attention(struct bench_case *c, struct err *e)
{
    const struct bench_shape *s = c->shape;
    size_t lanes = nn_lanes(s->in), pixels = s->side * s->side;
    c->out_count = c->images * pixels * lanes;
    float *qkv = take_filled(c, 7, 3 * c->out_count, e);
    float *scratch = take(c, nn_attention_scratch(pixels, lanes), e);
    c->out = take(c, c->out_count, e);
    if (!qkv || !scratch || !c->out)
        return -1;
    c->attention = (struct nn_attention){qkv, c->images, pixels, s->in, lanes, c->out, scratch};
    c->flop = 4.0 * (double)(c->images * pixels * pixels * s->in);
    c->bytes = 16.0 * (double)c->out_count;
    return 0;
}

static int open_resample(struct bench_case *c, struct err *e)
{
    const struct bench_shape *s = c->shape;
    size_t lanes = nn_lanes(s->in), side = nn_resample_side(s->kind, s->side);
    size_t count = c->images * s->side * s->side * lanes;
    c->out_count = c->images * side * side * lanes;
    float *in = take_filled(c, 8, count, e);
    c->out = take(c, c->out_count, e);
    if (!in || !c->out)
        return -1;
    c->resample = (struct nn_resample){
        s->kind, in, c->images, s->side, {c->out, 0, side, side * side, lanes}};
    c->bytes = 4.0 * (double)(count + c->out_count);
    return 0;
}

int bench_case_open(struct bench_case *c, const struct bench_shape *shape, size_t images,
                    struct err *e)
{
    static int (*const open[])(struct bench_case *, struct err *) = {
        open_conv, open_conv, open_point, open_point, open_norm, open_attention, open_resample};
    *c = (struct bench_case){.shape = shape, .images = images};
    if (open[shape->op](c, e) == 0)
        return 0;
    bench_case_close(c);
    return -1;
}

void bench_case_close(struct bench_case *c)
{
    for (int i = 0; i < c->memory_count; i++)
        free(c->memory[i]);
    free(c->packed);
    free(c->scratch);
    free(c->tiles);
    *c = (struct bench_case){0};
}

/* ---- running ---- */

static int renew(float **memory, size_t count, struct err *e)
{
    free(*memory);
    *memory = (void *)arena_memory(count * sizeof **memory, e);
    return *memory ? 0 : -1;
}

struct bench_way bench_way_of(enum nn_kernel kernel, enum nn_precision precision)
{
    int terms = precision == NN_PRECISION_F32 ? 0 : precision == NN_PRECISION_BF16 ? 1 : 3;
    return (struct bench_way){kernel, precision, nn_kernels_get(kernel), nn_tiles_get(kernel),
                              terms};
}

/* A product's weights, and its input (with its border, if it has one) as pixels in bf16. */
static int pack_tiles(struct bench_case *c, const struct bench_way *way, struct err *e)
{
    struct nn_product *p = &c->product;
    const struct bench_shape *s = c->shape;
    bool conv = s->op == BENCH_CONV;
    size_t lanes = p->segment[0].stride;
    size_t pixels = conv ? nn_bordered_pixels(c->images, s->side) : p->width;
    if (renew(&c->packed, nn_tile_pack_size(&p->shape, way->terms) / 2, e) < 0 ||
        renew(&c->tiles, nn_tile_room(pixels, lanes, way->terms), e) < 0)
        return -1;
    uint16_t *in = (uint16_t *)(void *)c->tiles, *packed = (uint16_t *)(void *)c->packed;
    const struct nn_split split = {
        1,
        {{p->segment[0].base, lanes, lanes}},
        1,
        1,
        pixels,
        {in, 0, pixels, pixels, nn_tile_lanes(lanes), nn_tile_plane(pixels, lanes), way->terms}};
    way->kernels->split(&split);
    nn_tile_pack(&p->shape, way->terms, c->canonical, packed);
    p->terms = way->terms;
    p->tile = (struct nn_tile_operands){in, packed, split.target.lanes, split.target.plane,
                                        conv ? s->side + 1 : 0};
    return 0;
}

int bench_case_pack(struct bench_case *c, const struct bench_way *way, struct err *e)
{
    struct nn_product *p = &c->product;
    if (way->terms && c->shape->op == BENCH_ATTENTION)
        return renew(&c->scratch,
                     nn_tile_attention_scratch(c->attention.pixels, c->attention.lanes, way->terms),
                     e);
    if (!c->canonical)
        return 0;
    if (way->terms)
        return pack_tiles(c, way, e);
    if (renew(&c->packed, way->kernels->pack_size(&p->shape), e) < 0 ||
        renew(&c->scratch, way->kernels->product_scratch(&p->shape) + 1, e) < 0)
        return -1;
    p->terms = 0;
    p->packed = c->packed;
    p->scratch = c->scratch;
    way->kernels->pack(&p->shape, c->canonical, c->packed);
    return 0;
}

bool bench_case_has(const struct bench_case *c, const struct bench_way *way)
{
    const struct bench_shape *s = c->shape;
    bool inner = s->op == BENCH_CONV || s->op == BENCH_POINT || s->op == BENCH_ATTENTION;
    return way->terms == 0 || (inner && s->in >= NN_LANES);
}

bool bench_case_is_used(const struct bench_case *c, const struct bench_way *way)
{
    const struct bench_shape *s = c->shape;
    bool conv = s->op == BENCH_CONV || s->op == BENCH_WINOGRAD;
    /* The first layer's pixels are not padded, which the transformed form needs. */
    bool winograd = way->terms == 0 && conv && s->in >= NN_LANES &&
                    way->kernels->winograd(nn_lanes(s->in), nn_lanes(s->out), s->side);
    return winograd == (s->op == BENCH_WINOGRAD);
}

static void run_attention(struct bench_case *c, const struct bench_way *way)
{
    struct nn_tile_attention p = {c->attention, way->kernels, way->tiles, way->terms};
    struct nn_share all = {.last = nn_tile_attention_sharing.units(&p), .scratch = c->scratch};
    nn_tile_attention_sharing.run(&p, &all);
}

void bench_case_run(struct bench_case *c, const struct bench_way *way)
{
    switch (c->shape->op) {
    case BENCH_CONV:
    case BENCH_WINOGRAD:
    case BENCH_POINT:
    case BENCH_LINEAR:
        if (way->terms)
            nn_tile_product(way->tiles, &c->product);
        else
            way->kernels->product(&c->product);
        break;
    case BENCH_NORM:
        way->kernels->norm(&c->norm);
        break;
    case BENCH_ATTENTION:
        if (way->terms)
            run_attention(c, way);
        else
            way->kernels->attention(&c->attention);
        break;
    case BENCH_RESAMPLE:
        way->kernels->resample(&c->resample);
        break;
    }
}
