/* The time embedding in training: what stands before the steps. For src/nn/grad only. */
#ifndef GRAD_TIME_H
#define GRAD_TIME_H

#include "grad_layout.h"

/* Its weights, the two linear layers' and room for those of the time layer. */
void grad_time_lay(struct grad_layout *l);
void grad_time_forward(const struct nn_grad_pass *p);
/* After the steps' backward passes, which have filled the slopes at the time layer's outputs. */
void grad_time_backward(const struct nn_grad_pass *p);

#endif
