/* The page at "/": one file, compiled in. It asks only this server, and its policy lets nothing run
 * but its own script. */
#include "api_handlers.h"
#include "api_lookup.h"

extern const unsigned char api_page[];
extern const size_t api_page_length;
extern const char api_page_policy[], api_page_tag[];

void api_page_answer(struct http_app *app, const struct http_request *q, struct http_reply *r)
{
    (void)app;
    http_reply_header(r, "ETag", "\"%s\"", api_page_tag);
    http_reply_header(r, "Cache-Control", "no-cache"); /* kept, but asked about each time */
    r->cachable = true;
    if (api_lookup_matches(q->if_none_match, api_page_tag)) {
        r->status = 304;
        return;
    }
    http_reply_constant(r, "text/html; charset=utf-8", api_page, api_page_length);
    http_reply_header(r, "Content-Security-Policy", "%s", api_page_policy);
    http_reply_header(r, "X-Content-Type-Options", "nosniff");
    http_reply_header(r, "Referrer-Policy", "no-referrer");
}
