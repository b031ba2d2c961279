/* The forward and the backward pass of a piece of a batch: loops over the plan. The gradient at
 * each step's output becomes that at its inputs and is added to the sums of its parameters, or
 * without sums goes on to the images (nn_vjp.h). Both run in one thread on one workspace. */
#include "grad_layer.h"
#include "grad_products.h"
#include "grad_time.h"
#include <string.h>

void nn_grad_forward(const struct nn_grad_pass *p)
{
    const struct nn_plan *plan = &p->g->net.plan;
    const struct nn_arch *arch = &p->g->net.arch;
    grad_time_forward(p);
    if (arch->pyramid == NN_PYRAMID_RESIDUAL) { /* value 0 is the image, which it reads */
        const struct nn_target image = nn_plain_target(
            nn_grad_value(p, 0), (size_t)arch->image_size, nn_lanes((size_t)arch->channels));
        grad_load_images(p, &image);
    }
    for (int i = 0; i < plan->step_count; i++) {
        const struct nn_step *s = &plan->steps[i];
        const float *other = s->other >= 0 ? nn_grad_value(p, s->other) : NULL;
        grad_layer_of(s)->forward(p, i, nn_grad_value(p, s->in), other, nn_grad_value(p, s->out));
    }
}

void nn_grad_backward(const struct nn_grad_pass *p)
{
    const struct nn_plan *plan = &p->g->net.plan;
    memset(p->w->reached, 0, (size_t)plan->value_count * sizeof *p->w->reached);
    for (int i = plan->step_count - 1; i >= 0; i--) {
        const struct nn_step *s = &plan->steps[i];
        grad_layer_of(s)->backward(p, i, nn_grad_slope(p, s->out));
    }
    if (p->sum)
        grad_time_backward(p);
}
