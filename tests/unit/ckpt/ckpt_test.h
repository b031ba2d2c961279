/* What the tests of this room share: a folder for files, crafted safetensors files, and pickles
 * written opcode by opcode. Each test program is one thread and has its own folder, which it
 * removes. */
#ifndef CKPT_TEST_H
#define CKPT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base_file.h"
#include "ckpt_safetensors.h"
#include "archive_zip.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char test_folder[] = "/tmp/pfgm-ckpt-XXXXXX";
static char test_path[sizeof test_folder + 16]; /* of the one file that tests write and read */

static inline int folder_make(void **state)
{
    (void)state;
    if (!mkdtemp(test_folder))
        return -1;
    snprintf(test_path, sizeof test_path, "%s/file", test_folder);
    return 0;
}

static inline int folder_remove(void **state)
{
    (void)state;
    unlink(test_path);
    return rmdir(test_folder);
}

/* A new file each time: some file systems write one out at once when it is cut to nothing first. */
static inline void file_put(const void *data, size_t length)
{
    unlink(test_path);
    FILE *f = fopen(test_path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, length, f), length);
    assert_int_equal(fclose(f), 0);
}

/* Writes length prefix, header and `data_length` bytes 0, 1, 2, … */
static inline void safetensors_put(const char *header, size_t data_length)
{
    struct buf b;
    uint64_t length = strlen(header);
    buf_init(&b, 1 << 20);
    assert_int_equal(buf_append(&b, &length, 8, NULL), 0);
    assert_int_equal(buf_append(&b, header, length, NULL), 0);
    for (size_t i = 0; i < data_length; i++) {
        unsigned char byte = (unsigned char)i;
        assert_int_equal(buf_append(&b, &byte, 1, NULL), 0);
    }
    file_put(b.data, b.length);
    buf_clear(&b);
}

/* The error of this code is there and its line holds the words. */
static inline void error_holds(const struct err *e, enum err_code code, const char *words)
{
    char line[1200];
    err_line(e, line, sizeof line);
    if (e->code != code || !strstr(line, words))
        fail_msg("code %d and \"%s\" expected, code %d came: %s", code, words, e->code, line);
    assert_null(strchr(line, '\n'));
}

/* Appends bytes to a pickle in the making. */
static inline void put(struct buf *b, const void *bytes, size_t length)
{
    assert_int_equal(buf_append(b, bytes, length, NULL), 0);
}
/* A literal and its length. */
#define BYTES(literal) literal, sizeof(literal) - 1
#define PUT(b, literal) put(b, literal, sizeof(literal) - 1)

static inline void put_string(struct buf *b, const char *text)
{
    uint32_t length = (uint32_t)strlen(text);
    PUT(b, "X");
    put(b, &length, 4);
    put(b, text, length);
}

static inline void put_int(struct buf *b, int64_t value)
{
    PUT(b, "\x8a\x08");
    put(b, &value, 8);
}

/* The persistent id of a storage, loaded. */
static inline void put_storage(struct buf *b, const char *type, const char *key, int64_t numel)
{
    PUT(b, "(");
    put_string(b, "storage");
    PUT(b, "ctorch\n");
    put(b, type, strlen(type));
    PUT(b, "\n");
    put_string(b, key);
    put_string(b, "cpu");
    put_int(b, numel);
    PUT(b, "tQ");
}

/* What follows a storage in the call of a tensor's constructor, and the call. */
static inline void put_view(struct buf *b, int64_t offset, int rank, const int64_t *size,
                            const int64_t *stride)
{
    put_int(b, offset);
    PUT(b, "(");
    for (int i = 0; i < rank; i++)
        put_int(b, size[i]);
    PUT(b, "t(");
    for (int i = 0; i < rank; i++)
        put_int(b, stride[i]);
    PUT(b, "t\x89}tR");
}

/* A tensor of float32, as torch writes it: rebuild(storage, offset, size, stride, False, {}). */
static inline void put_tensor(struct buf *b, const char *type, const char *key, int64_t numel,
                              int64_t offset, int rank, const int64_t *size, const int64_t *stride)
{
    PUT(b, "ctorch._utils\n_rebuild_tensor_v2\n(");
    put_storage(b, type, key, numel);
    put_view(b, offset, rank, size, stride);
}

/* The head of an older stream, up to the object. */
static inline void put_stream_head(struct buf *b)
{
    PUT(b, "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}");
    put_string(b, "little_endian");
    PUT(b, "\x88s.");
}

/* A stream of one storage of floats, which its name says has `named` elements, its head
 * `announced`, while there are `there`. */
static inline void put_stream(struct buf *b, int64_t named, int64_t announced, size_t there)
{
    put_stream_head(b);
    PUT(b, "\x80\x02");
    put_storage(b, "FloatStorage", "0", named);
    PUT(b, ".\x80\x02]X\x01\0\0\0"
           "0a.");
    put(b, &announced, 8);
    for (size_t i = 0; i < there; i++) {
        const float value = (float)i;
        put(b, &value, 4);
    }
}

/* The call that loads a stream from bytes. */
static inline void put_embedded(struct buf *b, const struct buf *stream)
{
    const uint32_t length = (uint32_t)stream->length;
    PUT(b, "ctorch.storage\n_load_from_bytes\nB");
    put(b, &length, 4);
    put(b, stream->data, stream->length);
    PUT(b, "\x85R");
}

/* A zip with data.pkl and storages "0", "1", …, in the folder "archive". */
static inline void torch_zip_build(struct buf *out, const struct buf *pickle,
                                   const void *const *storages, const size_t *bytes, size_t n)
{
    struct archive_zip_member members[16];
    char names[16][32];
    struct err e = {0};
    assert_true(n < 16);
    members[0] = (struct archive_zip_member){
        .name = "archive/data.pkl", .data = pickle->data, .length = pickle->length};
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "archive/data/%zu", i);
        members[i + 1] =
            (struct archive_zip_member){.name = names[i], .data = storages[i], .length = bytes[i]};
    }
    if (archive_zip_encode(members, n + 1, out, &e))
        fail_msg("%s: %s", e.at, e.text);
}

#endif
