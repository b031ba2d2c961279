/* The safetensors reader on crafted headers, one table of refusals and one of acceptances, and the
 * writer's round trip. Faults known from elsewhere have tests of their own names. */
#include "ckpt_test.h"

#include "../peak_memory.h"
#include "base_crypto.h"
#include <math.h>

#define F32_AT(name, begin, end)                                                                   \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" #begin "," #end "]}"

static void refused(const char *header, size_t data_length, enum err_code code, const char *words)
{
    struct err e = {0};
    struct ckpt_file *f;
    safetensors_put(header, data_length);
    f = ckpt_file_open(test_path, &e);
    if (f) {
        ckpt_file_close(f);
        fail_msg("accepted: %s", header);
    }
    error_holds(&e, code, words);
    error_holds(&e, code, test_path);
}

static void refusals(void **state)
{
    static const struct {
        const char *header;
        size_t data_length;
        enum err_code code;
        const char *words;
    } cases[] = {
        {"", 0, ERR_INPUT, "no JSON object"},
        {"[]", 0, ERR_INPUT, "no JSON object"},
        {" {}", 0, ERR_INPUT, "no JSON object"},
        {"{", 0, ERR_INPUT, "not JSON"},
        {"{\"w\":1}", 0, ERR_INPUT, "\"w\" must be described by an object"},
        {"{\"w\":{}}", 0, ERR_INPUT, "\"dtype\" is missing"},
        {"{\"w\":{\"dtype\":\"F33\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, ERR_UNSUPPORTED,
         "unknown dtype \"F33\""},
        {"{\"w\":{\"dtype\":5,\"shape\":[],\"data_offsets\":[0,4]}}", 4, ERR_INPUT, "dtype"},
        {"{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, ERR_INPUT, "shape"},
        {"{\"w\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, ERR_INPUT,
         "integers from 0 up"},
        {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, ERR_INPUT,
         "integers from 0 up"},
        {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         ERR_LIMIT, "9 dimensions"},
        {"{\"w\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         ERR_INPUT, "overflows"},
        {"{\"w\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
         ERR_INPUT, "overflows"},
        {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, ERR_INPUT,
         "data_offsets"},
        {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, ERR_INPUT,
         "data_offsets"},
        {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, ERR_INPUT,
         "data_offsets"},
        {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":0}}", 4, ERR_INPUT,
         "unknown key \"x\""},
        {"{" F32_AT("w", 0, 4) "}", 3, ERR_INPUT, "truncated"},
        {"{" F32_AT("w", 0, 4) "}", 5, ERR_INPUT, "1 bytes of data are left over"},
        {"{}", 1, ERR_INPUT, "left over"},
        {"{" F32_AT("a", 0, 4) "," F32_AT("b", 8, 12) "}", 12, ERR_INPUT,
         "bytes 4 to 8 of the data, before tensor \"b\""},
        {"{" F32_AT("a", 0, 4) "," F32_AT("b", 2, 6) "}", 6, ERR_INPUT,
         "tensors \"a\" and \"b\" overlap"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refused(cases[i].header, cases[i].data_length, cases[i].code, cases[i].words);
}

static void ckpt_duplicate_name_safetensors_401(void **state)
{
    (void)state;
    refused("{" F32_AT("w", 0, 4) "," F32_AT("w", 0, 4) "}", 4, ERR_INPUT,
            "duplicate tensor name \"w\"");
    refused("{" F32_AT("w", 0, 4) "," F32_AT("\\u0077", 0, 4) "}", 4, ERR_INPUT,
            "duplicate tensor name \"w\"");
}

static void ckpt_dtype_shape_disagree_stable_diffusion_cpp_1396(void **state)
{
    (void)state;
    refused("{\"weight\":{\"dtype\":\"F64\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, ERR_INPUT,
            "tensor \"weight\": 32 bytes expected, 16 declared");
}

static void ckpt_range_beyond_shape_fastllm_712(void **state)
{
    (void)state;
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[32,8],\"data_offsets\":[0,65536]}}", 65536,
            ERR_INPUT, "1024 bytes expected, 65536 declared");
}

static void ckpt_overlap_lattice_752(void **state)
{
    (void)state;
    refused("{" F32_AT("B", 0, 4) "," F32_AT("A", 0, 4) "}", 4, ERR_INPUT,
            "tensors \"A\" and \"B\" overlap");
}

static void ckpt_length_prefix_openasr_73(void **state)
{
    static const struct {
        uint64_t prefix;
        const char *words;
    } cases[] = {
        {UINT64_MAX, "18446744073709551615 bytes, the limit is 100000000"},
        {UINT64_C(1) << 60, "1152921504606846976 bytes, the limit is 100000000"},
        {13, "13 bytes, but only 12 follow"},
    };
    unsigned char file[20] = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct err e = {0};
        memcpy(file, &cases[i].prefix, 8);
        file_put(file, sizeof file);
        assert_null(ckpt_file_open(test_path, &e));
        error_holds(&e, i < 2 ? ERR_LIMIT : ERR_INPUT, cases[i].words);
    }
    for (size_t length = 0; length < 8; length++) {
        struct err e = {0};
        file_put(file, length);
        assert_null(ckpt_file_open(test_path, &e));
        error_holds(&e, ERR_INPUT, "not a safetensors file");
    }
}

/* 65,537 tensors are told that they are too many; what could be no header costs nothing. */
static void a_header_costs_a_small_multiple_of_its_bytes(void **state)
{
    enum { N = 4 << 20 };
    static const char *const items[] = {"{},", "[0],", "\"\":{},", "0,"};
    unsigned char *file = malloc(N + 8);
    const uint64_t length = N;
    struct err e;
    (void)state;
    assert_non_null(file);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        const size_t item = strlen(items[i]), start = i == 2 ? 0 : 5;
        memcpy(file, &length, 8);
        memcpy(file + 8, "{\"a\":[", 7);
        for (size_t at = 1 + start; at < N; at++)
            file[8 + at] = (unsigned char)items[i][(at - 1 - start) % item];
        file_put(file, N + 8);
        const long before = peak_memory_kib(true);
        e = (struct err){0};
        assert_null(ckpt_file_open(test_path, &e));
        error_holds(&e, ERR_LIMIT, "the limit is");
        assert_in_range(peak_memory_kib(false), 1, before + 4 * N / 1024);
    }
    size_t at = 9;
    file[8] = '{';
    for (int i = 0; i <= IMPORT_TENSORS_MAX; i++)
        at += (size_t)sprintf((char *)file + at,
                              "\"%x\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,0]}%c", i,
                              i == IMPORT_TENSORS_MAX ? '}' : ',');
    const uint64_t used = at - 8;
    memcpy(file, &used, 8);
    file_put(file, at);
    e = (struct err){0};
    assert_null(ckpt_file_open(test_path, &e));
    error_holds(&e, ERR_LIMIT, "the header names 65537 tensors, the limit is 65536");
    free(file);
}

static void ckpt_nul_padding_ruview_1522(void **state)
{
    /* strlen cannot carry the NUL, so the header is built by hand */
    char file[8 + 5] = {5, 0, 0, 0, 0, 0, 0, 0, '{', '}', 0, 0, 0};
    struct err e = {0};
    (void)state;
    file_put(file, sizeof file);
    assert_null(ckpt_file_open(test_path, &e));
    error_holds(&e, ERR_INPUT, "trailing bytes after header JSON");
    refused("{}{}", 0, ERR_INPUT, "trailing bytes after header JSON");
    refused("{}\n", 0, ERR_INPUT, "trailing bytes after header JSON");
}

static void ckpt_metadata_types_safetensors_278(void **state)
{
    (void)state;
    refused("{\"__metadata__\":{\"step\":0}}", 0, ERR_INPUT, "__metadata__ key \"step\"");
    refused("{\"__metadata__\":\"x\"}", 0, ERR_INPUT, "__metadata__ must be an object of strings");
    refused("{\"__metadata__\":null}", 0, ERR_INPUT, "__metadata__ must be an object of strings");
}

static struct ckpt_file *accepted(const char *header, size_t data_length)
{
    struct err e = {0};
    struct ckpt_file *f;
    safetensors_put(header, data_length);
    f = ckpt_file_open(test_path, &e);
    if (!f)
        fail_msg("%s: %s", e.at, e.text);
    return f;
}

static void acceptances(void **state)
{
    static const struct {
        const char *header;
        size_t data_length, count;
    } cases[] = {
        {"{}", 0, 0},
        {"{}      ", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{\"a}\\\"{\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3, 1},
        {"{\"scalar\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}}", 8, 1},
        {"{\"none\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[0,0]}," F32_AT("w", 0,
                                                                                        4) "}",
         4, 2},
        {"{" F32_AT("b", 4, 8) "," F32_AT("a", 0, 4) "}", 8, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ckpt_file *f = accepted(cases[i].header, cases[i].data_length);
        assert_int_equal(ckpt_file_count(f), cases[i].count);
        ckpt_file_close(f);
    }
}

static void order_and_lookup(void **state)
{
    struct err e = {0};
    struct ckpt_file *f = accepted("{" F32_AT("z", 4, 8) ",\"__metadata__\":{\"k\":\"v\"}," F32_AT(
                                       "a", 8, 12) "," F32_AT("m", 0, 4) "}",
                                   12);
    (void)state;
    assert_string_equal(ckpt_file_tensor(f, 0)->name, "m");
    assert_string_equal(ckpt_file_tensor(f, 1)->name, "z");
    assert_string_equal(ckpt_file_tensor(f, 2)->name, "a");
    for (size_t i = 0; i < 3; i++)
        assert_ptr_equal(ckpt_file_find(f, ckpt_file_tensor(f, i)->name), ckpt_file_tensor(f, i));
    assert_null(ckpt_file_find(f, ""));
    assert_null(ckpt_file_find(f, "__metadata__"));
    assert_null(ckpt_file_find(f, "zz"));
    assert_int_equal(ckpt_file_find(f, "a")->begin, 8);
    assert_string_equal(ckpt_file_metadata(f, "k"), "v");
    assert_null(ckpt_file_metadata(f, "w"));
    assert_string_equal(ckpt_file_path(f), test_path);
    assert_int_equal(strlen(ckpt_file_sha256(f, &e)), 64);
    assert_ptr_equal(ckpt_file_sha256(f, &e), ckpt_file_sha256(f, &e));
    ckpt_file_close(f);
}

static void ckpt_unaligned_comfyui_12266(void **state)
{
    const float values[3] = {1.25f, -3e-40f, 7e37f};
    char header[128];
    (void)state;
    for (int spaces = 0; spaces < 8; spaces++) {
        struct err e = {0};
        unsigned char file[256];
        float out[3] = {0};
        double wide[3] = {0};
        uint64_t length = (uint64_t)snprintf(
            header, sizeof header,
            "{\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}%*s", spaces, "");
        memcpy(file, &length, 8);
        memcpy(file + 8, header, length);
        memcpy(file + 8 + length, values, 12);
        file_put(file, 8 + length + 12);
        struct ckpt_file *f = ckpt_file_open(test_path, &e);
        assert_non_null(f);
        assert_int_equal(ckpt_tensor_to_f32(ckpt_file_tensor(f, 0), out, &e), 0);
        assert_memory_equal(out, values, sizeof out);
        assert_int_equal(ckpt_tensor_to_f64(ckpt_file_tensor(f, 0), wide, &e), 0);
        for (int i = 0; i < 3; i++)
            assert_true(wide[i] == (double)values[i]);
        ckpt_file_close(f);
    }
}

static void wrong_kinds_get_hints(void **state)
{
    static const struct {
        const char *content, *words;
    } cases[] = {
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n", "git-lfs"},
        {"PK\003\004aaaaaaaaaaaaaaaaaaaa", "pfgm convert"},
        {"\200\002}q.aaaaaaaaaaaaaaaaaaaa", "pfgm convert"},
        {"<html><body>404 not found</body>", "not a safetensors file"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        file_put(cases[i].content, strlen(cases[i].content));
        assert_null(ckpt_file_open(test_path, &e));
        error_holds(&e, i == 3 ? ERR_LIMIT : ERR_INPUT, cases[i].words);
    }
}

static void header_of_640_bytes_is_no_pickle(void **state)
{
    char header[641];
    (void)state;
    memset(header, ' ', 640);
    header[640] = 0;
    memcpy(header, "{}", 2);
    ckpt_file_close(accepted(header, 0));
}

static void integers_are_no_weights(void **state)
{
    struct err e = {0};
    float out[4];
    struct ckpt_file *f =
        accepted("{\"n\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4);
    (void)state;
    assert_int_equal(ckpt_tensor_to_f32(ckpt_file_tensor(f, 0), out, &e), -1);
    error_holds(&e, ERR_INPUT, "n: dtype I8");
    ckpt_file_close(f);
}

static void round_trip(void **state)
{
    const float a[6] = {1, 2, 3, 4, 5, 6};
    const double b = (double)INFINITY;
    const struct ckpt_output outputs[] = {
        {"b/\"quoted\" ü", CKPT_F64, 0, {0}, &b},
        {"a", CKPT_F32, 2, {2, 3}, a},
        {"empty", CKPT_F16, 1, {0}, NULL},
    };
    struct err e = {0};
    json_t *metadata = json_pack("{s:s, s:s}", "k", "v\n", "pfgm", "{}");
    char first[SHA256_HEX_SIZE];
    (void)state;
    assert_int_equal(ckpt_file_write(test_path, outputs, 3, metadata, &e), 0);
    struct ckpt_file *f = ckpt_file_open(test_path, &e);
    assert_non_null(f);
    assert_int_equal(ckpt_file_count(f), 3);
    strcpy(first, ckpt_file_sha256(f, &e));
    const struct ckpt_tensor *t = ckpt_file_find(f, "a");
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->shape[1], 3);
    unsigned char read[sizeof a];
    assert_int_equal(ckpt_tensor_bytes(t), sizeof a);
    assert_int_equal(ckpt_tensor_read(t, read, &e), 0);
    assert_memory_equal(read, a, sizeof a);
    assert_int_equal(ckpt_tensor_read(ckpt_file_find(f, outputs[0].name), read, &e), 0);
    assert_memory_equal(read, &b, 8);
    assert_string_equal(ckpt_file_metadata(f, "k"), "v\n");
    uint64_t header;
    struct buf whole;
    buf_init(&whole, 1 << 20);
    assert_int_equal(file_read(test_path, &whole, &e), 0);
    memcpy(&header, whole.data, 8);
    assert_int_equal(header % 8, 0);
    assert_int_equal(8 + header + 8 + 24, whole.length);
    buf_clear(&whole);
    ckpt_file_close(f);
    assert_int_equal(ckpt_file_write(test_path, outputs, 3, metadata, &e), 0);
    f = ckpt_file_open(test_path, &e);
    assert_string_equal(ckpt_file_sha256(f, &e), first);
    ckpt_file_close(f);
    json_decref(metadata);
}

static void writer_refuses(void **state)
{
    const float a[2] = {1, 2};
    const struct ckpt_output twice[] = {{"a", CKPT_F32, 1, {1}, a}, {"a", CKPT_F32, 1, {1}, a}};
    const struct ckpt_output huge[] = {
        {"h", CKPT_F32, 2, {UINT64_C(1) << 40, UINT64_C(1) << 40}, a}};
    struct err e = {0};
    (void)state;
    file_put("old", 3);
    assert_int_equal(ckpt_file_write(test_path, twice, 2, NULL, &e), -1);
    assert_int_equal(ckpt_file_write(test_path, huge, 1, NULL, &e), -1);
    error_holds(&e, ERR_LIMIT, "overflows");
    struct buf kept;
    buf_init(&kept, 16);
    assert_int_equal(file_read(test_path, &kept, &e), 0);
    assert_string_equal((const char *)kept.data, "old");
    buf_clear(&kept);
}

/* Reading a file that was cut short, or written into, since it was opened. */
static void changed_while_open(void **state)
{
    static const float ones[4096];
    const struct ckpt_output output = {"a", CKPT_F32, 1, {4096}, ones};
    struct err e = {0};
    float out[4096];
    (void)state;
    assert_int_equal(ckpt_file_write(test_path, &output, 1, NULL, &e), 0);
    struct ckpt_file *f = ckpt_file_open(test_path, &e);
    assert_non_null(f);
    assert_int_equal(ckpt_tensor_to_f32(ckpt_file_tensor(f, 0), out, &e), 0);
    assert_int_equal(ckpt_file_check(f, &e), 0);
    assert_int_equal(truncate(test_path, 4096), 0);
    assert_int_equal(ckpt_tensor_to_f32(ckpt_file_tensor(f, 0), out, &e), -1);
    error_holds(&e, ERR_IO, "was changed while it was read");
    assert_null(ckpt_file_sha256(f, &e));
    error_holds(&e, ERR_IO, test_path);
    assert_int_equal(ckpt_file_check(f, &e), -1);
    error_holds(&e, ERR_IO, "by renaming a new file over it");
    ckpt_file_close(f);
}

/* Opening once more what was loaded: the same file, another one, one that is no checkpoint, none.
 */
static void opened_again(void **state)
{
    const float value[2] = {1, 2};
    const struct ckpt_output one = {"a", CKPT_F32, 1, {1}, value};
    const struct ckpt_output other = {"a", CKPT_F32, 1, {1}, value + 1};
    struct err e = {0};
    char loaded[SHA256_HEX_SIZE];
    (void)state;
    assert_int_equal(ckpt_file_write(test_path, &one, 1, NULL, &e), 0);
    struct ckpt_file *f = ckpt_file_open(test_path, &e);
    strcpy(loaded, ckpt_file_sha256(f, &e));
    ckpt_file_close(f);
    f = ckpt_file_open_again(test_path, loaded, "weights", "load it anew", &e);
    assert_non_null(f);
    assert_string_equal(ckpt_file_sha256(f, &e), loaded);
    ckpt_file_close(f);

    assert_int_equal(ckpt_file_write(test_path, &other, 1, NULL, &e), 0);
    assert_null(ckpt_file_open_again(test_path, loaded, "weights", "load it anew", &e));
    error_holds(&e, ERR_IO, "its weights are needed once more: load it anew");
    file_put("no checkpoint", 13);
    assert_null(ckpt_file_open_again(test_path, loaded, "weights", "load it anew", &e));
    error_holds(&e, ERR_IO, test_path);
    assert_int_equal(unlink(test_path), 0);
    assert_null(ckpt_file_open_again(test_path, loaded, "weights", "load it anew", &e));
    error_holds(&e, ERR_IO, test_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(ckpt_duplicate_name_safetensors_401),
        cmocka_unit_test(ckpt_dtype_shape_disagree_stable_diffusion_cpp_1396),
        cmocka_unit_test(ckpt_range_beyond_shape_fastllm_712),
        cmocka_unit_test(ckpt_overlap_lattice_752),
        cmocka_unit_test(ckpt_length_prefix_openasr_73),
        cmocka_unit_test(a_header_costs_a_small_multiple_of_its_bytes),
        cmocka_unit_test(ckpt_nul_padding_ruview_1522),
        cmocka_unit_test(ckpt_metadata_types_safetensors_278),
        cmocka_unit_test(acceptances),
        cmocka_unit_test(order_and_lookup),
        cmocka_unit_test(ckpt_unaligned_comfyui_12266),
        cmocka_unit_test(wrong_kinds_get_hints),
        cmocka_unit_test(header_of_640_bytes_is_no_pickle),
        cmocka_unit_test(integers_are_no_weights),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(writer_refuses),
        cmocka_unit_test(changed_while_open),
        cmocka_unit_test(opened_again),
    };
    return cmocka_run_group_tests_name("ckpt_safetensors", tests, folder_make, folder_remove);
}
