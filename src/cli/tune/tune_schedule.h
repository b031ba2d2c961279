/* Ways that `pfgm tune` tries: where the nodes of a method lie, and how they are shifted. Pure
 * functions of their arguments; the times that come out are stored in the checkpoint, so that
 * nothing hangs on the C library's last bit. */
#ifndef TUNE_SCHEDULE_H
#define TUNE_SCHEDULE_H

#include "ckpt_description.h"

struct tune_schedule {
    enum ode_method method;
    int steps;
    double nodes[CKPT_TUNED_STEPS_MAX + 1]; /* steps + 1, falling */
    double error;                           /* on the starts to learn from */
};

/* Nodes even in t^(1/exponent), or in ln t for 0; the ends are begin and end themselves. */
void tune_schedule_lay(struct tune_schedule *schedule, double begin, double end, double exponent);

/* A curve that all nodes lie on, of few numbers: where it begins, and the shares of the whole
 * distance in ln t that each quarter of the steps takes. */
enum { TUNE_QUARTERS = 4, TUNE_HANDLES = TUNE_QUARTERS + 1 };
struct tune_curve {
    double begin, end;
    double share[TUNE_QUARTERS]; /* above 0; only their ratios count */
};
struct tune_curve tune_curve_of(const struct tune_schedule *schedule);
/* Bends it at handle 0 to TUNE_QUARTERS − 1, a quarter's share by e^amount, or at TUNE_QUARTERS
 * the beginning by e^amount; false when that lies above t_max or not above the end. */
bool tune_curve_bend(struct tune_curve *curve, int handle, double amount, double t_max);
/* The nodes on the curve: a monotone cubic through its knots (Fritsch and Butland 1984), so the
 * nodes fall whatever the shares. */
void tune_curve_lay(const struct tune_curve *curve, struct tune_schedule *schedule);

/* Moves node i < steps by a share of the gap above it (share > 0) or below (< 0), in ln t. False,
 * and the schedule is of no use, when it would meet a neighbour or leave t_max. */
bool tune_schedule_move(struct tune_schedule *schedule, int i, double share, double t_max);

#endif
