/* The network as a whole: an image's bits depend on nothing but the image, nothing is allocated in
 * a forward pass, a workspace's past does not show, and every failure is told. The allocation
 * functions are wrapped by the linker, so that they can be counted and made to fail. */
#include "base_cpu.h"
#include "nn_images.h"
#include "nn_layers.h"

/* ---- wrapped allocation ---- */

static _Atomic long allocations;
static long failing = -1; /* how many more succeed before one fails; -1: all */

static bool refused(void)
{
    allocations++;
    if (failing < 0) /* only ever set while there is one thread */
        return false;
    return failing-- == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t count, size_t size);
int __real_posix_memalign(void **out, size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t count, size_t size);
int __wrap_posix_memalign(void **out, size_t align, size_t size);

void *__wrap_malloc(size_t size)
{
    return refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return refused() ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t count, size_t size)
{
    return refused() ? NULL : __real_reallocarray(p, count, size);
}

int __wrap_posix_memalign(void **out, size_t align, size_t size)
{
    return refused() ? 12 : __real_posix_memalign(out, align, size);
}

/* n images, the first at place `shift` of the eight, every step-th; bits as when each was alone. */
static void check_group(const struct nn_net *net, struct nn_workspace *ws, const struct images *im,
                        size_t n, size_t shift, size_t step)
{
    const float *x[IMAGES] = {NULL};
    float t[IMAGES] = {0}, v_t[IMAGES], *v_x[IMAGES] = {NULL};
    for (size_t i = 0; i < n; i++) {
        x[i] = im->x[(shift + i * step) % IMAGES];
        t[i] = im->t[(shift + i * step) % IMAGES];
        v_x[i] = calloc(im->n, sizeof(float));
        assert_non_null(v_x[i]);
    }
    nn_net_forward(net, ws, (int)n, x, t, NULL, v_x, v_t);
    for (size_t i = 0; i < n; i++) {
        size_t at = (shift + i * step) % IMAGES;
        assert_memory_equal(v_x[i], im->v_x[at], im->n * sizeof(float));
        assert_memory_equal(&v_t[i], &im->v_t[at], sizeof(float));
        free(v_x[i]);
    }
}

/* Frees the net. */
static void check_net(const struct nn_arch *arch, struct nn_net *net)
{
    static const size_t counts[] = {1, 2, 3, 8};
    struct images im;
    images_new(&im, arch);
    struct nn_workspace *one = test_workspace_of(net, 1), *many = test_workspace_of(net, IMAGES);
    evaluate_alone(net, one, &im);
    for (size_t c = 0; c < COUNT(counts); c++) {
        check_group(net, many, &im, counts[c], 3 * c, 1);
        check_group(net, many, &im, counts[c], 3 * c + 1, 5);
    }
    /* What a workspace held before, even if that was not a number, is never read. */
    memset(many->block, 0xff, many->block_bytes);
    check_group(net, many, &im, 5, 2, 3);
    for (size_t i = 0; i < IMAGES; i++)
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(im.v_x[i], im.v_x[k], im.n * sizeof(float));
    nn_workspace_free(one);
    nn_workspace_free(many);
    nn_net_free(net);
    images_free(&im);
}

static void check_independence(const struct nn_arch *arch, const struct test_variant *variant)
{
    check_net(arch, test_net_by(arch, variant));
}

static void test_bits_do_not_depend_on_company(void **state)
{
    (void)state;
    static const struct nn_arch bundled = {.image_size = 28,
                                           .channels = 1,
                                           .nf = 24,
                                           .levels = 3,
                                           .ch_mult = {1, 2, 2},
                                           .num_res_blocks = 1,
                                           .attn_count = 1,
                                           .attn_resolutions = {7}};
    for (const struct test_variant *w = test_variants; w < test_variants + COUNT(test_variants);
         w++) {
        if (!test_variant_runs(w))
            continue;
        for (size_t a = 0; a < COUNT(test_archs); a++)
            if (test_archs[a].arch.image_size <= 4 || !test_variant_is_slow(w))
                check_independence(&test_archs[a].arch, w);
        if (w->kernel != NN_KERNEL_C && !test_variant_is_slow(w))
            check_independence(&bundled, w);
    }
}

