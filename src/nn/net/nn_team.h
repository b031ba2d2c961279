/* Several threads on one network evaluation: an owner, and helpers that come and go.
 *
 * The owner runs a forward pass as if it were alone. Where an operation is worth it and somebody is
 * there to help, its units (see nn_sharing) go through one counter, from which owner and helpers
 * take them one after the other. Which thread takes a unit changes no bit.
 *
 * Nobody waits for a thread that has no unit: the owner begins at once, and at an operation's end
 * it waits only for helpers that hold one. Waiting is a short spin, then a futex; so where a
 * neighbour process holds a helper's core, the owner's own core is free for the helper to move to.
 * And the owner measures: where evaluations with helpers take longer than without, it goes on
 * alone, and looks again from time to time. Helpers too spin shortly and then sleep.
 *
 * Ownership: the team belongs to its owner, one thread at a time. A helper brings a workspace of
 * the same network, of which only the scratch is used. A team is freed when no helper is inside. */
#ifndef NN_TEAM_H
#define NN_TEAM_H

#include "base_err.h"

struct nn_net;
struct nn_workspace;
struct nn_team;
struct nn_team *nn_team_new(struct err *e);
void nn_team_free(struct nn_team *team);

/* ---- the owner ---- */

/* From now on forward passes with this workspace are shared with the team's helpers; NULL: with
 * nobody, as it is at first. */
void nn_workspace_team(struct nn_workspace *ws, struct nn_team *team);

/* ---- helpers ---- */

int nn_team_helpers(const struct nn_team *team);
/* The team's current call: taken before it is known that there is nothing else to do, it lets a
 * dismissal in between end the help. */
unsigned nn_team_call(const struct nn_team *team);
/* Helps until the team has been dismissed since `call`, or until its owner evaluates another
 * network than the workspace's. */
void nn_team_help(struct nn_team *team, struct nn_workspace *ws, unsigned call);
/* Sends all helpers away, each after the unit that it holds. Any thread. */
void nn_team_dismiss(struct nn_team *team);

#endif
