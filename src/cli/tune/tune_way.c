/* Where the nodes of a way lie. A search over each node by itself has as many numbers to learn as
 * there are nodes, and on a few dozen starts learns them by heart; a curve of five numbers gets
 * most of what is to be had, and the nodes' own search begins from there. */
#include "tune_way.h"

#include <math.h>

void tune_way_lay(struct tune_way *way, double begin, double end, double exponent)
{
    for (int i = 0; i <= way->steps; i++) {
        double f = (double)i / (double)way->steps;
        double u = exponent == 0.0
                       ? (1.0 - f) * log(begin) + f * log(end)
                       : (1.0 - f) * pow(begin, 1.0 / exponent) + f * pow(end, 1.0 / exponent);
        way->nodes[i] = exponent == 0.0 ? exp(u) : pow(u, exponent);
    }
    way->nodes[0] = begin;
    way->nodes[way->steps] = end;
}

/* ln t at the fraction f of the steps, linear between nodes. */
static double log_at(const struct tune_way *way, double f)
{
    double at = f * way->steps;
    int i = (int)at < way->steps ? (int)at : way->steps - 1;
    double part = at - i;
    return (1.0 - part) * log(way->nodes[i]) + part * log(way->nodes[i + 1]);
}

struct tune_curve tune_curve_of(const struct tune_way *way)
{
    struct tune_curve c = {.begin = way->nodes[0], .end = way->nodes[way->steps]};
    for (int q = 0; q < TUNE_QUARTERS; q++)
        c.share[q] =
            log_at(way, (double)q / TUNE_QUARTERS) - log_at(way, (double)(q + 1) / TUNE_QUARTERS);
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

void tune_curve_lay(const struct tune_curve *curve, struct tune_way *way)
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
    for (int i = 1; i < way->steps; i++) {
        double at = (double)i / (double)way->steps * TUNE_QUARTERS;
        int q = (int)at;
        double s = at - q, r = 1.0 - s;
        way->nodes[i] = exp((1.0 + 2.0 * s) * r * r * knot[q] + s * r * r * slope[q] +
                            s * s * (3.0 - 2.0 * s) * knot[q + 1] - s * s * r * slope[q + 1]);
    }
    way->nodes[0] = curve->begin;
    way->nodes[way->steps] = curve->end;
}

bool tune_way_move(struct tune_way *way, int i, double share, double t_max)
{
    double above = i == 0 ? t_max : way->nodes[i - 1];
    double gap = share > 0 ? log(above / way->nodes[i]) : log(way->nodes[i] / way->nodes[i + 1]);
    if (!(gap > 0.0))
        return false;
    way->nodes[i] *= exp(share * gap);
    return way->nodes[i] > way->nodes[i + 1] && way->nodes[i] <= t_max &&
           (i == 0 || way->nodes[i] < above);
}
