/* Measuring how long a step takes with each network that the plan may choose, smallest first, until
 * one is too slow for the time. What is measured are steps as the run takes them, with the data and
 * the objective. */
#include "train_minutes.h"
#include "base_cpu.h"
#include "train_work.h"
#include <math.h>

#define PROBE_SECONDS 0.4  /* of one network, after a first step, */
#define PROBES_SECONDS 2.5 /* and of all, */
#define PROBES_SHARE 0.1   /* but no more of the run than this */
#define PROBE_BATCH_MIN 8
#define PROBE_BATCH_MAX 64
#define SHEET_EVALUATIONS 36
#define EVALUATIONS_OF_STEP                                                                        \
    3 /* that take as long as an image of a step: forward once, back twice */

/* A configuration from the object that a file would hold. */
static int config_of(const json_t *object, const char *what, struct train_config *out,
                     struct err *e)
{
    struct buf text;
    buf_init(&text, TRAIN_CONFIG_BYTES_MAX);
    int result = json_append(&text, object, 0, e);
    if (result == 0)
        result = train_config_read((const char *)text.data, text.length, what, out, e);
    buf_clear(&text);
    return result;
}

static double seconds_since(int64_t ns)
{
    return (double)(clock_ns() - ns) * 1e-9;
}

/* The first step also finds caches and memory cold, so it counts only where there is no other. */
static int time_steps(struct train_work *w, double *step_seconds, struct err *e)
{
    int64_t begun = clock_ns();
    if (train_work_step(w, e) != 0)
        return -1;
    *step_seconds = seconds_since(begun);
    begun = clock_ns();
    for (int steps = 1; *step_seconds < PROBE_SECONDS && seconds_since(begun) < PROBE_SECONDS;
         steps++) {
        if (train_work_step(w, e) != 0)
            return -1;
        *step_seconds = seconds_since(begun) / steps;
    }
    return 0;
}

static int probe(const struct train_minutes_options *o, const json_t *candidate,
                 double *image_seconds, struct err *e)
{
    struct train_config c;
    struct train_work w = {0};
    double step_seconds = 0;
    if (config_of(candidate, o->what, &c, e) != 0)
        return -1;
    const struct train_work_options options = {
        .config = &c, .data = o->data, .kernel = o->kernel, .threads = o->threads};
    int result =
        train_config_resolve(&c, o->data, o->what, e) != 0 ||
                train_config_classes(&c, o->data, o->path, e) != 0 ||
                train_state_allocate(&w.state, nn_arch_scalars(&c.arch), false, 0, e) != 0 ||
                train_work_open(&w, &options, e) != 0 || train_work_begin(&w, NULL, e) != 0 ||
                time_steps(&w, &step_seconds, e) != 0
            ? -1
            : 0;
    *image_seconds = step_seconds / (double)c.batch;
    train_work_clear(&w);
    train_config_clear(&c);
    return result;
}

/* Small, so that even a large network takes a step soon, and enough for all threads. */
static int64_t probe_batch(int threads)
{
    return threads < PROBE_BATCH_MIN / 2   ? PROBE_BATCH_MIN
           : threads > PROBE_BATCH_MAX / 2 ? PROBE_BATCH_MAX
                                           : 2 * threads;
}

static int measure(const struct train_minutes_options *o, const json_t *given, struct train_plan *p,
                   struct err *e)
{
    const bool vectors = o->data->values != NULL;
    const int64_t begun = clock_ns();
    const double most = fmin(PROBES_SECONDS, PROBES_SHARE * o->total);
    p->given = train_plan_network_given(given, vectors);
    do {
        json_t *candidate = train_plan_candidate(p, given, vectors, p->given ? -1 : p->measured,
                                                 probe_batch(o->threads), e);
        if (!candidate)
            return -1;
        int result = probe(o, candidate, &p->image_seconds[p->measured], e);
        json_decref(candidate);
        if (result)
            return -1;
        p->measured++;
    } while (train_plan_goes_on(p) && seconds_since(begun) < most);
    return 0;
}

static int plan_from(const struct train_minutes_options *o, const json_t *given,
                     struct train_plan *p, struct train_config *out, struct err *e)
{
    const double deviation = json_number_value(json_object_get(given, "sigma_data"));
    *p = (struct train_plan){
        .seconds = o->total - seconds_since(o->begun_ns),
        .log_sigma_mean =
            train_plan_noise_mean(deviation > 0 ? deviation : train_config_deviation(o->data)),
        .sheet = (double)o->sheet_images * SHEET_EVALUATIONS / EVALUATIONS_OF_STEP};
    if (measure(o, given, p, e) != 0)
        return -1;
    p->seconds = o->total - seconds_since(o->begun_ns);
    if (train_plan_decide(p, json_integer_value(json_object_get(given, "batch")), e) != 0)
        return -1;
    json_t *chosen = train_plan_config(p, given, o->data->values != NULL, e);
    int result = chosen ? config_of(chosen, o->what, out, e) : -1;
    json_decref(chosen);
    return result;
}

int train_minutes_plan(const struct train_minutes_options *o, const char *text, size_t length,
                       struct train_plan *plan, struct train_config *out, struct err *e)
{
    /* What is wrong with the given one is said before anything is measured. */
    if (train_config_read(text, length, o->what, out, e) != 0)
        return -1;
    train_config_clear(out);
    json_t *given = text ? json_parse(text, length, o->what, e) : json_object();
    if (!given)
        return text ? -1 : err_fail_memory(e, 256);
    int result = train_plan_check(given, o->what, e) != 0 ? -1 : plan_from(o, given, plan, out, e);
    json_decref(given);
    return result;
}
