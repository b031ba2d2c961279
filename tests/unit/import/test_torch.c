/* The .pth reader on crafted files of both containers: logical values of views, shared storages,
 * names and their prefixes, EMA kinds, and what must be refused. */
#include "ckpt_test.h"

#include "import_table.h"
#include "import_torch.h"

static const float ramp[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

/* Opens a zip of this pickle and storages, which must work. */
static struct import_torch *opened(const struct buf *pickle, const void *const *storages,
                                   const size_t *bytes, size_t n)
{
    struct err e = {0};
    struct buf zip;
    buf_init(&zip, 1 << 22);
    torch_zip_build(&zip, pickle, storages, bytes, n);
    file_put(zip.data, zip.length);
    buf_clear(&zip);
    struct import_torch *t = import_torch_open(test_path, &e);
    if (!t)
        fail_msg("%s: %s", e.at, e.text);
    return t;
}

static void refused(const struct buf *pickle, size_t storage_bytes, const char *words)
{
    struct err e = {0};
    struct buf zip;
    const void *storages[] = {ramp};
    buf_init(&zip, 1 << 22);
    torch_zip_build(&zip, pickle, storages, &storage_bytes, storage_bytes ? 1 : 0);
    file_put(zip.data, zip.length);
    buf_clear(&zip);
    assert_null(import_torch_open(test_path, &e));
    error_holds(&e, e.code == ERR_UNSUPPORTED ? ERR_UNSUPPORTED : ERR_INPUT, words);
    error_holds(&e, e.code, test_path);
}

static void put_vector(struct buf *b, const char *name, int64_t offset, int64_t size,
                       int64_t stride)
{
    put_string(b, name);
    put_tensor(b, "FloatStorage", "0", 10, offset, 1, &size, &stride);
}

static void values_are(struct import_torch *t, const char *name, const float *expected, size_t n)
{
    struct err e = {0};
    float out[16];
    int64_t at = import_torch_find(t, name);
    assert_true(at >= 0);
    assert_int_equal(import_torch_tensor(t, (size_t)at)->count, n);
    assert_int_equal(import_torch_read(t, (size_t)at, out, &e), 0);
    for (size_t i = 0; i < n; i++)
        assert_true(out[i] == expected[i]);
}

static void ckpt_shared_storage_safetensors_236(void **state)
{
    struct buf b;
    const void *storages[] = {ramp};
    (void)state;
    buf_init(&b, 1 << 16);
    PUT(&b, "}(");
    put_vector(&b, "a", 0, 10, 1);
    put_vector(&b, "b", 0, 10, 1);
    put_vector(&b, "c", 4, 4, 1);
    put_vector(&b, "d", 0, 5, 2);
    put_vector(&b, "e", 9, 6, 0);
    PUT(&b, "u.");
    struct import_torch *t = opened(&b, storages, (const size_t[]){sizeof ramp}, 1);
    assert_int_equal(import_torch_count(t), 5);
    assert_false(import_torch_has_ema(t));
    assert_int_equal(import_torch_step(t), -1);
    values_are(t, "a", ramp, 10);
    values_are(t, "b", ramp, 10);
    values_are(t, "c", ramp + 4, 4);
    values_are(t, "d", (const float[]){0, 2, 4, 6, 8}, 5);
    values_are(t, "e", (const float[]){9, 9, 9, 9, 9, 9}, 6);
    assert_int_equal(import_torch_find(t, "f"), -1);
    import_torch_close(t);
    buf_clear(&b);
}

/* Tensors that take turns in two storages have the storages' places, in the file's order. */
static void tensors_of_a_storage_have_one_place(void **state)
{
    struct buf b;
    const void *storages[] = {ramp, ramp};
    const int64_t two = 2, one = 1;
    (void)state;
    buf_init(&b, 1 << 16);
    PUT(&b, "}(");
    for (int i = 0; i < 4; i++) {
        put_string(&b, (const char *[]){"a", "b", "c", "d"}[i]);
        put_tensor(&b, "FloatStorage", i % 2 ? "0" : "1", 10, i, 1, &two, &one);
    }
    PUT(&b, "u.");
    struct import_torch *t = opened(&b, storages, (const size_t[]){sizeof ramp, sizeof ramp}, 2);
    const struct import_source source = import_torch_source(t, false);
    assert_int_equal(source.place(t, 0), source.place(t, 2));
    assert_int_equal(source.place(t, 1), source.place(t, 3));
    assert_true(source.place(t, 1) < source.place(t, 0));
    values_are(t, "c", ramp + 2, 2);
    import_torch_close(t);
    buf_clear(&b);
}

static void storages_beyond_their_views(void **state)
{
    static float vast[1 << 16];
    struct err e = {0};
    struct buf b;
    float out[4];
    const int64_t numel = 1 << 16, two = 2, far = (1 << 16) - 1;
    const void *storages[] = {vast};
    (void)state;
    buf_init(&b, 1 << 16);
    PUT(&b, "}(");
    put_string(&b, "ends");
    put_tensor(&b, "FloatStorage", "0", numel, 0, 1, &two, &far);
    PUT(&b, "u.");
    struct import_torch *t = opened(&b, storages, (const size_t[]){sizeof vast}, 1);
    assert_int_equal(import_torch_read(t, 0, out, &e), -1);
    error_holds(&e, ERR_LIMIT, "storage \"0\" has 262144 bytes, of which tensors name 8;");
    import_torch_close(t);
    buf_clear(&b);
}

static void ckpt_strides_burn_5383(void **state)
{
    struct buf b;
    const void *storages[] = {ramp};
    (void)state;
    buf_init(&b, 1 << 16);
    PUT(&b, "}(");
    put_string(&b, "transposed");
    put_tensor(&b, "FloatStorage", "0", 10, 1, 2, (const int64_t[]){3, 2}, (const int64_t[]){1, 3});
    put_string(&b, "middle");
    put_tensor(&b, "FloatStorage", "0", 10, 0, 3, (const int64_t[]){2, 1, 3},
               (const int64_t[]){5, 99, 1});
    put_string(&b, "scalar");
    put_tensor(&b, "FloatStorage", "0", 10, 7, 0, NULL, NULL);
    put_string(&b, "empty");
    put_tensor(&b, "FloatStorage", "0", 10, 0, 2, (const int64_t[]){0, 3}, (const int64_t[]){3, 1});
    PUT(&b, "u.");
    struct import_torch *t = opened(&b, storages, (const size_t[]){sizeof ramp}, 1);
    values_are(t, "transposed", (const float[]){1, 4, 2, 5, 3, 6}, 6);
    values_are(t, "middle", (const float[]){0, 1, 2, 5, 6, 7}, 6);
    values_are(t, "scalar", (const float[]){7}, 1);
    values_are(t, "empty", NULL, 0);
    import_torch_close(t);
    buf_clear(&b);
}

static void types_widen(void **state)
{
    const uint16_t halves[2] = {0x3c00, 0xc500}, bfloats[2] = {0x3f80, 0xc0a0};
    const double doubles[2] = {0.1, 1e300};
    const int64_t n = 2, one = 1;
    const void *storages[] = {halves, bfloats, doubles, ramp};
    struct err e = {0};
    struct buf b;
    float out[2];
    (void)state;
    buf_init(&b, 1 << 16);
    PUT(&b, "}(");
    put_string(&b, "h");
    put_tensor(&b, "HalfStorage", "0", 2, 0, 1, &n, &one);
    put_string(&b, "b");
    put_tensor(&b, "BFloat16Storage", "1", 2, 0, 1, &n, &one);
    put_string(&b, "d");
    put_tensor(&b, "DoubleStorage", "2", 2, 0, 1, &n, &one);
    put_string(&b, "l");
    put_tensor(&b, "LongStorage", "3", 2, 0, 1, &n, &one);
    PUT(&b, "u.");
    struct import_torch *t = opened(&b, storages, (const size_t[]){4, 4, 16, 16}, 4);
    values_are(t, "h", (const float[]){1, -5}, 2);
    values_are(t, "b", (const float[]){1, -5}, 2);
    assert_int_equal(import_torch_read(t, 2, out, &e), -1);
    error_holds(&e, ERR_INPUT, "tensor \"d\": element 1 is too large");
    assert_int_equal(import_torch_read(t, 3, out, &e), -1);
    error_holds(&e, ERR_INPUT, "tensor \"l\": dtype I64");
    import_torch_close(t);
    buf_clear(&b);
}

/* {"model": {names…}, "ema": ema, "step": 7}; names separated by spaces. */
static void put_checkpoint(struct buf *b, const char *names, void (*ema)(struct buf *b))
{
    char copy[200], *rest = copy, *name;
    strcpy(copy, names);
    PUT(b, "}(");
    put_string(b, "model");
    PUT(b, "ccollections\nOrderedDict\n)R(");
    while ((name = strsep(&rest, " ")))
        put_vector(b, name, 2, 3, 1);
    PUT(b, "u");
    put_string(b, "step");
    PUT(b, "K\x07");
    if (ema) {
        put_string(b, "ema");
        ema(b);
    }
    PUT(b, "u.");
}

static void ema_list(struct buf *b)
{
    PUT(b, "}(");
    put_string(b, "decay");
    PUT(b, "N");
    put_string(b, "shadow_params");
    PUT(b, "](");
    put_tensor(b, "FloatStorage", "0", 10, 5, 1, (const int64_t[]){2}, (const int64_t[]){1});
    put_tensor(b, "FloatStorage", "0", 10, 6, 1, (const int64_t[]){2}, (const int64_t[]){1});
    PUT(b, "eu");
}

static void ema_named(struct buf *b)
{
    PUT(b, "}(");
    put_string(b, "num_updates");
    PUT(b, "K\x01");
    put_vector(b, "module.a", 5, 2, 1);
    PUT(b, "u");
}

static void ema_odd(struct buf *b)
{
    PUT(b, "K\x01");
}

static struct import_torch *checkpoint_opened(const char *names, void (*ema)(struct buf *b))
{
    struct buf b;
    const void *storages[] = {ramp};
    buf_init(&b, 1 << 16);
    put_checkpoint(&b, names, ema);
    struct import_torch *t = opened(&b, storages, (const size_t[]){sizeof ramp}, 1);
    buf_clear(&b);
    return t;
}

static void ema_kinds(void **state)
{
    struct err e = {0};
    float out[2];
    struct import_torch *t = checkpoint_opened("a b", ema_list);
    (void)state;
    assert_int_equal(import_torch_step(t), 7);
    assert_int_equal(import_torch_ema_kind(t), IMPORT_TORCH_EMA_LIST);
    assert_int_equal(import_torch_ema_count(t), 2);
    assert_string_equal(import_torch_ema_tensor(t, 1)->name, "ema.shadow_params[1]");
    assert_int_equal(import_torch_ema_read(t, 1, out, &e), 0);
    assert_true(out[0] == 6 && out[1] == 7);
    import_torch_close(t);
    t = checkpoint_opened("a b", ema_named);
    assert_int_equal(import_torch_ema_kind(t), IMPORT_TORCH_EMA_NAMED);
    assert_int_equal(import_torch_ema_find(t, "a"), 0);
    assert_int_equal(import_torch_ema_find(t, "module.a"), -1);
    import_torch_close(t);
    t = checkpoint_opened("a b", NULL);
    assert_int_equal(import_torch_ema_kind(t), IMPORT_TORCH_EMA_NONE);
    import_torch_close(t);
}

static void ckpt_prefix_semseg_189(void **state)
{
    static const struct {
        const char *names, *words;
    } cases[] = {
        {"module.module.a module.module.b", "twice: unexpected \"module.module.a\", \"module.mod"},
        {"module.a b module.c", "some do not: unexpected \"b\""},
        {"a b c d module.e f", "some do not: unexpected \"module.e\""},
        {"module.a module.b a b c d e", "unexpected \"module.a\", \"module.b\""},
        {"a b c d a", "duplicate tensor name \"a\""},
    };
    struct import_torch *t = checkpoint_opened("module.a module.b", NULL);

    (void)state;
    assert_string_equal(import_torch_tensor(t, 1)->name, "b");
    import_torch_close(t);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b;
        buf_init(&b, 1 << 16);
        put_checkpoint(&b, cases[i].names, NULL);
        refused(&b, sizeof ramp, cases[i].words);
        buf_clear(&b);
    }
}

