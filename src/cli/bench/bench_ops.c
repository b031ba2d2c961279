/* Timing single operations; see bench_ops.h. One thread throughout, and its processor time, which a
 * busy machine hardly changes. */
#include "bench_ops.h"
#include "bench_machine.h"
#include "bench_ops_case.h"
#include "bench_time.h"
#include "cli_json.h"
#include "base_cpu.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_DEFAULT 0.1
#define SAMPLE_SECONDS 100e-6 /* shorter runs are timed several at once */
/* Of the largest output; beyond it a kernel computes something else. */
#define DISTANCE_MAX 1e-4
#define DISTANCE_MAX_BF16 3e-2
#define WAYS_MAX 8

/* cifar10-ddpmpp by level, then the 24-channel network of 28 pixels a side. */
static const struct bench_shape shapes[] = {
    {BENCH_CONV, 0, 32, 3, 128},
    {BENCH_CONV, 0, 32, 128, 128},
    {BENCH_CONV, 0, 32, 256, 128},
    {BENCH_CONV, 0, 32, 384, 128},
    {BENCH_CONV, 0, 32, 128, 4},
    {BENCH_CONV, 0, 16, 128, 256},
    {BENCH_CONV, 0, 16, 256, 256},
    {BENCH_CONV, 0, 16, 512, 256},
    {BENCH_CONV, 0, 8, 256, 256},
    {BENCH_CONV, 0, 8, 512, 256},
    {BENCH_CONV, 0, 4, 256, 256},
    {BENCH_CONV, 0, 4, 512, 256},
    {BENCH_CONV, 0, 28, 1, 24},
    {BENCH_CONV, 0, 28, 24, 24},
    {BENCH_CONV, 0, 28, 48, 24},
    {BENCH_CONV, 0, 14, 48, 48},
    {BENCH_CONV, 0, 14, 96, 48},
    {BENCH_CONV, 0, 7, 48, 48},
    {BENCH_CONV, 0, 7, 96, 48},
    {BENCH_POINT, 0, 32, 256, 128},
    {BENCH_POINT, 0, 16, 256, 768},
    {BENCH_POINT, 0, 16, 512, 256},
    {BENCH_POINT, 0, 4, 512, 256},
    {BENCH_POINT, 0, 28, 48, 24},
    {BENCH_POINT, 0, 14, 96, 48},
    {BENCH_LINEAR, 0, 1, 128, 512},
    {BENCH_LINEAR, 0, 1, 512, 512},
    {BENCH_LINEAR, 0, 1, 512, 10240},
    {BENCH_NORM, 0, 32, 128, 0},
    {BENCH_NORM, 0, 16, 256, 0},
    {BENCH_NORM, 0, 8, 256, 0},
    {BENCH_NORM, 0, 4, 512, 0},
    {BENCH_NORM, 0, 28, 24, 0},
    {BENCH_NORM, 0, 14, 48, 0},
    {BENCH_ATTENTION, 0, 16, 256, 0},
    {BENCH_ATTENTION, 0, 4, 256, 0},
    {BENCH_ATTENTION, 0, 7, 48, 0},
    {BENCH_RESAMPLE, NN_BOX_UP, 16, 256, 0},
    {BENCH_RESAMPLE, NN_BOX_DOWN, 32, 128, 0},
    {BENCH_RESAMPLE, NN_FIR_UP, 16, 256, 0},
    {BENCH_RESAMPLE, NN_FIR_DOWN, 32, 128, 0},
    {BENCH_RESAMPLE, NN_FIR_BLUR, 16, 128, 0},
};

struct ops_run {
    const struct bench_ops_options *options;
    struct bench_variant variants[WAYS_MAX]; /* the portable one first */
    double peak[WAYS_MAX];                   /* GFLOP/s of one thread */
    int variant_count;
    json_t *rows; /* NULL without --json */
};

struct timing {
    double seconds;  /* processor time of a run, the median */
    double distance; /* max |Δ| / max |out| from the portable kernel */
};

static double distance(const float *a, const float *b, size_t n)
{
    double apart = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= apart)) /* lets a NaN through */
            apart = d;
        largest = fmax(largest, fabs((double)b[i]));
    }
    return largest > 0 ? apart / largest : apart;
}

