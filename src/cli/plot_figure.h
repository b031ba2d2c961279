/* The figures of `pfgm plot`: each draws one file. Fields are computed, models are real ones. */
#ifndef PLOT_FIGURE_H
#define PLOT_FIGURE_H

#include "model.h"

/* Four sources in the plane and their lines, without an added dimension. */
int plot_figure_field(const char *path, struct err *e);
/* The same sources from afar, beside one source of all mass at their centre. */
int plot_figure_farfield(const char *path, struct err *e);
/* A shell: arrows of the field's strength, and the strength over the radius; nothing inside. */
int plot_figure_shell(const char *path, struct err *e);
/* Points on a line, lifted to the (x, t) plane: lines come down from t = T and end on them. */
int plot_figure_lift(const char *path, struct err *e);

struct plot_model_options {
    const char *model, *kernel;
    uint64_t seed;
    int n;       /* samples (trajectories), starts (solvers); 0: a default */
    int columns; /* states of each sample; 0: a default */
    bool json;   /* solvers: the table as JSON */
};
/* Samples of a model on their way from t = T to 0. */
int plot_figure_trajectories(const char *path, const struct plot_model_options *o, struct err *e);
/* Distance from the exact path's end over the number of evaluations, for each solver: also the
 * table of `pfgm bench solvers`, without a figure where path is NULL. */
int plot_figure_solvers(const char *path, const struct plot_model_options *o, struct err *e);

#endif
