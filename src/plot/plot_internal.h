/* Inside the room: a plot, and from a panel's coordinates to points on the sheet. */
#ifndef PLOT_INTERNAL_H
#define PLOT_INTERNAL_H

#include "plot.h"

#include "base_buf.h"
#include <cairo.h>

struct plot {
    char *path;
    cairo_surface_t *surface;
    cairo_t *cairo;
    bool svg;
    struct buf bytes; /* of the SVG, as it is written */
    struct err lost;  /* what the bytes of the figure had no room for */
};

/* False when the coordinate has no place (not finite, or not positive on a logarithmic axis). */
bool plot_place_across(const struct plot_panel *panel, double x, double *out);
bool plot_place_up(const struct plot_panel *panel, double y, double *out);

void plot_ink(struct plot *p, struct plot_colour colour);

/* The ticks of an axis: at powers of ten and between them where it is logarithmic and two of them
 * at least have names; else evenly, at round numbers. */
#define PLOT_TICKS_MAX 64
struct plot_ticks {
    double at[PLOT_TICKS_MAX];
    bool named[PLOT_TICKS_MAX];
    int count, names;
    bool powers; /* of ten */
};
void plot_ticks_find(const struct plot_axis *a, struct plot_ticks *out);
/* A tick's number as people write it; with `powers` as 1e-4 or 5e-4 where that is far from 1. */
void plot_tick_number(double value, bool powers, char out[32]);

#endif
