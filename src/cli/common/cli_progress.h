/* A progress bar on a terminal: images, steps, evaluations and the time left. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "engine.h"

struct cli_progress {
    bool terminal; /* standard error is one */
    bool drawn;    /* a bar stands on the current line */
    int64_t begun_ns;
};
/* Begins to count the time. */
void cli_progress_begin(struct cli_progress *p);
/* Draws the bar anew, when there is a terminal and two seconds have passed. */
void cli_progress_draw(struct cli_progress *p, const struct engine_progress *now);
/* The same for work that is done elsewhere. */
struct cli_progress_job {
    uint64_t done, total;
    double fraction, rate, left_s; /* images per second, seconds; below 0: not known */
};
void cli_progress_draw_job(struct cli_progress *p, const struct cli_progress_job *now);
/* Removes the bar. */
void cli_progress_end(struct cli_progress *p);

#endif
