/* The figure of solvers: distance from the exact path over the evaluations, both in logarithms. */
#include "figures.h"

#include "bench_solvers.h"
#include "plot.h"

#include <math.h>
#include <stdlib.h>

#define RMS_MOST 1e3 /* shown: beyond is noise, and would press all else flat */

static bool shown_at(const struct bench_solvers *t, size_t i, size_t k)
{
    return isfinite(t->nfe[i][k]) && t->rms[i][k] > 0 && t->rms[i][k] <= RMS_MOST;
}

/* Widens the axes until they hold what is shown. */
static void fit_axes(const struct bench_solvers *t, struct plot_axis *across, struct plot_axis *up)
{
    for (size_t i = 0; i < BENCH_SOLVERS; i++)
        for (size_t k = 0; k < BENCH_SOLVERS_POINTS; k++) {
            if (!shown_at(t, i, k))
                continue;
            across->low = fmin(across->low, 0.9 * t->nfe[i][k]);
            across->high = fmax(across->high, 1.25 * t->nfe[i][k]);
            up->low = fmin(up->low, 0.8 * t->rms[i][k]);
            up->high = fmin(fmax(up->high, 1.25 * t->rms[i][k]), RMS_MOST);
        }
}

static int draw_table(const char *path, const struct bench_solvers *t, struct err *e)
{
    struct plot *p = plot_new(path, 640, 460, e);
    struct plot_panel panel = {60,
                               30,
                               560,
                               380,
                               {4.5, 250, true, "evaluations of the field", false},
                               {2e-4, 2, true, "distance from the exact path (RMS)", false},
                               "What few evaluations cost",
                               false};
    struct plot_series series[BENCH_SOLVERS];
    size_t shown = 0;
    if (!p)
        return -1;
    fit_axes(t, &panel.across, &panel.up);
    plot_panel_draw(p, &panel);
    for (size_t i = 0; i < BENCH_SOLVERS; i++) {
        const struct plot_colour colour = plot_colour((int)i);
        bool any = false, dashed = i >= PLOT_COLOURS;
        plot_curve(p, &panel, t->nfe[i], t->rms[i], BENCH_SOLVERS_POINTS, 1.6, dashed, colour);
        for (size_t k = 0; k < BENCH_SOLVERS_POINTS; k++) {
            plot_point(p, &panel, t->nfe[i][k], t->rms[i][k], 2.8, colour);
            any = any || shown_at(t, i, k);
        }
        if (any)
            series[shown++] = (struct plot_series){bench_solvers_name(i), colour, dashed};
    }
    plot_legend(p, &panel, series, shown, false);
    return plot_save(p, e);
}

int figures_solvers(const char *path, const struct figures_options *o, struct err *e)
{
    const struct bench_solvers_options options = {o->model, o->kernel, o->seed, o->n};
    struct bench_solvers *t = calloc(1, sizeof *t);
    int result = t ? bench_solvers_run(&options, t, e) : err_fail_memory(e, sizeof *t);
    if (result == 0 && path)
        result = draw_table(path, t, e);
    if (result == 0)
        result = bench_solvers_print(t, o->json, e);
    free(t);
    return result;
}
