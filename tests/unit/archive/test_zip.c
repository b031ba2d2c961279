/* ZIP: archives written here are read back, and archives made by hand, byte by byte, show what the
 * reader does with each kind of lie. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "archive_zip.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX (64u << 20)

/* A thousand times 'a', raw deflate. */
static const unsigned char thousand_a[] = {0x4b, 0x4c, 0x1c, 0x05, 0xa3, 0x60,
                                           0x14, 0x0c, 0x77, 0x00, 0x00};

/* One member as it is to be written, true or not. */
struct forged {
    const char *name;
    const void *data;
    uint32_t stored; /* bytes of data */
    uint32_t crc, packed_size, size;
    uint16_t method, flags;
    bool alias; /* the directory entry points at the previous member's local header */
};

static uint32_t crc32_of(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

static void put(struct buf *b, uint32_t value, int bytes)
{
    unsigned char out[4] = {(unsigned char)value, (unsigned char)(value >> 8),
                            (unsigned char)(value >> 16), (unsigned char)(value >> 24)};
    struct err e;
    assert_int_equal(buf_append(b, out, (size_t)bytes, &e), 0);
}

/* The fields that a local header and a directory entry share. */
static void put_common(struct buf *b, const struct forged *m)
{
    put(b, 20, 2);
    put(b, m->flags, 2);
    put(b, m->method, 2);
    put(b, 0, 2);
    put(b, 0x21, 2);
    put(b, m->crc, 4);
    put(b, m->packed_size, 4);
    put(b, m->size, 4);
    put(b, (uint32_t)strlen(m->name), 2);
    put(b, 0, 2);
}

static void forge(struct buf *b, const struct forged *members, size_t n)
{
    uint32_t offsets[8], directory;
    struct err e;
    buf_init(b, OUT_MAX);
    for (size_t i = 0; i < n; i++) {
        offsets[i] = members[i].alias && i > 0 ? offsets[i - 1] : (uint32_t)b->length;
        if (members[i].alias)
            continue;
        put(b, 0x04034b50, 4);
        put_common(b, &members[i]);
        assert_int_equal(buf_string(b, members[i].name, &e), 0);
        assert_int_equal(buf_append(b, members[i].data, members[i].stored, &e), 0);
    }
    directory = (uint32_t)b->length;
    for (size_t i = 0; i < n; i++) {
        put(b, 0x02014b50, 4);
        put(b, 20, 2);
        put_common(b, &members[i]);
        put(b, 0, 4);
        put(b, 0, 2);
        put(b, 0, 4);
        put(b, offsets[i], 4);
        assert_int_equal(buf_string(b, members[i].name, &e), 0);
    }
    put(b, 0x06054b50, 4);
    put(b, 0, 4);
    put(b, (uint32_t)n, 2);
    put(b, (uint32_t)n, 2);
    put(b, (uint32_t)b->length - 12 - directory, 4);
    put(b, directory, 4);
    put(b, 0, 2);
}

static struct forged good_stored(const char *name, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);
    return (struct forged){.name = name,
                           .data = text,
                           .stored = n,
                           .crc = crc32_of(text, n),
                           .packed_size = n,
                           .size = n};
}

static struct forged good_deflated(const char *name)
{
    char plain[1000];
    memset(plain, 'a', sizeof plain);
    return (struct forged){.name = name,
                           .data = thousand_a,
                           .stored = sizeof thousand_a,
                           .crc = crc32_of(plain, sizeof plain),
                           .packed_size = sizeof thousand_a,
                           .size = 1000,
                           .method = 8};
}

static void refuse_open(const struct forged *members, size_t n, enum err_code code,
                        const char *part)
{
    struct buf b;
    struct err e = {0};
    forge(&b, members, n);
    assert_null(archive_zip_open(b.data, b.length, "file.pth", &e));
    if (!strstr(e.text, part))
        fail_msg("\"%s\" lacks \"%s\"", e.text, part);
    assert_int_equal(e.code, code);
    assert_string_equal(e.at, "file.pth");
    buf_clear(&b);
}

static void refuse_read(const struct forged *member, const char *part)
{
    struct buf b;
    struct err e = {0};
    struct archive_zip *z;
    unsigned char out[4096];
    forge(&b, member, 1);
    z = archive_zip_open(b.data, b.length, "file.pth", &e);
    assert_non_null(z);
    assert_int_equal(archive_zip_read(z, 0, out, archive_zip_size(z, 0), &e), -1);
    if (!strstr(e.text, part) || !strstr(e.text, member->name))
        fail_msg("\"%s\" lacks \"%s\" or the name", e.text, part);
    assert_int_equal(e.code, ERR_INPUT);
    archive_zip_close(z);
    buf_clear(&b);
}

