/* A connection to an SQLite file: statements, rows, transactions, and what went wrong in words.
 * What the tables hold is the caller's to know.
 *
 * A connection is used under its lock, except where a function says otherwise. Inside the room
 * only. */
#ifndef JOBS_DB_H
#define JOBS_DB_H

#include "jobs_record.h"

#include <stddef.h>

struct jobs_db;
/* What the file is to be. */
struct jobs_db_format {
    const char *path;       /* lasts as long as the connection */
    int application;        /* a number of ours in the file's header */
    int version;            /* of the tables; files of others are refused */
    const char *schema;     /* that makes the tables */
    const char *table;      /* that is looked through at the opening */
    const char *const *sql; /* the statements, by their numbers */
    size_t sql_count;
};

/* Opens the file: to write, which makes it where it is not there, or to read one that has been
 * opened to write. */
enum jobs_answer jobs_db_open(const struct jobs_db_format *format, bool write, struct jobs_db **out,
                              struct err *e);
void jobs_db_close(struct jobs_db *db); /* NULL is taken */
const char *jobs_db_path(const struct jobs_db *db);
void jobs_db_lock(struct jobs_db *db);
void jobs_db_unlock(struct jobs_db *db);

/* What the connection has just run into: JOBS_FULL or JOBS_BROKEN, with one line. */
enum jobs_answer jobs_db_fail(const struct jobs_db *db, struct err *e);

/* Rows of a statement, whose values are bound by `format`: "t" text, "i" int64_t, "b" bytes and
 * their length (size_t). Text and bytes stay the caller's until the rows are given back. NULL where
 * there are none to be had; the other functions take that. */
struct jobs_rows;
struct jobs_rows *jobs_db_query(struct jobs_db *db, int sql, const char *format, ...);
enum jobs_db_step { JOBS_DB_ERROR, JOBS_DB_END, JOBS_DB_ROW };
enum jobs_db_step jobs_db_next(struct jobs_rows *rows);
int64_t jobs_db_integer(struct jobs_rows *rows, int column);
/* What does not fit is cut off. */
void jobs_db_text(struct jobs_rows *rows, int column, char *out, size_t size);
/* Until the next row. */
const void *jobs_db_bytes(struct jobs_rows *rows, int column, size_t *length);
/* Whether each value of the row could be given. Without memory a text is empty, and there are no
 * bytes; whoever has read a row asks. */
bool jobs_db_is_whole(struct jobs_rows *rows);
/* Gives the rows back; the error that they ran into stays the connection's. */
void jobs_db_end(struct jobs_rows *rows);

/* A statement without rows: whether it was done. */
bool jobs_db_run(struct jobs_db *db, int sql, const char *format, ...);
int64_t jobs_db_last_number(const struct jobs_db *db); /* of the row inserted last */
bool jobs_db_changed(const struct jobs_db *db);        /* whether the last statement changed one */

/* Whether the file still has its name: an open one can be written to after it was deleted. */
enum jobs_answer jobs_db_there(const struct jobs_db *db, struct err *e);
/* A transaction. `undo` gives back all rows, and `answer`; a commit that fails undoes it. */
enum jobs_answer jobs_db_begin(struct jobs_db *db, struct err *e);
enum jobs_answer jobs_db_commit(struct jobs_db *db, struct err *e);
enum jobs_answer jobs_db_undo(struct jobs_db *db, enum jobs_answer answer);
/* Gives pages that are no longer used back to the disk; where that fails they are used again. */
void jobs_db_shrink(struct jobs_db *db);

#endif
