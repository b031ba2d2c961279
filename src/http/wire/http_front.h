/* What stands in front of the server: the address under which clients know it, the names that it
 * answers to, and the proxies whose word about a client counts.
 *
 * Names. A browser can be led to send requests to a daemon on loopback under a foreign name, whose
 * address then becomes 127.0.0.1, and the foreign page reads the answers. So a listener on loopback
 * takes requests only for loopback names, for addresses (which no name server can turn), and for
 * names that are configured; one that others reach takes any name unless some are configured.
 *
 * Proxies. Forwarded (RFC 7239) or the X-Forwarded- fields are read only from peers that are
 * configured, and only as far as a trusted proxy wrote them: the list of addresses is walked from
 * its end until one that is not trusted, which is the client.
 *
 * Pure: texts in, texts out. */
#ifndef HTTP_FRONT_H
#define HTTP_FRONT_H

#include "http_guard.h"

#define HTTP_HOST_MAX 255
#define HTTP_PREFIX_MAX 200
#define HTTP_PROXIES_MAX 64

struct http_network {
    unsigned char address[16]; /* IPv4 as an address of IPv6 */
    int bits;
};

struct http_front {
    char scheme[8]; /* of public_url, or empty */
    char authority[HTTP_HOST_MAX + 1];
    char prefix[HTTP_PREFIX_MAX + 1]; /* "" or "/path" */
    const char *hosts;                /* not owned */
    struct http_network proxies[HTTP_PROXIES_MAX];
    size_t proxy_count;
};

/* Reads the settings; NULL or empty: none. `hosts` must outlive it. -1: ERR_INPUT with the name of
 * the setting that is wrong. */
int http_front_read(struct http_front *f, const char *public_url, const char *hosts,
                    const char *trusted_proxies, struct err *e);

/* Whether a Host field may come in on a listener. An empty one is no browser's. */
bool http_front_answers(const struct http_front *f, const char *host, bool loopback);

/* Whether a host, with or without a port, is this machine to those who name it so. */
bool http_front_is_loopback(const char *host);

/* Copies a host that is a name or an address with or without a port; else leaves `out` empty. */
void http_front_plain_host(const char *host, char out[HTTP_HOST_MAX + 1]);

/* What a client is said to have asked, and from where. Members that nobody told stay empty. */
struct http_forwarded {
    char address[48];
    char scheme[8];
    char host[HTTP_HOST_MAX + 1];
    char prefix[HTTP_PREFIX_MAX + 1];
};
/* Reads the fields of a request from `peer`; nothing when it is not trusted. -1: 400, when they
 * contradict each other or are cut, since then a client may have written what counts. */
int http_front_forwarded(const struct http_front *f, const char *peer,
                         const struct http_field *fields, size_t count, struct http_forwarded *out,
                         struct http_problem *p);

/* Cuts the prefix of public_url off a path that begins with it, for proxies that pass it on. */
void http_front_strip(const struct http_front *f, char *path);

/* Whether an Origin field is that of a page which came from this server: from the host that the
 * request names, or from public_url. */
bool http_front_is_own(const struct http_front *f, const char *origin, const char *host);

#endif
