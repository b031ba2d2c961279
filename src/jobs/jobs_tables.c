/* What the SQLite store's file holds. Its version rises with every change here that an older pfgmd
 * could not live with. */
#include "jobs_tables.h"

#include "nn_kernel.h"

#include <stdio.h>
#include <string.h>

#define APPLICATION_ID 0x7066676d /* "pfgm", in the file's header */
/* Of the tables. A file of another version is refused: it is a newer pfgmd's, or whoever raises the
 * version has not said how an older file is brought up to it. */
#define VERSION 1

static const char schema[] =
    "CREATE TABLE job(number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner "
    "TEXT NOT NULL,"
    " key TEXT, body TEXT NOT NULL, label TEXT NOT NULL, model TEXT NOT NULL,"
    " sha256 TEXT NOT NULL, kernel TEXT NOT NULL, precision TEXT NOT NULL, n INTEGER NOT NULL,"
    " parameters TEXT NOT NULL, revision INTEGER NOT NULL, state INTEGER NOT NULL,"
    " submitted INTEGER NOT NULL, started INTEGER NOT NULL, finished INTEGER NOT NULL,"
    " done INTEGER NOT NULL, bytes INTEGER NOT NULL, error_code INTEGER NOT NULL,"
    " error_at TEXT NOT NULL, error_text TEXT NOT NULL);"
    "CREATE UNIQUE INDEX job_key ON job(owner, key) WHERE key IS NOT NULL;"
    "CREATE INDEX job_owner ON job(owner, number);"
    "CREATE INDEX job_state ON job(state, finished, bytes);"
    /* The bytes come last, so that the rest is read without them. */
    "CREATE TABLE result(job INTEGER NOT NULL, i INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    " label INTEGER NOT NULL, nfe INTEGER NOT NULL, rejected INTEGER NOT NULL,"
    " sha256 TEXT NOT NULL, bytes BLOB NOT NULL);"
    "CREATE UNIQUE INDEX result_index ON result(job, i);"
    "CREATE UNIQUE INDEX result_sequence ON result(job, sequence);";

#define RECORD                                                                                     \
    "SELECT number, id, owner, key, body, label, model, sha256, kernel, precision, n, parameters," \
    " revision, state, submitted, started, finished, done, bytes, error_code, error_at,"           \
    " error_text FROM job "

static const char *const sql_text[SQL_COUNT_OF] = {
    [SQL_CREATE] = "INSERT INTO job(id, owner, key, body, label, model, sha256, kernel, precision,"
                   " n, parameters, revision, state, submitted, started, finished, done, bytes,"
                   " error_code, error_at, error_text) VALUES(?, ?, nullif(?, ''), ?, ?, ?, ?, ?,"
                   " ?, ?, ?, 1, ?, ?, 0, 0, 0, 0, 0, '', '')",
    [SQL_GET] = RECORD "WHERE id = ?",
    [SQL_GET_KEY] = RECORD "WHERE owner = ? AND key = ?",
    [SQL_CHANGE] = "UPDATE job SET state = ?, started = ?, finished = ?, error_code = ?,"
                   " error_at = ?, error_text = ?, revision = revision + 1"
                   " WHERE id = ? AND revision = ?",
    [SQL_LIST] = RECORD "WHERE number < ? AND (? >> state) & 1 ORDER BY number DESC LIMIT ?",
    [SQL_LIST_OWNED] =
        RECORD "WHERE owner = ? AND number < ? AND (? >> state) & 1 ORDER BY number DESC LIMIT ?",
    [SQL_GO_ON] = RECORD "WHERE (? >> state) & 1 ORDER BY number",
    [SQL_OLDEST] = RECORD "WHERE state = ? AND bytes >= ? ORDER BY finished LIMIT 1",
    [SQL_STATS] = "SELECT state, count(*), sum(bytes) FROM job GROUP BY state",
    [SQL_COUNT] = "SELECT count(*) FROM job WHERE state = ? AND number < ?",
    [SQL_COUNT_OWNED] = "SELECT count(*) FROM job WHERE state = ? AND number < ? AND owner = ?",
    [SQL_SWEEP] = "DELETE FROM result WHERE rowid IN (SELECT rowid FROM result"
                  " WHERE job = (SELECT number FROM job WHERE id = ?) LIMIT ?)",
    [SQL_SWEPT] = "UPDATE job SET bytes = 0 WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM result"
                  " WHERE job = (SELECT number FROM job WHERE id = ?1))",
    [SQL_ERASE] = "DELETE FROM job WHERE id = ? AND state = ? AND bytes = 0",
    [SQL_PUT] = "INSERT INTO result(job, i, sequence, label, nfe, rejected, sha256,"
                " bytes) VALUES(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(job, i) DO NOTHING",
    [SQL_PROGRESS] = "UPDATE job SET done = ?, bytes = ?, state = ?, finished = ?,"
                     " revision = revision + ? WHERE number = ?",
    [SQL_RESULT] = "SELECT i, sequence, label, nfe, rejected, sha256, bytes FROM result"
                   " WHERE job = (SELECT number FROM job WHERE id = ?) AND i = ?",
    [SQL_LOG] = "SELECT i, sequence, label, nfe, rejected, sha256 FROM result"
                " WHERE job = (SELECT number FROM job WHERE id = ?) AND sequence > ?"
                " ORDER BY sequence LIMIT ?",
    [SQL_STORED] = "SELECT i FROM result WHERE job = ? AND i >= ? AND i < ? ORDER BY i",
};

