/* Opening a checkpoint as a model, and what all families share. What a family does by itself stands
 * behind its table (model_family.h). */
#include "model.h"

#include "model_family.h"
#include "base_size.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Behind the kernel's id of vectors: what is computed for them alone has revisions of its own. v2:
 * rk45's tolerances are counted from the data's mean, in units of their deviation. */
#define VECTORS_REVISION "-v2"

static const struct model_family *const families[] = {
    [CKPT_FAMILY_PFGM] = &model_family_pfgm,
    [CKPT_FAMILY_EXACT] = &model_family_exact,
    [CKPT_FAMILY_PFGMPP] = &model_family_pfgmpp,
};

static int load_from(struct model *m, struct ckpt_file *f, const struct model_options *options,
                     struct err *e)
{
    if (ckpt_description_read(f, &m->description, e) != 0 || ckpt_file_verify(f, e) != 0)
        return -1;
    m->family = families[m->description.family];
    m->shape = ckpt_description_shape(&m->description);
    m->dimension = image_shape_count(m->shape);
    /* a learned model says what it makes; of the data themselves their shape does */
    m->vectors = m->description.family == CKPT_FAMILY_EXACT
                     ? image_shape_is_vector(m->shape)
                     : nn_arch_of_vectors(&m->description.arch);
    if (m->family->load(m, f, options, e) != 0 || ckpt_file_check(f, e) != 0)
        return -1;
    snprintf(m->kernel_id, sizeof m->kernel_id, "%s%s", m->family->kernel_id(m),
             m->vectors ? VECTORS_REVISION : "");
    return 0;
}

struct model *model_load(const char *path, const struct model_options *options, struct err *e)
{
    struct err why = {0};
    struct ckpt_file *f = ckpt_file_open(path, e);
    if (!f)
        return NULL;
    struct model *m = calloc(1, sizeof *m);
    if (!m)
        err_fail_memory(&why, sizeof *m);
    else if (load_from(m, f, options, &why) == 0) {
        ckpt_file_close(f);
        return m;
    }
    ckpt_file_close(f);
    model_free(m);
    /* Lower rooms name the tensor or key; a reader of the log needs the file as well. The file is
     * not to blame for the environment. */
    if (err_names(&why, path) || why.code == ERR_MEMORY || strcmp(why.at, NN_KERNEL_VARIABLE) == 0)
        err_pass(e, &why);
    else
        err_within(e, &why, path);
    return NULL;
}

void model_free(struct model *m)
{
    if (!m)
        return;
    if (m->family)
        m->family->unload(m);
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
    return m->kernel_id;
}

const char *model_precision_name(const struct model *m)
{
    return nn_precision_name(m->net ? nn_net_precision(m->net) : NN_PRECISION_F32);
}

struct image_shape model_shape(const struct model *m)
{
    return m->shape;
}

size_t model_dimension(const struct model *m)
{
    return m->dimension;
}

bool model_vectors(const struct model *m)
{
    return m->vectors;
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
    return m->bytes;
}

const double *model_mean(const struct model *m)
{
    return m->family->mean(m);
}

#define OVERSHOOT 1.5

int model_state_pixels(const struct model *m, const double *state, uint8_t *pixels, struct err *e)
{
    const size_t d = m->dimension;
    if (m->vectors)
        return err_fail(e, ERR_UNSUPPORTED, "", "the model makes vectors, not pictures");
    double largest = OVERSHOOT, *scaled = malloc(d * sizeof *scaled);

    if (!scaled)
        return err_fail_memory(e, d * sizeof *scaled);
    for (size_t j = 0; j < d; j++)
        largest = fmax(largest, fabs(state[j]));
    for (size_t j = 0; j < d; j++)
        scaled[j] = largest > OVERSHOOT ? state[j] / largest : state[j];
    int result = image_quantise(scaled, m->shape, model_rounding(m), pixels, e);
    free(scaled);
    return result;
}

int model_mean_set(struct model *m, const float *mean, struct err *e)
{
    const size_t d = m->dimension;
    double *copy = malloc(d * sizeof *copy);
    if (!copy)
        return err_fail_memory(e, d * sizeof *copy);
    for (size_t j = 0; j < d; j++)
        copy[j] = (double)mean[j];
    free(m->mean);
    m->mean = copy;
    return 0;
}

void model_prior_draw(const struct model *m, const struct model_solver *solver, double temperature,
                      uint64_t seed, uint64_t index, double *x)
{
    m->family->prior_draw(m, solver, seed, index, x);
    if (temperature == 1.0)
        return;
    const double *centre = model_prior_centre(m);
    for (size_t j = 0; j < m->dimension; j++) {
        double c = centre ? centre[j] : 0.0;
        x[j] = c + temperature * (x[j] - c);
    }
}

int model_class_count(const struct model *m)
{
    return m->description.label_count;
}

bool model_null_class(const struct model *m)
{
    return m->description.label_count > 0 && !m->description.no_null_class;
}

void model_classes_list(const struct model *m, bool numbered, char *out, size_t size)
{
    size_t length = 0;
    for (int i = 0; i < m->description.label_count; i++) {
        char entry[160], number[16] = "";
        if (numbered)
            snprintf(number, sizeof number, "%d ", i);
        int n = snprintf(entry, sizeof entry, "%s%s%s", i ? ", " : "", number,
                         m->description.labels[i]);
        if (length + (size_t)n + sizeof ", …" > size) {
            snprintf(out + length, size - length, ", …");
            return;
        }
        memcpy(out + length, entry, (size_t)n + 1);
        length += (size_t)n;
    }
}

