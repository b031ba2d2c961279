/* The figures of `pfgm plot`: each draws one file. Fields are computed, models are real ones. */
#ifndef FIGURES_H
#define FIGURES_H

#include "model.h"

/* Four sources in the plane and their lines, without an added dimension. */
int figures_field(const char *path, struct err *e);
/* The same sources from afar, beside one source of all mass at their centre. */
int figures_farfield(const char *path, struct err *e);
/* A shell: arrows of the field's strength, and the strength over the radius; nothing inside. */
int figures_shell(const char *path, struct err *e);
/* The half-sphere of the space with t, projected from its centre onto the plane t = T: the prior.
 */
int figures_prior(const char *path, struct err *e);
/* Points on a line, lifted to the (x, t) plane: lines come down from t = T and end on them. */
int figures_lift(const char *path, struct err *e);

struct figures_options {
    const char *model, *kernel;
    uint64_t seed;
    int n;       /* samples (trajectories), starts (solvers); 0: a default */
    int columns; /* states of each sample; 0: a default */
    bool json;   /* solvers: the table as JSON */
};
/* Samples of a model on their way from t = T to 0. */
int figures_trajectories(const char *path, const struct figures_options *o, struct err *e);
/* Distance from the exact path's end over the number of evaluations, for each solver: also the
 * table of `pfgm bench solvers`, without a figure where path is NULL. */
int figures_solvers(const char *path, const struct figures_options *o, struct err *e);

#endif
