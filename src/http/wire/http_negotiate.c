/* Reading Accept. Qualities are kept in thousandths, as the grammar has three decimals. */
#include "http_negotiate.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *type, *word;
    size_t major; /* length of the part before '/' */
} formats[HTTP_FORMATS] = {
    [HTTP_FORMAT_JSON] = {"application/json", "json", 11},
    [HTTP_FORMAT_PNG] = {"image/png", "png", 5},
    [HTTP_FORMAT_NPY] = {"application/x-npy", "npy", 11},
    [HTTP_FORMAT_NPZ] = {"application/x-npz", "npz", 11},
    [HTTP_FORMAT_ZIP] = {"application/zip", "zip", 11},
    [HTTP_FORMAT_TAR] = {"application/x-tar", "tar", 11},
    [HTTP_FORMAT_EVENTS] = {"text/event-stream", "events", 4},
    [HTTP_FORMAT_APNG] = {"image/apng", "apng", 5},
};

const char *http_format_type(enum http_format format)
{
    return formats[format].type;
}

const char *http_format_word(enum http_format format)
{
    return formats[format].word;
}

int http_format_parse(const char *word, enum http_format *out)
{
    for (int f = 0; f < HTTP_FORMATS; f++)
        if (strcmp(word, formats[f].word) == 0) {
            *out = (enum http_format)f;
            return 0;
        }
    return -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* How exactly a media range names a format: 3 type, 2 "type/…*", 1 "*…/…*", 0 not at all. */
#define WILDCARD 1
static int match(const char *range, size_t length, enum http_format format)
{
    const char *type = formats[format].type;
    if (length == strlen(type) && strncasecmp(range, type, length) == 0)
        return 3;
    if (length == formats[format].major + 2 &&
        strncasecmp(range, type, formats[format].major + 1) == 0 && range[length - 1] == '*')
        return 2;
    return length == 3 && memcmp(range, "*/*", 3) == 0 ? WILDCARD : 0;
}

/* "1", "0.5", "0.123" … in thousandths, or -1. */
static int read_quality(const char *text, size_t length)
{
    if (length == 0 || length > 5 || (text[0] != '0' && text[0] != '1') ||
        (length > 1 && text[1] != '.'))
        return -1;
    int q = text[0] == '1' ? 1000 : 0, unit = 100;
    for (size_t i = 2; i < length; i++, unit /= 10) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        q += (text[i] - '0') * unit;
    }
    return q > 1000 ? -1 : q;
}

/* The end of the element or parameter at `at`: the next `stop` outside quotes, or the end. */
static size_t part_end(const char *text, size_t at, size_t end, char stop)
{
    bool quoted = false;
    for (; at < end; at++) {
        if (text[at] == '\\' && quoted && at + 1 < end)
            at++;
        else if (text[at] == '"')
            quoted = !quoted;
        else if (text[at] == stop && !quoted)
            break;
    }
    return at;
}

/* The quality of one element, whose parameters start at `at`; -1 when it cannot be read. Other
 * parameters of a type do not change what it is here. */
static int element_quality(const char *text, size_t at, size_t end)
{
    int quality = 1000;
    while (at < end) {
        at++; /* the ';' */
        size_t stop = part_end(text, at, end, ';');
        while (at < stop && is_blank(text[at]))
            at++;
        size_t last = stop;
        while (last > at && is_blank(text[last - 1]))
            last--;
        if (last - at >= 2 && (text[at] == 'q' || text[at] == 'Q') && text[at + 1] == '=')
            quality = read_quality(text + at + 2, last - at - 2);
        at = stop;
    }
    return quality;
}

struct choice {
    int quality, exactness;
};

/* For each format the quality of the most exact range that names it. */
static void read_accept(const char *accept, struct choice choices[HTTP_FORMATS])
{
    size_t end = strlen(accept);
    for (size_t at = 0, stop; at < end; at = stop + 1) {
        stop = part_end(accept, at, end, ',');
        while (at < stop && is_blank(accept[at]))
            at++;
        size_t parameters = part_end(accept, at, stop, ';'), last = parameters;
        while (last > at && is_blank(accept[last - 1]))
            last--;
        int quality = element_quality(accept, parameters, stop);
        for (int f = 0; f < HTTP_FORMATS && quality >= 0; f++) {
            int exactness = match(accept + at, last - at, (enum http_format)f);
            if (exactness > choices[f].exactness ||
                (exactness && exactness == choices[f].exactness && quality > choices[f].quality))
                choices[f] = (struct choice){quality, exactness};
        }
    }
}

bool http_accepts_anything(const char *accept, const bool available[HTTP_FORMATS])
{
    struct choice choices[HTTP_FORMATS] = {0};
    bool is_open = true;
    if (!accept || !accept[strspn(accept, " \t")])
        return true;
    read_accept(accept, choices);
    for (int f = 0; f < HTTP_FORMATS; f++)
        is_open = is_open &&
                  (!available[f] || (choices[f].exactness == WILDCARD && choices[f].quality > 0));
    return is_open;
}

int http_negotiate(const char *accept, const char *word, const bool available[HTTP_FORMATS],
                   enum http_format *out)
{
    if (word)
        return http_format_parse(word, out) == 0 && available[*out] ? 0 : -1;
    struct choice choices[HTTP_FORMATS] = {0};
    read_accept(accept && accept[strspn(accept, " \t")] ? accept : "*/*", choices);
    int best = -1;
    for (int f = 0; f < HTTP_FORMATS; f++) {
        if (!available[f] || choices[f].quality <= 0)
            continue;
        if (best < 0 || choices[f].quality > choices[best].quality ||
            (choices[f].quality == choices[best].quality &&
             choices[f].exactness > choices[best].exactness))
            best = f;
    }
    if (best < 0)
        return -1;
    *out = (enum http_format)best;
    return 0;
}
