/* Checked arithmetic for sizes that come from outside. Each returns false on overflow and then
 * leaves *out alone. */
#ifndef BASE_SIZE_H
#define BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool size_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* a rounded up to a multiple of `to` (a power of two). */
static inline bool size_round_up(size_t a, size_t to, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, to - 1, &r))
        return false;
    *out = r & ~(to - 1);
    return true;
}

#endif
