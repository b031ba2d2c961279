/* Reading the configuration. Lines are trimmed; '#' starts a comment at the beginning of a line or
 * after a blank, so that a path may hold one. */
#include "daemon_config.h"

#include "base_buf.h"
#include "base_file.h"
#include "http_front.h"
#include "jobs.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The integer keys, with where they lie and what they may be. */
static const struct number_key {
    const char *key;
    size_t offset;
    int fallback, min, max;
} number_keys[] = {
#define AT(member) offsetof(struct daemon_config, member)
    {"workers", AT(workers), 0, 0, 256},
    {"batch", AT(batch), 8, 1, 64},
    {"queue", AT(queue), 1024, 1, 1000000},
    {"n_max", AT(n_max), 64, 1, 65536},
    {"nfe_max", AT(nfe_max), 100000, 0, 100000000},
    {"timeout_max", AT(timeout_max), 3600, 0, 86400},
    {"connections", AT(connections), 4096, 16, 1000000},
    {"connections_per_address", AT(connections_per_address), 0, 0, 1000000},
    {"http_threads", AT(http_threads), 2, 1, 64},
    {"idle_timeout", AT(idle_timeout), 60, 1, 86400},
    {"read_timeout", AT(read_timeout), 30, 1, 86400},
    {"drain_delay", AT(drain_delay), 0, 0, 86400},
    {"drain_timeout", AT(drain_timeout), 30, 0, 86400},
    {"watchdog", AT(watchdog), 300, 0, 86400},
    {"link_lifetime", AT(link_lifetime), 3600, 1, 31536000},
    {"nats_replicas", AT(nats_replicas), 1, 1, 5},
    {"jobs_keep", AT(jobs_keep), 604800, 1, 31536000},
    {"jobs_keep_mib", AT(jobs_keep_mib), 10240, 0, 100000000},
    {"jobs_records", AT(jobs_records), 100000, 0, 100000000},
    {"jobs_live", AT(jobs_live), 1000, 0, 1000000},
#undef AT
};
#define NUMBER_KEYS (sizeof number_keys / sizeof *number_keys)
/* The keys that are taken as they are. */
static const struct text_key {
    const char *key;
    size_t offset, size;
} text_keys[] = {
#define TEXT(member)                                                                               \
    offsetof(struct daemon_config, member), sizeof((struct daemon_config *)0)->member
    {"admin", TEXT(admin)},
    {"state", TEXT(state)},
    {"nats", TEXT(nats)},
    {"nats_credentials", TEXT(nats_credentials)},
    {"nats_ca", TEXT(nats_ca)},
    {"keys", TEXT(keys)},
    {"tls_certificate", TEXT(tls_certificate)},
    {"tls_key", TEXT(tls_key)},
    {"link_secret", TEXT(link_secret)},
    {"cors_origins", TEXT(cors_origins)},
    {"public_url", TEXT(public_url)},
    {"hosts", TEXT(hosts)},
    {"trusted_proxies", TEXT(trusted_proxies)},
#undef TEXT
};
#define TEXT_KEYS (sizeof text_keys / sizeof *text_keys)
static const char *const word_keys[] = {"listen", "log_level", "log_format",
                                        "kernel", "precision", "public_metrics"};
#define WORD_KEYS (sizeof word_keys / sizeof *word_keys)
#define KEYS (NUMBER_KEYS + WORD_KEYS + TEXT_KEYS)

static int *number_at(struct daemon_config *c, const struct number_key *k)
{
    return (int *)(void *)((char *)c + k->offset);
}

void daemon_config_init(struct daemon_config *c)
{
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < NUMBER_KEYS; i++)
        *number_at(c, &number_keys[i]) = number_keys[i].fallback;
    snprintf(c->listen, sizeof c->listen, "127.0.0.1:8080");
    c->log_level = LOG_INFO;
    c->public_metrics = true;
}

void daemon_config_clear(struct daemon_config *c)
{
    for (size_t i = 0; i < c->model_count; i++)
        free(c->models[i].path);
    c->model_count = 0;
}

