/* Exact paths, and distances from their ends. */
#include "bench_paths.h"

#include "cli_progress.h"
#include "base_size.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_TOLERANCE 1e-6
#define EXACT_NFE_MAX 100000
#define WAIT_MS 250

/* Solves all starts; the request is finished well, or NULL. A bar is drawn under a title. */
static struct engine_request *solve(const struct bench_paths *p, const struct model_solver *solver,
                                    const char *title, struct err *e)
{
    const struct engine_order order = {.model = p->em,
                                       .seed = p->seed,
                                       .first_index = p->first_index,
                                       .n = p->n,
                                       .solver = *solver,
                                       .output = ENGINE_OUTPUT_SAMPLE};
    struct engine_request *r = NULL;
    struct cli_progress progress;
    if (engine_submit(p->engine, &order, &r, e) != 0)
        return NULL;
    if (title)
        cli_progress_begin(&progress);
    while (!engine_request_wait(r, WAIT_MS)) {
        struct engine_progress now = engine_request_progress(r);
        if (title)
            cli_progress_draw(&progress, &now);
    }
    if (title)
        cli_progress_end(&progress);
    const struct err *why = engine_request_error(r);
    if (!why)
        return r;
    err_pass(e, why);
    engine_request_free(r);
    return NULL;
}

static int solve_exact(struct bench_paths *p, const char *title, struct err *e)
{
    const struct model_choice choice = {.given = MODEL_GIVEN(METHOD) | MODEL_GIVEN(RTOL) |
                                                 MODEL_GIVEN(ATOL) | MODEL_GIVEN(MAX_NFE),
                                        .value.ode = {.method = ODE_RK45,
                                                      .rtol = EXACT_TOLERANCE,
                                                      .atol = EXACT_TOLERANCE,
                                                      .max_nfe = EXACT_NFE_MAX}};
    struct model_solver solver;
    size_t values, bytes;
    if (!size_mul(p->n, p->d, &values) || !size_mul(values, sizeof(float), &bytes))
        return err_fail(e, ERR_LIMIT, "--starts", "%zu starts of %zu values are too many", p->n,
                        p->d);
    p->exact = malloc(bytes);
    if (!p->exact)
        return err_fail_memory(e, bytes);
    if (model_solver_choose(engine_model_get(p->em), &choice, &solver, e) != 0)
        return -1;
    struct engine_request *r = solve(p, &solver, title, e);
    if (!r)
        return -1;
    for (size_t i = 0; i < p->n; i++) {
        const struct engine_image *image = engine_request_image(r, i);
        memcpy(p->exact + i * p->d, image->sample, p->d * sizeof(float));
        p->exact_nfe += (double)image->counts.nfe / (double)p->n;
    }
    engine_request_free(r);
    return 0;
}

int bench_paths_open(struct bench_paths *p, struct model *m, size_t n, uint64_t seed,
                     const char *title, struct err *e)
{
    const struct engine_options options = {.queue_images_max = n};
    *p = (struct bench_paths){.n = n, .d = model_dimension(m), .seed = seed};
    p->engine = engine_new(&options, e);
    if (!p->engine) {
        model_free(m);
        return -1;
    }
    p->em = engine_model_add(p->engine, "model", m, e);
    return p->em ? solve_exact(p, title, e) : -1;
}

int bench_paths_open_beside(struct bench_paths *p, const struct bench_paths *from,
                            uint64_t first_index, const char *title, struct err *e)
{
    *p = *from;
    p->first_index = first_index;
    p->exact = NULL;
    p->exact_nfe = 0;
    int result = solve_exact(p, title, e);
    p->engine = result == 0 ? p->engine : NULL;
    return result;
}

void bench_paths_clear(struct bench_paths *p)
{
    free(p->exact);
    /* the starts at index 0 are the owner's */
    if (p->first_index == 0)
        engine_free(p->engine);
}

/* Root mean square distance of n rows of d values from their mean, of which `sum` [d] and the sum
 * of all squares are known. */
static double spread_of(const double *sum, double squares, size_t n, size_t d)
{
    for (size_t j = 0; j < d; j++)
        squares -= sum[j] * sum[j] / (double)n;
    return sqrt(fmax(squares, 0.0) / ((double)n * (double)d));
}

int bench_paths_distance(const struct bench_paths *p, const struct model_solver *solver,
                         struct bench_distance *out, struct err *e)
{
    struct engine_request *r = solve(p, solver, NULL, e);
    double *sums = calloc(2 * p->d, sizeof *sums), *exact_sums = sums ? sums + p->d : NULL;
    double squares = 0.0, exact_squares = 0.0;
    *out = (struct bench_distance){0};
    if (r && !sums)
        err_fail_memory(e, 2 * p->d * sizeof *sums);
    for (size_t i = 0; i < p->n && r && sums; i++) {
        const struct engine_image *image = engine_request_image(r, i);
        double square = 0.0;
        for (size_t j = 0; j < p->d; j++) {
            double got = (double)image->sample[j], want = (double)p->exact[i * p->d + j];
            square += (got - want) * (got - want);
            sums[j] += got;
            squares += got * got;
            exact_sums[j] += want;
            exact_squares += want * want;
        }
        out->rms += square / ((double)p->d * (double)p->n);
        out->mean += sqrt(square / (double)p->d) / (double)p->n;
        out->nfe += (double)image->counts.nfe;
    }
    int result = r && sums ? 0 : -1;
    if (result == 0)
        out->spread =
            spread_of(sums, squares, p->n, p->d) - spread_of(exact_sums, exact_squares, p->n, p->d);
    free(sums);
    engine_request_free(r);
    out->rms = sqrt(out->rms);
    out->nfe /= (double)p->n;
    return result;
}

int bench_paths_mean(const struct model *m, size_t n, uint64_t seed, float *mean, struct err *e)
{
    const size_t d = model_dimension(m);
    const struct model_solver solver = model_solver_default(m);
    const size_t classes = model_null_class(m) ? 0 : (size_t)model_class_count(m);
    struct model_workspace *ws = model_workspace_new(m, 1, e);
    double *x = ws ? calloc(3 * d, sizeof *x) : NULL;
    if (ws && !x)
        err_fail_memory(e, 3 * d * sizeof *x);
    for (size_t i = 0; i < n && x; i++) {
        double *slope = x + d, *sum = slope + d;
        const struct model_query q = {.x = x,
                                      .t = solver.t_max,
                                      .form = ODE_SLOPE_DLNT,
                                      .label = classes ? (int32_t)(i % classes) : MODEL_CLASS_NONE,
                                      .slope = slope};
        model_prior_draw(m, &solver, 1.0, seed, i, x);
        model_slopes(m, ws, 1, &q);
        for (size_t j = 0; j < d; j++) {
            sum[j] += x[j] - slope[j];
            mean[j] = (float)(sum[j] / (double)(i + 1));
        }
    }
    int result = x ? 0 : -1;
    model_workspace_free(ws);
    free(x);
    return result;
}