int model_class_find(const struct model *m, const char *word, int32_t *out, struct err *e)
{
    const struct ckpt_description *d = &m->description;
    int64_t number = 0;
    size_t digits = strspn(word, "0123456789");
    for (int i = 0; i < d->label_count; i++)
        if (strcmp(d->labels[i], word) == 0) {
            *out = i;
            return 0;
        }
    for (size_t i = 0; i < digits && number < d->label_count; i++)
        number = 10 * number + (word[i] - '0');
    if (digits > 0 && !word[digits] && number < d->label_count) {
        *out = (int32_t)number;
        return 0;
    }
    if (d->label_count == 0)
        return err_fail(e, ERR_INPUT, "class", "this model knows no classes: leave it out");
    char known[600];
    model_classes_list(m, true, known, sizeof known);
    return err_fail(e, ERR_INPUT, "class", "there is no class \"%.100s\"; there are %s", word,
                    known);
}

static int fill_guidance(const struct model *m, struct model_workspace *ws, struct err *e)
{
    const size_t batch = (size_t)ws->batch;
    if (!model_null_class(m))
        return 0;
    ws->rows = calloc(2 * batch, sizeof *ws->rows);
    ws->unguided = calloc(batch, m->dimension * sizeof *ws->unguided);
    return ws->rows && ws->unguided ? 0 : err_fail_memory(e, batch * m->dimension * sizeof(double));
}

struct model_workspace *model_workspace_new(const struct model *m, int batch, struct err *e)
{
    if (batch < 1) {
        err_fail(e, ERR_LIMIT, "batch", "%d images make no call: at least 1 is needed", batch);
        return NULL;
    }
    struct model_workspace *ws = calloc(1, sizeof *ws);
    if (!ws) {
        err_fail_memory(e, sizeof *ws);
        return NULL;
    }
    ws->family = m->family;
    ws->batch = batch;
    if (fill_guidance(m, ws, e) == 0 && m->family->workspace_fill(m, ws, e) == 0)
        return ws;
    model_workspace_free(ws);
    return NULL;
}

void model_workspace_free(struct model_workspace *ws)
{
    if (!ws)
        return;
    ws->family->workspace_clear(ws);
    free(ws->rows);
    free(ws->unguided);
    free(ws);
}

void model_workspace_team(struct model_workspace *ws, struct nn_team *team)
{
    if (ws->nn)
        nn_workspace_team(ws->nn, team);
}

bool model_is_shared(const struct model *m)
{
    return m->net != NULL;
}

void model_workspace_help(struct model_workspace *ws, struct nn_team *team, unsigned call)
{
    if (ws->nn)
        nn_team_help(team, ws->nn, call);
}

void model_workspace_profile(struct model_workspace *ws, struct nn_profile *profile)
{
    if (ws->nn)
        nn_workspace_profile(ws->nn, profile);
}

struct model_query model_query_of(const struct ode_solver *s, int32_t label, double *slope)
{
    return (struct model_query){.x = ode_solver_point(s),
                                .t = ode_solver_time(s),
                                .form = ode_solver_form(s),
                                .label = label,
                                .slope = slope,
                                .guided = label != MODEL_CLASS_NONE && ode_solver_guided(s),
                                .guidance = ode_solver_guidance(s)};
}

/* One row for each query, and another of no class for each that is guided. How many. */
static int fill_rows(const struct model *m, struct model_workspace *ws, int n,
                     const struct model_query *queries)
{
    int rows = 0;
    for (int i = 0; i < n; i++) {
        ws->rows[rows++] = queries[i];
        if (!queries[i].guided)
            continue;
        ws->rows[rows] = queries[i];
        ws->rows[rows].label = MODEL_CLASS_NONE;
        ws->rows[rows++].slope = ws->unguided + (size_t)i * m->dimension;
    }
    return rows;
}

/* Rows beyond the batch are a call of their own, which changes no bit of an answer. */
void model_slopes(const struct model *m, struct model_workspace *ws, int n,
                  const struct model_query *queries)
{
    bool guided = false;
    for (int i = 0; i < n; i++)
        guided |= queries[i].guided;
    if (!guided) {
        m->family->slopes(m, ws, n, queries);
        return;
    }
    const int rows = fill_rows(m, ws, n, queries);
    for (int i = 0; i < rows; i += ws->batch)
        m->family->slopes(m, ws, rows - i < ws->batch ? rows - i : ws->batch, ws->rows + i);
    for (int i = 0; i < n; i++) {
        const struct model_query *q = &queries[i];
        const double *none = ws->unguided + (size_t)i * m->dimension;
        for (size_t j = 0; q->guided && j < m->dimension; j++)
            q->slope[j] = none[j] + q->guidance * (q->slope[j] - none[j]);
    }
}

int model_vjp_check(const struct model *m, struct err *e)
{
    return m->family->slopes_vjp
               ? 0
               : err_fail(e, ERR_UNSUPPORTED, "likelihood",
                          "needs the derivative of the slope, which models of the family %s do "
                          "not give",
                          ckpt_family_name(m->description.family));
}

int model_workspace_vjp(const struct model *m, struct model_workspace *ws, struct err *e)
{
    if (ws->vjp_ready)
        return 0;
    if (model_vjp_check(m, e) != 0 || (m->family->vjp_fill && m->family->vjp_fill(m, ws, e) != 0))
        return -1;
    ws->vjp_ready = true;
    return 0;
}

void model_slopes_vjp(const struct model *m, struct model_workspace *ws, int n,
                      const struct model_query *queries)
{
    m->family->slopes_vjp(m, ws, n, queries);
}

void model_field(const struct model *m, struct model_workspace *ws, int n, const float *const x[],
                 const float t[], const int32_t label[], float *const v_x[], float v_t[])
{
    m->family->field(m, ws, n, x, t, label, v_x, v_t);
}

bool model_denoises(const struct model *m)
{
    return m->family->denoises;
}
