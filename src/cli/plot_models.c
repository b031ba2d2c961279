/* Figures of real models: samples on their way, and what solvers make of few evaluations. */
#include "plot_figure.h"

#include "cli.h"
#include "cli_film.h"
#include "cli_json.h"
#include "cli_paths.h"
#include "plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SAMPLES_DEFAULT 5
#define COLUMNS_DEFAULT 9
#define STARTS_DEFAULT 64
#define FILM_STEPS 100

/* ---- trajectories ---- */

/* One class after the other where the model knows classes. */
static int32_t label_of(const struct model *m, int i)
{
    return model_label_count(m) > 0 ? i % model_label_count(m) : MODEL_LABEL_NONE;
}

static int draw_row(struct plot *p, struct plot_panel *panel, const struct model *m,
                    const struct cli_film *film, int row, uint8_t *pixels, struct err *e)
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
                         const struct plot_model_options *o, struct err *e)
{
    const int rows = o->n ? o->n : SAMPLES_DEFAULT,
              columns = o->columns ? o->columns : COLUMNS_DEFAULT;
    const double cell = 64;
    uint8_t *pixels = malloc(model_dimension(m));
    struct plot *p = pixels ? plot_new(path, cell * columns + 20, cell * rows + 50, e) : NULL;
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
        const struct cli_film_start start = {o->seed, (uint64_t)row, label_of(m, row), 1.0};
        struct cli_film film;
        result = cli_film_make(m, solver, &start, columns, &film, e);
        if (result == 0)
            result = draw_row(p, &panel, m, &film, row, pixels, e);
        cli_film_free(&film);
    }
    free(pixels);
    if (result == 0)
        return plot_save(p, e);
    plot_free(p);
    return -1;
}

/* Vectors of two numbers: lines in the plane, from the plane's edge to where they end. */
static int draw_plane(const char *path, const struct model *m, const struct model_solver *solver,
                      const struct plot_model_options *o, struct err *e)
{
    const int n = o->n ? o->n : 200;
    double reach = 0.0, *ends = calloc(2 * (size_t)n, sizeof *ends);
    struct cli_film *films = calloc((size_t)n, sizeof *films);
    int result = ends && films ? 0 : err_fail_memory(e, (size_t)n * sizeof *films);

    for (int i = 0; i < n && result == 0; i++) {
        const struct cli_film_start start = {o->seed, (uint64_t)i, label_of(m, i), 1.0};
        result = cli_film_make(m, solver, &start, FILM_STEPS + 1, &films[i], e);
        for (int k = 0; k < 2 && result == 0; k++) {
            ends[2 * i + k] = films[i].states[2 * (films[i].frames - 1) + k];
            reach = fmax(reach, fabs(ends[2 * i + k]));
        }
    }
    struct plot *p = result == 0 ? plot_new(path, 470, 460, e) : NULL;
    if (p) {
        struct plot_panel panel = {50,
                                   30,
                                   400,
                                   380,
                                   {-2.5 * reach, 2.5 * reach, false, "x₁", false},
                                   {-2.5 * reach, 2.5 * reach, false, "x₂", false},
                                   "Samples and the ways that they came",
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
        cli_film_free(&films[i]);
    free(films);
    free(ends);
    return result;
}

int plot_figure_trajectories(const char *path, const struct plot_model_options *o, struct err *e)
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

/* ---- solvers ---- */

struct candidate {
    const char *name;
    enum ode_method method;
    enum ode_schedule schedule;
    bool halved; /* two evaluations a step */
};
static const struct candidate candidates[] = {
    {"Euler, log", ODE_EULER, ODE_SCHEDULE_LOG, false},
    {"Heun, rho", ODE_HEUN, ODE_SCHEDULE_RHO, true},
    {"improved Euler, log", ODE_IMPROVED_EULER, ODE_SCHEDULE_LOG, true},
    {"iPNDM-4, power", ODE_IPNDM4, ODE_SCHEDULE_POWER, false},
    {"multistep 2, power", ODE_MULTISTEP2, ODE_SCHEDULE_POWER, false},
    {"multistep 3, power", ODE_MULTISTEP3, ODE_SCHEDULE_POWER, false},
    {"UniPC-3, power", ODE_UNIPC3, ODE_SCHEDULE_POWER, false},
    {"tuned", ODE_MULTISTEP3, ODE_SCHEDULE_TUNED, false},
    {"rk45, tolerances 1e-2 to 1e-5", ODE_RK45, ODE_SCHEDULE_LOG, false},
};
#define CANDIDATES (sizeof candidates / sizeof *candidates)
static const int evaluations[] = {5, 6, 8, 10, 14, 20, 28, 36, 50, 100};
#define EVALUATIONS (sizeof evaluations / sizeof *evaluations)

struct table {
    double nfe[CANDIDATES][EVALUATIONS], rms[CANDIDATES][EVALUATIONS]; /* NaN: none */
};

/* The k-th cell's way of a candidate, or false where it has none. */
static bool choose_cell(const struct model *m, const struct candidate *c, size_t k,
                        struct model_solver *out)
{
    static const double tolerances[] = {1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5};
    struct model_choice choice = {.given =
                                      c->schedule != ODE_SCHEDULE_TUNED ? MODEL_GIVEN(METHOD) : 0,
                                  .value.ode.method = c->method};
    struct err e = {0};

    if (c->method == ODE_RK45) {
        if (k >= sizeof tolerances / sizeof *tolerances)
            return false;
        choice.given |= MODEL_GIVEN(RTOL) | MODEL_GIVEN(ATOL);
        choice.value.ode.rtol = choice.value.ode.atol = tolerances[k];
    } else {
        choice.given |= MODEL_GIVEN(STEPS) | MODEL_GIVEN(SCHEDULE);
        choice.value.ode.schedule = c->schedule;
        choice.value.ode.steps = c->halved ? (evaluations[k] + 1) / 2 : evaluations[k];
    }
    return model_solver_choose(m, &choice, out, &e) == 0 && model_solver_settle(m, out, &e) == 0;
}

static int fill_table(const struct cli_paths *paths, struct table *t, struct err *e)
{
    const struct model *m = engine_model_get(paths->em);

    for (size_t i = 0; i < CANDIDATES; i++)
        for (size_t k = 0; k < EVALUATIONS; k++) {
            struct model_solver solver;
            struct cli_distance found;
            struct err own = {0};
            t->nfe[i][k] = t->rms[i][k] = NAN;
            if (!choose_cell(m, &candidates[i], k, &solver))
                continue;
            if (cli_paths_distance(paths, &solver, &found, &own) == 0) {
                t->nfe[i][k] = found.nfe;
                t->rms[i][k] = found.rms;
            } else if (own.code != ERR_NUMERIC) { /* who does not come to an end leaves a gap */
                return err_fail(e, own.code, own.at, "%s", own.text);
            }
        }
    return 0;
}

static void print_table(const struct table *t)
{
    printf("root mean square distance from the exact path's ends, in data scale\n%-30s", "");
    for (size_t k = 0; k < EVALUATIONS; k++)
        printf(" %7d", evaluations[k]);
    printf("  evaluations\n");
    for (size_t i = 0; i < CANDIDATES; i++) {
        if (candidates[i].method == ODE_RK45) {
            for (size_t k = 0; k < EVALUATIONS; k++)
                if (isfinite(t->rms[i][k]))
                    printf("rk45 with %5.1f evaluations      %7.4f\n", t->nfe[i][k], t->rms[i][k]);
            continue;
        }
        printf("%-30s", candidates[i].name);
        for (size_t k = 0; k < EVALUATIONS; k++)
            printf(isfinite(t->rms[i][k]) ? " %7.4f" : "       –", t->rms[i][k]);
        printf("\n");
    }
}

static int print_json(const struct table *t, const struct cli_paths *paths, struct err *e)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < CANDIDATES; i++)
        for (size_t k = 0; k < EVALUATIONS; k++)
            if (isfinite(t->rms[i][k]))
                json_array_append_new(rows,
                                      json_pack("{s:s, s:s, s:f, s:f}", "solver",
                                                ode_method_name(candidates[i].method), "schedule",
                                                candidates[i].method == ODE_RK45
                                                    ? "own"
                                                    : ode_schedule_name(candidates[i].schedule),
                                                "nfe", t->nfe[i][k], "rms", t->rms[i][k]));
    json_t *root =
        json_pack("{s:s, s:I, s:f, s:o}", "model", model_sha256(engine_model_get(paths->em)),
                  "starts", (json_int_t)paths->n, "exact_nfe", paths->exact_nfe, "rows", rows);
    int result = root ? cli_json_print(root, e) : err_fail_memory(e, 4096);
    json_decref(root);
    return result;
}

