/* What a family adds to a description, and what its files share. Internal to the room. */
#ifndef CKPT_DESCRIPTION_KEYS_H
#define CKPT_DESCRIPTION_KEYS_H

#include "ckpt_arch.h"

/* What one family adds to the keys that all descriptions have (version, family, labels,
 * provenance). */
#define CKPT_SCHEMA_KEYS_MAX 24
struct ckpt_schema {
    const char *family;      /* the word */
    const char *const *keys; /* up to CKPT_SCHEMA_KEYS_MAX, NULL behind the last */
    /* Reads and checks them; the error names the key. Labels have been read. */
    int (*read)(const json_t *root, struct ckpt_description *d, const char *what, struct err *e);
    /* Adds them to `root`; -1 when memory is short or a number is not finite. */
    int (*write)(const struct ckpt_description *d, json_t *root);
    struct image_shape (*shape)(const struct ckpt_description *d);
};
extern const struct ckpt_schema ckpt_schema_pfgm;
extern const struct ckpt_schema ckpt_schema_exact;
extern const struct ckpt_schema ckpt_schema_pfgmpp;

/* The member "tuned", an array of {"method", "nodes"}, once t_max and t_min are known; and back, a
 * new array or NULL when memory is short. */
int ckpt_tuned_read(const json_t *tuned, struct ckpt_description *d, const char *what,
                    struct err *e);
json_t *ckpt_tuned_json(const struct ckpt_description *d);

/* 0 < t_min < t_max; the error uses the source's words for both. */
int ckpt_description_check_planes(const struct ckpt_description *d, const char *t_max_key,
                                  const char *t_min_key, const char *what, struct err *e);

/* How the values of a learned PFGM field fit together, whatever the source calls them. */
int ckpt_description_check(const struct ckpt_description *d, const char *t_max_key,
                           const char *t_min_key, const char *norm_max_key, const char *what,
                           struct err *e);

#endif
