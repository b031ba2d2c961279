/* Atomic writes, bounded reads, digests. */
#include "base_crypto.h"
#include "base_file.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/pfgm-test-file-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int files_in_folder(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d));)
        n += entry->d_name[0] != '.' || entry->d_name[1] > '.';
    closedir(d);
    return n;
}

static void a_write_replaces_the_file_whole(void **state)
{
    (void)state;
    const char *path = in_folder("a");
    assert_int_equal(file_write_atomic(path, "first", 5, NULL), 0);
    assert_int_equal(file_write_atomic(path, "second!", 7, NULL), 0);
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(file_read(path, &b, NULL), 0);
    assert_string_equal((char *)b.data, "second!");
    buf_clear(&b);
    assert_int_equal(files_in_folder(), 1);
}

static void a_failed_write_leaves_the_old_file_dddd_trainer_36(void **state)
{
    (void)state;
    const char *path = in_folder("a");
    assert_int_equal(file_write_atomic(path, "kept", 4, NULL), 0);
    /* A limit on the file size stands for the full disk. */
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 1000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    char *big = calloc(1, 1 << 20);
    assert_non_null(big);
    struct err e = {0};
    int result = file_write_atomic(path, big, 1 << 20, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    free(big);
    assert_int_equal(result, -1);
    assert_int_equal(e.code, ERR_IO);
    assert_int_equal(files_in_folder(), 1);
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(file_read(path, &b, NULL), 0);
    assert_string_equal((char *)b.data, "kept");
    buf_clear(&b);
}

/* Whoever writes leaves results to the stream; the reason is wanted all the same. */
static void a_full_disk_is_named_by_a_writer_that_looks_last(void **state)
{
    (void)state;
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 1000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct file_writer w;
    struct err e = {0};
    int opened = file_writer_open(&w, in_folder("a"), &e);
    char *big = calloc(1, 1 << 20);
    assert_non_null(big);
    if (!opened)
        fwrite(big, 1, 1 << 20, w.stream);
    free(big);
    errno = 0;
    int result = opened ? opened : file_writer_commit(&w, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(result, -1);
    assert_int_equal(e.code, ERR_IO);
    assert_non_null(strstr(e.text, strerror(EFBIG)));
    assert_int_equal(files_in_folder(), 1);
}

/* Process numbers come again, in a container at once, and with them the names of unfinished files.
 */
static void what_a_killed_process_left_stops_no_write(void **state)
{
    (void)state;
    char name[64];
    for (int i = 0; i < 64; i++) {
        snprintf(name, sizeof name, ".a.%ld.%d.tmp", (long)getpid(), i);
        FILE *left = fopen(in_folder(name), "wx");
        assert_non_null(left);
        fclose(left);
    }
    assert_int_equal(file_write_atomic(in_folder("a"), "new", 3, NULL), 0);
    assert_int_equal(files_in_folder(), 65);
    for (int i = 0; i < 64; i++) {
        snprintf(name, sizeof name, ".a.%ld.%d.tmp", (long)getpid(), i);
        assert_int_equal(unlink(in_folder(name)), 0);
    }
}

/* Whoever is killed leaves nothing: until it is whole the file has no name, and can be read all the
 * same. */
static void an_unfinished_file_is_not_in_the_folder(void **state)
{
    (void)state;
    const int before = files_in_folder();
    struct file_writer w;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(file_writer_open(&w, in_folder("a"), NULL), 0);
    assert_true(fputs("half", w.stream) >= 0 && fflush(w.stream) == 0);
    assert_int_equal(files_in_folder(), before);
    assert_int_equal(file_read(w.temporary, &b, NULL), 0);
    assert_string_equal((char *)b.data, "half");
    file_writer_abort(&w);
    assert_int_equal(files_in_folder(), before);
    buf_clear(&b);
}

static void odd_paths_are_refused(void **state)
{
    (void)state;
    struct err e = {0};
    struct file_map m;
    assert_int_equal(file_write_atomic("/dev/full", "x", 1, &e), -1);
    assert_int_equal(file_write_atomic(in_folder("none/x"), "x", 1, &e), -1);
    assert_int_equal(file_map_open(&m, folder, &e), -1);
    assert_int_equal(file_map_open(&m, in_folder("absent"), &e), -1);
    struct buf b;
    buf_init(&b, 3);
    assert_int_equal(file_write_atomic(in_folder("b"), "1234", 4, NULL), 0);
    assert_int_equal(file_read(in_folder("b"), &b, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    buf_clear(&b);
    buf_init(&b, 4);
    assert_int_equal(file_read(in_folder("b"), &b, &e), 0);
    assert_int_equal(b.length, 4);
    buf_clear(&b);
    assert_int_equal(file_write_atomic(in_folder("empty"), "", 0, NULL), 0);
    assert_int_equal(file_map_open(&m, in_folder("empty"), &e), 0);
    assert_int_equal(m.length, 0);
    file_map_close(&m);
    buf_init(&b, 4);
    assert_int_equal(file_read(in_folder("empty"), &b, &e), 0);
    assert_string_equal((char *)b.data, "");
    buf_clear(&b);
}

static void what_lies_in_a_folder(void **state)
{
    (void)state;
    bool within = false;
    assert_int_equal(file_write_atomic(in_folder("c"), "abc", 3, NULL), 0);
    const char *const inside[] = {"c", "new", "new/", "."}, *const outside[] = {"..", "../new"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(file_within(in_folder(inside[i]), folder, &within, NULL), 0);
        assert_true(within);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(file_within(in_folder(outside[i]), folder, &within, NULL), 0);
        assert_false(within);
    }
    assert_int_equal(file_within("/", "/", &within, NULL), 0);
    assert_true(within);
    assert_int_equal(file_within(folder, "/", &within, NULL), 0);
    assert_true(within);
    assert_int_equal(file_within(folder, "/no/such/folder", &within, NULL), 0);
    assert_false(within);
}

/* Of a long path the end tells which file it is. */
static void an_error_keeps_the_end_of_a_long_path(void **state)
{
    (void)state;
    struct err e;
    char path[1000];
    for (size_t i = 0; i < 6; i++) { /* every place within a character */
        memset(path, 'a', 400);
        snprintf(path + 400 + i, sizeof path - 400 - i, "%s", "/ééééééééééé/end.png");
        memset(path + 400, 'b', i);
        assert_int_equal(err_fail(&e, ERR_INPUT, path, "is wrong"), -1);
        assert_int_equal(strncmp(e.at, "…a", 4), 0);
        assert_non_null(strstr(e.at, "é/end.png"));
        assert_true(err_names(&e, path));
    }
    err_fail(&e, ERR_INPUT, "name.png", "is wrong");
    assert_string_equal(e.at, "name.png");
    assert_true(err_names(&e, "name"));
    assert_false(err_names(&e, "other"));
}

static void digests_and_base64(void **state)
{
    (void)state;
    char hex[SHA256_HEX_SIZE];
    assert_int_equal(sha256_hex("abc", 3, hex, NULL), 0);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(file_write_atomic(in_folder("c"), "abc", 3, NULL), 0);
    assert_int_equal(sha256_file_hex(in_folder("c"), hex, NULL), 0);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(base64_append(&b, "any carnal pleas", 16, NULL), 0);
    assert_string_equal((char *)b.data, "YW55IGNhcm5hbCBwbGVhcw==");
    buf_clear(&b);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    const char *names[] = {"a", "b", "c", "empty"};
    for (int i = 0; i < 4; i++)
        unlink(in_folder(names[i]));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_replaces_the_file_whole),
        cmocka_unit_test(a_failed_write_leaves_the_old_file_dddd_trainer_36),
        cmocka_unit_test(a_full_disk_is_named_by_a_writer_that_looks_last),
        cmocka_unit_test(what_a_killed_process_left_stops_no_write),
        cmocka_unit_test(an_unfinished_file_is_not_in_the_folder),
        cmocka_unit_test(odd_paths_are_refused),
        cmocka_unit_test(what_lies_in_a_folder),
        cmocka_unit_test(an_error_keeps_the_end_of_a_long_path),
        cmocka_unit_test(digests_and_base64),
    };
    return cmocka_run_group_tests_name("base: files", tests, make_folder, remove_folder);
}
