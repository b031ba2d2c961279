/* The memory that all connections share: for bodies that are coming in, and for answers until they
 * have been read.
 *
 * A body up to HTTP_READ_AT_ONCE is nobody's concern. What comes beyond that takes room: one up to
 * the usual limit of a body (http_options.body_max) of that for usual ones, and a larger one of
 * that for large ones, of which there are only a few besides. An answer of work takes its room
 * before that begins; any other one, above HTTP_SENT_AT_ONCE, before it is sent, and these have
 * room of their own. Without this each of thousands of connections could hold a body that it never
 * ends, or an answer that it never reads. Where all is taken, who stopped or trickles gives way. */
#ifndef HTTP_ROOM_H
#define HTTP_ROOM_H

#include "http_wait.h"

#define HTTP_LARGE_BODIES 4
#define HTTP_USUAL_ROOM ((size_t)64 << 20)
#define HTTP_LARGE_ROOM ((size_t)64 << 20)
#define HTTP_ANSWER_ROOM ((size_t)64 << 20)
#define HTTP_SENT_AT_ONCE 16384           /* bytes of an answer that is nobody's concern */
#define HTTP_RATE_WINDOW_NS 2000000000    /* in which a body's rate is taken */
#define HTTP_LEAST_RATE ((size_t)1 << 20) /* bytes per second, of a body that others wait for */
/* Without taking more of its answer, while others wait for its room. */
#define HTTP_STALLED_NS 1000000000

/* Bytes that are taken. */
struct http_room {
    size_t usual, large; /* by bodies */
    size_t work, told;   /* by answers */
};
struct http_room http_room_taken(struct http_wait *w);

/* So many bytes of a body have come; false when the connection was cut. */
bool http_room_body_came(struct http_wait *w, struct http_connection *c, size_t bytes);
/* Room for so many bytes more of a body that is usual or, from now on, large. Where there is none,
 * the slowest of its kind that does not come at HTTP_LEAST_RATE is cut. False when all of them are
 * well under way. */
bool http_room_take_body(struct http_wait *w, struct http_connection *c, size_t bytes, bool large);
/* Gives back what the body has, if it has anything. */
void http_room_leave_body(struct http_wait *w, struct http_connection *c);

/* Room for the answer of work, of about so many bytes, of `most` for all of them together, or of
 * HTTP_ANSWER_ROOM if that is more. Where there is none, those who have not read for longest are
 * cut. False when nobody stalls. */
bool http_room_take_answer(struct http_wait *w, struct http_connection *c, size_t bytes,
                           size_t most);
/* An answer of so many bytes is about to be sent: one that has room keeps no more than that, and
 * one that has none takes it of that for answers without work. False when there is none. */
bool http_room_send_answer(struct http_wait *w, struct http_connection *c, size_t bytes);
void http_room_leave_answer(struct http_wait *w, struct http_connection *c);

#endif
