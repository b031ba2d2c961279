/* What a benchmark's figures are measured against: the machine's features, its fused multiply-add
 * peak, and the memory that this process took. Nothing here is guessed from a model's name. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include "base_json.h"
#include "nn_net.h"

/* {"model", "flags", "cpus", "workers", "l1d_bytes", "l2_bytes", "l3_bytes", "memory_bytes"}: the
 * processor's name as it reports it (virtual machines may mask it), those of its flags that matter
 * here, logical CPUs, workers by affinity and quota, and sizes (0 where the system does not report
 * them). NULL when memory is short. New reference. */
json_t *bench_machine_json(struct err *e);

/* The same in one line of at most `size` bytes; returns `out`. */
const char *bench_machine_line(const json_t *machine, char *out, size_t size);

/* Multiply-adds that `workers` threads reach together with the widest instructions that `kernel`
 * may use, from registers only: GFLOP/s, a multiply-add counting two; the best of nine short
 * rounds. In f32 they are of single precision; else of bf16, with AMX or AVX512-BF16 where the
 * kernel has it. Time is processor time. The portable kernel's are separate multiplications and
 * additions of four lanes. -1 on failure. */
double bench_peak_gflops(enum nn_kernel kernel, enum nn_precision precision, int workers,
                         struct err *e);

/* Bytes that one thread moves between memory and its registers, read and written in equal parts, in
 * gigabytes per second of its processor time: from one array to another, which together are larger
 * than every cache. -1 on failure. */
double bench_memory_gbytes(struct err *e);

/* The largest resident set so far in bytes (VmHWM); 0 where the system does not report it. */
uint64_t bench_peak_rss(void);

#endif
