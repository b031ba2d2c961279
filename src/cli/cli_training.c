/* A run as `pfgm train` and `pfgm distill` begin it: the options that both have, the signals and
 * what a person sees. The first SIGINT or SIGTERM ends the run after the step that is being taken,
 * with everything saved; a second one has its usual effect. */
#include "cli_training.h"
#include "cli.h"
#include "base_cpu.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 20
#define DRAW_NS 200000000
#define PRINT_NS 20000000000 /* the longest time without a line */
#define THREADS_MAX 1024

static volatile sig_atomic_t stop_asked;

static void on_signal(int signal_number)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    stop_asked = 1;
    sigaction(signal_number, &usual, NULL);
}

/* ---- options ---- */

static int parse_dtype(const char *word, enum ckpt_dtype *out, struct err *e)
{
    static const struct {
        const char *word;
        enum ckpt_dtype dtype;
    } words[] = {{"f32", CKPT_F32}, {"bf16", CKPT_BF16}, {"f16", CKPT_F16}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i].word) == 0) {
            *out = words[i].dtype;
            return 0;
        }
    return err_fail(e, ERR_INPUT, "--export-dtype", "is f32, bf16 or f16, not \"%s\"", word);
}

static int parse_number(const char *option, const char *word, int64_t min, int64_t max, int *out,
                        struct err *e)
{
    int64_t value;
    if (cli_parse_int(option, word, min, max, &value, e) != 0)
        return -1;
    *out = (int)value;
    return 0;
}

int cli_training_take(struct train_options *o, int option, const char *word, struct err *e)
{
    struct cli_training *s = o->context;
    struct err why = {0};
    switch (option) {
    case 'd':
        o->data.path = word;
        return 0;
    case 'o':
        o->run = word;
        return 0;
    case 'c':
        o->config = word;
        return 0;
    case 'r':
        o->resume = true;
        return 0;
    case CLI_TRAINING_CHANGES:
        o->changes = word;
        return 0;
    case CLI_TRAINING_STEPS:
        return cli_parse_int("--steps", word, 0, TRAIN_STEPS_MAX, &o->steps, e);
    case CLI_TRAINING_LABELS:
        o->data.labels = word;
        return 0;
    case CLI_TRAINING_CROP:
        return parse_number("--center-crop", word, 1, IMAGE_SIDE_MAX, &o->data.center_crop, e);
    case CLI_TRAINING_RESIZE:
        return parse_number("--resize", word, 1, DATA_SIDE_MAX, &o->data.resize, e);
    case CLI_TRAINING_STRICT:
        o->data.strict = true;
        return 0;
    case CLI_TRAINING_DTYPE:
        s->dtype = word;
        return parse_dtype(word, &o->export_dtype, e);
    case CLI_TRAINING_THREADS:
        s->threads = word;
        return parse_number("--threads", word, 1, THREADS_MAX, &o->threads, e);
    case CLI_TRAINING_KERNEL:
        s->kernel = word;
        return nn_kernel_parse(word, &o->kernel, &why) == 0 ? 0 : err_rename(e, &why, "--kernel");
    default:
        s->json = true;
        return 0;
    }
}

/* ---- what is shown ---- */

static void print_json(json_t *object)
{
    struct buf text;
    buf_init(&text, 1 << 16);
    if (object && json_append(&text, object, 0, NULL) == 0)
        printf("%s\n", (const char *)text.data);
    fflush(stdout);
    buf_clear(&text);
    json_decref(object);
}

static void erase_bar(struct cli_training *s)
{
    if (s->drawn)
        fputs("\r\033[K", stderr);
    s->drawn = false;
}

