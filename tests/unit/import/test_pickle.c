/* The pickle machine: what each opcode builds, what is refused and by which words, and that hostile
 * programs (deep nesting, cycles, memory, memo numbers) end in an error or in plain data. */
#include "import_pickle_test.h"

static void integers(void **state)
{
    static const struct {
        const char *pickle;
        size_t length;
        int64_t value;
    } cases[] = {
        {BYTES("K\xff."), 255},
        {BYTES("M\x01\x02."), 513},
        {BYTES("J\xfe\xff\xff\xff."), -2},
        {BYTES("I-70\n."), -70},
        {BYTES("L9223372036854775807L\n."), INT64_MAX},
        {BYTES("\x8a\x00."), 0},
        {BYTES("\x8a\x01\xff."), -1},
        {BYTES("\x8a\x02\xff\x00."), 255},
        {BYTES("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."), INT64_MIN},
        {BYTES("\x8b\x02\x00\x00\x00\x00\x80."), -32768},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        struct import_pickle *p = machine();
        const struct import_value *value = run(p, cases[i].pickle, cases[i].length, &e);
        assert_non_null(value);
        assert_int_equal(value->kind, IMPORT_VALUE_INT);
        assert_true(value->integer == cases[i].value);
        import_pickle_free(p);
    }
}

static void scalars(void **state)
{
    struct import_pickle *p = machine();
    struct err e = {0};
    const struct import_value *value;
    (void)state;
    assert_int_equal(RUN(p, "N.", &e)->kind, IMPORT_VALUE_NONE);
    assert_true(RUN(p, "\x88.", &e)->truth);
    assert_int_equal(RUN(p, "\x89.", &e)->kind, IMPORT_VALUE_BOOL);
    assert_true(RUN(p, "I01\n.", &e)->truth);
    assert_true(RUN(p, "G\x3f\xf8\0\0\0\0\0\0.", &e)->real == 1.5);
    value = RUN(p, "X\x03\0\0\0a\0b.", &e);
    assert_int_equal(value->text.length, 3);
    assert_memory_equal(value->text.data, "a\0b", 4);
    assert_true(import_value_is(RUN(p, "\x8c\x02hi.", &e), "hi"));
    assert_true(import_value_is(RUN(p, "U\x02hi.", &e), "hi"));
    assert_true(import_value_is(RUN(p, "\x8d\x02\0\0\0\0\0\0\0hi.", &e), "hi"));
    assert_false(import_value_is(RUN(p, "C\x02hi.", &e), "hi"));
    value = RUN(p,
                "\x8a\x09"
                "123456789.",
                &e);
    assert_int_equal(value->kind, IMPORT_VALUE_LONG);
    assert_int_equal(value->text.length, 9);
    import_pickle_free(p);
}

static void containers(void **state)
{
    struct import_pickle *p = machine();
    struct err e = {0};
    const struct import_value *value;
    (void)state;
    assert_int_equal(RUN(p, "(.", &e) == NULL, 1);
    assert_int_equal(RUN(p, "(t.", &e)->items.count, 0);
    assert_int_equal(RUN(p, "(K\x01K\x02t.", &e)->items.count, 2);
    assert_int_equal(RUN(p, "K\x01K\x02K\x03\x87.", &e)->items.values[2]->integer, 3);
    assert_int_equal(RUN(p, "(K\x01K\x02l.", &e)->kind, IMPORT_VALUE_LIST);
    assert_int_equal(RUN(p,
                         "]K\x01"
                         "aK\x02"
                         "a(K\x03K\x04"
                         "e.",
                         &e)
                         ->items.count,
                     4);
    value = RUN(p,
                "}(U\x01"
                "aK\x01U\x01"
                "bK\x02uU\x01"
                "aK\x03s.",
                &e);
    assert_int_equal(import_value_get(value, "a")->integer, 3); /* the last one wins */
    assert_int_equal(import_value_get(value, "b")->integer, 2);
    assert_null(import_value_get(value, "c"));
    assert_int_equal(RUN(p,
                         "(U\x01"
                         "aK\x01"
                         "d.",
                         &e)
                         ->kind,
                     IMPORT_VALUE_DICT);
    value = RUN(p, "ccollections\nOrderedDict\n)R}U\x09_metadataNsb.", &e);
    assert_int_equal(value->kind, IMPORT_VALUE_DICT);
    assert_int_equal(value->items.count, 0); /* attributes are no items */
    value = RUN(p,
                "ccollections\nOrderedDict\n(](U\x01"
                "aK\x07taltR.",
                &e);
    assert_null(value);
    value = RUN(p,
                "ccollections\nOrderedDict\n](U\x01"
                "aK\x07ta\x85R.",
                &e);
    assert_int_equal(import_value_get(value, "a")->integer, 7);
    import_pickle_free(p);
}

