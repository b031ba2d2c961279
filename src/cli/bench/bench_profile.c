/* Taking and reporting a profile; see bench_profile.h. */
#include "bench_profile.h"
#include "bench_machine.h"
#include "base_cpu.h"
#include <stdio.h>

static void evaluate(struct bench_lane *lane, const struct bench_subject *s, double seconds,
                     struct nn_profile *sums)
{
    bench_lane_run(lane, s); /* touches all memory */
    bench_lane_profile(lane, sums);
    do
        bench_lane_run(lane, s);
    while (sums->total < seconds);
    bench_lane_profile(lane, NULL);
}

int bench_profile_take(const struct bench_subject *s, int batch, double seconds,
                       struct bench_profile *out, struct err *e)
{
    struct bench_lane lane;
    *out = (struct bench_profile){.batch = batch};
    out->peak_gflops = bench_peak_gflops(s->kernel, s->precision, 1, e);
    if (out->peak_gflops >= 0)
        out->memory_gbytes = bench_memory_gbytes(e);
    if (out->peak_gflops < 0 || out->memory_gbytes < 0 || bench_lane_init(&lane, s, batch, e) != 0)
        return -1;
    evaluate(&lane, s, seconds, &out->sums);
    int result = bench_lane_check(&lane, s, e);
    bench_lane_clear(&lane);
    return result;
}

/* ---- the report ---- */

/* From seconds of all evaluations to milliseconds of an image. */
static double ms_per_image(const struct bench_profile *p, double seconds)
{
    return seconds * 1e3 / p->sums.evaluations / p->batch;
}

static double bound_ms(const struct bench_profile *p)
{
    double flop = 0;
    for (int kind = 0; kind < NN_PROFILE_KINDS; kind++)
        flop += p->sums.row[kind].flop;
    return ms_per_image(p, flop * 1e-9 / p->peak_gflops);
}

static json_t *row_json(const struct bench_profile *p, int kind)
{
    const struct nn_profile_row *r = &p->sums.row[kind];
    json_t *row = json_pack("{s:s, s:f, s:f}", "operation", nn_profile_name(kind), "ms_per_image",
                            ms_per_image(p, r->seconds), "share", r->seconds / p->sums.total);
    double flops = r->flop * 1e-9 / r->seconds, bytes = r->bytes * 1e-9 / r->seconds;
    int result = !row;
    if (row && r->flop > 0)
        result = json_object_set_new(row, "gflops", json_real(flops)) |
                 json_object_set_new(row, "share_of_peak", json_real(flops / p->peak_gflops));
    if (row && r->bytes > 0)
        result |= json_object_set_new(row, "gbytes_per_s", json_real(bytes)) |
                  json_object_set_new(row, "share_of_memory", json_real(bytes / p->memory_gbytes));
    if (result == 0)
        return row;
    json_decref(row);
    return NULL;
}

json_t *bench_profile_json(const struct bench_profile *p)
{
    json_t *rows = json_array();
    int result = rows ? 0 : -1;
    for (int kind = 0; kind < NN_PROFILE_KINDS && result == 0; kind++)
        if (p->sums.row[kind].seconds > 0)
            result = json_array_append_new(rows, row_json(p, kind));
    if (result != 0) {
        json_decref(rows);
        return NULL;
    }
    double all = ms_per_image(p, p->sums.total), bound = bound_ms(p);
    return json_pack("{s:i, s:f, s:f, s:f, s:f, s:o}", "evaluations", p->sums.evaluations,
                     "ms_per_image", all, "bound_ms_per_image", bound, "times_bound", all / bound,
                     "memory_gbytes_per_s", p->memory_gbytes, "operations", rows);
}

static void print_row(const struct bench_profile *p, int kind)
{
    const struct nn_profile_row *r = &p->sums.row[kind];
    if (r->seconds <= 0)
        return;
    double flops = r->flop * 1e-9 / r->seconds, bytes = r->bytes * 1e-9 / r->seconds;
    printf("  %-18s %10.3f  %5.1f %%", nn_profile_name(kind), ms_per_image(p, r->seconds),
           100 * r->seconds / p->sums.total);
    if (r->flop > 0)
        printf("  %8.1f GFLOP/s  %4.0f %% of the peak", flops, 100 * flops / p->peak_gflops);
    else if (r->bytes > 0)
        printf("  %8.1f GB/s     %4.0f %% of memory's", bytes, 100 * bytes / p->memory_gbytes);
    printf("\n");
}

void bench_profile_print(const struct bench_profile *p)
{
    double all = ms_per_image(p, p->sums.total), bound = bound_ms(p);
    printf(
        "processor time by operation, one worker, ms per image and evaluation (%d evaluations):\n",
        p->sums.evaluations);
    for (int kind = 0; kind < NN_PROFILE_KINDS; kind++)
        print_row(p, kind);
    printf("  %-18s %10.3f  %.2f times the bound of %.3f: its multiply-adds at %.0f GFLOP/s\n",
           "all", all, all / bound, bound, p->peak_gflops);
    printf("  memory: %.1f GB/s, copied by one thread; what a cache holds is faster\n",
           p->memory_gbytes);
}
