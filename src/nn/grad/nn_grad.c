/* Making an nn_grad, and running a batch: the cut into shards and pieces, and the loss between the
 * passes. Shards are the pool's tasks; each has its own sums, each thread its own
 * workspace. */
#include "nn_grad.h"
#include "base_size.h"
#include "nn_grad_net.h"
#include "nn_self_test.h"
#include <stdlib.h>
#include <string.h>

/* ---- making one ---- */

static int list_params(struct nn_grad *g, struct err *e)
{
    g->params = nn_arch_params(&g->net.arch, &g->param_count, e);
    if (!g->params)
        return -1;
    for (size_t i = 0; i < g->param_count; i++)
        g->scalars += g->params[i].count;
    return 0;
}

static int allocate(struct nn_grad *g, struct err *e)
{
    size_t steps = (size_t)g->net.plan.step_count, threads = (size_t)pool_threads(g->pool);
    size_t bytes;
    g->pieces = calloc(g->param_count, sizeof *g->pieces);
    g->layers = calloc(steps, sizeof *g->layers);
    g->denses = calloc(3 * steps + 3, sizeof *g->denses);
    g->work = calloc(threads, sizeof *g->work);
    if (!g->pieces || !g->layers || !g->denses || !g->work)
        return err_fail_memory(e, g->param_count * sizeof *g->pieces);
    if (nn_grad_lay(g, e) != 0)
        return -1;
    if (!size_mul(threads, g->matrix * sizeof(float), &bytes))
        return err_fail(e, ERR_LIMIT, "nf", "the weights do not fit in memory");
    g->transposed = (float *)arena_memory(bytes, e);
    if (!g->transposed)
        return -1;
    g->block_bytes += bytes;
    if (g->options.inputs) /* sums and workspaces are training's */
        return 0;
    if (!size_mul(g->canonical_count, NN_GRAD_SHARDS * sizeof(float), &bytes))
        return err_fail(e, ERR_LIMIT, "nf", "the gradients do not fit in memory");
    g->sums_block = arena_memory(bytes, e);
    if (!g->sums_block)
        return -1;
    g->block_bytes += bytes;
    for (size_t k = 0; k < NN_GRAD_SHARDS; k++)
        g->sums[k] = (float *)g->sums_block + k * g->canonical_count;
    for (size_t i = 0; i < threads; i++) {
        if (nn_grad_work_lay(g, &g->work[i], e) != 0)
            return -1;
        g->block_bytes += g->work[i].block_bytes;
    }
    return 0;
}

static int check_options(const struct nn_grad_options *o, struct err *e)
{
    if (o->batch < 1 || o->batch > NN_GRAD_BATCH_MAX)
        return err_fail(e, ERR_INPUT, "batch", "must be 1 to %d, is %d", NN_GRAD_BATCH_MAX,
                        o->batch);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return err_fail(e, ERR_INPUT, "dropout", "must be at least 0 and below 1, is %g",
                        o->dropout);
    return 0;
}

struct nn_grad *nn_grad_new(const struct nn_arch *arch, const struct nn_grad_options *options,
                            struct pool *pool, struct err *e)
{
    enum nn_kernel kernel = options->kernel;
    enum nn_precision precision = NN_PRECISION_F32;
    if (nn_arch_check(arch, e) != 0 || check_options(options, e) != 0 ||
        nn_precision_resolve(&kernel, &precision, e) != 0 ||
        nn_self_test_once(kernel, precision, e) != 0)
        return NULL;
    struct nn_grad *g = calloc(1, sizeof *g);
    if (!g) {
        err_fail_memory(e, sizeof *g);
        return NULL;
    }
    g->options = *options;
    g->pool = pool;
    g->net.arch = *arch;
    g->kernels = nn_kernels_get(kernel);
    g->grad = nn_grad_kernels_get(kernel);
    if (nn_plan_build(arch, &g->net.plan, e) != 0 || list_params(g, e) != 0 ||
        allocate(g, e) != 0) {
        nn_grad_free(g);
        return NULL;
    }
    return g;
}