static void memo(void **state)
{
    struct import_pickle *p = machine();
    struct err e = {0};
    const struct import_value *value;
    (void)state;
    value = RUN(p, "]q\x01(h\x01h\x01t.", &e);
    assert_null(value); /* the list is left below */
    value = RUN(p, "(]q\x01h\x01t.", &e);
    assert_ptr_equal(value->items.values[0], value->items.values[1]);
    value = RUN(p, "(\x8c\x01x\x94h\0t.", &e);
    assert_ptr_equal(value->items.values[0], value->items.values[1]);
    value = RUN(p, "(K\x05p3\ng3\nr\x07\0\0\0j\x07\0\0\0t.", &e);
    assert_int_equal(value->items.values[2]->integer, 5);
    assert_null(RUN(p, "h\x03.", &e)); /* a new pickle begins with an empty memo */
    error_holds(&e, ERR_INPUT, "nothing in the memo under 3");
    import_pickle_free(p);
}

static void cycles_are_data(void **state)
{
    struct import_pickle *p = machine();
    struct err e = {0};
    const struct import_value *value = RUN(p, "]q\0h\0a.", &e);
    (void)state;
    assert_non_null(value);
    assert_ptr_equal(value->items.values[0], value);
    value = RUN(p, "}q\0U\x01kh\0s.", &e);
    assert_ptr_equal(import_value_get(value, "k"), value);
    import_pickle_free(p);
}

static const struct {
    const char *pickle;
    size_t length;
    const char *words;
} refused_programs[] = {
    {BYTES("cos\nsystem\n."), "refused global os.system (pickle opcode GLOBAL at byte 0)"},
    {BYTES("\x80\x02"
           "cposix\nsystem\n."),
     "refused global posix.system"},
    {BYTES("\x8c\x02os\x8c\x06system\x93."), "refused global os.system"},
    {BYTES("c__builtin__\neval\n."), "refused global __builtin__.eval"},
    {BYTES("(i__main__\nx\n."), "refused opcode INST (0x69)"},
    {BYTES("(o."), "refused opcode OBJ"},
    {BYTES("N)\x81."), "refused to make an instance of something that is no known class"},
    {BYTES("cbuiltins\nset\n)\x81."), "refused to make an instance of builtins.set"},
    {BYTES("ccollections\nOrderedDict\nN\x85\x81."), "an instance of collections.OrderedDict"},
    {BYTES("csubprocess\nPopen\n)\x81."), "refused global subprocess.Popen"},
    {BYTES("cbuiltins\nexec\n."), "refused global builtins.exec"},
    {BYTES("cbuiltins\ngetattr\n."), "refused global builtins.getattr"},
    {BYTES("ctorch_utils.persistence\n_src_to_module\n."), "refused global torch_utils.persist"},
    {BYTES("ctorch.nn.modules.container\nModuleList\n."), "refused global torch.nn.modules.cont"},
    {BYTES("ctorch.nn.modules.container\nModuleDict\n)R."), "refused to call torch.nn.modules."},
    {BYTES("ctorch.nn.modules.container\nModuleDict\n)\x81Nb."), "refused to set the state"},
    {BYTES("ctorch.nn.modules.container\nModuleDict\n)\x81}b}b."), "refused to set the state"},
    {BYTES("ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x85R."), "without type"},
    {BYTES("ctorch_utils.persistence\n_reconstruct_persistent_obj\n)R."), "without type"},
    {BYTES(")N\x92."), "refused opcode NEWOBJ_EX"},
    {BYTES("\x82\x01."), "refused opcode EXT1"},
    {BYTES("](N\x90."), "not a set on the stack"},
    {BYTES("N\x90."), "no mark on the stack"},
    {BYTES("\x96"), "refused opcode BYTEARRAY8"},
    {BYTES("P1\n."), "refused opcode PERSID"},
    {BYTES("S'x'\n."), "refused opcode STRING"},
    {BYTES("\xff."), "(0xff) (pickle opcode unknown at byte 0)"},
    {BYTES("\x80\x06N."), "pickle protocol 6 is not known (0 to 5 are)"},
    {BYTES(""), "ends at byte 0 without STOP"},
    {BYTES("N"), "ends at byte 1 without STOP"},
    {BYTES("."), "0 values are left"},
    {BYTES("NN."), "2 values are left"},
    {BYTES("(N."), "1 is expected"},
    {BYTES("0."), "nothing on the stack"},
    {BYTES("2."), "nothing on the stack"},
    {BYTES("1."), "no mark"},
    {BYTES("t."), "no mark"},
    {BYTES("N(0."), "nothing on the stack"},
    {BYTES("N\x86."), "nothing on the stack"},
    {BYTES("N(N\x86."), "nothing on the stack"},
    {BYTES("NNa."), "not a list"},
    {BYTES("]NNs."), "not a dict"},
    {BYTES("}(Nu."), "a key without value"},
    {BYTES("(Nd."), "a key without value"},
    {BYTES("a."), "nothing on the stack"},
    {BYTES("X\xff\xff\xff\x7f."), "truncated: 2147483647 bytes wanted"},
    {BYTES("\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "truncated"},
    {BYTES("J\x01\x02"), "truncated: 4 bytes wanted, 2 left"},
    {BYTES("I12"), "a line without end"},
    {BYTES("I1x\n."), "not an integer of 64 bits"},
    {BYTES("I\n."), "not an integer of 64 bits"},
    {BYTES("I9223372036854775808\n."), "not an integer of 64 bits"},
    {BYTES("Nr\xff\xff\xff\xff."), "memo number 4294967295 is out of range"},
    {BYTES("Np-1\n."), "not a memo number"},
    {BYTES("q\x01."), "nothing on the stack"},
    {BYTES("N)R."), "refused to call"},
    {BYTES("ccollections\nOrderedDict\nNR."), "refused to call"},
    {BYTES("ctorch\nFloatStorage\n)R."), "refused to call torch.FloatStorage"},
    {BYTES("K\x01}b."), "refused to set the state"},
    {BYTES("NQ."), "persistent id"},
    {BYTES("(U\x07storageNNNNtQ."), "persistent id"},
    {BYTES("ctorch._utils\n_rebuild_tensor_v2\n)R."), "a tensor without storage"},
    {BYTES("ctorch._utils\n_rebuild_parameter\n)R."), "a parameter without tensor"},
};

static void refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused_programs / sizeof refused_programs[0]; i++) {
        struct err e = {0};
        struct import_pickle *p = machine();
        if (run(p, refused_programs[i].pickle, refused_programs[i].length, &e))
            fail_msg("accepted case %zu (%s)", i, refused_programs[i].words);
        error_holds(&e, ERR_INPUT, refused_programs[i].words);
        error_holds(&e, ERR_INPUT, "m.pth: ");
        import_pickle_free(p);
    }
}

