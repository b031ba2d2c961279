/* Case folding, normal forms and scripts by libunistring, which GnuTLS brings along anyway. */
#include "base_unicode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

static bool separates(uint32_t point)
{
    return uc_is_property_white_space(point) || uc_is_property_dash(point) || point == '_';
}

/* In place: the runs of separators become single blanks, those at the ends nothing. */
static void join_words(struct unicode_text *text)
{
    size_t used = 0;
    for (size_t i = 0; i < text->length; i++) {
        if (!separates(text->points[i]))
            text->points[used++] = text->points[i];
        else if (used > 0 && text->points[used - 1] != ' ')
            text->points[used++] = ' ';
    }
    text->length = used > 0 && text->points[used - 1] == ' ' ? used - 1 : used;
}

bool unicode_is_utf8(const char *text)
{
    return !u8_check((const uint8_t *)text, strlen(text));
}

int unicode_fold(const char *text, struct unicode_text *out, struct err *e)
{
    const uint8_t *utf8 = (const uint8_t *)text;
    const size_t length = strlen(text);
    size_t folded_length = 0;
    *out = (struct unicode_text){0};
    if (!unicode_is_utf8(text))
        return err_fail(e, ERR_INPUT, "", "is not UTF-8");
    uint8_t *folded = u8_casefold(utf8, length, NULL, UNINORM_NFKC, NULL, &folded_length);
    if (folded)
        out->points = u8_to_u32(folded, folded_length, NULL, &out->length);
    free(folded);
    if (!out->points)
        return err_fail_memory(e, length * sizeof *out->points);
    join_words(out);
    return 0;
}

void unicode_clear(struct unicode_text *text)
{
    free(text->points);
    *text = (struct unicode_text){0};
}

static bool is_of_words(uint32_t point)
{
    return uc_is_property_alphabetic(point) || uc_is_general_category(point, UC_NUMBER);
}

static bool puts_no_blanks(uint32_t point)
{
    static const char *const scripts[] = {"Han", "Hiragana", "Katakana", "Thai",
                                          "Lao", "Khmer",    "Myanmar"};
    const uc_script_t *script = uc_script(point);
    for (size_t i = 0; script && i < sizeof scripts / sizeof *scripts; i++)
        if (strcmp(script->name, scripts[i]) == 0)
            return true;
    return false;
}

bool unicode_word_ends(uint32_t before, uint32_t after)
{
    if (uc_is_general_category(after, UC_MARK))
        return false;
    return !is_of_words(before) || !is_of_words(after) || puts_no_blanks(before) ||
           puts_no_blanks(after);
}
