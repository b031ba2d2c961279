/* Errors: one struct that says what went wrong, where, and what to do.
 *
 * Every fallible function takes a `struct err *` as its last argument, fills it on failure and
 * returns -1 or NULL; on success it leaves it alone. Nothing below main() ends the process. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

enum err_code {
    ERR_NONE = 0,
    ERR_INPUT,       /* a file, option or request is wrong: the caller's to mend (CLI exit 2) */
    ERR_UNSUPPORTED, /* well formed, but of a kind that this build does not know (CLI exit 2) */
    ERR_LIMIT,       /* larger than a stated limit (CLI exit 2) */
    ERR_IO,          /* the operating system refused a read, a write or a socket */
    ERR_MEMORY,      /* an allocation failed */
    ERR_NUMERIC,     /* a non-finite value, or a solver that cannot go on */
    ERR_CANCELLED,   /* the caller took it back, or time ran out */
    ERR_INTERNAL     /* a broken promise of our own */
};

struct err {
    enum err_code code;
    char at[256];   /* the file, tensor, field or JSON pointer at fault; may be empty. Of a long one
                     * the end, behind "…" */
    char text[768]; /* one line, no line feed */
};

/* Fills `e` (which may be NULL) and returns -1, so that a failing function ends in one line:
 * `return err_fail(e, ERR_INPUT, path, "…")`. Control characters in the result,
 * and bytes that are no UTF-8, become '?'. */
int err_fail(struct err *e, enum err_code code, const char *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* err_fail for a failed system call: adds the text of `errno_value`. ENOMEM and ENOSPC get words
 * that say what to do. */
int err_fail_errno(struct err *e, int errno_value, const char *at, const char *doing);

/* err_fail for a failed allocation of `bytes`. */
int err_fail_memory(struct err *e, size_t bytes);

/* Hands on what a lower room said: as it is, under the caller's name for what is at fault, or as
 * "why->at: text" within something larger. `e` may be NULL. Each returns -1. */
int err_pass(struct err *e, const struct err *why);
int err_rename(struct err *e, const struct err *why, const char *at);
int err_within(struct err *e, const struct err *why, const char *at);

/* Whether `at` begins with the path. */
bool err_names(const struct err *e, const char *path);

/* "at: text" (or "text") in `out`, always terminated; returns `out`. */
const char *err_line(const struct err *e, char *out, size_t size);

/* The process exit code a command line tool gives for this error: 2 for bad input, else 1. */
int err_exit_code(const struct err *e);

#endif
