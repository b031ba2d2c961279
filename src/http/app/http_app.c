/* The state of life, and how what the process keeps begins and ends together. */
#include "http_app.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int start_threads(struct http_app *app, void (*suspend)(void *), void (*resume)(void *),
                         struct err *e)
{
    const struct http_options *o = app->options;
    /* The library's own time-out counts silence; these bound what trickles. A head may take as long
     * as a body, after the silence that is allowed before it. An answer may take as long as it
     * likes while its reader takes some of it now and then. */
    const int limits_s[HTTP_PHASES] = {[HTTP_PHASE_HEAD] = o->idle_s + o->read_s,
                                       [HTTP_PHASE_BODY] = o->read_s,
                                       [HTTP_PHASE_SEND] = o->idle_s};
    if (http_wait_start(&app->wait, suspend, resume, limits_s, e) != 0)
        return -1;
    if (http_reader_start(&app->reader, e) == 0)
        return 0;
    http_wait_stop(&app->wait);
    return -1;
}

int http_app_init(struct http_app *app, struct engine *g, const struct http_options *o,
                  void (*suspend)(void *), void (*resume)(void *), struct err *e)
{
    app->engine = g;
    app->options = o;
    atomic_store(&app->state, HTTP_STATE_LOADING);
    app->started_at = (int64_t)time(NULL);
    snprintf(app->loading_what, sizeof app->loading_what, "model 1 of %zu (%s), 0 %%",
             o->model_count, o->model_count ? o->model_names[0] : "");
    if (http_front_read(&app->front, o->public_url, o->hosts, o->trusted_proxies, e) != 0)
        return -1;
    http_keys_init(&app->keys);
    http_links_init(&app->links, o->link_lifetime_s);
    if ((o->keys_file && *o->keys_file && http_keys_read(&app->keys, o->keys_file, e) != 0) ||
        http_links_read(&app->links, o->link_secret, e) != 0 ||
        start_threads(app, suspend, resume, e) != 0) {
        http_keys_clear(&app->keys);
        http_links_clear(&app->links);
        return -1;
    }
    pthread_mutex_init(&app->lock, NULL);
    http_metrics_init(&app->metrics);
    return 0;
}

void http_app_clear(struct http_app *app)
{
    http_wait_stop(&app->wait);
    http_reader_clear(&app->reader);
    http_metrics_clear(&app->metrics);
    http_keys_clear(&app->keys);
    http_links_clear(&app->links);
    pthread_mutex_destroy(&app->lock);
}

void http_app_loading(struct http_app *app, const char *what)
{
    pthread_mutex_lock(&app->lock);
    snprintf(app->loading_what, sizeof app->loading_what, "%s", what);
    pthread_mutex_unlock(&app->lock);
}

void http_app_raise(struct http_app *app, enum http_state state)
{
    int seen = atomic_load(&app->state);
    while (seen < (int)state && !atomic_compare_exchange_weak(&app->state, &seen, (int)state))
        ;
}

static void note_reload(struct http_app *app, size_t model, const char *state, const char *why)
{
    struct http_reload_note *note = &app->reloads[model];
    pthread_mutex_lock(&app->lock);
    snprintf(note->state, sizeof note->state, "%s", state);
    snprintf(note->why, sizeof note->why, "%s", why);
    pthread_mutex_unlock(&app->lock);
}

void http_app_reloading(struct http_app *app, size_t model)
{
    note_reload(app, model, "loading", "");
}

void http_app_reloaded(struct http_app *app, size_t model, const char *why)
{
    /* In this order: who reads the note finds the reload counted. */
    http_metrics_reload(&app->metrics, why ? HTTP_RELOAD_FAILED : HTTP_RELOAD_OK);
    note_reload(app, model, why ? "failed" : "ok", why ? why : "");
}

bool http_app_alive(struct http_app *app, double *age_s)
{
    const int limit = app->options->watchdog_s;
    *age_s = engine_stats_get(app->engine).step_age_s;
    return limit == 0 || *age_s <= limit;
}

int http_app_retry_after(struct http_app *app)
{
    struct engine_stats stats = engine_stats_get(app->engine);
    double slots = stats.slots ? (double)stats.slots : 1.0;
    double seconds = ceil((double)stats.queued_images / slots * stats.recent_image_s);
    if (!(seconds >= 1.0))
        return 1;
    return seconds > 60.0 ? 60 : (int)seconds;
}

int http_app_model(const struct http_app *app, const char *name)
{
    for (size_t i = 0; i < app->options->model_count; i++)
        if (strcmp(app->options->model_names[i], name) == 0)
            return (int)i;
    return -1;
}

int http_app_ready(struct http_app *app, struct http_problem *p)
{
    switch ((enum http_state)atomic_load(&app->state)) {
    case HTTP_STATE_READY:
        return 0;
    case HTTP_STATE_LOADING:
        pthread_mutex_lock(&app->lock);
        http_problem_set(p, HTTP_PROBLEM_LOADING, "loading %s", app->loading_what);
        pthread_mutex_unlock(&app->lock);
        p->retry_after_s = 1;
        return -1;
    case HTTP_STATE_DRAINING:
        break;
    }
    http_problem_set(p, HTTP_PROBLEM_DRAINING,
                     "the server is stopping and takes no new work; another one may");
    p->retry_after_s = 5;
    p->close = true;
    return -1;
}
