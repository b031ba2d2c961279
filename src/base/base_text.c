/* One walk over UTF-8 for all who show what came from outside: names in errors, values in the log,
 * texts in pictures. */
#include "base_text.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t text_sequence(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    static const unsigned smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t step = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (step == 1)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < step; i++)
        if ((s[i] & 0xc0) != 0x80) /* a NUL too: nothing is read behind it */
            return 0;
    unsigned point = text_code_point(text, step);
    if (point < smallest[step] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    return step;
}

unsigned text_code_point(const char *s, size_t step)
{
    static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned point = (unsigned char)s[0] & lead[step];
    for (size_t i = 1; i < step; i++)
        point = point << 6 | ((unsigned char)s[i] & 0x3fu);
    return point;
}

bool text_is_control(const char *s, size_t step)
{
    unsigned point = text_code_point(s, step);
    return point < 0x20 || (point >= 0x7f && point < 0xa0) ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
}

size_t text_copy(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (size_t step; *text; text += step ? step : 1) {
        step = text_sequence(text);
        if (used + (step ? step : 1) >= size)
            break;
        if (step)
            memcpy(out + used, text, step);
        else
            out[used] = '?';
        used += step ? step : 1;
    }
    out[used] = '\0';
    return used;
}

/* The escape of the sequence at `s` (0: of a byte that is none); empty when it needs none. */
static void escape_one(char out[8], const char *s, size_t step, bool quoted)
{
    static const char letters[] = "tn..r"; /* of 9, 10 and 13 */
    out[0] = '\0';
    if (step == 1 && (*s == '\t' || *s == '\n' || *s == '\r'))
        snprintf(out, 8, "\\%c", letters[*s - '\t']);
    else if (step == 0 || (step == 1 && text_is_control(s, 1)))
        snprintf(out, 8, "\\x%02x", (unsigned)(unsigned char)*s);
    else if (text_is_control(s, step))
        snprintf(out, 8, "\\u%04x", text_code_point(s, step) & 0xffff);
    else if (quoted && (*s == '"' || *s == '\\'))
        snprintf(out, 8, "\\%c", *s);
}

size_t text_escape(char *out, size_t size, const char *text, bool quoted)
{
    size_t used = 0;
    char escape[8];
    for (size_t step; *text; text += step ? step : 1) {
        step = text_sequence(text);
        escape_one(escape, text, step, quoted);
        const char *from = escape[0] ? escape : text;
        const size_t length = escape[0] ? strlen(escape) : step;
        if (used + length >= size)
            break;
        memcpy(out + used, from, length);
        used += length;
    }
    out[used] = '\0';
    return used;
}

void text_make_printable(char *text)
{
    for (size_t step; *text; text += step ? step : 1) {
        step = text_sequence(text);
        if (step == 0)
            *text = '?';
        else if (text_is_control(text, step))
            memset(text, '?', step);
    }
}

bool text_digits(const char *word, uint64_t *out)
{
    uint64_t value = 0;
    if (*word == '\0')
        return false;
    for (; *word; word++)
        if (*word < '0' || *word > '9' || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*word - '0'), &value))
            return false;
    *out = value;
    return true;
}

bool text_integer(const char *word, int64_t *out)
{
    const bool negative = word[0] == '-';
    uint64_t size;
    if (!text_digits(word + negative, &size) || size > INT64_MAX)
        return false;
    *out = negative ? -(int64_t)size : (int64_t)size;
    return true;
}

/* A host program of the library may have set a locale whose decimal sign is a comma. */
static locale_t plain_locale;

static void find_plain_locale(void)
{
    plain_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* takes no memory */
}

bool text_real(const char *word, double *out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const bool digits_first = (word[0] >= '0' && word[0] <= '9') || word[0] == '.';
    char *end = NULL;
    double value = 0;
    /* The set of characters keeps out "0x1p3", "inf", "nan" and leading space. */
    pthread_once(&once, find_plain_locale);
    if (plain_locale && digits_first && strspn(word, "0123456789.eE+-") == strlen(word))
        value = strtod_l(word, &end, plain_locale);
    if (!end || *end != '\0' || !isfinite(value))
        return false;
    *out = value;
    return true;
}
