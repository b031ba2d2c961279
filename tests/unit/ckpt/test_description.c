/* The description: what is written is read back, configurations and presets mean what the
 * reference's table says, and every key is checked. */
#include "ckpt_test.h"

#include "ckpt_description.h"
#include <math.h>

static const char config_text[] =
    "{\"family\": \"pfgm\", \"image_size\": 8, \"channels\": 1, \"nf\": 32, \"ch_mult\": [1, 1], "
    "\"num_res_blocks\": 1, \"attn_resolutions\": [4], \"fir\": false, \"progressive_input\": "
    "\"none\", \"embedding_type\": \"positional\", \"gamma\": 5, \"sigma\": 0.01, \"tau\": 0.03, "
    "\"M\": 261, \"z_max\": 20.0, \"z_min\": 0.001, \"upper_norm\": 200.0, \"z_exp\": 1.0, "
    "\"num_scales\": 1000}";

static json_t *config_get(void)
{
    json_t *config = json_parse(config_text, strlen(config_text), "config", NULL);
    assert_non_null(config);
    return config;
}

static struct ckpt_description description_get(void)
{
    struct ckpt_description d;
    struct err e = {0};
    json_t *config = config_get();
    if (ckpt_description_from_config(config, "config", &d, &e))
        fail_msg("%s", e.text);
    json_decref(config);
    return d;
}

static void from_config(void **state)
{
    struct ckpt_description d = description_get();
    (void)state;
    assert_int_equal(d.arch.image_size, 8);
    assert_int_equal(d.arch.levels, 2);
    assert_int_equal(d.arch.attn_count, 1);
    assert_int_equal(d.arch.attn_resolutions[0], 4);
    assert_int_equal(d.m, 261);
    assert_true(d.t_max == 20 && d.t_min == 1e-3 && d.sigma == 0.01 && d.tau == 0.03);
    assert_true(d.gamma == 5 && d.norm_min == 1 && d.norm_max == 200 && d.t_substitution == 1);
    assert_true(d.divisor_offset == 1e-5);
    assert_int_equal(d.provenance.step, -1);
}

static void config_refusals(void **state)
{
    static const struct {
        const char *key, *value, *words;
    } cases[] = {
        {"nf", "0", "nf"},
        {"nf", "\"32\"", "nf"},
        {"nf", "3.5", "nf"},
        {"channels", "17", "channels"},
        {"image_size", "2000", "image_size"},
        {"ch_mult", "[]", "ch_mult"},
        {"ch_mult", "[1,0]", "ch_mult"},
        {"ch_mult", "[1,1,1,1,1,1,1,1,1]", "ch_mult"},
        {"ch_mult", "[1,1,1,1,1]", "image_size"},
        {"attn_resolutions", "[-4]", "attn_resolutions"},
        {"fir", "0", "fir"},
        {"progressive_input", "\"output_skip\"", "progressive_input"},
        {"embedding_type", "\"learned\"", "embedding_type"},
        {"gamma", "-0.1", "gamma"},
        {"gamma", "1e7", "gamma"},
        {"sigma", "-1", "sigma"},
        {"tau", "11", "tau"},
        {"M", "2.5", "M"},
        {"M", "-1", "M"},
        {"z_max", "1e16", "z_max"},
        {"z_max", "0.001", "z_max"},
        {"z_min", "0", "z_min"},
        {"z_min", "-1", "z_min"},
        {"upper_norm", "1", "upper_norm"},
        {"upper_norm", "null", "upper_norm"},
        {"z_exp", "-1", "z_exp"},
        {"num_scales", "0", "num_scales"},
        {"family", "\"pfgmpp\"", "family"},
        {"dropout", "0.1", "unknown key \"dropout\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ckpt_description d;
        struct err e = {0};
        json_t *config = config_get();
        json_object_set_new(config, cases[i].key,
                            json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        if (ckpt_description_from_config(config, "c.json", &d, &e) == 0)
            fail_msg("accepted %s = %s", cases[i].key, cases[i].value);
        error_holds(&e, e.code == ERR_UNSUPPORTED ? ERR_UNSUPPORTED : ERR_INPUT, cases[i].words);
        error_holds(&e, e.code, "c.json");
        json_decref(config);
    }
}

/* Writes `text` under the description's key into a file without tensors and reads it. */
static int text_read(const char *text, struct ckpt_description *d, struct err *e)
{
    json_t *metadata = json_pack("{s:s}", CKPT_DESCRIPTION_KEY, text);
    struct ckpt_file *f;
    int result;
    assert_int_equal(ckpt_file_write(test_path, NULL, 0, metadata, e), 0);
    json_decref(metadata);
    f = ckpt_file_open(test_path, e);
    assert_non_null(f);
    result = ckpt_description_read(f, d, e);
    ckpt_file_close(f);
    return result;
}

static char *text_of(const struct ckpt_description *d)
{
    struct err e = {0};
    json_t *root = ckpt_description_json(d, &e);
    struct buf text;
    assert_non_null(root);
    buf_init(&text, 1 << 16);
    assert_int_equal(json_append(&text, root, JSON_COMPACT, &e), 0);
    json_decref(root);
    return (char *)buf_take(&text, NULL);
}

static void round_trip(void **state)
{
    struct ckpt_description d = description_get(), back;
    struct err e = {0};
    char *labels[2] = {(char[]){"zero"}, (char[]){"ünö"}}, *first, *second;
    (void)state;
    d.labels = labels;
    d.label_count = 2;
    d.norm_max = (double)INFINITY;
    d.tau = 0.1 + 0.2; /* needs all 17 digits */
    d.provenance.step = INT64_MAX;
    memset(d.provenance.source_sha256, 'a', 64);
    strcpy(d.provenance.source_name, "a \"b\".pth");
    strcpy(d.provenance.weights, "raw");
    first = text_of(&d);
    if (text_read(first, &back, &e))
        fail_msg("%s: %s", e.at, e.text);
    assert_int_equal(back.label_count, 2);
    assert_string_equal(back.labels[1], "ünö");
    assert_true(isinf(back.norm_max));
    assert_true(back.tau == 0.1 + 0.2);
    assert_true(back.provenance.step == INT64_MAX);
    second = text_of(&back);
    assert_string_equal(first, second);
    ckpt_description_clear(&back);
    assert_null(back.labels);
    free(first);
    free(second);
}

static void stored_refusals(void **state)
{
    static const struct {
        const char *path[2], *value, *words;
    } cases[] = {
        {{"version"}, "2", "version 2"},
        {{"version"}, "\"1\"", "version"},
        {{"family"}, "\"x\"", "family"},
        {{"t_max"}, "null", "t_max"},
        {{"t_max"}, "1e16", "t_max"},
        {{"t_min"}, "0", "t_min"},
        {{"norm_max"}, "0.5", "norm_max"},
        {{"norm_max"}, "\"inf\"", "norm_max"},
        {{"m"}, "1e3", "\"m\""},
        {{"labels"}, "[]", "labels"},
        {{"labels"}, "[1]", "labels"},
        {{"labels"}, "{}", "labels"},
        {{"divisor_offset"}, "2", "divisor_offset"},
        {{"more"}, "0", "unknown key \"more\""},
        {{"arch"}, "[]", "arch"},
        {{"arch", "nf"}, "33", "nf"},
        {{"arch", "more"}, "0", "unknown key \"more\""},
        {{"provenance"}, "null", "provenance"},
        {{"provenance", "weights"}, "\"best\"", "weights"},
        {{"provenance", "source_sha256"}, "\"abc\"", "source_sha256"},
        {{"provenance", "step"}, "-1", "step"},
    };
    struct ckpt_description good = description_get(), d;
    char *text = text_of(&good);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        json_t *root = json_loads(text, 0, NULL), *value;
        const char *last = cases[i].path[1] ? cases[i].path[1] : cases[i].path[0];
        json_t *object = cases[i].path[1] ? json_object_get(root, cases[i].path[0]) : root;
        value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);
        json_object_set_new(object, last, value);
        char *changed = json_dumps(root, 0);
        if (text_read(changed, &d, &e) == 0)
            fail_msg("accepted %s = %s", last, cases[i].value);
        error_holds(&e, e.code == ERR_UNSUPPORTED ? ERR_UNSUPPORTED : ERR_INPUT, cases[i].words);
        error_holds(&e, e.code, ": description: ");
        free(changed);
        json_decref(root);
    }
    free(text);
}

