/* The store of one daemon: jobs in an SQLite file that the process has to itself.
 *
 * There are two connections, one to write and one to read, so that whoever reads never waits for
 * whoever writes. A lock file beside the store keeps a second daemon out: two that hand out the
 * same work would both be wrong about it. What was handed out is known in memory only
 * (jobs_turns.h), so that after a restart whatever was not stored is handed out again. */
#include "jobs_sqlite.h"

#include "jobs_tables.h"
#include "jobs_turns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct sqlite_store {
    struct jobs_store store;
    struct jobs_db_format format;
    char path[1024];
    int lock_fd; /* held for as long as it is open */
    struct jobs_db *writer, *reader;
    struct jobs_turns turns; /* guarded by the writer's lock */
};

static struct sqlite_store *of(struct jobs_store *s)
{
    return (struct sqlite_store *)s;
}

static enum jobs_answer find(struct jobs_db *c, const char *id, struct jobs_record *out,
                             struct err *e)
{
    return jobs_one_record(c, jobs_db_query(c, SQL_GET, "t", id), out, e);
}

static void tell(struct jobs_store *s, const char *id)
{
    if (s->changed)
        s->changed(s->context, id);
}

/* ---- records ---- */

/* Whoever has the record's id or its owner's key; JOBS_ABSENT, which is no error here. */
static enum jobs_answer find_same(struct jobs_db *c, const struct jobs_record *r,
                                  struct jobs_record *there, struct err *e)
{
    struct err found = {0};
    enum jobs_answer answer = find(c, r->id, there, &found);
    if (answer == JOBS_ABSENT && r->key[0])
        answer = jobs_one_record(c, jobs_db_query(c, SQL_GET_KEY, "tt", r->owner, r->key), there,
                                 &found);
    if (answer != JOBS_ABSENT && answer != JOBS_DONE && e)
        *e = found;
    return answer;
}

static enum jobs_answer create_locked(struct sqlite_store *q, struct jobs_record *r, struct err *e)
{
    struct jobs_db *c = q->writer;
    struct jobs_record there;
    enum jobs_answer answer = jobs_db_begin(c, e);
    if (answer != JOBS_DONE)
        return answer;
    answer = find_same(c, r, &there, e);
    if (answer == JOBS_DONE)
        *r = there;
    if (answer != JOBS_ABSENT)
        return jobs_db_undo(c, answer == JOBS_DONE ? JOBS_CONFLICT : answer);
    if (!jobs_db_run(c, SQL_CREATE, "tttttttttitii", r->id, r->owner, r->key, r->body, r->label,
                     r->needs.model, r->needs.sha256, r->needs.kernel, r->needs.precision,
                     (int64_t)r->n, r->parameters, (int64_t)JOBS_QUEUED, r->submitted_ms))
        return jobs_db_undo(c, jobs_db_fail(c, e));
    r->number = (uint64_t)jobs_db_last_number(c);
    r->revision = 1;
    r->state = JOBS_QUEUED;
    r->started_ms = r->finished_ms = 0;
    r->images_done = r->bytes = 0;
    r->error = (struct err){.code = ERR_NONE};
    if (jobs_turns_add(&q->turns, r, e) != 0)
        return jobs_db_undo(c, JOBS_BROKEN);
    answer = jobs_db_commit(c, e);
    if (answer != JOBS_DONE)
        jobs_turns_remove(&q->turns, r->id);
    return answer;
}

static enum jobs_answer create(struct jobs_store *s, struct jobs_record *r, struct err *e)
{
    struct sqlite_store *q = of(s);
    jobs_db_lock(q->writer);
    enum jobs_answer answer = create_locked(q, r, e);
    jobs_db_unlock(q->writer);
    if (answer == JOBS_CONFLICT)
        err_fail(e, ERR_INPUT, "", "there is a job of that name already");
    if (answer == JOBS_DONE)
        tell(s, r->id);
    return answer;
}

static enum jobs_answer same(struct jobs_store *s, const struct jobs_record *r,
                             struct jobs_record *out, struct err *e)
{
    struct jobs_db *c = of(s)->reader;
    jobs_db_lock(c);
    enum jobs_answer answer = find_same(c, r, out, e);
    jobs_db_unlock(c);
    return answer;
}

