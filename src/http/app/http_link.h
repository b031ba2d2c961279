/* Links: the address of one image of an answer, as GET /v1/images/{seed}/{index} takes it.
 *
 * Where keys are needed a link carries its own permission, as whoever follows it (a browser, an
 * <img>) has no key to show: the name of the key that asked, an end, and an HMAC-SHA-256 over path
 * and query as they stand. It proves that the key asked for this image; the image still counts
 * against that key, and a key that is taken away takes its links with it. A changed byte, another
 * image or a later hour is 403. What came by a link is answered without a new one: else a link
 * would renew itself for ever.
 *
 * The secret is drawn when the process starts, so that links end with it; a file makes them last,
 * and lets several servers honour each other's. It is not made of the keys' digests: who may read
 * those must not be able to sign. One mutex guards the secret; everything else is pure. */
#ifndef HTTP_LINK_H
#define HTTP_LINK_H

#include "http_problem.h"

#include "base_crypto.h"
#include "engine.h"
#include <pthread.h>

#define HTTP_LINK_MAX                                                                              \
    1400 /* bytes of a link without its base: path and query have their limits                     \
          */
#define HTTP_LINK_SECRET_MIN 16 /* bytes of the file */
#define HTTP_LINK_SECRET_MAX 4096

struct http_app;
struct http_request;

struct http_links {
    pthread_mutex_t lock;
    char secret[SHA256_HEX_SIZE]; /* the key of the HMAC */
    int lifetime_s;
};

void http_links_init(struct http_links *l, int lifetime_s);
void http_links_clear(struct http_links *l);
/* Takes the secret from a file (any HTTP_LINK_SECRET_MIN to _MAX bytes); NULL or empty: draws one,
 * unless there is one already. -1: ERR_INPUT or ERR_IO with the path, and nothing has changed. */
int http_links_read(struct http_links *l, const char *path, struct err *e);

/* The link of image `index` of an order, as a PNG: a path with a query, signed when the client
 * showed a key. There is none of a sheet, of an image of given latents, and for a request that came
 * by such a link itself; FAILED is want of memory. */
enum http_link_made { HTTP_LINK_MADE, HTTP_LINK_NONE, HTTP_LINK_FAILED };
enum http_link_made http_link_make(struct http_app *app, const struct http_request *q,
                                   const struct engine_order *order, uint64_t index,
                                   char out[HTTP_LINK_MAX]);
/* Whether the query says that it is signed. */
bool http_link_is_signed(const struct http_request *q);
/* Judges a signed link where keys are needed: 0 with the key's name in q->client, else 403, or 429
 * beyond the key's rate. */
int http_link_judge(struct http_app *app, struct http_request *q, struct http_problem *p);
/* Takes what signs a link out of the query, so that the rest reads like any other. */
void http_link_strip(struct http_request *q);

#endif
