/* The only file that sees SQLite.
 *
 * The file is in WAL mode, so that whoever reads never waits for whoever writes, and each commit is
 * synced before it is answered (synchronous = FULL): what was acknowledged outlives a power loss. A
 * transaction is undone whole where any of it fails, so a full disk leaves what was there. */
#include "jobs_db.h"

#include "base_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_MS 10000
#define PAGE_BYTES "8192" /* several small pictures a page */
#define CACHE_KIB "8192"  /* of each connection */

enum { BEGIN, COMMIT, ROLLBACK, OWN };
static const char *const own_sql[OWN] = {"BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"};

struct jobs_db {
    pthread_mutex_t lock;
    sqlite3 *sqlite;
    const struct jobs_db_format *format;
    struct stat file;        /* the one that is open */
    sqlite3_stmt **prepared; /* [OWN + format->sql_count], NULL until asked for */
};

/* ---- errors ---- */

static bool is_full(int code, int system)
{
    return (code & 0xff) == SQLITE_FULL ||
           ((code & 0xff) == SQLITE_IOERR &&
            (system == ENOSPC || system == EFBIG || system == EDQUOT));
}

static enum jobs_answer fail_damaged(const struct jobs_db *db, const char *how, struct err *e)
{
    err_fail(e, ERR_INPUT, db->format->path,
             "the job store is damaged (%s): stop pfgmd, move the file away or put a good copy in "
             "its place, and start again",
             how);
    return JOBS_BROKEN;
}

/* The file, or one of those that SQLite keeps beside it. SQLite says for every reason that it
 * cannot be opened; the system says which one it is. */
static enum jobs_answer fail_unopened(const char *path, int system, struct err *e)
{
    if (system == EMFILE || system == ENFILE)
        err_fail(e, ERR_IO, path,
                 "the job store cannot be opened: %s; raise the limit of open files (LimitNOFILE, "
                 "ulimit -n), or lower connections",
                 strerror(system));
    else if (system == 0 || system == EACCES || system == EPERM || system == EROFS)
        err_fail(e, ERR_IO, path,
                 "the job store cannot be written: give pfgmd's user the right to write the file "
                 "and its folder");
    else if (system == ENOENT) /* of a second try, to read what is not there */
        err_fail(e, ERR_IO, path,
                 "the files beside the job store cannot be made: give pfgmd's user the right to "
                 "write its folder; or too many files are open");
    else
        err_fail_errno(e, system, path, "open the job store");
    return JOBS_BROKEN;
}

/* What the disk did not do. Without a reason it gave fewer bytes than the file has. */
static enum jobs_answer fail_disk(const char *path, int code, int system, struct err *e)
{
    if (code == SQLITE_IOERR_NOMEM || system == ENOMEM)
        err_fail(e, ERR_MEMORY, path, "out of memory");
    else
        err_fail(e, ERR_IO, path,
                 "the disk of the job store fails: %s; look at the disk and at the system's log",
                 system ? strerror(system) : sqlite3_errstr(code));
    return JOBS_BROKEN;
}

enum jobs_answer jobs_db_fail(const struct jobs_db *db, struct err *e)
{
    const char *path = db->format->path;
    const int code = sqlite3_extended_errcode(db->sqlite), system = errno;
    if (is_full(code, system)) {
        err_fail(e, ERR_LIMIT, path, "the job store is full: make room on its disk");
        return JOBS_FULL;
    }
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        if (system == EIO || system == ENXIO) /* SQLite takes a disk that does not read for that */
            return fail_disk(path, code, system, e);
        return fail_damaged(db, sqlite3_errmsg(db->sqlite), e);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return fail_unopened(path, system, e);
    case SQLITE_NOMEM:
        err_fail(e, ERR_MEMORY, path, "out of memory");
        return JOBS_BROKEN;
    case SQLITE_IOERR:
        return fail_disk(path, code, system, e);
    default:
        err_fail(e, ERR_IO, path, "the job store does not answer: %s", sqlite3_errmsg(db->sqlite));
        return JOBS_BROKEN;
    }
}

