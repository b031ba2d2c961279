/* Modules that were saved whole, as trees of objects: names of their tensors, and every bound of
 * the walk over them. The pickle may let a module hold itself, or one be held by all others. */
#include "ckpt_test.h"

#include "import_torch.h"

/* "{…}" in protocol 2, a plain pickle, to which a test adds members. */
static void begin(struct buf *b)
{
    buf_init(b, 16 << 20);
    PUT(b, "\x80\x02}");
}

/* An object of torch's with these attributes as its state: a dict on the stack is put into. */
static void module_begin(struct buf *b)
{
    PUT(b, "ctorch.nn.modules.container\nModuleDict\n)\x81}");
}

static void module_end(struct buf *b)
{
    PUT(b, "b");
}

/* attribute: {} */
static void put_empty(struct buf *b, const char *attribute)
{
    put_string(b, attribute);
    PUT(b, "}s");
}

static struct import_torch *read_back(const struct buf *b, struct err *e)
{
    file_put(b->data, b->length);
    return import_torch_open(test_path, e);
}

static void refused(struct buf *b, enum err_code code, const char *words)
{
    struct err e = {0};
    assert_null(read_back(b, &e));
    error_holds(&e, code, words);
    error_holds(&e, code, test_path);
    buf_clear(b);
}

/* A tensor of two floats whose storage is embedded. */
static void put_values(struct buf *b)
{
    struct buf stream;
    const int64_t two = 2, one = 1;
    buf_init(&stream, 4096);
    put_stream(&stream, 4, 4, 4);
    PUT(b, "ctorch._utils\n_rebuild_tensor_v2\n(");
    put_embedded(b, &stream);
    put_view(b, 1, 1, &two, &one);
    buf_clear(&stream);
}

static void tensors_have_dotted_names(void **state)
{
    struct err e = {0};
    struct buf b;
    float values[2];
    (void)state;
    begin(&b);
    put_string(&b, "net");
    module_begin(&b);
    put_empty(&b, "_buffers");
    put_string(&b, "_modules");
    PUT(&b, "}");
    put_string(&b, "outer");
    module_begin(&b);
    put_string(&b, "_modules");
    PUT(&b, "}");
    put_string(&b, "none");
    PUT(&b, "Ns");
    put_string(&b, "inner");
    module_begin(&b);
    put_string(&b, "_parameters");
    PUT(&b, "}");
    put_string(&b, "bias");
    PUT(&b, "Ns");
    put_string(&b, "weight");
    put_values(&b);
    PUT(&b, "ss");
    module_end(&b);
    PUT(&b, "ss");
    module_end(&b);
    PUT(&b, "ss");
    module_end(&b);
    PUT(&b, "s.");
    struct import_torch *t = read_back(&b, &e);
    if (!t)
        fail_msg("%s: %s", e.at, e.text);
    assert_true(import_torch_is_whole(t));
    assert_int_equal(import_torch_count(t), 1);
    assert_int_equal(import_torch_find(t, "outer.inner.weight"), 0);
    assert_false(import_torch_has_ema(t));
    assert_int_equal(import_torch_read(t, 0, values, &e), 0);
    assert_true(values[0] == 1 && values[1] == 2);
    import_torch_close(t);
    buf_clear(&b);
}

/* One attribute of the module at the top is not what it should be. */
static void attributes_are_checked(void **state)
{
    static const struct {
        const char *attribute;
        const char *value;
        size_t length;
        const char *words;
    } cases[] = {
        {"_parameters", BYTES("N"), "_parameters of module \"\" is no dict"},
        {"_buffers", BYTES("K\x01"), "_buffers of module \"\" is no dict"},
        {"_modules", BYTES("]"), "_modules of module \"\" is no dict"},
        {"_parameters", BYTES("}X\x01\0\0\0wK\x01s"), "\"w\" in _parameters is no tensor"},
        {"_buffers", BYTES("}X\x01\0\0\0wK\x01s"), "\"w\" in _buffers is no tensor"},
        {"_parameters", BYTES("}K\x01K\x01s"), "a member of module \"\" has no plain name"},
        {"_parameters", BYTES("}X\x02\0\0\0w\0K\x01s"),
         "a member of module \"\" has no plain name"},
        {"_modules", BYTES("}K\x01Ns"), "a member of module \"\" has no plain name"},
        {"_modules", BYTES("}X\x01\0\0\0mK\x01s"), "\"m\" is no module"},
        {"_modules", BYTES("}X\x01\0\0\0mctorch.nn.modules.container\nModuleDict\n)\x81s"),
         "\"m\" is no module"}, /* it has no attributes */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        begin(&b);
        put_string(&b, "ema");
        module_begin(&b);
        put_string(&b, cases[i].attribute);
        put(&b, cases[i].value, cases[i].length);
        PUT(&b, "s");
        module_end(&b);
        PUT(&b, "s.");
        refused(&b, ERR_INPUT, cases[i].words);
    }
}

