/* Architectures: the published settings' numbers, names and shapes of the parameter list, and what
 * is refused under which configuration key. */
#include "nn_test.h"

struct preset {
    const char *name;
    size_t scalars, tensors;
    int modules;
    double gflop; /* of one evaluation of one image */
};

static const struct preset presets[] = {
    {"cifar10-ddpmpp", 61805572, 564, 55, 21.7},
    {"cifar10-ddpmpp-deep", 106633732, 956, 91, 37.1},
    {"cifar10-ncsnpp", 62760068, 571, 59, 21.8},
    {"celeba64-ddpmpp", 61805572, 564, 55, 83.7},
    {"bedroom-ddpmpp", 124076292, 530, 51, 559.6},
};

static int module_of(const struct nn_param *p)
{
    int module = -1;
    assert_int_equal(sscanf(p->name, "all_modules.%d.", &module), 1);
    return module;
}

static void test_preset_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(presets); i++) {
        const struct nn_arch *arch = nn_arch_preset(presets[i].name);
        struct err e;
        size_t count = 0, scalars = 0;
        assert_non_null(arch);
        struct nn_param *p = nn_arch_params(arch, &count, &e);
        assert_non_null(p);
        for (size_t k = 0; k < count; k++) {
            scalars += p[k].count;
            assert_true(k == 0 || module_of(&p[k]) == module_of(&p[k - 1]) ||
                        module_of(&p[k]) == module_of(&p[k - 1]) + 1);
        }
        assert_int_equal(count, presets[i].tensors);
        assert_int_equal(scalars, presets[i].scalars);
        assert_int_equal(nn_arch_scalars(arch), presets[i].scalars);
        assert_int_equal(module_of(&p[count - 1]), presets[i].modules - 1);
        double gflop = 2e-9 * (double)nn_arch_macs(arch);
        print_message("%s: %zu scalars, %.2f GFLOP\n", presets[i].name, scalars, gflop);
        assert_true(fabs(gflop - presets[i].gflop) < 0.051);
        free(p);
    }
    assert_true(llabs((long long)nn_arch_macs(nn_arch_preset("cifar10-ddpmpp")) - 10850000000LL) <
                10000000LL);
    assert_null(nn_arch_preset("cifar10"));
}

struct spot {
    const char *preset, *tensor;
    int rank;
    size_t shape[4];
};

static const struct spot spots[] = {
    {"cifar10-ddpmpp", "0.weight", 2, {512, 128}},
    {"cifar10-ddpmpp", "1.bias", 1, {512}},
    {"cifar10-ddpmpp", "2.weight", 4, {128, 3, 3, 3}},
    {"cifar10-ddpmpp", "3.GroupNorm_0.weight", 1, {128}},
    {"cifar10-ddpmpp", "7.Conv_2.weight", 4, {128, 128, 1, 1}},
    {"cifar10-ddpmpp", "8.Conv_0.weight", 4, {256, 128, 3, 3}},
    {"cifar10-ddpmpp", "8.Dense_0.weight", 2, {256, 512}},
    {"cifar10-ddpmpp", "15.NIN_3.b", 1, {256}},
    {"cifar10-ddpmpp", "27.NIN_0.W", 2, {256, 256}},
    {"cifar10-ddpmpp", "29.Conv_2.weight", 4, {256, 512, 1, 1}},
    {"cifar10-ddpmpp", "45.Conv_0.weight", 4, {256, 384, 3, 3}},
    {"cifar10-ddpmpp", "46.GroupNorm_0.bias", 1, {256}},
    {"cifar10-ddpmpp", "47.Conv_2.bias", 1, {256}},
    {"cifar10-ddpmpp", "48.GroupNorm_0.weight", 1, {384}},
    {"cifar10-ddpmpp", "52.Conv_1.weight", 4, {128, 128, 3, 3}},
    {"cifar10-ddpmpp", "53.weight", 1, {128}},
    {"cifar10-ddpmpp", "54.weight", 4, {4, 128, 3, 3}},
    {"cifar10-ncsnpp", "0.W", 1, {128}},
    {"cifar10-ncsnpp", "1.weight", 2, {512, 256}},
    {"cifar10-ncsnpp", "9.Conv2d_0.weight", 4, {128, 3, 3, 3}},
    {"cifar10-ncsnpp", "19.Conv2d_0.weight", 4, {256, 128, 3, 3}},
    {"cifar10-ncsnpp", "25.Conv2d_0.bias", 1, {256}},
    {"cifar10-ncsnpp", "58.weight", 4, {4, 128, 3, 3}},
    {"cifar10-ddpmpp-deep", "89.weight", 1, {128}},
    {"celeba64-ddpmpp", "8.Conv_2.weight", 4, {256, 128, 1, 1}},
    {"celeba64-ddpmpp", "14.NIN_0.W", 2, {256, 256}},
    {"celeba64-ddpmpp", "40.NIN_0.W", 2, {256, 256}},
    {"celeba64-ddpmpp", "46.Conv_0.weight", 4, {256, 384, 3, 3}},
    {"bedroom-ddpmpp", "15.Conv_0.weight", 4, {512, 256, 3, 3}},
    {"bedroom-ddpmpp", "23.NIN_2.W", 2, {512, 512}},
    {"bedroom-ddpmpp", "31.Conv_0.weight", 4, {512, 768, 3, 3}},
    {"bedroom-ddpmpp", "34.Conv_0.weight", 4, {256, 768, 3, 3}},
    {"bedroom-ddpmpp", "45.Conv_2.weight", 4, {128, 128, 1, 1}},
    {"bedroom-ddpmpp", "50.bias", 1, {4}},
};