static void structures_refused(void **state)
{
    static const struct {
        const char *pickle;
        size_t length;
        const char *words;
    } cases[] = {
        {BYTES("N."), "holds no weights"},
        {BYTES("}."), "holds no weights"},
        {BYTES("}U\x05modelNs."), "holds no weights"},
        {BYTES("}U\x05model}U\x01xNss."), "\"x\" of the state dict is no tensor"},
        {BYTES("}U\x05model}NNss."), "no plain string"},
        {BYTES("N.x"), "trailing bytes after the pickle"},
    };
    struct buf b;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_init(&b, 1 << 16);
        put(&b, cases[i].pickle, cases[i].length);
        refused(&b, 0, cases[i].words);
        buf_clear(&b);
    }
    buf_init(&b, 1 << 16);
    put_checkpoint(&b, "a", ema_odd);
    refused(&b, sizeof ramp, "\"ema\" is neither");
    refused(&b, sizeof ramp - 4, "storage \"0\": 40 bytes expected, the archive holds 36");
    refused(&b, 0, "storage \"0\" is missing");
    buf_clear(&b);
}

static void storage_named_two_ways(void **state)
{
    struct buf b;
    const int64_t one = 1;
    (void)state;
    buf_init(&b, 1 << 16);
    PUT(&b, "}(");
    put_vector(&b, "a", 0, 1, 1);
    put_string(&b, "b");
    put_tensor(&b, "DoubleStorage", "0", 5, 0, 1, &one, &one);
    PUT(&b, "u.");
    refused(&b, sizeof ramp, "storage \"0\" is named with two types or sizes");
    buf_clear(&b);
}

