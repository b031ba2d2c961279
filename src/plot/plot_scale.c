/* From values to places on an axis, and where its ticks are. Nothing is drawn here. */
#include "plot_internal.h"

#include <math.h>
#include <stdio.h>

#define TICKS 5 /* about */

/* 0 at the low end, 1 at the high one. */
static bool share_of(const struct plot_axis *a, double value, double *out)
{
    if (!isfinite(value) || (a->log && !(value > 0.0)))
        return false;
    *out = a->log ? log(value / a->low) / log(a->high / a->low)
                  : (value - a->low) / (a->high - a->low);
    return isfinite(*out);
}

bool plot_place_across(const struct plot_panel *panel, double x, double *out)
{
    double share;
    if (!share_of(&panel->across, x, &share))
        return false;
    *out = panel->x + share * panel->width;
    return true;
}

bool plot_place_up(const struct plot_panel *panel, double y, double *out)
{
    double share;
    if (!share_of(&panel->up, y, &share))
        return false;
    *out = panel->y + (1.0 - share) * panel->height;
    return true;
}

/* 1, 2 or 5 times a power of ten, so that about TICKS of them fit. */
static double round_step(double range)
{
    double raw = range / TICKS, power = pow(10.0, floor(log10(raw))), times = raw / power;
    return power * (times < 1.5 ? 1.0 : times < 3.5 ? 2.0 : times < 7.5 ? 5.0 : 10.0);
}

/* Powers of ten and their multiples, the names of which thin out with the range. */
static void decade_ticks(const struct plot_axis *a, struct plot_ticks *t)
{
    int first = (int)floor(log10(a->low)), last = (int)ceil(log10(a->high));
    for (int decade = first; decade <= last; decade++)
        for (int k = 1; k < 10 && t->count < PLOT_TICKS_MAX; k++) {
            double value = k * pow(10.0, decade);
            if (value < a->low * 0.9999 || value > a->high * 1.0001 || (k > 1 && last - first > 6))
                continue;
            t->at[t->count] = value;
            t->named[t->count] = k == 1 || (last - first <= 2 && (k == 2 || k == 5));
            t->names += t->named[t->count++];
        }
}

static void even_ticks(const struct plot_axis *a, struct plot_ticks *t)
{
    double step = round_step(a->high - a->low);
    for (double k = ceil(a->low / step - 1e-9);
         k * step <= a->high + 1e-9 * step && t->count < PLOT_TICKS_MAX; k += 1.0) {
        t->at[t->count] = k * step;
        t->named[t->count++] = true;
        t->names++;
    }
}

void plot_ticks_find(const struct plot_axis *a, struct plot_ticks *t)
{
    *t = (struct plot_ticks){.powers = a->log};
    if (a->log)
        decade_ticks(a, t);
    if (t->names >= 2)
        return;
    /* a short piece of a logarithmic axis may hold no round number of that kind */
    *t = (struct plot_ticks){0};
    even_ticks(a, t);
}

void plot_tick_number(double value, bool powers, char out[32])
{
    if (powers && (value < 0.00099 || value > 99999)) {
        const double power = floor(log10(value) + 1e-6); /* which may be a hair below a whole one */
        snprintf(out, 32, "%.0fe%.0f", value / pow(10.0, power), power);
    } else
        snprintf(out, 32, "%.6g", fabs(value) < 1e-12 ? 0.0 : value);
}