static int draw_table(const char *path, const struct table *t, struct err *e)
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
    struct plot_series series[CANDIDATES];
    size_t shown = 0;

    if (!p)
        return -1;
    plot_panel_draw(p, &panel);
    for (size_t i = 0; i < CANDIDATES; i++) {
        const struct plot_colour colour = plot_colour((int)i);
        bool any = false, dashed = i >= PLOT_COLOURS;
        plot_curve(p, &panel, t->nfe[i], t->rms[i], EVALUATIONS, 1.6, dashed, colour);
        for (size_t k = 0; k < EVALUATIONS; k++) {
            plot_point(p, &panel, t->nfe[i][k], t->rms[i][k], 2.8, colour);
            any = any || isfinite(t->rms[i][k]);
        }
        if (any)
            series[shown++] = (struct plot_series){candidates[i].name, colour, dashed};
    }
    plot_legend(p, &panel, series, shown, false);
    return plot_save(p, e);
}

int plot_figure_solvers(const char *path, const struct plot_model_options *o, struct err *e)
{
    struct model *m = cli_model_load(o->model, o->kernel, NULL, e);
    struct cli_paths paths = {0};
    struct table *t = calloc(1, sizeof *t);
    size_t n = o->n ? (size_t)o->n : STARTS_DEFAULT;
    int result = -1;

    if (!t)
        err_fail_memory(e, sizeof *t);
    if (m && t)
        result = cli_paths_open(&paths, m, n, o->seed, "exact paths", e);
    else
        model_free(m);
    if (result == 0)
        result = fill_table(&paths, t, e);
    if (result == 0 && o->json)
        result = print_json(t, &paths, e);
    else if (result == 0)
        print_table(t);
    if (result == 0 && path)
        result = draw_table(path, t, e);
    cli_paths_close(&paths);
    free(t);
    return result;
}
