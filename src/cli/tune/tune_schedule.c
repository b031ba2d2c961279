/* Where the nodes of a schedule lie. A search over each node by itself has as many numbers to learn
 * as there are nodes, and on a few dozen starts learns them by heart; a curve of five numbers gets
 * most of what is to be had, and the nodes' own search begins from there. */
#include "tune_schedule.h"

#include <math.h>

void tune_schedule_lay(struct tune_schedule *schedule, double begin, double end, double exponent)
{
    for (int i = 0; i <= schedule->steps; i++) {
        double f = (double)i / (double)schedule->steps;
        double u = exponent == 0.0
                       ? (1.0 - f) * log(begin) + f * log(end)
                       : (1.0 - f) * pow(begin, 1.0 / exponent) + f * pow(end, 1.0 / exponent);
        schedule->nodes[i] = exponent == 0.0 ? exp(u) : pow(u, exponent);
    }
    schedule->nodes[0] = begin;
    schedule->nodes[schedule->steps] = end;
}

/* ln t at the fraction f of the steps, linear between nodes. */
static double log_at(const struct tune_schedule *schedule, double f)
{
    double at = f * schedule->steps;
    int i = (int)at < schedule->steps ? (int)at : schedule->steps - 1;
    double part = at - i;
    return (1.0 - part) * log(schedule->nodes[i]) + part * log(schedule->nodes[i + 1]);
}

struct tune_curve tune_curve_of(const struct tune_schedule *schedule)
{
    struct tune_curve c = {.begin = schedule->nodes[0], .end = schedule->nodes[schedule->steps]};
    for (int q = 0; q < TUNE_QUARTERS; q++)
        c.share[q] = log_at(schedule, (double)q / TUNE_QUARTERS) -
                     log_at(schedule, (double)(q + 1) / TUNE_QUARTERS);
    return c;
}

bool tune_curve_bend(struct tune_curve *curve, int handle, double amount, double t_max)
{
    if (handle < TUNE_QUARTERS) {
        curve->share[handle] *= exp(amount);
        return true;
    }
    curve->begin *= exp(amount);
    return curve->begin <= t_max && curve->begin > curve->end;
}

/* Slopes of the cubic at the knots for the rises of the quarters: the harmonic mean of both sides
 * within, and at the ends what a parabola would have, if it does not turn back. */
static void slopes_at(const double *rise, double *slope)
{
    const int n = TUNE_QUARTERS;
    for (int q = 1; q < n; q++)
        slope[q] = 2.0 * rise[q - 1] * rise[q] / (rise[q - 1] + rise[q]);
    slope[0] = fmin(1.5 * rise[0] - 0.5 * slope[1], 0.3 * rise[0]);
    slope[n] = fmin(1.5 * rise[n - 1] - 0.5 * slope[n - 1], 0.3 * rise[n - 1]);
}

void tune_curve_lay(const struct tune_curve *curve, struct tune_schedule *schedule)
{
    double knot[TUNE_HANDLES], rise[TUNE_QUARTERS], slope[TUNE_HANDLES], whole = 0.0;
    for (int q = 0; q < TUNE_QUARTERS; q++)
        whole += curve->share[q];
    knot[0] = log(curve->begin);
    for (int q = 0; q < TUNE_QUARTERS; q++) { /* all fall: rises are below 0 */
        rise[q] = log(curve->end / curve->begin) * curve->share[q] / whole;
        knot[q + 1] = knot[q] + rise[q];
    }
    slopes_at(rise, slope);
    for (int i = 1; i < schedule->steps; i++) {
        double at = (double)i / (double)schedule->steps * TUNE_QUARTERS;
        int q = (int)at;
        double s = at - q, r = 1.0 - s;
        schedule->nodes[i] = exp((1.0 + 2.0 * s) * r * r * knot[q] + s * r * r * slope[q] +
                                 s * s * (3.0 - 2.0 * s) * knot[q + 1] - s * s * r * slope[q + 1]);
    }
    schedule->nodes[0] = curve->begin;
    schedule->nodes[schedule->steps] = curve->end;
}

bool tune_schedule_move(struct tune_schedule *schedule, int i, double share, double t_max)
{
    double above = i == 0 ? t_max : schedule->nodes[i - 1];
    double gap = share > 0 ? log(above / schedule->nodes[i])
                           : log(schedule->nodes[i] / schedule->nodes[i + 1]);
    if (!(gap > 0.0))
        return false;
    schedule->nodes[i] *= exp(share * gap);
    return schedule->nodes[i] > schedule->nodes[i + 1] && schedule->nodes[i] <= t_max &&
           (i == 0 || schedule->nodes[i] < above);
}
