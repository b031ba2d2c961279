/* `pfgm bench`: how fast this machine evaluates a network, and `pfgm bench ops`, how fast each
 * operation of it. This file holds the options and the report; the measuring is in src/cli/bench.
 *
 * Times on a machine that others use are worth little by themselves. So every figure comes with
 * what it may be compared with in the same run: the multiply-add peak, and between kernels the
 * portable one. */
#include "cli.h"
#include "cli_json.h"
#include "base_cpu.h"
#include "bench_machine.h"
#include "bench_net.h"
#include "bench_ops.h"
#include "bench_time.h"
#include <string.h>

#define SECONDS_DEFAULT 3.0
#define SECONDS_MAX 3600.0

enum {
    OPTION_PRESET = 256,
    OPTION_MODEL,
    OPTION_BATCH,
    OPTION_WORKERS,
    OPTION_KERNEL,
    OPTION_PRECISION,
    OPTION_SECONDS,
    OPTION_SOLVER,
    OPTION_STEPS,
    OPTION_NFE,
    OPTION_PROFILE,
    OPTION_JSON
};

/* As given; 0 and NULL mean absent. */
struct bench_options {
    bool json, profile, has_method;
    const char *model, *preset, *kernel, *precision;
    enum ode_method method;
    int64_t batch, workers, steps, nfe;
    double seconds;
};

/* ---- the network ---- */

static json_t *net_json(const struct bench_net_options *o, const struct bench_net_result *r,
                        json_t *machine)
{
    const struct bench_subject *s = &r->subject;
    double images = (double)o->batch, gflop = r->flop * images * 1e-9;
    const struct ode_options *ode = &r->solver.ode;
    json_t *solver = json_pack("{s:s, s:f, s:s}", "method", ode_method_name(ode->method), "nfe",
                               r->nfe, "nfe_from", r->nfe_from);
    if (solver && ode_method_is_fixed_step(ode->method) &&
        json_object_set_new(solver, "steps", json_integer(ode->steps)) != 0) {
        json_decref(solver);
        solver = NULL;
    }
    json_t *report = json_pack(
        "{s:s, s:s, s:O, s:s, s:s, s:s, s:s, s:I, s:f, s:i, s:i, s:I, s:i,"
        " s:{s:f, s:f, s:f}, s:{s:f, s:f}, s:{s:f, s:f}, s:f, s:o, s:f, s:f, s:I, s:I}",
        "bench", "network", "version", PFGM_VERSION, "machine", machine, "weights",
        s->model ? "file" : "random", s->model ? "model" : "preset", s->name, "kernel",
        s->kernel_id, "precision", nn_precision_name(s->precision), "parameters",
        (json_int_t)s->parameters, "gflop_per_image", r->flop * 1e-9, "batch", o->batch, "workers",
        r->workers, "rounds", (json_int_t)r->rounds, "evaluations_per_round", r->repeats,
        "ms_per_image", "median", r->median_s / images * 1e3, "best", r->best_s / images * 1e3,
        "cpu", r->cpu_s / images * 1e3, "gflops", "median", gflop / r->median_s, "best",
        gflop / r->best_s, "peak_gflops", "one_worker", r->peak_one, "workers", r->peak_all,
        "share_of_peak", gflop / r->median_s / r->peak_all, "solver", solver, "images_per_s",
        images / (r->median_s * r->nfe), "load_s", s->load_s, "weights_bytes",
        (json_int_t)s->weights_bytes, "peak_rss_bytes", (json_int_t)r->peak_rss);
    if (report && o->profile &&
        json_object_set_new(report, "profile", bench_profile_json(&r->profile)) != 0) {
        json_decref(report);
        return NULL;
    }
    return report;
}