/* What AMX would compute, in plain C: its blocks are larger than the other's. */
static void test_bits_in_the_order_of_amx(void **state)
{
    (void)state;
    static const struct test_variant variant = {"c in bf16x3", NN_KERNEL_C, NN_PRECISION_BF16X3};
    for (size_t a = 0; a < COUNT(test_archs); a++) {
        struct nn_net *net = test_net_by(&test_archs[a].arch, &variant);
        net->tiles = &nn_tiles_c_amx;
        if (test_archs[a].arch.image_size <= 4)
            check_net(&test_archs[a].arch, net);
        else
            nn_net_free(net);
    }
}

static void test_forward_allocates_nothing(void **state)
{
    (void)state;
    for (const struct test_variant *w = test_variants; w < test_variants + COUNT(test_variants);
         w++)
        for (size_t a = 0; a < COUNT(test_archs) && nn_kernel_available(w->kernel); a++) {
            if (test_archs[a].arch.image_size > 4 && test_variant_is_slow(w))
                continue;
            struct images im;
            images_new(&im, &test_archs[a].arch);
            long before = allocations;
            struct nn_net *net = test_net_by(&test_archs[a].arch, w);
            struct nn_workspace *ws = test_workspace_of(net, IMAGES);
            assert_true(allocations > before);
            before = allocations;
            const float *x[IMAGES];
            for (size_t i = 0; i < IMAGES; i++)
                x[i] = im.x[i];
            nn_net_forward(net, ws, IMAGES, x, im.t, NULL, im.v_x, im.v_t);
            assert_int_equal(allocations, before);
            nn_workspace_free(ws);
            nn_net_free(net);
            images_free(&im);
        }
}

/* A reader that allocates nothing, so that only the network's own allocations fail. */
static int read_constant(void *context, const struct nn_param *p, float *out, struct err *e)
{
    (void)context;
    (void)e;
    for (size_t i = 0; i < p->count; i++)
        out[i] = 0.01f;
    return 0;
}

/* The k-th allocation fails, for every k: an error of memory, and nothing left behind (which the
 * address sanitizer sees). */
static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    const struct nn_weights weights = {read_constant, NULL};
    struct nn_workspace *ws = NULL;
    long k = 0;
    for (; !ws; k++) {
        struct err e = {0};
        failing = k;
        struct nn_net *net = nn_net_new(&test_archs[1].arch, &weights, NN_KERNEL_AUTO, &e);
        if (net)
            ws = nn_workspace_new(net, 2, &e);
        failing = -1;
        if (!ws)
            assert_int_equal(e.code, ERR_MEMORY);
        nn_workspace_free(ws);
        nn_net_free(net);
    }
    print_message("%ld allocations in all\n", k - 1);
    assert_true(k > 10);
}

/* ---- failures that are told ---- */

struct spoiled {
    const char *name; /* the parameter that goes wrong */
    float value;      /* what its last number becomes; 0: reading it fails */
};

static int read_spoiled(void *context, const struct nn_param *p, float *out, struct err *e)
{
    const struct spoiled *s = context;
    test_weights_read(NULL, p, out, e);
    if (strcmp(p->name, s->name) != 0)
        return 0;
    if (s->value == 0)
        return err_fail(e, ERR_IO, "model.file", "is cut off");
    out[p->count - 1] = s->value;
    return 0;
}