void nn_grad_free(struct nn_grad *g)
{
    if (!g)
        return;
    for (int i = 0; g->work && i < pool_threads(g->pool); i++)
        nn_grad_work_clear(&g->work[i]);
    free(g->work);
    free(g->transposed);
    nn_plan_clear(&g->net.plan);
    free(g->params);
    free(g->pieces);
    free(g->layers);
    free(g->denses);
    free(g->canonical);
    free(g->block);
    free(g->sums_block);
    free(g);
}

const struct nn_param *nn_grad_params(const struct nn_grad *g, size_t *count)
{
    *count = g->param_count;
    return g->params;
}

size_t nn_grad_scalars(const struct nn_grad *g)
{
    return g->scalars;
}

size_t nn_grad_bytes(const struct nn_grad *g)
{
    return g->block_bytes;
}

const float *nn_grad_offset(const struct nn_grad *g)
{
    return g->net.offset;
}

void nn_grad_weights_set(struct nn_grad *g, const float *weights)
{
    nn_grad_pack(g, weights);
}

/* ---- a batch ---- */

struct run {
    struct nn_grad *g;
    const struct nn_grad_batch *batch;
    size_t shards;
    double *losses;
    bool back;
};

/* The head's channels become v_x and v_t. */
double nn_grad_loss(const struct nn_grad_pass *p, size_t image, bool back)
{
    const struct nn_plan *plan = &p->g->net.plan;
    const struct nn_value *head = &plan->values[plan->steps[plan->step_count - 1].out];
    size_t channels = (size_t)p->g->net.arch.channels,
           outputs = (size_t)nn_outputs(&p->g->net.arch);
    size_t lanes = nn_lanes(outputs), pixels = (size_t)head->side * (size_t)head->side,
           at = image * head->size;
    const float *out = nn_grad_value(p, plan->steps[plan->step_count - 1].out) + at;
    float *slope = p->w->slopes + head->offset * NN_GRAD_MICRO + at, v_t_slope = 0;
    double sum = 0;
    for (size_t i = 0; i < pixels; i++) {
        for (size_t c = 0; c < channels; c++)
            p->w->v_x[c * pixels + i] = out[i * lanes + c];
        if (outputs > channels)
            sum += out[i * lanes + channels];
    }
    double loss =
        p->batch->loss(p->batch->context, (int)(p->first + image), p->w->v_x,
                       (float)(sum / (double)pixels), back ? p->w->v_x_slope : NULL, &v_t_slope);
    if (!back)
        return loss;
    memset(slope, 0, pixels * lanes * sizeof *slope);
    for (size_t i = 0; i < pixels; i++) {
        for (size_t c = 0; c < channels; c++)
            slope[i * lanes + c] = p->w->v_x_slope[c * pixels + i];
        if (outputs > channels)
            slope[i * lanes + channels] = v_t_slope / (float)pixels;
    }
    return loss;
}

static void run_piece(const struct run *r, const struct nn_grad_pass *p)
{
    nn_grad_forward(p);
    for (size_t b = 0; b < p->n; b++)
        r->losses[p->first + b] = nn_grad_loss(p, b, r->back);
    if (r->back)
        nn_grad_backward(p);
}

static void run_shard(void *context, size_t shard, int thread)
{
    struct run *r = context;
    size_t n = (size_t)r->batch->n;
    size_t first = shard * n / r->shards, end = (shard + 1) * n / r->shards;
    float *sum = r->g->sums[shard % NN_GRAD_SHARDS];
    if (r->back)
        memset(sum, 0, r->g->canonical_count * sizeof *sum);
    for (; first < end; first += NN_GRAD_MICRO) {
        size_t left = end - first;
        const struct nn_grad_pass p = {.g = r->g,
                                       .w = &r->g->work[thread],
                                       .batch = r->batch,
                                       .first = first,
                                       .n = left < NN_GRAD_MICRO ? left : NN_GRAD_MICRO,
                                       .sum = sum};
        run_piece(r, &p);
    }
}

void nn_grad_run(struct nn_grad *g, const struct nn_grad_batch *batch, double *losses,
                 float *gradient)
{
    size_t n = (size_t)batch->n, shards = n < NN_GRAD_SHARDS ? n : NN_GRAD_SHARDS;
    struct run r = {g, batch, shards, losses, gradient != NULL};
    pool_run(g->pool, shards, run_shard, &r);
    if (gradient)
        nn_grad_gather(g, shards, gradient);
}