static void both_networks_are_modules_or_none_is(void **state)
{
    static const char *const names[] = {"ema", "net"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        char words[64];
        struct buf b;
        begin(&b);
        put_string(&b, names[i]);
        module_begin(&b);
        put_empty(&b, "_modules");
        module_end(&b);
        PUT(&b, "s");
        put_string(&b, names[!i]);
        PUT(&b, "K\x01s.");
        snprintf(words, sizeof words, "\"%s\" is no module, but \"%s\" is", names[!i], names[i]);
        refused(&b, ERR_INPUT, words);
    }
}

/* ---- bounds ---- */

/* `count` members with names of their own, each of that value. */
static void put_members(struct buf *b, int count, const char *value, size_t length)
{
    char name[16];
    PUT(b, "(");
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%d", i);
        put_string(b, name);
        put(b, value, length);
    }
    PUT(b, "u");
}

static void a_module_that_holds_itself_ends(void **state)
{
    struct buf b;
    (void)state;
    begin(&b);
    put_string(&b, "ema");
    PUT(&b, "ctorch.nn.modules.container\nModuleDict\n)\x81q\x01}");
    put_string(&b, "_modules");
    PUT(&b, "}");
    put_string(&b, "m");
    PUT(&b, "h\x01ssbs.");
    refused(&b, ERR_LIMIT, "m.m.m\" is nested deeper than 16 levels");
}

static void a_long_name_is_refused(void **state)
{
    struct buf b;
    char name[256];
    (void)state;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    begin(&b);
    put_string(&b, "ema");
    module_begin(&b);
    put_string(&b, "_modules");
    PUT(&b, "}");
    put_string(&b, name);
    PUT(&b, "Nss");
    module_end(&b);
    PUT(&b, "s.");
    refused(&b, ERR_LIMIT, "a name in module \"\" is too long");
}

static void crowds_are_refused(void **state)
{
    static const char *const dicts[] = {"_parameters", "_buffers", "_modules"};
    char words[80];
    struct buf b;
    (void)state;
    for (size_t i = 0; i < sizeof dicts / sizeof *dicts; i++) {
        begin(&b);
        put_string(&b, "ema");
        module_begin(&b);
        put_string(&b, dicts[i]);
        PUT(&b, "}");
        put_members(&b, 4097, BYTES("N"));
        PUT(&b, "s");
        module_end(&b);
        PUT(&b, "s.");
        snprintf(words, sizeof words, "%s of module \"\" has more than 4096 entries", dicts[i]);
        refused(&b, ERR_LIMIT, words);
    }
    begin(&b);
    put_string(&b, "ema");
    module_begin(&b);
    put_members(&b, 4097, BYTES("N"));
    module_end(&b);
    PUT(&b, "s.");
    refused(&b, ERR_LIMIT, "module \"\" has more than 4096 attributes");
}

/* The module of memo 1 holds what `of_leaf` says; one of memo 2 holds it `times`, and the top holds
 * that three times. */
static void put_tree(struct buf *b, const char *dict, int of_leaf, int times)
{
    begin(b);
    put_string(b, "ema");
    module_begin(b);
    put_string(b, "_modules");
    PUT(b, "}(");
    put_string(b, "a");
    module_begin(b);
    put_string(b, "_modules");
    PUT(b, "}(");
    put_string(b, "leaf");
    module_begin(b);
    put_string(b, dict);
    PUT(b, "}");
    put_members(b, of_leaf, BYTES("N"));
    PUT(b, "s");
    module_end(b);
    PUT(b, "q\x01u");
    put_members(b, times, BYTES("h\x01"));
    PUT(b, "s");
    module_end(b);
    PUT(b, "q\x02");
    put_string(b, "b");
    PUT(b, "h\x02");
    put_string(b, "c");
    PUT(b, "h\x02us");
    module_end(b);
    PUT(b, "s.");
}

static void one_module_in_many_places_ends(void **state)
{
    struct buf b;
    (void)state;
    put_tree(&b, "_buffers", 1, 4000);
    refused(&b, ERR_LIMIT, "more than 8192 modules");
    put_tree(&b, "_parameters", 4096, 60);
    refused(&b, ERR_LIMIT, "the modules have more than 262144 attributes together");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_have_dotted_names),
        cmocka_unit_test(attributes_are_checked),
        cmocka_unit_test(both_networks_are_modules_or_none_is),
        cmocka_unit_test(a_module_that_holds_itself_ends),
        cmocka_unit_test(a_long_name_is_refused),
        cmocka_unit_test(crowds_are_refused),
        cmocka_unit_test(one_module_in_many_places_ends),
    };
    return cmocka_run_group_tests_name("import_modules", tests, folder_make, folder_remove);
}
