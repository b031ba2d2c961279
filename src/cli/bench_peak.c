/* The multiply-add peak: independent chains in registers, as many as hide the latency, no memory.
 * Each instruction set's loop is compiled for it by an attribute and runs only where the dispatch
 * (nn_kernel_available) allows. The numbers drift towards 1 and are read at the end, so that no
 * compiler may drop them; the chains start apart, so that none may be merged.
 *
 * Workers run at once, since that sets the clock rate, but each is timed by the processor time it
 * got: a neighbour that takes half of a core must not halve the peak. */
#include "bench_machine.h"
#include "bench_time.h"
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

#if defined(__x86_64__)
#include <immintrin.h>

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

__attribute__((target("avx512f"))) static float run_avx512(uint64_t count)
{
    __m512 chain[CHAINS], factor = _mm512_set1_ps(0.999f), addend = _mm512_set1_ps(0.001f);
    UNROLL
    for (int i = 0; i < CHAINS; i++)
        chain[i] = _mm512_set1_ps((float)i);
    for (uint64_t n = 0; n < count; n++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++)
            chain[i] = _mm512_fmadd_ps(chain[i], factor, addend);
    }
    __m512 sum = chain[0];
    UNROLL
    for (int i = 1; i < CHAINS; i++)
        sum = _mm512_add_ps(sum, chain[i]);
    return _mm512_cvtss_f32(sum);
}
#endif

struct peak {
    float (*run)(uint64_t count);
    int lanes;
    uint64_t count;
    float result[BENCH_WORKERS_MAX]; /* a worker's own */
};

static struct peak peak_of(enum nn_kernel kernel)
{
    switch (nn_kernel_resolve(kernel)) {
#if defined(__x86_64__)
    case NN_KERNEL_AVX2:
        return (struct peak){.run = run_avx2, .lanes = 8};
    case NN_KERNEL_AVX512:
        return (struct peak){.run = run_avx512, .lanes = 16};
#endif
    default:
        return (struct peak){.run = run_portable, .lanes = 4};
    }
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
        sum += 2e-9 * CHAINS * p->lanes * (double)p->count / bench_team_cpu(team, i);
    return sum;
}

double bench_peak_gflops(enum nn_kernel kernel, int workers, struct err *e)
{
    struct peak p = peak_of(kernel);
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
