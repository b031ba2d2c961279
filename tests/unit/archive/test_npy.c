/* NPY header texts and NPZ archives. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "archive_npy.h"
#include "archive_zip.h"
#include <locale.h>
#include <string.h>

#define OUT_MAX (1u << 20)

/* The whole header: prefix, text, padding with spaces, a line feed, a multiple of 64. */
static void check_header(enum archive_npy_type type, int rank, const uint64_t *shape,
                         const char *text)
{
    struct buf b;
    struct err e;
    size_t length;
    buf_init(&b, OUT_MAX);
    assert_int_equal(buf_string(&b, "before", &e), 0);
    assert_int_equal(archive_npy_header(type, rank, shape, &b, &e), 0);
    const unsigned char *h = b.data + 6;
    length = b.length - 6;
    assert_int_equal(length % 64, 0);
    assert_memory_equal(h, "\x93NUMPY\x01\x00", 8);
    assert_int_equal((size_t)h[8] + 256u * h[9], length - 10);
    assert_memory_equal(h + 10, text, strlen(text));
    for (size_t i = 10 + strlen(text); i + 1 < length; i++)
        assert_int_equal(h[i], ' ');
    assert_int_equal(h[length - 1], '\n');
    assert_true(length - 10 - strlen(text) <= 64); /* no more padding than is needed */
    buf_clear(&b);
}

static void npy_one_dimension_cnpy_33(void **state)
{
    (void)state;
    check_header(ARCHIVE_NPY_F32, 1, (const uint64_t[]){3},
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }");
    check_header(ARCHIVE_NPY_U8, 4, (const uint64_t[]){1, 3, 32, 32},
                 "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3, 32, 32), }");
    check_header(ARCHIVE_NPY_U64, 0, NULL,
                 "{'descr': '<u8', 'fortran_order': False, 'shape': (), }");
    check_header(ARCHIVE_NPY_F64, 2, (const uint64_t[]){0, 28},
                 "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 28), }");
    check_header(ARCHIVE_NPY_U64, 1, (const uint64_t[]){UINT64_MAX},
                 "{'descr': '<u8', 'fortran_order': False, 'shape': (18446744073709551615,), }");
}

static void npy_digits_plain_libnpy_37(void **state)
{
    (void)state;
#ifdef COMMA_LOCALE
    assert_non_null(setlocale(LC_ALL, COMMA_LOCALE)); /* it groups digits */
#endif
    check_header(ARCHIVE_NPY_U8, 2, (const uint64_t[]){2621, 401},
                 "{'descr': '|u1', 'fortran_order': False, 'shape': (2621, 401), }");
    check_header(ARCHIVE_NPY_F32, 1, (const uint64_t[]){1234567890},
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (1234567890,), }");
    assert_non_null(setlocale(LC_ALL, "C"));
}

/* Every length of the text, so that each padding from 0 to 63 occurs. */
static void header_lengths(void **state)
{
    uint64_t shape[8];
    int rank, digits;
    (void)state;
    for (rank = 1; rank <= 8; rank++) {
        uint64_t value = 1;
        for (digits = 1; digits <= 19; digits++, value *= 10) {
            struct buf b;
            struct err e;
            for (int i = 0; i < rank; i++)
                shape[i] = i == 0 ? value : 100000000000;
            buf_init(&b, OUT_MAX);
            assert_int_equal(archive_npy_header(ARCHIVE_NPY_F32, rank, shape, &b, &e), 0);
            assert_int_equal(b.length % 64, 0);
            assert_int_equal(b.data[b.length - 1], '\n');
            assert_int_equal((size_t)b.data[8] + 256u * b.data[9], b.length - 10);
            buf_clear(&b);
        }
    }
}

