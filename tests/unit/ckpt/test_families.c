/* What each family's description, classes and tuned schedules may be: a good text of each, which is
 * read and written back, and one member of it that is wrong. */
#include "ckpt_test.h"

#include "ckpt_description.h"
#include <math.h>

#define PROVENANCE                                                                                 \
    "\"provenance\":{\"source_sha256\":\"\",\"source_name\":\"\",\"step\":null,"                   \
    "\"weights\":\"raw\"}"

enum { EXACT, DENOISER, VECTORS };
static const char *const good[] = {
    [EXACT] = "{\"version\":1,\"family\":\"exact\",\"shape\":[1,2,2],\"t_max\":30,\"t_min\":0.5,"
              "\"labels\":[\"up\",\"down\"],\"tuned\":[{\"method\":\"euler\",\"nodes\":[20,0.5]},"
              "{\"method\":\"heun\",\"nodes\":[30,4,0.5],\"default\":true}]," PROVENANCE "}",
    [DENOISER] = "{\"version\":1,\"family\":\"pfgmpp\",\"arch\":{\"image_size\":8,\"channels\":1,"
                 "\"nf\":32,\"ch_mult\":[1,1],\"num_res_blocks\":1,\"attn_resolutions\":[4],"
                 "\"fir\":true,\"progressive_input\":\"residual\",\"embedding_type\":\"fourier\"},"
                 "\"D\":\"inf\",\"sigma_max\":80,\"sigma_min\":0.002,\"sigma_data\":0.5,\"rho\":7,"
                 "\"num_steps\":18," PROVENANCE "}",
    [VECTORS] = "{\"version\":1,\"family\":\"pfgmpp\",\"arch\":{\"kind\":\"mlp\",\"dimension\":3,"
                "\"width\":64,\"depth\":2},\"D\":128.0,\"sigma_max\":80,\"sigma_min\":0.002,"
                "\"sigma_data\":0.5,\"rho\":7,\"num_steps\":18," PROVENANCE "}",
};

static int text_read(const char *text, struct ckpt_description *d, struct err *e)
{
    json_t *metadata = json_pack("{s:s}", CKPT_DESCRIPTION_KEY, text);
    assert_int_equal(ckpt_file_write(test_path, NULL, 0, metadata, e), 0);
    json_decref(metadata);
    struct ckpt_file *f = ckpt_file_open(test_path, e);
    assert_non_null(f);
    const int result = ckpt_description_read(f, d, e);
    ckpt_file_close(f);
    return result;
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct ckpt_description d = {0};
        struct err e = {0};
        if (text_read(good[i], &d, &e) != 0)
            fail_msg("%s: %s", e.at, e.text);
        json_t *first = json_loads(good[i], 0, NULL), *second = ckpt_description_json(&d, &e);
        assert_non_null(second);
        /* What is 80 there is 80.0 here. */
        json_t *key;
        const char *name;
        json_object_foreach(first, name, key)
        {
            const json_t *other = json_object_get(second, name);
            if (json_is_number(key))
                assert_true(json_number_value(other) == json_number_value(key));
            else if (strcmp(name, "tuned") != 0 && !json_equal(key, other))
                fail_msg("%s is another", name);
        }
        assert_int_equal(json_object_size(first), json_object_size(second));
        json_decref(first);
        json_decref(second);
        if (i == EXACT) {
            assert_int_equal(d.tuned_count, 2);
            assert_int_equal(d.tuned[1].steps, 2);
            assert_true(d.tuned[1].nodes[1] == 4);
            assert_true(!d.tuned[0].is_default && d.tuned[1].is_default);
        }
        assert_true(i != DENOISER || isinf(d.added));
        assert_true(i != VECTORS || ckpt_description_shape(&d).width == 3);
        ckpt_description_clear(&d);
    }
}