static void test_names_and_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(spots); i++) {
        const struct spot *s = &spots[i];
        struct err e;
        size_t count = 0, found = 0;
        char name[NN_NAME_MAX];
        struct nn_param *p = nn_arch_params(nn_arch_preset(s->preset), &count, &e);
        assert_non_null(p);
        snprintf(name, sizeof name, "all_modules.%s", s->tensor);
        for (size_t k = 0; k < count; k++) {
            assert_int_equal(p[k].trainable, strcmp(p[k].name, "all_modules.0.W") != 0);
            if (strcmp(p[k].name, name) != 0)
                continue;
            found++;
            assert_int_equal(p[k].rank, s->rank);
            for (int d = 0; d < s->rank; d++)
                assert_int_equal(p[k].shape[d], s->shape[d]);
        }
        if (found != 1)
            fail_msg("%s: %s occurs %zu times", s->preset, name, found);
        free(p);
    }
}

/* The order inside a block is what an unnamed list of weights is mapped by. */
static void test_order_inside_blocks(void **state)
{
    (void)state;
    static const char *const block[] = {"8.GroupNorm_0.weight",
                                        "8.GroupNorm_0.bias",
                                        "8.Conv_0.weight",
                                        "8.Conv_0.bias",
                                        "8.Dense_0.weight",
                                        "8.Dense_0.bias",
                                        "8.GroupNorm_1.weight",
                                        "8.GroupNorm_1.bias",
                                        "8.Conv_1.weight",
                                        "8.Conv_1.bias",
                                        "8.Conv_2.weight",
                                        "8.Conv_2.bias",
                                        "9.GroupNorm_0.weight",
                                        "9.GroupNorm_0.bias",
                                        "9.NIN_0.W",
                                        "9.NIN_0.b",
                                        "9.NIN_1.W",
                                        "9.NIN_1.b",
                                        "9.NIN_2.W",
                                        "9.NIN_2.b",
                                        "9.NIN_3.W",
                                        "9.NIN_3.b"};
    size_t count = 0, at = 0;
    struct nn_param *p = nn_arch_params(nn_arch_preset("cifar10-ddpmpp"), &count, NULL);
    assert_non_null(p);
    while (at < count && module_of(&p[at]) < 8)
        at++;
    assert_true(at + COUNT(block) <= count);
    for (size_t i = 0; i < COUNT(block); i++)
        assert_string_equal(p[at + i].name + strlen("all_modules."), block[i]);
    free(p);
}

/* With classes one more parameter stands behind all others, which stay as they are. */
static void test_classes(void **state)
{
    (void)state;
    struct nn_arch arch = *nn_arch_preset("cifar10-ddpmpp");
    size_t without = 0, with = 0, scalars = nn_arch_scalars(&arch);
    struct nn_param *a = nn_arch_params(&arch, &without, NULL);
    arch.classes = 10;
    struct nn_param *b = nn_arch_params(&arch, &with, NULL);
    assert_true(a && b && with == without + 1);
    assert_memory_equal(a, b, without * sizeof *a);
    assert_string_equal(b[without].name, NN_LABEL_EMBEDDING);
    assert_int_equal(b[without].rank, 2);
    assert_int_equal(b[without].shape[0], 10);
    assert_int_equal(b[without].shape[1], 512);
    assert_true(b[without].trainable);
    assert_int_equal(nn_arch_scalars(&arch), scalars + 5120);
    free(a);
    free(b);
}

