/* A body of nn_vector.h as a table of functions, so that one test holds each body to plain C. */
#ifndef VECTOR_TABLE_H
#define VECTOR_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define VECTOR_WIDTH_MAX 16

enum vector_op {
    VECTOR_LOAD,
    VECTOR_SET,
    VECTOR_ZERO,
    VECTOR_ADD,
    VECTOR_SUB,
    VECTOR_MUL,
    VECTOR_DIV,
    VECTOR_FMA,
    VECTOR_FMS,
    VECTOR_FNMA,
    VECTOR_MIN,
    VECTOR_MAX,
    VECTOR_CLAMP, /* to 88 */
    VECTOR_ROUND,
    VECTOR_TIMES_POWER2,
    VECTOR_BF16, /* to it and back */
    VECTOR_EXP,
    VECTOR_SILU,
    VECTOR_LOGISTIC,
    VECTOR_SILU_SLOPE,
    VECTOR_OPS
};

struct vector_table {
    size_t width; /* lanes */
    /* Each reads three vectors from a, b and c, of which it may ignore some. */
    void (*op[VECTOR_OPS])(const float *a, const float *b, const float *c, float *out);
    void (*eight[VECTOR_OPS])(const float *a, const float *b, const float *c, float *out);
    void (*load_half)(const float *p, float *out);
    void (*store_half)(const float *p, float *out);
    void (*load_two)(const float *p, const float *q, float *out);
    void (*store_two)(const float *p, float *out, float *more);
    void (*add_to)(const float *p, double *out);
    void (*add_to_half)(const float *p, double *out);
    void (*bits_store)(const float *p, uint16_t *out);
    void (*bits_store_half)(const float *p, uint16_t *out);
    void (*bits_store_two)(const float *p, uint16_t *out, uint16_t *more);
};

extern const struct vector_table nn_lanes8_table;
extern const struct vector_table nn_avx512_table;

#endif
