/* Figures of exact fields: lines of force by steps of equal length along the field's direction,
 * from circles around the sources outwards or from afar inwards. Fields attract: arrows point at
 * the sources. */
#include "figures.h"

#include "base_rng.h"
#include "field_exact.h"
#include "field_prior.h"
#include "plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PI 3.14159265358979323846
#define LINE_MAX 4000
#define SOURCES_MAX 400

/* Four sources off the corners of a square, so that nobody takes the picture for a symmetric one.
 */
static const double four[8] = {-1.0, 0.7, 0.8, 1.0, 1.1, -0.8, -0.6, -1.0};

struct line {
    double x[LINE_MAX], y[LINE_MAX];
    size_t n;
};

/* The unit vector of the plain field in the plane, at (x, y). */
static void direction(const struct field_sources *s, double x, double y, double *ux, double *uy)
{
    double at[2] = {x, y}, F[2], log_weights[SOURCES_MAX], scale;
    field_exact_force(s, at, NULL, log_weights, F, &scale);
    double length = hypot(F[0], F[1]);
    *ux = length > 0.0 ? F[0] / length : 0.0;
    *uy = length > 0.0 ? F[1] / length : 0.0;
}

/* Follows the field (sign 1) or flees it (−1) by midpoint steps, until it leaves the square of side
 * 2·reach, comes within `near` of a source, or is long enough. */
static void follow(const struct field_sources *s, double x, double y, double sign, double step,
                   double reach, double near, struct line *line)
{
    line->n = 0;
    while (line->n < LINE_MAX) {
        double ux, uy, least = INFINITY;
        line->x[line->n] = x;
        line->y[line->n++] = y;
        for (size_t i = 0; i < s->count; i++)
            least = fmin(least, hypot(x - s->points[2 * i], y - s->points[2 * i + 1]));
        if (fabs(x) > reach || fabs(y) > reach || (sign > 0 && least < near))
            return;
        direction(s, x, y, &ux, &uy);
        direction(s, x + sign * step / 2 * ux, y + sign * step / 2 * uy, &ux, &uy);
        x += sign * step * ux;
        y += sign * step * uy;
    }
}

/* The line, and an arrow at a share of its length that points along the field. */
static void draw_line(struct plot *p, const struct plot_panel *panel, const struct line *line,
                      double sign, double share, struct plot_colour colour)
{
    size_t at = (size_t)(share * (double)line->n);
    plot_curve(p, panel, line->x, line->y, line->n, 1.0, false, plot_fade(colour, 0.8));
    if (line->n > 20 && at + 1 < line->n)
        plot_arrow(p, panel, line->x[at], line->y[at], sign * (line->x[at + 1] - line->x[at]),
                   sign * (line->y[at + 1] - line->y[at]), 7, colour);
}

static void draw_sources(struct plot *p, const struct plot_panel *panel,
                         const struct field_sources *s, double radius)
{
    for (size_t i = 0; i < s->count; i++)
        plot_point(p, panel, s->points[2 * i], s->points[2 * i + 1], radius, plot_grey(0));
}

int figures_field(const char *path, struct err *e)
{
    const struct field_sources s = {.count = 4, .d = 2, .points = four};
    struct plot *p = plot_new(path, 430, 420, e);
    struct plot_panel panel = {50,
                               30,
                               360,
                               340,
                               {-2.4, 2.4, false, "x₁", false},
                               {-2.4, 2.4, false, "x₂", false},
                               "Lines of force of four equal sources",
                               true};
    struct line line;
    if (!p)
        return -1;
    plot_panel_draw(p, &panel);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 20; k++) {
            double angle = 2 * PI * (k + 0.5) / 20;
            follow(&s, four[2 * i] + 0.02 * cos(angle), four[2 * i + 1] + 0.02 * sin(angle), -1,
                   0.01, 2.5, 0, &line);
            draw_line(p, &panel, &line, -1, 0.3, plot_colour(0));
        }
    draw_sources(p, &panel, &s, 4);
    return plot_save(p, e);
}

