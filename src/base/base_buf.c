/* The bounded buffer. Growth doubles, so appending byte by byte stays linear; a NUL is kept behind
 * the bytes so that text can be handed to C string functions as it is. */
#include "base_buf.h"

#include "base_size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_clear(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max);
}

void buf_reset(struct buf *b)
{
    b->length = 0;
    if (b->data)
        b->data[0] = 0;
}

unsigned char *buf_take(struct buf *b, size_t *length)
{
    unsigned char *data = b->data;
    if (length)
        *length = b->length;
    buf_init(b, b->max);
    return data;
}

unsigned char *buf_reserve(struct buf *b, size_t length, struct err *e)
{
    size_t needed;
    if (!size_add(b->length, length, &needed) || needed > b->max) {
        err_fail(e, ERR_LIMIT, "", "more than the limit of %zu bytes", b->max);
        return NULL;
    }
    if (needed + 1 > b->capacity) {
        size_t capacity = b->capacity ? b->capacity : 64;
        while (capacity < needed + 1)
            if (!size_mul(capacity, 2, &capacity))
                capacity = needed + 1;
        unsigned char *data = realloc(b->data, capacity);
        if (!data) {
            err_fail_memory(e, capacity);
            return NULL;
        }
        b->data = data;
        b->capacity = capacity;
    }
    b->data[needed] = 0;
    return b->data + b->length;
}

int buf_append(struct buf *b, const void *data, size_t length, struct err *e)
{
    unsigned char *to = buf_reserve(b, length, e);
    if (!to)
        return -1;
    if (length)
        memcpy(to, data, length);
    b->length += length;
    return 0;
}

int buf_string(struct buf *b, const char *text, struct err *e)
{
    return buf_append(b, text, strlen(text), e);
}

int buf_format(struct buf *b, struct err *e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    unsigned char *to = length < 0 ? NULL : buf_reserve(b, (size_t)length, e);
    if (to) {
        vsnprintf((char *)to, (size_t)length + 1, format, again);
        b->length += (size_t)length;
    } else if (length < 0) {
        err_fail(e, ERR_INTERNAL, "", "cannot format a text");
    }
    va_end(again);
    return to ? 0 : -1;
}
