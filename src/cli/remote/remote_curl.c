/* The one file that sees libcurl. A handle per connection, kept open from call to call.
 *
 * What the server sends is hostile: heads and answers that are kept have bounds, and what it says
 * in words is made printable by err_fail before anybody sees it. */
#include "remote.h"

#include "base_file.h"
#include "base_text.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ANSWER_BYTES_MAX ((size_t)64 << 20)
#define KEY_BYTES_MAX 4096
#define CONNECT_S 10L
#define SILENCE_S 60L /* the server's events say something every 15 seconds */

struct remote {
    CURL *curl;
    char *server, *ca;
    struct buf key; /* "Authorization: Bearer …", or empty */
    int64_t patience_s;
    char why[CURL_ERROR_SIZE];
};

/* ---- opening ---- */

static int check_server(const char *server, struct err *e)
{
    const char *host = strncmp(server, "http://", 7) == 0    ? server + 7
                       : strncmp(server, "https://", 8) == 0 ? server + 8
                                                             : "";
    if (*host == '\0' || *host == '/' || strpbrk(server, "?#@ \t\r\n"))
        return err_fail(e, ERR_INPUT, "--server",
                        "\"%s\" is no address such as http://127.0.0.1:8080 or https://host/path",
                        server);
    return 0;
}

static int take_key(struct remote *r, const char *file, struct err *e)
{
    const char *at = file ? file : "PFGM_KEY", *text = getenv("PFGM_KEY");
    struct buf read;
    int result = 0;
    buf_init(&read, KEY_BYTES_MAX);
    buf_init(&r->key, KEY_BYTES_MAX + 64);
    if (file) {
        result = file_read(file, &read, e);
        text = result == 0 && read.length > 0 ? (const char *)read.data : "";
    }
    if (result == 0 && text && (file || *text)) {
        const size_t length = strcspn(text, "\r\n");
        for (size_t i = 0; i < length; i++)
            if (text[i] < '!' || text[i] > '~')
                result = -1;
        result = length == 0 || length >= KEY_BYTES_MAX || result != 0
                     ? err_fail(e, ERR_INPUT, at,
                                "the key is the first line, of printable ASCII without blanks")
                     : buf_format(&r->key, e, "Authorization: Bearer %.*s", (int)length, text);
    }
    if (read.data)
        explicit_bzero(read.data, read.length);
    buf_clear(&read);
    return result;
}

struct remote *remote_open(const struct remote_options *o, struct err *e)
{
    static bool begun;
    struct remote *r = calloc(1, sizeof *r);
    if (!r || (!begun && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)) {
        err_fail_memory(e, sizeof *r);
        free(r);
        return NULL;
    }
    begun = true;
    r->patience_s = o->patience_s;
    r->curl = curl_easy_init();
    r->server = strdup(o->server);
    r->ca = o->ca ? strdup(o->ca) : NULL;
    if (!r->curl || !r->server || (o->ca && !r->ca)) {
        err_fail_memory(e, strlen(o->server) + 1);
    } else if (check_server(o->server, e) == 0 && take_key(r, o->key_file, e) == 0) {
        for (size_t n = strlen(r->server); r->server[n - 1] == '/'; n--)
            r->server[n - 1] = '\0';
        return r;
    }
    remote_close(r);
    return NULL;
}

void remote_close(struct remote *r)
{
    if (!r)
        return;
    if (r->curl)
        curl_easy_cleanup(r->curl);
    if (r->key.data)
        explicit_bzero(r->key.data, r->key.length);
    buf_clear(&r->key);
    free(r->server);
    free(r->ca);
    free(r);
}

int64_t remote_patience_s(const struct remote *r)
{
    return r->patience_s;
}

/* ---- asking ---- */

/* A call under way. */
struct exchange {
    const struct remote_call *call;
    struct remote_answer *a;
    bool ended; /* by `take` */
    bool full;  /* more came than is kept */
};

/* The value of a head's line, or NULL where it is another. */
static const char *value_of(const char *line, const char *name)
{
    const size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':')
        return NULL;
    line += length + 1;
    return line + strspn(line, " \t");
}

static size_t on_head(char *data, size_t one, size_t count, void *context)
{
    struct exchange *x = context;
    struct remote_answer *a = x->a;
    char line[256];
    const char *value;
    uint64_t number = 0;
    const size_t length = one * count;
    snprintf(line, sizeof line, "%.*s", (int)(length < 255 ? length : 255), data);
    line[strcspn(line, "\r\n")] = '\0';
    if (strncmp(line, "HTTP/", 5) == 0) { /* that of a 100 may stand before it */
        a->etag[0] = a->range[0] = a->location[0] = '\0';
        a->after_s = -1;
        a->has_ranges = false;
        const char *space = strchr(line, ' ');
        char digits[4];
        snprintf(digits, sizeof digits, "%.3s", space ? space + 1 : "");
        a->status = text_digits(digits, &number) ? (int)number : 0;
    } else if ((value = value_of(line, "ETag")) != NULL) {
        snprintf(a->etag, sizeof a->etag, "%.127s", value);
    } else if ((value = value_of(line, "Content-Range")) != NULL) {
        snprintf(a->range, sizeof a->range, "%.63s", value);
    } else if ((value = value_of(line, "Location")) != NULL) {
        text_copy(a->location, sizeof a->location, value);
        text_make_printable(a->location);
    } else if ((value = value_of(line, "Accept-Ranges")) != NULL) {
        a->has_ranges = strcasecmp(value, "bytes") == 0;
    } else if ((value = value_of(line, "Retry-After")) != NULL) {
        if (text_digits(value, &number) && number < 1000000)
            a->after_s = (int64_t)number;
    }
    return length;
}

