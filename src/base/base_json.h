/* JSON, by jansson, with one set of rules for everybody: duplicate keys, NUL and trailing bytes are
 * refused, depth and size are limited, and 64-bit integers never pass through a double.
 * The only header that includes jansson's; use json_t through it. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base_buf.h"
#include <jansson.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 64

/* How many values a text may hold, those within others and the whole included. A value of two bytes
 * of text takes some 50 in memory and an empty object of three 250, so each use says what it can
 * need. An array or object counts once more where it is empty. */
struct json_bound {
    size_t values, groups; /* groups: those of them that are arrays and objects */
};
/* Of descriptions, settings and all else that is written for one model: 8 MB at most. */
static const struct json_bound json_bound_usual = {65536, 16384};

/* Parses exactly one value of any type from `length` bytes. `what` names the source in errors
 * (ERR_INPUT; the text has line and column). Duplicate keys are an error that names the key.
 * Depth and number of values are checked before parsing, the second against json_bound_usual or
 * `bound` (ERR_LIMIT). Returns a new reference or NULL. */
json_t *json_parse(const void *data, size_t length, const char *what, struct err *e);
json_t *json_parse_bounded(const void *data, size_t length, struct json_bound bound,
                           const char *what, struct err *e);

/* A JSON string of text that may not be UTF-8 (cut in the middle of a character, or never was):
 * then every byte beyond ASCII becomes '?'. New reference or NULL. */
json_t *json_text(const char *text);

/* A number to 2^64 - 1: an integer up to 2^63 - 1, which is what JSON readers hold, else its digits
 * as a string. New reference or NULL. */
json_t *json_u64(uint64_t value);
/* The same read: an integer from 0, or a string of decimal digits without zeros before them. False,
 * and *out as it was, for anything else. */
bool json_u64_read(const json_t *value, uint64_t *out);

/* err_fail for a value that was not made: for want of memory, if an allocation of jansson's or of
 * this file's failed in this thread since json_fail or json_parse looked last, else as it is said
 * here. */
int json_fail(struct err *e, enum err_code code, const char *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Making values. Each takes both references over and gives one back, or NULL when either is NULL or
 * memory ran out, and then both are freed. So one missing value makes the whole missing, however it
 * was put together, and no result can be forgotten: without it there is nothing to go on with.
 *
 *     o = json_with(o, "n", json_integer(3));
 *     list = json_plus(list, o); */
json_t *json_with(json_t *object, const char *key, json_t *value)
    __attribute__((warn_unused_result));
json_t *json_plus(json_t *array, json_t *item) __attribute__((warn_unused_result));

/* jansson's text of `value`, to be freed: json_dumps, which leaves out a member that memory is
 * short for, and says nothing. NULL: ERR_MEMORY. */
char *json_dumped(const json_t *value, size_t flags, struct err *e);

/* Appends the compact text of `value`; real numbers as the shortest text that reads back the same,
 * independent of locale. Non-finite numbers cannot occur in a json_t. */
int json_append(struct buf *out, const json_t *value, size_t flags, struct err *e);

/* Members of an object by key. Absent: returns 0 and leaves *out alone when `required` is false.
 * Wrong type, not integral, non-finite or out of [min, max]: -1, the error names `what` and key. */
int json_get_int(const json_t *object, const char *key, bool required, int64_t min, int64_t max,
                 int64_t *out, const char *what, struct err *e);
int json_get_real(const json_t *object, const char *key, bool required, double min, double max,
                  double *out, const char *what, struct err *e);
int json_get_bool(const json_t *object, const char *key, bool required, bool *out, const char *what,
                  struct err *e);
/* The string stays owned by the object. */
int json_get_string(const json_t *object, const char *key, bool required, const char **out,
                    const char *what, struct err *e);
/* Refuses members that are not among the `n` known keys. */
int json_only_keys(const json_t *object, const char *const *keys, size_t n, const char *what,
                   struct err *e);

#endif