static enum jobs_answer get(struct jobs_store *s, const char *id, struct jobs_record *out,
                            struct err *e)
{
    struct jobs_db *c = of(s)->reader;
    jobs_db_lock(c);
    enum jobs_answer answer = find(c, id, out, e);
    jobs_db_unlock(c);
    return answer;
}

static enum jobs_answer change_locked(struct sqlite_store *q, struct jobs_record *r, struct err *e)
{
    struct jobs_db *c = q->writer;
    struct jobs_record there;
    enum jobs_answer answer = jobs_db_begin(c, e);
    if (answer != JOBS_DONE)
        return answer;
    answer = find(c, r->id, &there, e);
    if (answer == JOBS_DONE && there.revision != r->revision) {
        err_fail(e, ERR_INPUT, "", "the job was changed meanwhile");
        answer = JOBS_CONFLICT;
    } else if (answer == JOBS_DONE && !jobs_state_may(there.state, r->state)) {
        err_fail(e, ERR_INTERNAL, "", "a job cannot go from %s to %s", jobs_state_word(there.state),
                 jobs_state_word(r->state));
        answer = JOBS_BROKEN;
    }
    if (answer != JOBS_DONE)
        return jobs_db_undo(c, answer);
    if (!jobs_db_run(c, SQL_CHANGE, "iiiittti", (int64_t)r->state, r->started_ms, r->finished_ms,
                     (int64_t)r->error.code, r->error.at, r->error.text, r->id,
                     (int64_t)r->revision))
        return jobs_db_undo(c, jobs_db_fail(c, e));
    answer = jobs_db_commit(c, e);
    if (answer != JOBS_DONE)
        return answer;
    r->revision++;
    if (r->state != JOBS_QUEUED && r->state != JOBS_RUNNING)
        jobs_turns_remove(&q->turns, r->id);
    return JOBS_DONE;
}

static enum jobs_answer change(struct jobs_store *s, struct jobs_record *r, struct err *e)
{
    struct sqlite_store *q = of(s);
    jobs_db_lock(q->writer);
    enum jobs_answer answer = change_locked(q, r, e);
    jobs_db_unlock(q->writer);
    if (answer == JOBS_DONE)
        tell(s, r->id);
    return answer;
}

static enum jobs_answer list(struct jobs_store *s, const struct jobs_query *wanted,
                             struct jobs_record *out, size_t *count, struct err *e)
{
    struct jobs_db *c = of(s)->reader;
    const int64_t before = wanted->before ? (int64_t)wanted->before : INT64_MAX;
    const size_t max = *count;
    enum jobs_answer answer = JOBS_DONE;
    enum jobs_db_step code = JOBS_DB_END;
    *count = 0;
    jobs_db_lock(c);
    struct jobs_rows *st =
        wanted->owner
            ? jobs_db_query(c, SQL_LIST_OWNED, "tiii", wanted->owner, before,
                            (int64_t)wanted->states, (int64_t)max)
            : jobs_db_query(c, SQL_LIST, "iii", before, (int64_t)wanted->states, (int64_t)max);
    while (*count < max && (code = jobs_db_next(st)) == JOBS_DB_ROW)
        if ((answer = jobs_read_record(c, st, &out[(*count)++], e)) != JOBS_DONE)
            break;
    if (answer == JOBS_DONE && code == JOBS_DB_ERROR)
        answer = jobs_db_fail(c, e);
    jobs_db_end(st);
    jobs_db_unlock(c);
    return answer;
}

static enum jobs_answer oldest(struct jobs_store *s, unsigned states, bool holding,
                               struct jobs_record *out, struct err *e)
{
    struct jobs_db *c = of(s)->reader;
    struct jobs_record found;
    enum jobs_answer answer = JOBS_ABSENT;
    jobs_db_lock(c);
    for (int state = 0; state < JOBS_STATES && answer != JOBS_BROKEN; state++) {
        if (!(states & JOBS_BIT(state)))
            continue;
        const enum jobs_answer one = jobs_one_record(
            c, jobs_db_query(c, SQL_OLDEST, "ii", (int64_t)state, (int64_t)holding), &found, e);
        if (one == JOBS_BROKEN)
            answer = one;
        if (one != JOBS_DONE || (answer == JOBS_DONE && found.finished_ms >= out->finished_ms))
            continue;
        *out = found;
        answer = JOBS_DONE;
    }
    jobs_db_unlock(c);
    return answer;
}

