/* The JSON header of a safetensors file as a table of checked tensors. Internal to the room.
 *
 * A header comes from outside and may be up to CKPT_HEADER_MAX long, so everything here is at most
 * n log n in the number of tensors and allocates only in proportion to what was already parsed. */
#ifndef CKPT_HEADER_H
#define CKPT_HEADER_H

#include "ckpt_safetensors.h"

struct ckpt_header {
    json_t *root;                /* owns every name and the metadata */
    const json_t *metadata;      /* an object of strings, or NULL */
    struct ckpt_tensor *tensors; /* in the order of their data */
    size_t *by_name;             /* indices of `tensors`, sorted by name */
    size_t count;
};

/* Parses `length` bytes of header text and checks every rule of the format: one JSON object and
 * then spaces only, no duplicate names, known dtypes, shapes that agree with their byte ranges, and
 * ranges that cover the `data_length` bytes of data without overlap or hole. The tensors' `file` is
 * left to the caller. `path` is named in errors. On failure `out` is left empty. */
int ckpt_header_parse(struct ckpt_header *out, const char *text, size_t length, size_t data_length,
                      const char *path, struct err *e);
void ckpt_header_clear(struct ckpt_header *header);

#endif
