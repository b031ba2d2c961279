/* Bearer keys: who may ask, and how much.
 *
 * A file holds one key a line: a name, the SHA-256 of the key in hexadecimal digits, then options
 * "rate=R" (requests per second, with a burst of as many, at least one), "images=N" (per day) and
 * "read-only" (no work). The keys themselves are nowhere. A new file is read beside the old table
 * and takes its place as a whole; names that stay keep what they have used. One mutex guards the
 * table; a new one is made without it, and what it takes grows with the number of keys and no
 * faster. Without a file everybody may do everything. */
#ifndef HTTP_KEYS_H
#define HTTP_KEYS_H

#include "base_lock.h"
#include "http_problem.h"

#define HTTP_KEY_NAME_MAX 63
#define HTTP_KEYS_FILE_MAX ((size_t)4 << 20)

struct http_key_table;
struct http_keys {
    struct lock lock;
    struct http_key_table *table;
    bool required;
};

void http_keys_init(struct http_keys *k);
void http_keys_clear(struct http_keys *k);
/* Reads the file and puts it in the place of what was there. -1: ERR_INPUT with file and line, and
 * nothing has changed. By one thread at a time. */
int http_keys_read(struct http_keys *k, const char *path, struct err *e);

/* Judges an Authorization field (NULL: none) before the body: 401 without a known key, 403 for work
 * by one that is read-only, 429 beyond its rate. `name` [HTTP_KEY_NAME_MAX + 1] becomes the key's
 * name. Takes one request from its rate. Keys are found by their digests, so the time tells nothing
 * of how much of one was guessed. */
int http_keys_judge(struct http_keys *k, const char *authorization, bool work, char *name,
                    struct http_problem *p);
/* The same for a key by its name, which a signed link proves: 403 when there is none of it now. */
int http_keys_judge_name(struct http_keys *k, const char *named, bool work, char *name,
                         struct http_problem *p);
/* Takes `images` from what the key has left of its day, which is told: 429 when that is not enough.
 */
int http_keys_charge(struct http_keys *k, const char *name, size_t images, int64_t *day,
                     struct http_problem *p);
/* Gives back what was charged on that day and was not computed. */
void http_keys_return(struct http_keys *k, const char *name, size_t images, int64_t day);
bool http_keys_required(struct http_keys *k);

#endif
