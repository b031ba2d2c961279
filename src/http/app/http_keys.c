/* The table of keys, found by hashes of name and digest. Rates are token buckets that are filled
 * when they are looked at; days begin at midnight UTC.
 *
 * A new file becomes a table of its own without the lock, whose keys share what they have used with
 * those of their names in the old one; under the lock the tables only change places. */
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
#define EMPTY_DIGEST "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* What a key has used. It outlives the table that it was first in while a newer one has its name.
 */
struct usage {
    double tokens;
    int64_t filled_ns;
    int64_t day;
    uint64_t images;
};

struct http_key {
    char name[HTTP_KEY_NAME_MAX + 1];
    char digest[SHA256_HEX_SIZE];
    bool read_only;
    double rate;         /* requests per second; 0: no limit */
    uint64_t images;     /* per day; 0: no limit */
    int line;            /* of the file */
    struct usage *usage; /* owned by the current table */
};

/* Places by hash, open addressing: entries are numbers of keys from 1, 0 is free. */
struct http_key_table {
    struct http_key *keys;
    size_t count, room;
    uint32_t *by_name, *by_digest;
    size_t places; /* a power of two, at least twice the count */
};

/* FNV-1a; the words come from the operator's file, or are digests that nobody can choose. */
static size_t hash(const char *text)
{
    uint64_t h = 14695981039346656037u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

static const char *word_of(const struct http_key *key, bool digest)
{
    return digest ? key->digest : key->name;
}

/* The place of that name or digest: of its key, or the free one where it belongs. */
static uint32_t *place_of(const struct http_key_table *t, const char *word, bool digest)
{
    uint32_t *places = digest ? t->by_digest : t->by_name;
    size_t at = hash(word) & (t->places - 1);
    while (places[at] && strcmp(word_of(&t->keys[places[at] - 1], digest), word) != 0)
        at = (at + 1) & (t->places - 1);
    return &places[at];
}

/* The key of that name or digest, or NULL. */
static struct http_key *find(const struct http_key_table *t, const char *word, bool digest)
{
    if (!t || !t->places)
        return NULL;
    const uint32_t number = *place_of(t, word, digest);
    return number ? &t->keys[number - 1] : NULL;
}

static void table_free(struct http_key_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->keys[i].usage);
    free(t->keys);
    free(t->by_name);
    free(t->by_digest);
    free(t);
}

void http_keys_init(struct http_keys *k)
{
    memset(k, 0, sizeof *k);
    lock_init(&k->lock);
}

void http_keys_clear(struct http_keys *k)
{
    table_free(k->table);
    lock_clear(&k->lock);
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
        return err_fail(e, ERR_INPUT, where, "rate= takes requests per second, above 0");
    }
    if (strncmp(word, "images=", 7) == 0) {
        key->images = strtoull(word + 7, &end, 10);
        if (word[7] >= '1' && word[7] <= '9' && !*end && strlen(word) < 24)
            return 0;
        return err_fail(e, ERR_INPUT, where, "images= takes a whole number per day, above 0");
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
    if (strcmp(digest, EMPTY_DIGEST) == 0)
        return err_fail(e, ERR_INPUT, where,
                        "this is the digest of the empty key: was KEY empty when it was made?");
    memset(key, 0, sizeof *key);
    snprintf(key->name, sizeof key->name, "%s", name);
    memcpy(key->digest, digest, DIGEST_DIGITS + 1);
    for (const char *word; (word = strtok_r(NULL, blanks, &rest)) != NULL;)
        if (read_option(key, word, where, e) != 0)
            return -1;
    return 0;
}

static int add_key(struct http_key_table *t, char *line, int number, const char *where,
                   struct err *e)
{
    if (t->count == t->room) {
        const size_t room = t->room ? 2 * t->room : 16;
        struct http_key *grown = realloc(t->keys, room * sizeof *grown);
        if (!grown)
            return err_fail_memory(e, room * sizeof *grown);
        t->keys = grown;
        t->room = room;
    }
    struct http_key *key = &t->keys[t->count];
    if (read_key(key, line, where, e) != 0)
        return -1;
    key->line = number;
    t->count++;
    return 0;
}