static enum jobs_answer sweep(struct jobs_store *s, const char *id, size_t max, struct err *e)
{
    struct jobs_db *c = of(s)->writer;
    jobs_db_lock(c);
    enum jobs_answer answer = jobs_db_begin(c, e);
    if (answer == JOBS_DONE &&
        (!jobs_db_run(c, SQL_SWEEP, "ti", id, (int64_t)max) || !jobs_db_run(c, SQL_SWEPT, "t", id)))
        answer = jobs_db_undo(c, jobs_db_fail(c, e));
    if (answer == JOBS_DONE)
        answer = jobs_db_commit(c, e);
    if (answer == JOBS_DONE)
        jobs_db_shrink(c);
    jobs_db_unlock(c);
    return answer;
}

static enum jobs_answer erase(struct jobs_store *s, const char *id, struct err *e)
{
    struct jobs_db *c = of(s)->writer;
    jobs_db_lock(c);
    enum jobs_answer answer = jobs_db_run(c, SQL_ERASE, "ti", id, (int64_t)JOBS_EXPIRED)
                                  ? JOBS_DONE
                                  : jobs_db_undo(c, jobs_db_fail(c, e));
    jobs_db_unlock(c);
    return answer;
}

static enum jobs_answer stats(struct jobs_store *s, struct jobs_store_stats *out, struct err *e)
{
    struct sqlite_store *q = of(s);
    struct jobs_db *c = q->reader;
    struct stat file;
    char wal[sizeof q->path + 8];
    enum jobs_db_step code = JOBS_DB_ERROR;
    *out = (struct jobs_store_stats){0};
    jobs_db_lock(c);
    struct jobs_rows *st = jobs_db_query(c, SQL_STATS, "");
    while ((code = jobs_db_next(st)) == JOBS_DB_ROW) {
        const int state = (int)jobs_db_integer(st, 0);
        if (state < 0 || state >= JOBS_STATES)
            continue;
        out->jobs[state] = (uint64_t)jobs_db_integer(st, 1);
        if (JOBS_FINISHED & JOBS_BIT(state))
            out->finished_bytes += (uint64_t)jobs_db_integer(st, 2);
    }
    enum jobs_answer answer = code == JOBS_DB_END ? jobs_db_there(c, e) : jobs_db_fail(c, e);
    jobs_db_end(st);
    jobs_db_unlock(c);
    jobs_db_lock(q->writer);
    out->images_waiting = jobs_turns_waiting(&q->turns, &out->unserved);
    jobs_db_unlock(q->writer);
    snprintf(wal, sizeof wal, "%s-wal", q->path);
    out->file_bytes = stat(q->path, &file) == 0 ? (uint64_t)file.st_size : 0;
    out->file_bytes += stat(wal, &file) == 0 ? (uint64_t)file.st_size : 0;
    return answer;
}

/* Those of one state: an index knows them without the records. */
static enum jobs_answer count_state(struct jobs_db *c, const struct jobs_query *wanted, int state,
                                    uint64_t *out, struct err *e)
{
    const int64_t before = wanted->before ? (int64_t)wanted->before : INT64_MAX;
    struct jobs_rows *rows =
        wanted->owner
            ? jobs_db_query(c, SQL_COUNT_OWNED, "iit", (int64_t)state, before, wanted->owner)
            : jobs_db_query(c, SQL_COUNT, "ii", (int64_t)state, before);
    const bool is_read = jobs_db_next(rows) == JOBS_DB_ROW;
    if (is_read)
        *out += (uint64_t)jobs_db_integer(rows, 0);
    const enum jobs_answer answer = is_read ? JOBS_DONE : jobs_db_fail(c, e);
    jobs_db_end(rows);
    return answer;
}

