/* What a run of a given time is made of: which network, how many steps of how many images, at what
 * rate.
 *
 * Nothing is measured here. The caller measures how long an image takes with each network that
 * could be chosen, smallest first, and everything else follows from these figures by rule, so that
 * the rule can be tested. What is decided becomes keys of the configuration (train_config.h); those
 * that were given win, and the run is then like any other. */
#ifndef TRAIN_PLAN_H
#define TRAIN_PLAN_H

#include "base_err.h"
#include "base_json.h"
#include <stdint.h>

#define TRAIN_MINUTES_MAX 100000.0
#define TRAIN_PLAN_NETWORKS 6 /* of pictures, ascending */

struct train_plan {
    double seconds;        /* that the steps may take */
    double sheet;          /* images of a step that take as long as a sheet of samples */
    double log_sigma_mean; /* of the objective pfgmpp, see train_plan_noise_mean */
    /* measured: */
    double image_seconds[TRAIN_PLAN_NETWORKS]; /* of one image of a step */
    int measured;                              /* networks, smallest first */
    bool given;                                /* the one measured is the configuration's own */
    /* decided: */
    int network;
    int64_t steps, batch;
    double enough; /* seconds until the smallest network gives a first model; 0: network given */
    double more;   /* seconds from which the next network would be chosen; 0: not known */
};

/* The mean of ln σ for a short run of pictures of that deviation. */
double train_plan_noise_mean(double sigma_data);

/* The configuration to measure network i (below TRAIN_PLAN_NETWORKS) with: `given` and what the
 * network is, in batches of `batch` unless one is given. A new reference; NULL: ERR_MEMORY. Network
 * −1 is what `given` and the defaults say. `vectors`: the data are. */
json_t *train_plan_candidate(const struct train_plan *p, const json_t *given, bool vectors,
                             int network, int64_t batch, struct err *e);

/* ERR_INPUT when the given configuration, named `what`, says itself when the run ends. */
int train_plan_check(const json_t *given, const char *what, struct err *e);

/* Whether the configuration says itself which network it is, or needs none of pictures. */
bool train_plan_network_given(const json_t *given, bool vectors);

/* Whether a larger network than the last one measured is worth measuring: that one sees as many
 * images in the time as it needs. */
bool train_plan_goes_on(const struct train_plan *p);

/* Decides by what was measured; `batch` is the configuration's own, or 0. ERR_INPUT when not even
 * one step can be taken. */
int train_plan_decide(struct train_plan *p, int64_t batch, struct err *e);

/* The configuration of the plan. A new reference; NULL: ERR_MEMORY. */
json_t *train_plan_config(const struct train_plan *p, const json_t *given, bool vectors,
                          struct err *e);

/* How many steps the run has in all if `step` are taken, `seconds` are left and a step takes
 * `step_seconds`. */
int64_t train_plan_steps(int64_t step, double seconds, double step_seconds);

/* The time of a run. How fast steps are changes with what else the machine does, so the clock looks
 * a few times, and at the end, at where the run stands. */
struct train_clock {
    double total;      /* seconds of the whole run; 0: it has no time */
    int64_t begun_ns;  /* when the program began, */
    int64_t mark_ns;   /* and when steps were counted last, at */
    int64_t mark_step; /* this one */
    double sheet;      /* seconds that the last sheet took, or will take */
    int looks;         /* that there were */
};

/* From here on steps are counted. */
void train_clock_start(struct train_clock *c, int64_t now_ns, int64_t step, double sheet);
/* A sheet took so long, which is no time of a step. */
void train_clock_sheet(struct train_clock *c, double seconds);
/* Whether the run, which is to take `steps` steps in all, would end too early or too late by more
 * than a fiftieth of its time; then `*wanted` is how many it should take. False where no look is
 * due. */
bool train_clock_look(struct train_clock *c, int64_t now_ns, int64_t step, int64_t steps,
                      int64_t *wanted);

#endif
