/* Text as people mean it, for comparing words: without case and without what only looks different.
 * The tables are libunistring's, whose headers appear in base_unicode.c alone. */
#ifndef BASE_UNICODE_H
#define BASE_UNICODE_H

#include "base_err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool unicode_is_utf8(const char *text);

struct unicode_text {
    uint32_t *points; /* [length] code points; owned */
    size_t length;
};

/* `text` (UTF-8) with full case folding ("GRÖßE" is "grösse") in the composed compatibility form,
 * and with one blank for whatever stands between words: runs of blanks, dashes and low lines; none
 * at its ends. ERR_INPUT where it is not UTF-8, ERR_MEMORY. */
int unicode_fold(const char *text, struct unicode_text *out, struct err *e);
void unicode_clear(struct unicode_text *text);

/* Whether one word ends and another may begin between two neighbours of a folded text: one of them
 * is no letter and no digit, or is of a script that puts no blanks between words (Han, Hiragana,
 * Katakana, Thai, Lao, Khmer, Burmese). Never before a mark, which belongs to what it follows. */
bool unicode_word_ends(uint32_t before, uint32_t after);

#endif
