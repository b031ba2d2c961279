/* A request to an engine of the subcommand's own: opened, waited for with a bar, reported in the
 * user's terms. What `sample`, `encode`, `decode`, `interpolate` and `likelihood` have in common.
 *
 * The images are those that the daemon makes of the same order, bit for bit: nothing of an image is
 * decided here. The main thread only waits; the work is in the engine's workers. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "engine.h"

#define CLI_IMAGES_MAX 10000000 /* of a request */

struct cli_run {
    struct engine *engine;
    struct engine_model *model;
    const char *steps; /* as in cli_solver_options; NULL unless it is set once the run is open */
    double seconds;    /* that the last order took */
};

/* Takes `m` over, also on failure. `workers` 0: as many as the machine gives; the queue has room
 * for `images`. cli_run_clear also after a failure. */
int cli_run_open(struct cli_run *r, struct model *m, int64_t workers, size_t images, struct err *e);
void cli_run_clear(struct cli_run *r);

/* What of the order is wrong, if anything is, by the option that says it. */
int cli_run_check(const struct cli_run *r, const struct engine_order *order, struct err *e);
/* Submits the order and waits until it has ended well; NULL otherwise, and the error names the
 * image with its seed and index. Free with engine_request_free before cli_run_clear. */
struct engine_request *cli_run_order(struct cli_run *r, const struct engine_order *order,
                                     struct err *e);

/* The word of --class; NULL leaves `out` alone. */
int cli_run_class(const struct model *m, const char *word, struct engine_class *out, struct err *e);

/* The word of --temperature; refused where the engine would refuse it, to whom 0 is absent. */
int cli_run_temperature(const char *word, double *out, struct err *e);

#endif
