/* Making and judging links. The signature is always the query's end, in one form only
 * ("&key=NAME&expires=SECONDS&signature=DIGITS"), and covers the raw bytes before it: there is
 * nothing to normalise, so nothing that two readers could normalise differently. */
#include "http_link.h"

#include "base_file.h"
#include "http_app.h"
#include "http_request.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_PART "&key="
#define END_PART "&expires="
#define SIGNATURE_PART "&signature="
#define DIGEST_DIGITS (SHA256_HEX_SIZE - 1)

void http_links_init(struct http_links *l, int lifetime_s)
{
    memset(l, 0, sizeof *l);
    l->lifetime_s = lifetime_s;
    pthread_mutex_init(&l->lock, NULL);
}

void http_links_clear(struct http_links *l)
{
    pthread_mutex_destroy(&l->lock);
    explicit_bzero(l->secret, sizeof l->secret);
}

static int read_secret(const char *path, char out[SHA256_HEX_SIZE], struct err *e)
{
    struct buf text;
    buf_init(&text, HTTP_LINK_SECRET_MAX);
    int result = file_read(path, &text, e);
    if (result == 0 && text.length < HTTP_LINK_SECRET_MIN)
        result =
            err_fail(e, ERR_INPUT, path,
                     "holds %zu bytes; a secret for links needs %d at least, as \"openssl rand "
                     "-hex 32\" prints them",
                     text.length, HTTP_LINK_SECRET_MIN);
    if (result == 0)
        result = sha256_hex(text.data, text.length, out, e);
    if (text.data)
        explicit_bzero(text.data, text.length);
    buf_clear(&text);
    return result;
}

int http_links_read(struct http_links *l, const char *path, struct err *e)
{
    const bool file = path && *path;
    unsigned char drawn[32];
    char secret[SHA256_HEX_SIZE];
    pthread_mutex_lock(&l->lock);
    const bool has_one = l->secret[0] != '\0';
    pthread_mutex_unlock(&l->lock);
    if (!file && has_one)
        return 0;
    int result = file ? read_secret(path, secret, e)
                      : random_bytes(drawn, sizeof drawn, e) != 0 ||
                            sha256_hex(drawn, sizeof drawn, secret, e) != 0;
    if (result != 0)
        return -1;
    pthread_mutex_lock(&l->lock);
    memcpy(l->secret, secret, sizeof secret);
    pthread_mutex_unlock(&l->lock);
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(drawn, sizeof drawn);
    return 0;
}

static int sign(struct http_links *l, const char *text, size_t length, char out[SHA256_HEX_SIZE])
{
    char secret[SHA256_HEX_SIZE];
    pthread_mutex_lock(&l->lock);
    memcpy(secret, l->secret, sizeof secret);
    pthread_mutex_unlock(&l->lock);
    int result = hmac_sha256_hex(secret, DIGEST_DIGITS, text, length, out, NULL);
    explicit_bzero(secret, sizeof secret);
    return result;
}

/* The solver as it was resolved, by the names that the query of a GET has. */
static int add_solver(struct buf *out, const struct model_solver *solver)
{
    json_t *o = model_solver_json(solver, true);
    const char *key;
    json_t *value;
    int result = o == NULL;
    json_object_foreach(o, key, value)
    {
        if (result != 0 || !model_choice_find(key))
            continue;
        result = buf_format(out, NULL, "&%s=", key) != 0 ||
                 (json_is_string(value) ? buf_string(out, json_string_value(value), NULL)
                                        : json_append(out, value, JSON_ENCODE_ANY, NULL)) != 0;
    }
    json_decref(o);
    return result;
}

/* A class by its number, or by its name where another class is called like that number. */
static int add_class(struct buf *out, const struct model *m, int32_t label)
{
    char number[16];
    int32_t found;
    snprintf(number, sizeof number, "%" PRId32, label);
    if (model_class_find(m, number, &found, NULL) == 0 && found == label)
        return buf_format(out, NULL, "&class=%s", number);
    int result = buf_string(out, "&class=", NULL);
    for (const char *c = model_description(m)->labels[label]; *c && result == 0; c++)
        result = isalnum((unsigned char)*c) && (unsigned char)*c < 0x80
                     ? buf_append(out, c, 1, NULL)
                     : buf_format(out, NULL, "%%%02X", (unsigned char)*c);
    return result;
}

static int add_rest(struct buf *out, const struct engine_order *order, uint64_t index)
{
    const int32_t label = engine_order_label(order, index);
    int result = 0;
    if (order->class.rule != ENGINE_CLASS_DRAWN) /* one that is drawn is drawn again */
        result = label == MODEL_CLASS_NONE ? buf_string(out, "&class=null", NULL)
                                           : add_class(out, engine_model_get(order->model), label);
    if (result == 0 && order->temperature != 0.0 && order->temperature != 1.0)
        result = buf_format(out, NULL, "&temperature=%.17g", order->temperature);
    if (result == 0 && order->no_metadata)
        result = buf_string(out, "&embed_metadata=false", NULL);
    return result;
}

