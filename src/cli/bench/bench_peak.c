/* The multiply-add peak: independent chains in registers, as many as hide the latency, no memory.
 * Each instruction set's loop is compiled for it by an attribute and runs only where the dispatch
 * (nn_kernel_available) allows. The numbers drift towards 1 and are read at the end, so that no
 * compiler may drop them; the chains start apart, so that none may be merged.
 *
 * Workers run at once, since that sets the clock rate, but each is timed by the processor time it
 * got: a neighbour that takes half of a core must not halve the peak. */
#include "bench_machine.h"
#include "bench_time.h"
#include "base_cpu.h"
#include "nn_tile.h"
#include <math.h>

#define CHAINS 12 /* with two operands they fit sixteen registers */
#define ROUNDS 9
#define ROUND_SECONDS 0.010
#define UNROLL _Pragma("GCC unroll 16")

typedef float lanes4 __attribute__((vector_size(16)));

/* Each loop does `count` steps of CHAINS multiply-adds a lane and returns a sum of the results. */
static float run_portable(uint64_t count)
{
    lanes4 chain[CHAINS], factor = {0.999f, 0.999f, 0.999f, 0.999f};
    lanes4 addend = {0.001f, 0.001f, 0.001f, 0.001f}, sum = {0};
    UNROLL
    for (int i = 0; i < CHAINS; i++)
        chain[i] = addend * (float)i;
    for (uint64_t n = 0; n < count; n++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++)
            chain[i] = chain[i] * factor + addend;
    }
    UNROLL
    for (int i = 0; i < CHAINS; i++)
        sum += chain[i];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

#if defined(__aarch64__)
#include <arm_neon.h>

/* Two registers for eight lanes, as in the kernel. */
static float run_neon(uint64_t count)
{
    float32x4_t low[CHAINS], high[CHAINS];
    const float32x4_t factor = vdupq_n_f32(0.999f), addend = vdupq_n_f32(0.001f);
    UNROLL
    for (int i = 0; i < CHAINS; i++) {
        low[i] = vdupq_n_f32((float)i);
        high[i] = vdupq_n_f32((float)-i);
    }
    for (uint64_t n = 0; n < count; n++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++) {
            low[i] = vfmaq_f32(low[i], factor, addend);
            high[i] = vfmaq_f32(high[i], factor, addend);
        }
    }
    float32x4_t sum = vdupq_n_f32(0.0f);
    UNROLL
    for (int i = 0; i < CHAINS; i++)
        sum = vaddq_f32(sum, vaddq_f32(low[i], high[i]));
    return vaddvq_f32(sum);
}
#endif

#if defined(__x86_64__)
#include <immintrin.h>

#define BF16_PAIR 0x3f803f80   /* 1, 1 */
#define BF16_SIGNS -0x407fc080 /* 1, -1: a chain's sum stays what it is */

__attribute__((target("avx2,fma"))) static float run_avx2(uint64_t count)
{
    __m256 chain[CHAINS], factor = _mm256_set1_ps(0.999f), addend = _mm256_set1_ps(0.001f);
    UNROLL
    for (int i = 0; i < CHAINS; i++)
        chain[i] = _mm256_set1_ps((float)i);
    for (uint64_t n = 0; n < count; n++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++)
            chain[i] = _mm256_fmadd_ps(chain[i], factor, addend);
    }
    __m256 sum = chain[0];
    UNROLL
    for (int i = 1; i < CHAINS; i++)
        sum = _mm256_add_ps(sum, chain[i]);
    return _mm256_cvtss_f32(sum);
}

#define DEFINE_AVX512(name, features, type, a, b, step)                                            \
    __attribute__((target(features))) static float name(uint64_t count)                            \
    {                                                                                              \
        __m512 chain[CHAINS];                                                                      \
        type x = a, y = b;                                                                         \
        UNROLL                                                                                     \
        for (int i = 0; i < CHAINS; i++)                                                           \
            chain[i] = _mm512_set1_ps((float)i);                                                   \
        for (uint64_t n = 0; n < count; n++) {                                                     \
            UNROLL                                                                                 \
            for (int i = 0; i < CHAINS; i++)                                                       \
                chain[i] = step;                                                                   \
        }                                                                                          \
        __m512 sum = chain[0];                                                                     \
        UNROLL                                                                                     \
        for (int i = 1; i < CHAINS; i++)                                                           \
            sum = _mm512_add_ps(sum, chain[i]);                                                    \
        return _mm512_cvtss_f32(sum);                                                              \
    }

