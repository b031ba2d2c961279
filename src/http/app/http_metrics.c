/* The text writes one family at a time, HELP and TYPE first, so that no name can get a second TYPE
 * and samples of a name stand together. Rows of zero are left out where a family has labels. */
#include "http_metrics.h"

#include "base_log.h"
#include "http_target.h"
#include "jobs.h"

#include <inttypes.h>
#include <string.h>

static const char *const methods[HTTP_METHODS] = {"GET",    "HEAD",    "POST",  "PUT",
                                                  "DELETE", "OPTIONS", "PATCH", "other"};
static const unsigned codes[HTTP_CODES] = {200, 202, 204, 304, 400, 401, 403, 404, 405, 406,
                                           408, 409, 410, 412, 413, 414, 415, 417, 421, 422,
                                           429, 431, 499, 500, 501, 503, 504, 507, 0};

void http_metrics_init(struct http_metrics *m)
{
    memset(m, 0, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
}

void http_metrics_clear(struct http_metrics *m)
{
    pthread_mutex_destroy(&m->lock);
}

/* A failure of accepted work is an answer, and so is an end by its deadline. */
static bool is_refusal(enum http_problem_code problem)
{
    return problem != HTTP_PROBLEM_NONE && problem != HTTP_PROBLEM_INTERNAL &&
           problem != HTTP_PROBLEM_NUMERICAL_FAILURE && problem != HTTP_PROBLEM_DEADLINE_EXCEEDED;
}

void http_metrics_count(struct http_metrics *m, size_t route, const char *method, unsigned status,
                        enum http_problem_code problem, double seconds)
{
    size_t row = 0, column = 0;
    while (row + 1 < HTTP_METHODS && strcmp(method, methods[row]) != 0)
        row++;
    while (column + 1 < HTTP_CODES && codes[column] != status)
        column++;
    pthread_mutex_lock(&m->lock);
    m->requests[route][row][column]++;
    engine_histogram_add(&m->seconds[route], engine_histogram_seconds, seconds);
    if (is_refusal(problem))
        m->rejected[problem]++;
    pthread_mutex_unlock(&m->lock);
}

void http_metrics_reload(struct http_metrics *m, enum http_reload outcome)
{
    pthread_mutex_lock(&m->lock);
    m->reloads[outcome]++;
    pthread_mutex_unlock(&m->lock);
}

int http_metrics_escape(struct buf *out, const char *value, struct err *e)
{
    int result = 0;
    for (const char *c = value; *c && result == 0; c++) {
        const char *escaped = *c == '\\' ? "\\\\" : *c == '"' ? "\\\"" : *c == '\n' ? "\\n" : NULL;
        result = escaped ? buf_string(out, escaped, e) : buf_append(out, c, 1, e);
    }
    return result;
}

/* Where the text goes; the first failure ends the writing. */
struct writer {
    struct buf *out;
    struct err *e;
    const char *name;
    int result;
};

static void family(struct writer *w, const char *name, const char *type, const char *help)
{
    w->name = name;
    w->result =
        w->result != 0 || buf_format(w->out, w->e, "# HELP pfgmd_%s %s\n# TYPE pfgmd_%s %s\n", name,
                                     help, name, type) != 0;
}

/* One sample; labels in pairs of name and value, up to a NULL name. */
static void sample(struct writer *w, const char *suffix, const char *const labels[][2],
                   double value)
{
    if (w->result != 0)
        return;
    int result = buf_format(w->out, w->e, "pfgmd_%s%s", w->name, suffix);
    for (size_t i = 0; labels && labels[i][0] && result == 0; i++) {
        result = buf_format(w->out, w->e, "%s%s=\"", i ? "," : "{", labels[i][0]) != 0 ||
                 http_metrics_escape(w->out, labels[i][1], w->e) != 0 ||
                 buf_string(w->out, "\"", w->e) != 0;
    }
    w->result = result != 0 || buf_format(w->out, w->e, "%s %.17g\n",
                                          labels && labels[0][0] ? "}" : "", value) != 0;
}

static void plain(struct writer *w, const char *name, const char *type, const char *help,
                  double value)
{
    family(w, name, type, help);
    sample(w, "", NULL, value);
}

static void labelled(struct writer *w, const char *label, const char *text, double value)
{
    const char *const labels[][2] = {{label, text}, {NULL, NULL}};
    sample(w, "", labels, value);
}

/* The buckets, the sum and the count of one histogram; bounds that repeat nothing are all shown. */
static void histogram(struct writer *w, const char *label, const char *text, const double *bounds,
                      const struct engine_histogram *h)
{
    uint64_t total = 0;
    for (int i = 0; i <= ENGINE_HISTOGRAM_BOUNDS; i++) {
        char bound[32] = "+Inf";
        if (i < ENGINE_HISTOGRAM_BOUNDS)
            snprintf(bound, sizeof bound, "%g", bounds[i]);
        total += h->counts[i];
        const char *const labels[][2] = {{label ? label : "le", label ? text : bound},
                                         {label ? "le" : NULL, bound},
                                         {NULL, NULL}};
        sample(w, "_bucket", labels, (double)total);
    }
    const char *const labels[][2] = {{label, text}, {NULL, NULL}};
    sample(w, "_sum", labels, h->sum);
    sample(w, "_count", labels, (double)total);
}

static void http_families(struct writer *w, struct http_metrics *m,
                          const struct http_metrics_state *s)
{
    family(w, "http_requests_total", "counter",
           "Requests that have ended, 499 when the client had gone");
    for (size_t r = 0; r < HTTP_ROUTES_MAX; r++)
        for (size_t k = 0; k < HTTP_METHODS; k++)
            for (size_t c = 0; c < HTTP_CODES; c++) {
                char code[12] = "other";
                if (codes[c])
                    snprintf(code, sizeof code, "%u", codes[c]);
                const char *const labels[][2] = {{"route", s->route_labels[r]},
                                                 {"method", methods[k]},
                                                 {"code", code},
                                                 {NULL, NULL}};
                if (m->requests[r][k][c])
                    sample(w, "", labels, (double)m->requests[r][k][c]);
            }
    family(w, "http_request_duration_seconds", "histogram",
           "Time from a request's first byte to the end of its answer");
    for (size_t r = 0; r < HTTP_ROUTES_MAX; r++)
        if (s->route_labels[r] && (m->seconds[r].sum > 0.0))
            histogram(w, "route", s->route_labels[r], engine_histogram_seconds, &m->seconds[r]);
    plain(w, "http_connections", "gauge", "Open connections", (double)s->connections);
    plain(w, "http_requests_open", "gauge", "Requests that have not ended, this one included",
          (double)s->requests);
    family(w, "http_held_bytes", "gauge",
           "Memory of bodies that come in and of answers that wait to be read");
    labelled(w, "kind", "body", (double)s->room.usual);
    labelled(w, "kind", "large_body", (double)s->room.large);
    labelled(w, "kind", "answer", (double)s->room.work);
    labelled(w, "kind", "other_answer", (double)s->room.told);
    family(w, "requests_rejected_total", "counter", "Requests that were refused, by reason");
    for (int p = 0; p < HTTP_PROBLEMS; p++)
        if (is_refusal((enum http_problem_code)p))
            labelled(w, "reason", http_problem_word((enum http_problem_code)p),
                     (double)m->rejected[p]);
    family(w, "model_reloads_total", "counter", "Attempts to load a model anew");
    labelled(w, "outcome", "ok", (double)m->reloads[HTTP_RELOAD_OK]);
    labelled(w, "outcome", "failed", (double)m->reloads[HTTP_RELOAD_FAILED]);
}

static void queue_families(struct writer *w, const struct engine_stats *g)
{
    static const char *const priorities[ENGINE_PRIORITIES] = {"interactive", "batch"};
    static const char *const causes[ENGINE_CAUSES] = {NULL, "client", "deadline", "draining",
                                                      "failure"};
    family(w, "queue_requests", "gauge", "Requests with images that wait");
    for (int p = 0; p < ENGINE_PRIORITIES; p++)
        labelled(w, "priority", priorities[p], (double)g->queued[p].requests);
    family(w, "queue_images", "gauge", "Images that wait for a slot");
    for (int p = 0; p < ENGINE_PRIORITIES; p++)
        labelled(w, "priority", priorities[p], (double)g->queued[p].images);
    plain(w, "queue_capacity_images", "gauge", "Images that may wait", (double)g->queue_images_max);
    family(w, "queue_wait_seconds", "histogram",
           "Time from a request's admission to its first image's begin");
    histogram(w, NULL, NULL, engine_histogram_seconds, &g->queue_wait_s);
    plain(w, "slots", "gauge", "Images that can be live at once", (double)g->slots);
    plain(w, "slots_busy", "gauge", "Live images", (double)g->live_images);
    family(w, "batch_images", "histogram", "Images in one evaluation of the field");
    histogram(w, NULL, NULL, engine_histogram_images, &g->batch_images);
    plain(w, "workers", "gauge", "Threads that compute", g->workers);
    plain(w, "workers_busy", "gauge", "Threads that evaluate right now", g->workers_busy);
    plain(w, "ode_steps_total", "counter", "Solver steps taken", (double)g->steps);
    plain(w, "ode_steps_rejected_total", "counter", "Solver steps tried again with a smaller size",
          (double)g->steps_rejected);
    family(w, "ode_step_duration_seconds", "histogram",
           "Time of one evaluation of a batch and the steps that follow");
    histogram(w, NULL, NULL, engine_histogram_seconds, &g->step_s);
    family(w, "cancellations_total", "counter", "Requests that ended early, by cause");
    for (int c = ENGINE_CAUSE_CLIENT; c < ENGINE_CAUSES; c++)
        labelled(w, "cause", causes[c], (double)g->cancellations[c]);
    plain(w, "worker_last_step_age_seconds", "gauge",
          "Age of the oldest evaluation under way, 0 without one", g->step_age_s);
}

/* Calls `each` for every model, all samples of a family in one go. */
static void for_models(struct writer *w, struct engine *g,
                       void (*each)(struct writer *, struct engine_model *))
{
    for (size_t i = 0;; i++) {
        struct engine_model *em = engine_model_at(g, i);
        if (!em)
            return;
        each(w, em);
        engine_model_release(em);
    }
}

static void model_info(struct writer *w, struct engine_model *em)
{
    const struct model *m = engine_model_get(em);
    const char *const labels[][2] = {{"model", engine_model_name(em)},
                                     {"sha256", model_sha256(m)},
                                     {"kernel", model_kernel_id(m)},
                                     {"precision", model_precision_name(m)},
                                     {NULL, NULL}};
    sample(w, "", labels, 1.0);
}

static void model_loaded(struct writer *w, struct engine_model *em)
{
    labelled(w, "model", engine_model_name(em), (double)engine_model_loaded_at(em));
}

static void model_admitted(struct writer *w, struct engine_model *em)
{
    labelled(w, "model", engine_model_name(em), (double)engine_model_stats_get(em).images_admitted);
}

static void model_images(struct writer *w, struct engine_model *em)
{
    static const char *const outcomes[ENGINE_OUTCOMES] = {"ok", "cancelled", "deadline", "failed",
                                                          "draining"};
    struct engine_model_stats stats = engine_model_stats_get(em);
    for (int i = 0; i < ENGINE_OUTCOMES; i++) {
        const char *const labels[][2] = {
            {"model", engine_model_name(em)}, {"outcome", outcomes[i]}, {NULL, NULL}};
        sample(w, "", labels, (double)stats.images[i]);
    }
}

static void model_seconds(struct writer *w, struct engine_model *em)
{
    struct engine_model_stats stats = engine_model_stats_get(em);
    histogram(w, "model", engine_model_name(em), engine_histogram_seconds, &stats.image_s);
}

static void model_evaluations(struct writer *w, struct engine_model *em)
{
    labelled(w, "model", engine_model_name(em),
             (double)engine_model_stats_get(em).field_evaluations);
}

static void model_families(struct writer *w, struct engine *g)
{
    family(w, "model_info", "gauge", "The models that are served");
    for_models(w, g, model_info);
    family(w, "model_loaded_timestamp_seconds", "gauge", "When a model was put to use");
    for_models(w, g, model_loaded);
    family(w, "images_admitted_total", "counter", "Images that were taken on");
    for_models(w, g, model_admitted);
    family(w, "images_total", "counter", "Images that have ended, by outcome");
    for_models(w, g, model_images);
    family(w, "image_duration_seconds", "histogram", "Time of a finished image in its slot");
    for_models(w, g, model_seconds);
    family(w, "field_evaluations_total", "counter", "Evaluations of the field, one an image");
    for_models(w, g, model_evaluations);
}

static void job_families(struct writer *w, struct jobs *jobs, bool broken)
{
    struct jobs_stats stats;
    struct err e = {0};
    if (!jobs && !broken)
        return;
    const bool is_read = jobs && jobs_stats_get(jobs, &stats, &e) == JOBS_DONE;
    plain(w, "job_store_up", "gauge", "1 while results of jobs can be stored",
          is_read && stats.trouble.code == ERR_NONE);
    if (!is_read)
        return;
    family(w, "jobs", "gauge", "Jobs that are kept, by state");
    for (int state = 0; state < JOBS_STATES; state++)
        labelled(w, "state", jobs_state_word((enum jobs_state)state), (double)stats.jobs[state]);
    plain(w, "job_images_waiting", "gauge",
          "Images of live jobs that can be worked on and were not handed out yet",
          (double)stats.images_waiting);
    plain(w, "jobs_unserved", "gauge",
          "Live jobs whose model, kernel or precision is loaded nowhere", (double)stats.unserved);
    if (stats.replicas > 0)
        plain(w, "job_replicas", "gauge", "Processes that share the store of jobs and work on them",
              (double)stats.replicas);
    plain(w, "job_store_bytes", "gauge", "What the store of jobs takes on its disk",
          (double)stats.store_bytes);
}

int http_metrics_text(struct http_metrics *m, const struct http_metrics_state *s, struct buf *out,
                      struct err *e)
{
    struct writer w = {.out = out, .e = e};
    struct engine_stats stats = engine_stats_get(s->engine);
    family(&w, "build_info", "gauge", "What runs here");
    labelled(&w, "version", s->version, 1.0);
    plain(&w, "log_lines_dropped_total", "counter",
          "Lines of the log that standard error did not take", (double)log_dropped());
    plain(&w, "draining", "gauge", "1 while the process is stopping", s->draining);
    pthread_mutex_lock(&m->lock);
    http_families(&w, m, s);
    pthread_mutex_unlock(&m->lock);
    queue_families(&w, &stats);
    model_families(&w, s->engine);
    job_families(&w, s->jobs, s->jobs_broken);
    return w.result != 0 ? -1 : http_process_text(out, e);
}

/* Whether one of the values of "name[]" is the name; `any` tells whether there are values at all.
 */
static bool is_named(const char *query, const char *name, size_t length, bool *any)
{
    char key[16], value[128];
    size_t at = 0;
    while (http_query_next(query, &at, key, sizeof key, value, sizeof value)) {
        if (strcmp(key, "name[]") != 0)
            continue;
        *any = true;
        if (strlen(value) == length && memcmp(value, name, length) == 0)
            return true;
    }
    return false;
}

void http_metrics_select(const char *query, struct buf *text)
{
    static const char help[] = "# HELP ";
    char *to = (char *)text->data;
    const char *end = to + text->length;
    bool keep = true, any = false;
    for (const char *line = to, *next; line < end; line = next) {
        const char *feed = memchr(line, '\n', (size_t)(end - line));
        next = feed ? feed + 1 : end;
        const char *name = line + sizeof help - 1;
        if (name < next && memcmp(line, help, sizeof help - 1) == 0) { /* a family begins */
            keep = is_named(query, name, strcspn(name, " \n"), &any);
            if (!any)
                return;
        }
        if (keep) {
            memmove(to, line, (size_t)(next - line));
            to += next - line;
        }
    }
    text->length = (size_t)(to - (char *)text->data);
}