/* The key's place among all keys, KEYS when it is unknown. */
static size_t key_place(const char *key)
{
    for (size_t i = 0; i < NUMBER_KEYS; i++)
        if (strcmp(key, number_keys[i].key) == 0)
            return i;
    for (size_t i = 0; i < WORD_KEYS; i++)
        if (strcmp(key, word_keys[i]) == 0)
            return NUMBER_KEYS + i;
    for (size_t i = 0; i < TEXT_KEYS; i++)
        if (strcmp(key, text_keys[i].key) == 0)
            return NUMBER_KEYS + WORD_KEYS + i;
    return KEYS;
}

bool daemon_config_has(const char *key)
{
    return key_place(key) < KEYS;
}

static int set_number(struct daemon_config *c, const struct number_key *k, const char *value,
                      const char *where, struct err *e)
{
    char *end;
    long n = strtol(value, &end, 10);
    bool digits = *value && strspn(value, "0123456789") == strlen(value) && strlen(value) < 10;
    if (!digits || n < k->min || n > k->max)
        return err_fail(e, ERR_INPUT, where, "%s must be a whole number from %d to %d, not \"%s\"",
                        k->key, k->min, k->max, value);
    *number_at(c, k) = (int)n;
    c->n_max_given = c->n_max_given || number_at(c, k) == &c->n_max;
    return 0;
}

/* Passes an error of a lower room on with the place where the value stands. */
static int fail_at(struct err *e, const char *where, const struct err *inner)
{
    return err_fail(e, ERR_INPUT, where, "%s%s%s", inner->at, inner->at[0] ? ": " : "",
                    inner->text);
}

static int set_kernel(struct model_options *o, const char *value, const char *where, struct err *e)
{
    struct err why = {0};
    if (nn_kernel_parse(value, &o->kernel, &why) != 0)
        return fail_at(e, where, &why);
    return nn_kernel_require(o->kernel, &why) == 0 ? 0 : fail_at(e, where, &why);
}

static int set_precision(struct model_options *o, const char *value, const char *where,
                         struct err *e)
{
    struct err why = {0};
    return nn_precision_parse(value, &o->precision, &why) == 0 ? 0 : fail_at(e, where, &why);
}

static int set_text(struct daemon_config *c, const struct text_key *k, const char *value,
                    const char *where, struct err *e)
{
    if (strlen(value) >= k->size)
        return err_fail(e, ERR_INPUT, where, "%s is longer than %zu bytes", k->key, k->size - 1);
    snprintf((char *)c + k->offset, k->size, "%s", value);
    return 0;
}

int daemon_config_set(struct daemon_config *c, const char *key, const char *value,
                      const char *where, struct err *e)
{
    size_t place = key_place(key);
    if (place == KEYS)
        return err_fail(e, ERR_INPUT, where, "unknown key \"%s\"", key);
    if (place < NUMBER_KEYS)
        return set_number(c, &number_keys[place], value, where, e);
    if (place >= NUMBER_KEYS + WORD_KEYS)
        return set_text(c, &text_keys[place - NUMBER_KEYS - WORD_KEYS], value, where, e);
    if (strcmp(key, "public_metrics") == 0) {
        c->public_metrics = strcmp(value, "on") == 0;
        return c->public_metrics || strcmp(value, "off") == 0
                   ? 0
                   : err_fail(e, ERR_INPUT, where, "public_metrics must be on or off, not \"%s\"",
                              value);
    }
    if (strcmp(key, "listen") == 0) {
        if (!*value || strlen(value) >= sizeof c->listen)
            return err_fail(e, ERR_INPUT, where, "listen must be ADDRESS:PORT or [ADDRESS]:PORT");
        snprintf(c->listen, sizeof c->listen, "%s", value);
        return 0;
    }
    if (strcmp(key, "log_level") == 0) {
        if (log_level_parse(value, &c->log_level) == 0)
            return 0;
        return err_fail(e, ERR_INPUT, where,
                        "log_level must be error, warn, info or debug, not \"%s\"", value);
    }
    if (strcmp(key, "log_format") == 0) {
        if (log_format_parse(value, &c->log_format) == 0)
            return 0;
        return err_fail(e, ERR_INPUT, where, "log_format must be text or json, not \"%s\"", value);
    }
    if (strcmp(key, "kernel") == 0)
        return set_kernel(&c->model_options, value, where, e);
    return set_precision(&c->model_options, value, where, e);
}

