/* TLS beside the HTTP library: the verdict on a certificate and its key, and a client that asks one
 * question. */
#ifndef BASE_TLS_H
#define BASE_TLS_H

#include "base_buf.h"

/* What servers of ours negotiate, in GnuTLS's words: TLS 1.2 and 1.3 with forward secrecy and
 * authenticated encryption, nothing else. */
#define TLS_PRIORITIES                                                                             \
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"                                                \
    ":-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA"                                                             \
    ":-CIPHER-ALL:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:-MAC-ALL:+AEAD"

/* Whether a server can be started with this certificate (chain) and key, both PEM. ERR_INPUT names
 * the file at fault and the cause. */
int tls_check_pair(const struct buf *certificate, const char *certificate_name,
                   const struct buf *key, const char *key_name, struct err *e);

/* Sends `question` over TLS on a connected, non-blocking socket, without looking at the server's
 * certificate, and reads what comes until `size` - 1 bytes or the end; `answer` is terminated.
 * False when that takes until `end_ns` of clock_ns, or there is no TLS. */
bool tls_ask(int fd, int64_t end_ns, const char *question, char *answer, size_t size);

#endif