static enum jobs_answer count_records(struct jobs_store *s, const struct jobs_query *wanted,
                                      uint64_t *out, struct err *e)
{
    struct jobs_db *c = of(s)->reader;
    enum jobs_answer answer = JOBS_DONE;
    *out = 0;
    jobs_db_lock(c);
    for (int state = 0; state < JOBS_STATES && answer == JOBS_DONE; state++)
        if (wanted->states & JOBS_BIT(state))
            answer = count_state(c, wanted, state, out, e);
    jobs_db_unlock(c);
    return answer;
}

/* ---- results ---- */

/* Adds the rows, and to *r what they are. */
static bool insert_results(struct jobs_db *c, struct jobs_record *r,
                           const struct jobs_result *results, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        const struct jobs_result *one = &results[k];
        if (!jobs_db_run(c, SQL_PUT, "iiiiiitb", (int64_t)r->number, (int64_t)one->index,
                         (int64_t)r->images_done + 1, (int64_t)one->label, one->nfe,
                         one->steps_rejected, one->sha256, one->bytes, one->length))
            return false;
        if (!jobs_db_changed(c))
            continue; /* it is there already */
        r->images_done++;
        r->bytes += one->length;
    }
    return true;
}

static enum jobs_answer put_locked(struct sqlite_store *q, const char *id,
                                   const struct jobs_result *results, size_t count, struct err *e)
{
    struct jobs_db *c = q->writer;
    struct jobs_record r;
    enum jobs_answer answer = jobs_db_begin(c, e);
    if (answer != JOBS_DONE)
        return answer;
    answer = find(c, id, &r, e);
    if (answer == JOBS_DONE && !(JOBS_LIVE & JOBS_BIT(r.state))) {
        err_fail(e, ERR_INPUT, "", "the job has ended");
        answer = JOBS_ABSENT;
    }
    if (answer != JOBS_DONE)
        return jobs_db_undo(c, answer);
    if (!insert_results(c, &r, results, count))
        return jobs_db_undo(c, jobs_db_fail(c, e));
    const bool last = r.state == JOBS_RUNNING && r.images_done == r.n;
    if (last) {
        r.state = JOBS_SUCCEEDED;
        r.finished_ms = jobs_now_ms();
    }
    if (!jobs_db_run(c, SQL_PROGRESS, "iiiiii", (int64_t)r.images_done, (int64_t)r.bytes,
                     (int64_t)r.state, r.finished_ms, (int64_t)last, (int64_t)r.number))
        return jobs_db_undo(c, jobs_db_fail(c, e));
    answer = jobs_db_commit(c, e);
    if (answer == JOBS_DONE && last)
        jobs_turns_remove(&q->turns, id);
    return answer;
}

static enum jobs_answer put_results(struct jobs_store *s, const char *id,
                                    const struct jobs_result *results, size_t count, struct err *e)
{
    struct sqlite_store *q = of(s);
    jobs_db_lock(q->writer);
    enum jobs_answer answer = put_locked(q, id, results, count, e);
    jobs_db_unlock(q->writer);
    if (answer == JOBS_DONE)
        tell(s, id);
    return answer;
}

/* A row of SQL_RESULT; its digest is held to its bytes, as SQLite itself does not look at them. */
static enum jobs_answer take_bytes(struct jobs_db *c, struct jobs_rows *st, struct jobs_result *out,
                                   struct buf *bytes, struct err *e)
{
    char sha256[SHA256_HEX_SIZE];
    const enum jobs_answer answer = jobs_read_result(c, st, out, e);
    if (answer != JOBS_DONE)
        return answer;
    const void *stored = jobs_db_bytes(st, JOBS_COLUMN_BYTES, &out->length);
    if (!jobs_db_is_whole(st))
        return jobs_db_fail(c, e);
    if (buf_append(bytes, stored, out->length, e) != 0 ||
        sha256_hex(bytes->data, bytes->length, sha256, e) != 0)
        return JOBS_BROKEN;
    out->bytes = bytes->data;
    if (strcmp(sha256, out->sha256) == 0)
        return JOBS_DONE;
    err_fail(e, ERR_INPUT, jobs_db_path(c),
             "the job store is damaged: the bytes of an image are not those that were stored");
    return JOBS_BROKEN;
}

