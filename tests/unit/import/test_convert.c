/* The import through its C interface, on the golden checkpoint of the digits: census, progress,
 * description. The faults of files are in tests/golden/test_convert.py, which drives the program.
 */
#include "ckpt_test.h"

#include "import_convert.h"
#include "import_torch.h"

static const char source[] = GOLDEN_DIR "/pfgm_digits8.pth";

static struct ckpt_description description_get(void)
{
    struct err e = {0};
    struct ckpt_description d;
    struct ckpt_file *f = ckpt_file_open(GOLDEN_DIR "/pfgm_digits8.golden.safetensors", &e);
    if (!f)
        fail_msg("%s: %s", e.at, e.text);
    const char *text = ckpt_file_metadata(f, "config");
    json_t *config = json_parse(text, strlen(text), "config", &e);

    assert_int_equal(ckpt_description_from_config(config, "config", &d, &e), 0);
    json_decref(config);
    ckpt_file_close(f);
    return d;
}

struct calls {
    size_t count, last;
};

static void progress(void *context, size_t done, size_t all)
{
    struct calls *calls = context;
    assert_int_equal(all, 152);
    assert_int_equal(done, calls->last + 1);
    calls->last = done;
    calls->count++;
}

static void digits(void **state)
{
    struct ckpt_description d = description_get(), read;
    struct import_census census = {0};
    struct calls calls = {0};
    struct err e = {0};
    (void)state;
    if (import_convert(source, test_path, &d, IMPORT_WEIGHTS_EMA, progress, &calls, &census, &e))
        fail_msg("%s: %s", e.at, e.text);
    assert_int_equal(calls.count, 152);
    assert_int_equal(census.tensors, 152);
    assert_int_equal(census.scalars, nn_arch_scalars(&d.arch));
    struct ckpt_file *f = ckpt_file_open(test_path, &e);
    struct import_torch *t = import_torch_open(source, &e);
    assert_non_null(f);
    assert_non_null(t);
    assert_int_equal(ckpt_file_count(f), 152);
    assert_int_equal(ckpt_description_read(f, &read, &e), 0);
    assert_int_equal(read.provenance.step, 3000);
    assert_string_equal(read.provenance.source_sha256, import_torch_sha256(t, &e));
    assert_string_equal(read.provenance.source_name, "pfgm_digits8.pth");
    size_t count;
    struct nn_param *params = nn_arch_params(&read.arch, &count, &e);
    for (size_t i = 0; i < count; i++) {
        const struct ckpt_tensor *tensor = ckpt_file_find(f, params[i].name);
        assert_non_null(tensor);
        float *ema = malloc(tensor->count * 4), *written = malloc(tensor->count * 4);
        assert_int_equal(import_torch_ema_read(t, i, ema, &e), 0);
        assert_int_equal(ckpt_tensor_read(tensor, written, &e), 0);
        assert_memory_equal(ema, written, tensor->count * 4);
        free(ema);
        free(written);
    }
    free(params);
    import_torch_close(t);
    ckpt_file_close(f);
}

static void another_network_is_refused(void **state)
{
    struct ckpt_description d = description_get();
    struct import_census census;
    struct err e = {0};
    (void)state;
    unlink(test_path);
    d.arch.num_res_blocks = 2;
    assert_int_equal(
        import_convert(source, test_path, &d, IMPORT_WEIGHTS_EMA, NULL, NULL, &census, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    error_holds(&e, ERR_INPUT, "all_modules.");
    assert_int_equal(access(test_path, F_OK), -1);
}

static void input_is_not_overwritten(void **state)
{
    struct ckpt_description d = description_get();
    struct import_census census;
    struct err e = {0};
    (void)state;
    file_put("PK\003\004", 4);
    assert_int_equal(
        import_convert(test_path, test_path, &d, IMPORT_WEIGHTS_RAW, NULL, NULL, &census, &e), -1);
    error_holds(&e, ERR_INPUT, "is the input file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits),
        cmocka_unit_test(another_network_is_refused),
        cmocka_unit_test(input_is_not_overwritten),
    };
    return cmocka_run_group_tests_name("import_convert", tests, folder_make, folder_remove);
}
