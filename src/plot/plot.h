/* Figures as PNG or SVG, from one set of calls: panels with axes, curves, points, arrows, pictures
 * and words, drawn by cairo.
 *
 * A plot is a sheet of white paper, measured in points from its upper left corner; a panel is a
 * rectangle on it with its own coordinates, whose contents are clipped to it. Nothing here knows
 * what is drawn. Errors of drawing are kept and returned by plot_save. One thread. */
#ifndef PLOT_H
#define PLOT_H

#include "base_err.h"
#include <stdint.h>

struct plot;
/* Whether a figure may have this name, before what it shows is computed: ERR_INPUT. */
int plot_name_check(const char *path, struct err *e);
/* `path` ends in .png or .svg, else ERR_INPUT. A PNG has two pixels a point. NULL on failure. */
struct plot *plot_new(const char *path, double width, double height, struct err *e);
/* Writes the file, whole or not at all, and frees the plot, after a failure too. */
int plot_save(struct plot *p, struct err *e);
void plot_free(struct plot *p); /* without saving; may be NULL */

struct plot_colour {
    double red, green, blue, alpha;
};
/* Colours that people who see few can tell apart, for series 0, 1, 2 … (Okabe and Ito 2008). */
#define PLOT_COLOURS 8
struct plot_colour plot_colour(int i);
struct plot_colour plot_grey(double lightness); /* 0 black, 1 white */
struct plot_colour plot_fade(struct plot_colour c, double alpha);

enum plot_align { PLOT_LEFT, PLOT_CENTRE, PLOT_RIGHT };
/* A line of words on the sheet; y is that of its base line. */
void plot_words(struct plot *p, double x, double y, double size, enum plot_align align,
                struct plot_colour colour, const char *text);

struct plot_axis {
    double low, high; /* low < high; above 0 if logarithmic */
    bool log;
    const char *label; /* or NULL */
    bool bare;         /* no ticks and no numbers */
};
struct plot_panel {
    double x, y, width, height; /* on the sheet: where the frame stands */
    struct plot_axis across, up;
    const char *title; /* or NULL */
    bool square;       /* shrinks the frame, centred, until both axes have one scale */
};
/* Draws the frame, ticks, numbers and labels, which lie outside of the frame (50 points at the
 * left, 36 below, 22 above are enough). With `square` the frame's new place is put back. */
void plot_panel_draw(struct plot *p, struct plot_panel *panel);

/* Into a panel, in its coordinates; what is not finite, or not positive on a logarithmic axis,
 * breaks a curve and leaves out a point. */
void plot_curve(struct plot *p, const struct plot_panel *panel, const double *x, const double *y,
                size_t n, double width, bool dashed, struct plot_colour colour);
void plot_point(struct plot *p, const struct plot_panel *panel, double x, double y, double radius,
                struct plot_colour colour);
/* An arrow's head of a given length in points at (x, y), pointing along (dx, dy). */
void plot_arrow(struct plot *p, const struct plot_panel *panel, double x, double y, double dx,
                double dy, double length, struct plot_colour colour);
/* The area between two curves. */
void plot_area(struct plot *p, const struct plot_panel *panel, const double *x, const double *low,
               const double *high, size_t n, struct plot_colour colour);
/* A picture of grey or RGB bytes [height,width,channels], from corner to corner in the panel's
 * coordinates (upper left, lower right), pixels as squares. */
void plot_picture(struct plot *p, const struct plot_panel *panel, double left, double top,
                  double right, double bottom, const uint8_t *pixels, int channels, int height,
                  int width);
/* Series with their marks, in the panel's upper right (or, `left`, left) corner. */
struct plot_series {
    const char *name;
    struct plot_colour colour;
    bool dashed;
};
void plot_legend(struct plot *p, const struct plot_panel *panel, const struct plot_series *series,
                 size_t n, bool left);

#endif
