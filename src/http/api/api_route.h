/* The table of routes: which path leads where, on which listener, and by which interface.
 *
 * A request arrives here complete and parsed as far as HTTP goes; a handler fills a reply. Handlers
 * run on the server's threads and never wait; large bodies are read on a thread of their own
 * (http_reader.h), and work is handed to the engine through a ticket. */
#ifndef API_ROUTE_H
#define API_ROUTE_H

#include "api_handlers.h"

struct api_dialect;

#define API_LARGE_BODY_MAX ((size_t)64 << 20)

enum { HTTP_PUBLIC = 1, HTTP_ADMIN = 2 }; /* listeners */

struct api_route {
    const char *path;                  /* a segment "*" stands for any one that is not empty */
    const char *label;                 /* in the metrics and in the OpenAPI document */
    const char *allow;                 /* the methods, as in the Allow field */
    unsigned where;                    /* on which listeners */
    bool work;                         /* needs a loaded model and goes through the engine */
    bool writes;                       /* like work not for a read-only key, but answered at once */
    bool free;                         /* needs no key */
    bool polled;                       /* asked again and again: good answers are not logged */
    bool linked;                       /* signed links lead here, and are as good as a key */
    bool has_body;                     /* read into the request: JSON, or what the dialect takes */
    const struct api_dialect *dialect; /* how it says requests and problems; NULL: only ours */
    api_opener *stream;  /* of routes that answer in pieces, and wait for what is not there yet */
    api_waiter *wait;    /* of routes whose answer may be waited for */
    api_handler *answer; /* of routes that answer at once */
    const char *method;  /* the one that the row is for; NULL: all that no row above it is for */
};

/* Whose problems are said at a raw target that is a route's path or lies below it, whatever is wrong
 * with it; NULL: ours. */
const struct api_dialect *api_route_speaks(unsigned where, const char *target);
/* Finds the route of a raw path on a listener, by exact comparison; fills `names` where it has
 * variable segments. NULL: 404. */
const struct api_route *api_route_find(unsigned where, const char *path,
                                       char names[HTTP_NAMES_MAX][HTTP_PATH_MAX]);
/* The row of the same path that is for the method, where a path has several. NULL is taken. */
const struct api_route *api_route_for(const struct api_route *route, const char *method);
/* Its place in the table, which rows of one path share; HTTP_ROUTES_MAX - 1 for NULL. */
size_t api_route_number(const struct api_route *route);
/* Labels by place, for the metrics. */
const char *const *api_route_labels(void);
/* Checks the method against the route: 0, or -1 with 405 (and what is allowed) or 501 for a method
 * that HTTP does not know. `route` may be NULL. *options is set for a plain OPTIONS. */
int api_route_method(const struct api_route *route, const char *method, bool *options,
                     struct http_problem *p);
const char *api_route_allow(const struct api_route *route);

/* The most bytes that its body may have. */
size_t api_route_body_max(const struct http_app *app, const struct api_route *route);

#endif
