/* Addresses: where to listen, and the little client behind --health. */
#ifndef DAEMON_ADDRESS_H
#define DAEMON_ADDRESS_H

#include "base_err.h"
#include <stdint.h>

struct daemon_address {
    char host[240]; /* without brackets */
    uint16_t port;
};
/* Splits "ADDRESS:PORT" or "[ADDRESS]:PORT", port 0 to 65535. */
int daemon_address_parse(const char *text, struct daemon_address *out, struct err *e);

/* A bound and listening, non-blocking stream socket; ERR_IO names the address and the reason.
 * `shown` [size] becomes the address with the port that was really taken. */
int daemon_address_listen(const struct daemon_address *a, char *shown, size_t size, struct err *e);

/* The same for a unix socket of mode 0660 at `path`. One that nobody listens on any more is
 * replaced. */
int daemon_address_listen_unix(const char *path, struct err *e);

/* GET /readyz with a time limit of three seconds in all: 0 when the answer is 200. Where plain HTTP
 * is not answered and the address is on loopback, by TLS, whose certificate is not looked at. */
int daemon_address_probe(const struct daemon_address *a, struct err *e);
/* The same of the admin socket at `path`. */
int daemon_address_probe_unix(const char *path, struct err *e);

#endif