/* Fills the places. Two names that are the same are an error; of two digests the last one counts.
 */
static int index_keys(struct http_key_table *t, const char *path, struct err *e)
{
    for (t->places = 16; t->places < 2 * t->count;)
        t->places *= 2;
    t->by_name = calloc(t->places, sizeof *t->by_name);
    t->by_digest = calloc(t->places, sizeof *t->by_digest);
    if (!t->by_name || !t->by_digest)
        return err_fail_memory(e, 2 * t->places * sizeof *t->by_name);
    for (size_t i = 0; i < t->count; i++) {
        uint32_t *place = place_of(t, t->keys[i].name, false);
        if (*place) {
            char where[300];
            snprintf(where, sizeof where, "%.200s:%d", path, t->keys[i].line);
            return err_fail(e, ERR_INPUT, where, "there are two keys named \"%s\"",
                            t->keys[i].name);
        }
        *place = (uint32_t)i + 1;
        *place_of(t, t->keys[i].digest, true) = (uint32_t)i + 1;
    }
    return 0;
}

/* Text behind a NUL would be passed over in silence. */
static int check_text(const struct buf *text, const char *path, struct err *e)
{
    const unsigned char *nul = text->length ? memchr(text->data, '\0', text->length) : NULL;
    char where[300];
    size_t number = 1;
    if (!nul)
        return 0;
    for (const unsigned char *c = text->data; c < nul; c++)
        number += *c == '\n';
    snprintf(where, sizeof where, "%.200s:%zu", path, number);
    return err_fail(e, ERR_INPUT, where, "holds a NUL byte, and keys are text");
}

static int read_lines(struct buf *text, const char *path, struct http_key_table *t, struct err *e)
{
    char where[300];
    char *line = text->length ? (char *)text->data : NULL;
    for (int number = 1; line; number++) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        line += strspn(line, " \t\r");
        snprintf(where, sizeof where, "%.200s:%d", path, number);
        if (*line && *line != '#' && add_key(t, line, number, where, e) != 0)
            return -1;
        line = next;
    }
    return t->count ? 0 : err_fail(e, ERR_INPUT, path, "holds no key, so that nobody could ask");
}

static struct http_key_table *read_table(const char *path, struct err *e)
{
    struct buf text;
    struct http_key_table *t = calloc(1, sizeof *t);
    if (!t) {
        err_fail_memory(e, sizeof *t);
        return NULL;
    }
    buf_init(&text, HTTP_KEYS_FILE_MAX);
    int result = file_read(path, &text, e) != 0 || check_text(&text, path, e) != 0 ||
                 read_lines(&text, path, t, e) != 0 || index_keys(t, path, e) != 0;
    buf_clear(&text);
    if (result == 0)
        return t;
    table_free(t);
    return NULL;
}

/* Gives every key what it counts its use in, full for new names. Those of old names are moved once
 * nothing can fail any more. */
static int add_usages(struct http_key_table *t, const struct http_key_table *old, struct err *e)
{
    for (size_t i = 0; i < t->count; i++) {
        struct http_key *key = &t->keys[i];
        if (find(old, key->name, false))
            continue;
        key->usage = calloc(1, sizeof *key->usage);
        if (!key->usage)
            return err_fail_memory(e, sizeof *key->usage);
        key->usage->tokens = fmax(key->rate, 1.0);
        key->usage->filled_ns = clock_ns();
    }
    return 0;
}