static void test_bad_weights_are_named(void **state)
{
    (void)state;
    static const struct spoiled cases[] = {
        {"all_modules.0.W", NAN},
        {"all_modules.1.weight", INFINITY},
        {"all_modules.4.Conv_0.weight", NAN},
        {"all_modules.4.Dense_0.bias", -INFINITY},
        {"all_modules.6.Conv2d_0.weight", NAN},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct spoiled s = cases[i];
        struct err e = {0};
        struct nn_weights weights = {read_spoiled, &s};
        assert_null(nn_net_new(&test_archs[1].arch, &weights, NN_KERNEL_C, &e));
        assert_int_equal(e.code, ERR_INPUT);
        assert_string_equal(e.at, s.name);
        s.value = 0;
        assert_null(nn_net_new(&test_archs[1].arch, &weights, NN_KERNEL_C, &e));
        assert_int_equal(e.code, ERR_IO);
        assert_string_equal(e.at, "model.file");
    }
}

static void test_kernels_by_name(void **state)
{
    (void)state;
    static const char *const words[] = {"auto", "c", "openblas", "lanes8", "avx512", "amx"};
    static const char *const ids[] = {NULL, "c.1", NULL, "lanes8.3", "avx512.3", "avx512.3"};
    struct err e = {0};
    enum nn_kernel kernel = NN_KERNEL_C;
    unsetenv(NN_KERNEL_VARIABLE);
    for (size_t i = 0; i < COUNT(words); i++) {
        assert_int_equal(nn_kernel_parse(words[i], &kernel, &e), 0);
        assert_int_equal(kernel, i);
        if (ids[i] && nn_kernel_available(kernel))
            assert_string_equal(nn_kernel_id(kernel), ids[i]);
    }
    if (nn_kernel_available(NN_KERNEL_OPENBLAS))
        assert_int_equal(strncmp(nn_kernel_id(NN_KERNEL_OPENBLAS), "openblas-", 9), 0);
    assert_int_equal(nn_kernel_require(NN_KERNEL_OPENBLAS, &e),
                     nn_kernel_available(NN_KERNEL_OPENBLAS) ? 0 : -1);
    /* AVX2 and NEON are the kernel of eight lanes, which had AVX2's name before. */
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(nn_kernel_parse(i ? "neon" : "avx2", &kernel, &e), 0);
        assert_int_equal(kernel, NN_KERNEL_LANES8);
    }
    assert_string_equal(nn_kernel_id_now("avx2.3"), "lanes8.3");
    assert_string_equal(nn_kernel_id_now("avx2bf16.1"), "lanes8bf16.1");
    assert_string_equal(nn_kernel_id_now("avx2.2"), "avx2.2");
    assert_int_equal(nn_kernel_parse("sse", &kernel, &e), -1);
    assert_non_null(strstr(e.text, "auto, c, openblas, lanes8, avx2, neon, avx512 or amx"));
    assert_true(nn_kernel_available(NN_KERNEL_C));
    kernel = nn_kernel_resolve(NN_KERNEL_AUTO);
    assert_true(kernel != NN_KERNEL_AUTO && nn_kernel_available(kernel));
    assert_string_equal(nn_kernel_id(NN_KERNEL_AUTO), nn_kernel_id(kernel));
    struct nn_net *net = test_net_of(&test_archs[3].arch, NN_KERNEL_AUTO);
    assert_int_equal(nn_net_kernel(net), kernel);
    assert_memory_equal(nn_net_arch(net), &test_archs[3].arch, sizeof(struct nn_arch));
    assert_true(nn_net_bytes(net) >= 4 * nn_arch_scalars(&test_archs[3].arch));
    nn_net_free(net);
}

static void test_precisions_by_name(void **state)
{
    (void)state;
    static const char *const words[] = {"auto", "f32", "bf16x3", "bf16"};
    struct err e = {0};
    enum nn_precision precision = NN_PRECISION_BF16;
    for (size_t i = 0; i < COUNT(words); i++) {
        assert_int_equal(nn_precision_parse(words[i], &precision, &e), 0);
        assert_int_equal(precision, i);
        assert_string_equal(nn_precision_name(precision), words[i]);
    }
    assert_int_equal(nn_precision_parse("f16", &precision, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, "auto, f32, bf16x3 or bf16"));
}

