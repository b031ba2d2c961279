/* Collecting parts, with a bound on all that a client chooses. */
#include "http_form.h"

#include "base_unicode.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BOUNDARY_MAX 70

static struct http_part *add_part(struct http_form *form, const char *name, bool is_file,
                                  size_t max, struct err *e)
{
    if (!name || !*name || strlen(name) > HTTP_FORM_NAME_MAX) {
        err_fail(e, ERR_INPUT, "", "part %zu of the form has no name of 1 to %d bytes", form->count,
                 HTTP_FORM_NAME_MAX);
        return NULL;
    }
    if (!unicode_is_utf8(name)) {
        err_fail(e, ERR_INPUT, "", "part %zu of the form has a name that is not UTF-8",
                 form->count);
        return NULL;
    }
    if (form->count == HTTP_FORM_PARTS_MAX) {
        err_fail(e, ERR_LIMIT, "", "a form may have %d parts", HTTP_FORM_PARTS_MAX);
        return NULL;
    }
    if (!form->parts)
        form->parts = calloc(HTTP_FORM_PARTS_MAX, sizeof *form->parts);
    if (!form->parts) {
        err_fail_memory(e, HTTP_FORM_PARTS_MAX * sizeof *form->parts);
        return NULL;
    }
    struct http_part *part = &form->parts[form->count++];
    memcpy(part->name, name, strlen(name) + 1);
    part->is_file = is_file;
    buf_init(&part->data, max);
    return part;
}

int http_form_add(struct http_form *form, const char *name, bool is_file, uint64_t offset,
                  const void *data, size_t length, size_t max, struct err *e)
{
    struct http_part *part = form->count ? &form->parts[form->count - 1] : NULL;
    const bool goes_on =
        part && (offset > 0 || (part->data.length == 0 && name && strcmp(part->name, name) == 0));
    if (!goes_on && !(part = add_part(form, name, is_file, max, e)))
        return -1;
    return length ? buf_append(&part->data, data, length, e) : 0;
}

const struct http_part *http_form_find(const struct http_form *form, const char *name, size_t *at)
{
    while (*at < form->count) {
        const struct http_part *part = &form->parts[(*at)++];
        if (strcmp(part->name, name) == 0)
            return part;
    }
    return NULL;
}

void http_form_clear(struct http_form *form)
{
    for (size_t i = 0; i < form->count; i++)
        buf_clear(&form->parts[i].data);
    free(form->parts);
    *form = (struct http_form){0};
}

/* What the library makes of an odd boundary has had faults, and it takes all that follows for a
 * part of it; so it sees plain ones alone. One of a single character it does not take. */
static bool is_boundary(const char *at)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "'()+_,-./:=?";
    const bool quoted = *at == '"';
    at += quoted;
    const size_t length = strspn(at, plain);
    if (length < 2 || length > BOUNDARY_MAX || (quoted && at[length] != '"'))
        return false;
    return at[length + quoted] == '\0';
}

int http_form_type(const char *field)
{
    static const char type[] = "multipart/form-data", parameter[] = "boundary=";
    const char *at = field + sizeof type - 1;
    if (strncasecmp(field, type, sizeof type - 1) != 0 || (*at && !strchr("; \t", *at)))
        return 0;
    at += strspn(at, " \t");
    if (*at != ';')
        return -1;
    at++;
    at += strspn(at, " \t");
    return strncmp(at, parameter, sizeof parameter - 1) == 0 &&
                   is_boundary(at + sizeof parameter - 1)
               ? 1
               : -1;
}
