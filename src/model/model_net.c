/* What the learned families share: a network packed from a checkpoint's tensors, and rows of single
 * precision around it.
 *
 * A checkpoint is taken whole or not at all: the list of parameters that follows from the
 * description must match the file's tensors one to one, in name and shape, and every value must be
 * finite. */
#include "model_family.h"

#include "base_cpu.h"
#include "base_size.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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
    const struct ckpt_tensor *mean = ckpt_file_find(f, CKPT_DATA_MEAN);
    if (ckpt_file_count(f) == count + (mean ? 1 : 0))
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
        if (!known && strcmp(name, CKPT_DATA_MEAN) != 0)
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
    const struct model_options *options;
    struct nn_net *net;
    struct err error;
};

static void *pack_network(void *context)
{
    struct packing *p = context;
    p->net = nn_net_new_threads(&p->model->description.arch, &p->weights, p->options->kernel,
                                p->options->precision, cpu_worker_count(), &p->error);
    return NULL;
}

/* Both read the whole file, and each takes its time. The open file belongs to the caller's thread,
 * which alone takes the digest; the others only look tensors up. If no thread can be had, one after
 * the other. */
static int pack_and_digest(struct model *m, struct ckpt_file *f,
                           const struct model_options *options, struct err *e)
{
    struct packing p = {.model = m, .weights = {read_weights, f}, .options = options};
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
    return p.net ? 0 : err_pass(e, &p.error);
}

/* The data's mean, if the file has it; a network for vectors always does, as its offset. */
static int read_mean(struct model *m, const struct ckpt_file *f, struct err *e)
{
    const bool vectors = m->vectors;
    const struct ckpt_tensor *t = ckpt_file_find(f, vectors ? NN_MLP_OFFSET : CKPT_DATA_MEAN);
    const struct image_shape s = m->shape;
    const size_t d = m->dimension;
    if (!t)
        return 0;
    if (vectors && t->count != d)
        return err_fail(e, ERR_INPUT, ckpt_file_path(f), "tensor \"%s\" must have %zu values",
                        NN_MLP_OFFSET, d);
    if (!vectors && (t->rank != 3 || t->shape[0] != (uint64_t)s.channels ||
                     t->shape[1] != (uint64_t)s.height || t->shape[2] != (uint64_t)s.width))
        return err_fail(e, ERR_INPUT, ckpt_file_path(f),
                        "tensor \"" CKPT_DATA_MEAN
                        "\" must have the shape [%d, %d, %d] of an image",
                        s.channels, s.height, s.width);
    m->mean = malloc(d * sizeof *m->mean);
    if (!m->mean)
        return err_fail_memory(e, d * sizeof *m->mean);
    if (ckpt_tensor_to_f64(t, m->mean, e) != 0)
        return -1;
    for (size_t j = 0; j < d; j++)
        if (!isfinite(m->mean[j]))
            return err_fail(e, ERR_NUMERIC, ckpt_file_path(f),
                            "tensor \"" CKPT_DATA_MEAN "\" holds a value that is not finite");
    return 0;
}

/* That of vectors, which the network itself reads and checks. */
static int read_deviation(struct model *m, const struct ckpt_file *f, struct err *e)
{
    const struct ckpt_tensor *t = m->vectors ? ckpt_file_find(f, NN_MLP_SCALE) : NULL;
    return t && t->count == 1 ? ckpt_tensor_to_f64(t, &m->deviation, e) : 0;
}

int model_net_load(struct model *m, struct ckpt_file *f, const struct model_options *options,
                   struct err *e)
{
    size_t count;
    struct nn_param *params = nn_arch_params(&m->description.arch, &count, e);
    if (!params)
        return -1;
    int result = census(f, params, count, e);
    free(params);
    if (result != 0 || read_mean(m, f, e) != 0 || read_deviation(m, f, e) != 0 ||
        pack_and_digest(m, f, options, e) != 0 || model_vjp_prepare(m, ckpt_file_path(f), e) != 0)
        return -1;
    m->parameters = nn_arch_scalars(&m->description.arch);
    m->bytes = nn_net_bytes(m->net);
    return 0;
}

void model_net_unload(struct model *m)
{
    nn_net_free(m->net);
    free(m->mean);
    model_vjp_free(m->vjp);
}

const double *model_net_mean(const struct model *m)
{
    return m->mean;
}

const char *model_net_kernel_id(const struct model *m)
{
    return nn_net_kernel_id(m->net);
}

int model_net_workspace_fill(const struct model *m, struct model_workspace *ws, struct err *e)
{
    const size_t d = m->dimension, batch = (size_t)ws->batch;
    size_t floats;
    if (!size_mul(2 * batch, d, &floats) || !size_mul(floats, sizeof(float), &floats))
        return err_fail(e, ERR_LIMIT, "batch", "%d images are too many for one call", ws->batch);
    ws->block = calloc(1, floats);
    ws->x = calloc(batch, sizeof *ws->x);
    ws->v_x = calloc(batch, sizeof *ws->v_x);
    ws->t = calloc(2 * batch, sizeof *ws->t);
    ws->v_t = ws->t ? ws->t + batch : NULL;
    ws->label = calloc(batch, sizeof *ws->label);
    if (!ws->block || !ws->x || !ws->v_x || !ws->t || !ws->label)
        return err_fail_memory(e, floats);
    ws->nn = nn_workspace_new(m->net, ws->batch, e);
    if (!ws->nn)
        return -1;
    for (size_t i = 0; i < batch; i++) {
        ws->x[i] = ws->block + i * d;
        ws->v_x[i] = ws->block + (batch + i) * d;
    }
    return 0;
}

void model_net_workspace_clear(struct model_workspace *ws)
{
    nn_workspace_free(ws->nn);
    nn_vjp_workspace_free(ws->vjp);
    free(ws->block);
    free(ws->x);
    free(ws->v_x);
    free(ws->t);
    free(ws->label);
}

void model_net_field(const struct model *m, struct model_workspace *ws, int n,
                     const float *const x[], const float t[], const int32_t label[],
                     float *const v_x[], float v_t[])
{
    nn_net_forward(m->net, ws->nn, n, x, t, label, v_x, v_t);
}
