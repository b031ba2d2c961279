/* SHA-256, HMAC and base64 by GnuTLS. */
#include "base_crypto.h"

#include "base_file.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define READ_PIECE ((size_t)256 << 10) /* bytes of a file at once; fits the second cache */

static void to_hex(const unsigned char digest[32], char out[SHA256_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = 0;
}

/* GnuTLS says of a hash for whose state it has no memory that hashing has failed. */
static int fail_hash(const char *name, int code, struct err *e)
{
    if (code == GNUTLS_E_MEMORY_ERROR || code == GNUTLS_E_HASH_FAILED)
        return err_fail(e, ERR_MEMORY, "", "out of memory for %s", name);
    return err_fail(e, ERR_INTERNAL, "", "%s failed: %s", name, gnutls_strerror(code));
}

int sha256(const void *data, size_t length, unsigned char out[32], struct err *e)
{
    int code = gnutls_hash_fast(GNUTLS_DIG_SHA256, data, length, out);
    return code < 0 ? fail_hash("SHA-256", code, e) : 0;
}

int sha256_hex(const void *data, size_t length, char out[SHA256_HEX_SIZE], struct err *e)
{
    unsigned char digest[32];
    if (sha256(data, length, digest, e) != 0)
        return -1;
    to_hex(digest, out);
    return 0;
}

/* Adds the whole file to the hash. */
static int hash_reader(gnutls_hash_hd_t hash, const struct file_reader *r, struct err *e)
{
    unsigned char *piece = malloc(READ_PIECE);
    int result = piece ? 0 : err_fail_memory(e, READ_PIECE);
    for (size_t at = 0; result == 0 && at < r->length; at += READ_PIECE) {
        size_t length = r->length - at < READ_PIECE ? r->length - at : READ_PIECE;
        result = file_reader_read(r, at, piece, length, e);
        int code = result == 0 ? gnutls_hash(hash, piece, length) : 0;
        if (code < 0)
            result = fail_hash("SHA-256", code, e);
    }
    free(piece);
    return result;
}

int sha256_reader_hex(const struct file_reader *r, char out[SHA256_HEX_SIZE], struct err *e)
{
    unsigned char digest[32];
    gnutls_hash_hd_t hash;
    int code = gnutls_hash_init(&hash, GNUTLS_DIG_SHA256);
    if (code < 0)
        return fail_hash("SHA-256", code, e);
    int result = hash_reader(hash, r, e);
    gnutls_hash_deinit(hash, digest);
    if (result == 0)
        to_hex(digest, out);
    return result;
}

int sha256_file_hex(const char *path, char out[SHA256_HEX_SIZE], struct err *e)
{
    struct file_reader r;
    if (file_reader_open(&r, path, e) != 0)
        return -1;
    int result = sha256_reader_hex(&r, out, e);
    file_reader_close(&r);
    return result;
}

int hmac_sha256_hex(const void *key, size_t key_length, const void *data, size_t length,
                    char out[SHA256_HEX_SIZE], struct err *e)
{
    unsigned char digest[32];
    int code = gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, key_length, data, length, digest);
    if (code < 0)
        return fail_hash("HMAC-SHA-256", code, e);
    to_hex(digest, out);
    return 0;
}

bool secret_equal(const void *a, const void *b, size_t length)
{
    return gnutls_memcmp(a, b, length) == 0;
}

int random_bytes(void *out, size_t length, struct err *e)
{
    ssize_t n;
    do
        n = getrandom(out, length, 0);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)length) /* up to 256 bytes come whole */
        return 0;
    return err_fail_errno(e, n < 0 ? errno : EIO, "getrandom", "draw random bytes");
}

int base64_append(struct buf *out, const void *data, size_t length, struct err *e)
{
    if (length == 0)
        return 0;
    if (length > UINT_MAX)
        return err_fail(e, ERR_LIMIT, "", "%zu bytes are too many for base64", length);
    const gnutls_datum_t in = {(unsigned char *)(uintptr_t)data, (unsigned)length};
    gnutls_datum_t text;
    int code = gnutls_base64_encode2(&in, &text);
    if (code < 0)
        return err_fail(e, ERR_MEMORY, "", "base64 failed: %s", gnutls_strerror(code));
    int result = buf_append(out, text.data, text.size, e);
    gnutls_free(text.data);
    return result;
}

/* Six bits of a character, or -1. */
static int sextet(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* Not GnuTLS's, which copies the text first and passes over blanks within it. */
int base64_read(struct buf *out, const char *text, size_t length, struct err *e)
{
    size_t padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    if (length % 4 != 0)
        return err_fail(e, ERR_INPUT, "", "is no base64: %zu characters are not whole groups of 4",
                        length);
    if (length == 0)
        return 0;
    const size_t bytes = length / 4 * 3 - padding;
    unsigned char *to = buf_reserve(out, bytes, e);
    if (!to)
        return -1;
    uint32_t bits = 0;
    size_t done = 0;
    for (size_t i = 0; i < length; i++) {
        const int six = i < length - padding ? sextet(text[i]) : 0;
        if (six < 0)
            return err_fail(e, ERR_INPUT, "", "is no base64: character %zu", i);
        bits = bits << 6 | (uint32_t)six;
        for (int k = 0; i % 4 == 3 && k < 3 && done < bytes; k++)
            to[done++] = (unsigned char)(bits >> (16 - 8 * k));
    }
    /* or the same bytes would have several texts */
    if ((bits & ((1u << 8 * padding) - 1)) != 0)
        return err_fail(e, ERR_INPUT, "",
                        "is no base64: its last character holds bits that no byte takes");
    out->length += bytes;
    return 0;
}

ssize_t tls_send(void *session, const void *data, size_t length)
{
    ssize_t sent = gnutls_record_send(session, data, length);
    return sent < 0 ? -1 : sent;
}
