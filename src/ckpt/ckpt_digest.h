/* A digest of a file's data section, kept in its own metadata, which finds weights that were
 * damaged on their journey. It is the SHA-256 of the SHA-256s of the section's pieces of 1 MiB, so
 * that all processors can work on it. Internal to the room. */
#ifndef CKPT_DIGEST_H
#define CKPT_DIGEST_H

#include "base_crypto.h"

/* The metadata's key, and what its value begins with; 64 hexadecimal digits follow. */
#define CKPT_DIGEST_KEY "data_digest"
#define CKPT_DIGEST_KIND "sha256-1MiB:"
#define CKPT_DIGEST_SIZE (sizeof CKPT_DIGEST_KIND - 1 + SHA256_HEX_SIZE)

/* Bytes [at, at + length) of the section; called by several threads at once. */
typedef int ckpt_digest_read(void *context, size_t at, size_t length, void *out, struct err *e);

/* The value for a section of `length` bytes, taken on all processors. */
int ckpt_digest(size_t length, ckpt_digest_read *read, void *context, char out[CKPT_DIGEST_SIZE],
                struct err *e);

#endif
