/* A faulty processor, hypervisor or build may compute wrong without a trap, and what it computes
 * looks like noise or, worse, like a picture. So before a kernel is used for a network it does a
 * few operations whose results plain C knows. Sizes are small but leave tails: 5 × 5 pixels, two
 * images, 24 channels, which neither fill a tile of 6 rows nor a vector of 16. */
#include "nn_self_test.h"

#include "base_arena.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define IMAGES 2
#define SIDE 5
#define LANES 24
#define PIXELS ((size_t)IMAGES * SIDE * SIDE)
#define COUNT (PIXELS * LANES)
#define BORDERED (((size_t)IMAGES * (SIDE + 1) + 1) * (SIDE + 1) + 1)
#define TOLERANCE 1e-4

/* What an operation reads, and what the two kernels write. */
struct trial {
    float *in, *border, *weights, *bias, *qkv; /* aligned */
    float *out[2];                             /* plain C's, the kernel's */
    struct arena arena;
};

static void lay_out(struct trial *t)
{
    t->in = arena_take(&t->arena, COUNT, sizeof(float));
    t->border = arena_take(&t->arena, BORDERED * LANES, sizeof(float));
    t->weights = arena_take(&t->arena, (size_t)9 * LANES * LANES, sizeof(float));
    t->bias = arena_take(&t->arena, LANES, sizeof(float));
    t->qkv = arena_take(&t->arena, 3 * COUNT, sizeof(float));
    t->out[0] = arena_take(&t->arena, COUNT, sizeof(float));
    t->out[1] = arena_take(&t->arena, COUNT, sizeof(float));
}

/* Numbers from -1 to 1 with all bits of a float in use. */
static void fill(float *out, size_t count, uint32_t seed)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (float)((int32_t)seed) / 2147483648.0f;
    }
}

static int prepare(struct trial *t, struct err *e)
{
    *t = (struct trial){0};
    lay_out(t);
    t->arena.base = arena_memory(t->arena.used, e);
    if (!t->arena.base)
        return -1;
    t->arena.used = 0;
    lay_out(t);
    fill(t->in, COUNT, 1);
    fill(t->weights, (size_t)9 * LANES * LANES, 2);
    fill(t->bias, LANES, 3);
    fill(t->qkv, 3 * COUNT, 4);
    const struct nn_target inside = nn_bordered_target(t->border, SIDE, LANES);
    for (size_t pixel = 0; pixel < PIXELS; pixel++) {
        const size_t b = pixel / (SIDE * SIDE), y = pixel / SIDE % SIDE, x = pixel % SIDE;
        memcpy(t->border + (inside.first + b * inside.image + y * inside.row + x) * LANES,
               t->in + pixel * LANES, LANES * sizeof(float));
    }
    return 0;
}

static struct nn_product product_of(const struct trial *t, enum nn_product_kind kind, float *out)
{
    struct nn_product p = {.shape = {kind, kind == NN_PRODUCT_POINT ? LANES : 9 * LANES, LANES},
                           .bias = t->bias,
                           .segments = 1,
                           .segment = {{t->in, LANES, LANES}},
                           .in_image = SIDE * SIDE,
                           .in_row = SIDE,
                           .in_step = 1,
                           .images = IMAGES,
                           .height = SIDE,
                           .width = SIDE,
                           .scale = 1.0f,
                           .out = out};
    if (kind == NN_PRODUCT_POINT)
        return p;
    for (size_t i = 0; i < 3; i++)
        p.segment[i] =
            (struct nn_segment){t->border + i * (SIDE + 1) * LANES, LANES, (size_t)3 * LANES};
    p.segments = 3;
    p.in_row = SIDE + 1;
    p.in_image = (SIDE + 1) * (SIDE + 1);
    return p;
}

static int do_product(const struct trial *t, const struct nn_kernels *k, enum nn_product_kind kind,
                      float *out, struct err *e)
{
    struct nn_product p = product_of(t, kind, out);
    struct arena a = {0};
    float *packed = arena_take(&a, k->pack_size(&p.shape), sizeof(float));
    p.scratch = arena_take(&a, k->product_scratch(&p.shape), sizeof(float));
    a.base = arena_memory(a.used, e);
    if (!a.base)
        return -1;
    a.used = 0;
    packed = arena_take(&a, k->pack_size(&p.shape), sizeof(float));
    p.scratch = arena_take(&a, k->product_scratch(&p.shape), sizeof(float));
    k->pack(&p.shape, t->weights, packed);
    p.packed = packed;
    k->product(&p);
    free(a.base);
    return 0;
}

static void do_norm(const struct trial *t, const struct nn_kernels *k, float *out)
{
    float gamma[LANES], beta[LANES];
    int32_t group[LANES];
    double scratch[2 * LANES] = {0};
    for (int i = 0; i < LANES; i++) {
        gamma[i] = 1.0f + 0.5f * t->bias[i];
        beta[i] = t->weights[i];
        group[i] = i / 4;
    }
    const struct nn_norm_weights weights = {LANES, LANES / 4, 4, gamma, beta, group};
    const struct nn_norm p = {.weights = &weights,
                              .parts = 1,
                              .part = {{t->in, LANES}},
                              .images = IMAGES,
                              .side = SIDE,
                              .silu = true,
                              .target = nn_plain_target(out, SIDE, LANES),
                              .scratch = scratch};
    k->norm(&p);
}