/* Lines from a circle far out, inwards. */
static void draw_from_afar(struct plot *p, const struct plot_panel *panel,
                           const struct field_sources *s, double reach, struct plot_colour colour)
{
    struct line line;
    for (int k = 0; k < 32; k++) {
        double angle = 2 * PI * (k + 0.5) / 32;
        follow(s, 0.97 * reach * cos(angle), 0.97 * reach * sin(angle), 1, reach / 400, reach,
               reach / 80, &line);
        draw_line(p, panel, &line, 1, 0.35, colour);
    }
    draw_sources(p, panel, s, 2.5);
}

int figures_farfield(const char *path, struct err *e)
{
    static const double centre[2] = {0.075, -0.025}; /* of the four */
    const struct field_sources sources = {.count = 4, .d = 2, .points = four};
    const struct field_sources mass = {.count = 1, .d = 2, .points = centre};
    const double reach = 16;
    struct plot *p = plot_new(path, 760, 410, e);
    if (!p)
        return -1;
    for (int k = 0; k < 2; k++) {
        struct plot_panel panel = {50 + 370 * k,
                                   30,
                                   330,
                                   330,
                                   {-reach, reach, false, "x₁", false},
                                   {-reach, reach, false, k == 0 ? "x₂" : NULL, false},
                                   k == 0 ? "Four sources from afar"
                                          : "One source of all mass at their centre",
                                   true};
        plot_panel_draw(p, &panel);
        draw_from_afar(p, &panel, k == 0 ? &sources : &mass, reach, plot_colour(k));
    }
    return plot_save(p, e);
}

/* ---- the shell ---- */

static void draw_shell(struct plot *p, struct plot_panel *panel, const struct field_sources *s)
{
    double log_weights[SOURCES_MAX], F[2], scale;
    plot_panel_draw(p, panel);
    draw_sources(p, panel, s, 1.1);
    for (int i = -8; i <= 8; i++)
        for (int k = -8; k <= 8; k++) {
            double at[2] = {0.24 * i, 0.24 * k};
            double r = hypot(at[0], at[1]);
            if (fabs(r - 1.0) <
                0.06) /* between two points of the shell the field is theirs alone */
                continue;
            field_exact_force(s, at, NULL, log_weights, F, &scale);
            double strength = hypot(F[0], F[1]) * exp(scale), length = 0.2 * fmin(strength, 1.2);
            double ux = F[0] / hypot(F[0], F[1]), uy = F[1] / hypot(F[0], F[1]);
            double x[2] = {at[0] - length * ux / 2, at[0] + length * ux / 2};
            double y[2] = {at[1] - length * uy / 2, at[1] + length * uy / 2};
            if (strength < 0.02) {
                plot_point(p, panel, at[0], at[1], 0.9, plot_grey(0.5));
                continue;
            }
            plot_curve(p, panel, x, y, 2, 1.2, false, plot_colour(0));
            plot_arrow(p, panel, x[1], y[1], ux, uy, 5, plot_colour(0));
        }
}

/* |F| of a shell of unit mass in d dimensions: 0 inside, 1/r^(d−1) outside (Newton); and, for the
 * circle of points, as computed between two of them. */
static void draw_strength(struct plot *p, struct plot_panel *panel, const struct field_sources *s)
{
    enum { N = 400 };
    static const char *const names[3] = {"circle in the plane, computed", "d = 2", "d = 3"};
    double r[N], strength[3][N], log_weights[SOURCES_MAX], F[2], scale;
    struct plot_series series[3];
    plot_panel_draw(p, panel);
    for (int i = 0; i < N; i++) {
        double angle = PI / (double)s->count;
        r[i] = 2.5 * (i + 0.5) / N;
        double at[2] = {r[i] * cos(angle), r[i] * sin(angle)};
        field_exact_force(s, at, NULL, log_weights, F, &scale);
        strength[0][i] = hypot(F[0], F[1]) * exp(scale);
        strength[1][i] = r[i] < 1 ? 0 : 1 / r[i];
        strength[2][i] = r[i] < 1 ? 0 : 1 / (r[i] * r[i]);
    }
    for (int k = 2; k >= 0; k--)
        plot_curve(p, panel, r, strength[k], N, k == 0 ? 3.5 : 1.5, k == 2,
                   k == 0 ? plot_fade(plot_colour(0), 0.45) : plot_colour(k));
    for (int k = 0; k < 3; k++)
        series[k] = (struct plot_series){names[k], plot_colour(k), k == 2};
    plot_legend(p, panel, series, 3, false);
}

