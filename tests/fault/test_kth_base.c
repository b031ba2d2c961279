/* Every k-th failure in `base`: memory, files, threads, randomness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kth.h"

#include "base_arena.h"
#include "base_crypto.h"
#include "base_file.h"
#include "base_json.h"
#include "base_log.h"
#include "base_pool.h"
#include "base_unicode.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/pfgm-kth-XXXXXX", file[64], name[64];
static const char old_text[] = "what was there before", new_text[] = "what is written";

/* ---- memory ---- */

static int json(struct err *e)
{
    static const char text[] = "{\"a\":[1,2.5,\"x\",null,true],\"b\":{\"c\":[]}}",
                      whole[] = "{\"a\":[1,2.5,\"x\",null,true],\"b\":{\"c\":[]},"
                                "\"list\":[\"18446744073709551615\",\"caf?\"]}";
    struct buf out;
    json_t *value = json_parse(text, sizeof text - 1, "text", e);
    if (!value)
        return -1;
    json_t *list = json_plus(json_plus(json_array(), json_u64(UINT64_MAX)), json_text("caf\xe9"));
    value = json_with(value, "list", list);
    if (!value)
        return json_fail(e, ERR_INTERNAL, "", "there is no value, and memory is not why");
    buf_init(&out, 4096);
    int result = json_append(&out, value, 0, e);
    if (result == 0 && strcmp((const char *)out.data, whole) != 0)
        result = kth_fail(e, (const char *)out.data);
    json_decref(value);
    buf_clear(&out);
    return result;
}

/* jansson leaves out what it has no memory for. */
static int json_by_jansson(struct err *e)
{
    static const char text[] =
        "{\"a\":[1,\"x\"],\"family\":\"exact\",\"a name that is longer than the "
        "buffer is at its beginning\":{\"c\":true}}";
    json_t *value = json_parse(text, sizeof text - 1, "text", e);
    char *same = value ? json_dumped(value, JSON_COMPACT, e) : NULL;
    int result = same ? 0 : -1;
    if (result == 0 && strcmp(same, text) != 0)
        result = kth_fail(e, same);
    free(same);
    json_decref(value);
    return result;
}

static int buffers(struct err *e)
{
    unsigned char bytes[300];
    struct buf text, back;
    buf_init(&text, 4096);
    buf_init(&back, 4096);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7);
    int result = buf_format(&text, e, "%0200d,", 7);
    const size_t head = text.length;
    if (result == 0)
        result = base64_append(&text, bytes, sizeof bytes, e);
    if (result == 0)
        result = base64_read(&back, (const char *)text.data + head, text.length - head, e);
    if (result == 0 && (back.length != sizeof bytes || memcmp(back.data, bytes, back.length) != 0))
        result = kth_fail(e, "other bytes come back");
    buf_clear(&text);
    buf_clear(&back);
    return result;
}

static int folded(struct err *e)
{
    struct unicode_text text;
    if (unicode_fold("GR\xc3\x96\xc3\x9f"
                     "E  und-MEHR",
                     &text, e) != 0)
        return -1;
    const int result = text.length == 15 ? 0 : kth_fail(e, "another length");
    unicode_clear(&text);
    return result;
}

static int block(struct err *e)
{
    unsigned char *zeros = arena_memory((size_t)3 << 20, e);
    int result = zeros ? 0 : -1;
    if (zeros && (zeros[0] || zeros[(3 << 20) - 1]))
        result = kth_fail(e, "the block is not of zeros");
    free(zeros);
    return result;
}

/* ---- threads and randomness ---- */

static void add(void *context, size_t task, int thread)
{
    (void)thread;
    atomic_fetch_add((_Atomic size_t *)context, task);
}

static int threads(struct err *e)
{
    _Atomic size_t sum = 0;
    struct pool *p = pool_new(3, e);
    if (!p)
        return -1;
    pool_run(p, 11, add, &sum);
    pool_free(p);
    return sum == 55 ? 0 : kth_fail(e, "another sum");
}

static int log_thread(struct err *e)
{
    if (log_start(e) != 0)
        return -1;
    log_stop(60000);
    return 0;
}

static int randomness(struct err *e)
{
    unsigned char bytes[64] = {0}, none[64] = {0};
    if (random_bytes(bytes, sizeof bytes, e) != 0)
        return -1;
    return memcmp(bytes, none, sizeof none) ? 0 : kth_fail(e, "nothing was drawn");
}

