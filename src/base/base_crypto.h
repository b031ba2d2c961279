/* SHA-256 and base64, by GnuTLS (which the HTTP library loads anyway and which uses the processor's
 * SHA instructions). The only file that sees its headers. */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include "base_buf.h"
#include <stddef.h>

#define SHA256_HEX_SIZE 65 /* 64 hexadecimal digits and a NUL */

/* Lower-case hexadecimal digest of `length` bytes. */
int sha256_hex(const void *data, size_t length, char out[SHA256_HEX_SIZE], struct err *e);
/* The same of a file, in pieces. */
int sha256_file_hex(const char *path, char out[SHA256_HEX_SIZE], struct err *e);

/* Appends the padded base64 of `length` bytes, without line breaks. */
int base64_append(struct buf *out, const void *data, size_t length, struct err *e);

#endif
