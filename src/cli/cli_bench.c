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
#define STEPS_DEFAULT 100 /* the reference's */

static const char help[] =
    "usage: pfgm bench [--preset NAME | --model FILE] [options]\n"
    "       pfgm bench ops [options]\n"
    "       pfgm bench solvers MODEL [options]   (see its own --help)\n"
    "\n"
    "Times a network: milliseconds an image and evaluation, images a second for a solver, and the\n"
    "share of the machine's multiply-add peak, which it measures too.\n"
    "\n"
    "  --preset NAME     a published network with random weights (cifar10-ddpmpp)\n"
    "  --model FILE      a model\n"
    "  --batch B         images in an evaluation, shared out over the workers (8)\n"
    "  --workers W       threads (as many as the machine gives)\n"
    "  --kernel K        auto (default), c, avx2, avx512, amx\n"
    "  --precision P     auto (default: bf16x3 with AMX, else f32), f32, bf16x3, bf16\n"
    "  --seconds S       how long to measure (3)\n"
    "  --solver METHOD   of images a second: rk45 (default) or another of pfgm sample's\n"
    "  --steps N         of a fixed-step method (100)\n"
    "  --nfe N           evaluations an image; if absent, those of the steps, or for rk45 the "
    "mean\n"
    "                    over a few images of the model, or what is published for the preset\n"
    "  --json\n"
    "\n"
    "ops: times every operation at the sizes of real networks on one thread, for each kernel,\n"
    "against the portable one.\n"
    "\n"
    "  --kernel K        only this one, beside the portable one\n"
    "  --batch B         images in a call (4)\n"
    "  --seconds S       how long to measure each (0.1)\n"
    "  --json\n";

enum { /* what getopt_long returns */
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
       OPTION_JSON
};

/* As given; 0 and NULL mean absent. */
struct bench_options {
    bool ops, json, has_steps;
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
    json_t *solver = json_pack("{s:s, s:f, s:s}", "method", ode_method_name(o->method), "nfe",
                               r->nfe, "nfe_from", r->nfe_from);
    if (solver && ode_method_is_fixed_step(o->method) &&
        json_object_set_new(solver, "steps", json_integer(o->steps)) != 0) {
        json_decref(solver);
        solver = NULL;
    }
    return json_pack(
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
}

static void net_print(const struct bench_net_options *o, const struct bench_net_result *r,
                      const json_t *machine)
{
    const struct bench_subject *s = &r->subject;
    double images = (double)o->batch, gflop = r->flop * images * 1e-9;
    char line[512];
    printf("%s%s: %.2f M parameters, %.2f GFLOP an image and evaluation\n", s->name,
           s->model ? "" : ", random weights", (double)s->parameters * 1e-6, r->flop * 1e-9);
    printf("kernel %s, %s, batch %d, workers %d, %zu rounds of %d\n", s->kernel_id,
           nn_precision_name(s->precision), o->batch, r->workers, r->rounds, r->repeats);
    printf("  %10.3f ms an image and evaluation (best %.3f, processor time %.3f)\n",
           r->median_s / images * 1e3, r->best_s / images * 1e3, r->cpu_s / images * 1e3);
    printf("  %10.1f GFLOP/s, %.0f %% of the measured peak of %.0f (one worker: %.0f)\n",
           gflop / r->median_s, 100 * gflop / r->median_s / r->peak_all, r->peak_all, r->peak_one);
    printf("  %10.3f images a second: %s, %.4g evaluations an image (%s)\n",
           images / (r->median_s * r->nfe), ode_method_name(o->method), r->nfe, r->nfe_from);
    printf("  %10.3f s to load; weights %.1f MB, peak memory %.1f MB\n", s->load_s,
           (double)s->weights_bytes * 1e-6, (double)r->peak_rss * 1e-6);
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
        .method = o->method,
        .steps = o->has_steps ? (int)o->steps : STEPS_DEFAULT,
        .nfe = o->nfe,
    };
    struct bench_net_result measured;
    if (net.workers > BENCH_WORKERS_MAX)
        net.workers = BENCH_WORKERS_MAX;
    if (cli_model_options(o->kernel, o->precision, &net.load, e) != 0)
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
            result = report ? cli_json_print(report, e) : err_fail_memory(e, 4096);
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
        if (ode_method_parse(word, &o->method) == 0)
            return 0;
        return err_fail(e, ERR_INPUT, "--solver", "\"%s\" is not a method: use " ODE_METHOD_WORDS,
                        word);
    case OPTION_STEPS:
        o->has_steps = true;
        return cli_parse_int("--steps", word, 1, ODE_STEPS_MAX, &o->steps, e);
    case OPTION_NFE:
        return cli_parse_int("--nfe", word, 1, ODE_NFE_MAX, &o->nfe, e);
    case OPTION_JSON:
        o->json = true;
        return 0;
    default:
        return err_fail(e, ERR_INTERNAL, "", "an option without a meaning");
    }
}

static const struct option long_options[] = {
    {"preset", required_argument, NULL, OPTION_PRESET},
    {"model", required_argument, NULL, OPTION_MODEL},
    {"batch", required_argument, NULL, OPTION_BATCH},
    {"workers", required_argument, NULL, OPTION_WORKERS},
    {"kernel", required_argument, NULL, OPTION_KERNEL},
    {"precision", required_argument, NULL, OPTION_PRECISION},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"solver", required_argument, NULL, OPTION_SOLVER},
    {"steps", required_argument, NULL, OPTION_STEPS},
    {"nfe", required_argument, NULL, OPTION_NFE},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0}};

/* Options that contradict each other. -1: none do; else the exit code. */
static int check_options(const struct bench_options *o)
{
    if (o->ops && (o->model || o->preset || o->workers || o->precision || o->has_steps || o->nfe))
        return cli_usage_error("bench", "ops takes --kernel, --batch, --seconds and --json only");
    if (o->model && o->preset)
        return cli_usage_error("bench", "--model and --preset exclude each other");
    if (o->has_steps && !ode_method_is_fixed_step(o->method))
        return cli_usage_error("bench", "--steps is for a fixed-step --solver, not for %s",
                               ode_method_name(o->method));
    return -1;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct bench_options *o)
{
    static const struct cli_options options = {"bench", help, ":h", long_options, take_option};
    int code = cli_take_options(&options, argc, argv, o);
    if (code >= 0)
        return code;
    o->ops = argc - optind == 1 && strcmp(argv[optind], "ops") == 0;
    if (argc - optind > o->ops)
        return cli_usage_error("bench", "\"%s\" is no word of bench: models go behind --model",
                               argv[optind]);
    return check_options(o);
}

int cli_bench(int argc, char **argv)
{
    struct bench_options options = {.method = ODE_RK45};
    struct err e = {0};
    if (argc > 1 && strcmp(argv[1], "solvers") == 0)
        return cli_bench_solvers(argc - 1, argv + 1);
    int code = parse(argc, argv, &options);

    if (code >= 0)
        return code;
    if (options.ops) {
        const struct bench_ops_options ops = {.kernel = options.kernel,
                                              .batch = options.batch ? (int)options.batch : 4,
                                              .seconds = options.seconds,
                                              .json = options.json};
        code = bench_ops_run(&ops, &e);
    } else {
        code = run_net(&options, &e);
    }
    return code == 0 ? CLI_EXIT_OK : cli_fail("bench", &e);
}
