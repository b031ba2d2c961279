/* What the pickle machine makes of modules that were saved whole: persistence records whose source
 * text nobody runs, torch's holders of modules, sets, and storages that are streams inside the
 * pickle, with the bounds of all of them. */
#include "import_pickle_test.h"

/* {type, version, module_src, class_name, state}; `field` is left out. */
static void put_record(struct buf *b, const char *field, const char *version)
{
    PUT(b, "ctorch_utils.persistence\n_reconstruct_persistent_obj\n}(");
    if (strcmp(field, "type") != 0)
        PUT(b, "U\x04typeU\x05"
               "class");
    PUT(b, "U\x07version");
    put(b, version, strlen(version));
    PUT(b, "U\nmodule_srcU\x1fimport os; os.system('touch x')");
    if (strcmp(field, "class_name") != 0)
        PUT(b, "U\nclass_nameU\x04Thin");
    if (strcmp(field, "state") != 0)
        PUT(b, "U\x05state}U\x05widthK\x07s");
    PUT(b, "u\x85R.");
}

static void records(void **state)
{
    static const struct {
        const char *missing, *version, *words;
    } faulty[] = {
        {"type", "K\x06", "without type"},
        {"class_name", "K\x06", "without type \"class\", class_name and state"},
        {"state", "K\x06", "without type"},
        {"", "K\x05", "unknown version, 6 is known"},
        {"", "N", "unknown version"},
    };
    struct import_pickle *p = machine();
    struct err e = {0};
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 16);
    put_record(&b, "", "K\x06");
    const struct import_value *value = run(p, b.data, b.length, &e);
    if (!value)
        fail_msg("%s", e.text);
    assert_int_equal(value->kind, IMPORT_VALUE_OBJECT);
    assert_string_equal(value->object.class_name, "Thin");
    assert_int_equal(import_value_attribute(value, "width")->integer, 7);
    assert_null(import_value_attribute(value, "module_src"));
    assert_null(import_value_attribute(value->object.state, "width")); /* a dict is no object */
    for (size_t i = 0; i < sizeof faulty / sizeof faulty[0]; i++) {
        buf_reset(&b);
        put_record(&b, faulty[i].missing, faulty[i].version);
        assert_null(run(p, b.data, b.length, &e));
        error_holds(&e, ERR_INPUT, faulty[i].words);
    }
    buf_clear(&b);
    import_pickle_free(p);
}

/* A record of n items, called as often: each call looks through all of them. */
static void records_called_often(void **state)
{
    const size_t n = 2000;
    struct import_pickle *p = machine();
    struct err e = {0};
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    PUT(&b, "ctorch_utils.persistence\n_reconstruct_persistent_obj\nq\x01"
            "0}(");
    PUT(&b, "U\x04typeU\x05"
            "classU\x07versionK\x06U\nclass_nameU\x04ThinU\x05state}");
    for (size_t i = 0; i < n; i++)
        PUT(&b, "K\x01N");
    PUT(&b, "u\x85q\x02"
            "0](");
    const size_t once = b.length;
    PUT(&b, "h\x01h\x02Re.");
    if (!run(p, b.data, b.length, &e))
        fail_msg("%s", e.text);
    b.length = once;
    for (size_t i = 0; i < n; i++)
        PUT(&b, "h\x01h\x02R");
    PUT(&b, "e.");
    assert_null(run(p, b.data, b.length, &e));
    error_holds(&e, ERR_INPUT, "called more often than they are there");
    buf_clear(&b);
    import_pickle_free(p);
}

static void modules_and_sets(void **state)
{
    struct import_pickle *p = machine();
    struct err e = {0};
    const struct import_value *value =
        RUN(p, "ctorch.nn.modules.container\nModuleDict\n)\x81}U\x01nK\x02sb.", &e);
    (void)state;
    if (!value)
        fail_msg("%s", e.text);
    assert_string_equal(value->object.class_name, "ModuleDict");
    assert_int_equal(import_value_attribute(value, "n")->integer, 2);
    assert_int_equal(RUN(p, "\x8f(K\x01K\x02\x90.", &e)->kind, IMPORT_VALUE_OPAQUE);
    assert_int_equal(RUN(p, "(K\x01\x91.", &e)->kind, IMPORT_VALUE_OPAQUE);
    assert_int_equal(RUN(p,
                         "c__builtin__\nset\n](K\x01K\x02"
                         "e\x85R.",
                         &e)
                         ->kind,
                     IMPORT_VALUE_OPAQUE);
    assert_int_equal(RUN(p, "cdnnlib.util\nEasyDict\n)\x81}b.", &e)->kind, IMPORT_VALUE_DICT);
    import_pickle_free(p);
}

/* ---- streams inside a pickle ---- */

