/* `pfgm tune`'s search: finds, for numbers of evaluations, the method and the nodes whose ends are
 * nearest to the exact path's. */
#ifndef TUNE_SEARCH_H
#define TUNE_SEARCH_H

#include "bench_paths.h"
#include "tune_schedule.h"

struct tune_options {
    const char *model, *kernel;
    int nfe[CKPT_TUNED_MAX], nfe_count; /* rising */
    int64_t starts, rounds;
    uint64_t seed;
};

struct tune_search {
    const struct tune_options *o;
    bool opened; /* the paths */
    struct bench_paths learn, judge;
    double t_max, t_min;
    struct model_solver base; /* what all schedules share */
    int64_t tried;
    int64_t shown_ns;
    struct {
        struct tune_schedule best;
        struct bench_distance judged, before; /* on the other starts: found, and the default's */
    } * found;                                /* [nfe_count] */
    float *mean; /* [d] of the data, measured here; NULL where the checkpoint has it */
};

/* Opens the model and searches; `o` is borrowed. A line on a terminal shows how far it is. Free
 * with tune_search_clear, after a failure too. */
int tune_search_run(const struct tune_options *o, struct tune_search *t, struct err *e);
void tune_search_clear(struct tune_search *t);

#endif
