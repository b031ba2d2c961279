/* Opening a checkpoint as a model, and what all families share. What a family does by itself stands
 * behind its table (model_family.h). */
#include "model.h"

#include "model_family.h"
#include "base_size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static const struct model_family *const families[] = {
    [CKPT_FAMILY_PFGM] = &model_family_pfgm,
    [CKPT_FAMILY_EXACT] = &model_family_exact,
};

static int load_from(struct model *m, struct ckpt_file *f, const struct model_options *options,
                     struct err *e)
{
    if (ckpt_description_read(f, &m->description, e) != 0)
        return -1;
    m->family = families[m->description.family];
    return m->family->load(m, f, options, e);
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
    return m->family->kernel_id(m);
}

const char *model_precision_name(const struct model *m)
{
    (void)m; /* one precision so far, whatever was asked for by "auto" */
    return "f32";
}

struct image_shape model_shape(const struct model *m)
{
    return ckpt_description_shape(&m->description);
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
    return m->bytes;
}

const double *model_mean(const struct model *m)
{
    return m->family->mean(m);
}

void model_prior_draw(const struct model *m, const struct model_solver *solver, uint64_t seed,
                      uint64_t index, double *x)
{
    m->family->prior_draw(m, solver, seed, index, x);
}

int model_label_count(const struct model *m)
{
    return m->description.label_count;
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
    if (m->family->workspace_fill(m, ws, e) == 0)
        return ws;
    model_workspace_free(ws);
    return NULL;
}

void model_workspace_free(struct model_workspace *ws)
{
    if (!ws)
        return;
    ws->family->workspace_clear(ws);
    free(ws);
}

void model_workspace_team(struct model_workspace *ws, struct nn_team *team)
{
    if (ws->nn)
        nn_workspace_team(ws->nn, team);
}

void model_workspace_help(struct model_workspace *ws, struct nn_team *team, unsigned call)
{
    if (ws->nn)
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
    m->family->field(m, ws, n, x, t, v_x, v_t);
}
