/* Element types. Every read of an element goes through memcpy, because tensors lie at whatever
 * address their file's writer chose; the compiler makes plain unaligned loads of it. Values are
 * little-endian in every format that the room reads, as is each machine that the project builds
 * for. */
#include "ckpt_dtype.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored values are read as they lie");

static const struct {
    const char *name;
    size_t size;
    bool is_float;
} dtypes[] = {
    [CKPT_F64] = {"F64", 8, true},    [CKPT_F32] = {"F32", 4, true},
    [CKPT_F16] = {"F16", 2, true},    [CKPT_BF16] = {"BF16", 2, true},
    [CKPT_I64] = {"I64", 8, false},   [CKPT_I32] = {"I32", 4, false},
    [CKPT_I16] = {"I16", 2, false},   [CKPT_I8] = {"I8", 1, false},
    [CKPT_U64] = {"U64", 8, false},   [CKPT_U32] = {"U32", 4, false},
    [CKPT_U16] = {"U16", 2, false},   [CKPT_U8] = {"U8", 1, false},
    [CKPT_BOOL] = {"BOOL", 1, false},
};

size_t ckpt_dtype_size(enum ckpt_dtype dtype)
{
    return dtypes[dtype].size;
}

const char *ckpt_dtype_name(enum ckpt_dtype dtype)
{
    return dtypes[dtype].name;
}

bool ckpt_dtype_is_float(enum ckpt_dtype dtype)
{
    return dtypes[dtype].is_float;
}

bool ckpt_dtype_parse(const char *name, enum ckpt_dtype *out)
{
    for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            *out = (enum ckpt_dtype)i;
            return true;
        }
    }
    return false;
}

static float f32_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

float ckpt_half_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits >> 15) << 31;
    uint32_t exponent = (bits >> 10) & 31;
    uint32_t fraction = bits & 1023;
    if (exponent == 31)
        return f32_of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) {
        /* fraction · 2^-24 is exact in f32 */
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return f32_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

float ckpt_bfloat_to_f32(uint16_t bits)
{
    return f32_of_bits((uint32_t)bits << 16);
}

/* Reads element i of `source` as a double; exact for every float type. */
static double element_f64(enum ckpt_dtype dtype, const unsigned char *source, size_t i)
{
    uint16_t half;
    float single;
    double whole;
    switch (dtype) {
    case CKPT_F64:
        memcpy(&whole, source + 8 * i, 8);
        return whole;
    case CKPT_F32:
        memcpy(&single, source + 4 * i, 4);
        return (double)single;
    case CKPT_F16:
        memcpy(&half, source + 2 * i, 2);
        return (double)ckpt_half_to_f32(half);
    case CKPT_BF16:
        memcpy(&half, source + 2 * i, 2);
        return (double)ckpt_bfloat_to_f32(half);
    default:
        return (double)NAN; /* callers ask ckpt_dtype_is_float first */
    }
}

size_t ckpt_elements_to_f32(enum ckpt_dtype dtype, const unsigned char *source, size_t step,
                            size_t count, float *out)
{
    if (dtype == CKPT_F32) {
        /* copied, not converted, so that the bits stay whatever they are */
        if (step == 1 && count > 0)
            memcpy(out, source, 4 * count);
        else
            for (size_t i = 0; i < count; i++)
                memcpy(out + i, source + 4 * step * i, 4);
        return count;
    }
    for (size_t i = 0; i < count; i++) {
        double value = element_f64(dtype, source, step * i);
        out[i] = (float)value;
        if (isinf(out[i]) && !isinf(value))
            return i;
    }
    return count;
}

void ckpt_elements_to_f64(enum ckpt_dtype dtype, const unsigned char *source, size_t count,
                          double *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = element_f64(dtype, source, i);
}

const char *ckpt_shape_text(int rank, const uint64_t *shape, char out[CKPT_SHAPE_TEXT])
{
    char *at = out;
    *at++ = '[';
    for (int i = 0; i < rank; i++)
        at += snprintf(at, 23, "%s%llu", i ? ", " : "", (unsigned long long)shape[i]);
    *at++ = ']';
    *at = 0;
    return out;
}

size_t ckpt_tensor_bytes(const struct ckpt_tensor *t)
{
    return (size_t)t->count * ckpt_dtype_size(t->dtype); /* was checked when it was read */
}