static void absent_or_broken(void **state)
{
    struct ckpt_description d;
    struct err e = {0};
    struct ckpt_file *f;
    (void)state;
    assert_int_equal(ckpt_file_write(test_path, NULL, 0, NULL, &e), 0);
    f = ckpt_file_open(test_path, &e);
    assert_int_equal(ckpt_description_read(f, &d, &e), -1);
    error_holds(&e, ERR_INPUT, "no model description");
    ckpt_file_close(f);
    assert_int_equal(text_read("{\"version\":1,\"version\":1}", &d, &e), -1);
    error_holds(&e, ERR_INPUT, "duplicate");
    assert_int_equal(text_read("[1]", &d, &e), -1);
    error_holds(&e, ERR_INPUT, "must be a JSON object");
}

static void presets(void **state)
{
    static const struct {
        const char *name;
        double t_max, norm_max, t_substitution;
        int m, image_size, blocks;
        size_t scalars;
    } all[] = {
        {"cifar10-ddpmpp", 40, 3000, 5, 291, 32, 4, 61805572},
        {"cifar10-ddpmpp-deep", 40, 3000, 5, 291, 32, 8, 106633732},
        {"cifar10-ncsnpp", 40, 3000, 5, 291, 32, 4, 62760068},
        {"celeba64-ddpmpp", 60, 6000, 1, 291, 64, 4, 61805572},
        {"bedroom-ddpmpp", 100, 30000, 0.1, 356, 256, 2, 124076292},
    };
    struct ckpt_description d;
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_int_equal(ckpt_description_from_preset(all[i].name, &d, &e), 0);
        assert_true(d.t_max == all[i].t_max && d.norm_max == all[i].norm_max);
        assert_true(d.t_substitution == all[i].t_substitution && d.t_min == 1e-3);
        assert_true(d.gamma == 5 && d.tau == 0.03 && d.sigma == 0.01 && d.norm_min == 1);
        assert_true(d.divisor_offset == 1e-5);
        assert_int_equal(d.m, all[i].m);
        assert_int_equal(d.arch.image_size, all[i].image_size);
        assert_int_equal(d.arch.num_res_blocks, all[i].blocks);
        assert_int_equal(nn_arch_scalars(&d.arch), all[i].scalars);
        char *text = text_of(&d);
        struct ckpt_description back;
        assert_int_equal(text_read(text, &back, &e), 0);
        assert_int_equal(back.arch.image_size, all[i].image_size);
        free(text);
    }
    assert_int_equal(ckpt_description_from_preset("cifar10", &d, &e), -1);
    error_holds(&e, ERR_INPUT, "celeba64-ddpmpp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_config),      cmocka_unit_test(config_refusals),
        cmocka_unit_test(round_trip),       cmocka_unit_test(stored_refusals),
        cmocka_unit_test(absent_or_broken), cmocka_unit_test(presets),
    };
    return cmocka_run_group_tests_name("ckpt_description", tests, folder_make, folder_remove);
}
