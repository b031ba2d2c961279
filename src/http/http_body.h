/* A request's body as JSON: 400 when it cannot be parsed; everything after that is 422. */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include "base_buf.h"
#include "http_problem.h"

/* Parses the body, any JSON value. The parser has no numbers beyond 64 bits (or beyond the largest
 * double) and would call them a syntax error, which they are not: such numbers are first
 * overwritten in place by a null of the same width, so that whoever reads the field refuses its
 * type under its own pointer, and positions in messages stay true. New reference, or NULL with a
 * problem set. */
json_t *http_body_parse(struct buf *body, struct http_problem *p);

/* Copies `length` bytes of `text` (in a struct buf, so a NUL ends it) with every integer beyond 63
 * bits as a string of its digits, for readers that take those. 0, or -1 when memory ran out. */
int http_body_quote_numbers(const unsigned char *text, size_t length, struct buf *out);

/* The overwriting alone; how many numbers it hit. */
size_t http_body_mask_numbers(unsigned char *text, size_t length);

#endif
