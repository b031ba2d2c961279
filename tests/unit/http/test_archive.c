/* Archives that are written as their members come, read back by the reader of whole archives. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "archive_tar.h"
#include "archive_zip.h"
#include "archive_zip_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int whole(struct archive_zip_stream *z, const char *name, const void *data, size_t length,
                 struct buf *out, struct err *e)
{
    const struct archive_zip_member m = {.name = name, .data = data, .length = length};
    return archive_zip_stream_member(z, &m, out, e);
}

static void members_come_back(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 1 << 20);
    struct archive_zip_stream *z = archive_zip_stream_new(NULL);
    assert_non_null(z);
    assert_int_equal(whole(z, "a.png", "first", 5, &out, NULL), 0);
    assert_int_equal(archive_zip_stream_begin(z, "b.npy", 9, &out, NULL), 0);
    assert_int_equal(archive_zip_stream_piece(z, "one", 3, &out, NULL), 0);
    assert_int_equal(archive_zip_stream_piece(z, "two", 3, &out, NULL), 0);
    assert_int_equal(archive_zip_stream_piece(z, "four", 4, &out, NULL), -1); /* one too many */
    assert_int_equal(archive_zip_stream_piece(z, "six", 3, &out, NULL), 0);
    assert_int_equal(whole(z, "empty", "", 0, &out, NULL), 0);
    assert_int_equal(archive_zip_stream_finish(z, &out, NULL), 0);
    archive_zip_stream_free(z);
    struct err e = {0};
    struct archive_zip *r = archive_zip_open(out.data, out.length, "test", &e);
    if (!r)
        fail_msg("%s: %s", e.at, e.text);
    assert_int_equal(archive_zip_count(r), 3);
    char text[16];
    assert_int_equal(archive_zip_read(r, 0, text, 5, &e), 0);
    assert_memory_equal(text, "first", 5);
    assert_string_equal(archive_zip_name(r, 1), "b.npy");
    assert_int_equal(archive_zip_read(r, 1, text, 9, &e), 0);
    assert_memory_equal(text, "onetwosix", 9);
    assert_int_equal(archive_zip_size(r, 2), 0);
    archive_zip_close(r);
    buf_clear(&out);
}

static void more_members_than_two_bytes_count(void **state)
{
    (void)state;
    enum { MEMBERS = 65536 };
    struct buf out;
    char name[24];
    buf_init(&out, (size_t)64 << 20);
    struct archive_zip_stream *z = archive_zip_stream_new(NULL);
    for (unsigned i = 0; i < MEMBERS; i++) {
        snprintf(name, sizeof name, "%u", i);
        assert_int_equal(whole(z, name, &i, sizeof i, &out, NULL), 0);
    }
    assert_int_equal(archive_zip_stream_finish(z, &out, NULL), 0);
    archive_zip_stream_free(z);
    struct err e = {0};
    struct archive_zip *r = archive_zip_open(out.data, out.length, "test", &e);
    if (!r)
        fail_msg("%s: %s", e.at, e.text);
    assert_int_equal(archive_zip_count(r), MEMBERS);
    unsigned last;
    assert_int_equal(archive_zip_read(r, MEMBERS - 1, &last, sizeof last, &e), 0);
    assert_int_equal(last, MEMBERS - 1);
    archive_zip_close(r);
    buf_clear(&out);
}

static void limits_are_kept(void **state)
{
    (void)state;
    struct buf out;
    struct err e = {0};
    char name[300];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    buf_init(&out, 1 << 20);
    struct archive_zip_stream *z = archive_zip_stream_new(NULL);
    assert_int_equal(whole(z, name, "", 0, &out, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(archive_zip_stream_begin(z, "big", (uint64_t)1 << 32, &out, &e), -1);
    archive_zip_stream_free(z);
    assert_int_equal(archive_tar_member(name, "", 0, &out, &e), -1);
    assert_int_equal(archive_tar_member("big", "", (size_t)1 << 33, &out, &e), -1);
    assert_int_equal(out.length, 0);
    buf_clear(&out);
}

static void tar_headers_are_as_posix_has_them(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_int_equal(archive_tar_member("pfgm-1-2.png", "hello", 5, &out, NULL), 0);
    assert_int_equal(out.length, 1024);
    assert_string_equal((char *)out.data, "pfgm-1-2.png");
    assert_string_equal((char *)out.data + 124, "00000000005");
    assert_memory_equal(out.data + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++)
        sum += i >= 148 && i < 156 ? ' ' : out.data[i];
    assert_int_equal(strtol((char *)out.data + 148, NULL, 8), sum);
    assert_memory_equal(out.data + 512, "hello", 5);
    assert_int_equal(archive_tar_finish(&out, NULL), 0);
    assert_int_equal(out.length, 2048);
    for (int i = 517; i < 2048; i++)
        assert_int_equal(out.data[i], 0);
    buf_clear(&out);
}

/* Files of the archive until the end, or until what is none. */
static int count_files(const unsigned char *data, size_t length, size_t *count)
{
    struct archive_tar_entry entry;
    size_t at = 0;
    int more;
    struct err e = {0};
    for (*count = 0; (more = archive_tar_next(data, length, &at, &entry, "x.tar", &e)) == 1;)
        ++*count;
    assert_true(more == 0 || (e.code == ERR_INPUT && strcmp(e.at, "x.tar") == 0));
    return more;
}

static void a_tar_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct archive_tar_entry entry;
    struct buf out;
    size_t at = 0, count;
    buf_init(&out, 1 << 20);
    assert_int_equal(archive_tar_member("a.png", "hello", 5, &out, NULL), 0);
    assert_int_equal(archive_tar_member("none", "", 0, &out, NULL), 0);
    assert_int_equal(archive_tar_finish(&out, NULL), 0);
    assert_int_equal(archive_tar_next(out.data, out.length, &at, &entry, "", NULL), 1);
    assert_string_equal(entry.name, "a.png");
    assert_int_equal(entry.length, 5);
    assert_memory_equal(entry.data, "hello", 5);
    assert_int_equal(count_files(out.data, out.length, &count), 0);
    assert_int_equal(count, 2);
    for (size_t length = 0; length < out.length; length++) { /* no part of it is the whole */
        unsigned char *part = malloc(length + 1);
        assert_non_null(part);
        memcpy(part, out.data, length);
        assert_int_equal(count_files(part, length, &count), -1);
        free(part);
    }
    for (size_t i = 0; i < 512; i++) { /* nor is a header that was changed one */
        out.data[i] ^= 0x11;
        const bool is_unused = i == 155; /* behind the checksum and its NUL */
        assert_int_equal(count_files(out.data, out.length, &count), is_unused ? 0 : -1);
        out.data[i] ^= 0x11;
    }
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_back),
        cmocka_unit_test(more_members_than_two_bytes_count),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(tar_headers_are_as_posix_has_them),
        cmocka_unit_test(a_tar_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