static void on_begin(void *context, const struct train_config *c, const struct data_set *d,
                     size_t parameters, int64_t step)
{
    const struct cli_training *s = context;
    if (s->json) {
        print_json(json_pack(
            "{s:s, s:I, s:I, s:i, s:I, s:I, s:I, s:f, s:f, s:f, s:f}", "event", "begin", "images",
            (json_int_t)d->count, "skipped", (json_int_t)d->skipped, "classes", d->classes,
            "parameters", (json_int_t)parameters, "step", (json_int_t)step, "m", (json_int_t)c->m,
            "t_max", c->t_max, "norm_max", c->norm_max, "sigma", c->sigma, "tau", c->tau));
        return;
    }
    printf("data     %zu image%s of %d×%d×%d, %d class%s, %zu file%s skipped, mean norm %.4g\n",
           d->count, d->count == 1 ? "" : "s", d->channels, d->side, d->side, d->classes,
           d->classes == 1 ? "" : "es", d->skipped, d->skipped == 1 ? "" : "s", d->norm);
    printf("network  %zu parameters%s\n", parameters, c->conditional ? ", with labels" : "");
    if (train_config_denoises(c))
        printf("field    D %g, sigma from %.4g to %.4g, sigma_data %.4g\n", c->added, c->t_max,
               c->t_min, c->sigma_data);
    else
        printf("field    M %" PRId64 ", sigma %g, tau %g, gamma %g, t_max %.4g, norm_max %.4g\n",
               c->m, c->sigma, c->tau, c->gamma, c->t_max, c->norm_max);
    if (c->objective == TRAIN_OBJECTIVE_DISTILL)
        printf("student  %" PRId64 " evaluation%s, %" PRId64 " to %" PRId64
               " intervals, teacher %.12s\n",
               c->student_steps, c->student_steps == 1 ? "" : "s", c->intervals, c->intervals_last,
               c->teacher_sha256);
    printf("steps    %" PRId64 " of %" PRId64 " done, batch %" PRId64 ", large batch %" PRId64 "\n",
           step, c->steps, c->batch, c->large_batch);
    fflush(stdout);
}

static void print_left(double seconds, char *out, size_t size)
{
    int64_t left = seconds < 1e8 ? (int64_t)(seconds + 0.5) : 100000000;
    if (left < 60)
        snprintf(out, size, "%" PRId64 " s", left);
    else if (left < 3600)
        snprintf(out, size, "%" PRId64 " min", left / 60);
    else
        snprintf(out, size, "%" PRId64 " h %02" PRId64 " min", left / 3600, left % 3600 / 60);
}

static void print_plan_json(const struct train_plan *p, const struct train_config *c)
{
    print_json(json_pack("{s:s, s:f, s:I, s:I, s:f, s:f, s:f, s:f}", "event", "plan", "seconds",
                         p->seconds, "steps", (json_int_t)c->steps, "batch", (json_int_t)c->batch,
                         "images_per_second", 1 / p->image_seconds[p->network], "learning_rate",
                         c->learning_rate, "enough_seconds", p->enough, "larger_seconds", p->more));
}

/* What was chosen for so many minutes, and what more or fewer would bring. */
static void on_plan(void *context, const struct train_plan *p, const struct train_config *c,
                    const struct data_set *d)
{
    const struct cli_training *s = context;
    char time[32], more[32];
    if (s->json) {
        print_plan_json(p, c);
        return;
    }
    print_left(p->seconds, time, sizeof time);
    printf("plan     %s: ", time);
    if (!d->values)
        printf("nf %d with %d block%s per level, ", c->arch.nf, c->arch.num_res_blocks,
               c->arch.num_res_blocks == 1 ? "" : "s");
    printf("batch %" PRId64 ", %" PRId64 " steps at %.0f images/s, rate %.2g\n", c->batch, c->steps,
           1 / p->image_seconds[p->network], c->learning_rate);
    if (p->given)
        return;
    print_left(p->enough, time, sizeof time);
    print_left(p->more, more, sizeof more);
    printf("enough   %s for a first model of %d×%d pixels here%s%s%s\n", time, d->side, d->side,
           p->more > 0 ? "; a larger network from " : "", p->more > 0 ? more : "",
           p->more > 0 ? " on" : "");
    fflush(stdout);
}

static void draw_bar(struct cli_training *s, const struct train_progress *p)
{
    char bar[BAR_WIDTH + 1], left[32];
    int full = p->steps > 0 ? (int)(p->step * BAR_WIDTH / p->steps) : 0;
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '#', (size_t)(full < BAR_WIDTH ? full : BAR_WIDTH));
    bar[BAR_WIDTH] = '\0';
    print_left(p->seconds_left, left, sizeof left);
    fprintf(stderr,
            "\r\033[K[%s] %" PRId64 "/%" PRId64
            ", loss %.4g, gradient %.3g, %.0f images/s, %s left",
            bar, p->step, p->steps, p->loss, p->norm, p->speed, left);
    fflush(stderr);
    s->drawn = true;
}