static void reads_stored_and_deflated(void **state)
{
    struct forged members[] = {good_stored("my model/data.pkl", "hello"),
                               good_deflated("my model/data/0"), good_stored("my model/empty", ""),
                               good_stored("my model/", "")};
    struct buf b;
    struct err e;
    struct archive_zip *z;
    char out[1000], plain[1000];
    (void)state;
    memset(plain, 'a', sizeof plain);
    forge(&b, members, 4);
    z = archive_zip_open(b.data, b.length, "file.pth", &e);
    assert_non_null(z);
    assert_int_equal(archive_zip_count(z), 4);
    assert_string_equal(archive_zip_name(z, 1), "my model/data/0");
    assert_int_equal(archive_zip_find(z, "my model/data.pkl"), 0);
    assert_int_equal(archive_zip_find(z, "my model/data/0"), 1);
    assert_int_equal(archive_zip_find(z, "data.pkl"), -1);
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(archive_zip_read(z, 0, out, 5, &e), 0);
        assert_memory_equal(out, "hello", 5);
        assert_int_equal(archive_zip_size(z, 1), 1000);
        assert_int_equal(archive_zip_read(z, 1, out, 1000, &e), 0);
        assert_memory_equal(out, plain, 1000);
        assert_int_equal(archive_zip_read(z, 2, out, 0, &e), 0);
    }
    assert_int_equal(archive_zip_read(z, 0, out, 4, &e),
                     -1); /* a caller that did not ask the size */
    assert_int_equal(e.code, ERR_INTERNAL);
    archive_zip_close(z);
    buf_clear(&b);
}

static void refuses_corrupt_members(void **state)
{
    struct forged m = good_stored("w", "hello");
    unsigned char broken[sizeof thousand_a];
    (void)state;
    m.crc ^= 1;
    refuse_read(&m, "CRC");
    m = good_deflated("w");
    m.crc ^= 0x80000000u;
    refuse_read(&m, "CRC");
    m = good_deflated("w");
    m.size = 999; /* the stream goes on */
    refuse_read(&m, "");
    m.size = 1001; /* the stream ends early */
    refuse_read(&m, "");
    m = good_deflated("w");
    memcpy(broken, thousand_a, sizeof broken);
    broken[0] = 0xff; /* a block type that does not exist */
    m.data = broken;
    refuse_read(&m, "");
    m = good_deflated("w");
    m.packed_size = m.stored = 5; /* cut inside the stream */
    refuse_read(&m, "");
}

static void refuses_double_names(void **state)
{
    struct forged members[] = {good_stored("a/data.pkl", "x"), good_stored("a/data/0", "y"),
                               good_stored("a/data.pkl", "z")};
    (void)state;
    refuse_open(members, 3, ERR_INPUT, "a/data.pkl of the zip archive: occurs twice");
}

static void refuses_encrypted_and_unknown_methods(void **state)
{
    struct forged m = good_stored("w", "0123456789abcdef");
    (void)state;
    m.flags = 1;
    refuse_open(&m, 1, ERR_INPUT, "is encrypted");
    m = good_stored("w", "0123456789abcdef");
    m.method = 93; /* zstd */
    refuse_open(&m, 1, ERR_UNSUPPORTED, "method 93");
    m.method = 12; /* bzip2 */
    refuse_open(&m, 1, ERR_UNSUPPORTED, "method 12");
}

static void refuses_impossible_sizes(void **state)
{
    struct forged m = good_stored("w", "hello");
    struct forged overlap[] = {good_deflated("a"), good_deflated("b"), good_deflated("c"),
                               good_deflated("d"), good_deflated("e"), good_deflated("f")};
    (void)state;
    m.size = 6;
    refuse_open(&m, 1, ERR_INPUT, "6 bytes cannot come out of 5");
    m.size = m.packed_size = 0x7fffffff;
    refuse_open(&m, 1, ERR_INPUT, "more bytes than the archive has");
    m = good_deflated("w");
    m.size = 1033 * sizeof thousand_a; /* one more than deflate can do */
    refuse_open(&m, 1, ERR_INPUT, "cannot come out of");
    m.size = 0xfffffff0u;
    refuse_open(&m, 1, ERR_INPUT, "cannot come out of");
    /* Six entries for one member's bytes; their sum is more than the archive. */
    for (size_t i = 0; i < 6; i++) {
        overlap[i].alias = i > 0;
        overlap[i].packed_size = 200;
    }
    refuse_open(overlap, 6, ERR_INPUT, "more bytes than the archive has");
}

