/* The reference's weights as plain tensors: a safetensors file whose tensors are called
 * weights.NAME and whose __metadata__ has the configuration as JSON under "config". Internal to the
 * room; one thread at a time. */
#ifndef CKPT_PLAIN_H
#define CKPT_PLAIN_H

#include "ckpt_table.h"

struct ckpt_plain;
/* Whether the bytes look like a safetensors file. */
bool ckpt_plain_is(const char *path);
struct ckpt_plain *ckpt_plain_open(const char *path, struct err *e);
void ckpt_plain_close(struct ckpt_plain *w);
/* The tensors, without "weights."; others of the file are no part of it. */
struct ckpt_source ckpt_plain_source(struct ckpt_plain *w);
/* The configuration, owned by the file. */
const json_t *ckpt_plain_config(const struct ckpt_plain *w);
const char *ckpt_plain_sha256(struct ckpt_plain *w, struct err *e);

#endif