/* What a kernel and a precision become, on a machine with AMX, with AVX512-BF16, and without. */
static void test_precisions_are_resolved(void **state)
{
    (void)state;
    struct err e = {0};
    bool amx = nn_kernel_available(NN_KERNEL_AMX), pairs = cpu_features_get().avx512_bf16;
    enum nn_kernel kernel = NN_KERNEL_AUTO;
    enum nn_precision precision = NN_PRECISION_AUTO;
    unsetenv(NN_KERNEL_VARIABLE);
    assert_int_equal(nn_precision_resolve(&kernel, &precision, &e), 0);
    assert_int_equal(precision, amx ? NN_PRECISION_BF16X3 : NN_PRECISION_F32);
    assert_int_equal(kernel, amx ? NN_KERNEL_AMX : nn_kernel_resolve(NN_KERNEL_AUTO));
    kernel = NN_KERNEL_AUTO;
    precision = NN_PRECISION_BF16;
    assert_int_equal(nn_precision_resolve(&kernel, &precision, &e), amx || pairs ? 0 : -1);
    if (amx || pairs)
        assert_int_equal(kernel, amx ? NN_KERNEL_AMX : NN_KERNEL_AVX512);
    else
        assert_non_null(strstr(e.text, "bf16 needs AMX or AVX512-BF16"));
    kernel = NN_KERNEL_C;
    precision = NN_PRECISION_AUTO;
    assert_int_equal(nn_precision_resolve(&kernel, &precision, &e), 0);
    assert_int_equal(precision, NN_PRECISION_F32);
    kernel = NN_KERNEL_AMX;
    precision = NN_PRECISION_F32;
    assert_int_equal(nn_precision_resolve(&kernel, &precision, &e), amx ? 0 : -1);
    if (amx)
        assert_int_equal(kernel, NN_KERNEL_AVX512);
    else
        assert_string_equal(e.text, "this machine cannot run amx: use auto");
    for (const struct test_variant *w = test_variants; w < test_variants + COUNT(test_variants);
         w++) {
        if (!nn_kernel_available(w->kernel))
            continue;
        struct nn_net *net = test_net_by(&test_archs[3].arch, w);
        static const char *const ids[] = {NULL,           "cbf16.1",      NULL,
                                          "lanes8bf16.1", "avx512bf16.1", "amx.1"};
        bool single = w->precision == NN_PRECISION_F32;
        assert_int_equal(nn_net_precision(net), w->precision);
        assert_string_equal(nn_net_kernel_id(net),
                            single ? nn_kernel_id(w->kernel) : ids[w->kernel]);
        nn_net_free(net);
    }
}

