/* A sample's way from t = T to its image, as states at a few times: what film strips and the figure
 * of trajectories show. */
#ifndef CLI_FILM_H
#define CLI_FILM_H

#include "model.h"

struct cli_film {
    int frames;
    double *states; /* [frames][d], the first on t = T, the last the sample */
    double *times;  /* [frames] */
};
struct cli_film_start {
    uint64_t seed, index;
    int32_t label;
    double temperature; /* 0: 1 */
};
/* Solves an image by the solver, which was chosen for the model, and keeps `frames` ≥ 2
 * states, evenly over its steps; a way of fewer steps has fewer. Free with cli_film_free, after a
 * failure too. */
int cli_film_make(const struct model *m, const struct model_solver *solver,
                  const struct cli_film_start *start, int frames, struct cli_film *out,
                  struct err *e);
void cli_film_free(struct cli_film *f);

#endif