static size_t on_data(char *data, size_t one, size_t count, void *context)
{
    struct exchange *x = context;
    const size_t length = one * count;
    if (length == 0)
        return 0;
    if (x->call->take && (x->a->status == 200 || x->a->status == 206)) {
        x->ended = x->call->take(x->call->context, x->a, data, length) != 0;
        return x->ended ? CURL_WRITEFUNC_ERROR : length;
    }
    x->full = buf_append(&x->a->body, data, length, NULL) != 0;
    return x->full ? CURL_WRITEFUNC_ERROR : length;
}

/* The list grows or is freed, and NULL is what comes of either failing. */
static struct curl_slist *plus(struct curl_slist *list, const char *header)
{
    struct curl_slist *longer = curl_slist_append(list, header);
    if (!longer)
        curl_slist_free_all(list);
    return longer;
}

static struct curl_slist *headers_of(const struct remote *r, const struct remote_call *call)
{
    char accept[128];
    struct curl_slist *list = plus(NULL, "Expect:");
    snprintf(accept, sizeof accept, "Accept: %s", call->accept ? call->accept : "*/*");
    if (list)
        list = plus(list, accept);
    if (list && call->body)
        list = plus(list, "Content-Type: application/json");
    if (list && r->key.length > 0)
        list = plus(list, (const char *)r->key.data);
    for (size_t i = 0; list && i < 2 && call->headers[i]; i++)
        list = plus(list, call->headers[i]);
    return list;
}

static void set_up(struct remote *r, const char *url, struct curl_slist *headers,
                   struct exchange *x)
{
    CURL *c = r->curl;
    curl_easy_reset(c); /* connections stay */
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, x->call->method);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "pfgm/" PFGM_VERSION);
    if (x->call->body) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)strlen(x->call->body));
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, x->call->body);
    }
    if (r->ca)
        curl_easy_setopt(c, CURLOPT_CAINFO, r->ca);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, r->why);
}

/* There was no answer, or it broke off. What is wrong with certificates, files and addresses does
 * not pass. */
static int fail_transfer(struct remote *r, CURLcode code, const struct exchange *x, struct err *e)
{
    const char *why = r->why[0] ? r->why : curl_easy_strerror(code);
    const bool is_given = code == CURLE_PEER_FAILED_VERIFICATION ||
                          code == CURLE_SSL_CACERT_BADFILE || code == CURLE_URL_MALFORMAT ||
                          code == CURLE_UNSUPPORTED_PROTOCOL;
    if (code == CURLE_OUT_OF_MEMORY)
        return err_fail(e, ERR_MEMORY, r->server, "out of memory");
    if (x->full)
        return err_fail(e, ERR_LIMIT, r->server, "the answer is larger than %zu bytes",
                        ANSWER_BYTES_MAX);
    x->a->passes = !is_given && code != CURLE_SSL_CERTPROBLEM && code != CURLE_SSL_CIPHER;
    return err_fail(e, is_given ? ERR_INPUT : ERR_IO, r->server, "%s: %s",
                    x->a->status ? "the answer broke off" : "no answer", why);
}

/* What the server refused. */
static int fail_status(struct remote *r, struct remote_answer *a, struct err *e)
{
    if (a->status >= 300 && a->status < 400)
        return err_fail(e, ERR_INPUT, r->server,
                        "answered %d, which leads to \"%s\" and is not followed: give the address "
                        "behind it",
                        a->status, a->location);
    struct err ignored = {0};
    json_t *problem =
        a->body.length > 0 ? json_parse(a->body.data, a->body.length, "problem", &ignored) : NULL;
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const char *code = json_string_value(json_object_get(problem, "code"));
    const bool is_input = a->status >= 400 && a->status < 500 && a->status != 429;
    /* A store of jobs that is away or full names a time; one that is not there at all does not. */
    const bool has_time = a->after_s >= 0, is_off = code && strcmp(code, "jobs_off") == 0;
    a->passes = a->status == 502 || a->status == 504 || (a->status == 503 && !is_off) ||
                (has_time && (a->status == 429 || a->status == 503 || a->status == 507));
    err_fail(e, is_input ? ERR_INPUT : ERR_IO, r->server, "answered %d%s%s", a->status,
             detail ? ": " : "", detail ? detail : "");
    json_decref(problem);
    return -1;
}

int remote_ask(struct remote *r, const struct remote_call *call, struct remote_answer *a,
               struct err *e)
{
    struct exchange x = {.call = call, .a = a};
    struct buf url;
    *a = (struct remote_answer){.after_s = -1};
    buf_init(&a->body, ANSWER_BYTES_MAX);
    buf_init(&url, 65536);
    struct curl_slist *headers = headers_of(r, call);
    int result =
        headers ? buf_format(&url, e, "%s%s", r->server, call->path) : err_fail_memory(e, 4096);
    if (result == 0) {
        set_up(r, (const char *)url.data, headers, &x);
        r->why[0] = '\0';
        const CURLcode code = curl_easy_perform(r->curl);
        a->whole = code == CURLE_OK;
        if (code != CURLE_OK && !x.ended)
            result = fail_transfer(r, code, &x, e);
        else if (a->status < 200 || a->status >= 300)
            result = fail_status(r, a, e);
    }
    curl_slist_free_all(headers);
    buf_clear(&url);
    return result;
}
