/* The operations of one body of nn_vector.h as functions, compiled once for each body with its
 * flags. See vector_table.h. */
#include "vector_table.h"
#include "nn_grad_vector.h"

#define WHOLE(name, expression)                                                                    \
    static void name(const float *p, const float *q, const float *r, float *out)                   \
    {                                                                                              \
        vec a = vec_load(p), b = vec_load(q), c = vec_load(r);                                     \
        (void)a;                                                                                   \
        (void)b;                                                                                   \
        (void)c;                                                                                   \
        vec_store(out, expression);                                                                \
    }
#define EIGHT(name, expression)                                                                    \
    static void name(const float *p, const float *q, const float *r, float *out)                   \
    {                                                                                              \
        vec8 a = vec8_load(p), b = vec8_load(q), c = vec8_load(r);                                 \
        (void)a;                                                                                   \
        (void)b;                                                                                   \
        (void)c;                                                                                   \
        vec8_store(out, expression);                                                               \
    }
WHOLE(load_store, a)
WHOLE(set, vec_set(p[0]))
WHOLE(zero, vec_zero())
WHOLE(add, vec_add(a, b))
WHOLE(sub, vec_sub(a, b))
WHOLE(mul, vec_mul(a, b))
WHOLE(div_, vec_div(a, b))
WHOLE(fma_, vec_fma(a, b, c))
WHOLE(fms, vec_fms(a, b, c))
WHOLE(fnma, vec_fnma(a, b, c))
WHOLE(min, vec_min(a, b))
WHOLE(max, vec_max(a, b))
WHOLE(clamp, vec_clamp(a, vec_set(88.0f)))
WHOLE(round_, vec_round(a))
WHOLE(times_power2, vec_times_power2(a, b))
WHOLE(bf16_value, vec_bf16_value(vec_bf16(a)))
WHOLE(exp_, vec_exp(a))
WHOLE(silu, vec_silu(a))
WHOLE(logistic, vec_logistic(a))
WHOLE(silu_slope, vec_silu_slope(a))
/* vec8_load is in the ones below. */
EIGHT(eight_of, vec8_of(vec_load_half(p)))
EIGHT(eight_set, vec8_set(p[0]))
EIGHT(eight_zero, vec8_zero())
EIGHT(eight_add, vec8_add(a, b))
EIGHT(eight_mul, vec8_mul(a, b))
EIGHT(eight_fma, vec8_fma(a, b, c))

static void load_half(const float *p, float *out)
{
    vec_store(out, vec_load_half(p));
}

static void store_half(const float *p, float *out)
{
    vec_store_half(out, vec_load(p));
}

static void load_two(const float *p, const float *q, float *out)
{
    vec_store(out, vec_load_two(p, q));
}

static void store_two(const float *p, float *out, float *more)
{
    vec_store_two(out, more, vec_load(p));
}

static void add_to(const float *p, double *out)
{
    vec_add_to(out, vec_load(p));
}

static void add_to_half(const float *p, double *out)
{
    vec_add_to_half(out, vec_load(p));
}

static void bits_store(const float *p, uint16_t *out)
{
    vec_bits_store(out, vec_bf16(vec_load(p)));
}

static void bits_store_half(const float *p, uint16_t *out)
{
    vec_bits_store_half(out, vec_bf16(vec_load(p)));
}

static void bits_store_two(const float *p, uint16_t *out, uint16_t *more)
{
    vec_bits_store_two(out, more, vec_bf16(vec_load(p)));
}

const struct vector_table NN_VEC(table) = {
    .width = VEC_WIDTH,
    .op = {[VECTOR_LOAD] = load_store,
           [VECTOR_SET] = set,
           [VECTOR_ZERO] = zero,
           [VECTOR_ADD] = add,
           [VECTOR_SUB] = sub,
           [VECTOR_MUL] = mul,
           [VECTOR_DIV] = div_,
           [VECTOR_FMA] = fma_,
           [VECTOR_FMS] = fms,
           [VECTOR_FNMA] = fnma,
           [VECTOR_MIN] = min,
           [VECTOR_MAX] = max,
           [VECTOR_CLAMP] = clamp,
           [VECTOR_ROUND] = round_,
           [VECTOR_TIMES_POWER2] = times_power2,
           [VECTOR_BF16] = bf16_value,
           [VECTOR_EXP] = exp_,
           [VECTOR_SILU] = silu,
           [VECTOR_LOGISTIC] = logistic,
           [VECTOR_SILU_SLOPE] = silu_slope},
    .eight = {[VECTOR_LOAD] = eight_of,
              [VECTOR_SET] = eight_set,
              [VECTOR_ZERO] = eight_zero,
              [VECTOR_ADD] = eight_add,
              [VECTOR_MUL] = eight_mul,
              [VECTOR_FMA] = eight_fma},
    .load_half = load_half,
    .store_half = store_half,
    .load_two = load_two,
    .store_two = store_two,
    .add_to = add_to,
    .add_to_half = add_to_half,
    .bits_store = bits_store,
    .bits_store_half = bits_store_half,
    .bits_store_two = bits_store_two,
};
