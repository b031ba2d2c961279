/* Tensors of a v2 request. Every size is checked against what is there before anything is read: a
 * shape's product by checked arithmetic, a tensor's bytes against those that follow the head. */
#include "api_kserve.h"

#include "base_size.h"

#include <endian.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const input_keys[] = {"name", "shape", "datatype", "parameters", "data"};

static void step(char *out, size_t size, const char *base, const char *key)
{
    snprintf(out, size, "%s", base);
    http_pointer_step(out, size, key);
}

static int check_keys(const json_t *input, const char *base, struct http_problem *p)
{
    const char *key;
    json_t *value;
    int result = 0;
    json_object_foreach((json_t *)(uintptr_t)input, key, value)
    {
        size_t i = 0;
        while (i < sizeof input_keys / sizeof *input_keys && strcmp(input_keys[i], key) != 0)
            i++;
        if (i < sizeof input_keys / sizeof *input_keys)
            continue;
        char pointer[300];
        step(pointer, sizeof pointer, base, key);
        http_problem_point(p, pointer, "is not a field of an input");
        result = -1;
    }
    return result;
}

static int read_shape(const json_t *input, size_t rank, struct kserve_tensor *t,
                      struct http_problem *p)
{
    const json_t *shape = json_object_get(input, "shape");
    char pointer[80];
    step(pointer, sizeof pointer, t->pointer, "shape");
    if (!json_is_array(shape) || json_array_size(shape) != rank) {
        http_problem_point(p, pointer, "must be an array of %zu", rank);
        return -1;
    }
    t->rank = rank;
    t->count = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *side = json_array_get(shape, i);
        if (!json_is_integer(side) || json_integer_value(side) < 1 ||
            !size_mul(t->count, (size_t)json_integer_value(side), &t->count)) {
            http_problem_point(p, pointer, "must hold integers from 1 whose product can be held");
            return -1;
        }
        t->shape[i] = (uint64_t)json_integer_value(side);
    }
    return 0;
}

/* Where the values are: in "data", or the next binary_data_size bytes. */
static int read_place(const json_t *input, size_t width, const unsigned char **binary, size_t *left,
                      struct kserve_tensor *t, struct http_problem *p)
{
    const json_t *parameters = json_object_get(input, "parameters");
    const json_t *size = json_object_get(parameters, "binary_data_size");
    size_t bytes = 0;
    char pointer[96];
    t->data = json_object_get(input, "data");
    step(pointer, sizeof pointer, t->pointer, "parameters");
    if (parameters &&
        (!json_is_object(parameters) || json_object_size(parameters) != (size == NULL ? 0u : 1u))) {
        http_problem_point(p, pointer, "may hold \"binary_data_size\" only");
    } else if (!size == !t->data) {
        http_problem_point(p, t->pointer, "needs \"data\" or \"binary_data_size\", and not both");
    } else if (size) {
        http_pointer_step(pointer, sizeof pointer, "binary_data_size");
        if (!size_mul(t->count, width, &bytes) || !json_is_integer(size) ||
            json_integer_value(size) < 0 || (size_t)json_integer_value(size) != bytes)
            http_problem_point(p, pointer, "must be %zu times the product of the shape", width);
        else if (bytes > *left)
            http_problem_point(p, pointer, "%zu bytes are named and %zu follow the head", bytes,
                               *left);
        t->raw = *binary;
    }
    if (p->code != HTTP_PROBLEM_NONE)
        return -1;
    *binary += bytes;
    *left -= bytes;
    return 0;
}

static int read_input(const json_t *input, size_t number, const unsigned char **binary,
                      size_t *left, struct kserve_tensors *out, struct http_problem *p)
{
    const char *name = json_string_value(json_object_get(input, "name"));
    const char *type = json_string_value(json_object_get(input, "datatype"));
    char base[48], pointer[80];
    snprintf(base, sizeof base, "/inputs/%zu", number);
    struct kserve_tensor *t = !name                          ? NULL
                              : strcmp(name, "seed") == 0    ? &out->seed
                              : strcmp(name, "index") == 0   ? &out->index
                              : strcmp(name, "latents") == 0 ? &out->latents
                                                             : NULL;
    const bool real = t == &out->latents;
    step(pointer, sizeof pointer, base, "name");
    if (!t || t->rank > 0) {
        http_problem_point(p, pointer,
                           t ? "occurs twice" : "must be \"seed\", \"index\" or \"latents\"");
        return -1;
    }
    snprintf(t->pointer, sizeof t->pointer, "%s", base);
    t->is_signed = type && strcmp(type, "INT64") == 0;
    if (!type ||
        (real ? strcmp(type, "FP32") != 0 : !t->is_signed && strcmp(type, "UINT64") != 0)) {
        step(pointer, sizeof pointer, base, "datatype");
        http_problem_point(p, pointer, real ? "must be FP32" : "must be UINT64 or INT64");
        return -1;
    }
    if (check_keys(input, base, p) != 0 || read_shape(input, real ? 4 : 1, t, p) != 0)
        return -1;
    return read_place(input, real ? sizeof(float) : sizeof(uint64_t), binary, left, t, p);
}