static int do_attention(const struct trial *t, const struct nn_kernels *k, float *out,
                        struct err *e)
{
    float *scratch =
        (float *)(void *)arena_memory(nn_attention_scratch(SIDE * SIDE, LANES) * sizeof(float), e);
    if (!scratch)
        return -1;
    const struct nn_attention p = {.qkv = t->qkv,
                                   .images = IMAGES,
                                   .pixels = SIDE * SIDE,
                                   .channels = LANES,
                                   .lanes = LANES,
                                   .out = out,
                                   .scratch = scratch};
    k->attention(&p);
    free(scratch);
    return 0;
}

static int do_tiles(const struct trial *t, const struct nn_tiles *tiles, int terms, float *out,
                    struct err *e)
{
    struct nn_product p = product_of(t, NN_PRODUCT_POINT, out);
    const size_t plane = nn_tile_plane(PIXELS, LANES), lanes = nn_tile_lanes(LANES);
    const size_t room = nn_tile_room(PIXELS, LANES, terms) * sizeof(float);
    unsigned char *in = arena_memory(room, e);
    unsigned char *packed =
        in ? arena_memory(nn_tile_pack_size(&p.shape, terms) * sizeof(uint16_t), e) : NULL;
    if (packed) {
        const struct nn_split split = {
            .parts = 1,
            .part = {{t->in, LANES, LANES}},
            .images = IMAGES,
            .height = SIDE,
            .width = SIDE,
            .target = {(void *)in, 0, SIDE, SIDE * SIDE, lanes, plane, terms}};
        nn_kernels_c.split(&split);
        nn_tile_pack(&p.shape, terms, t->weights, (void *)packed);
        p.terms = terms;
        p.tile = (struct nn_tile_operands){(void *)in, (void *)packed, lanes, plane, SIDE};
        nn_tile_product(tiles, &p);
    }
    free(in);
    free(packed);
    return packed ? 0 : -1;
}

static int compare(const struct trial *t, const char *id, const char *what, struct err *e)
{
    double largest = 0.0, off = 0.0;
    for (size_t i = 0; i < COUNT; i++) {
        const double difference = fabs((double)t->out[1][i] - (double)t->out[0][i]);
        largest = fmax(largest, fabs((double)t->out[0][i]));
        off = isfinite(difference) ? fmax(off, difference) : INFINITY;
    }
    if (off <= TOLERANCE * largest)
        return 0;
    return err_fail(e, ERR_INTERNAL, id,
                    "this kernel computes a %s wrong on this machine, off by %.2g of the largest "
                    "number: the processor, its virtual machine or the build is at fault; choose "
                    "another with --kernel",
                    what, off / largest);
}

static int try_all(struct trial *t, const struct nn_kernels *kernels, const struct nn_tiles *tiles,
                   int terms, const char *id, struct err *e)
{
    static const char *const words[] = {[NN_PRODUCT_POINT] = "product",
                                        [NN_PRODUCT_3X3] = "convolution",
                                        [NN_PRODUCT_WINOGRAD] = "convolution by Winograd"};
    for (enum nn_product_kind kind = NN_PRODUCT_POINT; kind <= NN_PRODUCT_WINOGRAD; kind++)
        if (do_product(t, &nn_kernels_c, kind, t->out[0], e) != 0 ||
            do_product(t, kernels, kind, t->out[1], e) != 0 || compare(t, id, words[kind], e) != 0)
            return -1;
    do_norm(t, &nn_kernels_c, t->out[0]);
    do_norm(t, kernels, t->out[1]);
    if (compare(t, id, "norm", e) != 0)
        return -1;
    if (do_attention(t, &nn_kernels_c, t->out[0], e) != 0 ||
        do_attention(t, kernels, t->out[1], e) != 0 || compare(t, id, "attention", e) != 0)
        return -1;
    if (!tiles)
        return 0;
    if (do_tiles(t, &nn_tiles_c, terms, t->out[0], e) != 0 ||
        do_tiles(t, tiles, terms, t->out[1], e) != 0)
        return -1;
    return compare(t, id, "product in bf16", e);
}

int nn_self_test(const struct nn_kernels *kernels, const struct nn_tiles *tiles, int terms,
                 const char *id, struct err *e)
{
    struct trial t;
    if (prepare(&t, e) != 0)
        return -1;
    int result = try_all(&t, kernels, tiles, terms, id, e);
    free(t.arena.base);
    return result;
}

int nn_self_test_once(enum nn_kernel kernel, enum nn_precision precision, struct err *e)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool passed[NN_KERNEL_AMX + 1][NN_PRECISION_BF16 + 1];
    const int terms = precision == NN_PRECISION_BF16X3 ? 3 : precision == NN_PRECISION_BF16 ? 1 : 0;
    pthread_mutex_lock(&lock);
    int result = passed[kernel][precision]
                     ? 0
                     : nn_self_test(nn_kernels_get(kernel), terms ? nn_tiles_get(kernel) : NULL,
                                    terms, nn_kernel_id_in(kernel, precision), e);
    passed[kernel][precision] = result == 0;
    pthread_mutex_unlock(&lock);
    return result;
}
