/* Subjects and lanes; see bench_subject.h. */
#include "bench_subject.h"
#include "base_cpu.h"
#include "base_rng.h"
#include "base_size.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEED 1
#define CHUNK 4096 /* numbers drawn at once */
#define T_FIRST 0.01
#define T_LAST 40.0

/* ---- random weights ---- */

struct drawing {
    uint64_t parameter; /* the next one's place in the list */
    int64_t ns;         /* spent in drawing */
};

void bench_uniforms(uint64_t seed, uint64_t stream, size_t count, double bound, float *out)
{
    double unit[CHUNK];
    for (size_t first = 0; first < count; first += CHUNK) {
        size_t n = count - first < CHUNK ? count - first : CHUNK;
        rng_uniforms(seed, stream << 32 | first / CHUNK, RNG_TEST, n, unit);
        for (size_t i = 0; i < n; i++)
            out[first + i] = (float)((2.0 * unit[i] - 1.0) * bound);
    }
}

static int draw_param(void *context, const struct nn_param *p, float *out, struct err *e)
{
    struct drawing *d = context;
    int64_t begin = clock_ns();
    (void)e; /* nothing here can fail */
    if (p->rank > 1) {
        size_t taps = p->count / (p->shape[0] * p->shape[1]);
        double fan = 0.5 * (double)(p->shape[0] + p->shape[1]) * (double)taps;
        bench_uniforms(SEED, d->parameter, p->count, sqrt(3.0 / fan), out);
    } else if (!p->trainable) { /* the Fourier projection: deviation 16 */
        bench_uniforms(SEED, d->parameter, p->count, 16.0 * sqrt(3.0), out);
    } else {
        size_t length = strlen(p->name);
        bool scale = length > 7 && strcmp(p->name + length - 7, ".weight") == 0;
        for (size_t i = 0; i < p->count; i++)
            out[i] = scale ? 1.0f : 0.0f;
    }
    d->parameter++;
    d->ns += clock_ns() - begin;
    return 0;
}

/* ---- subjects ---- */

static int open_preset(struct bench_subject *s, const char *preset,
                       const struct model_options *options, struct err *e)
{
    struct drawing d = {0};
    const struct nn_weights weights = {draw_param, &d};
    const struct nn_arch *arch = nn_arch_preset(preset);
    if (!arch) /* this function's error lists the names */
        return ckpt_description_from_preset(preset, &(struct ckpt_description){0}, e);
    int64_t begin = clock_ns();
    s->net = nn_net_new_threads(arch, &weights, options->kernel, options->precision, 1, e);
    if (!s->net)
        return -1;
    s->load_s = (double)(clock_ns() - begin - d.ns) * 1e-9;
    s->arch = nn_net_arch(s->net);
    s->kernel = nn_net_kernel(s->net);
    s->precision = nn_net_precision(s->net);
    s->kernel_id = nn_net_kernel_id(s->net);
    s->parameters = nn_arch_scalars(s->arch);
    s->weights_bytes = nn_net_bytes(s->net);
    return 0;
}

void bench_subject_clear(struct bench_subject *s)
{
    model_free(s->model);
    nn_net_free(s->net);
    *s = (struct bench_subject){0};
}

int bench_subject_open(struct bench_subject *s, const char *path, const char *preset,
                       const struct model_options *options, struct err *e)
{
    *s = (struct bench_subject){.name = path ? path : preset};
    if (!path)
        return open_preset(s, preset, options, e);
    s->kernel = options->kernel;
    s->precision = options->precision;
    if (nn_precision_resolve(&s->kernel, &s->precision, e) != 0)
        return -1;
    int64_t begin = clock_ns();
    s->model = model_load(path, options, e);
    if (!s->model)
        return -1;
    if (model_description(s->model)->family == CKPT_FAMILY_EXACT) {
        bench_subject_clear(s);
        return err_fail(e, ERR_INPUT, path, "is an exact field: it has no network to measure");
    }
    s->load_s = (double)(clock_ns() - begin) * 1e-9;
    s->arch = &model_description(s->model)->arch;
    s->kernel_id = model_kernel_id(s->model);
    s->parameters = model_parameters(s->model);
    s->weights_bytes = model_bytes(s->model);
    return 0;
}