static double time_case(struct bench_case *c, const struct bench_variant *variant, double seconds)
{
    struct bench_series series = {0};
    int64_t begin = clock_thread_ns();
    bench_case_run(c, variant);
    double once = (double)(clock_thread_ns() - begin) * 1e-9;
    int repeats = once > 0 && once < SAMPLE_SECONDS ? (int)(SAMPLE_SECONDS / once) + 1 : 1;
    begin = clock_thread_ns();
    do {
        int64_t start = clock_thread_ns();
        for (int i = 0; i < repeats; i++)
            bench_case_run(c, variant);
        series.value[series.count++] = (double)(clock_thread_ns() - start) * 1e-9 / repeats;
    } while (series.count < BENCH_SERIES_MAX &&
             (double)(clock_thread_ns() - begin) * 1e-9 < seconds);
    return bench_series_median(&series);
}

static const char *variant_id(const struct bench_variant *variant)
{
    return nn_kernel_id_in(variant->kernel, variant->precision);
}

static void print_row(const struct ops_run *r, const struct bench_case *c, int which,
                      const struct timing *t, double portable)
{
    char size[48], rate[32], share[16] = "";
    if (c->flop > 0) {
        double gflops = c->flop / t->seconds * 1e-9;
        snprintf(rate, sizeof rate, "%8.1f GFLOP/s", gflops);
        snprintf(share, sizeof share, "%.0f %%", 100 * gflops / r->peak[which]);
    } else {
        snprintf(rate, sizeof rate, "%8.1f GB/s   ", c->bytes / t->seconds * 1e-9);
    }
    printf("%-10s %-16s %-12s %-6s %10.1f us  %s  %6.1fx  %6s  %.0e%s\n",
           bench_shape_name(c->shape), bench_shape_size(c->shape, size, sizeof size),
           variant_id(&r->variants[which]), nn_precision_name(r->variants[which].precision),
           t->seconds / (double)c->images * 1e6, rate, portable / t->seconds, share, t->distance,
           bench_case_is_used(c, &r->variants[which]) ? "" : "  (not used)");
}

static int add_row(const struct ops_run *r, const struct bench_case *c, int which,
                   const struct timing *t, double portable, struct err *e)
{
    const struct bench_shape *s = c->shape;
    double gflops = c->flop / t->seconds * 1e-9;
    json_t *row = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:b, s:f, s:f, s:f, s:f}", "op", bench_shape_name(s),
        "side", (json_int_t)s->side, "in", (json_int_t)s->in, "out", (json_int_t)s->out, "images",
        (json_int_t)c->images, "kernel", variant_id(&r->variants[which]), "precision",
        nn_precision_name(r->variants[which].precision), "used",
        bench_case_is_used(c, &r->variants[which]), "us_per_image",
        t->seconds / (double)c->images * 1e6, "gbytes_per_s", c->bytes / t->seconds * 1e-9,
        "times_portable", portable / t->seconds, "distance", t->distance);
    int result = !row;
    if (row && c->flop > 0)
        result = json_object_set_new(row, "gflops", json_real(gflops)) |
                 json_object_set_new(row, "share_of_peak", json_real(gflops / r->peak[which]));
    if (row)
        result |= json_array_append_new(r->rows, row);
    return result != 0 ? err_fail_memory(e, 512) : 0;
}

static int run_case(struct ops_run *r, struct bench_case *c, float *expected, struct err *e)
{
    double seconds = r->options->seconds > 0 ? r->options->seconds : SECONDS_DEFAULT, portable = 0;
    for (int i = 0; i < r->variant_count; i++) {
        const struct bench_variant *variant = &r->variants[i];
        char size[48];
        if (!bench_case_has(c, variant))
            continue;
        if (bench_case_pack(c, variant, e) != 0)
            return -1;
        memset(c->out, 0, c->out_count * sizeof *c->out);
        struct timing t = {.seconds = time_case(c, variant, seconds)};
        if (i == 0) {
            portable = t.seconds;
            memcpy(expected, c->out, c->out_count * sizeof *expected);
        }
        t.distance = distance(c->out, expected, c->out_count);
        if (!(t.distance <= (variant->terms == 1 ? DISTANCE_MAX_BF16 : DISTANCE_MAX)))
            return err_fail(e, ERR_NUMERIC, variant_id(variant),
                            "%s %s is %g off the portable kernel", bench_shape_name(c->shape),
                            bench_shape_size(c->shape, size, sizeof size), t.distance);
        if (!r->rows)
            print_row(r, c, i, &t, portable);
        else if (add_row(r, c, i, &t, portable, e) != 0)
            return -1;
    }
    return 0;
}