static bool name_is_plain(const char *name)
{
    size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789._-");
    return length > 0 && length <= DAEMON_NAME_MAX && !name[length];
}

static struct daemon_model *add_named(struct daemon_config *c, const char *name, const char *where,
                                      struct err *e)
{
    if (!name_is_plain(name)) {
        err_fail(e, ERR_INPUT, where,
                 "\"%s\" is not a model name: 1 to %d letters, digits, '.', '_' or '-'", name,
                 DAEMON_NAME_MAX);
        return NULL;
    }
    for (size_t i = 0; i < c->model_count; i++)
        if (strcmp(c->models[i].name, name) == 0) {
            err_fail(e, ERR_INPUT, where, "there are two models named \"%s\"", name);
            return NULL;
        }
    if (c->model_count == DAEMON_MODELS_MAX) {
        err_fail(e, ERR_INPUT, where, "more than %d models", DAEMON_MODELS_MAX);
        return NULL;
    }
    struct daemon_model *m = &c->models[c->model_count++];
    memset(m, 0, sizeof *m);
    snprintf(m->name, sizeof m->name, "%s", name);
    return m;
}

static int set_path(struct daemon_model *m, const char *path, const char *where, struct err *e)
{
    if (!*path)
        return err_fail(e, ERR_INPUT, where, "model \"%s\" has an empty path", m->name);
    free(m->path);
    m->path = strdup(path);
    return m->path ? 0 : err_fail_memory(e, strlen(path) + 1);
}

/* The part before '=' when it can be a name, so that a path with '=' in a later folder still is a
 * path. */
int daemon_config_add_model(struct daemon_config *c, const char *text, const char *where,
                            struct err *e)
{
    static const char suffix[] = ".safetensors";
    char name[DAEMON_NAME_MAX + sizeof suffix + 1];
    const char *equals = strchr(text, '='), *path = text;
    if (equals && !memchr(text, '/', (size_t)(equals - text))) {
        snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
        path = equals + 1;
    } else {
        const char *slash = strrchr(text, '/');
        snprintf(name, sizeof name, "%s", slash ? slash + 1 : text);
        size_t length = strlen(name), cut = sizeof suffix - 1;
        if (length > cut && strcmp(name + length - cut, suffix) == 0)
            name[length - cut] = '\0';
    }
    struct daemon_model *m = NULL;
    for (size_t i = 0; i < c->model_count && !m; i++)
        if (c->models[i].from_file && strcmp(c->models[i].name, name) == 0)
            m = &c->models[i];
    if (m)
        m->from_file = false; /* a second flag of that name is a mistake */
    else
        m = add_named(c, name, where, e);
    return m ? set_path(m, path, where, e) : -1;
}

static int set_sha256(struct daemon_model *m, const char *value, const char *where, struct err *e)
{
    const size_t digits = sizeof m->sha256 - 1;
    if (m->sha256[0])
        return err_fail(e, ERR_INPUT, where, "\"sha256\" occurs twice in this section");
    if (strlen(value) != digits || strspn(value, "0123456789abcdefABCDEF") != digits)
        return err_fail(e, ERR_INPUT, where,
                        "sha256 must be the %zu hexadecimal digits that sha256sum prints", digits);
    for (size_t i = 0; i <= digits; i++)
        m->sha256[i] = (char)tolower((unsigned char)value[i]);
    return 0;
}

static int set_model_key(struct daemon_model *m, const char *key, const char *value,
                         const char *where, struct err *e)
{
    bool *given = NULL;
    if (strcmp(key, "path") == 0) {
        if (m->path)
            return err_fail(e, ERR_INPUT, where, "\"path\" occurs twice in this section");
        return set_path(m, value, where, e);
    }
    if (strcmp(key, "sha256") == 0)
        return set_sha256(m, value, where, e);
    if (strcmp(key, "kernel") == 0)
        given = &m->kernel_given;
    else if (strcmp(key, "precision") == 0)
        given = &m->precision_given;
    else
        return err_fail(e, ERR_INPUT, where, "unknown key \"%s\" in a [model] section", key);
    if (*given)
        return err_fail(e, ERR_INPUT, where, "\"%s\" occurs twice in this section", key);
    *given = true;
    return given == &m->kernel_given ? set_kernel(&m->options, value, where, e)
                                     : set_precision(&m->options, value, where, e);
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t length = strlen(text);
    while (length && strchr(" \t\r", text[length - 1]))
        text[--length] = '\0';
    return text;
}

