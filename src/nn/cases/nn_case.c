/* Making and running single operations. */
#include "nn_case.h"
#include "base_arena.h"
#include "base_rng.h"
#include "base_size.h"
#include <stdlib.h>
#include <string.h>

#define SEED 7
#define CHUNK 256
#define LARGE ((size_t)1 << 21) /* bytes from which on an array may have huge pages */
#define FAR_AWAY 60.0f
#define SCALE 0.75f /* after a residual */

void nn_case_uniforms(uint64_t stream, size_t n, float *out)
{
    double unit[CHUNK];
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t count = n - first < CHUNK ? n - first : CHUNK;
        rng_uniforms(SEED, stream << 32 | first / CHUNK, RNG_TEST, count, unit);
        for (size_t i = 0; i < count; i++)
            out[first + i] = (float)(2 * unit[i] - 1);
    }
}

/* ---- memory ---- */

/* Zeroed floats, exactly so many where they are few. */
static float *zeros(size_t count, struct err *e)
{
    size_t bytes;
    void *memory = NULL;
    if (!size_mul(count + 1, sizeof(float), &bytes)) {
        err_fail(e, ERR_LIMIT, "batch", "so many images do not fit in memory");
        return NULL;
    }
    if (bytes >= LARGE)
        return (void *)arena_memory(bytes, e);
    if (posix_memalign(&memory, ARENA_ALIGN, bytes) != 0) {
        err_fail_memory(e, bytes);
        return NULL;
    }
    memset(memory, 0, bytes);
    return memory;
}

/* The same, freed with the case. */
static float *take(struct nn_case *c, size_t count, struct err *e)
{
    float *memory = zeros(count, e);
    if (memory)
        c->memory[c->memory_count++] = memory;
    return memory;
}

/* `pixels` pixels of `channels` random numbers each, at a distance of `step`, zeros between. */
static float *take_pixels(struct nn_case *c, uint64_t stream, size_t pixels, size_t channels,
                          size_t step, struct err *e)
{
    float *out = take(c, pixels * step, e);
    for (size_t i = 0; out && i < pixels; i++)
        nn_case_uniforms(stream << 20 | i, channels, out + i * step);
    return out;
}

static int renew(float **memory, size_t count, struct err *e)
{
    free(*memory);
    *memory = zeros(count, e);
    return *memory ? 0 : -1;
}

/* ---- products ---- */

static bool has_border(const struct nn_case *c)
{
    return c->shape.op == NN_CASE_CONV || c->shape.op == NN_CASE_WINOGRAD;
}

static size_t taps(const struct nn_case *c)
{
    return c->shape.op >= NN_CASE_POINT ? 1 : 9;
}

/* Random pixels inside, zeros at the border. */
static float *bordered_pixels(struct nn_case *c, struct err *e)
{
    const struct nn_case_shape *s = &c->shape;
    float *out = take(c, nn_bordered_pixels(s->images, s->side) * c->lanes_in, e);
    if (!out)
        return NULL;
    const struct nn_target inside = nn_bordered_target(out, s->side, c->lanes_in);
    for (size_t i = 0; i < s->images * s->side * s->side; i++) {
        float *row = nn_target_row(&inside, i / s->side / s->side, i / s->side % s->side);
        nn_case_uniforms((uint64_t)1 << 20 | i, s->in, row + i % s->side * c->lanes_in);
    }
    return out;
}

/* Canonical weights: row (tap, lane of either input), column out; padding zero. */
static float *canonical_weights(struct nn_case *c, struct err *e)
{
    const struct nn_case_shape *s = &c->shape;
    size_t rows = c->lanes_in + c->lanes_skip, channels = s->in + s->skip;
    float *out = take(c, taps(c) * rows * c->lanes_out, e);
    for (size_t i = 0; out && i < taps(c) * channels; i++) {
        size_t lane = i % channels < s->in ? i % channels : c->lanes_in + i % channels - s->in;
        nn_case_uniforms((uint64_t)3 << 20 | i, s->out,
                         out + (i / channels * rows + lane) * c->lanes_out);
    }
    return out;
}

