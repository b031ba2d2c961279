/* The reference's weights as plain tensors: a safetensors file whose tensors are called
 * weights.NAME and whose __metadata__ has the configuration as JSON under "config". Internal to the
 * room; one thread at a time. */
#ifndef IMPORT_PLAIN_H
#define IMPORT_PLAIN_H

#include "import_table.h"

struct import_plain;
/* Whether the bytes look like a safetensors file; -1 where they cannot be looked at. */
int import_plain_is(const char *path, bool *is, struct err *e);
struct import_plain *import_plain_open(const char *path, struct err *e);
void import_plain_close(struct import_plain *w);
/* The tensors, without "weights."; others of the file are no part of it. */
struct import_source import_plain_source(struct import_plain *w);
/* The configuration, owned by the file. */
const json_t *import_plain_config(const struct import_plain *w);
const char *import_plain_sha256(struct import_plain *w, struct err *e);

#endif
