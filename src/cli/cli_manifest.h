/* What a shard of `pfgm sample` says of itself: a line of JSON that names the whole and all that
 * its images are a function of, then a line for each image with its digest.
 *
 * The same lines are the journal of a shard that is being made, which lacks some of them: an image
 * has its line once its file is whole. Text from a file is hostile: nothing of it is believed
 * before it was compared with a range or a digest. */
#ifndef CLI_MANIFEST_H
#define CLI_MANIFEST_H

#include "cli_run.h"

#define CLI_SHARDS_MAX 100000

/* Shard `shard` of `shards`, counted from 1, of n images. */
struct cli_range {
    uint64_t shard, shards, n;
};
/* The places of its images among the n: those from begin on, up to and without end. */
uint64_t cli_range_begin(struct cli_range r);
uint64_t cli_range_end(struct cli_range r);

struct cli_manifest_image {
    bool there;
    char sha256[SHA256_HEX_SIZE]; /* of its PNG, or of its pixels [H,W,C] */
    int32_t label;                /* its class, or MODEL_CLASS_NONE */
};

struct cli_manifest {
    struct cli_range range;
    json_t *head; /* owned; the first line */
    bool pixels;  /* its images lie in a .npz, else as PNGs in a folder */
    bool classes; /* the model knows classes */
    uint64_t seed, first_index;
    struct image_shape shape;
    struct cli_manifest_image *images; /* [count], owned */
    size_t count;                      /* images of the shard */
};

/* Of an order of all n images; none is there. */
int cli_manifest_make(const struct engine_order *whole, struct cli_range range, bool pixels,
                      struct cli_manifest *out, struct err *e);
void cli_manifest_clear(struct cli_manifest *m); /* harmless on a zeroed one */

/* Image k of the shard is (seed, this). */
uint64_t cli_manifest_index(const struct cli_manifest *m, size_t k);
size_t cli_manifest_missing(const struct cli_manifest *m);

/* Appends the first line, the line of image k, or all lines of a shard that is whole. */
int cli_manifest_head(const struct cli_manifest *m, struct buf *out, struct err *e);
int cli_manifest_line(const struct cli_manifest *m, size_t k, struct buf *out, struct err *e);
int cli_manifest_text(const struct cli_manifest *m, struct buf *out, struct err *e);

/* Reads lines; `path` names them in errors. A last line without its end is left out, as a process
 * that was killed may leave one. ERR_INPUT for what is no manifest. Images without a line are not
 * there. */
int cli_manifest_read(const char *text, size_t length, const char *path, struct cli_manifest *out,
                      struct err *e);

/* The same of the first line alone: who the whole is, and no images. */
int cli_manifest_read_head(const char *text, size_t length, const char *path,
                           struct cli_manifest *out, struct err *e);

/* Whether `found` (of the file `path`) belongs to the same whole as `wanted`, and with `same_shard`
 * is the same shard; else ERR_INPUT with what differs. */
int cli_manifest_compare(const struct cli_manifest *found, const struct cli_manifest *wanted,
                         bool same_shard, const char *path, struct err *e);

/* The text of the seed rule that the PNG of image k holds. */
int cli_manifest_rule(const struct cli_manifest *m, size_t k, struct buf *out, struct err *e);

#endif
