/* Bodies. The mask walks the text once: strings are skipped, and what has the exact form of a JSON
 * number and stands where a number can stand is looked at; the rest is the parser's affair. */
#include "http_body.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(const unsigned char *text, size_t at, size_t length)
{
    return at < length && text[at] >= '0' && text[at] <= '9';
}

static size_t digits_end(const unsigned char *text, size_t at, size_t length)
{
    while (is_digit(text, at, length))
        at++;
    return at;
}

size_t http_body_number_end(const unsigned char *text, size_t at, size_t length, bool *integral)
{
    size_t c = at + (text[at] == '-');
    if (!is_digit(text, c, length))
        return at;
    c = text[c] == '0' ? c + 1 : digits_end(text, c, length);
    *integral = true;
    if (c < length && text[c] == '.') {
        if (!is_digit(text, c + 1, length))
            return at;
        c = digits_end(text, c + 1, length);
        *integral = false;
    }
    if (c < length && (text[c] == 'e' || text[c] == 'E')) {
        c++;
        if (c < length && (text[c] == '+' || text[c] == '-'))
            c++;
        if (!is_digit(text, c, length))
            return at;
        c = digits_end(text, c, length);
        *integral = false;
    }
    return c;
}

static bool stands_alone(const unsigned char *text, size_t end, size_t length)
{
    return end == length || (text[end] && strchr(" \t\r\n,]}", text[end]));
}

/* Whether the number cannot be held. `text` is followed by a NUL (struct buf), so the conversions
 * end; the process never sets a locale, so they know one decimal sign. */
static bool is_beyond_range(const unsigned char *number, bool integral)
{
    errno = 0;
    if (integral) {
        strtoll((const char *)number, NULL, 10);
        return errno == ERANGE;
    }
    return isinf(strtod((const char *)number, NULL));
}

struct number {
    size_t begin, end;
};

/* The next number from *at on that cannot be held; *at goes behind it. False when there is none. */
static bool next_beyond_range(const unsigned char *text, size_t length, size_t *at,
                              struct number *out)
{
    bool found = false;
    for (; *at < length && !found; (*at)++) {
        size_t c = *at;
        if (text[c] == '"') {
            for (c++; c < length && text[c] != '"'; c++)
                c += text[c] == '\\';
            *at = c;
            continue;
        }
        if (text[c] != '-' && !is_digit(text, c, length))
            continue;
        bool integral = false;
        size_t end = http_body_number_end(text, c, length, &integral);
        if (end - c >= 4 && stands_alone(text, end, length) &&
            is_beyond_range(text + c, integral)) {
            *out = (struct number){c, end};
            found = true;
        }
        /* The rest of a word that is no number is not looked at again. */
        while (c + 1 < length && !stands_alone(text, c + 1, length) && text[c + 1] != '"')
            c++;
        *at = c;
    }
    return found;
}

size_t http_body_mask_numbers(unsigned char *text, size_t length)
{
    struct number number;
    size_t hits = 0;
    for (size_t at = 0; next_beyond_range(text, length, &at, &number); hits++) {
        memcpy(text + number.begin, "null", 4);
        memset(text + number.begin + 4, ' ', number.end - number.begin - 4);
    }
    return hits;
}

/* Copies the text with such numbers as strings. */
static int quote_numbers(const unsigned char *text, size_t length, struct buf *out)
{
    struct number number;
    size_t done = 0, at = 0;
    int result = 0;
    while (result == 0 && next_beyond_range(text, length, &at, &number)) {
        result = buf_append(out, text + done, number.begin - done, NULL) != 0 ||
                 buf_string(out, "\"", NULL) != 0 ||
                 buf_append(out, text + number.begin, number.end - number.begin, NULL) != 0 ||
                 buf_string(out, "\"", NULL) != 0;
        done = number.end;
    }
    return result != 0 ? -1 : buf_append(out, text + done, length - done, NULL);
}

struct json_bound http_body_fields(size_t n_max)
{
    return (struct json_bound){1024 + n_max, 1024};
}

json_t *http_body_parse(struct buf *body, struct json_bound bound, struct http_problem *p)
{
    struct err e = {0};
    if (body->length == 0) {
        http_problem_set(p, HTTP_PROBLEM_MALFORMED_JSON,
                         "the body is empty; send at least {} for all defaults");
        return NULL;
    }
    http_body_mask_numbers(body->data, body->length);
    json_t *value = json_parse_bounded(body->data, body->length, bound, "the body", &e);
    if (value)
        return value;
    if (e.code == ERR_INPUT || e.code == ERR_LIMIT)
        http_problem_set(p, HTTP_PROBLEM_MALFORMED_JSON, "%s: %s", e.at, e.text);
    else
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "%s", e.text);
    return NULL;
}

json_t *http_body_parse_whole(const struct buf *body, size_t length, struct json_bound bound,
                              struct http_problem *p)
{
    struct buf text;
    json_t *value = NULL;
    buf_init(&text, 2 * length + 1); /* two quotes a number, which has more digits than that */
    if (length == 0 || quote_numbers(body->data, length, &text) == 0)
        value = http_body_parse(&text, bound, p);
    else
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "no memory for the body");
    buf_clear(&text);
    return value;
}
