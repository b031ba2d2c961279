/* Text from outside, made fit to be shown: valid UTF-8, and nothing that a terminal or a reader of
 * lines would obey. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the UTF-8 sequence that starts at `s` (RFC 3629: no surrogates, nothing overlong), 0 if
 * it is none. `s` ends with a NUL, which counts as a sequence of one. */
size_t text_sequence(const char *s);
/* Whether the valid sequence of `step` bytes at `s` is a control character (C0, DEL, C1) or one
 * that ends lines or turns the direction of writing (U+2028 to U+202E, U+2066 to U+2069). */
bool text_is_control(const char *s, size_t step);
/* The code point of a valid sequence. */
unsigned text_code_point(const char *s, size_t step);

/* Each writes a terminated string of at most `size` - 1 bytes and returns its length. What does not
 * fit is left out from a character on, never in the middle of one. */

/* The text with '?' for each byte that is no UTF-8. */
size_t text_copy(char *out, size_t size, const char *text);
/* The text with "\n", "\xNN" and "\uNNNN" for control characters and for bytes that are no UTF-8;
 * `quoted` escapes '"' and '\' too. */
size_t text_escape(char *out, size_t size, const char *text, bool quoted);
/* Overwrites each byte that text_escape would escape without `quoted` by '?'. */
void text_make_printable(char *text);

/* The whole word as a number, in every locale alike; false, and *out as it was, for anything else:
 * no space, no other base, no overflow, nothing that is not finite. */
bool text_digits(const char *word, uint64_t *out); /* digits alone, up to UINT64_MAX */
bool text_integer(const char *word, int64_t *out); /* digits, "-" before them or not */
bool text_real(const char *word, double *out);     /* a number without a sign, such as 1e-4 */

#endif