DEFINE_AVX512(run_avx512, "avx512f", __m512, _mm512_set1_ps(0.999f), _mm512_set1_ps(0.001f),
              _mm512_fmadd_ps(chain[i], x, y))
DEFINE_AVX512(run_avx512_bf16, "avx512f,avx512bf16", __m512bh,
              (__m512bh)_mm512_set1_epi32(BF16_PAIR), (__m512bh)_mm512_set1_epi32(BF16_SIGNS),
              _mm512_dpbf16_ps(chain[i], x, y))

/* Four sums of 16 × 16, two tiles of rows and two of columns, as in a product. */
__attribute__((target("amx-tile,amx-bf16"))) static float run_amx(uint64_t count)
{
    int32_t operand[2][16][16];
    float sum[16][16];
    for (int i = 0; i < 16 * 16; i++) {
        operand[0][i / 16][i % 16] = BF16_PAIR;
        operand[1][i / 16][i % 16] = BF16_SIGNS;
    }
    __asm__ volatile("" ::"r"(operand) : "memory");
    _tile_loadconfig(&nn_tile_shape);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, operand[0], 64);
    _tile_loadd(5, operand[0], 64);
    _tile_loadd(6, operand[1], 64);
    _tile_loadd(7, operand[1], 64);
    for (uint64_t n = 0; n < count; n++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sum, 64);
    _tile_release();
    return sum[0][0];
}
#endif

struct peak {
    float (*run)(uint64_t count);
    int flop; /* of a step, two for each multiply-add */
    uint64_t count;
    float result[BENCH_WORKERS_MAX]; /* a worker's own */
};

static struct peak peak_of(enum nn_kernel kernel, enum nn_precision precision)
{
    kernel = nn_kernel_resolve(kernel);
    if (kernel == NN_KERNEL_OPENBLAS) /* which uses what there is */
        kernel = nn_kernel_available(NN_KERNEL_AVX512)   ? NN_KERNEL_AVX512
                 : nn_kernel_available(NN_KERNEL_LANES8) ? NN_KERNEL_LANES8
                                                         : NN_KERNEL_C;
#if defined(__aarch64__)
    if (kernel == NN_KERNEL_LANES8)
        return (struct peak){.run = run_neon, .flop = CHAINS * 2 * 8};
#elif defined(__x86_64__)
    bool bf16 = precision != NN_PRECISION_F32;
    if (bf16 && kernel == NN_KERNEL_AMX)
        return (struct peak){.run = run_amx, .flop = 4 * 2 * 16 * 16 * 32};
    if (bf16 && kernel == NN_KERNEL_AVX512 && cpu_features_get().avx512_bf16)
        return (struct peak){.run = run_avx512_bf16, .flop = CHAINS * 2 * 32};
    if (kernel == NN_KERNEL_LANES8)
        return (struct peak){.run = run_avx2, .flop = CHAINS * 2 * 8};
    if (kernel == NN_KERNEL_AVX512 || kernel == NN_KERNEL_AMX)
        return (struct peak){.run = run_avx512, .flop = CHAINS * 2 * 16};
#endif
    (void)precision;
    return (struct peak){.run = run_portable, .flop = CHAINS * 2 * 4};
}

static void peak_work(void *context, int worker)
{
    struct peak *p = context;
    p->result[worker] = p->run(p->count);
}

/* GFLOP/s of all workers in the last round. */
static double peak_rate(const struct peak *p, const struct bench_team *team, int workers)
{
    double sum = 0;
    for (int i = 0; i < workers; i++)
        sum += 1e-9 * p->flop * (double)p->count / bench_team_cpu(team, i);
    return sum;
}

double bench_peak_gflops(enum nn_kernel kernel, enum nn_precision precision, int workers,
                         struct err *e)
{
    struct peak p = peak_of(kernel, precision);
    struct bench_team *team = bench_team_new(workers, peak_work, &p, e);
    double best = 0;
    if (!team)
        return -1;
    /* Finding the count also wakes the vector units up. */
    for (p.count = 1 << 16; bench_team_run(team) < ROUND_SECONDS; p.count *= 2)
        ;
    for (int i = 0; i < ROUNDS; i++) {
        bench_team_run(team);
        best = fmax(best, peak_rate(&p, team, workers));
    }
    bench_team_free(team);
    for (int i = 0; i < workers; i++)
        if (!isfinite(p.result[i]))
            return err_fail(e, ERR_INTERNAL, "peak", "the chains did not converge");
    return best;
}
