/* A request as its head says it, parsed as far as HTTP goes, and its body once that has come.
 * Nothing here has been judged by what it asks for. */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "http_form.h"
#include "http_front.h"
#include "http_keys.h"
#include "http_target.h"

struct api_route;

/* What a body is. */
enum http_media { HTTP_MEDIA_JSON, HTTP_MEDIA_PNG, HTTP_MEDIA_NPY, HTTP_MEDIA_FORM };

#define HTTP_ID_MAX 128
#define HTTP_NAMES_MAX 2

struct http_request {
    char id[HTTP_ID_MAX + 1]; /* the client's X-Request-Id when it is sane, else drawn */
    struct http_target target;
    const struct api_route *route;
    char names[HTTP_NAMES_MAX][HTTP_PATH_MAX]; /* the decoded variable segments of the path */
    bool has_accept;
    char accept[1024];        /* all Accept fields */
    char if_none_match[1024]; /* all of these fields, or empty */
    char if_match[256];       /* likewise */
    char trace[64];           /* trace-id and parent-id of a valid traceparent, or empty */
    char origin[256];         /* an Origin that may read the answer, or empty */
    char client[HTTP_KEY_NAME_MAX + 1]; /* the name of the key that was shown, or empty */
    bool by_link;                       /* it was shown by a signed link */
    /* Where the client reached the server, as far as that is known: public_url, or what a trusted
     * proxy says, or the Host field when it is a plain one. */
    char scheme[8];
    char host[HTTP_HOST_MAX + 1];     /* or empty */
    char prefix[HTTP_PREFIX_MAX + 1]; /* before all paths, or empty */
    bool foreign;              /* a web page of another origin sent it, and is none that may ask */
    char inference_length[32]; /* Inference-Header-Content-Length, or empty */
    char idempotency_key[256]; /* or empty */
    char last_event_id[24];    /* or empty */
    char prefer[256];          /* all of these fields, or empty */
    enum http_media media;
    struct buf body;
    struct http_form form; /* of HTTP_MEDIA_FORM, in the place of the body */
};

#endif
