/* What the network's tests share: random weights by a parameter's name, small architectures, and
 * distances. */
#ifndef NN_TEST_H
#define NN_TEST_H

#include "base_rng.h"
#include "nn_net.h"
#include "nn_tile.h"
#include "sanitized.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define LAST_KERNEL NN_KERNEL_AVX512

/* n numbers in [-1, 1), the same for the same stream. */
static inline void test_uniforms(uint64_t stream, size_t n, float *out)
{
    double *u = malloc(n * sizeof *u + sizeof *u);
    assert_non_null(u);
    rng_uniforms(7, stream, RNG_TEST, n, u);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(2 * u[i] - 1);
    free(u);
}

/* max |a - b| / max |b|; infinite when anything is not finite or b is all zero. */
static inline double test_distance(const float *a, const float *b, size_t n)
{
    double apart = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i]))
            return INFINITY;
        apart = fmax(apart, fabs((double)a[i] - (double)b[i]));
        largest = fmax(largest, fabs((double)b[i]));
    }
    return largest > 0 ? apart / largest : INFINITY;
}

/* Fan-average uniform weights of scale 1, norms near 1, biases that matter. */
static inline int test_weights_read(void *context, const struct nn_param *p, float *out,
                                    struct err *e)
{
    (void)context;
    (void)e;
    uint64_t stream = 0;
    for (const char *c = p->name; *c; c++)
        stream = stream * 131 + (uint64_t)(unsigned char)*c;
    size_t kernel = p->rank == 4 ? p->shape[2] * p->shape[3] : 1;
    double fan = p->rank == 1 ? 1 : (double)((p->shape[0] + p->shape[1]) * kernel) / 2;
    bool projection = !p->trainable && strcmp(p->name, NN_MLP_OFFSET) != 0;
    bool gain = p->rank == 1 && !projection && strstr(p->name, "weight");
    float bound = p->rank == 1 ? 0.2f : (float)sqrt(3 / fan);
    test_uniforms(stream, p->count, out);
    if (strcmp(p->name, NN_MLP_SCALE) == 0) {
        out[0] = 0.7f;
        return 0;
    }
    for (size_t i = 0; i < p->count; i++)
        out[i] = projection ? 16 * out[i] : bound * out[i] + (gain ? 1.0f : 0.0f);
    return 0;
}

static const struct nn_weights test_weights = {test_weights_read, NULL};

/* Every feature, and widths that do and do not fill vectors. */
static const struct test_arch {
    const char *name;
    struct nn_arch arch;
} test_archs[] = {
    {"ddpmpp",
     {.image_size = 16,
      .channels = 3,
      .nf = 16,
      .levels = 2,
      .ch_mult = {1, 2},
      .num_res_blocks = 2,
      .attn_count = 1,
      .attn_resolutions = {8}}},
    {"ncsnpp",
     {.image_size = 12,
      .channels = 3,
      .nf = 24,
      .levels = 3,
      .ch_mult = {1, 2, 2},
      .num_res_blocks = 1,
      .attn_count = 2,
      .attn_resolutions = {6, 3},
      .fir = true,
      .pyramid = NN_PYRAMID_RESIDUAL,
      .embedding = NN_EMBEDDING_FOURIER}},
    {"padded lanes",
     {.image_size = 6,
      .channels = 1,
      .nf = 20,
      .levels = 2,
      .ch_mult = {1, 3},
      .num_res_blocks = 1,
      .attn_count = 1,
      .attn_resolutions = {6},
      .fir = true}},
    {"smallest",
     {.image_size = 1, .channels = 2, .nf = 4, .levels = 1, .ch_mult = {1}, .num_res_blocks = 1}},
    {"mlp", {.kind = NN_ARCH_MLP, .image_size = 1, .channels = 13, .nf = 10, .num_res_blocks = 2}},
    {"mlp of a plane",
     {.kind = NN_ARCH_MLP, .image_size = 1, .channels = 2, .nf = 16, .num_res_blocks = 3}},
    {"denoiser with a pyramid",
     {.image_size = 8,
      .channels = 3,
      .nf = 12,
      .levels = 2,
      .ch_mult = {1, 2},
      .num_res_blocks = 1,
      .attn_count = 1,
      .attn_resolutions = {4},
      .fir = true,
      .pyramid = NN_PYRAMID_RESIDUAL,
      .embedding = NN_EMBEDDING_FOURIER,
      .denoiser = true}},
    {"denoiser of eight channels",
     {.image_size = 4,
      .channels = 8,
      .nf = 8,
      .levels = 2,
      .ch_mult = {1, 2},
      .num_res_blocks = 1,
      .denoiser = true}},
};

/* Every variant to compute a network; of bf16 those in plain C are slow. */
static const struct test_variant {
    const char *name;
    enum nn_kernel kernel;
    enum nn_precision precision;
} test_variants[] = {
    {"c", NN_KERNEL_C, NN_PRECISION_F32},
    {"openblas", NN_KERNEL_OPENBLAS, NN_PRECISION_F32},
    {"lanes8", NN_KERNEL_LANES8, NN_PRECISION_F32},
    {"avx512", NN_KERNEL_AVX512, NN_PRECISION_F32},
    {"c in bf16", NN_KERNEL_C, NN_PRECISION_BF16},
    {"lanes8 in bf16x3", NN_KERNEL_LANES8, NN_PRECISION_BF16X3},
    {"avx512 in bf16", NN_KERNEL_AVX512, NN_PRECISION_BF16},
    {"avx512 in bf16x3", NN_KERNEL_AVX512, NN_PRECISION_BF16X3},
    {"amx in bf16", NN_KERNEL_AMX, NN_PRECISION_BF16},
    {"amx in bf16x3", NN_KERNEL_AMX, NN_PRECISION_BF16X3},
};

/* Whether products in bf16 are computed in plain C. */
static inline bool test_variant_is_slow(const struct test_variant *w)
{
    return w->precision != NN_PRECISION_F32 && nn_tiles_get(w->kernel) == &nn_tiles_c;
}

/* The thread sanitizer makes what is slow too slow, and it has nothing of its own to say of it. */
#ifdef __SANITIZE_THREAD__
#define TEST_SLOW_WAYS false
#else
#define TEST_SLOW_WAYS true
#endif

static inline bool test_variant_runs(const struct test_variant *w)
{
    if (nn_kernel_available(w->kernel) && (TEST_SLOW_WAYS || !test_variant_is_slow(w)))
        return true;
    print_message("skipped: this machine cannot run %s\n", w->name);
    return false;
}

/* A net of the random weights, and a workspace for it; a failure fails the test. */
static inline struct nn_net *test_net_by(const struct nn_arch *arch, const struct test_variant *w)
{
    struct err e = {0};
    struct nn_net *net = nn_net_new_threads(arch, &test_weights, w->kernel, w->precision, 1, &e);
    if (!net)
        fail_msg("%s: %s", e.at, e.text);
    return net;
}

static inline struct nn_net *test_net_of(const struct nn_arch *arch, enum nn_kernel kernel)
{
    return test_net_by(arch, &(struct test_variant){"", kernel, NN_PRECISION_F32});
}

static inline struct nn_workspace *test_workspace_of(const struct nn_net *net, int batch)
{
    struct err e = {0};
    struct nn_workspace *ws = nn_workspace_new(net, batch, &e);
    if (!ws)
        fail_msg("%s: %s", e.at, e.text);
    return ws;
}

#endif
