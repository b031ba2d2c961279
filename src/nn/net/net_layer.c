/* The rows by kind of step. */
#include "net_layer.h"

static const struct net_layer_ops *const layers[NN_STEP_KINDS] = {
    [NN_STEP_STEM] = &net_stem,
    [NN_STEP_RES] = &net_res,
    [NN_STEP_ATTENTION] = &net_attention,
    [NN_STEP_PYRAMID] = &net_pyramid,
    [NN_STEP_HEAD] = &net_head,
    [NN_STEP_VECTOR_STEM] = &net_vector_stem,
    [NN_STEP_VECTOR_BLOCK] = &net_vector_block,
    [NN_STEP_VECTOR_HEAD] = &net_vector_head,
};

const struct net_layer_ops *net_layer_of(const struct nn_step *s)
{
    return layers[s->kind];
}

void net_layer_params(struct net_param_list *l, const struct nn_step *s, const struct nn_arch *arch)
{
    l->module = s->module;
    net_layer_of(s)->params(l, s, arch);
}
