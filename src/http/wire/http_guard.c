/* RFC 9112 section 6 and RFC 9110 sections 5 and 10.1.1, as far as a server has to defend itself.
 */
#include "http_guard.h"

#include <string.h>
#include <strings.h>

static bool is_token_byte(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
        return true;
    return c && strchr("!#$%&'*+-.^_`|~", c);
}

bool http_is_token(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!is_token_byte((unsigned char)text[i]))
            return false;
    return length > 0;
}

static bool name_is(const struct http_field *f, const char *name)
{
    return f->name_length == strlen(name) && strncasecmp(f->name, name, f->name_length) == 0;
}

bool http_field_is(const struct http_field *f, const char *word)
{
    return f->value_length == strlen(word) && strncasecmp(f->value, word, f->value_length) == 0;
}

const struct http_field *http_field_find(const struct http_field *fields, size_t count,
                                         const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (name_is(&fields[i], name))
            return &fields[i];
    return NULL;
}

bool http_field_join(const struct http_field *fields, size_t count, const char *name, char *out,
                     size_t size)
{
    size_t used = 0;
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        if (!name_is(&fields[i], name))
            continue;
        if (found && used + 2 < size) {
            memcpy(out + used, ", ", 2);
            used += 2;
        }
        size_t take = fields[i].value_length;
        while (take > 0 && (fields[i].value[take - 1] == ' ' || fields[i].value[take - 1] == '\t'))
            take--; /* no part of the value, but the library leaves them there */
        if (take > size - 1 - used)
            take = size - 1 - used;
        memcpy(out + used, fields[i].value, take);
        used += take;
        found = true;
    }
    out[used] = '\0';
    return found;
}

static int refuse(struct http_problem *p, enum http_problem_code code, const char *detail)
{
    http_problem_set(p, code, "%s", detail);
    p->close = true;
    return -1;
}

/* Names are tokens; values hold no control characters but the tab. */
static int check_bytes(const struct http_field *f, struct http_problem *p)
{
    if (!http_is_token(f->name, f->name_length))
        return refuse(p, HTTP_PROBLEM_BAD_REQUEST,
                      "a header name holds a blank or another byte that no name may hold");
    for (size_t i = 0; i < f->value_length; i++) {
        unsigned char c = (unsigned char)f->value[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return refuse(p, HTTP_PROBLEM_BAD_REQUEST, "a header value holds a control character");
    }
    return 0;
}

/* Digits only: no sign, no list, no blank; and it must fit. */
static int read_length(const struct http_field *f, uint64_t *out, struct http_problem *p)
{
    uint64_t n = 0;
    bool ok = f->value_length > 0;
    for (size_t i = 0; i < f->value_length && ok; i++) {
        unsigned digit = (unsigned)(unsigned char)f->value[i] - '0';
        ok = digit <= 9 && !__builtin_mul_overflow(n, (uint64_t)10, &n) &&
             !__builtin_add_overflow(n, (uint64_t)digit, &n);
    }
    if (!ok)
        return refuse(p, HTTP_PROBLEM_BAD_REQUEST, "Content-Length is not a number of bytes");
    *out = n;
    return 0;
}

static int check_expect(const struct http_field *f, struct http_framing *framing,
                        struct http_problem *p)
{
    if (!http_field_is(f, "100-continue"))
        return refuse(p, HTTP_PROBLEM_EXPECTATION_FAILED,
                      "the only expectation known here is 100-continue");
    framing->expects_continue = true;
    return 0;
}

int http_guard_check(const struct http_field *fields, size_t count, bool http_1_0,
                     struct http_framing *framing, struct http_problem *p)
{
    int lengths = 0, encodings = 0, hosts = 0;
    memset(framing, 0, sizeof *framing);
    for (size_t i = 0; i < count; i++) {
        const struct http_field *f = &fields[i];
        if (check_bytes(f, p) != 0)
            return -1;
        if (name_is(f, "Content-Length")) {
            lengths++;
            framing->has_length = true;
            if (read_length(f, &framing->length, p) != 0)
                return -1;
        } else if (name_is(f, "Transfer-Encoding")) {
            encodings++;
            framing->chunked = http_field_is(f, "chunked");
        } else if (name_is(f, "Host")) {
            hosts++;
        } else if (name_is(f, "Expect") && !http_1_0 && check_expect(f, framing, p) != 0) {
            return -1;
        }
    }
    if (lengths > 1)
        return refuse(p, HTTP_PROBLEM_BAD_REQUEST, "Content-Length occurs more than once");
    if (lengths && encodings)
        return refuse(p, HTTP_PROBLEM_BAD_REQUEST,
                      "Content-Length and Transfer-Encoding exclude each other");
    if (encodings && http_1_0)
        return refuse(p, HTTP_PROBLEM_BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding");
    if (encodings > 1 || (encodings && !framing->chunked))
        return refuse(p, HTTP_PROBLEM_NOT_IMPLEMENTED,
                      "the only transfer coding known here is chunked");
    if (hosts > 1)
        return refuse(p, HTTP_PROBLEM_BAD_REQUEST, "Host occurs more than once");
    return 0;
}