static void ckpt_truncated_mmdetection_4835(void **state)
{
    struct forged members[] = {good_stored("data.pkl", "hello, world"), good_deflated("data/0")};
    struct buf b;
    (void)state;
    forge(&b, members, 2);
    for (size_t length = 0; length < b.length; length++) {
        /* A copy of exactly that length, so that a read beyond it is seen. */
        unsigned char *cut = malloc(length + 1);
        struct err e = {0};
        char size[32];
        assert_non_null(cut);
        memcpy(cut, b.data, length);
        cut = realloc(cut, length ? length : 1);
        assert_null(archive_zip_open(cut, length, "cut.pth", &e));
        assert_non_null(strstr(e.text, "truncated or not a zip archive"));
        snprintf(size, sizeof size, "(%zu bytes", length);
        assert_non_null(strstr(e.text, size));
        assert_int_equal(e.code, ERR_INPUT);
        free(cut);
    }
    buf_clear(&b);
}

/* Every byte of a good archive replaced by each of a few others: an error or the right bytes, and
 * nothing that a sanitizer minds. */
static void survives_any_changed_byte(void **state)
{
    static const unsigned char changes[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct forged members[] = {good_stored("data.pkl", "hello"), good_deflated("data/0")};
    struct buf b;
    (void)state;
    forge(&b, members, 2);
    for (size_t at = 0; at < b.length; at++) {
        unsigned char was = b.data[at];
        for (size_t c = 0; c < sizeof changes; c++) {
            struct err e = {0};
            b.data[at] = changes[c];
            struct archive_zip *z = archive_zip_open(b.data, b.length, "f", &e);
            for (size_t i = 0; z && i < archive_zip_count(z); i++) {
                unsigned char *out = malloc(archive_zip_size(z, i) + 1);
                assert_non_null(out);
                if (archive_zip_read(z, i, out, archive_zip_size(z, i), &e) == 0 &&
                    archive_zip_size(z, i) == 5)
                    assert_memory_equal(out, "hello", 5);
                free(out);
            }
            archive_zip_close(z);
        }
        b.data[at] = was;
    }
    buf_clear(&b);
}

/* A directory of the 64-bit kind that claims 2^40 entries: refused without memory for them. */
static void refuses_claimed_counts(void **state)
{
    struct buf b;
    struct err e = {0};
    (void)state;
    buf_init(&b, OUT_MAX);
    put(&b, 0x06064b50, 4); /* 64-bit end of directory */
    put(&b, 44, 4);
    put(&b, 0, 4);
    put(&b, 45 | 45 << 16, 4);
    put(&b, 0, 4);
    put(&b, 0, 4);
    for (int i = 0; i < 2; i++) {
        put(&b, 0, 4);
        put(&b, 256, 4); /* entries: 2^40 */
    }
    put(&b, 0, 4);
    put(&b, 0, 4);
    put(&b, 0, 4);
    put(&b, 0, 4);
    put(&b, 0x07064b50, 4); /* its locator */
    put(&b, 0, 4);
    put(&b, 0, 4);
    put(&b, 0, 4);
    put(&b, 1, 4);
    put(&b, 0x06054b50, 4);
    put(&b, 0, 4);
    put(&b, 0xffffffffu, 4);
    put(&b, 0, 4);
    put(&b, 0xffffffffu, 4);
    put(&b, 0, 2);
    assert_null(archive_zip_open(b.data, b.length, "f", &e));
    assert_int_equal(e.code, ERR_INPUT);
    buf_clear(&b);
}

static void refuses_too_many_members(void **state)
{
    struct buf b;
    struct err e = {0};
    char name[16];
    (void)state;
    buf_init(&b, OUT_MAX);
    for (uint32_t i = 0; i < 65537; i++) { /* a directory alone is enough to be counted */
        struct forged m = {.name = name};
        snprintf(name, sizeof name, "%u", i);
        put(&b, 0x02014b50, 4);
        put(&b, 20, 2);
        put_common(&b, &m);
        put(&b, 0, 4);
        put(&b, 0, 2);
        put(&b, 0, 4);
        put(&b, 0, 4);
        assert_int_equal(buf_string(&b, name, &e), 0);
    }
    uint32_t size = (uint32_t)b.length;
    put(&b, 0x06054b50, 4);
    put(&b, 0, 4);
    put(&b, 65537 % 65536, 2); /* as some writers wrap it */
    put(&b, 65537 % 65536, 2);
    put(&b, size, 4);
    put(&b, 0, 4);
    put(&b, 0, 2);
    assert_null(archive_zip_open(b.data, b.length, "f", &e));
    assert_int_equal(e.code, ERR_LIMIT);
    assert_non_null(strstr(e.text, "65537 members"));
    buf_clear(&b);
}

static void writes_and_reads_back(void **state)
{
    char *large = malloc(300000);
    struct archive_zip_member members[3] = {{"head.bin", "head", 4, "data", 4},
                                            {"empty", NULL, 0, NULL, 0},
                                            {"l\xc3\xa4rge", "", 0, large, 300000}};
    struct archive_zip *z;
    struct buf b;
    struct err e;
    char out[8], *all = malloc(300000);
    (void)state;
    assert_non_null(large);
    assert_non_null(all);
    for (size_t i = 0; i < 300000; i++)
        large[i] = (char)(i * 7 + i / 1000);
    buf_init(&b, OUT_MAX);
    assert_int_equal(buf_string(&b, "before", &e), 0);
    assert_int_equal(archive_zip_encode(members, 3, &b, &e), 0);
    assert_memory_equal(b.data, "beforePK", 8);
    z = archive_zip_open(b.data + 6, b.length - 6, "own", &e);
    assert_non_null(z);
    assert_int_equal(archive_zip_count(z), 3);
    assert_string_equal(archive_zip_name(z, 2), "l\xc3\xa4rge");
    assert_int_equal(archive_zip_size(z, 1), 0);
    assert_int_equal(archive_zip_read(z, 0, out, 8, &e), 0);
    assert_memory_equal(out, "headdata", 8);
    assert_int_equal(archive_zip_read(z, 2, all, 300000, &e), 0);
    assert_memory_equal(all, large, 300000);
    archive_zip_close(z);
    buf_clear(&b);
    free(all);
    free(large);
}

/* The time in the archive is 1980-01-01 whatever the clock and the time zone say. */
static void writing_depends_on_nothing_else(void **state)
{
    static const char *const zones[] = {"UTC", "Asia/Kathmandu", "XYZ+11:30"};
    const struct archive_zip_member member = {"a.npy", "head", 4, "data", 4};
    struct buf first;
    struct err e;
    (void)state;
    buf_init(&first, OUT_MAX);
    assert_int_equal(archive_zip_encode(&member, 1, &first, &e), 0);
    assert_memory_equal(first.data + 10, "\x00\x00\x21\x00",
                        4); /* time and date of the local header */
    for (size_t i = 0; i < 3; i++) {
        struct buf b;
        assert_int_equal(setenv("TZ", zones[i], 1), 0);
        buf_init(&b, OUT_MAX);
        assert_int_equal(archive_zip_encode(&member, 1, &b, &e), 0);
        assert_int_equal(b.length, first.length);
        assert_memory_equal(b.data, first.data, b.length);
        buf_clear(&b);
    }
    buf_clear(&first);
}

static void writing_refuses(void **state)
{
    const struct archive_zip_member twice[] = {{"a", "x", 1, NULL, 0}, {"a", "y", 1, NULL, 0}};
    struct buf b;
    struct err e = {0};
    (void)state;
    buf_init(&b, 40); /* too small for any archive with a member */
    assert_int_equal(archive_zip_encode(twice, 1, &b, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(b.length, 0);
    buf_clear(&b);
    buf_init(&b, OUT_MAX);
    assert_int_equal(archive_zip_encode(twice, 2, &b, &e), -1);
    assert_string_equal(e.at, "a");
    assert_int_equal(archive_zip_encode(twice, 0, &b, &e), -1);
    assert_int_equal(b.length, 0);
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_stored_and_deflated),
        cmocka_unit_test(refuses_corrupt_members),
        cmocka_unit_test(refuses_double_names),
        cmocka_unit_test(refuses_encrypted_and_unknown_methods),
        cmocka_unit_test(refuses_impossible_sizes),
        cmocka_unit_test(ckpt_truncated_mmdetection_4835),
        cmocka_unit_test(survives_any_changed_byte),
        cmocka_unit_test(refuses_claimed_counts),
        cmocka_unit_test(refuses_too_many_members),
        cmocka_unit_test(writes_and_reads_back),
        cmocka_unit_test(writing_depends_on_nothing_else),
        cmocka_unit_test(writing_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