/* How the operation reads its pixels, in f32. */
static void describe_product(struct nn_case *c)
{
    const struct nn_case_shape *s = &c->shape;
    size_t pitch = s->side + has_border(c), step = s->op == NN_CASE_CONV_STRIDE_2 ? 2 : 1;
    struct nn_product *p = &c->product;
    *p = (struct nn_product){.shape = {NN_PRODUCT_3X3, 9 * c->lanes_in, c->lanes_out},
                             .bias = c->bias,
                             .bias_step = s->option & NN_CASE_BIASES ? c->lanes_out : 0,
                             .segments = 3,
                             .in_image = pitch * pitch,
                             .in_row = pitch * step,
                             .in_step = step,
                             .images = s->images,
                             .height = c->side_out,
                             .width = c->side_out,
                             .scale = SCALE};
    for (size_t i = 0; i < 3; i++)
        p->segment[i] =
            (struct nn_segment){c->in + i * pitch * c->lanes_in, c->lanes_in, 3 * c->lanes_in};
    if (s->op == NN_CASE_WINOGRAD)
        p->shape.kind = NN_PRODUCT_WINOGRAD;
    if (taps(c) == 9)
        return;
    p->shape =
        (struct nn_product_shape){NN_PRODUCT_POINT, c->lanes_in + c->lanes_skip, c->lanes_out};
    p->segments = s->skip ? 2 : 1;
    p->segment[0] = (struct nn_segment){c->in, c->lanes_in, c->lanes_in};
    p->segment[1] = (struct nn_segment){c->skip, c->step_skip, c->lanes_skip};
    if (s->op == NN_CASE_LINEAR) {
        p->shape.kind = NN_PRODUCT_LINEAR;
        p->images = 1;
    }
    if (s->op == NN_CASE_LINEAR || s->option & NN_CASE_ROW) {
        p->height = 1;
        p->width = s->images / p->images * s->side * s->side;
        p->in_row = p->in_image = p->width;
    }
}

static int open_product(struct nn_case *c, struct err *e)
{
    const struct nn_case_shape *s = &c->shape;
    size_t pixels = s->images * s->side * s->side;
    if (s->option & NN_CASE_UNPADDED)
        c->lanes_in = s->in;
    if (s->op == NN_CASE_CONV_STRIDE_2)
        c->side_out = (s->side - 1) / 2;
    size_t outputs = s->images * c->side_out * c->side_out;
    c->count = outputs * c->lanes_out;
    c->in =
        has_border(c) ? bordered_pixels(c, e) : take_pixels(c, 1, pixels, s->in, c->lanes_in, e);
    c->skip = take_pixels(c, 2, s->skip ? pixels : 1, s->skip, c->step_skip, e);
    c->weights = canonical_weights(c, e);
    c->bias = take_pixels(c, 4, s->images, s->out, c->lanes_out, e);
    c->residual =
        take_pixels(c, 5, s->option & NN_CASE_RESIDUAL ? outputs : 1, s->out, c->lanes_out, e);
    if (!c->in || !c->skip || !c->weights || !c->bias || !c->residual)
        return -1;
    describe_product(c);
    return 0;
}

/* The inputs in bf16, with the border if there is one. */
static int prepare_tiles(struct nn_case *c, const struct nn_kernels *kernels, int terms,
                         struct err *e)
{
    const struct nn_case_shape *s = &c->shape;
    struct nn_product *p = &c->product;
    size_t lanes = c->lanes_in + c->lanes_skip, pitch = s->side + has_border(c);
    size_t pixels =
        has_border(c) ? nn_bordered_pixels(s->images, s->side) : s->images * s->side * s->side;
    if (renew(&c->packed, nn_tile_pack_size(&p->shape, terms) / 2, e) != 0 ||
        renew(&c->tiles, nn_tile_room(pixels, lanes, terms), e) != 0)
        return -1;
    uint16_t *in = (uint16_t *)(void *)c->tiles, *packed = (uint16_t *)(void *)c->packed;
    const struct nn_split split = {
        s->skip ? 2 : 1,
        {{c->in, c->lanes_in, c->lanes_in}, {c->skip, c->lanes_skip, c->step_skip}},
        1,
        1,
        pixels,
        {in, 0, pixels, pixels, nn_tile_lanes(lanes), nn_tile_plane(pixels, lanes), terms}};
    kernels->split(&split);
    nn_tile_pack(&p->shape, terms, c->weights, packed);
    p->tile = (struct nn_tile_operands){in, packed, split.target.lanes, split.target.plane, pitch};
    return 0;
}

