/* Walks over the head from piece to piece. Addresses are compared as numbers: a folded line lies in
 * another block than the rest. */
#include "http_layout.h"

#include <string.h>

#define LINE_END 2 /* CR LF */

static uintptr_t at(const char *text)
{
    return (uintptr_t)(const void *)text;
}

static int refuse(struct http_problem *p, const char *detail)
{
    http_problem_set(p, HTTP_PROBLEM_BAD_REQUEST, "%s", detail);
    p->close = true;
    return -1;
}

/* Whether a line that ended before `end` is followed by what begins at `next`. */
static int check_line(uintptr_t end, uintptr_t next, struct http_problem *p)
{
    if (next == end + LINE_END)
        return 0;
    return refuse(p, next == end + LINE_END - 1 ? "a line of the head ends with a line feed alone"
                                                : "a line of the head is folded, or holds a NUL");
}

/* Between the colon and the value there may be blanks. */
static bool follows_colon(const struct http_field *f)
{
    const char *c = f->name + f->name_length + 1;
    if (at(f->value) < at(c) || at(f->value) - at(c) > UINT16_MAX)
        return false;
    while (c != f->value && (*c == ' ' || *c == '\t'))
        c++;
    return c == f->value;
}

int http_layout_check(const struct http_layout *head, const struct http_field *fields, size_t count,
                      struct http_problem *p)
{
    if (at(head->target) != at(head->method) + strlen(head->method) + 1 ||
        at(head->version) != at(head->target) + head->target_length + 1)
        return refuse(p, "the first line holds a NUL, or a blank too many");
    uintptr_t end = at(head->version) + strlen(head->version);
    for (size_t i = 0; i < count; i++) {
        const struct http_field *f = &fields[i];
        if (check_line(end, at(f->name), p) != 0)
            return -1;
        if (!follows_colon(f))
            return refuse(p, "a line of the head is folded, or holds a NUL");
        end = at(f->value) + f->value_length;
    }
    return check_line(end + LINE_END, at(head->method) + head->length, p);
}