static void embedded(void **state)
{
    struct import_pickle *p = machine();
    struct err e = {0};
    struct buf b, stream;
    size_t count;
    (void)state;
    buf_init(&b, 1 << 16);
    buf_init(&stream, 1 << 16);
    put_stream(&stream, 10, 10, 10);
    PUT(&b, "(");
    put_embedded(&b, &stream);
    put_embedded(&b, &stream); /* another storage, whatever key the stream gives it */
    PUT(&b, "t.");
    const struct import_value *value = run(p, b.data, b.length, &e);
    if (!value)
        fail_msg("%s", e.text);
    const struct import_storage *one = value->items.values[0]->storage;
    const struct import_storage *two = value->items.values[1]->storage;
    assert_int_equal(one->dtype, CKPT_F32);
    assert_int_equal(one->numel, 10);
    assert_true(one->data > b.data && one->data + 40 <= b.data + b.length);
    assert_memory_equal(one->data, two->data, 40);
    assert_string_not_equal(one->key, two->key);
    import_pickle_storages(p, &count);
    assert_int_equal(count, 2);
    buf_clear(&b);
    buf_clear(&stream);
    import_pickle_free(p);
}

static void embedded_refused(const struct buf *stream, enum err_code code, const char *words)
{
    struct import_pickle *p = machine();
    struct err e = {0};
    struct buf b;
    buf_init(&b, 1 << 22);
    put_embedded(&b, stream);
    PUT(&b, ".");
    assert_null(run(p, b.data, b.length, &e));
    error_holds(&e, code, words);
    error_holds(&e, code, "m.pth, embedded at ");
    buf_clear(&b);
    import_pickle_free(p);
}

/* Every proper beginning of a stream, and streams that lie about their storage. */
static void embedded_streams_that_do_not_fit(void **state)
{
    static const struct {
        int64_t named, announced;
        size_t there;
        const char *words;
    } cases[] = {
        {10, 11, 10, "10 elements expected, 11 declared"},
        {11, 11, 10, "truncated in storage \"0\": 44 bytes expected, 40 left"},
        {9, 9, 10, "4 bytes are left over"},
        {INT64_MAX, INT64_MAX, 10, "its size overflows"},
    };
    struct buf good, bad;

    (void)state;
    buf_init(&good, 1 << 16);
    buf_init(&bad, 1 << 16);
    put_stream(&good, 10, 10, 10);
    for (size_t length = 0; length < good.length; length++) {
        struct buf cut = good;
        cut.length = length;
        embedded_refused(&cut, ERR_INPUT, "truncated");
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_reset(&bad);
        put_stream(&bad, cases[i].named, cases[i].announced, cases[i].there);
        embedded_refused(&bad, ERR_INPUT, cases[i].words);
    }
    buf_reset(&bad);
    PUT(&bad, "N.");
    embedded_refused(&bad, ERR_UNSUPPORTED, "not a stream of torch.save");
    buf_reset(&bad);
    put_stream_head(&bad);
    PUT(&bad, "}.].");
    embedded_refused(&bad, ERR_INPUT, "does not hold one storage");
    buf_clear(&good);
    buf_clear(&bad);
}

/* A stream in a stream, one stream loaded a thousand times, one that wants memory without end. */
static void embedded_bombs(void **state)
{
    struct import_pickle *p = machine();
    struct err e = {0};
    struct buf b, stream, inner;
    (void)state;
    buf_init(&b, 1 << 22);
    buf_init(&stream, 1 << 22);
    buf_init(&inner, 1 << 16);
    put_stream(&inner, 10, 10, 10);
    put_stream_head(&stream);
    put_embedded(&stream, &inner);
    PUT(&stream, ".].");
    embedded_refused(&stream, ERR_INPUT, "a stream within a stream");

    PUT(&b, "(ctorch.storage\n_load_from_bytes\nq\0B");
    const uint32_t length = (uint32_t)inner.length;
    put(&b, &length, 4);
    put(&b, inner.data, inner.length);
    PUT(&b, "q\x01\x85R");
    for (int i = 0; i < 1000; i++)
        PUT(&b, "h\0h\x01\x85R");
    PUT(&b, "t.");
    assert_null(run(p, b.data, b.length, &e));
    error_holds(&e, ERR_INPUT, "loaded more often than they are there");

    buf_reset(&stream);
    put_stream_head(&stream);
    for (int i = 0; i < 1 << 19; i++)
        PUT(&stream, "]0");
    embedded_refused(&stream, ERR_LIMIT, "needs more than 1048576 bytes");
    buf_clear(&b);
    buf_clear(&stream);
    buf_clear(&inner);
    import_pickle_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records),
        cmocka_unit_test(records_called_often),
        cmocka_unit_test(modules_and_sets),
        cmocka_unit_test(embedded),
        cmocka_unit_test(embedded_streams_that_do_not_fit),
        cmocka_unit_test(embedded_bombs),
    };
    return cmocka_run_group_tests_name("ckpt_records", tests, NULL, NULL);
}
