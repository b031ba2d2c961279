/* Loading a checkpoint into a model, and what all families share.
 *
 * A checkpoint is taken whole or not at all: the list of parameters that follows from the
 * description must match the file's tensors one to one, in name and shape, and every value must be
 * finite. */
#include "model.h"

#include "model_family.h"
#include "base_cpu.h"
#include "base_size.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NFE_DEFAULT 10000

int model_precision_parse(const char *word, enum model_precision *out, struct err *e)
{
    if (strcmp(word, "auto") == 0)
        *out = MODEL_PRECISION_AUTO;
    else if (strcmp(word, "f32") == 0)
        *out = MODEL_PRECISION_F32;
    else
        return err_fail(e, ERR_INPUT, "precision", "\"%s\" is not a precision: use auto or f32",
                        word);
    return 0;
}

static int check_tensor(const struct ckpt_file *f, const struct nn_param *param,
                        const struct ckpt_tensor *tensor, struct err *e)
{
    const char *path = ckpt_file_path(f);
    if (!tensor)
        return err_fail(e, ERR_INPUT, path, "tensor \"%s\" is missing", param->name);
    if (!ckpt_dtype_is_float(tensor->dtype))
        return err_fail(e, ERR_INPUT, path,
                        "tensor \"%s\" has type %s where weights must be floats", param->name,
                        ckpt_dtype_name(tensor->dtype));
    bool same = tensor->rank == param->rank;
    for (int i = 0; i < param->rank && same; i++)
        same = tensor->shape[i] == param->shape[i];
    if (!same)
        return err_fail(e, ERR_INPUT, path,
                        "tensor \"%s\" has the wrong shape for the network described: %llu values "
                        "in %d dimensions, %zu in %d are needed",
                        param->name, (unsigned long long)tensor->count, tensor->rank, param->count,
                        param->rank);
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct nn_param *)a)->name, ((const struct nn_param *)b)->name);
}

/* Every parameter there, nothing left over. */
static int census(const struct ckpt_file *f, struct nn_param *params, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++)
        if (check_tensor(f, &params[i], ckpt_file_find(f, params[i].name), e) != 0)
            return -1;
    if (ckpt_file_count(f) == count)
        return 0;
    qsort(params, count, sizeof *params, compare_names);
    for (size_t i = 0; i < ckpt_file_count(f); i++) {
        const char *name = ckpt_file_tensor(f, i)->name;
        struct nn_param key;
        size_t length = strlen(name);
        bool known = length < sizeof key.name;
        if (known) {
            memcpy(key.name, name, length + 1);
            known = bsearch(&key, params, count, sizeof *params, compare_names);
        }
        if (!known)
            return err_fail(e, ERR_INPUT, ckpt_file_path(f),
                            "tensor \"%s\" does not belong to the network described", name);
    }
    return err_fail(e, ERR_INTERNAL, ckpt_file_path(f), "the census of tensors does not add up");
}

static int read_weights(void *context, const struct nn_param *param, float *out, struct err *e)
{
    return ckpt_tensor_to_f32(ckpt_file_find(context, param->name), out, e);
}

/* The network, made by a thread of its own while the caller takes the file's digest. */
struct packing {
    const struct model *model;
    struct nn_weights weights;
    enum nn_kernel kernel;
    struct nn_net *net;
    struct err error;
};

static void *pack_network(void *context)
{
    struct packing *p = context;
    p->net = nn_net_new_threads(&p->model->description.arch, &p->weights, p->kernel,
                                cpu_worker_count(), &p->error);
    return NULL;
}

/* Both read the whole file, and each takes its time. The open file belongs to the caller's thread,
 * which alone takes the digest; the others only look tensors up. If no thread can be had, one after
 * the other. */
static int pack_and_digest(struct model *m, struct ckpt_file *f, enum nn_kernel kernel,
                           struct err *e)
{
    struct packing p = {.model = m, .weights = {read_weights, f}, .kernel = kernel};
    pthread_t thread;
    bool beside = pthread_create(&thread, NULL, pack_network, &p) == 0;
    const char *digest = ckpt_file_sha256(f, e);
    if (beside)
        pthread_join(thread, NULL);
    else
        pack_network(&p);
    m->net = p.net;
    if (!digest)
        return -1;
    memcpy(m->sha256, digest, sizeof m->sha256);
    return p.net ? 0 : err_fail(e, p.error.code, p.error.at, "%s", p.error.text);
}

static int load_from(struct model *m, struct ckpt_file *f, const struct model_options *options,
                     struct err *e)
{
    if (ckpt_description_read(f, &m->description, e) != 0)
        return -1;
    m->family = &model_family_pfgm;
    size_t count;
    struct nn_param *params = nn_arch_params(&m->description.arch, &count, e);
    if (!params)
        return -1;
    int bad = census(f, params, count, e);
    free(params);
    if (bad)
        return -1;
    m->parameters = nn_arch_scalars(&m->description.arch);
    return pack_and_digest(m, f, options->kernel, e);
}

struct model *model_load(const char *path, const struct model_options *options, struct err *e)
{
    struct err own = {0};
    struct ckpt_file *f = ckpt_file_open(path, e);
    if (!f)
        return NULL;
    struct model *m = calloc(1, sizeof *m);
    if (!m)
        err_fail_memory(&own, sizeof *m);
    else if (load_from(m, f, options, &own) == 0) {
        ckpt_file_close(f);
        return m;
    }
    ckpt_file_close(f);
    model_free(m);
    /* Lower rooms name the tensor or key; a reader of the log needs the file as well. */
    if (strncmp(own.at, path, strlen(path)) == 0 || own.code == ERR_MEMORY)
        err_fail(e, own.code, own.at, "%s", own.text);
    else
        err_fail(e, own.code, path, "%s%s%s", own.at, own.at[0] ? ": " : "", own.text);
    return NULL;
}