static void header_refusals(void **state)
{
    static const uint64_t shape[9];
    struct buf b;
    struct err e = {0};
    (void)state;
    buf_init(&b, OUT_MAX);
    assert_int_equal(archive_npy_header(ARCHIVE_NPY_U8, 9, shape, &b, &e), -1);
    assert_int_equal(archive_npy_header(ARCHIVE_NPY_U8, -1, shape, &b, &e), -1);
    assert_int_equal(b.length, 0);
    buf_clear(&b);
    buf_init(&b, 100); /* a header has at least 128 bytes */
    assert_int_equal(archive_npy_header(ARCHIVE_NPY_U8, 1, shape, &b, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(b.length, 0);
    buf_clear(&b);
}

static void npz_holds_its_arrays(void **state)
{
    static const uint8_t images[2 * 2 * 2 * 1] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const uint64_t seed[1] = {UINT64_MAX};
    static const struct image_npz_array arrays[] = {
        {"arr_0", ARCHIVE_NPY_U8, 4, {2, 2, 2, 1}, images},
        {"seed", ARCHIVE_NPY_U64, 1, {1}, seed},
        {"empty", ARCHIVE_NPY_F64, 2, {0, 4}, NULL}};
    struct archive_zip *z;
    struct buf b, again;
    struct err e;
    unsigned char bytes[256];
    (void)state;
    buf_init(&b, OUT_MAX);
    buf_init(&again, OUT_MAX);
    assert_int_equal(image_npz_encode(arrays, 3, &b, &e), 0);
    assert_int_equal(image_npz_encode(arrays, 3, &again, &e), 0);
    assert_int_equal(again.length, b.length);
    assert_memory_equal(again.data, b.data, b.length);
    z = archive_zip_open(b.data, b.length, "a.npz", &e);
    assert_non_null(z);
    assert_int_equal(archive_zip_count(z), 3);
    assert_int_equal(archive_zip_find(z, "arr_0.npy"), 0);
    assert_int_equal(archive_zip_find(z, "empty.npy"), 2);
    assert_int_equal(archive_zip_size(z, 0), 128 + 8);
    assert_int_equal(archive_zip_read(z, 0, bytes, 136, &e), 0);
    assert_memory_equal(bytes, "\x93NUMPY\x01\x00", 8);
    assert_memory_equal(bytes + 128, images, 8);
    assert_int_equal(archive_zip_read(z, 1, bytes, 136, &e), 0);
    assert_memory_equal(bytes + 128, seed, 8);
    assert_int_equal(archive_zip_size(z, 2), 128);
    archive_zip_close(z);
    buf_clear(&b);
    buf_clear(&again);
}

static void npz_refusals(void **state)
{
    static const struct image_npz_array overflow[] = {
        {"a", ARCHIVE_NPY_F64, 2, {UINT64_MAX / 8, 2}, NULL}};
    static const struct image_npz_array nameless[] = {{"", ARCHIVE_NPY_U8, 0, {0}, "x"}};
    static const struct image_npz_array twice[] = {{"a", ARCHIVE_NPY_U8, 1, {1}, "x"},
                                                   {"a", ARCHIVE_NPY_U8, 1, {1}, "y"}};
    struct buf b;
    struct err e = {0};
    (void)state;
    buf_init(&b, OUT_MAX);
    assert_int_equal(image_npz_encode(overflow, 1, &b, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(image_npz_encode(nameless, 1, &b, &e), -1);
    assert_int_equal(image_npz_encode(twice, 2, &b, &e), -1);
    assert_string_equal(e.at, "a.npy");
    assert_int_equal(image_npz_encode(NULL, 0, &b, &e), -1);
    assert_int_equal(b.length, 0);
    buf_clear(&b);
}

static void type_sizes(void **state)
{
    (void)state;
    assert_int_equal(archive_npy_type_size(ARCHIVE_NPY_U8), 1);
    assert_int_equal(archive_npy_type_size(ARCHIVE_NPY_F32), 4);
    assert_int_equal(archive_npy_type_size(ARCHIVE_NPY_F64), 8);
    assert_int_equal(archive_npy_type_size(ARCHIVE_NPY_U64), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npy_one_dimension_cnpy_33),
        cmocka_unit_test(npy_digits_plain_libnpy_37),
        cmocka_unit_test(header_lengths),
        cmocka_unit_test(header_refusals),
        cmocka_unit_test(npz_holds_its_arrays),
        cmocka_unit_test(npz_refusals),
        cmocka_unit_test(type_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
