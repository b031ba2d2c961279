/* Reading names and addresses from outside. Everything that is taken over is plain: a host is a
 * name or an address with a port, a prefix is a path of unreserved characters. */
#include "http_front.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t"

static bool is_made_of(const char *text, size_t length, const char *others)
{
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !(text[i] && strchr(others, text[i])))
            return false;
    return true;
}

static bool copy(char *out, size_t size, const char *text, size_t length)
{
    if (length == 0 || length >= size)
        return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

/* A host with or without a port, as it may stand in an address. */
static bool copy_host(char out[HTTP_HOST_MAX + 1], const char *text, size_t length)
{
    return is_made_of(text, length, ".-:[]_") && copy(out, HTTP_HOST_MAX + 1, text, length);
}

void http_front_plain_host(const char *host, char out[HTTP_HOST_MAX + 1])
{
    if (!copy_host(out, host, strlen(host)))
        out[0] = '\0';
}

/* "/a/b", without a '/' at its end; never "//…", which would name a host. */
static bool copy_prefix(char out[HTTP_PREFIX_MAX + 1], const char *text, size_t length)
{
    while (length && text[length - 1] == '/')
        length--;
    if (length == 0 || text[0] != '/' || (length > 1 && text[1] == '/') ||
        !is_made_of(text, length, "/._~-"))
        return false;
    return copy(out, HTTP_PREFIX_MAX + 1, text, length);
}

/* ---- addresses ---- */

static bool read_address(const char *text, unsigned char out[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    memcpy(out, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, out + 12) == 1 || inet_pton(AF_INET6, text, out) == 1;
}

static bool in_network(const struct http_network *n, const unsigned char address[16])
{
    const int whole = n->bits / 8, rest = n->bits % 8;
    if (memcmp(n->address, address, (size_t)whole) != 0)
        return false;
    const unsigned mask = rest ? 0xff00u >> rest & 0xffu : 0;
    return ((n->address[whole & 15] ^ address[whole & 15]) & mask) == 0;
}

static bool is_trusted(const struct http_front *f, const char *text)
{
    unsigned char address[16];
    if (!read_address(text, address))
        return false;
    for (size_t i = 0; i < f->proxy_count; i++)
        if (in_network(&f->proxies[i], address))
            return true;
    return false;
}

/* "10.0.0.1", "10.0.0.0/8", "fd00::/8". */
static bool read_network(const char *word, size_t length, struct http_network *out)
{
    char text[64];
    if (!copy(text, sizeof text, word, length))
        return false;
    char *slash = strchr(text, '/');
    if (slash)
        *slash++ = '\0';
    if (!read_address(text, out->address))
        return false;
    const int first = strchr(text, ':') ? 0 : 96, all = 128 - first;
    out->bits = 128;
    if (!slash)
        return true;
    const size_t digits = strspn(slash, "0123456789");
    if (digits == 0 || digits > 3 || slash[digits] || atoi(slash) > all)
        return false;
    out->bits = first + atoi(slash);
    return true;
}

/* ---- settings ---- */

static int read_url(struct http_front *f, const char *url, struct err *e)
{
    const size_t scheme = strncmp(url, "https://", 8) == 0  ? 5
                          : strncmp(url, "http://", 7) == 0 ? 4
                                                            : 0;
    const char *host = url + scheme + 3;
    const size_t length = scheme ? strcspn(host, "/") : 0;
    const char *path = host + length;
    if (!scheme || !copy_host(f->authority, host, length) ||
        (path[0] && path[1] && !copy_prefix(f->prefix, path, strlen(path))))
        return err_fail(
            e, ERR_INPUT, "public_url",
            "must be http:// or https://, a host and perhaps a port and a path, such as "
            "https://images.example/pfgm, not \"%s\"",
            url);
    snprintf(f->scheme, sizeof f->scheme, "%.*s", (int)scheme, url);
    return 0;
}

int http_front_read(struct http_front *f, const char *public_url, const char *hosts,
                    const char *trusted_proxies, struct err *e)
{
    memset(f, 0, sizeof *f);
    f->hosts = hosts ? hosts : "";
    if (public_url && *public_url && read_url(f, public_url, e) != 0)
        return -1;
    for (const char *at = f->hosts; *(at += strspn(at, BLANKS)); at += strcspn(at, BLANKS)) {
        const size_t length = strcspn(at, BLANKS);
        if (!(length == 1 && *at == '*') && !is_made_of(at, length, ".-_"))
            return err_fail(e, ERR_INPUT, "hosts",
                            "must be names between blanks, without ports, or *; not \"%.*s\"",
                            (int)length, at);
    }
    const char *at = trusted_proxies ? trusted_proxies : "";
    for (; *(at += strspn(at, BLANKS)); at += strcspn(at, BLANKS)) {
        const size_t length = strcspn(at, BLANKS);
        if (f->proxy_count == HTTP_PROXIES_MAX)
            return err_fail(e, ERR_INPUT, "trusted_proxies", "are more than %d", HTTP_PROXIES_MAX);
        if (!read_network(at, length, &f->proxies[f->proxy_count++]))
            return err_fail(e, ERR_INPUT, "trusted_proxies",
                            "must be addresses or networks between blanks, such as 127.0.0.1 or "
                            "10.0.0.0/8; not \"%.*s\"",
                            (int)length, at);
    }
    return 0;
}

/* ---- names ---- */

/* The host without its port; false for what is none. */
static bool split_host(const char *host, char name[HTTP_HOST_MAX + 1])
{
    size_t length = strlen(host);
    const char *colon = strrchr(host, ':');
    if (colon && !strchr(colon, ']')) {
        if (strspn(colon + 1, "0123456789") != strlen(colon + 1))
            return false;
        length = (size_t)(colon - host);
    }
    while (length && host[length - 1] == '.')
        length--; /* the root, which names end in when they are written out */
    return copy_host(name, host, length);
}

/* Whether a name is an address, and which. */
static bool is_literal(const char *name, unsigned char address[16])
{
    char inner[HTTP_HOST_MAX + 1];
    const size_t length = strlen(name);
    if (name[0] != '[')
        return !strchr(name, ':') && read_address(name, address);
    return length > 2 && name[length - 1] == ']' &&
           copy(inner, sizeof inner, name + 1, length - 2) && read_address(inner, address);
}

static bool is_loopback_name(const char *name)
{
    static const char word[] = "localhost";
    const size_t length = strlen(name), own = sizeof word - 1;
    return length >= own && strcasecmp(name + length - own, word) == 0 &&
           (length == own || name[length - own - 1] == '.');
}

bool http_front_is_loopback(const char *host)
{
    static const struct http_network networks[] = {
        {.address = {[10] = 0xff, [11] = 0xff, [12] = 127}, .bits = 104},
        {.address = {[15] = 1}, .bits = 128},
        {.address = {[10] = 0xff, [11] = 0xff}, .bits = 128}, /* any, which leads there too */
        {.bits = 128},
    };
    char name[HTTP_HOST_MAX + 1];
    unsigned char address[16];
    if (!split_host(host, name))
        return false;
    bool found = is_loopback_name(name);
    for (size_t i = 0; i < sizeof networks / sizeof *networks && !found; i++)
        found = is_literal(name, address) && in_network(&networks[i], address);
    return found;
}

bool http_front_answers(const struct http_front *f, const char *host, bool loopback)
{
    char name[HTTP_HOST_MAX + 1], own[HTTP_HOST_MAX + 1] = "";
    unsigned char address[16];
    if (!*host || (!loopback && !f->hosts[strspn(f->hosts, BLANKS)]))
        return true;
    if (!split_host(host, name))
        return false;
    if (is_literal(name, address) || is_loopback_name(name))
        return true;
    if (f->authority[0] && split_host(f->authority, own) && strcasecmp(name, own) == 0)
        return true;
    const size_t wanted = strlen(name);
    for (const char *at = f->hosts; *(at += strspn(at, BLANKS)); at += strcspn(at, BLANKS)) {
        const size_t length = strcspn(at, BLANKS);
        if ((length == 1 && *at == '*') || (length == wanted && strncasecmp(at, name, length) == 0))
            return true;
    }
    return false;
}

bool http_front_is_own(const struct http_front *f, const char *origin, const char *host)
{
    const char *authority = strstr(origin, "://");
    if (!authority)
        return false; /* "null" */
    authority += 3;
    if (*host && strcasecmp(authority, host) == 0)
        return true;
    const size_t scheme = (size_t)(authority - 3 - origin);
    return f->authority[0] && strcasecmp(authority, f->authority) == 0 &&
           scheme == strlen(f->scheme) && strncmp(origin, f->scheme, scheme) == 0;
}

void http_front_strip(const struct http_front *f, char *path)
{
    const size_t length = strlen(f->prefix);
    if (length && strncmp(path, f->prefix, length) == 0 && path[length] == '/')
        memmove(path, path + length, strlen(path + length) + 1);
}

/* ---- proxies ---- */

static int refuse(struct http_problem *p, const char *detail)
{
    http_problem_set(p, HTTP_PROBLEM_BAD_REQUEST, "%s", detail);
    p->close = true;
    return -1;
}

/* One hop, as a proxy describes it. Texts point into the field. */
struct hop {
    const char *text[4];
    size_t length[4];
};
enum { HOP_FOR, HOP_PROTO, HOP_HOST, HOP_PREFIX };
#define HOPS_MAX 32

struct hops {
    struct hop at[HOPS_MAX];
    size_t count;
};

static void trim(const char **text, size_t *length)
{
    while (*length && strchr(BLANKS, **text))
        ++*text, --*length;
    while (*length && strchr(BLANKS, (*text)[*length - 1]))
        --*length;
    if (*length >= 2 && **text == '"' && (*text)[*length - 1] == '"')
        ++*text, *length -= 2;
}

/* The length up to the next `stop` outside quotes. */
static size_t part(const char *text, char stop)
{
    bool quoted = false;
    size_t i = 0;
    for (; text[i] && (quoted || text[i] != stop); i++)
        quoted ^= text[i] == '"';
    return i;
}

/* "for=1.2.3.4;proto=https;host=x, for=…" */
static bool read_forwarded(const char *text, struct hops *out)
{
    static const char *const names[] = {"for", "proto", "host"};
    for (const char *next = text; next; out->count++) {
        if (out->count == HOPS_MAX)
            return false;
        struct hop *hop = &out->at[out->count];
        const size_t end = part(next, ',');
        for (size_t at = 0; at < end;) {
            const char *name = next + at;
            const size_t rest = part(name, ';'), length = rest < end - at ? rest : end - at;
            const char *equals = memchr(name, '=', length);
            size_t name_length = equals ? (size_t)(equals - name) : 0;
            trim(&name, &name_length);
            for (size_t k = 0; k < sizeof names / sizeof *names && equals; k++)
                if (name_length == strlen(names[k]) &&
                    strncasecmp(name, names[k], name_length) == 0) {
                    hop->text[k] = equals + 1;
                    hop->length[k] = (size_t)(next + at + length - hop->text[k]);
                    trim(&hop->text[k], &hop->length[k]);
                }
            at += length + 1;
        }
        next = next[end] ? next + end + 1 : NULL;
    }
    return true;
}

/* One of the X-Forwarded- lists, whose elements are the same hops' where there are as many; else
 * its last element is what the nearest proxy says, and stands for all. */
static bool read_list(const char *text, int what, struct hops *out)
{
    const char *words[HOPS_MAX];
    size_t lengths[HOPS_MAX], count = 0;
    for (const char *next = text; next; count++) {
        if (count == HOPS_MAX)
            return false;
        words[count] = next;
        lengths[count] = strcspn(next, ",");
        next = next[lengths[count]] ? next + lengths[count] + 1 : NULL;
    }
    if (what == HOP_FOR || out->count == 0)
        out->count = what == HOP_FOR ? count : 1;
    for (size_t i = 0; i < out->count; i++) {
        const size_t k = count == out->count ? i : count - 1;
        out->at[i].text[what] = words[k];
        out->at[i].length[what] = lengths[k];
        trim(&out->at[i].text[what], &out->at[i].length[what]);
    }
    return true;
}

/* The address of a "for", which may have a port; false for "unknown" and made-up names. */
static bool read_node(const struct hop *hop, char out[48])
{
    const char *text = hop->text[HOP_FOR];
    size_t length = hop->length[HOP_FOR];
    unsigned char address[16];
    const char *colon = text ? memchr(text, ':', length) : NULL;
    if (!text || !length)
        return false;
    if (*text == '[') {
        text++;
        length = strcspn(text, "]") < length ? strcspn(text, "]") : 0;
    } else if (colon && !memchr(colon + 1, ':', length - (size_t)(colon + 1 - text))) {
        length = (size_t)(colon - text);
    }
    return copy(out, 48, text, length) && read_address(out, address);
}

static void take_hop(const struct hop *hop, struct http_forwarded *out)
{
    const char *proto = hop->text[HOP_PROTO] ? hop->text[HOP_PROTO] : "";
    const size_t length = hop->length[HOP_PROTO];
    if ((length == 5 && strncasecmp(proto, "https", 5) == 0) ||
        (length == 4 && strncasecmp(proto, "http", 4) == 0))
        snprintf(out->scheme, sizeof out->scheme, "%s", length == 5 ? "https" : "http");
    if (hop->text[HOP_HOST])
        copy_host(out->host, hop->text[HOP_HOST], hop->length[HOP_HOST]);
    if (hop->text[HOP_PREFIX])
        copy_prefix(out->prefix, hop->text[HOP_PREFIX], hop->length[HOP_PREFIX]);
}

/* From the nearest proxy on, as long as the one that is named is trusted too. */
static void walk(const struct http_front *f, const struct hops *hops, struct http_forwarded *out)
{
    for (size_t i = hops->count; i-- > 0;) {
        char node[sizeof out->address];
        const bool known = read_node(&hops->at[i], node);
        take_hop(&hops->at[i], out);
        if (known)
            snprintf(out->address, sizeof out->address, "%s", node);
        if (!known || !is_trusted(f, node))
            return;
    }
}

/* The field as a whole. A list that is longer than its place has lost its end, which is the only
 * part that can be believed; so has one with a quote that a client opened and no proxy closed. */
static bool join(const struct http_field *fields, size_t count, const char *name, char *out,
                 size_t size, bool *lost)
{
    size_t quotes = 0;
    if (!http_field_join(fields, count, name, out, size))
        return false;
    for (const char *c = out; *c; c++)
        quotes += *c == '"';
    *lost = *lost || strlen(out) + 1 == size || quotes % 2;
    return true;
}

int http_front_forwarded(const struct http_front *f, const char *peer,
                         const struct http_field *fields, size_t count, struct http_forwarded *out,
                         struct http_problem *p)
{
    static const char *const names[] = {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
                                        "X-Forwarded-Prefix"};
    struct hops hops = {.count = 0}, standard = {.count = 0};
    struct http_forwarded other = {.address = ""};
    char text[5][1024];
    bool lost = false;
    memset(out, 0, sizeof *out);
    if (!is_trusted(f, peer))
        return 0;
    bool has = join(fields, count, "Forwarded", text[4], sizeof text[4], &lost);
    lost = lost || (has && !read_forwarded(text[4], &standard));
    for (int k = HOP_FOR; k <= HOP_PREFIX; k++)
        if (join(fields, count, names[k], text[k], sizeof text[k], &lost))
            lost = lost || !read_list(text[k], k, &hops);
    if (lost)
        return refuse(p, "the fields of the proxies before this server cannot be read as a whole");
    walk(f, &hops, has ? &other : out);
    if (!has)
        return 0;
    walk(f, &standard, out);
    memcpy(out->prefix, other.prefix, sizeof out->prefix);
    if (!other.address[0] || strcmp(out->address, other.address) == 0)
        return 0;
    return refuse(p,
                  "Forwarded and X-Forwarded-For name different clients: let the proxy write one "
                  "of them and drop the other");
}