static void on_progress(void *context, const struct train_progress *p)
{
    struct cli_training *s = context;
    if (s->json && p->logged)
        print_json(json_pack("{s:s, s:I, s:f, s:f, s:f, s:f}", "event", "step", "step",
                             (json_int_t)p->line.step, "loss", p->line.loss, "gradient_norm",
                             p->line.norm, "learning_rate", p->line.rate, "images_per_second",
                             p->line.speed));
    if (s->terminal && clock_ns() - s->drawn_ns >= DRAW_NS) {
        s->drawn_ns = clock_ns();
        draw_bar(s, p);
    } else if (!s->terminal && !s->json &&
               (p->logged || !s->begun || clock_ns() - s->drawn_ns >= PRINT_NS)) {
        /* the first step too, so that whoever waits sees how long it will last */
        char left[32];
        print_left(p->seconds_left, left, sizeof left);
        printf("step %" PRId64 "  loss %.4g  gradient %.3g  %.0f images/s  %s left\n", p->step,
               p->loss, p->norm, p->speed, left);
        fflush(stdout);
        s->begun = true;
        s->drawn_ns = clock_ns();
    }
}

/* As a shell reads it back. */
static void print_word(const char *word)
{
    static const char plain[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "%+,-./:=@_";
    if (*word && strspn(word, plain) == strlen(word)) {
        fputs(word, stdout);
        return;
    }
    putchar('\'');
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*word);
    putchar('\'');
}

static void print_option(const char *option, const char *word)
{
    if (!word)
        return;
    printf(" %s ", option);
    print_word(word);
}

/* The command that continues the run: config.json knows what was configured, but neither how the
 * data are to be read nor with what the run computes. Changes were made, once. */
static void print_continue(const struct cli_training *s, const struct train_options *o)
{
    printf("continue with: pfgm %s", o->teacher ? "distill " : "train");
    if (o->teacher)
        print_word(o->teacher);
    print_option("--data", o->data.path);
    print_option("-o", o->run);
    fputs(" --resume", stdout);
    print_option("--labels", o->data.labels);
    if (o->data.center_crop > 0)
        printf(" --center-crop %d", o->data.center_crop);
    if (o->data.resize > 0)
        printf(" --resize %d", o->data.resize);
    if (o->data.strict)
        fputs(" --strict", stdout);
    if (o->steps >= 0)
        printf(" --%s %" PRId64, o->teacher ? "train-steps" : "steps", o->steps);
    print_option("--export-dtype", s->dtype);
    print_option("--threads", s->threads);
    print_option("--kernel", s->kernel);
    putchar('\n');
}

static void print_result(const struct cli_training *s, const struct train_options *o,
                         const struct train_result *r)
{
    if (s->json) {
        print_json(json_pack("{s:s, s:I, s:b, s:o, s:s}", "event", r->stopped ? "stopped" : "done",
                             "step", (json_int_t)r->step, "stopped", r->stopped, "loss",
                             isfinite(r->loss) ? json_real(r->loss) : json_null(), "model_sha256",
                             r->model_sha256));
        return;
    }
    const size_t length = strlen(o->run);
    printf("%s after step %" PRId64 ": %s%smodel.safetensors, SHA-256 %s\n",
           r->stopped ? "stopped" : "done", r->step, o->run,
           length > 0 && o->run[length - 1] == '/' ? "" : "/", r->model_sha256);
    if (r->stopped)
        print_continue(s, o);
}

struct train_options cli_training_begin(struct cli_training *s)
{
    *s = (struct cli_training){.terminal = isatty(STDERR_FILENO) == 1};
    return (struct train_options){.steps = -1,
                                  .threads = cpu_worker_count(),
                                  .kernel = NN_KERNEL_AUTO,
                                  .export_dtype = CKPT_F32,
                                  .stop = &stop_asked,
                                  .plan = on_plan,
                                  .begin = on_begin,
                                  .progress = on_progress,
                                  .context = s};
}

int cli_training_check(const char *name, const struct train_options *o)
{
    if (!o->data.path || !o->run || !*o->run)
        return cli_usage_error(name, "--data and -o are needed");
    if (o->resume && o->config)
        return cli_usage_error(name, "--resume takes the run's own config.json, not --config");
    if (o->changes && (!o->resume || o->steps >= 0))
        return cli_usage_error(name,
                               "--continue-with goes with --resume and without a number of steps");
    return -1;
}

int cli_training_run(const char *name, const struct train_options *o)
{
    struct train_result trained;
    struct err e = {0}, why = {0};
    struct train_options chosen = *o;
    enum nn_precision precision = NN_PRECISION_F32;
    if (nn_precision_resolve(&chosen.kernel, &precision, &why) != 0) {
        err_rename(&e, &why, o->kernel == NN_KERNEL_AUTO ? NN_KERNEL_VARIABLE : "--kernel");
        return cli_fail(name, &e);
    }
    /* A line that waits for its reader is not lost by the signal. */
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    int result = train_run(&chosen, &trained, &e);
    erase_bar(o->context);
    if (result != 0)
        return cli_fail(name, &e);
    print_result(o->context, o, &trained);
    return CLI_EXIT_OK;
}
