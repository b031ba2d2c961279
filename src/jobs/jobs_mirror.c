/* A table with chains, which is doubled when it has as many entries as chains. */
#include "jobs_mirror.h"

#include "jobs_json.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void jobs_mirror_work(const struct jobs_needs *needs, char out[JOBS_WORK_SIZE])
{
    char kernel[sizeof needs->kernel + sizeof needs->precision + 1];
    snprintf(kernel, sizeof kernel, "%s-%s", needs->kernel, needs->precision);
    for (char *c = kernel; *c; c++) /* a dot would be the end of a word of the subject */
        if (!isalnum((unsigned char)*c) && *c != '-')
            *c = '_';
    snprintf(out, JOBS_WORK_SIZE, "pfgm.work.%s.%s", needs->sha256, kernel);
}

static size_t hash(const char *id)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *id; id++)
        h = (h ^ (unsigned char)*id) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

static struct jobs_entry **chain_of(const struct jobs_mirror *m, const char *id)
{
    return &m->chains[hash(id) & (m->size - 1)];
}

static void entry_free(struct jobs_entry *entry)
{
    free(entry->text);
    free(entry);
}

void jobs_mirror_clear(struct jobs_mirror *m)
{
    for (size_t i = 0; i < m->size; i++)
        while (m->chains[i]) {
            struct jobs_entry *entry = m->chains[i];
            m->chains[i] = entry->next;
            entry_free(entry);
        }
    free(m->chains);
    *m = (struct jobs_mirror){NULL};
}

struct jobs_entry *jobs_mirror_find(const struct jobs_mirror *m, const char *id)
{
    struct jobs_entry *entry = m->size ? *chain_of(m, id) : NULL;
    while (entry && strcmp(entry->id, id) != 0)
        entry = entry->next;
    return entry;
}

void jobs_mirror_remove(struct jobs_mirror *m, const char *id)
{
    struct jobs_entry **link = m->size ? chain_of(m, id) : NULL;
    while (link && *link && strcmp((*link)->id, id) != 0)
        link = &(*link)->next;
    if (!link || !*link)
        return;
    struct jobs_entry *entry = *link;
    *link = entry->next;
    entry_free(entry);
    m->count--;
}

static int grow(struct jobs_mirror *m, struct err *e)
{
    struct jobs_mirror larger = {.size = m->size ? 2 * m->size : 64, .count = m->count};
    larger.chains = calloc(larger.size, sizeof(struct jobs_entry *));
    if (!larger.chains)
        return err_fail_memory(e, larger.size * sizeof(struct jobs_entry *));
    for (size_t i = 0; i < m->size; i++)
        while (m->chains[i]) {
            struct jobs_entry *entry = m->chains[i], **to = chain_of(&larger, entry->id);
            m->chains[i] = entry->next;
            entry->next = *to;
            *to = entry;
        }
    free(m->chains);
    *m = larger;
    return 0;
}

static struct jobs_entry *find_or_add(struct jobs_mirror *m, const char *id, struct err *e)
{
    struct jobs_entry *entry = jobs_mirror_find(m, id);
    if (entry)
        return entry;
    if (strlen(id) >= sizeof entry->id) {
        err_fail(e, ERR_INPUT, id, "is not the id of a job");
        return NULL;
    }
    if (m->count == m->size && grow(m, e) != 0)
        return NULL;
    entry = calloc(1, sizeof *entry);
    if (!entry) {
        err_fail_memory(e, sizeof *entry);
        return NULL;
    }
    snprintf(entry->id, sizeof entry->id, "%s", id);
    entry->hash = hash(id);
    struct jobs_entry **chain = chain_of(m, id);
    entry->next = *chain;
    *chain = entry;
    m->count++;
    return entry;
}

int jobs_mirror_record(struct jobs_mirror *m, const char *id, const void *text, size_t length,
                       uint64_t revision, struct err *e)
{
    struct jobs_record r;
    struct jobs_entry *entry = find_or_add(m, id, e);
    if (!entry || jobs_json_read(text, length, id, &r, e) != 0)
        return -1;
    entry->is_record_seen = true;
    if (entry->text && entry->revision >= revision)
        return 0;
    char *copy = malloc(length + 1);
    if (!copy)
        return err_fail_memory(e, length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    free(entry->text);
    entry->text = copy;
    entry->length = length;
    entry->revision = revision;
    snprintf(entry->owner, sizeof entry->owner, "%s", r.owner);
    jobs_mirror_work(&r.needs, entry->work);
    entry->state = r.state;
    entry->number = r.number ? r.number : revision;
    entry->n = r.n;
    entry->bytes = r.bytes;
    entry->finished_ms = r.finished_ms;
    return 1;
}

int jobs_mirror_handed(struct jobs_mirror *m, const char *id, const void *text, size_t length,
                       uint64_t revision, struct err *e)
{
    char copy[64];
    struct jobs_entry *entry = find_or_add(m, id, e);
    if (!entry)
        return -1;
    snprintf(copy, sizeof copy, "%.*s", (int)length, (const char *)text);
    if (entry->handed_revision >= revision)
        return 0;
    if (sscanf(copy, "%" SCNu64 " %" SCNu64, &entry->handed, &entry->round) != 2)
        return err_fail(e, ERR_INPUT, id, "it is not known how far the job was handed out");
    entry->handed_revision = revision;
    return 1;
}

void jobs_mirror_begin(struct jobs_mirror *m)
{
    for (size_t i = 0; i < m->size; i++)
        for (struct jobs_entry *entry = m->chains[i]; entry; entry = entry->next) {
            entry->is_record_seen = false;
            entry->revision = entry->handed_revision = 0; /* whatever is read is news */
            entry->handed = entry->round = 0;
            entry->seen_count = 0;
            entry->seen_ns = entry->asked_ns = 0;
        }
}

void jobs_mirror_end(struct jobs_mirror *m)
{
    for (size_t i = 0; i < m->size; i++)
        for (struct jobs_entry **link = &m->chains[i]; *link;) {
            struct jobs_entry *entry = *link;
            if (entry->is_record_seen) {
                link = &entry->next;
                continue;
            }
            *link = entry->next;
            entry_free(entry);
            m->count--;
        }
}

struct jobs_entry *jobs_mirror_next(const struct jobs_mirror *m, const struct jobs_entry *at)
{
    struct jobs_entry *entry = at ? at->next : NULL;
    size_t i = at ? (at->hash & (m->size - 1)) + 1 : 0;
    for (;;) {
        for (; entry; entry = entry->next)
            if (entry->text)
                return entry;
        if (i >= m->size)
            return NULL;
        entry = m->chains[i++];
    }
}

int jobs_mirror_read(const struct jobs_entry *entry, struct jobs_record *out, struct err *e)
{
    if (jobs_json_read(entry->text, entry->length, entry->id, out, e) != 0)
        return -1;
    out->number = entry->number;
    out->revision = entry->revision;
    return 0;
}