/* ---- statements ---- */

static sqlite3_stmt *prepare(struct jobs_db *db, int at)
{
    const char *text = at < OWN ? own_sql[at] : db->format->sql[at - OWN];
    sqlite3_stmt **st = &db->prepared[at];
    errno = 0; /* SQLite's own sqlite3_system_errno does not know of the log's writes */
    if (!*st)
        sqlite3_prepare_v3(db->sqlite, text, -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
    return *st;
}

static void bind_values(sqlite3_stmt *st, const char *format, va_list values)
{
    for (int i = 1; *format; i++, format++) {
        if (*format == 't') {
            sqlite3_bind_text(st, i, va_arg(values, const char *), -1, SQLITE_STATIC);
        } else if (*format == 'i') {
            sqlite3_bind_int64(st, i, va_arg(values, int64_t));
        } else {
            const void *bytes = va_arg(values, const void *);
            sqlite3_bind_blob64(st, i, bytes, va_arg(values, size_t), SQLITE_STATIC);
        }
    }
}

static void reset(sqlite3_stmt *st)
{
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

static bool run_own(struct jobs_db *db, int at)
{
    sqlite3_stmt *st = prepare(db, at);
    return st && sqlite3_step(st) == SQLITE_DONE && sqlite3_reset(st) == SQLITE_OK;
}

/* struct jobs_rows is SQLite's statement under another name. */
struct jobs_rows *jobs_db_query(struct jobs_db *db, int sql, const char *format, ...)
{
    sqlite3_stmt *st = prepare(db, OWN + sql);
    va_list values;
    va_start(values, format);
    if (st)
        bind_values(st, format, values);
    va_end(values);
    return (struct jobs_rows *)st;
}

static sqlite3_stmt *statement(struct jobs_rows *rows)
{
    return (sqlite3_stmt *)rows;
}

enum jobs_db_step jobs_db_next(struct jobs_rows *rows)
{
    const int code = rows ? sqlite3_step(statement(rows)) : SQLITE_ERROR;
    return code == SQLITE_ROW ? JOBS_DB_ROW : code == SQLITE_DONE ? JOBS_DB_END : JOBS_DB_ERROR;
}

int64_t jobs_db_integer(struct jobs_rows *rows, int column)
{
    return sqlite3_column_int64(statement(rows), column);
}

void jobs_db_text(struct jobs_rows *rows, int column, char *out, size_t size)
{
    const unsigned char *text = sqlite3_column_text(statement(rows), column);
    snprintf(out, size, "%s", text ? (const char *)text : "");
}

const void *jobs_db_bytes(struct jobs_rows *rows, int column, size_t *length)
{
    const void *bytes = sqlite3_column_blob(statement(rows), column);
    *length = (size_t)sqlite3_column_bytes(statement(rows), column);
    return bytes;
}

bool jobs_db_is_whole(struct jobs_rows *rows)
{
    return sqlite3_errcode(sqlite3_db_handle(statement(rows))) != SQLITE_NOMEM;
}

void jobs_db_end(struct jobs_rows *rows)
{
    if (rows)
        reset(statement(rows));
}

bool jobs_db_run(struct jobs_db *db, int sql, const char *format, ...)
{
    sqlite3_stmt *st = prepare(db, OWN + sql);
    va_list values;
    if (!st)
        return false;
    va_start(values, format);
    bind_values(st, format, values);
    va_end(values);
    return sqlite3_step(st) == SQLITE_DONE && sqlite3_reset(st) == SQLITE_OK;
}

int64_t jobs_db_last_number(const struct jobs_db *db)
{
    return sqlite3_last_insert_rowid(db->sqlite);
}

bool jobs_db_changed(const struct jobs_db *db)
{
    return sqlite3_changes(db->sqlite) > 0;
}

enum jobs_answer jobs_db_there(const struct jobs_db *db, struct err *e)
{
    struct stat st;
    bool is_there = false;
    if (file_look(db->format->path, true, &is_there, &st, e) != 0)
        return JOBS_BROKEN;
    if (is_there && st.st_dev == db->file.st_dev && st.st_ino == db->file.st_ino)
        return JOBS_DONE;
    err_fail(
        e, ERR_IO, db->format->path,
        "the job store was moved or deleted while pfgmd ran: put it back, or start pfgmd again "
        "with an empty one");
    return JOBS_BROKEN;
}

enum jobs_answer jobs_db_begin(struct jobs_db *db, struct err *e)
{
    if (jobs_db_there(db, e) != JOBS_DONE)
        return JOBS_BROKEN; /* what is written now would be gone with the process */
    return run_own(db, BEGIN) ? JOBS_DONE : jobs_db_undo(db, jobs_db_fail(db, e));
}

enum jobs_answer jobs_db_undo(struct jobs_db *db, enum jobs_answer answer)
{
    for (size_t i = 0; i < OWN + db->format->sql_count; i++)
        if (db->prepared[i])
            reset(db->prepared[i]);
    if (!sqlite3_get_autocommit(db->sqlite)) /* SQLite may have undone it by itself */
        run_own(db, ROLLBACK);
    if (answer == JOBS_FULL) /* as much of the log as fits into the file, so that it begins anew */
        sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return answer;
}

enum jobs_answer jobs_db_commit(struct jobs_db *db, struct err *e)
{
    return run_own(db, COMMIT) ? JOBS_DONE : jobs_db_undo(db, jobs_db_fail(db, e));
}

void jobs_db_shrink(struct jobs_db *db)
{
    sqlite3_exec(db->sqlite, "PRAGMA incremental_vacuum", NULL, NULL, NULL);
}

/* ---- opening ---- */

static bool execute(struct jobs_db *db, const char *sql)
{
    errno = 0;
    return sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* The first value of a statement's first row, as a text; "" for a number or text without one. */
static bool ask(struct jobs_db *db, const char *sql, char *out, size_t size)
{
    sqlite3_stmt *st = NULL;
    errno = 0;
    bool found = sqlite3_prepare_v2(db->sqlite, sql, -1, &st, NULL) == SQLITE_OK &&
                 sqlite3_step(st) == SQLITE_ROW;
    if (found) {
        jobs_db_text((struct jobs_rows *)st, 0, out, size);
        found = jobs_db_is_whole((struct jobs_rows *)st);
    }
    sqlite3_finalize(st);
    return found;
}

/* All tables at once, and the number that says whose they are. */
static enum jobs_answer make_tables(struct jobs_db *db, struct err *e)
{
    char numbers[96];
    snprintf(numbers, sizeof numbers, "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             db->format->application, db->format->version);
    if (execute(db, "PRAGMA page_size = " PAGE_BYTES "; PRAGMA auto_vacuum = INCREMENTAL;"
                    "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE") &&
        execute(db, db->format->schema) && execute(db, numbers) && execute(db, "COMMIT"))
        return JOBS_DONE;
    enum jobs_answer answer = jobs_db_fail(db, e);
    if (!sqlite3_get_autocommit(db->sqlite))
        execute(db, "ROLLBACK");
    return answer;
}

/* Whether what is there is ours, of this version and whole; a new file gets its tables. */
static enum jobs_answer check_file(struct jobs_db *db, struct err *e)
{
    char tables[32], application[32], version[32], damage[256], check[64];
    const struct jobs_db_format *f = db->format;
    if (!ask(db, "SELECT count(*) FROM sqlite_schema", tables, sizeof tables) ||
        !ask(db, "PRAGMA application_id", application, sizeof application) ||
        !ask(db, "PRAGMA user_version", version, sizeof version))
        return jobs_db_fail(db, e);
    if (strcmp(tables, "0") == 0 && strcmp(application, "0") == 0)
        return make_tables(db, e);
    if (atoi(application) != f->application) {
        err_fail(e, ERR_INPUT, f->path, "is no job store: it is another program's file");
        return JOBS_BROKEN;
    }
    if (atoi(version) != f->version) {
        err_fail(e, ERR_UNSUPPORTED, f->path,
                 "the job store is of %s pfgmd (version %s, this one knows %d): run that one, or "
                 "choose another folder",
                 atoi(version) > f->version ? "a newer" : "an older", version, f->version);
        return JOBS_BROKEN;
    }
    snprintf(check, sizeof check, "PRAGMA quick_check('%s')", f->table);
    if (!ask(db, check, damage, sizeof damage))
        return jobs_db_fail(db, e);
    return strcmp(damage, "ok") == 0 ? JOBS_DONE : fail_damaged(db, damage, e);
}

/* A file that others cannot read: its images are their owners'. */
static enum jobs_answer make_file(const struct jobs_db_format *f, struct err *e)
{
    int fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const int why = errno;
    if (fd < 0) {
        fail_unopened(f->path, why, e);
        return why == ENOSPC || why == EDQUOT ? JOBS_FULL : JOBS_BROKEN;
    }
    close(fd);
    return JOBS_DONE;
}

static enum jobs_answer open_file(struct jobs_db *db, bool write, struct err *e)
{
    const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE;
    errno = 0;
    if (sqlite3_open_v2(db->format->path, &db->sqlite, flags, NULL) != SQLITE_OK)
        return jobs_db_fail(db, e);
    const int why = errno; /* what cannot be opened to write, SQLite opens to read */
    sqlite3_extended_result_codes(db->sqlite, 1);
    sqlite3_busy_timeout(db->sqlite, BUSY_MS);
    if (!execute(db, "PRAGMA synchronous = FULL; PRAGMA cache_size = -" CACHE_KIB ";"
                     "PRAGMA temp_store = MEMORY"))
        return jobs_db_fail(db, e);
    bool is_there;
    if (sqlite3_db_readonly(db->sqlite, "main"))
        return fail_unopened(db->format->path, why, e);
    if (file_look(db->format->path, true, &is_there, &db->file, e) != 0)
        return JOBS_BROKEN;
    return write ? check_file(db, e) : JOBS_DONE;
}

enum jobs_answer jobs_db_open(const struct jobs_db_format *format, bool write, struct jobs_db **out,
                              struct err *e)
{
    struct jobs_db *db = calloc(1, sizeof *db);
    enum jobs_answer answer = write ? make_file(format, e) : JOBS_DONE;
    if (db)
        db->prepared = calloc(OWN + format->sql_count, sizeof(sqlite3_stmt *));
    if (!db || !db->prepared) {
        err_fail_memory(e, sizeof *db);
        free(db);
        return JOBS_BROKEN;
    }
    pthread_mutex_init(&db->lock, NULL);
    db->format = format;
    if (answer == JOBS_DONE)
        answer = open_file(db, write, e);
    if (answer == JOBS_DONE)
        *out = db;
    else
        jobs_db_close(db);
    return answer;
}

void jobs_db_close(struct jobs_db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < OWN + db->format->sql_count; i++)
        sqlite3_finalize(db->prepared[i]);
    sqlite3_close(db->sqlite); /* of the last connection: the log goes into the file */
    pthread_mutex_destroy(&db->lock);
    free(db->prepared);
    free(db);
}

const char *jobs_db_path(const struct jobs_db *db)
{
    return db->format->path;
}

void jobs_db_lock(struct jobs_db *db)
{
    pthread_mutex_lock(&db->lock);
}

void jobs_db_unlock(struct jobs_db *db)
{
    pthread_mutex_unlock(&db->lock);
}
