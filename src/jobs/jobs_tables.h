/* The tables of the SQLite store, its statements, and rows as structs. Inside the room only. */
#ifndef JOBS_TABLES_H
#define JOBS_TABLES_H

#include "jobs_db.h"

enum jobs_sql {
    SQL_CREATE,
    SQL_GET,
    SQL_GET_KEY,
    SQL_CHANGE,
    SQL_LIST,
    SQL_LIST_OWNED,
    SQL_GO_ON,
    SQL_OLDEST,
    SQL_STATS,
    SQL_COUNT,
    SQL_COUNT_OWNED,
    SQL_SWEEP,
    SQL_SWEPT,
    SQL_ERASE,
    SQL_PUT,
    SQL_PROGRESS,
    SQL_RESULT,
    SQL_LOG,
    SQL_STORED,
    SQL_COUNT_OF
};

/* The store's format but for its path. */
extern const struct jobs_db_format jobs_tables;

/* The row that the rows of records are at. JOBS_BROKEN for one that cannot have been stored. */
enum jobs_answer jobs_read_record(const struct jobs_db *db, struct jobs_rows *rows,
                                  struct jobs_record *out, struct err *e);
/* The first of such rows, which are given back; JOBS_ABSENT without one. */
enum jobs_answer jobs_one_record(const struct jobs_db *db, struct jobs_rows *rows,
                                 struct jobs_record *out, struct err *e);
/* A row of SQL_RESULT or SQL_LOG, but for the bytes, which are column JOBS_COLUMN_BYTES of the
 * first. */
#define JOBS_COLUMN_BYTES 6
enum jobs_answer jobs_read_result(const struct jobs_db *db, struct jobs_rows *rows,
                                  struct jobs_result *out, struct err *e);

#endif
