/* What the network's tests share: random weights by a parameter's name, small architectures, and
 * distances. */
#ifndef NN_TEST_H
#define NN_TEST_H

#include "base_rng.h"
#include "nn_net.h"
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
};

/* A net of the random weights, and a workspace for it; a failure fails the test. */
static inline struct nn_net *test_net_of(const struct nn_arch *arch, enum nn_kernel kernel)
{
    struct err e = {0};
    struct nn_net *net = nn_net_new(arch, &test_weights, kernel, &e);
    if (!net)
        fail_msg("%s: %s", e.at, e.text);
    return net;
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