/* PFGM_KERNEL stands in for AUTO and for nothing else; a word that it does not know is an error. */
static void test_kernel_from_the_environment(void **state)
{
    (void)state;
    struct err e = {0};
    enum nn_kernel kernel = NN_KERNEL_LANES8;
    assert_int_equal(setenv(NN_KERNEL_VARIABLE, "c", 1), 0);
    assert_int_equal(nn_kernel_resolve(NN_KERNEL_AUTO), NN_KERNEL_C);
    assert_int_equal(nn_kernel_resolve(NN_KERNEL_LANES8), NN_KERNEL_LANES8);
    struct nn_net *net = test_net_of(&test_archs[3].arch, NN_KERNEL_AUTO);
    assert_int_equal(nn_net_kernel(net), NN_KERNEL_C);
    nn_net_free(net);
    assert_int_equal(setenv(NN_KERNEL_VARIABLE, "fast", 1), 0);
    assert_null(nn_net_new(&test_archs[3].arch, &test_weights, NN_KERNEL_AUTO, &e));
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(e.at, NN_KERNEL_VARIABLE);
    assert_non_null(strstr(e.text, "\"fast\""));
    net = test_net_of(&test_archs[3].arch, NN_KERNEL_C); /* which was asked for by name */
    nn_net_free(net);
    static const char *const words[] = {"openblas", "lanes8", "avx512", "amx"};
    for (int k = NN_KERNEL_OPENBLAS; k <= NN_KERNEL_AMX; k++) { /* what this machine lacks */
        if (nn_kernel_available((enum nn_kernel)k))
            continue;
        assert_int_equal(setenv(NN_KERNEL_VARIABLE, words[k - NN_KERNEL_OPENBLAS], 1), 0);
        assert_null(nn_net_new(&test_archs[3].arch, &test_weights, NN_KERNEL_AUTO, &e));
        assert_string_equal(e.at, NN_KERNEL_VARIABLE);
    }
    assert_int_equal(setenv(NN_KERNEL_VARIABLE, "", 1), 0);
    assert_int_equal(nn_kernel_environment(&kernel, &e), 0);
    assert_int_equal(kernel, NN_KERNEL_AUTO);
    assert_int_equal(unsetenv(NN_KERNEL_VARIABLE), 0);
    assert_true(nn_kernel_available(nn_kernel_resolve(NN_KERNEL_AUTO)));
}

static void test_limits(void **state)
{
    (void)state;
    struct err e = {0};
    struct nn_arch bad = test_archs[0].arch;
    bad.nf = 0;
    assert_null(nn_net_new(&bad, &test_weights, NN_KERNEL_C, &e));
    assert_string_equal(e.at, "nf");
    struct nn_net *net = test_net_of(&test_archs[3].arch, NN_KERNEL_C);
    assert_null(nn_workspace_new(net, 0, &e));
    assert_int_equal(e.code, ERR_LIMIT);
    assert_null(nn_workspace_new(net, 1 << 20, &e));
    assert_string_equal(e.at, "batch");
    struct nn_workspace *ws = test_workspace_of(net, 3);
    assert_int_equal(nn_workspace_batch(ws), 3);
    assert_true(nn_workspace_bytes(ws) > 0);
    nn_workspace_free(ws);
    nn_net_free(net);
}

/* A state that is no number comes out as one that the caller can see, in its own image only. */
static void test_not_a_number_stays_visible(void **state)
{
    (void)state;
    for (const struct test_variant *w = test_variants; w < test_variants + COUNT(test_variants);
         w++) {
        if (!nn_kernel_available(w->kernel) || test_variant_is_slow(w))
            continue;
        struct images im;
        images_new(&im, &test_archs[0].arch);
        struct nn_net *net = test_net_by(&test_archs[0].arch, w);
        struct nn_workspace *ws = test_workspace_of(net, 2);
        evaluate_alone(net, ws, &im);
        im.x[1][7] = NAN;
        check_group(net, ws, &im, 1, 0, 1);
        float other[2], *v_x[2] = {im.v_x[2], im.v_x[3]};
        const float *x[2] = {im.x[0], im.x[1]};
        nn_net_forward(net, ws, 2, x, im.t, NULL, v_x, other);
        assert_memory_equal(v_x[0], im.v_x[0], im.n * sizeof(float));
        assert_true(isnan(v_x[1][7]) && isnan(other[1]) && !isnan(other[0]));
        check_group(net, ws, &im, 1, 0, 1);
        nn_workspace_free(ws);
        nn_net_free(net);
        images_free(&im);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_do_not_depend_on_company),
        cmocka_unit_test(test_bits_in_the_order_of_amx),
        cmocka_unit_test(test_forward_allocates_nothing),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_bad_weights_are_named),
        cmocka_unit_test(test_kernels_by_name),
        cmocka_unit_test(test_precisions_by_name),
        cmocka_unit_test(test_precisions_are_resolved),
        cmocka_unit_test(test_kernel_from_the_environment),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_not_a_number_stays_visible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