struct refusal {
    const char *key;
    void (*spoil)(struct nn_arch *a);
};

#define SPOIL(name, change)                                                                        \
    static void name(struct nn_arch *a)                                                            \
    {                                                                                              \
        change;                                                                                    \
    }
SPOIL(size_zero, a->image_size = 0)
SPOIL(size_huge, a->image_size = NN_SIDE_MAX + 1)
SPOIL(size_odd, a->image_size = 36)
SPOIL(channels_zero, a->channels = 0)
SPOIL(channels_many, a->channels = 17)
SPOIL(nf_small, a->nf = 3)
SPOIL(nf_odd, a->nf = 25)
SPOIL(nf_groups, a->nf = 144)
SPOIL(nf_huge, a->nf = NN_CHANNELS_MAX + 4)
SPOIL(levels_zero, a->levels = 0)
SPOIL(levels_many, a->levels = NN_LEVELS_MAX + 1)
SPOIL(mult_zero, a->ch_mult[1] = 0)
SPOIL(mult_huge, a->ch_mult[1] = 1 << 30)
SPOIL(blocks_zero, a->num_res_blocks = 0)
SPOIL(blocks_many, a->num_res_blocks = 1 << 30)
SPOIL(attn_many, a->attn_count = NN_LEVELS_MAX + 1)
SPOIL(attn_zero, a->attn_resolutions[0] = 0)
SPOIL(pyramid_box, a->pyramid = NN_PYRAMID_RESIDUAL)
SPOIL(pyramid_odd, a->pyramid = (enum nn_input_pyramid)7)
SPOIL(embedding_odd, a->embedding = (enum nn_embedding)7)
SPOIL(classes_negative, a->classes = -1)
SPOIL(classes_many, a->classes = NN_CLASSES_MAX + 1)

static const struct refusal refusals[] = {
    {"image_size", size_zero},
    {"image_size", size_huge},
    {"image_size", size_odd},
    {"channels", channels_zero},
    {"channels", channels_many},
    {"nf", nf_small},
    {"nf", nf_odd},
    {"nf", nf_groups},
    {"nf", nf_huge},
    {"ch_mult", levels_zero},
    {"ch_mult", levels_many},
    {"ch_mult", mult_zero},
    {"ch_mult", mult_huge},
    {"num_res_blocks", blocks_zero},
    {"num_res_blocks", blocks_many},
    {"attn_resolutions", attn_many},
    {"attn_resolutions", attn_zero},
    {"progressive_input", pyramid_box},
    {"progressive_input", pyramid_odd},
    {"embedding_type", embedding_odd},
    {"classes", classes_negative},
    {"classes", classes_many},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        struct nn_arch arch = *nn_arch_preset("cifar10-ddpmpp");
        struct err e = {0};
        size_t count = 0;
        assert_int_equal(nn_arch_check(&arch, &e), 0);
        refusals[i].spoil(&arch);
        assert_int_equal(nn_arch_check(&arch, &e), -1);
        assert_string_equal(e.at, refusals[i].key);
        assert_true(e.code == ERR_INPUT || e.code == ERR_LIMIT || e.code == ERR_UNSUPPORTED);
        assert_true(strlen(e.text) > 10);
        assert_null(nn_arch_params(&arch, &count, &e));
        assert_int_equal(nn_arch_macs(&arch), 0);
    }
}

/* 48 · (1, 2, 2) concatenates to 144 channels, which 32 groups do not divide. */
static void test_group_norm_that_does_not_divide(void **state)
{
    (void)state;
    struct nn_arch arch = {.image_size = 28,
                           .channels = 1,
                           .nf = 48,
                           .levels = 3,
                           .ch_mult = {1, 2, 2},
                           .num_res_blocks = 1};
    struct err e = {0};
    assert_int_equal(nn_arch_check(&arch, &e), -1);
    assert_non_null(strstr(e.text, "144 channels"));
    arch.nf = 24;
    assert_int_equal(nn_arch_check(&arch, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_preset_numbers),
        cmocka_unit_test(test_names_and_shapes),
        cmocka_unit_test(test_order_inside_blocks),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_group_norm_that_does_not_divide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
