/* Small good files of each format, damaged in thousands of fixed ways: each must be read or refused
 * with an error, never crash. Run under the sanitizers, this also finds reads out of bounds. The
 * damage comes from the counter-based generator, so a failure repeats. */
#include "ckpt_test.h"

#include "base_rng.h"
#include "import_convert.h"
#include "import_pickle.h"
#include "import_torch.h"

#define MUTATIONS 2000

static const float ramp[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

/* Overwrites, flips, cuts or doubles; `round` decides all of it. */
static void damage(const struct buf *good, uint32_t round, struct buf *out)
{
    static const unsigned char favourites[] = {0, 1, 0x7f, 0x80, 0xff, '"', '{', '(', '.', 'R'};
    double u[8];
    rng_uniforms(1, round, RNG_TEST, 8, u);
    buf_reset(out);
    put(out, good->data, good->length);
    int changes = 1 + (int)(u[0] * 3);
    for (int i = 0; i < changes; i++) {
        size_t at = (size_t)(u[1 + i] * (double)out->length);
        if (u[4 + i] < 0.4)
            out->data[at] ^= (unsigned char)(1 << (int)(u[4 + i] * 20));
        else if (u[4 + i] < 0.8)
            out->data[at] = favourites[(size_t)((u[4 + i] - 0.4) * 25)];
        else if (u[4 + i] < 0.9)
            out->length = at + 1;
        else
            put(out, good->data + at % good->length, good->length - at % good->length);
    }
}

static void safetensors_try(const struct buf *file, size_t *accepted)
{
    struct err e = {0};
    struct ckpt_description d;
    file_put(file->data, file->length);
    struct ckpt_file *f = ckpt_file_open(test_path, &e);
    if (!f) {
        assert_true(e.code != ERR_NONE && e.text[0]);
        return;
    }
    (*accepted)++;
    for (size_t i = 0; i < ckpt_file_count(f); i++) {
        const struct ckpt_tensor *t = ckpt_file_tensor(f, i);
        assert_true(t->count * ckpt_dtype_size(t->dtype) <= file->length);
        double *out = malloc((size_t)t->count * 8 + 1);
        if (ckpt_dtype_is_float(t->dtype))
            assert_int_equal(ckpt_tensor_to_f64(t, out, &e), 0);
        free(out);
    }
    if (ckpt_description_read(f, &d, &e) == 0)
        ckpt_description_clear(&d);
    ckpt_file_close(f);
}

static void torch_try(const struct buf *file, size_t *accepted)
{
    struct err e = {0};
    file_put(file->data, file->length);
    struct import_torch *t = import_torch_open(test_path, &e);
    if (!t) {
        assert_true(e.code != ERR_NONE && e.text[0]);
        return;
    }
    (*accepted)++;
    for (size_t i = 0; i < import_torch_count(t); i++) {
        size_t count = (size_t)import_torch_tensor(t, i)->count;
        if (count > 1 << 16) /* a view may repeat elements without end; callers know their shapes */
            continue;
        float *out = malloc(count * 4 + 1);
        if (import_torch_read(t, i, out, &e))
            assert_true(e.code != ERR_NONE);
        free(out);
    }
    for (size_t i = 0; i < import_torch_ema_count(t); i++)
        assert_true(strlen(import_torch_ema_tensor(t, i)->name) < 256);
    if (import_torch_is_whole(t)) {
        struct ckpt_description d = {0};
        if (import_torch_describe(t, &d, &e))
            assert_true(e.code != ERR_NONE && e.text[0]);
        ckpt_description_clear(&d);
    }
    import_torch_close(t);
}

static void mutate(const struct buf *good, void (*try)(const struct buf *file, size_t *accepted))
{
    struct buf bad;
    size_t accepted = 0;
    buf_init(&bad, 1 << 20);
    try(good, &accepted);
    assert_int_equal(accepted, 1);
    for (uint32_t round = 0; round < MUTATIONS; round++) {
        damage(good, round, &bad);
        try(&bad, &accepted);
    }
    for (size_t length = 0; length < good->length; length++) {
        struct buf cut = *good;
        size_t none = 0;
        cut.length = length;
        try(&cut, &none);
        assert_int_equal(none, 0); /* no proper beginning of a file is one */
    }
    assert_true(accepted < MUTATIONS);
    buf_clear(&bad);
}

static void safetensors(void **state)
{
    struct err e = {0};
    const struct ckpt_output outputs[] = {{"a.weight", CKPT_F32, 2, {2, 3}, ramp},
                                          {"b", CKPT_F64, 1, {2}, ramp},
                                          {"n", CKPT_I64, 0, {0}, ramp}};
    json_t *metadata = json_pack("{s:s}", "pfgm", "{\"version\":1,\"family\":\"pfgm\"}");
    struct buf good;
    (void)state;
    assert_int_equal(ckpt_file_write(test_path, outputs, 3, metadata, &e), 0);
    json_decref(metadata);
    buf_init(&good, 1 << 16);
    assert_int_equal(file_read(test_path, &good, &e), 0);
    mutate(&good, safetensors_try);
    buf_clear(&good);
}

static void pickle_build(struct buf *b)
{
    PUT(b, "\x80\x02}q\0(");
    put_string(b, "model");
    PUT(b, "ccollections\nOrderedDict\nq\x01)Rq\x02(");
    put_string(b, "w");
    put_tensor(b, "FloatStorage", "0", 10, 1, 2, (const int64_t[]){3, 2}, (const int64_t[]){1, 3});
    put_string(b, "v");
    put_tensor(b, "FloatStorage", "0", 10, 4, 1, (const int64_t[]){4}, (const int64_t[]){1});
    PUT(b, "u}q\x03U\x09_metadatah\x03sb");
    put_string(b, "step");
    PUT(b, "M\x10\x01u.");
}

static void torch_zip(void **state)
{
    const void *storages[] = {ramp};
    struct buf pickle, good;
    (void)state;
    buf_init(&pickle, 1 << 16);
    buf_init(&good, 1 << 16);
    pickle_build(&pickle);
    torch_zip_build(&good, &pickle, storages, (const size_t[]){sizeof ramp}, 1);
    mutate(&good, torch_try);
    buf_clear(&pickle);
    buf_clear(&good);
}

static void torch_legacy(void **state)
{
    const int64_t numel = 10;
    struct buf good;
    (void)state;
    buf_init(&good, 1 << 16);
    put_stream_head(&good);
    pickle_build(&good);
    PUT(&good, "\x80\x02]q\x01X\x01\0\0\0"
               "0a.");
    put(&good, &numel, 8);
    put(&good, ramp, sizeof ramp);
    mutate(&good, torch_try);
    buf_clear(&good);
}

/* The head of a module's record, up to its attributes. */
static void put_module(struct buf *b, const char *class_name)
{
    PUT(b, "ctorch_utils.persistence\n_reconstruct_persistent_obj\n}(");
    put_string(b, "type");
    put_string(b, "class");
    put_string(b, "version");
    PUT(b, "K\x06");
    put_string(b, "class_name");
    put_string(b, class_name);
    put_string(b, "state");
    PUT(b, "}(");
}

/* A plain pickle of an EDMPrecond around a SongUNet that knows its sizes and has two tensors. */
static void whole_module(void **state)
{
    struct buf good, stream;
    (void)state;
    buf_init(&good, 1 << 16);
    buf_init(&stream, 1 << 16);
    put_stream(&stream, 10, 10, 10);
    PUT(&good, "\x80\x04}");
    put_string(&good, "ema");
    put_module(&good, "EDMPrecond");
    put_string(&good, "sigma_data");
    PUT(&good, "G\x3f\xe0\0\0\0\0\0\0");
    put_string(&good, "_modules");
    PUT(&good, "}");
    put_string(&good, "model");
    put_module(&good, "SongUNet");
    put_string(&good, "_init_args");
    PUT(&good, "K\x08K\x01K\x01\x87");
    put_string(&good, "_init_kwargs");
    PUT(&good, "}");
    put_string(&good, "channel_mult");
    PUT(&good, "](K\x01K\x02"
               "es");
    put_string(&good, "_non_persistent_buffers_set");
    PUT(&good, "\x8f(K\x01\x90");
    put_string(&good, "_parameters");
    PUT(&good, "}(");
    put_string(&good, "w");
    PUT(&good, "ctorch._utils\n_rebuild_parameter\n(ctorch._utils\n_rebuild_tensor_v2\n(");
    put_embedded(&good, &stream);
    put_view(&good, 2, 2, (const int64_t[]){3, 2}, (const int64_t[]){1, 3});
    PUT(&good, "\x88}tR");
    put_string(&good, "none");
    PUT(&good, "Nuuu\x85Rs"); /* the network is among the modules */
    PUT(&good, "uu\x85Rs.");
    mutate(&good, torch_try);
    buf_clear(&good);
    buf_clear(&stream);
}

/* The zip's checksums turn most damage away before the machine sees it; here it sees all. */
static void pickle_alone(void **state)
{
    struct buf good, bad;
    size_t accepted = 0, used;
    (void)state;
    buf_init(&good, 1 << 16);
    buf_init(&bad, 1 << 20);
    pickle_build(&good);
    for (uint32_t round = 0; round < 4 * MUTATIONS; round++) {
        struct err e = {0};
        struct import_pickle *p = import_pickle_new("p", &e);
        damage(&good, round, &bad);
        if (import_pickle_run(p, bad.data, bad.length, &used, &e))
            accepted++;
        else
            assert_true(e.code != ERR_NONE && e.text[0]);
        import_pickle_free(p);
    }
    assert_in_range(accepted, 1, 4 * MUTATIONS - 1);
    buf_clear(&good);
    buf_clear(&bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors),  cmocka_unit_test(torch_zip),
        cmocka_unit_test(torch_legacy), cmocka_unit_test(whole_module),
        cmocka_unit_test(pickle_alone),
    };
    return cmocka_run_group_tests_name("ckpt_mutations", tests, folder_make, folder_remove);
}