static void net_print(const struct bench_net_options *o, const struct bench_net_result *r,
                      const json_t *machine)
{
    const struct bench_subject *s = &r->subject;
    double images = (double)o->batch, gflop = r->flop * images * 1e-9;
    char line[512];
    printf("%s%s: %.2f M parameters, %.2f GFLOP per image and evaluation\n", s->name,
           s->model ? "" : ", random weights", (double)s->parameters * 1e-6, r->flop * 1e-9);
    printf("kernel %s, %s, batch %d, workers %d, %zu rounds of %d\n", s->kernel_id,
           nn_precision_name(s->precision), o->batch, r->workers, r->rounds, r->repeats);
    printf("  %10.3f ms per image and evaluation (best %.3f, processor time %.3f)\n",
           r->median_s / images * 1e3, r->best_s / images * 1e3, r->cpu_s / images * 1e3);
    printf("  %10.1f GFLOP/s, %.0f %% of the measured peak of %.0f (one worker: %.0f)\n",
           gflop / r->median_s, 100 * gflop / r->median_s / r->peak_all, r->peak_all, r->peak_one);
    printf("  %10.3f images per second: %s, %.4g evaluations per image (%s)\n",
           images / (r->median_s * r->nfe), ode_method_name(r->solver.ode.method), r->nfe,
           r->nfe_from);
    printf("  %10.3f s to load; weights %.1f MB, peak memory %.1f MB\n", s->load_s,
           (double)s->weights_bytes * 1e-6, (double)r->peak_rss * 1e-6);
    if (o->profile)
        bench_profile_print(&r->profile);
    printf("on %s\n", bench_machine_line(machine, line, sizeof line));
}

static int run_net(const struct bench_options *o, struct err *e)
{
    struct bench_net_options net = {
        .model = o->model,
        .preset = o->model    ? NULL
                  : o->preset ? o->preset
                              : "cifar10-ddpmpp",
        .batch = o->batch ? (int)o->batch : 8,
        .workers = o->workers ? (int)o->workers : cpu_worker_count(),
        .seconds = o->seconds > 0 ? o->seconds : SECONDS_DEFAULT,
        .method = o->has_method ? &o->method : NULL,
        .steps = (int)o->steps,
        .nfe = o->nfe,
        .profile = o->profile,
    };
    struct bench_net_result measured;
    if (net.workers > BENCH_WORKERS_MAX)
        net.workers = BENCH_WORKERS_MAX;
    if ((o->json && cli_json_paths(o->model, NULL, e) != 0) ||
        cli_model_options(o->kernel, o->precision, &net.load, e) != 0)
        return -1;
    json_t *machine = bench_machine_json(e);
    if (!machine)
        return -1;
    int result = bench_net_run(&net, &measured, e);
    if (result == 0) {
        json_t *report = o->json ? net_json(&net, &measured, machine) : NULL;
        if (!o->json)
            net_print(&net, &measured, machine);
        else
            result = cli_json_print(report, e);
        json_decref(report);
        bench_subject_clear(&measured.subject);
    }
    json_decref(machine);
    return result;
}

/* ---- options ---- */

static int take_option(void *context, int c, const char *word, struct err *e)
{
    struct bench_options *o = context;
    switch (c) {
    case OPTION_PRESET:
        o->preset = word;
        return 0;
    case OPTION_MODEL:
        o->model = word;
        return 0;
    case OPTION_BATCH:
        return cli_parse_int("--batch", word, 1, BENCH_BATCH_MAX, &o->batch, e);
    case OPTION_WORKERS:
        return cli_parse_int("--workers", word, 1, BENCH_WORKERS_MAX, &o->workers, e);
    case OPTION_KERNEL:
        o->kernel = word;
        return 0;
    case OPTION_PRECISION:
        o->precision = word;
        return 0;
    case OPTION_SECONDS:
        if (cli_parse_real("--seconds", word, &o->seconds, e) != 0)
            return -1;
        if (o->seconds > 0 && o->seconds <= SECONDS_MAX)
            return 0;
        return err_fail(e, ERR_INPUT, "--seconds", "must be above 0 and at most %g, is %s",
                        SECONDS_MAX, word);
    case OPTION_SOLVER:
        o->has_method = true;
        if (ode_method_parse(word, &o->method) == 0)
            return 0;
        return err_fail(e, ERR_INPUT, "--solver", "\"%s\" is not a method: use " ODE_METHOD_WORDS,
                        word);
    case OPTION_STEPS:
        return cli_parse_int("--steps", word, 1, ODE_STEPS_MAX, &o->steps, e);
    case OPTION_NFE:
        return cli_parse_int("--nfe", word, 1, ODE_NFE_MAX, &o->nfe, e);
    case OPTION_PROFILE:
        o->profile = true;
        return 0;
    case OPTION_JSON:
        o->json = true;
        return 0;
    default:
        return err_fail(e, ERR_INTERNAL, "", "an option without a meaning");
    }
}

/* Options that contradict each other. -1: none do; else the exit code. */
static int check_options(const struct bench_options *o)
{
    if (o->model && o->preset)
        return cli_usage_error("bench", "--model and --preset exclude each other");
    if (o->steps && o->nfe)
        return cli_usage_error("bench", "--steps and --nfe both say how many evaluations there "
                                        "are: leave one out");
    if (o->steps && !ode_method_is_fixed_step(o->method) && (o->has_method || !o->model))
        return cli_usage_error("bench", "--steps is for a fixed-step --solver, not for %s",
                               ode_method_name(o->method));
    return -1;
}

