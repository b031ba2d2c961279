/* The owner's side of a team, for the forward pass (nn_team.h). For src/nn/net only. */
#ifndef NN_TEAM_WORK_H
#define NN_TEAM_WORK_H

#include "nn_kernels.h"

struct nn_net;
struct nn_team;

/* Around an evaluation of `images` images. */
void nn_team_begin(struct nn_team *team, const struct nn_net *net, int images);
void nn_team_end(struct nn_team *team);
/* Whether an operation of so many multiply-adds should go through nn_team_run now. */
bool nn_team_pays(struct nn_team *team, size_t work);
/* Runs all units of `op`, which reads and writes nothing that another unit writes. `scratch` is the
 * owner's. On return all is done and visible. */
void nn_team_run(struct nn_team *team, const struct nn_net *net, const struct nn_sharing *how,
                 const void *op, float *scratch);

#endif
