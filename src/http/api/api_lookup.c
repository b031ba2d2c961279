/* The query becomes the same JSON that a POST carries, so that one reader judges both. A value that
 * reads as a JSON number, true or false is one; anything else is a string. */
#include "api_lookup.h"

#include "http_body.h"

#include "base_crypto.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const plain_fields[] = {"model",          "format",     "dtype",    "layout",
                                           "embed_metadata", "timeout_s",  "priority", "label",
                                           "class",          "temperature"};

static bool is_one_of(const char *key, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(key, words[i]) == 0)
            return true;
    return false;
}

json_t *api_lookup_value(const char *text)
{
    const size_t length = strlen(text);
    bool integral = false;
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(text[0] == 't');
    if (!length ||
        http_body_number_end((const unsigned char *)text, 0, length, &integral) != length)
        return json_text(text);
    errno = 0;
    const long long n = integral ? strtoll(text, NULL, 10) : 0;
    const double x = integral ? 0.0 : strtod(text, NULL);
    if ((integral && errno == ERANGE) || isinf(x))
        return json_text(text);
    return integral ? json_integer(n) : json_real(x);
}

/* null is null, and all else text as in a body, even where it reads as JSON. */
static json_t *class_json(const char *text)
{
    return strcmp(text, "null") == 0 ? json_null() : json_text(text);
}

/* Whether the key can be a field's: objects are given by their members. */
static bool is_plain(const char *key)
{
    return *key && !key[strspn(key, "abcdefghijklmnopqrstuvwxyz_")] && strcmp(key, "solver") != 0 &&
           strcmp(key, "grid") != 0;
}

/* The member of the whole whose member a parameter is, or NULL where it is one of the whole itself.
 */
static const char *owner_of(const char *key, bool any)
{
    const bool of_grid = any && (strcmp(key, "columns") == 0 || strcmp(key, "scale") == 0);
    return model_choice_find(key) ? "solver" : of_grid ? "grid" : NULL;
}

/* `o`, which is taken over, with the member in its place. */
static json_t *with_member(json_t *o, const char *owner, const char *key, json_t *value)
{
    if (!owner)
        return json_with(o, key, value);
    json_t *inner = json_object_get(o, owner);
    inner = inner ? json_incref(inner) : json_object();
    return json_with(o, owner, json_with(inner, key, value));
}

json_t *api_lookup_query(const struct http_request *q, bool any, json_t *o, struct http_problem *p)
{
    char key[64], value[256];
    size_t at = 0;
    bool bad = false;
    while (o && !bad &&
           http_query_next(q->target.query, &at, key, sizeof key, value, sizeof value)) {
        bool is_text = strcmp(key, "model") == 0 || strcmp(key, "label") == 0;
        bool known = any ? is_plain(key)
                         : is_one_of(key, plain_fields, sizeof plain_fields / sizeof *plain_fields);
        const char *owner = owner_of(key, any);
        if (!known && !model_choice_find(key)) {
            http_problem_point(p, "", "unknown query parameter \"%s\"", key);
            bad = true;
        } else if (json_object_get(owner ? json_object_get(o, owner) : o, key)) {
            http_problem_point(p, "", "the query parameter \"%s\" occurs twice", key);
            bad = true;
        } else {
            o = with_member(o, owner, key,
                            is_text                     ? json_text(value)
                            : strcmp(key, "class") == 0 ? class_json(value)
                                                        : api_lookup_value(value));
        }
    }
    if (o && !bad)
        return o;
    http_problem_set(p, HTTP_PROBLEM_INTERNAL, "out of memory"); /* if nothing else was wrong */
    json_decref(o);
    return NULL;
}

json_t *api_lookup_fields(const struct http_request *q, struct http_problem *p)
{
    return api_lookup_query(q, false,
                            json_pack("{s:o, s:o}", "seed", json_text(q->names[0]), "first_index",
                                      json_text(q->names[1])),
                            p);
}

int api_lookup_tag(const struct api_call *call, const struct engine_order *order,
                   char out[SHA256_HEX_SIZE])
{
    struct buf text;
    buf_init(&text, 8192);
    int result = engine_seed_text(order, order->first_index, NULL, &text, NULL) != 0 ||
                 buf_format(&text, NULL, " %s %d %d %d", http_format_type(call->format),
                            (int)order->output, call->order.chw, order->no_metadata) != 0 ||
                 sha256_hex(text.data, text.length, out, NULL) != 0;
    buf_clear(&text);
    return result != 0 ? -1 : 0;
}

bool api_lookup_matches(const char *field, const char *tag)
{
    const size_t length = strlen(tag);
    for (const char *at = field; *at; at += strcspn(at, ",")) {
        at += strspn(at, ", \t");
        if (*at == '*')
            return true;
        if (strncmp(at, "W/", 2) == 0) /* the comparison here is the weak one */
            at += 2;
        if (*at == '"' && strncmp(at + 1, tag, length) == 0 && at[1 + length] == '"')
            return true;
    }
    return false;
}

void api_lookup_headers(const struct http_request *q, const struct api_call *call,
                        struct http_reply *r)
{
    if (!call->etag[0])
        return;
    r->cachable = true;
    http_reply_header(r, "ETag", "\"%s\"", call->etag);
    http_reply_header(r, "Cache-Control", "%s, max-age=31536000, immutable",
                      q->client[0] ? "private" : "public");
}
