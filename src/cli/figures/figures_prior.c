/* Where the prior comes from: from afar the data are one mass, whose lines leave it evenly in all
 * directions of the space with t. Half of them cross the plane t = T, and their density there is
 * the half-sphere's even one, projected from its centre. Drawn for one dimension of data, where
 * the half-sphere is a half circle; both panels have one scale across, so that a line can be
 * followed up into the density. */
#include "figures.h"

#include "field_prior.h"
#include "plot.h"

#include <math.h>
#include <stdio.h>

#define PI 3.14159265358979323846

/* Everything is drawn for T = 1. */
enum { LINES = 24, CURVE = 600 };
static const double reach = 2.35, top = 1.12;

/* The line that has the share u of all lines at its left crosses the plane t = 1 here. */
static double crossing(double u)
{
    return tan(PI * (u - 0.5));
}

/* Bands of equal probability, between each two neighbouring lines, under the curve of d = 1. */
static void draw_bands(struct plot *p, const struct plot_panel *panel)
{
    enum { BAND = 60 };
    double x[BAND], low[BAND] = {0}, high[BAND];
    for (int k = 0; k < LINES; k++) {
        const double left = k > 0 ? fmax(crossing((double)k / LINES), -reach) : -reach;
        const double right = k + 1 < LINES ? fmin(crossing((double)(k + 1) / LINES), reach) : reach;
        for (int i = 0; i < BAND; i++) {
            x[i] = left + (right - left) * i / (BAND - 1);
            high[i] = exp(field_prior_log_density(1, 1.0, fabs(x[i])));
        }
        if (right > left)
            plot_area(p, panel, x, low, high, BAND,
                      plot_fade(plot_colour(0), k % 2 == 0 ? 0.34 : 0.14));
    }
}

static void draw_density(struct plot *p, struct plot_panel *panel)
{
    double x[CURVE], one[CURVE], two[CURVE];
    for (int i = 0; i < CURVE; i++) {
        x[i] = reach * (2.0 * i / (CURVE - 1) - 1.0);
        one[i] = exp(field_prior_log_density(1, 1.0, fabs(x[i])));
        two[i] = exp(field_prior_log_density(2, 1.0, fabs(x[i])));
    }
    plot_panel_draw(p, panel);
    draw_bands(p, panel);
    plot_curve(p, panel, x, two, CURVE, 1.4, true, plot_colour(1));
    plot_curve(p, panel, x, one, CURVE, 2.0, false, plot_colour(0));
    const struct plot_series series[2] = {{"one dimension of data", plot_colour(0), false},
                                          {"two, along a line", plot_colour(1), true}};
    plot_legend(p, panel, series, 2, false);
}

/* The half circle about the data, even shares of it, and the lines from its centre through their
 * ends to the plane and beyond. */
static void draw_projection(struct plot *p, struct plot_panel *panel)
{
    double x[CURVE], t[CURVE];
    plot_panel_draw(p, panel);
    for (int k = 1; k < LINES; k++) {
        const double angle = PI * ((double)k / LINES - 0.5), at = crossing((double)k / LINES);
        const double inner_x[2] = {0, sin(angle)}, inner_t[2] = {0, cos(angle)};
        const double outer_x[2] = {sin(angle), at * top}, outer_t[2] = {cos(angle), top};
        plot_curve(p, panel, inner_x, inner_t, 2, 0.8, false, plot_fade(plot_colour(0), 0.35));
        plot_curve(p, panel, outer_x, outer_t, 2, 1.1, false, plot_fade(plot_colour(0), 0.85));
    }
    for (int i = 0; i < CURVE; i++) {
        x[i] = -cos(PI * i / (CURVE - 1));
        t[i] = sin(PI * i / (CURVE - 1));
    }
    plot_curve(p, panel, x, t, CURVE, 1.8, false, plot_colour(5));
    const double plane_x[2] = {-reach, reach}, plane_t[2] = {1, 1};
    plot_curve(p, panel, plane_x, plane_t, 2, 2.0, false, plot_grey(0.15));
    for (int k = 1; k < LINES; k++) {
        const double angle = PI * ((double)k / LINES - 0.5);
        plot_point(p, panel, sin(angle), cos(angle), 2.6, plot_colour(5));
        plot_point(p, panel, crossing((double)k / LINES), 1, 3.0, plot_grey(0.15));
    }
    for (int k = -2; k <= 2; k++)
        plot_point(p, panel, 0.025 * k, 0, 3.2, plot_grey(0));
}

int figures_prior(const char *path, struct err *e)
{
    struct plot *p = plot_new(path, 700, 412, e);
    struct plot_panel density = {50,
                                 30,
                                 630,
                                 165,
                                 {-reach, reach, false, NULL, true},
                                 {0, 0.36, false, "p(x) for T = 1", false},
                                 "Lines that leave the data evenly in all directions give the "
                                 "plane t = T its density",
                                 false};
    struct plot_panel projection = {50,
                                    215,
                                    630,
                                    0,
                                    {-reach, reach, false, "x over T", false},
                                    {0, top, false, "t over T", false},
                                    NULL,
                                    false};
    projection.height = projection.width * top / (2 * reach); /* a circle is round */
    if (!p)
        return -1;
    draw_density(p, &density);
    draw_projection(p, &projection);
    return plot_save(p, e);
}