static void cut_comment(char *line)
{
    for (char *c = line; *c; c++)
        if (*c == '#' && (c == line || c[-1] == ' ' || c[-1] == '\t')) {
            *c = '\0';
            return;
        }
}

struct reader {
    struct daemon_config *config;
    struct daemon_model *section; /* NULL: the general part */
    bool seen[KEYS];
};

static int read_section(struct reader *r, char *line, const char *where, struct err *e)
{
    size_t length = strlen(line);
    if (line[length - 1] != ']' || strncmp(line, "[model", 6) != 0 || !strchr(" \t", line[6]))
        return err_fail(e, ERR_INPUT, where, "the only kind of section is [model NAME]");
    line[length - 1] = '\0';
    r->section = add_named(r->config, trim(line + 6), where, e);
    if (!r->section)
        return -1;
    r->section->from_file = true;
    return 0;
}

static int read_line(struct reader *r, char *line, const char *where, struct err *e)
{
    cut_comment(line);
    line = trim(line);
    if (!*line)
        return 0;
    if (*line == '[')
        return read_section(r, line, where, e);
    char *equals = strchr(line, '=');
    if (!equals)
        return err_fail(e, ERR_INPUT, where, "\"%s\" is neither \"key = value\" nor a section",
                        line);
    *equals = '\0';
    const char *key = trim(line), *value = trim(equals + 1);
    if (r->section)
        return set_model_key(r->section, key, value, where, e);
    size_t place = key_place(key);
    if (place < KEYS && r->seen[place])
        return err_fail(e, ERR_INPUT, where, "\"%s\" occurs twice", key);
    if (place < KEYS)
        r->seen[place] = true;
    return daemon_config_set(r->config, key, value, where, e);
}

int daemon_config_read(struct daemon_config *c, const char *path, struct err *e)
{
    struct buf text;
    struct reader r = {.config = c};
    char where[256];
    buf_init(&text, DAEMON_CONFIG_MAX);
    int result = file_read(path, &text, e);
    if (result == 0 && text.length && memchr(text.data, '\0', text.length))
        result = err_fail(e, ERR_INPUT, path, "holds a NUL byte and is no configuration");
    char *line = text.length ? (char *)text.data : NULL;
    for (int number = 1; result == 0 && line; number++) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        snprintf(where, sizeof where, "%.200s:%d", path, number);
        result = read_line(&r, line, where, e);
        line = next;
    }
    buf_clear(&text);
    return result;
}

/* Where jobs are kept: in one place. */
static int check_jobs(const struct daemon_config *c, struct err *e)
{
    if (!c->nats[0])
        return !c->nats_credentials[0] && !c->nats_ca[0]
                   ? 0
                   : err_fail(e, ERR_INPUT, c->nats_ca[0] ? "nats_ca" : "nats_credentials",
                              "is given without \"nats\", which says where the server is");
    if (!jobs_knows_nats())
        return err_fail(e, ERR_UNSUPPORTED, "nats",
                        "this pfgmd was built without NATS; build it where libnats-dev is");
    if (c->state[0])
        return err_fail(e, ERR_INPUT, "nats",
                        "jobs are kept in one place: give \"state\" or \"nats\", not both");
    const bool is_tls = strncmp(c->nats, "tls://", 6) == 0;
    for (const char *at = c->nats; at; at = (at = strchr(at, ',')) ? at + 1 : NULL) {
        if (strncmp(at, "nats://", 7) != 0 && strncmp(at, "tls://", 6) != 0)
            return err_fail(e, ERR_INPUT, "nats",
                            "must be nats://HOST:PORT or tls://HOST:PORT, or several of them with "
                            "commas and no blanks between them");
        if ((strncmp(at, "tls://", 6) == 0) != is_tls)
            return err_fail(e, ERR_INPUT, "nats",
                            "names servers with tls:// and with nats://: give all of them as one, "
                            "so that it is clear whether keys and images go over TLS");
    }
    return 0;
}

