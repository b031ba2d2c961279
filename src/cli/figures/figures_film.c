/* Films: a path solved on the caller's thread, its states kept step by step until it is known how
 * many there are. */
#include "figures_film.h"

#include "base_size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 4096

struct film_path {
    double *states; /* [count][d] */
    double *times;
    int count, capacity;
};

static int keep(struct film_path *w, size_t d, const double *state, double t, struct err *e)
{
    if (w->count == STEPS_MAX)
        return err_fail(e, ERR_LIMIT, "--steps", "a film has at most %d steps", STEPS_MAX);
    if (w->count == w->capacity) {
        int capacity = w->capacity ? 2 * w->capacity : 64;
        double *states = reallocarray(w->states, (size_t)capacity, d * sizeof *states);
        if (states)
            w->states = states;
        double *times = states ? reallocarray(w->times, (size_t)capacity, sizeof *times) : NULL;
        if (!times)
            return err_fail_memory(e, (size_t)capacity * d * sizeof *states);
        w->times = times;
        w->capacity = capacity;
    }
    memcpy(w->states + (size_t)w->count * d, state, d * sizeof *state);
    w->times[w->count++] = t;
    return 0;
}

static int walk(const struct model *m, struct ode_solver *ode,
                const struct figures_film_start *start, double *slope, struct film_path *w,
                struct err *e)
{
    const size_t d = model_dimension(m);
    struct model_workspace *ws = model_workspace_new(m, 1, e);
    int result = ws ? 0 : -1;
    while (result == 0 && ode_solver_status(ode) == ODE_WANTS_SLOPE) {
        int64_t before = ode_solver_counts(ode).accepted;
        const struct model_query q = model_query_of(ode, start->label, slope);
        model_slopes(m, ws, 1, &q);
        ode_solver_feed(ode, slope);
        model_solver_noise(m, ode, start->seed, start->index, slope);
        if (ode_solver_counts(ode).accepted > before)
            result = keep(w, d, ode_solver_state(ode), ode_solver_state_time(ode), e);
    }
    model_workspace_free(ws);
    if (result == 0 && ode_solver_status(ode) == ODE_FAILED) {
        const struct err *why = ode_solver_error(ode);
        result = err_pass(e, why);
    }
    return result;
}

/* `frames` of the path's states, the first and the last among them. */
static int choose(const struct film_path *w, size_t d, int frames, struct figures_film *out,
                  struct err *e)
{
    out->frames = frames < w->count ? frames : w->count;
    out->states = calloc((size_t)out->frames, d * sizeof *out->states);
    out->times = calloc((size_t)out->frames, sizeof *out->times);
    if (!out->states || !out->times)
        return err_fail_memory(e, (size_t)out->frames * d * sizeof *out->states);
    for (int i = 0; i < out->frames; i++) {
        int from = out->frames == 1 ? w->count - 1
                                    : (int)lround((double)i * (w->count - 1) / (out->frames - 1));
        memcpy(out->states + (size_t)i * d, w->states + (size_t)from * d, d * sizeof *w->states);
        out->times[i] = w->times[from];
    }
    return 0;
}

int figures_film_make(const struct model *m, const struct model_solver *solver,
                      const struct figures_film_start *start, int frames, struct figures_film *out,
                      struct err *e)
{
    const size_t d = model_dimension(m);
    struct model_solver resolved = *solver;
    struct film_path w = {0};
    double *x = calloc(2 * d, sizeof *x);
    struct ode_solver *ode = NULL;
    int result = -1;
    *out = (struct figures_film){0};
    if (!x)
        return err_fail_memory(e, 2 * d * sizeof *x);
    if (model_solver_resolve(m, &resolved, e) == 0 && model_solver_check(m, &resolved, e) == 0)
        ode = ode_solver_new(&resolved.ode, d, e);
    if (ode) {
        model_prior_draw(m, &resolved, start->temperature != 0.0 ? start->temperature : 1.0,
                         start->seed, start->index, x);
        result = keep(&w, d, x, resolved.t_max, e);
        double t = model_solver_begin(m, &resolved, x);
        if (result == 0)
            result = ode_solver_start(ode, x, t, resolved.t_min, e);
        model_solver_noise(m, ode, start->seed, start->index, x + d);
        if (result == 0)
            result = walk(m, ode, start, x + d, &w, e);
        if (result == 0)
            result = choose(&w, d, frames, out, e);
    }
    ode_solver_free(ode);
    free(x);
    free(w.states);
    free(w.times);
    return result;
}

void figures_film_clear(struct figures_film *f)
{
    free(f->states);
    free(f->times);
    *f = (struct figures_film){0};
}