int figures_shell(const char *path, struct err *e)
{
    enum { COUNT = 240 };
    double points[2 * COUNT];
    const struct field_sources s = {.count = COUNT, .d = 2, .points = points};
    struct plot *p = plot_new(path, 790, 410, e);
    if (!p)
        return -1;
    for (int i = 0; i < COUNT; i++) {
        points[2 * i] = cos(2 * PI * i / COUNT);
        points[2 * i + 1] = sin(2 * PI * i / COUNT);
    }
    struct plot_panel arrows = {50,
                                30,
                                330,
                                330,
                                {-2.1, 2.1, false, "x₁", false},
                                {-2.1, 2.1, false, "x₂", false},
                                "A shell: no force inside",
                                true};
    struct plot_panel radius = {450,
                                30,
                                320,
                                330,
                                {0, 2.5, false, "distance from the centre r", false},
                                {0, 1.15, false, "|F|", false},
                                "Strength over the radius",
                                false};
    draw_shell(p, &arrows, &s);
    draw_strength(p, &radius, &s);
    return plot_save(p, e);
}

/* ---- the lift ---- */

#define LIFT_T 6.0

/* Down from (x, T) in steps even in ln t; returns which source it ends on. */
static size_t come_down(const struct field_sources *s, double x, struct line *line)
{
    enum { STEPS = 600 };
    double log_weights[SOURCES_MAX], t = LIFT_T, prediction;
    size_t nearest = 0;
    line->n = 0;
    for (int i = 0; i <= STEPS; i++) {
        line->x[line->n] = x;
        line->y[line->n++] = t;
        double next = LIFT_T * pow(1e-4, (double)(i + 1) / STEPS), half = sqrt(t * next);
        field_exact_prediction(s, &x, t, log_weights, &prediction);
        double middle = x + (half - t) * (x - prediction) / t;
        field_exact_prediction(s, &middle, half, log_weights, &prediction);
        x += (next - t) * (middle - prediction) / half;
        t = next;
    }
    for (size_t i = 0; i < s->count; i++)
        nearest = fabs(x - s->points[i]) < fabs(x - s->points[nearest]) ? i : nearest;
    return nearest;
}

int figures_lift(const char *path, struct err *e)
{
    enum { LINES = 60 };
    static const double points[5] = {-2.6, -1.9, 0.3, 1.4, 2.2};
    const struct field_sources s = {.count = 5, .d = 1, .points = points};
    struct plot *p = plot_new(path, 640, 420, e);
    struct plot_panel panel = {
        50,
        30,
        570,
        340,
        {-9, 9, false, "x: the data, one dimension", false},
        {0, LIFT_T, false, "t: the added dimension", false},
        "Five points on a line, lifted: every line comes down from T and ends "
        "on a point",
        false};
    struct line line;
    if (!p)
        return -1;
    plot_panel_draw(p, &panel);
    for (int k = 0; k < LINES; k++) {
        /* quantiles of the prior, so that each line stands for the same share of starts */
        double start = LIFT_T * tan(PI * ((k + 0.5) / LINES - 0.5));
        size_t end = come_down(&s, start - 0.12, &line);
        draw_line(p, &panel, &line, 1, 0.25, plot_colour((int)end));
    }
    for (int i = 0; i < 5; i++)
        plot_point(p, &panel, points[i], 0.0, 6, plot_colour(i));
    return plot_save(p, e);
}
