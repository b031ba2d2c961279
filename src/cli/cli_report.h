/* What `pfgm sample` says on standard output when it is done. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "engine.h"

struct cli_report {
    const struct engine_request *request; /* finished without an error */
    const char *model;                    /* path */
    const char *output;                   /* path */
    double seconds;                       /* of sampling */
};

/* One line: n, seed, solver, nfe, seconds, path. */
void cli_report_print(const struct cli_report *r);
/* {"n", "seed", "first_index", "model", "kernel", "precision", "solver", "images": [{"index",
 * "nfe", "steps_accepted", "steps_rejected", "sha256"}, …], "seconds", "output"}; "sha256" of the
 * whole picture when it is a sheet. The seed is null where there is none, and only latents. */
int cli_report_print_json(const struct cli_report *r, struct err *e);

#endif
