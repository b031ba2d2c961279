/* A request's body as JSON: 400 when it cannot be parsed, 413 when it holds more values than
 * `bound` says; everything after that is 422. */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include "base_buf.h"
#include "http_problem.h"

/* Of fields: a few dozen, and up to n_max images. */
struct json_bound http_body_fields(size_t n_max);
/* Of tensors, whose values may stand in the text: what 1 MiB holds of them, in nested arrays. */
static const struct json_bound http_body_tensors = {1u << 20, 1u << 16};

/* Parses the body, any JSON value. The parser has no numbers beyond 64 bits (or beyond the largest
 * double) and would call them a syntax error, which they are not: such numbers are first
 * overwritten in place by a null of the same width, so that whoever reads the field refuses its
 * type under its own pointer, and positions in messages stay true. New reference, or NULL with a
 * problem set. */
json_t *http_body_parse(struct buf *body, struct json_bound bound, struct http_problem *p);

/* Parses the first `length` bytes of the body, which stays as it is. Numbers that the parser cannot
 * hold become strings of their text: for readers that take integers to 2^64 - 1, and for those to
 * whom null means that a field is absent. */
json_t *http_body_parse_whole(const struct buf *body, size_t length, struct json_bound bound,
                              struct http_problem *p);

/* The overwriting alone; how many numbers it hit. */
size_t http_body_mask_numbers(unsigned char *text, size_t length);

/* The end of the JSON number that starts at `at`, or `at` when there is none; whether it is written
 * as an integer. */
size_t http_body_number_end(const unsigned char *text, size_t at, size_t length, bool *integral);

#endif