static void tensors(void **state)
{
    struct import_pickle *p = machine();
    struct err e = {0};
    struct buf b;
    size_t count;
    (void)state;
    buf_init(&b, 1 << 16);
    PUT(&b, "(");
    put_tensor(&b, "FloatStorage", "k", 12, 2, 2, (const int64_t[]){2, 3}, (const int64_t[]){5, 2});
    PUT(&b, "ctorch._utils\n_rebuild_parameter\n(");
    put_tensor(&b, "HalfStorage", "h", 1, 0, 0, NULL, NULL);
    PUT(&b, "\x88}tRt.");
    const struct import_value *value = run(p, b.data, b.length, &e);
    if (!value)
        fail_msg("%s", e.text);
    const struct import_view *view = value->items.values[0]->view;
    assert_int_equal(view->offset, 2);
    assert_int_equal(view->count, 6);
    assert_int_equal(view->stride[0], 5);
    assert_string_equal(view->storage->key, "k");
    assert_int_equal(value->items.values[1]->kind, IMPORT_VALUE_TENSOR);
    assert_int_equal(value->items.values[1]->view->storage->dtype, CKPT_F16);
    import_pickle_storages(p, &count);
    assert_int_equal(count, 2);
    buf_clear(&b);
    import_pickle_free(p);
}