int http_keys_read(struct http_keys *k, const char *path, struct err *e)
{
    struct http_key_table *old = k->table, *t = read_table(path, e);
    if (!t)
        return -1;
    if (add_usages(t, old, e) != 0) {
        table_free(t);
        return -1;
    }
    for (size_t i = 0; i < t->count; i++)
        if (!t->keys[i]
                 .usage) /* old tables are read without the lock: only this function changes them */
            t->keys[i].usage = find(old, t->keys[i].name, false)->usage;
    lock_take(&k->lock);
    k->table = t;
    k->required = true;
    lock_drop(&k->lock);
    for (size_t i = 0; i < t->count; i++) {
        struct http_key *before = find(old, t->keys[i].name, false);
        if (before)
            before->usage = NULL; /* it has moved */
    }
    table_free(old);
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

static int take_token(const struct http_key *key, struct http_problem *p)
{
    if (key->rate == 0.0)
        return 0;
    struct usage *u = key->usage;
    int64_t now = clock_ns();
    double burst = fmax(key->rate, 1.0);
    u->tokens = fmin(burst, u->tokens + (double)(now - u->filled_ns) * 1e-9 * key->rate);
    u->filled_ns = now;
    if (u->tokens >= 1.0) {
        u->tokens -= 1.0;
        return 0;
    }
    http_problem_set(p, HTTP_PROBLEM_QUOTA_EXCEEDED, "the key \"%s\" may ask %g times per second",
                     key->name, key->rate);
    p->retry_after_s = (int)fmax(1.0, ceil((1.0 - u->tokens) / key->rate));
    return -1;
}

/* Whether a key that was found may ask now. */
static int admit_locked(const struct http_keys *k, struct http_key *key, bool work, char *name,
                        struct http_problem *p)
{
    lock_assert_held(&k->lock);
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
    lock_take(&k->lock);
    struct http_key *key = k->required && has_token ? find(k->table, digest, true) : NULL;
    if (k->required && !key) {
        http_problem_set(p, HTTP_PROBLEM_UNAUTHENTICATED,
                         has_token ? "the key is not known"
                                   : "send a key: Authorization: Bearer KEY");
        p->close = true;
        result = -1;
    } else if (key) {
        result = admit_locked(k, key, work, name, p);
    }
    lock_drop(&k->lock);
    return result;
}

int http_keys_judge_name(struct http_keys *k, const char *named, bool work, char *name,
                         struct http_problem *p)
{
    int result = -1;
    lock_take(&k->lock);
    struct http_key *key = find(k->table, named, false);
    if (key) {
        result = admit_locked(k, key, work, name, p);
    } else {
        http_problem_set(p, HTTP_PROBLEM_FORBIDDEN, "the key \"%s\" is no longer known", named);
        p->close = true;
    }
    lock_drop(&k->lock);
    return result;
}

int http_keys_charge(struct http_keys *k, const char *name, size_t images, int64_t *charged_day,
                     struct http_problem *p)
{
    int result = 0;
    const int64_t now = (int64_t)time(NULL), day = now / DAY_S;
    *charged_day = day;
    lock_take(&k->lock);
    const struct http_key *key = *name ? find(k->table, name, false) : NULL;
    if (key && key->usage->day != day) {
        key->usage->day = day;
        key->usage->images = 0;
    }
    /* A new file may allow less than has been used already. */
    const uint64_t used = key ? key->usage->images : 0,
                   left = key && used < key->images ? key->images - used : 0;
    if (key && key->images && images > left) {
        http_problem_set(p, HTTP_PROBLEM_QUOTA_EXCEEDED,
                         "the key \"%s\" has %llu of %llu images left today", name,
                         (unsigned long long)left, (unsigned long long)key->images);
        p->limit = key->images > INT64_MAX ? INT64_MAX : (int64_t)key->images;
        p->retry_after_s = (int)((day + 1) * DAY_S - now);
        result = -1;
    } else if (key && __builtin_add_overflow(used, images, &key->usage->images)) {
        key->usage->images = UINT64_MAX;
    }
    lock_drop(&k->lock);
    return result;
}

void http_keys_return(struct http_keys *k, const char *name, size_t images, int64_t day)
{
    lock_take(&k->lock);
    const struct http_key *key = *name && images ? find(k->table, name, false) : NULL;
    if (key && key->usage->day == day) /* else that day is forgotten already */
        key->usage->images -= images < key->usage->images ? images : key->usage->images;
    lock_drop(&k->lock);
}

bool http_keys_required(struct http_keys *k)
{
    lock_take(&k->lock);
    bool required = k->required;
    lock_drop(&k->lock);
    return required;
}
