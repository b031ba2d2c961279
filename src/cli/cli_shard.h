/* A shard of a run of `pfgm sample`: a part of its images, made by itself, on whatever machine.
 *
 * By the seed rule the images are those of one run. A shard is a file .npz with its manifest
 * inside, or images in a folder that all shards share, each with its manifest beside them:
 *
 *     DIR/000003.png              an image, as without shards
 *     DIR/.shard-2-of-8.part      the journal of one that is being made; it is locked meanwhile
 *     DIR/shard-2-of-8.manifest   of one that is whole */
#ifndef CLI_SHARD_H
#define CLI_SHARD_H

#include "cli_manifest.h"
#include "cli_run.h"

/* The word of --shard, "I/N" with 1 ≤ I ≤ N. */
int cli_shard_parse(const char *word, struct cli_range *out, struct err *e);

struct cli_shard {
    struct cli_range range;
    bool resume;      /* what is there of this shard is kept */
    const char *path; /* ends in "/" or ".npz" */
    size_t kept;      /* out: images that were there already */
};
/* Makes it, of an order of all images. An output that is of another run or shard is ERR_INPUT with
 * what differs, with or without `resume`. */
int cli_shard_make(struct cli_run *run, const struct engine_order *whole, struct cli_shard *s,
                   struct err *e);

/* The name of a shard's manifest or journal in a folder, appended to `out`. */
int cli_shard_manifest_name(const char *folder, struct cli_range range, struct buf *out,
                            struct err *e);
int cli_shard_journal_name(const char *folder, struct cli_range range, struct buf *out,
                           struct err *e);
/* Whether the name within a folder is that of a shard's manifest; `journal`: or a journal. */
bool cli_shard_is_manifest(const char *name);
bool cli_shard_is_journal(const char *name);

/* ERR_INPUT where the folder holds shards of a run, whole or not: other images have the same names.
 */
int cli_shard_check_none(const char *folder, struct err *e);

/* The name of the image of that index in a folder, as every output of pfgm has it, ".png" being the
 * ending. */
int cli_shard_image_name(const char *folder, uint64_t index, const char *ending, struct buf *out,
                         struct err *e);
/* Reads the PNG of image k into `out` (reset first). ERR_INPUT where it is not what the manifest
 * says, or not there. */
int cli_shard_image(const char *folder, const struct cli_manifest *m, size_t k, struct buf *out,
                    struct err *e);

/* Opens a shard's .npz: its manifest, and its pixels [count,H,W,C], to be freed. ERR_INPUT with
 * *torn set where it is an archive that is torn or whose images are not what the manifest says. */
int cli_shard_read(const char *path, struct cli_manifest *m, uint8_t **pixels, bool *torn,
                   struct err *e);

#endif
