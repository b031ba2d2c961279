/* A sample's path from t = T to its image, as states at a few times: what film strips and the
 * figure of trajectories show. */
#ifndef FIGURES_FILM_H
#define FIGURES_FILM_H

#include "model.h"

struct figures_film {
    int frames;
    double *states; /* [frames][d], the first on t = T, the last the sample */
    double *times;  /* [frames] */
};
struct figures_film_start {
    uint64_t seed, index;
    int32_t label;
    double temperature; /* 0: 1 */
};
/* Solves an image by the solver, which was chosen for the model, and keeps `frames` ≥ 2
 * states, evenly over its steps; a path of fewer steps has fewer. Free with figures_film_clear,
 * after a failure too. */
int figures_film_make(const struct model *m, const struct model_solver *solver,
                      const struct figures_film_start *start, int frames, struct figures_film *out,
                      struct err *e);
void figures_film_clear(struct figures_film *f);

#endif
