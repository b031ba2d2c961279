/* Answers past the HTTP library.
 *
 * The library takes an answer only before a body or after it, so one that never ends or stops
 * coming could not be told why the connection closes; nor could a head on which the library gives
 * up. The library's own thread is in one of its callbacks here and the socket is still open, so
 * nobody else writes to it. What does not go out at once is given up: a client that does not read
 * gets the end alone. */
#include "http_last_word.h"

#include "base_crypto.h"

#include <microhttpd.h>
#include <sys/socket.h>

static int put_reply(const struct http_reply *r, struct buf *out)
{
    int result = buf_format(out, NULL, "HTTP/1.1 %u %s\r\n", r->status,
                            MHD_get_reason_phrase_for(r->status));
    for (size_t i = 0; i < r->header_count && result == 0; i++)
        result = buf_format(out, NULL, "%s: %s\r\n", r->headers[i].name, r->headers[i].value);
    return result != 0 ||
           buf_format(out, NULL, "Content-Length: %zu\r\n\r\n", r->body.length) != 0 ||
           buf_append(out, r->body.data, r->body.length, NULL) != 0; /* a problem: no constant */
}

bool http_last_word(const struct http_reply *reply, const struct http_connection *connection,
                    void *tls)
{
    struct buf out;
    ssize_t sent = -1;
    buf_init(&out, HTTP_REPLY_BODY_MAX);
    bool ready = put_reply(reply, &out) == 0;
    if (ready && connection->plain)
        sent = send(connection->fd, out.data, out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    else if (ready && tls)
        sent = tls_send(tls, out.data, out.length);
    bool whole = sent >= 0 && (size_t)sent == out.length;
    buf_clear(&out);
    return whole;
}