/* The path and the query of the image, unsigned. */
static int add_address(struct buf *out, const struct engine_order *order, uint64_t index)
{
    return buf_format(out, NULL, "/v1/images/%" PRIu64 "/%" PRIu64 "?model=%s", order->seed, index,
                      engine_model_name(order->model)) != 0 ||
           add_solver(out, &order->solver) != 0 || add_rest(out, order, index) != 0;
}

enum http_link_made http_link_make(struct http_app *app, const struct http_request *q,
                                   const struct engine_order *order, uint64_t index,
                                   char out[HTTP_LINK_MAX])
{
    struct buf text;
    char signature[SHA256_HEX_SIZE];
    if (q->by_link || order->output == ENGINE_OUTPUT_SHEET || order->latents || order->edit.image)
        return HTTP_LINK_NONE;
    buf_init(&text, HTTP_LINK_MAX - 1);
    const size_t prefix = strlen(q->prefix); /* of a proxy, which does not reach the server */
    int result = buf_string(&text, q->prefix, NULL) != 0 || add_address(&text, order, index) != 0;
    if (result == 0 && q->client[0]) {
        const long long end = (long long)time(NULL) + app->links.lifetime_s;
        result = buf_format(&text, NULL, KEY_PART "%s" END_PART "%lld", q->client, end) != 0 ||
                 sign(&app->links, (const char *)text.data + prefix, text.length - prefix,
                      signature) != 0 ||
                 buf_format(&text, NULL, SIGNATURE_PART "%s", signature) != 0;
    }
    if (result == 0)
        memcpy(out, text.data, text.length + 1);
    buf_clear(&text);
    return result != 0 ? HTTP_LINK_FAILED : HTTP_LINK_MADE;
}

bool http_link_is_signed(const struct http_request *q)
{
    return strstr(q->target.query, SIGNATURE_PART) != NULL;
}

void http_link_strip(struct http_request *q)
{
    char *part = strstr(q->target.query, KEY_PART);
    if (part && http_link_is_signed(q))
        *part = '\0';
}

/* What the end of a signed query says. */
struct claim {
    char name[HTTP_KEY_NAME_MAX + 1];
    int64_t end;
    size_t length; /* of the query, up to the signature */
    const char *signature;
};

static bool read_claim(const char *query, struct claim *c)
{
    const char *at = strstr(query, KEY_PART);
    if (!at)
        return false;
    at += sizeof KEY_PART - 1;
    size_t length = strcspn(at, "&");
    if (length >= sizeof c->name)
        return false;
    memcpy(c->name, at, length);
    c->name[length] = '\0';
    at += length;
    if (strncmp(at, END_PART, sizeof END_PART - 1) != 0)
        return false;
    at += sizeof END_PART - 1;
    length = strspn(at, "0123456789");
    if (length == 0 || length > 18)
        return false;
    c->end = strtoll(at, NULL, 10);
    at += length;
    c->length = (size_t)(at - query);
    if (strncmp(at, SIGNATURE_PART, sizeof SIGNATURE_PART - 1) != 0)
        return false;
    c->signature = at + sizeof SIGNATURE_PART - 1;
    return strlen(c->signature) == DIGEST_DIGITS;
}

static int forbid(struct http_problem *p, const char *why)
{
    http_problem_set(p, HTTP_PROBLEM_FORBIDDEN, "%s", why);
    p->close = true;
    return -1;
}

int http_link_judge(struct http_app *app, struct http_request *q, struct http_problem *p)
{
    struct claim c;
    char text[HTTP_PATH_MAX + HTTP_QUERY_MAX + 2], expected[SHA256_HEX_SIZE];
    if (!read_claim(q->target.query, &c))
        return forbid(p, "the link's signature is not whole: follow links as they were given");
    int length =
        snprintf(text, sizeof text, "%s?%.*s", q->target.path, (int)c.length, q->target.query);
    if (sign(&app->links, text, (size_t)length, expected) != 0)
        return forbid(p, "the link's signature cannot be checked");
    if (!secret_equal(expected, c.signature, DIGEST_DIGITS))
        return forbid(p, "the link's signature does not belong to it: it was changed, or the "
                         "secret that signs links has");
    if (c.end <= (int64_t)time(NULL)) {
        struct tm utc;
        char when[32], why[128];
        const time_t end = (time_t)c.end;
        gmtime_r(&end, &utc);
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
        snprintf(why, sizeof why, "the link ended at %s; ask for the image again to get a new one",
                 when);
        return forbid(p, why);
    }
    q->by_link = true;
    return http_keys_judge_name(&app->keys, c.name, true, q->client, p);
}
