/* Replays a corpus: every member of a ZIP archive, or every file named, through one target. It is
 * the sanitizers that find something, or a check of the target's; so there is nothing to compare.
 *
 *     fuzz_replay TARGET CORPUS.zip|FILE …
 */
#include "fuzz.h"

#include "archive_zip.h"
#include "base_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CORPUS_MAX ((size_t)64 << 20)

static const struct fuzz_target *const targets[] = {
    &fuzz_config,      &fuzz_connection, &fuzz_dataset,  &fuzz_description,
    &fuzz_head,        &fuzz_idx,        &fuzz_keys,     &fuzz_kserve,
    &fuzz_multipart,   &fuzz_pickle,     &fuzz_png,      &fuzz_request,
    &fuzz_safetensors, &fuzz_torch,      &fuzz_training, &fuzz_written};

static void fail(const struct err *e)
{
    char line[1200];
    fprintf(stderr, "fuzz_replay: %s\n", err_line(e, line, sizeof line));
    exit(1);
}

/* In memory of exactly that size, so that the sanitizer sees the first byte behind it. */
static void replay(const struct fuzz_target *target, const void *data, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    FUZZ_CHECK(copy);
    if (length)
        memcpy(copy, data, length);
    fuzz_run(target, copy, length);
    free(copy);
}

static size_t replay_members(const struct fuzz_target *target, const struct buf *file,
                             const char *path)
{
    struct err e = {0};
    struct archive_zip *z = archive_zip_open(file->data, file->length, path, &e);
    if (!z)
        fail(&e);
    const size_t count = archive_zip_count(z);
    for (size_t i = 0; i < count; i++) {
        const size_t size = (size_t)archive_zip_size(z, i);
        uint8_t *data = malloc(size ? size : 1);
        FUZZ_CHECK(data);
        if (archive_zip_read(z, i, data, size, &e) != 0)
            fail(&e);
        replay(target, data, size);
        free(data);
    }
    archive_zip_close(z);
    return count;
}

static size_t replay_file(const struct fuzz_target *target, const char *path)
{
    struct err e = {0};
    struct buf file;
    size_t count = 1;
    buf_init(&file, CORPUS_MAX);
    if (file_read(path, &file, &e) != 0)
        fail(&e);
    if (file_name_ends(path, ".zip"))
        count = replay_members(target, &file, path);
    else
        replay(target, file.data, file.length);
    buf_clear(&file);
    return count;
}

int main(int argc, char **argv)
{
    const struct fuzz_target *target = NULL;
    size_t count = 0;
    for (size_t i = 0; i < sizeof targets / sizeof *targets && argc > 2; i++)
        if (strcmp(targets[i]->name, argv[1]) == 0)
            target = targets[i];
    if (!target) {
        fprintf(stderr, "usage: fuzz_replay TARGET CORPUS.zip|FILE...\ntargets:");
        for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
            fprintf(stderr, " %s", targets[i]->name);
        fprintf(stderr, "\n");
        return 2;
    }
    fuzz_begin(target);
    for (int i = 2; i < argc; i++)
        count += replay_file(target, argv[i]);
    if (target->end)
        target->end();
    printf("%zu inputs\n", count);
    return count ? 0 : 1;
}