static int bench_main(int argc, char **argv)
{
    struct bench_options options = {.method = ODE_RK45};
    struct err e = {0};
    int code = cli_options_take(&cli_bench_command, NULL, argc, argv, &options);
    if (code >= 0)
        return code;
    if (argc > optind)
        return cli_usage_error("bench",
                               "\"%s\" is no word of bench: models go behind --model, and ops and "
                               "solvers before all options",
                               argv[optind]);
    code = check_options(&options);
    if (code >= 0)
        return code;
    return run_net(&options, &e) == 0 ? CLI_EXIT_OK : cli_fail("bench", &e);
}

static int ops_main(int argc, char **argv)
{
    struct bench_options options = {0};
    struct err e = {0};
    int code = cli_options_take(&cli_bench_ops_command, NULL, argc, argv, &options);
    if (code >= 0)
        return code;
    if (argc > optind)
        return cli_usage_error("bench ops", "unexpected word \"%s\"", argv[optind]);
    const struct bench_ops_options ops = {.kernel = options.kernel,
                                          .batch = options.batch ? (int)options.batch : 4,
                                          .seconds = options.seconds,
                                          .json = options.json};
    return bench_ops_run(&ops, &e) == 0 ? CLI_EXIT_OK : cli_fail("bench ops", &e);
}

static const struct cli_option bench_table[] = {
    {"preset", 0, OPTION_PRESET, "NAME", CLI_VALUES_PRESETS,
     "a published network with random weights (cifar10-ddpmpp)"},
    {"model", 0, OPTION_MODEL, "FILE", CLI_VALUES_FILES, "a model"},
    {"batch", 0, OPTION_BATCH, "B", NULL,
     "images in an evaluation, shared out over the workers (8)"},
    CLI_OPTION_WORKERS(OPTION_WORKERS),
    CLI_OPTION_KERNEL(OPTION_KERNEL),
    CLI_OPTION_PRECISION(OPTION_PRECISION),
    {"seconds", 0, OPTION_SECONDS, "S", NULL, "how long to measure (3)"},
    {"solver", 0, OPTION_SOLVER, "METHOD", ODE_METHOD_WORDS,
     "solver for the images per second: one of pfgm sample (the model's own; of a preset rk45)"},
    {"steps", 0, OPTION_STEPS, "N", NULL, "of a fixed-step method (the model's own, or 100)"},
    {"nfe", 0, OPTION_NFE, "N", NULL,
     "evaluations per image; if absent, those of the steps, or for rk45 the mean over a few images "
     "of the model, or the published number of the preset (104 where there is none: assumed)"},
    {"profile", 0, OPTION_PROFILE, NULL, NULL,
     "also report where one worker's processor time goes, by kind of operation"},
    CLI_OPTION_JSON(OPTION_JSON),
    {0}};

static const struct cli_option ops_table[] = {
    {"kernel", 0, OPTION_KERNEL, "K", "auto c openblas lanes8 avx2 neon avx512 amx",
     "only this one, beside the portable one"},
    {"batch", 0, OPTION_BATCH, "B", NULL, "images in a call (4)"},
    {"seconds", 0, OPTION_SECONDS, "S", NULL, "how long to measure each (0.1)"},
    CLI_OPTION_JSON(OPTION_JSON),
    {0}};

const struct cli_command cli_bench_ops_command = {
    .name = "bench ops",
    .summary = "time every operation of the network, for each kernel",
    .synopsis = "bench ops [options]",
    .about = "Times every operation at the sizes of real networks on one thread, for each kernel, "
             "against the portable one.",
    .options = ops_table,
    .take = take_option,
    .run = ops_main};

static const struct cli_command *const inner[] = {&cli_bench_ops_command,
                                                  &cli_bench_solvers_command, NULL};

const struct cli_command cli_bench_command = {
    .name = "bench",
    .summary = "time networks and operations on this machine",
    .synopsis = "bench [--preset NAME | --model FILE] [options]\n"
                "bench ops [options]\n"
                "bench solvers MODEL [options]",
    .about =
        "Times a network: milliseconds per image and evaluation, images per second for a solver, "
        "and the share of the machine's multiply-add peak, which it measures too.",
    .options = bench_table,
    .words = "ops solvers",
    .inner = inner,
    .take = take_option,
    .run = bench_main};
