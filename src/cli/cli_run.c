/* Running one request on the main thread. */
#include "cli_run.h"

#include "cli.h"
#include "cli_progress.h"
#include "base_cpu.h"
#include "base_log.h"

#include <inttypes.h>
#include <string.h>

#define WAIT_MS 250

int cli_run_open(struct cli_run *r, struct model *m, int64_t workers, size_t images, struct err *e)
{
    const struct engine_options options = {.workers = (int)workers, .queue_images_max = images};
    *r = (struct cli_run){.engine = engine_new(&options, e)};
    if (!r->engine) {
        model_free(m);
        return -1;
    }
    r->model = engine_model_add(r->engine, "model", m, e);
    return r->model ? 0 : -1;
}

void cli_run_clear(struct cli_run *r)
{
    engine_free(r->engine);
    *r = (struct cli_run){0};
}

/* The request's error in the user's terms. Whatever it was, the input was right and the run failed,
 * so it is no ERR_LIMIT (which would mean exit 2). */
static int fail_request(const struct engine_order *order, const struct err *why, struct err *e)
{
    static const char prefix[] = "/images/";
    enum err_code code = why->code == ERR_LIMIT ? ERR_NUMERIC : why->code;
    uint64_t i;
    if (strncmp(why->at, prefix, sizeof prefix - 1) != 0 ||
        cli_parse_u64("", why->at + sizeof prefix - 1, &i, NULL) != 0)
        return err_fail(e, code, why->at, "%s", why->text);
    return err_fail(e, code, "", "image %" PRIu64 " (seed %" PRIu64 ", index %" PRIu64 "): %s", i,
                    order->seed, order->first_index + i, why->text);
}

int cli_run_check(const struct cli_run *r, const struct engine_order *order, struct err *e)
{
    struct err why = {0};
    return engine_check(order, &why) == 0 ? 0 : cli_fail_field(&why, r->steps, e);
}

struct engine_request *cli_run_order(struct cli_run *r, const struct engine_order *order,
                                     struct err *e)
{
    struct engine_request *request = NULL;
    struct cli_progress progress;
    char warning[MODEL_WARNING_MAX];
    int64_t begun = clock_ns();
    struct err unfit = {0};
    if (engine_submit(r->engine, order, &request, &unfit) != 0) {
        cli_fail_field(&unfit, r->steps, e);
        return NULL;
    }
    if (order->task == ENGINE_TASK_SAMPLE &&
        model_solver_warning(engine_model_get(order->model), &order->solver, warning,
                             sizeof warning))
        log_line(LOG_WARN, "%s", warning);
    cli_progress_begin(&progress);
    while (!engine_request_wait(request, WAIT_MS)) {
        struct engine_progress now = engine_request_progress(request);
        cli_progress_draw(&progress, &now);
    }
    cli_progress_end(&progress);
    r->seconds = (double)(clock_ns() - begun) * 1e-9;
    const struct err *why = engine_request_error(request);
    if (!why)
        return request;
    fail_request(order, why, e);
    engine_request_free(request);
    return NULL;
}

int cli_run_class(const struct model *m, const char *word, struct engine_class *out, struct err *e)
{
    struct err why = {0};
    return !word || engine_class_parse(m, word, out, &why) == 0 ? 0
                                                                : err_rename(e, &why, "--class");
}

int cli_run_temperature(const char *word, double *out, struct err *e)
{
    if (cli_parse_real("--temperature", word, out, e) != 0)
        return -1;
    return *out >= ENGINE_TEMPERATURE_MIN && *out <= ENGINE_TEMPERATURE_MAX
               ? 0
               : err_fail(e, ERR_INPUT, "--temperature", "must be %g to %g, is %s",
                          ENGINE_TEMPERATURE_MIN, ENGINE_TEMPERATURE_MAX, word);
}
