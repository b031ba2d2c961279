/* NPY headers as NumPy writes them, a Python dictionary as text:
 *
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (3, 28), }
 *
 * The three members are found by their names and nothing else is understood. Digits are counted
 * before they are read and products are checked, so no header can name more than count_max elements
 * or more bytes than there are. */
#include "archive_npy_read.h"

#include "base_size.h"
#include <math.h>
#include <string.h>

/* What follows `key` and a colon in the header, or NULL. */
static const char *member(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at)
        return NULL;
    at += strlen(key);
    at += strspn(at, " ");
    return *at == ':' ? at + 1 + strspn(at + 1, " ") : NULL;
}

static int parse_shape(const char *text, size_t count_max, struct archive_npy *out,
                       const char *what, struct err *e)
{
    out->rank = 0;
    out->count = 1;
    if (!text || *text++ != '(')
        return err_fail(e, ERR_INPUT, what, "has no shape in its NPY header");
    for (;;) {
        size_t value = 0, digits;
        text += strspn(text, " ,");
        if (*text == ')')
            return 0;
        digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 12 || out->rank == ARCHIVE_NPY_RANK_MAX)
            return err_fail(e, ERR_INPUT, what,
                            "has a shape in its NPY header that cannot be read");
        for (size_t i = 0; i < digits; i++)
            value = value * 10 + (size_t)(*text++ - '0');
        out->shape[out->rank++] = value;
        if (!size_mul(out->count, value, &out->count) || out->count > count_max)
            return err_fail(e, ERR_LIMIT, what, "declares too many values");
    }
}

static int parse_header(const char *header, size_t count_max, struct archive_npy *out,
                        const char *what, struct err *e)
{
    const char *type = member(header, "'descr'"), *order = member(header, "'fortran_order'");
    const char *end = type && *type == '\'' ? strchr(type + 1, '\'') : NULL;
    if (!end || (size_t)(end - type) > sizeof out->type)
        return err_fail(e, ERR_INPUT, what, "has no simple type in its NPY header");
    memcpy(out->type, type + 1, (size_t)(end - type - 1));
    out->type[end - type - 1] = '\0';
    if (!order || strncmp(order, "False", 5) != 0)
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "is in Fortran order: save it with numpy.ascontiguousarray");
    return parse_shape(member(header, "'shape'"), count_max, out, what, e);
}

int archive_npy_read(const void *bytes, size_t length, size_t count_max, const char *what,
                     struct archive_npy *out, struct err *e)
{
    const unsigned char *data = bytes;
    size_t prefix = length > 6 && data[6] >= 2 ? 12 : 10, header;
    char text[1024];
    if (length < prefix || memcmp(data, "\x93NUMPY", 6) != 0)
        return err_fail(e, ERR_INPUT, what, "is no NPY array");
    header = data[8] | (size_t)data[9] << 8;
    if (prefix == 12)
        header |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    if (header >= sizeof text || header > length - prefix)
        return err_fail(e, ERR_INPUT, what, "has an NPY header of %zu bytes", header);
    memcpy(text, data + prefix, header);
    text[header] = '\0';
    if (parse_header(text, count_max, out, what, e) != 0)
        return -1;
    const char last = out->type[0] ? out->type[strlen(out->type) - 1] : '0';
    out->width = (size_t)(last - '0');
    if (last != '1' && last != '2' && last != '4' && last != '8')
        return err_fail(e, ERR_UNSUPPORTED, what, "has elements of type %s", out->type);
    out->data = data + prefix + header;
    if (length - prefix - header != out->count * out->width)
        return err_fail(e, ERR_INPUT, what, "holds %zu bytes where its shape needs %zu",
                        length - prefix - header, out->count * out->width);
    return 0;
}

double archive_npy_real(const struct archive_npy *a, size_t i)
{
    double wide;
    float narrow;
    if (strcmp(a->type, "<f8") == 0) {
        memcpy(&wide, a->data + i * sizeof wide, sizeof wide);
        return wide;
    }
    if (strcmp(a->type, "<f4") != 0)
        return NAN;
    memcpy(&narrow, a->data + i * sizeof narrow, sizeof narrow);
    return (double)narrow;
}