/* A legacy stream with one storage "0" of the ramp; its length is returned. */
static void legacy_build(struct buf *b)
{
    const int64_t numel = 10;
    put_stream_head(b);
    PUT(b, "\x80\x02}");
    put_vector(b, "w", 3, 2, 4);
    PUT(b, "s.\x80\x02]X\x01\0\0\0"
           "0a.");
    put(b, &numel, 8);
    put(b, ramp, sizeof ramp);
}

static void ckpt_legacy_stream_burn_3605(void **state)
{
    struct err e = {0};
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 16);
    legacy_build(&b);
    file_put(b.data, b.length);
    assert_true(import_torch_is(test_path));
    struct import_torch *t = import_torch_open(test_path, &e);
    if (!t)
        fail_msg("%s", e.text);
    assert_string_equal(import_torch_container(t), "legacy");
    values_are(t, "w", (const float[]){3, 7}, 2);
    import_torch_close(t);
    for (size_t length = 0; length < b.length; length++) {
        file_put(b.data, length);
        assert_null(import_torch_open(test_path, &e));
        error_holds(&e, ERR_INPUT, "truncated");
    }
    buf_clear(&b);
}

static void kinds_are_told_apart(void **state)
{
    static const struct {
        const char *content;
        size_t length;
        bool torch;
    } cases[] = {
        {BYTES("PK\003\004"), true},
        {BYTES("\x80\x02}."), true},
        {BYTES("\x80\x02\0\0\0\0\0\0{}"), false},
        {BYTES(""), false},
        {BYTES("hello"), false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        file_put(cases[i].content, cases[i].length);
        assert_int_equal(import_torch_is(test_path), cases[i].torch);
    }
    assert_false(import_torch_is("/nonexistent"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ckpt_shared_storage_safetensors_236),
        cmocka_unit_test(tensors_of_a_storage_have_one_place),
        cmocka_unit_test(storages_beyond_their_views),
        cmocka_unit_test(ckpt_strides_burn_5383),
        cmocka_unit_test(types_widen),
        cmocka_unit_test(ema_kinds),
        cmocka_unit_test(ckpt_prefix_semseg_189),
        cmocka_unit_test(structures_refused),
        cmocka_unit_test(storage_named_two_ways),
        cmocka_unit_test(ckpt_legacy_stream_burn_3605),
        cmocka_unit_test(kinds_are_told_apart),
    };
    return cmocka_run_group_tests_name("import_torch", tests, folder_make, folder_remove);
}
