/* Splitting and decoding targets. */
#include "http_target.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int refuse(struct http_problem *p, const char *detail)
{
    http_problem_set(p, HTTP_PROBLEM_BAD_REQUEST, "%s", detail);
    p->close = true;
    return -1;
}

static int check_bytes(const char *raw, struct http_problem *p)
{
    for (const char *c = raw; *c; c++) {
        if ((unsigned char)*c < 0x21 || (unsigned char)*c > 0x7e)
            return refuse(p, "the request target holds a byte that must be percent-encoded");
        if (*c == '#')
            return refuse(p, "the request target holds a fragment");
        if (*c != '%')
            continue;
        if (hex(c[1]) < 0 || hex(c[2]) < 0)
            return refuse(p, "the request target holds a '%' without two hexadecimal digits");
        if (c[1] == '0' && c[2] == '0')
            return refuse(p, "the request target holds an encoded NUL");
    }
    return 0;
}

int http_target_parse(const char *raw, struct http_target *out, struct http_problem *p)
{
    out->path[0] = out->query[0] = '\0';
    if (check_bytes(raw, p) != 0)
        return -1;
    const char *path = raw;
    if (strncasecmp(raw, "http://", 7) == 0 || strncasecmp(raw, "https://", 8) == 0) {
        path = strstr(raw, "://") + 3;
        path += strcspn(path, "/?");
    } else if (raw[0] != '/' && strcmp(raw, "*") != 0) {
        return refuse(p, "the request target is neither a path nor an http address");
    }
    size_t length = strcspn(path, "?");
    const char *query = path[length] ? path + length + 1 : "";
    if (length >= sizeof out->path || strlen(query) >= sizeof out->query)
        return refuse(p, "the request target is too long");
    memcpy(out->path, path, length);
    out->path[length] = '\0';
    if (length == 0)
        snprintf(out->path, sizeof out->path, "/");
    snprintf(out->query, sizeof out->query, "%s", query);
    return 0;
}

/* In a query, which is a form's, '+' is a blank; in a path it is itself. */
static bool decode(const char *text, size_t length, bool form, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        int byte = form && text[i] == '+' ? ' ' : (unsigned char)text[i];
        if (text[i] == '%') {
            int high = length - i > 2 ? hex(text[i + 1]) : -1;
            int low = length - i > 2 ? hex(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            byte = high * 16 + low;
            i += 2;
        }
        if (byte == 0 || used + 1 >= size)
            return false;
        out[used++] = (char)byte;
    }
    if (size == 0)
        return false;
    out[used] = '\0';
    return true;
}

bool http_percent_decode(const char *text, size_t length, char *out, size_t size)
{
    return decode(text, length, false, out, size);
}

bool http_query_next(const char *query, size_t *at, char *key, size_t key_size, char *value,
                     size_t value_size)
{
    while (query[*at] == '&')
        ++*at;
    if (!query[*at])
        return false;
    const char *part = query + *at;
    size_t length = strcspn(part, "&");
    *at += length;
    size_t name = strcspn(part, "=&");
    key[0] = value[0] = '\0';
    if (!decode(part, name, true, key, key_size) ||
        (name < length && !decode(part + name + 1, length - name - 1, true, value, value_size)))
        key[0] = value[0] = '\0';
    return true;
}

bool http_query_find(const char *query, const char *key, char *value, size_t size)
{
    char name[64];
    size_t at = 0;
    while (http_query_next(query, &at, name, sizeof name, value, size))
        if (strcmp(name, key) == 0)
            return true;
    return false;
}

/* Whether a parameter of that name may hold what opens a door. */
static bool is_secret(const char *name)
{
    static const char *const words[] = {"key", "token", "secret", "signature", "passw", "auth"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasestr(name, words[i]))
            return true;
    return false;
}

void http_target_redact(char *target)
{
    char *in = target + strcspn(target, "?"), *out = in;
    while (*in) {
        const size_t length = 1 + strcspn(in + 1, "&"), name = 1 + strcspn(in + 1, "=&"),
                     shown = name < length ? name : length;
        char decoded[64];
        /* A name that cannot be read is treated as the worst one. */
        const bool secret =
            shown < length &&
            (!decode(in + 1, shown - 1, true, decoded, sizeof decoded) || is_secret(decoded));
        const size_t kept = secret ? shown + 1 : length;
        memmove(out, in, kept);
        out += kept;
        in += length;
    }
    *out = '\0';
}
