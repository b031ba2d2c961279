/* What follows from the plan of an architecture: whether it can be built, its parameters in the
 * order in which the reference registers them, and its multiply-adds. The walk is here; what a
 * layer has of each stands in the layer's own file. */
#include "net_layer.h"
#include "net_time.h"
#include "nn_plan.h"
#include <stdlib.h>

/* Ranges first, because the plan's arithmetic rests on them; then what only the plan knows. */
static int check_and_plan(const struct nn_arch *a, struct nn_plan *plan, struct err *e)
{
    if (nn_arch_check_ranges(a, e) != 0 || nn_plan_build(a, plan, e) != 0)
        return -1;
    int faulty = plan->groups_faulty;
    if (faulty) {
        nn_plan_clear(plan);
        return err_fail(e, ERR_INPUT, "nf",
                        "with these ch_mult a group norm sees %d channels, which its %d groups do "
                        "not divide",
                        faulty, nn_groups(faulty));
    }
    return 0;
}

int nn_arch_check(const struct nn_arch *arch, struct err *e)
{
    struct nn_plan plan;
    if (check_and_plan(arch, &plan, e) != 0)
        return -1;
    nn_plan_clear(&plan);
    return 0;
}

struct nn_param *nn_arch_params(const struct nn_arch *arch, size_t *count, struct err *e)
{
    struct nn_plan plan;
    struct net_param_list l = {0};
    if (check_and_plan(arch, &plan, e) != 0)
        return NULL;
    net_time_params(&l, arch);
    for (int i = 0; i < plan.step_count && !l.failed; i++)
        net_layer_params(&l, &plan.steps[i], arch);
    nn_plan_clear(&plan);
    const int embedding[2] = {arch->classes, nn_label_length(arch)};
    if (arch->classes > 0)
        net_param_named(&l, NN_LABEL_EMBEDDING, 2, embedding);
    if (l.failed) {
        err_fail_memory(e, 2 * l.capacity * sizeof *l.params);
        free(l.params);
        return NULL;
    }
    *count = l.count;
    return l.params;
}

size_t nn_arch_scalars(const struct nn_arch *arch)
{
    size_t count = 0, total = 0;
    struct nn_param *params = nn_arch_params(arch, &count, NULL);
    for (size_t i = 0; i < count; i++)
        total += params[i].count;
    free(params);
    return total;
}

uint64_t nn_arch_macs(const struct nn_arch *arch)
{
    struct nn_plan plan;
    if (check_and_plan(arch, &plan, NULL) != 0)
        return 0;
    uint64_t wide = 4 * (uint64_t)arch->nf;
    uint64_t total = wide * ((uint64_t)nn_embedding_length(arch) + wide);
    for (int i = 0; i < plan.step_count; i++) {
        const struct nn_step *s = &plan.steps[i];
        total += net_layer_of(s)->macs(s);
        if (s->time_lanes)
            total += wide * (uint64_t)s->channels_out;
    }
    nn_plan_clear(&plan);
    return total;
}
