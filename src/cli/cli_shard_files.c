/* The files of shards: their names, and reading them with every digest compared. */
#include "cli_npz.h"
#include "cli_shard.h"

#include "base_file.h"
#include "base_size.h"
#include "base_text.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MANIFEST ".manifest"
#define JOURNAL ".part"
#define IMAGE_BYTES_MAX ((size_t)1 << 30)

int cli_shard_parse(const char *word, struct cli_range *out, struct err *e)
{
    const char *slash = strchr(word, '/');
    char first[24] = "";
    if (slash && slash - word < (ptrdiff_t)sizeof first)
        memcpy(first, word, (size_t)(slash - word));
    if (slash && text_digits(first, &out->shard) && text_digits(slash + 1, &out->shards) &&
        out->shard >= 1 && out->shard <= out->shards && out->shards <= CLI_SHARDS_MAX)
        return 0;
    return err_fail(e, ERR_INPUT, "--shard",
                    "\"%s\" is not I/N with I from 1 to N and N at most %d, such as 3/8", word,
                    CLI_SHARDS_MAX);
}

int cli_shard_manifest_name(const char *folder, struct cli_range r, struct buf *out, struct err *e)
{
    return buf_format(out, e, "%sshard-%" PRIu64 "-of-%" PRIu64 MANIFEST, folder, r.shard,
                      r.shards);
}

int cli_shard_journal_name(const char *folder, struct cli_range r, struct buf *out, struct err *e)
{
    return buf_format(out, e, "%s.shard-%" PRIu64 "-of-%" PRIu64 JOURNAL, folder, r.shard,
                      r.shards);
}

bool cli_shard_is_manifest(const char *name)
{
    return strncmp(name, "shard-", 6) == 0 && file_name_ends(name, MANIFEST);
}

bool cli_shard_is_journal(const char *name)
{
    return strncmp(name, ".shard-", 7) == 0 && file_name_ends(name, JOURNAL);
}

int cli_shard_check_none(const char *folder, struct err *e)
{
    const struct dirent *entry;
    int result = 0;
    DIR *d = opendir(folder);
    if (!d)
        return err_fail_errno(e, errno, folder, "open the folder");
    do {
        errno = 0; /* what tells a failure from the end */
        entry = readdir(d);
        if (!entry && errno != 0)
            result = err_fail_errno(e, errno, folder, "list the folder");
        else if (entry &&
                 (cli_shard_is_manifest(entry->d_name) || cli_shard_is_journal(entry->d_name)))
            result = err_fail(e, ERR_INPUT, folder,
                              "holds images of another run, in shards (%s): name another folder",
                              entry->d_name);
    } while (entry && result == 0);
    closedir(d);
    return result;
}

int cli_shard_image_name(const char *folder, uint64_t index, const char *ending, struct buf *out,
                         struct err *e)
{
    return buf_format(out, e, "%s%06" PRIu64 "%s", folder, index, ending);
}

int cli_shard_image(const char *folder, const struct cli_manifest *m, size_t k, struct buf *out,
                    struct err *e)
{
    char digest[SHA256_HEX_SIZE];
    struct buf name;
    int result;
    buf_init(&name, 65536);
    buf_reset(out);
    result = cli_shard_image_name(folder, cli_manifest_index(m, k), ".png", &name, e);
    if (result == 0)
        result = file_read((const char *)name.data, out, e);
    if (result == 0)
        result = sha256_hex(out->data, out->length, digest, e);
    if (result == 0 && strcmp(digest, m->images[k].sha256) != 0)
        result = err_fail(e, ERR_INPUT, (const char *)name.data,
                          "is not the image that the manifest of shard %" PRIu64 "/%" PRIu64
                          " names; make that shard again with --resume",
                          m->range.shard, m->range.shards);
    buf_clear(&name);
    return result;
}

/* ---- .npz ---- */

static int check_pixels(const struct cli_manifest *m, const uint8_t *pixels, size_t length,
                        const char *path, struct err *e)
{
    const size_t one = image_shape_count(m->shape);
    char digest[SHA256_HEX_SIZE];
    size_t all;
    if (!size_mul(one, m->count, &all) || all != length)
        return err_fail(e, ERR_INPUT, path, "holds other images than its manifest says");
    for (size_t k = 0; k < m->count; k++) {
        if (sha256_hex(pixels + k * one, one, digest, e) != 0)
            return -1;
        if (!m->images[k].there || strcmp(digest, m->images[k].sha256) != 0)
            return err_fail(e, ERR_INPUT, path,
                            "image %" PRIu64 " is not the one that its manifest names; make shard "
                            "%" PRIu64 "/%" PRIu64 " again with --resume",
                            cli_manifest_index(m, k), m->range.shard, m->range.shards);
    }
    return 0;
}

static int read_archive(struct cli_npz_file *f, const char *path, struct cli_manifest *m,
                        uint8_t **pixels, bool *torn, struct err *e)
{
    size_t length;
    unsigned char *text = cli_npz_bytes(f, "manifest", &length, e);
    if (!text)
        return -1;
    int result = cli_manifest_read((const char *)text, length, path, m, e);
    free(text);
    if (result == 0 && !m->pixels)
        result = err_fail(e, ERR_INPUT, path, "has the manifest of a folder");
    if (result != 0)
        return -1;
    *pixels = cli_npz_bytes(f, "arr_0", &length, e);
    if (*pixels && check_pixels(m, *pixels, length, path, e) == 0)
        return 0;
    *torn = true;
    free(*pixels);
    *pixels = NULL;
    return -1;
}

int cli_shard_read(const char *path, struct cli_manifest *m, uint8_t **pixels, bool *torn,
                   struct err *e)
{
    struct err why = {0};
    struct cli_npz_file *f = cli_npz_open(path, &why);
    int result;
    *m = (struct cli_manifest){0};
    *pixels = NULL;
    *torn = !f && why.code == ERR_INPUT;
    if (!f)
        return err_pass(e, &why);
    result = read_archive(f, path, m, pixels, torn, e);
    cli_npz_close(f);
    if (result != 0)
        cli_manifest_clear(m);
    return result;
}