int daemon_config_finish(struct daemon_config *c, struct err *e)
{
    if (c->model_count == 0)
        return err_fail(e, ERR_INPUT, "",
                        "no model: give --model PATH or a [model NAME] section in the "
                        "configuration");
    if ((c->tls_certificate[0] != 0) != (c->tls_key[0] != 0))
        return err_fail(e, ERR_INPUT, c->tls_key[0] ? "tls_certificate" : "tls_key",
                        "is missing: TLS needs a certificate and its key");
    if (check_jobs(c, e) != 0)
        return -1;
    if (c->n_max > c->queue && c->n_max_given)
        return err_fail(
            e, ERR_INPUT, "queue",
            "is %d and n_max %d: a request of that many images would never find a place; "
            "queue must be at least n_max",
            c->queue, c->n_max);
    if (c->n_max > c->queue)
        c->n_max = c->queue;
    struct http_front front;
    if (http_front_read(&front, c->public_url, c->hosts, c->trusted_proxies, e) != 0)
        return -1;
    for (size_t i = 0; i < c->model_count; i++) {
        struct daemon_model *m = &c->models[i];
        if (!m->path)
            return err_fail(e, ERR_INPUT, m->name, "the [model %s] section has no path", m->name);
        if (!m->kernel_given)
            m->options.kernel = c->model_options.kernel;
        if (!m->precision_given)
            m->options.precision = c->model_options.precision;
    }
    return 0;
}

static void log_differences(const struct daemon_config *c, const struct daemon_config *fresh)
{
    static const char words[] = "%s has changed, which takes a restart";
    for (size_t i = 0; i < NUMBER_KEYS; i++) {
        size_t at = number_keys[i].offset;
        if (memcmp((const char *)c + at, (const char *)fresh + at, sizeof(int)) != 0)
            log_line(LOG_WARN, words, number_keys[i].key);
    }
    for (size_t i = 0; i < TEXT_KEYS; i++)
        if (strcmp((const char *)c + text_keys[i].offset,
                   (const char *)fresh + text_keys[i].offset) != 0)
            log_line(LOG_WARN, words, text_keys[i].key);
    if (strcmp(c->listen, fresh->listen) != 0)
        log_line(LOG_WARN, words, "listen");
    if (c->public_metrics != fresh->public_metrics)
        log_line(LOG_WARN, words, "public_metrics");
}

void daemon_config_take_pair(struct daemon_config *c, const struct daemon_config *fresh)
{
    if (!fresh->tls_certificate[0])
        return;
    memcpy(c->tls_certificate, fresh->tls_certificate, sizeof c->tls_certificate);
    memcpy(c->tls_key, fresh->tls_key, sizeof c->tls_key);
}

static struct daemon_model *find_model(struct daemon_config *c, const char *name)
{
    for (size_t i = 0; i < c->model_count; i++)
        if (strcmp(c->models[i].name, name) == 0)
            return &c->models[i];
    return NULL;
}

void daemon_config_take(struct daemon_config *c, struct daemon_config *fresh)
{
    log_differences(c, fresh);
    for (size_t i = 0; i < fresh->model_count; i++)
        if (!find_model(c, fresh->models[i].name))
            log_line(LOG_WARN, "model %s is new, which takes a restart", fresh->models[i].name);
    if (strcmp(c->models[0].name, fresh->models[0].name) != 0)
        log_line(LOG_WARN, "model %s is to be the default, which takes a restart",
                 fresh->models[0].name);
    for (size_t i = 0; i < c->model_count; i++) {
        struct daemon_model *from = find_model(fresh, c->models[i].name);
        if (!from) {
            log_line(LOG_WARN, "model %s is gone, which takes a restart", c->models[i].name);
            continue;
        }
        char *path = c->models[i].path;
        c->models[i].path = from->path;
        from->path = path; /* freed with `fresh` */
        c->models[i].options = from->options;
        memcpy(c->models[i].sha256, from->sha256, sizeof from->sha256);
    }
}