static enum jobs_answer get_result(struct jobs_store *s, const char *id, uint64_t index,
                                   struct jobs_result *out, struct buf *bytes, struct err *e)
{
    struct jobs_db *c = of(s)->reader;
    jobs_db_lock(c);
    struct jobs_rows *st = jobs_db_query(c, SQL_RESULT, "ti", id, (int64_t)index);
    const enum jobs_db_step code = jobs_db_next(st);
    const enum jobs_answer answer = code == JOBS_DB_ROW   ? take_bytes(c, st, out, bytes, e)
                                    : code == JOBS_DB_END ? JOBS_ABSENT
                                                          : jobs_db_fail(c, e);
    if (answer == JOBS_ABSENT)
        err_fail(e, ERR_INPUT, "", "this image is not there yet");
    jobs_db_end(st);
    jobs_db_unlock(c);
    return answer;
}

static enum jobs_answer log_results(struct jobs_store *s, const char *id, uint64_t after,
                                    struct jobs_result *out, size_t *count, struct err *e)
{
    struct jobs_db *c = of(s)->reader;
    const size_t max = *count;
    enum jobs_answer answer = JOBS_DONE;
    enum jobs_db_step code = JOBS_DB_END;
    *count = 0;
    jobs_db_lock(c);
    struct jobs_rows *st = jobs_db_query(c, SQL_LOG, "tii", id, (int64_t)after, (int64_t)max);
    while (answer == JOBS_DONE && *count < max && (code = jobs_db_next(st)) == JOBS_DB_ROW)
        answer = jobs_read_result(c, st, &out[(*count)++], e);
    if (answer == JOBS_DONE && code == JOBS_DB_ERROR)
        answer = jobs_db_fail(c, e);
    jobs_db_end(st);
    jobs_db_unlock(c);
    return answer;
}

/* ---- work ---- */

static void offer(struct jobs_store *s, const struct jobs_needs *models, size_t count)
{
    struct sqlite_store *q = of(s);
    jobs_db_lock(q->writer);
    jobs_turns_offer(&q->turns, models, count);
    jobs_db_unlock(q->writer);
}

/* The first images of the range in a row that are not stored, at most a shard's; what follows them
 * is handed out later. JOBS_ABSENT: all are. */
static enum jobs_answer find_missing(struct jobs_db *c, struct jobs_turn *turn,
                                     struct jobs_range range, struct jobs_shard *out, struct err *e)
{
    struct jobs_range free_run = range;
    enum jobs_db_step code = JOBS_DB_ERROR;
    struct jobs_rows *st = jobs_db_query(c, SQL_STORED, "iii", (int64_t)turn->number,
                                         (int64_t)range.first, (int64_t)range.end);
    while ((code = jobs_db_next(st)) == JOBS_DB_ROW) {
        const uint64_t i = (uint64_t)jobs_db_integer(st, 0);
        if (i != free_run.first) {
            free_run.end = i;
            break;
        }
        free_run.first++;
    }
    enum jobs_answer answer =
        code == JOBS_DB_END || code == JOBS_DB_ROW ? JOBS_DONE : jobs_db_fail(c, e);
    jobs_db_end(st);
    if (answer != JOBS_DONE)
        return answer;
    jobs_turns_again(turn, (struct jobs_range){free_run.end, range.end});
    if (free_run.first == free_run.end)
        return JOBS_ABSENT;
    memcpy(out->id, turn->id, sizeof out->id);
    out->first = free_run.first;
    out->count = (size_t)(free_run.end - free_run.first);
    return JOBS_DONE;
}

static enum jobs_answer take_shard(struct jobs_store *s, const struct jobs_needs *models,
                                   size_t count, struct jobs_shard *out, struct err *e)
{
    struct sqlite_store *q = of(s);
    struct jobs_range range;
    enum jobs_answer answer = JOBS_ABSENT;
    struct jobs_turn *turn;
    jobs_db_lock(q->writer);
    while (answer == JOBS_ABSENT &&
           (turn = jobs_turns_next(&q->turns, models, count, &range)) != NULL) {
        answer = find_missing(q->writer, turn, range, out, e);
        if (answer == JOBS_BROKEN || answer == JOBS_FULL)
            jobs_turns_again(turn, range);
    }
    jobs_db_unlock(q->writer);
    return answer;
}