/* ---- files ---- */

static int reading(struct err *e)
{
    struct buf text;
    buf_init(&text, 4096);
    int result = file_read(file, &text, e);
    if (result == 0 && strcmp((const char *)text.data, old_text) != 0)
        result = kth_fail(e, "another text");
    buf_clear(&text);
    return result;
}

static int digests(struct err *e)
{
    char digest[SHA256_HEX_SIZE], same[SHA256_HEX_SIZE];
    if (sha256_file_hex(file, digest, e) != 0 ||
        sha256_hex(old_text, sizeof old_text - 1, same, e) != 0)
        return -1;
    if (strcmp(digest, same) != 0)
        return kth_fail(e, "another digest");
    return hmac_sha256_hex("key", 3, old_text, sizeof old_text - 1, same, e);
}

static int reading_by_position(struct err *e)
{
    struct file_reader r;
    char part[5] = "";
    if (file_reader_open(&r, file, e) != 0)
        return -1;
    int result = file_reader_read(&r, 5, part, 4, e);
    if (result == 0)
        result = file_reader_check(&r, e);
    if (result == 0 && strcmp(part, "was ") != 0)
        result = kth_fail(e, part);
    file_reader_close(&r);
    return result;
}

static int mapping(struct err *e)
{
    struct file_map m;
    if (file_map_open(&m, file, e) != 0)
        return -1;
    const int result = m.length == sizeof old_text - 1 && memcmp(m.data, old_text, m.length) == 0
                           ? 0
                           : kth_fail(e, "another text");
    file_map_close(&m);
    return result;
}

static int looking(struct err *e)
{
    bool there = false;
    struct stat st;
    if (file_look(file, true, &there, &st, e) != 0)
        return -1;
    return there ? 0 : kth_fail(e, "the file is said not to be there");
}

static bool holds(const char *text)
{
    char found[64] = "";
    FILE *f = fopen(file, "r");
    if (!f)
        return false;
    const size_t length = fread(found, 1, sizeof found - 1, f);
    fclose(f);
    return length == strlen(text) && strcmp(found, text) == 0;
}

static void put_old(void)
{
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_true(fputs(old_text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Through a symbolic link, whose target has a mode and an owner that are kept. */
static int writing(struct err *e)
{
    return file_write_atomic(name, new_text, sizeof new_text - 1, e);
}

/* The old text or the new one is there, by its result, and nothing beside it. Only when the folder
 * could not be written down the new one may be there too. */
static int written(struct err *e, bool ran)
{
    size_t entries = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d))
        entries++;
    closedir(d);
    const bool is_new = holds(new_text), is_old = holds(old_text);
    put_old();
    if (entries != 4)
        return kth_fail(e, "something else was left");
    if (ran ? !is_new : !is_new && !is_old)
        return kth_fail(e, "neither the old text nor the new one is there");
    return 0;
}

static const struct kth_case cases[] = {
    {"json", KTH(ALLOC), 0, json, NULL, false},
    {"json by jansson", KTH(ALLOC), 0, json_by_jansson, NULL, false},
    {"buffers", KTH(ALLOC), 0, buffers, NULL, false},
    {"unicode", KTH(ALLOC), 0, folded, NULL, false},
    {"arena", KTH(ALLOC), 0, block, NULL, false},
    {"pool", KTH(ALLOC) | KTH(THREAD), 0, threads, NULL, false},
    {"log", KTH(ALLOC) | KTH(THREAD), 0, log_thread, NULL, false},
    {"random bytes", KTH(ENTROPY), 0, randomness, NULL, false},
    {"read", KTH_READS, 0, reading, NULL, false},
    {"digests", KTH_READS, 0, digests, NULL, true},
    {"read by position", KTH_READS, 0, reading_by_position, NULL, false},
    {"map", KTH_READS | KTH(MAP), 0, mapping, NULL, false},
    {"look", KTH(STATUS), 0, looking, NULL, false},
    {"write", KTH_WRITES, 0, writing, written, false},
};

static void each_failure_is_named_and_undone(void **state)
{
    (void)state;
    kth_check_all(cases, sizeof cases / sizeof *cases);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(name, sizeof name, "%s/link", folder);
    put_old();
    return symlink("file", name);
}

static int tear_down(void **state)
{
    (void)state;
    unlink(file);
    unlink(name);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_failure_is_named_and_undone)};
    return cmocka_run_group_tests_name("kth base", tests, set_up, tear_down);
}
