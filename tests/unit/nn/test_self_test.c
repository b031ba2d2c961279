/* The self-test passes every kernel that this machine runs, and finds each operation that a kernel
 * computes wrong, by little or by one number. */
#include "nn_self_test.h"
#include "nn_test.h"

#include <math.h>
#include <string.h>

static const struct nn_kernels *good;

static void test_all_kernels_pass(void **state)
{
    (void)state;
    for (int k = NN_KERNEL_C; k <= NN_KERNEL_AMX; k++)
        for (int p = NN_PRECISION_F32; p <= NN_PRECISION_BF16; p++) {
            struct err e = {0};
            if (nn_kernel_available((enum nn_kernel)k) &&
                nn_self_test_once((enum nn_kernel)k, (enum nn_precision)p, &e) != 0)
                fail_msg("%s: %s", e.at, e.text);
        }
}

static enum nn_product_kind wrong_kind;

static void wrong_product(const struct nn_product *p)
{
    good->product(p);
    if (p->shape.kind == wrong_kind)
        p->out[p->images * p->height * p->width * p->shape.outputs - 1] += 0.1f; /* one number */
}

static void wrong_norm(const struct nn_norm *p)
{
    good->norm(p);
    p->target.out[0] *= 1.01f;
}

static void wrong_attention(const struct nn_attention *p)
{
    good->attention(p);
    p->out[7] = NAN;
}

static void expect(const struct nn_kernels *kernels, const char *word)
{
    struct err e = {0};
    assert_int_equal(nn_self_test(kernels, NULL, 0, "avx0.1", &e), -1);
    assert_int_equal(e.code, ERR_INTERNAL);
    assert_int_equal(err_exit_code(&e), 1);
    assert_string_equal(e.at, "avx0.1");
    if (!strstr(e.text, word))
        fail_msg("%s does not name the %s", e.text, word);
}

static void test_each_wrong_operation_is_named(void **state)
{
    (void)state;
    good = nn_kernels_get(NN_KERNEL_AUTO);
    struct nn_kernels broken = *good;
    broken.product = wrong_product;
    wrong_kind = NN_PRODUCT_POINT;
    expect(&broken, "a product wrong");
    wrong_kind = NN_PRODUCT_3X3;
    expect(&broken, "a convolution wrong");
    wrong_kind = NN_PRODUCT_WINOGRAD;
    expect(&broken, "convolution by Winograd");
    broken = *good;
    broken.norm = wrong_norm;
    expect(&broken, "norm");
    broken = *good;
    broken.attention = wrong_attention;
    expect(&broken, "attention");
}

static void wrong_tiles(const void *op, struct nn_share *share)
{
    const struct nn_product *p = op;
    nn_tiles_c.product.run(op, share);
    p->out[3] += 0.1f;
}

static void test_wrong_products_in_bf16_are_named(void **state)
{
    (void)state;
    struct nn_tiles broken = nn_tiles_c;
    broken.product.run = wrong_tiles;
    for (int terms = 1; terms <= 3; terms += 2) {
        struct err e = {0};
        assert_int_equal(nn_self_test(&nn_kernels_c, &nn_tiles_c, terms, "c", &e), 0);
        assert_int_equal(nn_self_test(&nn_kernels_c, &broken, terms, "c", &e), -1);
        assert_non_null(strstr(e.text, "product in bf16"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kernels_pass),
        cmocka_unit_test(test_each_wrong_operation_is_named),
        cmocka_unit_test(test_wrong_products_in_bf16_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