static void tensors_beyond_their_storage(void **state)
{
    static const struct {
        int64_t numel, offset;
        int rank;
        int64_t size[9], stride[9];
        const char *words;
    } cases[] = {
        {12, 3, 2, {2, 3}, {5, 2}, "reaches element 12"},
        {12, 12, 0, {0}, {0}, "reaches element 12"},
        {0, 0, 0, {0}, {0}, "reaches element 0"},
        {12, -1, 1, {1}, {1}, "without storage and offset"},
        {12, 0, 1, {-1}, {1}, "integers from 0 up"},
        {12, 0, 1, {2}, {-1}, "integers from 0 up"},
        {12, 0, 3, {INT64_MAX, INT64_MAX, 2}, {0, 0, 0}, "shape overflows"},
        {12, INT64_MAX, 2, {3, 3}, {INT64_MAX, INT64_MAX}, "strides overflow"},
        {12, 0, 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {0}, "9 dimensions"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        struct import_pickle *p = machine();
        struct buf b;
        buf_init(&b, 1 << 16);
        put_tensor(&b, "FloatStorage", "k", cases[i].numel, cases[i].offset, cases[i].rank,
                   cases[i].size, cases[i].stride);
        PUT(&b, ".");
        if (run(p, b.data, b.length, &e))
            fail_msg("accepted case %zu (%s)", i, cases[i].words);
        error_holds(&e, ERR_INPUT, cases[i].words);
        buf_clear(&b);
        import_pickle_free(p);
    }
}

/* An empty view may lie anywhere: torch writes such for tensors without elements. */
static void empty_tensors(void **state)
{
    struct import_pickle *p = machine();
    struct err e = {0};
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 16);
    put_tensor(&b, "FloatStorage", "k", 0, 0, 2, (const int64_t[]){0, 7}, (const int64_t[]){7, 1});
    PUT(&b, ".");
    const struct import_value *value = run(p, b.data, b.length, &e);
    assert_non_null(value);
    assert_int_equal(value->view->count, 0);
    buf_clear(&b);
    import_pickle_free(p);
}

static void numpy_scalars_are_opaque(void **state)
{
    struct import_pickle *p = machine();
    struct err e = {0};
    const struct import_value *value = RUN(p,
                                           "cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\nU\x02"
                                           "f8\x89\x88\x87R(K\x03U\x01<NNNtb"
                                           "c_codecs\nencode\nU\x01xU\x06latin1\x86RtR.",
                                           &e);
    (void)state;
    if (!value)
        fail_msg("%s", e.text);
    assert_int_equal(value->kind, IMPORT_VALUE_OPAQUE);
    import_pickle_free(p);
}

/* ---- hostile sizes ---- */

static void *repeated(const char *unit, size_t times, const char *tail, size_t *length)
{
    size_t one = strlen(unit), rest = strlen(tail);
    char *all = malloc(one * times + rest + 1);
    assert_non_null(all);
    for (size_t i = 0; i < times; i++)
        memcpy(all + i * one, unit, one);
    memcpy(all + one * times, tail, rest);
    *length = one * times + rest;
    return all;
}

static void repeated_refused(const char *unit, size_t times, enum err_code code, const char *words)
{
    struct err e = {0};
    struct import_pickle *p = machine();
    size_t length, used;
    void *pickle = repeated(unit, times, ".", &length);
    assert_null(import_pickle_run(p, pickle, length, &used, &e));
    error_holds(&e, code, words);
    free(pickle);
    import_pickle_free(p);
}

static void limits(void **state)
{
    (void)state;
    repeated_refused("(", IMPORT_PICKLE_MARKS + 1, ERR_INPUT, "nested deeper than 4096");
    repeated_refused("N2", IMPORT_PICKLE_STACK, ERR_INPUT, "values on the stack");
    repeated_refused("]0", 8 << 20, ERR_LIMIT, "limit");
}

static void deep_nesting_is_data(void **state)
{
    struct err e = {0};
    struct import_pickle *p = machine();
    size_t length, used;
    /* each level a list inside the list before; nobody recurses, so depth is free */
    void *pickle = repeated("]", 1 << 18, "", &length);
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 22);
    put(&b, pickle, length);
    for (int i = 1; i < 1 << 18; i++)
        PUT(&b, "a");
    PUT(&b, ".");
    assert_non_null(import_pickle_run(p, b.data, b.length, &used, &e));
    buf_clear(&b);
    free(pickle);
    import_pickle_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),        cmocka_unit_test(scalars),
        cmocka_unit_test(containers),      cmocka_unit_test(memo),
        cmocka_unit_test(cycles_are_data), cmocka_unit_test(refusals),
        cmocka_unit_test(tensors),         cmocka_unit_test(tensors_beyond_their_storage),
        cmocka_unit_test(empty_tensors),   cmocka_unit_test(numpy_scalars_are_opaque),
        cmocka_unit_test(limits),          cmocka_unit_test(deep_nesting_is_data),
    };
    return cmocka_run_group_tests_name("import_pickle", tests, NULL, NULL);
}