/* ---- lanes ---- */

static size_t lane_dimension(const struct bench_subject *s)
{
    size_t side = (size_t)s->arch->image_size;
    return (size_t)s->arch->channels * side * side;
}

/* Points: the data, of size 1 per pixel, moved by about t. */
static void fill_lane(struct bench_lane *lane, size_t d)
{
    double ratio = T_LAST / T_FIRST;
    for (int i = 0; i < lane->n; i++) {
        double at = lane->n > 1 ? (double)i / (lane->n - 1) : 0.5;
        double t = T_FIRST * pow(ratio, at);
        lane->t[i] = (float)t;
        bench_uniforms(SEED, (uint64_t)1 << 30 | (uint64_t)i, d, 1.0 + t,
                       lane->block + (size_t)i * d);
        lane->x[i] = lane->block + (size_t)i * d;
        lane->v_x[i] = lane->block + (size_t)(lane->n + i) * d;
    }
}

int bench_lane_init(struct bench_lane *lane, const struct bench_subject *s, int n, struct err *e)
{
    size_t d = lane_dimension(s), images = (size_t)n, bytes;
    *lane = (struct bench_lane){.n = n};
    if (!size_mul(2 * d * sizeof(float), images, &bytes))
        return err_fail(e, ERR_LIMIT, "batch", "%d images are too many", n);
    if (s->model)
        lane->model_workspace = model_workspace_new(s->model, n, e);
    else
        lane->net_workspace = nn_workspace_new(s->net, n, e);
    if (!lane->model_workspace && !lane->net_workspace)
        return -1;
    lane->block = malloc(bytes);
    lane->x = calloc(images, sizeof *lane->x);
    lane->v_x = calloc(images, sizeof *lane->v_x);
    lane->t = calloc(images, sizeof *lane->t);
    lane->v_t = calloc(images, sizeof *lane->v_t);
    if (!lane->block || !lane->x || !lane->v_x || !lane->t || !lane->v_t) {
        bench_lane_clear(lane);
        return err_fail_memory(e, bytes);
    }
    fill_lane(lane, d);
    return 0;
}

void bench_lane_clear(struct bench_lane *lane)
{
    nn_workspace_free(lane->net_workspace);
    model_workspace_free(lane->model_workspace);
    free(lane->block);
    free(lane->x);
    free(lane->v_x);
    free(lane->t);
    free(lane->v_t);
    *lane = (struct bench_lane){0};
}

void bench_lane_team(const struct bench_lane *lane, struct nn_team *team)
{
    if (lane->model_workspace)
        model_workspace_team(lane->model_workspace, team);
    else
        nn_workspace_team(lane->net_workspace, team);
}

void bench_lane_help(const struct bench_lane *lane, struct nn_team *team, unsigned call)
{
    if (lane->model_workspace)
        model_workspace_help(lane->model_workspace, team, call);
    else
        nn_team_help(team, lane->net_workspace, call);
}

void bench_lane_profile(const struct bench_lane *lane, struct nn_profile *profile)
{
    if (lane->model_workspace)
        model_workspace_profile(lane->model_workspace, profile);
    else
        nn_workspace_profile(lane->net_workspace, profile);
}

void bench_lane_run(const struct bench_lane *lane, const struct bench_subject *s)
{
    if (s->model)
        model_field(s->model, lane->model_workspace, lane->n, lane->x, lane->t, NULL, lane->v_x,
                    lane->v_t);
    else
        nn_net_forward(s->net, lane->net_workspace, lane->n, lane->x, lane->t, NULL, lane->v_x,
                       lane->v_t);
}

int bench_lane_check(const struct bench_lane *lane, const struct bench_subject *s, struct err *e)
{
    size_t d = lane_dimension(s);
    for (int i = 0; i < lane->n; i++) {
        bool finite = isfinite(lane->v_t[i]);
        for (size_t k = 0; k < d && finite; k++)
            finite = isfinite(lane->v_x[i][k]);
        if (!finite)
            return err_fail(e, ERR_NUMERIC, s->name, "the field at t = %g is not finite",
                            (double)lane->t[i]);
    }
    return 0;
}