const struct jobs_db_format jobs_tables = {
    .application = APPLICATION_ID,
    .version = VERSION,
    .schema = schema,
    .table = "job",
    .sql = sql_text,
    .sql_count = SQL_COUNT_OF,
};

#define READ_TEXT(rows, column, out) jobs_db_text(rows, column, out, sizeof(out))

enum jobs_answer jobs_read_record(const struct jobs_db *db, struct jobs_rows *rows,
                                  struct jobs_record *r, struct err *e)
{
    const int64_t state = jobs_db_integer(rows, 13);
    char kernel[sizeof r->needs.kernel];
    memset(r, 0, sizeof *r);
    r->number = (uint64_t)jobs_db_integer(rows, 0);
    READ_TEXT(rows, 1, r->id);
    READ_TEXT(rows, 2, r->owner);
    READ_TEXT(rows, 3, r->key);
    READ_TEXT(rows, 4, r->body);
    READ_TEXT(rows, 5, r->label);
    READ_TEXT(rows, 6, r->needs.model);
    READ_TEXT(rows, 7, r->needs.sha256);
    READ_TEXT(rows, 8, kernel);
    snprintf(r->needs.kernel, sizeof r->needs.kernel, "%s", nn_kernel_id_now(kernel));
    READ_TEXT(rows, 9, r->needs.precision);
    r->n = (uint64_t)jobs_db_integer(rows, 10);
    READ_TEXT(rows, 11, r->parameters);
    r->revision = (uint64_t)jobs_db_integer(rows, 12);
    r->state = (enum jobs_state)state;
    r->submitted_ms = jobs_db_integer(rows, 14);
    r->started_ms = jobs_db_integer(rows, 15);
    r->finished_ms = jobs_db_integer(rows, 16);
    r->images_done = (uint64_t)jobs_db_integer(rows, 17);
    r->bytes = (uint64_t)jobs_db_integer(rows, 18);
    r->error.code = (enum err_code)jobs_db_integer(rows, 19);
    READ_TEXT(rows, 20, r->error.at);
    READ_TEXT(rows, 21, r->error.text);
    if (!jobs_db_is_whole(rows))
        return jobs_db_fail(db, e);
    if (state >= 0 && state < JOBS_STATES)
        return JOBS_DONE;
    err_fail(e, ERR_INPUT, jobs_db_path(db), "the job store is damaged: a job is in no state");
    return JOBS_BROKEN;
}

enum jobs_answer jobs_one_record(const struct jobs_db *db, struct jobs_rows *rows,
                                 struct jobs_record *out, struct err *e)
{
    const enum jobs_db_step step = jobs_db_next(rows);
    enum jobs_answer answer = step == JOBS_DB_ROW   ? jobs_read_record(db, rows, out, e)
                              : step == JOBS_DB_END ? JOBS_ABSENT
                                                    : jobs_db_fail(db, e);
    if (answer == JOBS_ABSENT)
        err_fail(e, ERR_INPUT, "", "there is no such job");
    jobs_db_end(rows);
    return answer;
}

enum jobs_answer jobs_read_result(const struct jobs_db *db, struct jobs_rows *rows,
                                  struct jobs_result *out, struct err *e)
{
    *out = (struct jobs_result){
        .index = (uint64_t)jobs_db_integer(rows, 0),
        .sequence = (uint64_t)jobs_db_integer(rows, 1),
        .label = (int32_t)jobs_db_integer(rows, 2),
        .nfe = jobs_db_integer(rows, 3),
        .steps_rejected = jobs_db_integer(rows, 4),
    };
    READ_TEXT(rows, 5, out->sha256);
    return jobs_db_is_whole(rows) ? JOBS_DONE : jobs_db_fail(db, e);
}