static int run_shape(struct ops_run *r, const struct bench_shape *shape, struct err *e)
{
    struct bench_case c;
    if (bench_case_init(&c, shape, (size_t)r->options->batch, e) != 0)
        return -1;
    float *expected = malloc(c.out_count * sizeof *expected);
    int result = expected ? run_case(r, &c, expected, e)
                          : err_fail_memory(e, c.out_count * sizeof *expected);
    free(expected);
    bench_case_clear(&c);
    return result;
}

/* A convolution's transformed form directly behind the plain one. */
static int run_shapes(struct ops_run *r, struct err *e)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct bench_shape winograd = shapes[i];
        winograd.op = BENCH_WINOGRAD;
        if (run_shape(r, &shapes[i], e) != 0)
            return -1;
        if (shapes[i].op == BENCH_CONV && shapes[i].in >= NN_LANES &&
            run_shape(r, &winograd, e) != 0)
            return -1;
    }
    return 0;
}

/* In f32, which AMX leaves to AVX-512; and in bf16 by the kernel's own instructions. */
static void add_variants(struct ops_run *r, enum nn_kernel kernel)
{
    if (kernel != NN_KERNEL_AMX)
        r->variants[r->variant_count++] = bench_variant_of(kernel, NN_PRECISION_F32);
    if (nn_tiles_get(kernel) == &nn_tiles_c)
        return;
    r->variants[r->variant_count++] = bench_variant_of(kernel, NN_PRECISION_BF16X3);
    r->variants[r->variant_count++] = bench_variant_of(kernel, NN_PRECISION_BF16);
}

static int choose_kernels(struct ops_run *r, struct err *e)
{
    enum nn_kernel wanted = NN_KERNEL_AUTO;
    struct err why = {0};
    if ((r->options->kernel && nn_kernel_parse(r->options->kernel, &wanted, &why) != 0) ||
        nn_kernel_require(wanted, &why) != 0)
        return err_rename(e, &why, "--kernel");
    if (r->options->kernel)
        wanted = nn_kernel_resolve(wanted);
    for (enum nn_kernel k = NN_KERNEL_C; k <= NN_KERNEL_AMX; k++)
        if (k == NN_KERNEL_C || k == wanted || (wanted == NN_KERNEL_AUTO && nn_kernel_available(k)))
            add_variants(r, k);
    for (int i = 0; i < r->variant_count; i++) {
        r->peak[i] = bench_peak_gflops(r->variants[i].kernel, r->variants[i].precision, 1, e);
        if (r->peak[i] < 0)
            return -1;
    }
    return 0;
}

static int print_json(const struct ops_run *r, json_t *machine, struct err *e)
{
    json_t *peaks = json_object();
    int result = peaks ? 0 : -1;
    for (int i = 0; i < r->variant_count && result == 0; i++)
        result = json_object_set_new(peaks, variant_id(&r->variants[i]), json_real(r->peak[i]));
    json_t *report = json_pack("{s:s, s:s, s:O, s:i, s:o, s:O}", "bench", "ops", "version",
                               PFGM_VERSION, "machine", machine, "workers", 1,
                               "peak_gflops_by_kernel", peaks, "rows", r->rows);
    result = report && result == 0 ? cli_json_print(report, e) : err_fail_memory(e, 4096);
    json_decref(report);
    return result;
}

static void print_head(const struct ops_run *r, const json_t *machine)
{
    char line[512];
    printf("one thread, %d images a call, on %s\n", r->options->batch,
           bench_machine_line(machine, line, sizeof line));
    for (int i = 0; i < r->variant_count; i++)
        printf("%s, %s: measured multiply-add peak %.1f GFLOP/s\n", variant_id(&r->variants[i]),
               nn_precision_name(r->variants[i].precision), r->peak[i]);
    printf("%-10s %-16s %-19s %13s  %16s  %7s  %6s  %s\n", "operation", "size", "kernel",
           "per image", "rate", "of c", "peak", "apart");
}

int bench_ops_run(const struct bench_ops_options *o, struct err *e)
{
    struct ops_run r = {.options = o};
    json_t *machine = NULL;
    int result = choose_kernels(&r, e);
    if (result == 0)
        result = (machine = bench_machine_json(e)) ? 0 : -1;
    if (result == 0 && o->json)
        result = (r.rows = json_array()) ? 0 : err_fail_memory(e, 64);
    if (result == 0 && !o->json)
        print_head(&r, machine);
    if (result == 0)
        result = run_shapes(&r, e);
    if (result == 0 && o->json)
        result = print_json(&r, machine, e);
    json_decref(r.rows);
    json_decref(machine);
    return result;
}