int kserve_tensors_read(const json_t *inputs, const unsigned char *binary, size_t length,
                        struct kserve_tensors *out, struct http_problem *p)
{
    if (!json_is_array(inputs) || json_array_size(inputs) == 0) {
        http_problem_point(p, "/inputs", "must be an array of tensors");
        return -1;
    }
    for (size_t i = 0; i < json_array_size(inputs); i++)
        if (read_input(json_array_get(inputs, i), i, &binary, &length, out, p) != 0)
            return -1;
    if (length > 0) {
        http_problem_point(p, "/inputs", "%zu bytes follow the last tensor", length);
        return -1;
    }
    if (!out->seed.rank == !out->latents.rank || (out->index.rank && !out->seed.rank)) {
        http_problem_point(p, "/inputs",
                           "must be \"seed\", with or without \"index\", or "
                           "\"latents\"");
        return -1;
    }
    if (out->index.rank && out->index.count != out->seed.count) {
        http_problem_point(p, out->index.pointer, "must be as long as \"seed\"");
        return -1;
    }
    return 0;
}

/* ---- values ---- */

typedef bool take_value(const struct kserve_tensor *t, const json_t *value, void *out, size_t at);

static bool take_integer(const struct kserve_tensor *t, const json_t *value, void *out, size_t at)
{
    uint64_t n = 0;
    if (!json_u64_read(value, &n) || (t->is_signed && n > INT64_MAX))
        return false;
    ((uint64_t *)out)[at] = n;
    return true;
}

static bool take_real(const struct kserve_tensor *t, const json_t *value, void *out, size_t at)
{
    (void)t;
    const double x = json_is_number(value) ? json_number_value(value) : NAN;
    const double rounded = fabs(x) <= 3.4028234663852886e38 ? (double)(float)x : NAN;
    ((double *)out)[at] = rounded;
    return isfinite(rounded);
}

static int fail_value(const struct kserve_tensor *t, size_t at, const char *must,
                      struct http_problem *p)
{
    char pointer[80];
    step(pointer, sizeof pointer, t->pointer, "data");
    http_problem_point(p, pointer, "value %zu must be %s", at, must);
    return -1;
}

/* The values below `node`, which stands for the sides from `side` on; `at` counts them. */
static int take_nested(const struct kserve_tensor *t, const json_t *node, size_t side,
                       take_value *take, const char *must, void *out, size_t *at,
                       struct http_problem *p)
{
    if (side == t->rank)
        return take(t, node, out, (*at)++) ? 0 : fail_value(t, *at - 1, must, p);
    if (!json_is_array(node) || json_array_size(node) != t->shape[side])
        return fail_value(t, *at, "in arrays as long as the shape says", p);
    int result = 0;
    for (size_t i = 0; i < json_array_size(node) && result == 0; i++)
        result = take_nested(t, json_array_get(node, i), side + 1, take, must, out, at, p);
    return result;
}

static int take_json(const struct kserve_tensor *t, take_value *take, const char *must, void *out,
                     struct http_problem *p)
{
    size_t at = 0;
    if (json_is_array(json_array_get(t->data, 0)))
        return take_nested(t, t->data, 0, take, must, out, &at, p);
    if (!json_is_array(t->data) || json_array_size(t->data) != t->count)
        return fail_value(t, json_array_size(t->data), "one of as many as the shape says", p);
    int result = 0;
    for (; at < t->count && result == 0; at++)
        if (!take(t, json_array_get(t->data, at), out, at))
            result = fail_value(t, at, must, p);
    return result;
}

int kserve_tensor_integers(const struct kserve_tensor *t, uint64_t *out, struct http_problem *p)
{
    const char *must = t->is_signed ? "an integer from 0 to 9223372036854775807"
                                    : "an integer from 0 to 18446744073709551615";
    if (t->data)
        return take_json(t, take_integer, must, out, p);
    for (size_t i = 0; i < t->count; i++) {
        uint64_t n;
        memcpy(&n, t->raw + i * sizeof n, sizeof n);
        out[i] = le64toh(n);
        if (t->is_signed && out[i] > INT64_MAX)
            return fail_value(t, i, must, p);
    }
    return 0;
}

int kserve_tensor_reals(const struct kserve_tensor *t, double *out, struct http_problem *p)
{
    static const char must[] = "a finite number of single precision";
    if (t->data)
        return take_json(t, take_real, must, out, p);
    for (size_t i = 0; i < t->count; i++) {
        uint32_t bits;
        float x;
        memcpy(&bits, t->raw + i * sizeof bits, sizeof bits);
        bits = le32toh(bits);
        memcpy(&x, &bits, sizeof x);
        out[i] = (double)x;
        if (!isfinite(x))
            return fail_value(t, i, must, p);
    }
    return 0;
}