static void end_shard(struct jobs_store *s, const struct jobs_shard *shard, bool again)
{
    struct sqlite_store *q = of(s);
    if (!again)
        return;
    jobs_db_lock(q->writer);
    struct jobs_turn *turn = jobs_turns_find(&q->turns, shard->id);
    if (turn)
        jobs_turns_again(turn, (struct jobs_range){shard->first, shard->first + shard->count});
    jobs_db_unlock(q->writer);
}

/* ---- opening ---- */

static void close_store(struct jobs_store *s)
{
    struct sqlite_store *q = of(s);
    jobs_db_close(q->reader);
    jobs_db_close(q->writer); /* last, so that the log goes into the file */
    jobs_turns_clear(&q->turns);
    if (q->lock_fd >= 0)
        close(q->lock_fd);
    free(q);
}

static const struct jobs_store_ops sqlite_ops = {
    .close = close_store,
    .create = create,
    .same = same,
    .get = get,
    .peek = get,
    .change = change,
    .list = list,
    .oldest = oldest,
    .sweep = sweep,
    .erase = erase,
    .stats = stats,
    .count = count_records,
    .put_results = put_results,
    .get_result = get_result,
    .log = log_results,
    .offer = offer,
    .take_shard = take_shard,
    .end_shard = end_shard,
};

static enum jobs_answer lock_folder(struct sqlite_store *q, const char *folder, struct err *e)
{
    char path[sizeof q->path];
    snprintf(path, sizeof path, "%s/lock", folder);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        err_fail_errno(e, errno, folder, "make the job store's folder");
        return errno == ENOSPC ? JOBS_FULL : JOBS_BROKEN;
    }
    q->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (q->lock_fd < 0) {
        err_fail_errno(e, errno, path, "open the job store's lock");
        return errno == ENOSPC ? JOBS_FULL : JOBS_BROKEN;
    }
    if (flock(q->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return JOBS_DONE;
    err_fail(e, ERR_IO, folder,
             "the job store is in use by another pfgmd: give each one a folder of its own");
    return JOBS_BROKEN;
}

/* The jobs that are to go on, the oldest first. */
static enum jobs_answer load_turns(struct sqlite_store *q, struct err *e)
{
    struct jobs_record r;
    enum jobs_answer answer = JOBS_DONE;
    enum jobs_db_step step = JOBS_DB_END;
    struct jobs_rows *rows = jobs_db_query(
        q->writer, SQL_GO_ON, "i", (int64_t)(JOBS_BIT(JOBS_QUEUED) | JOBS_BIT(JOBS_RUNNING)));
    while (answer == JOBS_DONE && (step = jobs_db_next(rows)) == JOBS_DB_ROW) {
        answer = jobs_read_record(q->writer, rows, &r, e);
        if (answer == JOBS_DONE && jobs_turns_add(&q->turns, &r, e) != 0)
            answer = JOBS_BROKEN;
    }
    if (answer == JOBS_DONE && step != JOBS_DB_END)
        answer = jobs_db_fail(q->writer, e);
    jobs_db_end(rows);
    return answer;
}

enum jobs_answer jobs_sqlite_open(const char *folder, struct jobs_store **out, struct err *e)
{
    struct sqlite_store *q = calloc(1, sizeof *q);
    if (!q) {
        err_fail_memory(e, sizeof *q);
        return JOBS_BROKEN;
    }
    q->store.ops = &sqlite_ops;
    q->lock_fd = -1;
    q->format = jobs_tables;
    q->format.path = q->path;
    enum jobs_answer answer = JOBS_BROKEN;
    if (strlen(folder) + sizeof "/jobs.sqlite3-wal" > sizeof q->path)
        err_fail(e, ERR_LIMIT, folder, "is too long for the name of a folder");
    else
        answer = lock_folder(q, folder, e);
    snprintf(q->path, sizeof q->path, "%s/jobs.sqlite3", folder);
    if (answer == JOBS_DONE)
        answer = jobs_db_open(&q->format, true, &q->writer, e);
    if (answer == JOBS_DONE)
        answer = jobs_db_open(&q->format, false, &q->reader, e);
    if (answer == JOBS_DONE)
        answer = load_turns(q, e);
    if (answer == JOBS_DONE)
        *out = &q->store;
    else
        close_store(&q->store);
    return answer;
}
