/* The table of keys. Rates are token buckets that are filled when they are looked at; days begin at
 * midnight UTC. */
#include "http_keys.h"

#include "base_cpu.h"
#include "base_crypto.h"
#include "base_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define DAY_S 86400
#define TOKEN_MAX 512 /* bytes of a key */
#define RATE_MAX 1e6
#define DIGEST_DIGITS 64

struct http_key {
    char name[HTTP_KEY_NAME_MAX + 1];
    char digest[SHA256_HEX_SIZE];
    bool read_only;
    double rate;     /* requests a second; 0: no limit */
    uint64_t images; /* a day; 0: no limit */
    double tokens;
    int64_t filled_ns;
    int64_t day;
    uint64_t images_used;
};

void http_keys_init(struct http_keys *k)
{
    memset(k, 0, sizeof *k);
    pthread_mutex_init(&k->lock, NULL);
}

void http_keys_clear(struct http_keys *k)
{
    free(k->table);
    pthread_mutex_destroy(&k->lock);
}

static int read_option(struct http_key *key, const char *word, const char *where, struct err *e)
{
    char *end = NULL;
    if (strcmp(word, "read-only") == 0) {
        key->read_only = true;
        return 0;
    }
    if (strncmp(word, "rate=", 5) == 0) {
        key->rate = strtod(word + 5, &end);
        if (end != word + 5 && !*end && key->rate > 0.0 && key->rate <= RATE_MAX)
            return 0;
        return err_fail(e, ERR_INPUT, where, "rate= takes requests a second, above 0");
    }
    if (strncmp(word, "images=", 7) == 0) {
        key->images = strtoull(word + 7, &end, 10);
        if (word[7] >= '1' && word[7] <= '9' && !*end && strlen(word) < 24)
            return 0;
        return err_fail(e, ERR_INPUT, where, "images= takes a whole number a day, above 0");
    }
    return err_fail(e, ERR_INPUT, where,
                    "\"%s\" is not an option: there are rate=, images= and read-only", word);
}

/* One line: "NAME SHA256 [options]". */
static int read_key(struct http_key *key, char *line, const char *where, struct err *e)
{
    static const char blanks[] = " \t\r";
    char *rest = NULL;
    const char *name = strtok_r(line, blanks, &rest), *digest = strtok_r(NULL, blanks, &rest);
    if (strlen(name) > HTTP_KEY_NAME_MAX ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
            strlen(name))
        return err_fail(e, ERR_INPUT, where, "a key's name has 1 to %d of A-Z a-z 0-9 . _ -",
                        HTTP_KEY_NAME_MAX);
    if (!digest || strlen(digest) != DIGEST_DIGITS ||
        strspn(digest, "0123456789abcdef") != DIGEST_DIGITS)
        return err_fail(e, ERR_INPUT, where,
                        "after the name comes the key's SHA-256 as 64 lower-case digits, as "
                        "printf %%s KEY | sha256sum prints it");
    memset(key, 0, sizeof *key);
    snprintf(key->name, sizeof key->name, "%s", name);
    memcpy(key->digest, digest, DIGEST_DIGITS + 1);
    for (const char *word; (word = strtok_r(NULL, blanks, &rest)) != NULL;)
        if (read_option(key, word, where, e) != 0)
            return -1;
    key->tokens = fmax(key->rate, 1.0);
    key->filled_ns = clock_ns();
    return 0;
}

static int add_key(struct http_key **table, size_t *count, char *line, const char *where,
                   struct err *e)
{
    struct http_key *grown = realloc(*table, (*count + 1) * sizeof *grown);
    if (!grown)
        return err_fail_memory(e, (*count + 1) * sizeof *grown);
    *table = grown;
    if (read_key(&grown[*count], line, where, e) != 0)
        return -1;
    for (size_t i = 0; i < *count; i++)
        if (strcmp(grown[i].name, grown[*count].name) == 0)
            return err_fail(e, ERR_INPUT, where, "there are two keys named \"%s\"", grown[i].name);
    ++*count;
    return 0;
}

static int read_lines(struct buf *text, const char *path, struct http_key **table, size_t *count,
                      struct err *e)
{
    char where[300];
    char *line = text->length ? (char *)text->data : NULL;
    for (int number = 1; line; number++) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        line += strspn(line, " \t\r");
        snprintf(where, sizeof where, "%.200s:%d", path, number);
        if (*line && *line != '#' && add_key(table, count, line, where, e) != 0)
            return -1;
        line = next;
    }
    return *count ? 0 : err_fail(e, ERR_INPUT, path, "holds no key, so that nobody could ask");
}

int http_keys_read(struct http_keys *k, const char *path, struct err *e)
{
    struct buf text;
    struct http_key *table = NULL;
    size_t count = 0;
    buf_init(&text, HTTP_KEYS_FILE_MAX);
    int bad = file_read(path, &text, e) != 0 || read_lines(&text, path, &table, &count, e) != 0;
    buf_free(&text);
    if (bad) {
        free(table);
        return -1;
    }
    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < k->count; j++)
            if (strcmp(table[i].name, k->table[j].name) == 0) {
                table[i].day = k->table[j].day;
                table[i].images_used = k->table[j].images_used;
                table[i].tokens = fmin(table[i].tokens, k->table[j].tokens);
            }
    free(k->table);
    k->table = table;
    k->count = count;
    k->required = true;
    pthread_mutex_unlock(&k->lock);
    return 0;
}