static void each_member_is_checked(void **state)
{
    static const struct {
        int of;
        const char *object, *key, *value, *words;
    } cases[] = {
        {EXACT, NULL, "shape", "[1,2]", "\"shape\" must be [channels, height, width]"},
        {EXACT, NULL, "shape", "{}", "\"shape\" must be [channels, height, width]"},
        {EXACT, NULL, "shape", "[17,2,2]", "element 0 must be an integer from 1 to 16"},
        {EXACT, NULL, "shape", "[1,0,2]", "element 1 must be an integer from 1 to 65536"},
        {EXACT, NULL, "shape", "[1,2,2.0]", "element 2 must be"},
        {EXACT, NULL, "t_max", "\"30\"", "t_max"},
        {EXACT, NULL, "t_min", "30", "\"t_max\" (30) must be greater than \"t_min\" (30)"},
        {EXACT, NULL, "null_class", "1", "null_class"},
        {EXACT, NULL, "labels", "[\"\"]", "element 0 must be a string of 1 to 128 bytes"},
        {EXACT, NULL, "tuned", "{}", "\"tuned\" must be an array of 1 to 16 objects"},
        {EXACT, NULL, "tuned", "[]", "\"tuned\" must be an array of 1 to 16 objects"},
        {EXACT, NULL, "tuned", "[1]", "\"tuned\" must be an array of objects"},
        {EXACT, NULL, "tuned", "[{\"method\":\"euler\",\"nodes\":[1,0.5],\"more\":0}]", "more"},
        {EXACT, NULL, "tuned", "[{\"nodes\":[1,0.5]}]", "method"},
        {EXACT, NULL, "tuned", "[{\"method\":\"rk45\",\"nodes\":[1,0.5]}]",
         "\"rk45\" is no method"},
        {EXACT, NULL, "tuned", "[{\"method\":\"x\",\"nodes\":[1,0.5]}]", "\"x\" is no method"},
        {EXACT, NULL, "tuned", "[{\"method\":\"euler\",\"nodes\":[1]}]", "2 to 1001 numbers"},
        {EXACT, NULL, "tuned", "[{\"method\":\"euler\",\"nodes\":{}}]", "2 to 1001 numbers"},
        {EXACT, NULL, "tuned", "[{\"method\":\"euler\",\"nodes\":[1,1]}]", "node 1 must be"},
        {EXACT, NULL, "tuned", "[{\"method\":\"euler\",\"nodes\":[1,\"0.5\"]}]", "node 1 must be"},
        {EXACT, NULL, "tuned", "[{\"method\":\"euler\",\"nodes\":[31,0.5]}]",
         "begin at t_max = 30"},
        {EXACT, NULL, "tuned", "[{\"method\":\"euler\",\"nodes\":[30,1]}]", "end at t_min = 0.5"},
        {EXACT, NULL, "tuned",
         "[{\"method\":\"heun\",\"nodes\":[9,4,0.5]},{\"method\":\"euler\",\"nodes\":[9,0.5]}]",
         "in the order of its steps"},
        {EXACT, NULL, "tuned", "[{\"method\":\"euler\",\"nodes\":[1,0.5],\"default\":1}]",
         "\"default\" must be true or false"},
        {EXACT, NULL, "tuned",
         "[{\"method\":\"euler\",\"nodes\":[1,0.5],\"default\":true},"
         "{\"method\":\"euler\",\"nodes\":[1,0.7,0.5],\"default\":true}]",
         "only one can be the default"},
        {DENOISER, NULL, "null_class", "false", "is for a model with \"labels\""},
        {DENOISER, NULL, "D", "0.5", "\"D\" must be a number from 1"},
        {DENOISER, NULL, "D", "\"infinite\"", "\"D\" must be a number from 1"},
        {DENOISER, NULL, "D", "null", "\"D\" must be a number from 1"},
        {DENOISER, NULL, "sigma_data", "0", "\"sigma_data\" must be greater than 0"},
        {DENOISER, NULL, "sigma_min", "81", "\"sigma_max\" (80) must be greater"},
        {DENOISER, NULL, "rho", "0.5", "rho"},
        {DENOISER, NULL, "num_steps", "1", "num_steps"},
        {DENOISER, "arch", "kind", "\"unet\"", "unknown key \"kind\""},
        {DENOISER, "arch", "ch_mult", "[1,1,1,1,1]", "image_size"},
        {VECTORS, "arch", "width", "60", "\"width\" must be a multiple of 8, is 60"},
        {VECTORS, "arch", "width", "\"64\"", "width"},
        {VECTORS, "arch", "depth", "1001", "depth"},
        {VECTORS, "arch", "dimension", "0", "dimension"},
        {VECTORS, "arch", "nf", "8", "unknown key \"nf\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ckpt_description d = {0};
        struct err e = {0};
        json_t *root = json_loads(good[cases[i].of], 0, NULL);
        json_t *object = cases[i].object ? json_object_get(root, cases[i].object) : root;
        json_t *value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);
        assert_int_equal(json_object_set_new(object, cases[i].key, value), 0);
        char *changed = json_dumps(root, 0);
        if (text_read(changed, &d, &e) == 0)
            fail_msg("accepted %s = %s", cases[i].key, cases[i].value);
        error_holds(&e, e.code == ERR_UNSUPPORTED ? ERR_UNSUPPORTED : ERR_INPUT, cases[i].words);
        ckpt_description_clear(&d);
        free(changed);
        json_decref(root);
    }
}

/* A name that is cut in the middle of a character stays one that JSON can hold. */
static void a_source_keeps_its_last_part(void **state)
{
    static const struct {
        const char *path, *name;
    } cases[] = {{"/data/pictures/", "pictures"},
                 {"model.pth", "model.pth"},
                 {"/", "/"},
                 {"/data/\xff.pth", "?.pth"},
                 {"/data//", "data"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ckpt_description d = {0};
        ckpt_description_source(&d, cases[i].path);
        assert_string_equal(d.provenance.source_name, cases[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(each_member_is_checked),
        cmocka_unit_test(a_source_keeps_its_last_part),
    };
    return cmocka_run_group_tests_name("ckpt_families", tests, folder_make, folder_remove);
}