void model_free(struct model *m)
{
    if (!m)
        return;
    nn_net_free(m->net);
    ckpt_description_clear(&m->description);
    free(m);
}

const struct ckpt_description *model_description(const struct model *m)
{
    return &m->description;
}

const char *model_sha256(const struct model *m)
{
    return m->sha256;
}

const char *model_kernel_id(const struct model *m)
{
    return nn_kernel_id(nn_net_kernel(m->net));
}

const char *model_precision_name(const struct model *m)
{
    (void)m; /* one precision so far, whatever was asked for by "auto" */
    return "f32";
}

struct image_shape model_shape(const struct model *m)
{
    const struct nn_arch *arch = &m->description.arch;
    return (struct image_shape){arch->channels, arch->image_size, arch->image_size};
}

size_t model_dimension(const struct model *m)
{
    return image_shape_count(model_shape(m));
}

enum image_rounding model_rounding(const struct model *m)
{
    return m->family->rounding;
}

size_t model_parameters(const struct model *m)
{
    return m->parameters;
}

size_t model_bytes(const struct model *m)
{
    return nn_net_bytes(m->net);
}

/* No t_break at the t substitution's threshold, though the slope jumps there (by 5 to 10 % of its
 * length): the substitution changes the divisor alone, so the jump lies along the path, and what a
 * multistep method errs in crossing it shrinks with t. A history begun anew costs more: on digits8
 * multistep3 with 20 steps is off the exact path by 0.013 with the break, 0.004 without. */
struct model_solver model_solver_default(const struct model *m)
{
    return (struct model_solver){
        .ode = {.method = ODE_RK45,
                .clock = ODE_CLOCK_LOG,
                .steps = 100,
                .rtol = 1e-4,
                .atol = 1e-4,
                .max_nfe = MAX_NFE_DEFAULT,
                .time_components = m->family->time_components(m)},
        .t_max = m->description.t_max,
        .t_min = m->description.t_min,
    };
}

int model_solver_check(const struct model *m, const struct model_solver *solver, struct err *e)
{
    (void)m; /* every learned field is defined for all t > 0 */
    if (!isfinite(solver->t_min) || solver->t_min < MODEL_T_MIN)
        return err_fail(e, ERR_INPUT, "t_min",
                        "%g is too small: the flow ends at t > 0, at least 1e-6", solver->t_min);
    if (!isfinite(solver->t_max) || solver->t_max > FIELD_T_MAX)
        return err_fail(e, ERR_INPUT, "t_max", "%g is above the limit of %g", solver->t_max,
                        FIELD_T_MAX);
    if (solver->t_max <= solver->t_min)
        return err_fail(e, ERR_INPUT, "t_max", "%g does not lie above t_min = %g", solver->t_max,
                        solver->t_min);
    return ode_options_check(&solver->ode, e);
}

void model_prior_draw(const struct model *m, const struct model_solver *solver, uint64_t seed,
                      uint64_t index, double *x)
{
    m->family->prior_draw(m, solver, seed, index, x);
}

struct model_workspace *model_workspace_new(const struct model *m, int batch, struct err *e)
{
    const size_t d = model_dimension(m);
    size_t floats;
    if (batch < 1 || !size_mul(2 * (size_t)batch, d, &floats) ||
        !size_mul(floats, sizeof(float), &floats)) {
        err_fail(e, ERR_LIMIT, "batch", "%d images are too many for one call", batch);
        return NULL;
    }
    struct model_workspace *ws = calloc(1, sizeof *ws);
    if (!ws) {
        err_fail_memory(e, sizeof *ws);
        return NULL;
    }
    ws->batch = batch;
    ws->block = calloc(1, floats);
    ws->x = calloc((size_t)batch, sizeof *ws->x);
    ws->v_x = calloc((size_t)batch, sizeof *ws->v_x);
    ws->t = calloc(2 * (size_t)batch, sizeof *ws->t);
    ws->v_t = ws->t ? ws->t + batch : NULL;
    if (!ws->block || !ws->x || !ws->v_x || !ws->t) {
        err_fail_memory(e, floats);
        model_workspace_free(ws);
        return NULL;
    }
    ws->nn = nn_workspace_new(m->net, batch, e);
    if (!ws->nn) {
        model_workspace_free(ws);
        return NULL;
    }
    for (int i = 0; i < batch; i++) {
        ws->x[i] = ws->block + (size_t)i * d;
        ws->v_x[i] = ws->block + (size_t)(batch + i) * d;
    }
    return ws;
}

void model_workspace_free(struct model_workspace *ws)
{
    if (!ws)
        return;
    nn_workspace_free(ws->nn);
    free(ws->block);
    free(ws->x);
    free(ws->v_x);
    free(ws->t);
    free(ws);
}

void model_workspace_team(struct model_workspace *ws, struct nn_team *team)
{
    nn_workspace_team(ws->nn, team);
}

void model_workspace_help(struct model_workspace *ws, struct nn_team *team, unsigned call)
{
    nn_team_help(team, ws->nn, call);
}

void model_slopes(const struct model *m, struct model_workspace *ws, int n,
                  const struct model_query *queries)
{
    m->family->slopes(m, ws, n, queries);
}

void model_field(const struct model *m, struct model_workspace *ws, int n, const float *const x[],
                 const float t[], float *const v_x[], float v_t[])
{
    nn_net_forward(m->net, ws->nn, n, x, t, v_x, v_t);
}
