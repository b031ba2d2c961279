/* Preferences stand between commas, "name", "name=value" or "name=\"value\"", each with blanks
 * around its parts and with parameters behind a semicolon, which say nothing to this server. */
#include "http_prefer.h"

#include <string.h>
#include <strings.h>

#define BLANKS " \t"

/* Behind a quoted string that begins at `at`, and its text, without the backslashes, in `out`. */
static const char *read_quoted(const char *at, char *out, size_t size)
{
    size_t length = 0;
    for (at++; *at && *at != '"'; at++) {
        if (*at == '\\' && at[1])
            at++;
        if (length + 1 < size)
            out[length++] = *at;
    }
    out[length] = '\0';
    return *at ? at + 1 : at;
}

static const char *read_token(const char *at, char *out, size_t size)
{
    const size_t length = strcspn(at, ",;" BLANKS), kept = length < size ? length : size - 1;
    memcpy(out, at, kept);
    out[kept] = '\0';
    return at + length;
}

/* The next preference's value, behind its name. */
static const char *read_value(const char *at, char *out, size_t size)
{
    out[0] = '\0';
    at += strspn(at, BLANKS);
    if (*at != '=')
        return at;
    at++;
    at += strspn(at, BLANKS);
    return *at == '"' ? read_quoted(at, out, size) : read_token(at, out, size);
}

/* Behind the comma that ends a preference; those in quoted strings do not. */
static const char *skip_rest(const char *at)
{
    char ignored[2];
    while (*at && *at != ',')
        at = *at == '"' ? read_quoted(at, ignored, sizeof ignored) : at + 1;
    return at;
}

bool http_prefers(const char *prefer, const char *name, char *value, size_t size)
{
    for (const char *at = prefer; *at; at = skip_rest(at)) {
        at += strspn(at, "," BLANKS);
        const size_t length = strcspn(at, "=,;" BLANKS);
        const bool is_it = length == strlen(name) && strncasecmp(at, name, length) == 0;
        at = read_value(at + length, value, size);
        if (is_it)
            return true;
    }
    value[0] = '\0';
    return false;
}
