/* The figure of trajectories: samples of a real model from noise to their images, a row of pictures
 * each; of vectors of two numbers, lines in the plane. */
#include "figures.h"

#include "figures_film.h"
#include "cli_options.h"
#include "plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SAMPLES_DEFAULT 5
#define COLUMNS_DEFAULT 9
#define FILM_STEPS 100
#define TITLE_WIDTH 260.0 /* of the sheet, for the title to have room */

/* One class after the other where the model knows classes. */
static int32_t label_of(const struct model *m, int i)
{
    return model_class_count(m) > 0 ? i % model_class_count(m) : MODEL_CLASS_NONE;
}

static int draw_row(struct plot *p, struct plot_panel *panel, const struct model *m,
                    const struct figures_film *film, int row, uint8_t *pixels, struct err *e)
{
    const struct image_shape s = model_shape(m);
    const size_t d = model_dimension(m);
    for (int i = 0; i < film->frames; i++) {
        if (model_state_pixels(m, film->states + (size_t)i * d, pixels, e) != 0)
            return -1;
        plot_picture(p, panel, i + 0.04, -row - 0.04, i + 0.96, -row - 0.96, pixels, s.channels,
                     s.height, s.width);
        char t[32];
        snprintf(t, sizeof t, film->times[i] >= 10 ? "t = %.0f" : "t = %.2g", film->times[i]);
        if (row == 0)
            plot_words(p, panel->x + (i + 0.5) * panel->width / film->frames, panel->y - 5, 8.5,
                       PLOT_CENTRE, plot_grey(0.2), t);
    }
    return 0;
}

static int draw_pictures(const char *path, const struct model *m, const struct model_solver *solver,
                         const struct figures_options *o, struct err *e)
{
    const int rows = o->n ? o->n : SAMPLES_DEFAULT,
              columns = o->columns ? o->columns : COLUMNS_DEFAULT;
    const double cell = 64, width = fmax(cell * columns + 20, TITLE_WIDTH);
    uint8_t *pixels = malloc(model_dimension(m));
    struct plot *p = pixels ? plot_new(path, width, cell * rows + 50, e) : NULL;
    struct plot_panel panel = {10,
                               40,
                               cell * columns,
                               cell * rows,
                               {0, columns, false, NULL, true},
                               {-rows, 0, false, NULL, true},
                               NULL,
                               false};
    int result = p ? 0 : -1;
    if (!pixels)
        return err_fail_memory(e, model_dimension(m));
    if (p)
        plot_words(p, 10, 18, 11, PLOT_LEFT, plot_grey(0),
                   "From noise on the plane t = T to images");
    for (int row = 0; row < rows && result == 0; row++) {
        const struct figures_film_start start = {o->seed, (uint64_t)row, label_of(m, row), 1.0};
        struct figures_film film;
        result = figures_film_make(m, solver, &start, columns, &film, e);
        if (result == 0)
            result = draw_row(p, &panel, m, &film, row, pixels, e);
        figures_film_clear(&film);
    }
    free(pixels);
    if (result == 0)
        return plot_save(p, e);
    plot_free(p);
    return -1;
}

/* The mean of n points of the plane, and the farthest that a coordinate lies from it; above 0. */
static double spread_of(const double *points, int n, double middle[2])
{
    double reach = 0.0;
    middle[0] = middle[1] = 0.0;
    for (int i = 0; i < 2 * n; i++)
        middle[i % 2] += points[i] / n;
    for (int i = 0; i < 2 * n; i++)
        reach = fmax(reach, fabs(points[i] - middle[i % 2]));
    return reach > 0.0 ? reach : 1.0;
}

/* Vectors of two numbers: lines in the plane, from the plane's edge to where they end. */
static int draw_plane(const char *path, const struct model *m, const struct model_solver *solver,
                      const struct figures_options *o, struct err *e)
{
    const int n = o->n ? o->n : 200;
    double reach = 0.0, middle[2] = {0}, *ends = calloc(2 * (size_t)n, sizeof *ends);
    struct figures_film *films = calloc((size_t)n, sizeof *films);
    int result = ends && films ? 0 : err_fail_memory(e, (size_t)n * sizeof *films);
    for (int i = 0; i < n && result == 0; i++) {
        const struct figures_film_start start = {o->seed, (uint64_t)i, label_of(m, i), 1.0};
        result = figures_film_make(m, solver, &start, FILM_STEPS + 1, &films[i], e);
        for (int k = 0; k < 2 && result == 0; k++)
            ends[2 * i + k] = films[i].states[2 * (films[i].frames - 1) + k];
    }
    struct plot *p = result == 0 ? plot_new(path, 470, 460, e) : NULL;
    if (p)
        reach = 2.5 * spread_of(ends, n, middle);
    if (p) {
        struct plot_panel panel = {50,
                                   30,
                                   400,
                                   380,
                                   {middle[0] - reach, middle[0] + reach, false, "x₁", false},
                                   {middle[1] - reach, middle[1] + reach, false, "x₂", false},
                                   "Samples and their paths",
                                   true};
        plot_panel_draw(p, &panel);
        for (int i = 0; i < n; i++) {
            double x[FILM_STEPS + 1], y[FILM_STEPS + 1];
            for (int k = 0; k < films[i].frames; k++) {
                x[k] = films[i].states[2 * k];
                y[k] = films[i].states[2 * k + 1];
            }
            plot_curve(p, &panel, x, y, (size_t)films[i].frames, 0.7, false,
                       plot_fade(plot_colour(0), 0.35));
        }
        for (int i = 0; i < n; i++)
            plot_point(p, &panel, ends[2 * i], ends[2 * i + 1], 2, plot_colour(1));
    }
    result = p ? plot_save(p, e) : -1;
    for (int i = 0; i < n && films; i++)
        figures_film_clear(&films[i]);
    free(films);
    free(ends);
    return result;
}

int figures_trajectories(const char *path, const struct figures_options *o, struct err *e)
{
    struct model *m = cli_model_load(o->model, o->kernel, NULL, e);
    /* many small steps, so that the states shown lie evenly in ln t */
    const struct model_choice choice = {
        .given = MODEL_GIVEN(METHOD) | MODEL_GIVEN(SCHEDULE) | MODEL_GIVEN(STEPS),
        .value.ode = {.method = ODE_MULTISTEP3, .schedule = ODE_SCHEDULE_LOG, .steps = FILM_STEPS}};
    struct model_solver solver;
    int result = m ? model_solver_choose(m, &choice, &solver, e) : -1;
    if (result == 0) {
        const struct image_shape s = model_shape(m);
        if (!model_vectors(m))
            result = draw_pictures(path, m, &solver, o, e);
        else if (s.width == 2)
            result = draw_plane(path, m, &solver, o, e);
        else
            result = err_fail(e, ERR_UNSUPPORTED, o->model,
                              "is a model of vectors of %d numbers; only those of 2 can be drawn",
                              s.width);
    }
    model_free(m);
    return result;
}