static int prepare_product(struct nn_case *c, const struct nn_kernels *kernels, int terms,
                           struct err *e)
{
    struct nn_product *p = &c->product;
    size_t scratch = kernels->product_scratch(&p->shape);
    p->terms = terms;
    if (terms)
        return prepare_tiles(c, kernels, terms, e);
    if (renew(&c->packed, kernels->pack_size(&p->shape), e) != 0 ||
        renew(&c->scratch, scratch, e) != 0)
        return -1;
    memset(c->scratch, 0xff, scratch * sizeof *c->scratch); /* never read as it is */
    p->packed = c->packed;
    p->scratch = c->scratch;
    kernels->pack(&p->shape, c->weights, c->packed);
    return 0;
}

static void run_product(struct nn_case *c, const struct nn_kernels *kernels,
                        const struct nn_tiles *tiles, float *out)
{
    c->product.out = out;
    c->product.residual = c->shape.option & NN_CASE_RESIDUAL ? out : NULL;
    if (c->product.residual)
        memcpy(out, c->residual, c->count * sizeof *out);
    if (c->product.terms)
        nn_tile_product(tiles, &c->product);
    else
        kernels->product(&c->product);
}

/* ---- the others ---- */

static int open_norm(struct nn_case *c, struct err *e)
{
    const struct nn_case_shape *s = &c->shape;
    size_t lanes = c->lanes_in + c->lanes_skip, channels = s->in + s->skip;
    size_t pixels = s->images * s->side * s->side;
    int groups = nn_groups((int)channels), size = (int)channels / groups;
    c->count = s->option & NN_CASE_BORDER ? nn_bordered_pixels(s->images, s->side) * lanes
                                          : pixels * lanes;
    c->step_skip = c->lanes_skip;
    float *in = take_pixels(c, 6, pixels, s->in, c->lanes_in, e);
    c->skip = take_pixels(c, 7, pixels, s->skip, c->lanes_skip, e);
    float *gamma = take(c, lanes, e), *beta = take(c, lanes, e), *scratch = take(c, 4 * lanes, e);
    int32_t *group = (void *)take(c, lanes, e);
    if (!in || !c->skip || !gamma || !beta || !scratch || !group)
        return -1;
    for (size_t i = 0; s->option & NN_CASE_FAR && i < pixels * c->lanes_in; i++)
        in[i] += i % c->lanes_in < s->in ? FAR_AWAY : 0.0f;
    memset(group, -1, lanes * sizeof *group);
    for (size_t i = 0; i < channels; i++) {
        size_t lane = i < s->in ? i : c->lanes_in + i - s->in;
        group[lane] = (int32_t)i / size;
        nn_case_uniforms((uint64_t)8 << 20 | i, 1, &gamma[lane]);
        nn_case_uniforms((uint64_t)9 << 20 | i, 1, &beta[lane]);
    }
    c->in = in;
    c->norm_weights = (struct nn_norm_weights){lanes, groups, size, gamma, beta, group};
    c->norm = (struct nn_norm){.weights = &c->norm_weights,
                               .parts = s->skip ? 2 : 1,
                               .part = {{c->in, c->lanes_in}, {c->skip, c->lanes_skip}},
                               .images = s->images,
                               .side = s->side,
                               .silu = (s->option & NN_CASE_SILU) != 0,
                               .scratch = (double *)(void *)scratch};
    return 0;
}

static void run_norm(struct nn_case *c, const struct nn_kernels *kernels,
                     const struct nn_tiles *tiles, float *out)
{
    size_t side = c->shape.side, lanes = c->norm_weights.lanes;
    (void)tiles;
    c->norm.target = c->shape.option & NN_CASE_BORDER ? nn_bordered_target(out, side, lanes)
                                                      : nn_plain_target(out, side, lanes);
    kernels->norm(&c->norm);
}

static int open_resample(struct nn_case *c, struct err *e)
{
    const struct nn_case_shape *s = &c->shape;
    c->side_out = nn_resample_side((enum nn_resample_kind)s->option, s->side);
    c->count = s->images * c->side_out * c->side_out * c->lanes_in;
    c->in = take_pixels(c, 10, s->images * s->side * s->side, s->in, c->lanes_in, e);
    c->resample = (struct nn_resample){.kind = (enum nn_resample_kind)s->option,
                                       .src = c->in,
                                       .images = s->images,
                                       .side = s->side};
    return c->in ? 0 : -1;
}