/* The digest of a bearer token; false when the field is none. */
static bool read_token(const char *authorization, char digest[SHA256_HEX_SIZE])
{
    static const char scheme[] = "Bearer ";
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *token = authorization + sizeof scheme - 1;
    token += strspn(token, " ");
    size_t length = strlen(token);
    while (length > 0 && (token[length - 1] == ' ' || token[length - 1] == '\t'))
        length--; /* the HTTP library leaves blanks at a field's end */
    return length > 0 && length <= TOKEN_MAX && sha256_hex(token, length, digest, NULL) == 0;
}

/* Every digit of every key is looked at. Comparing digests would already hide the key. */
static struct http_key *find_locked(struct http_keys *k, const char *digest)
{
    struct http_key *found = NULL;
    for (size_t i = 0; i < k->count; i++)
        if (secret_equal(digest, k->table[i].digest, DIGEST_DIGITS))
            found = &k->table[i];
    return found;
}

static int take_token(struct http_key *key, struct http_problem *p)
{
    if (key->rate == 0.0)
        return 0;
    int64_t now = clock_ns();
    double burst = fmax(key->rate, 1.0);
    key->tokens = fmin(burst, key->tokens + (double)(now - key->filled_ns) * 1e-9 * key->rate);
    key->filled_ns = now;
    if (key->tokens >= 1.0) {
        key->tokens -= 1.0;
        return 0;
    }
    http_problem_set(p, HTTP_PROBLEM_QUOTA_EXCEEDED, "the key \"%s\" may ask %g times a second",
                     key->name, key->rate);
    p->retry_after_s = (int)fmax(1.0, ceil((1.0 - key->tokens) / key->rate));
    return -1;
}

/* Whether a key that was found may ask now. */
static int admit_locked(struct http_key *key, bool work, char *name, struct http_problem *p)
{
    if (work && key->read_only) {
        http_problem_set(p, HTTP_PROBLEM_FORBIDDEN, "the key \"%s\" may only look", key->name);
        p->close = true;
        return -1;
    }
    snprintf(name, HTTP_KEY_NAME_MAX + 1, "%s", key->name);
    return take_token(key, p);
}

int http_keys_judge(struct http_keys *k, const char *authorization, bool work, char *name,
                    struct http_problem *p)
{
    char digest[SHA256_HEX_SIZE] = "";
    bool has_token = read_token(authorization, digest);
    int result = 0;
    pthread_mutex_lock(&k->lock);
    struct http_key *key = k->required && has_token ? find_locked(k, digest) : NULL;
    if (k->required && !key) {
        http_problem_set(p, HTTP_PROBLEM_UNAUTHENTICATED,
                         has_token ? "the key is not known"
                                   : "send a key: Authorization: Bearer KEY");
        p->close = true;
        result = -1;
    } else if (key) {
        result = admit_locked(key, work, name, p);
    }
    pthread_mutex_unlock(&k->lock);
    return result;
}

int http_keys_judge_name(struct http_keys *k, const char *named, bool work, char *name,
                         struct http_problem *p)
{
    int result = -1;
    pthread_mutex_lock(&k->lock);
    size_t i = 0;
    while (i < k->count && strcmp(k->table[i].name, named) != 0)
        i++;
    if (i < k->count) {
        result = admit_locked(&k->table[i], work, name, p);
    } else {
        http_problem_set(p, HTTP_PROBLEM_FORBIDDEN, "the key \"%s\" is no longer known", named);
        p->close = true;
    }
    pthread_mutex_unlock(&k->lock);
    return result;
}

int http_keys_charge(struct http_keys *k, const char *name, size_t images, struct http_problem *p)
{
    int result = 0;
    const int64_t now = (int64_t)time(NULL), day = now / DAY_S;
    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < k->count && *name; i++) {
        struct http_key *key = &k->table[i];
        if (strcmp(key->name, name) != 0 || key->images == 0)
            continue;
        if (key->day != day) {
            key->day = day;
            key->images_used = 0;
        }
        if (images <= key->images - key->images_used) {
            key->images_used += images;
            continue;
        }
        http_problem_set(p, HTTP_PROBLEM_QUOTA_EXCEEDED,
                         "the key \"%s\" has %llu of %llu images left today", name,
                         (unsigned long long)(key->images - key->images_used),
                         (unsigned long long)key->images);
        p->limit = key->images > INT64_MAX ? INT64_MAX : (int64_t)key->images;
        p->retry_after_s = (int)((day + 1) * DAY_S - now);
        result = -1;
    }
    pthread_mutex_unlock(&k->lock);
    return result;
}

bool http_keys_required(struct http_keys *k)
{
    pthread_mutex_lock(&k->lock);
    bool required = k->required;
    pthread_mutex_unlock(&k->lock);
    return required;
}
