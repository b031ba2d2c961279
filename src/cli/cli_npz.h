/* The .npz of images: written by `pfgm sample` and `pfgm merge`, in the same bytes, and read back.
 */
#ifndef CLI_NPZ_H
#define CLI_NPZ_H

#include "image.h"

struct cli_npz {
    struct image_shape shape;
    size_t n;
    uint64_t seed, first_index;
    const uint8_t *pixels;  /* [n,H,W,C], not owned */
    const int64_t *classes; /* [n], -1: none; NULL where the model knows none; not owned */
    const char *manifest;   /* of a shard (cli_manifest.h), or NULL; not owned */
    size_t manifest_length;
};

/* Before hours of work: whether n images have place in one. */
int cli_npz_check(const char *path, struct image_shape shape, uint64_t n, struct err *e);

/* arr_0 uint8 [n,H,W,C], seed uint64 [1], index uint64 [n], class int64 [n] where there are
 * classes, and of a shard manifest uint8 [bytes]. Written beside the name and renamed. */
int cli_npz_write(const char *path, const struct cli_npz *z, struct err *e);

/* A file of shards that is open. */
struct cli_npz_file;
/* NULL: it cannot be read (ERR_IO, ERR_MEMORY), or is no archive or a torn one (ERR_INPUT). */
struct cli_npz_file *cli_npz_open(const char *path, struct err *e);
void cli_npz_close(struct cli_npz_file *f); /* may be NULL */
/* Reads the member as uint8 of any shape, in one piece, to be freed; its checksum is compared. NULL
 * with ERR_INPUT where it is absent or another kind of array. */
unsigned char *cli_npz_bytes(struct cli_npz_file *f, const char *name, size_t *length,
                             struct err *e);

#endif