static void run_resample(struct nn_case *c, const struct nn_kernels *kernels,
                         const struct nn_tiles *tiles, float *out)
{
    (void)tiles;
    c->resample.target = nn_plain_target(out, c->side_out, c->lanes_in);
    kernels->resample(&c->resample);
}

static int open_attention(struct nn_case *c, struct err *e)
{
    const struct nn_case_shape *s = &c->shape;
    size_t pixels = s->side * s->side;
    c->count = s->images * pixels * c->lanes_in;
    float *qkv = take_pixels(c, 11, 3 * s->images * pixels, s->in, c->lanes_in, e);
    if (!qkv)
        return -1;
    for (size_t i = 0; i < 3 * c->count; i++)
        qkv[i] *= 2; /* uneven weights */
    c->in = qkv;
    c->attention = (struct nn_attention){
        .qkv = qkv, .images = s->images, .pixels = pixels, .channels = s->in, .lanes = c->lanes_in};
    return 0;
}

static int prepare_attention(struct nn_case *c, const struct nn_kernels *kernels, int terms,
                             struct err *e)
{
    struct nn_attention *a = &c->attention;
    (void)kernels;
    c->product.terms = terms;
    if (renew(&c->scratch,
              terms ? nn_tile_attention_scratch(a->pixels, a->lanes, terms)
                    : nn_attention_scratch(a->pixels, a->lanes),
              e) != 0)
        return -1;
    a->scratch = c->scratch;
    return 0;
}

static void run_attention(struct nn_case *c, const struct nn_kernels *kernels,
                          const struct nn_tiles *tiles, float *out)
{
    c->attention.out = out;
    if (!c->product.terms) {
        kernels->attention(&c->attention);
        return;
    }
    const struct nn_tile_attention p = {c->attention, kernels, tiles, c->product.terms};
    struct nn_share all = {.last = nn_tile_attention_sharing.units(&p), .scratch = c->scratch};
    nn_tile_attention_sharing.run(&p, &all);
}

/* ---- any of them ---- */

static const struct {
    int (*open)(struct nn_case *c, struct err *e);
    int (*prepare)(struct nn_case *c, const struct nn_kernels *kernels, int terms, struct err *e);
    void (*run)(struct nn_case *c, const struct nn_kernels *kernels, const struct nn_tiles *tiles,
                float *out);
} ops[] = {[NN_CASE_CONV] = {open_product, prepare_product, run_product},
           [NN_CASE_WINOGRAD] = {open_product, prepare_product, run_product},
           [NN_CASE_CONV_STRIDE_2] = {open_product, prepare_product, run_product},
           [NN_CASE_POINT] = {open_product, prepare_product, run_product},
           [NN_CASE_LINEAR] = {open_product, prepare_product, run_product},
           [NN_CASE_NORM] = {open_norm, NULL, run_norm},
           [NN_CASE_RESAMPLE] = {open_resample, NULL, run_resample},
           [NN_CASE_ATTENTION] = {open_attention, prepare_attention, run_attention}};

int nn_case_open(struct nn_case *c, const struct nn_case_shape *shape, struct err *e)
{
    *c = (struct nn_case){.shape = *shape,
                          .lanes_in = nn_lanes(shape->in),
                          .lanes_skip = nn_lanes(shape->skip),
                          .lanes_out = nn_lanes(shape->out),
                          .step_skip = nn_lanes(shape->skip + 1),
                          .side_out = shape->side};
    if (ops[shape->op].open(c, e) == 0)
        return 0;
    nn_case_clear(c);
    return -1;
}

void nn_case_clear(struct nn_case *c)
{
    for (int i = 0; i < c->memory_count; i++)
        free(c->memory[i]);
    free(c->packed);
    free(c->scratch);
    free(c->tiles);
    *c = (struct nn_case){0};
}

int nn_case_prepare(struct nn_case *c, const struct nn_kernels *kernels, int terms, struct err *e)
{
    return ops[c->shape.op].prepare ? ops[c->shape.op].prepare(c, kernels, terms, e) : 0;
}

void nn_case_run(struct nn_case *c, const struct nn_kernels *kernels, const struct nn_tiles *tiles,
                 float *out)
{
    ops[c->shape.op].run(c, kernels, tiles, out);
}
