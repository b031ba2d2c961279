/* From the reference's tensors to packed weights: the walk over the plan, once to lay the arrays
 * out and once to read. What a layer lays out and reads stands in the layer's own file.
 *
 * Loading walks the parameter list once, in its order; both it and the layers follow from the plan.
 * Where the source allows it, threads share the walk by steps: each step knows where its parameters
 * begin and writes arrays, or columns of the time layer, that no other one does. Temporary memory
 * is one tensor and one matrix a thread, and the time layer's matrix. */
#include "net_layer.h"
#include "net_time.h"
#include "base_pool.h"
#include <stdlib.h>
#include <string.h>

static void lay_net(struct net_layout *l)
{
    struct nn_net *net = l->net;
    size_t wide = nn_lanes(4 * (size_t)net->arch.nf);
    net_time_lay(l);
    for (int i = 0; i < net->plan.step_count; i++)
        net_layer_of(&net->plan.steps[i])->lay(l, &net->plan.steps[i], &net->layers[i]);
    net_lay_dense(l, &net->time, NN_PRODUCT_LINEAR, wide, net->plan.time_lanes, true);
    net->label =
        net_lay_zeros(l, (size_t)net->arch.classes * nn_lanes((size_t)nn_label_length(&net->arch)));
}

/* ---- loading ---- */

static int load_label(struct net_loader *l)
{
    const struct nn_arch *arch = &l->net->arch;
    size_t width = (size_t)nn_label_length(arch);
    const float *v = net_load_tensor(l, NN_LABEL_EMBEDDING);
    if (!v)
        return -1;
    for (size_t i = 0; i < (size_t)arch->classes; i++)
        memcpy(l->net->label + i * nn_lanes(width), v + i * width, width * sizeof *v);
    return 0;
}

static size_t task_count(const struct nn_net *net)
{
    return (size_t)net->plan.step_count + 1 + (net->arch.classes > 0);
}

/* Task 0 is the embedding, task i + 1 step i, and with classes their embedding is the last. */
static int load_part(struct net_loader *l, size_t task)
{
    const struct nn_plan *plan = &l->net->plan;
    if (task == 0)
        return net_time_load(l);
    if (task > (size_t)plan->step_count)
        return load_label(l);
    const struct nn_step *s = &plan->steps[task - 1];
    return net_layer_of(s)->load(l, s, &l->net->layers[task - 1]);
}

/* Where in the list the parameters of a task begin. */
static size_t first_param(const struct nn_net *net, size_t task)
{
    struct net_param_list l = {.counting = true};
    if (task > 0)
        net_time_params(&l, &net->arch);
    for (size_t i = 0; i + 1 < task; i++)
        net_layer_params(&l, &net->plan.steps[i], &net->arch);
    return l.count;
}

/* Threads take tasks in ascending order and one that has failed takes no more, so the first task to
 * fail is always found, as in a single walk. */
static void load_task(void *context, size_t task, int thread)
{
    struct net_loader *l = (struct net_loader *)context + thread;
    if (l->failed != SIZE_MAX)
        return;
    l->next = first_param(l->net, task);
    if (load_part(l, task) != 0)
        l->failed = task;
    else if (task + 1 == task_count(l->net) && l->next != l->count) {
        err_fail(l->e, ERR_INTERNAL, l->params[l->next].name, "belongs to no layer");
        l->failed = task;
    }
}

/* All tasks by `threads` loaders, which have their memory. */
static int load_all(struct net_loader *l, int threads, struct err *e)
{
    const struct nn_net *net = l->net;
    size_t tasks = task_count(net);
    const struct net_loader *first = NULL;
    /* Without a pool the caller does all: slower, with the same result. */
    struct pool *pool = threads > 1 ? pool_new(threads, NULL) : NULL;
    if (pool)
        pool_run(pool, tasks, load_task, l);
    else
        for (size_t i = 0; i < tasks; i++)
            load_task(l, i, 0);
    pool_free(pool);
    for (int i = 0; i < threads; i++)
        if (l[i].failed != SIZE_MAX && (!first || l[i].failed < first->failed))
            first = &l[i];
    if (first)
        return err_pass(e, &first->own);
    net->kernels->pack(&net->time.shape, l->time, net->time.packed);
    return 0;
}

static int load_with_memory(const struct net_loader *shared, size_t matrix, int threads,
                            struct err *e)
{
    const struct nn_product_shape *shape = &shared->net->time.shape;
    size_t tensor = 0, count = (size_t)threads;
    for (size_t i = 0; i < shared->count; i++)
        tensor = shared->params[i].count > tensor ? shared->params[i].count : tensor;
    struct net_loader *l = calloc(count, sizeof *l);
    float *time = calloc(shape->inputs * shape->outputs, sizeof *time);
    bool enough = l && time;
    for (size_t i = 0; l && i < count; i++) {
        l[i] = *shared;
        l[i].tensor = calloc(tensor, sizeof *l->tensor);
        l[i].matrix = calloc(matrix, sizeof *l->matrix);
        l[i].time = time;
        l[i].e = &l[i].own;
        l[i].failed = SIZE_MAX;
        enough = enough && l[i].tensor && l[i].matrix;
    }
    int result = enough ? load_all(l, threads, e)
                        : err_fail_memory(e, count * (tensor + matrix) * sizeof *l->tensor);
    for (size_t i = 0; l && i < count; i++) {
        free(l[i].tensor);
        free(l[i].matrix);
    }
    free(time);
    free(l);
    return result;
}

int nn_layers_load(struct nn_net *net, const struct nn_weights *weights, int threads, struct err *e)
{
    struct net_layout count = {.net = net};
    net->layers = calloc((size_t)net->plan.step_count, sizeof *net->layers);
    if (!net->layers)
        return err_fail_memory(e, (size_t)net->plan.step_count * sizeof *net->layers);
    lay_net(&count); /* once to count, once to place */
    if (count.arena.overflow)
        return err_fail(e, ERR_LIMIT, "nf", "the weights do not fit in memory");
    net->block_bytes = count.arena.used;
    /* Not zeroed: threads that pack also share the cost of fresh pages. All of a packed array is
     * written, and what is added to begins as zeros. */
    net->block = arena_memory_unset(net->block_bytes, e);
    if (!net->block)
        return -1;
    struct net_layout place = {.net = net, .arena.base = net->block};
    lay_net(&place);
    struct net_loader l = {.net = net, .weights = weights};
    l.params = nn_arch_params(&net->arch, &l.count, e);
    if (!l.params)
        return -1;
    int result = load_with_memory(&l, place.matrix, threads, e);
    free(l.params);
    return result;
}
