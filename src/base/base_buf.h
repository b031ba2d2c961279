/* A growing byte buffer that is created with its maximum, so that no input can make it grow
 * without end. Not thread-safe; the owner frees it. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base_err.h"
#include <stdarg.h>
#include <stdint.h>

struct buf {
    unsigned char *data; /* NULL until the first byte; followed by a NUL that `length` leaves out */
    size_t length;
    size_t capacity;
    size_t max;
};

/* An empty buffer that will hold at most `max` bytes. Allocates nothing. */
void buf_init(struct buf *b, size_t max);
/* Frees the bytes and leaves an empty buffer with the same maximum. */
void buf_clear(struct buf *b);
/* Forgets the bytes, keeps the memory. */
void buf_reset(struct buf *b);
/* Hands the bytes to the caller, who frees them; the buffer is empty afterwards. */
unsigned char *buf_take(struct buf *b, size_t *length);

/* Each appends all or nothing: 0, or -1 with ERR_LIMIT or ERR_MEMORY and the buffer unchanged. */
int buf_append(struct buf *b, const void *data, size_t length, struct err *e);
int buf_string(struct buf *b, const char *text, struct err *e);
int buf_format(struct buf *b, struct err *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Makes room for `length` more bytes and returns where they go; the caller then adds to `length`
 * what it wrote. NULL on failure. */
unsigned char *buf_reserve(struct buf *b, size_t length, struct err *e);

#endif
