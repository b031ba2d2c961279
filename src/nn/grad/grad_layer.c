/* The rows by kind of step. */
#include "grad_layer.h"

static const struct grad_layer_ops *const layers[NN_STEP_KINDS] = {
    [NN_STEP_STEM] = &grad_stem,
    [NN_STEP_RES] = &grad_res,
    [NN_STEP_ATTENTION] = &grad_attention,
    [NN_STEP_PYRAMID] = &grad_pyramid,
    [NN_STEP_HEAD] = &grad_head,
    [NN_STEP_VECTOR_STEM] = &grad_vector_stem,
    [NN_STEP_VECTOR_BLOCK] = &grad_vector_block,
    [NN_STEP_VECTOR_HEAD] = &grad_vector_head,
};

const struct grad_layer_ops *grad_layer_of(const struct nn_step *s)
{
    return layers[s->kind];
}
