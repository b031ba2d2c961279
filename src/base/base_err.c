/* Filling and showing errors. No state, no locks: an error belongs to the caller that passed it. */
#include "base_err.h"

#include "base_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of a long path or pointer the end tells more than the beginning. */
static void copy_at(char *out, size_t size, const char *at)
{
    static const char ellipsis[] = "…";
    const size_t length = strlen(at), room = size - sizeof ellipsis;
    if (length < size) {
        memcpy(out, at, length + 1);
        return;
    }
    at += length - room;
    while (((unsigned char)*at & 0xc0) == 0x80) /* not from the middle of a character */
        at++;
    snprintf(out, size, "%s%s", ellipsis, at);
}

int err_fail(struct err *e, enum err_code code, const char *at, const char *format, ...)
{
    if (!e)
        return -1;
    struct err filled = {.code = code};
    copy_at(filled.at, sizeof filled.at, at ? at : "");
    va_list args;
    va_start(args, format);
    vsnprintf(filled.text, sizeof filled.text, format, args);
    va_end(args);
    /* Names and paths come from outside; a terminal must not obey what is in them. */
    text_make_printable(filled.at);
    text_make_printable(filled.text);
    *e = filled; /* last, so that `at` and the arguments may point into *e */
    return -1;
}

int err_fail_errno(struct err *e, int errno_value, const char *at, const char *doing)
{
    char text[128];
    const char *why = strerror_r(errno_value, text, sizeof text);
    if (errno_value == ENOMEM)
        return err_fail(e, ERR_MEMORY, at, "cannot %s: out of memory", doing);
    if (errno_value == ENOSPC)
        return err_fail(e, ERR_IO, at, "cannot %s: no space left on the device", doing);
    return err_fail(e, ERR_IO, at, "cannot %s: %s", doing, why);
}

int err_fail_memory(struct err *e, size_t bytes)
{
    return err_fail(e, ERR_MEMORY, "", "out of memory: %zu bytes were asked for", bytes);
}

int err_pass(struct err *e, const struct err *why)
{
    if (e)
        *e = *why;
    return -1;
}

bool err_names(const struct err *e, const char *path)
{
    struct err named;
    err_fail(&named, ERR_INPUT, path, "%s", "");
    return strncmp(e->at, named.at, strlen(named.at)) == 0;
}

int err_rename(struct err *e, const struct err *why, const char *at)
{
    return err_fail(e, why->code, at, "%s", why->text);
}

int err_within(struct err *e, const struct err *why, const char *at)
{
    char line[sizeof why->at + sizeof why->text + 2];
    return err_fail(e, why->code, at, "%s", err_line(why, line, sizeof line));
}

const char *err_line(const struct err *e, char *out, size_t size)
{
    if (e->at[0])
        snprintf(out, size, "%s: %s", e->at, e->text);
    else
        snprintf(out, size, "%s", e->text);
    return out;
}

int err_exit_code(const struct err *e)
{
    switch (e->code) {
    case ERR_INPUT:
    case ERR_UNSUPPORTED:
    case ERR_LIMIT:
        return 2;
    default:
        return 1;
    }
}
