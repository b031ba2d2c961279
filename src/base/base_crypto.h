/* SHA-256, HMAC and base64, by GnuTLS (which the HTTP library loads anyway and which uses the
 * processor's SHA instructions), and random bytes from the system. The HTTP side of
 * GnuTLS is base_tls.h's. */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include "base_buf.h"
#include <stddef.h>
#include <sys/types.h>

#define SHA256_HEX_SIZE 65 /* 64 hexadecimal digits and a NUL */

/* Lower-case hexadecimal digest of `length` bytes. */
int sha256_hex(const void *data, size_t length, char out[SHA256_HEX_SIZE], struct err *e);
/* The same of an open file, and of one by its path; read in pieces. */
struct file_reader;
int sha256_reader_hex(const struct file_reader *r, char out[SHA256_HEX_SIZE], struct err *e);
int sha256_file_hex(const char *path, char out[SHA256_HEX_SIZE], struct err *e);
/* The digest itself, 32 bytes. */
int sha256(const void *data, size_t length, unsigned char out[32], struct err *e);

/* HMAC-SHA-256 (RFC 2104) of `length` bytes, in lower-case hexadecimal. */
int hmac_sha256_hex(const void *key, size_t key_length, const void *data, size_t length,
                    char out[SHA256_HEX_SIZE], struct err *e);
/* Whether `length` bytes are the same, in a time that does not tell where they differ: for
 * digests of secrets and signatures. */
bool secret_equal(const void *a, const void *b, size_t length);
/* Unpredictable bytes from the system, at most 256; waits for its randomness after a boot. */
int random_bytes(void *out, size_t length, struct err *e);

/* Appends the padded base64 of `length` bytes, without line breaks. */
int base64_append(struct buf *out, const void *data, size_t length, struct err *e);
/* Appends the bytes that padded base64 stands for. ERR_INPUT for anything else: another character,
 * a blank, missing or misplaced padding, or bits behind the last byte that are not 0. */
int base64_read(struct buf *out, const char *text, size_t length, struct err *e);

/* Sends bytes on an open TLS session (a gnutls_session_t), whose thread must be the caller's.
 * Returns how many went out, or -1 when none can at once. */
ssize_t tls_send(void *session, const void *data, size_t length);

#endif
