/* Reading a checkpoint and warming it up takes seconds to minutes and happens beside everything
 * else; only the exchange of the new for the old takes the engine's lock. */
#include "daemon_models.h"

#include "base_cpu.h"
#include "daemon_memory.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define END_MS 1000

/* Whether it is the file that the configuration means. */
static int check_pin(const struct daemon_model *wanted, const struct model *m, struct err *e)
{
    if (!wanted->sha256[0] || strcmp(wanted->sha256, model_sha256(m)) == 0)
        return 0;
    return err_fail(e, ERR_INPUT, wanted->path,
                    "is not the file that sha256 of [model %s] names: its SHA-256 is %s",
                    wanted->name, model_sha256(m));
}

/* Tells those who wait what is being loaded, and how much of all models' bytes has been. Reading a
 * model and warming it up count as halves. */
static void say_loading(const struct daemon_models *d, size_t model, double share)
{
    const struct daemon_config *c = d->config;
    double before = 0.0, all = 0.0;
    char what[128];
    for (size_t i = 0; i < c->model_count; i++) {
        struct stat st;
        const double size =
            stat(c->models[i].path, &st) == 0 && st.st_size > 0 ? (double)st.st_size : 1.0;
        before += i < model ? size : i == model ? share * size : 0.0;
        all += size;
    }
    snprintf(what, sizeof what, "model %zu of %zu (%s), %d %%", model + 1, c->model_count,
             c->models[model].name, (int)(100.0 * before / all));
    http_server_loading(d->server, what);
}

/* Loads one model into the engine, in the place of the one of its name if there is one. */
static int load_model(struct daemon_models *d, size_t i, struct err *e)
{
    const struct daemon_model *wanted = &d->config->models[i];
    int64_t begun = clock_ns();
    struct model *m = model_load(wanted->path, &wanted->options, e);
    if (!m || check_pin(wanted, m, e) != 0) {
        model_free(m);
        return -1;
    }
    if (!d->again)
        say_loading(d, i, 0.5);
    struct err why = {0};
    struct engine_model *em = d->again ? engine_model_replace(d->engine, wanted->name, m, &why)
                                       : engine_model_add(d->engine, wanted->name, m, &why);
    if (!em)
        return err_within(e, &why, wanted->path);
    em = engine_model_find(d->engine, wanted->name); /* held while it is looked at */
    const struct model *ready = engine_model_get(em);
    log_line(LOG_INFO, "model %s: %zu parameters, kernel %s, sha256 %s, loaded in %.0f ms",
             wanted->name, model_parameters(ready), model_kernel_id(ready), model_sha256(ready),
             (double)(clock_ns() - begun) / 1e6);
    engine_model_release(em);
    return 0;
}

static void say_done(const struct daemon_models *d)
{
    const uint64_t one = 1;
    if (write(d->done, &one, sizeof one) != (ssize_t)sizeof one)
        log_line(LOG_ERROR, "the loader cannot report: %s", strerror(errno));
}

static void *load_all(void *context)
{
    struct daemon_models *d = context;
    for (size_t i = 0; i < d->config->model_count && !atomic_load(&d->stop); i++) {
        say_loading(d, i, 0.0);
        if (load_model(d, i, &d->error) != 0)
            break;
    }
    say_done(d);
    return NULL;
}

static void *load_wanted(void *context)
{
    struct daemon_models *d = context;
    for (size_t i = 0; i < d->config->model_count && !atomic_load(&d->stop); i++) {
        struct err e = {0};
        char line[1100];
        if (!atomic_exchange(&d->wanted[i], false))
            continue;
        http_server_reloading(d->server, i);
        bool failed = load_model(d, i, &e) != 0;
        if (failed)
            log_line(LOG_ERROR, "model %s is not replaced, the old one stays: %s",
                     d->config->models[i].name, err_line(&e, line, sizeof line));
        http_server_reloaded(d->server, i, failed ? err_line(&e, line, sizeof line) : NULL);
    }
    /* This thread ends; what it has freed stays in its part of the heap, which others may never
     * use. With each reload the process would hold more. */
    daemon_memory_give_back();
    say_done(d);
    return NULL;
}

static int start(struct daemon_models *m, void *(*run)(void *), struct err *e)
{
    int code = pthread_create(&m->thread, NULL, run, m);
    if (code != 0)
        return err_fail_errno(e, code, "loader", "start a thread");
    m->running = true;
    return 0;
}

int daemon_models_load(struct daemon_models *m, struct err *e)
{
    m->again = false;
    return start(m, load_all, e);
}

int daemon_models_reload(struct daemon_models *m, struct err *e)
{
    bool any = false;
    for (size_t i = 0; i < m->config->model_count; i++)
        any = any || atomic_load(&m->wanted[i]);
    if (!any || m->running)
        return 0;
    m->again = true;
    return start(m, load_wanted, e);
}

void daemon_models_join(struct daemon_models *m)
{
    uint64_t count;
    pthread_join(m->thread, NULL);
    m->running = false;
    if (read(m->done, &count, sizeof count) < 0 && errno != EAGAIN)
        log_line(LOG_ERROR, "the loader's report cannot be read: %s", strerror(errno));
}

bool daemon_models_end(struct daemon_models *m)
{
    struct pollfd said = {.fd = m->done, .events = POLLIN};
    if (!m->running)
        return true;
    atomic_store(&m->stop, true);
    if (poll(&said, 1, END_MS) <= 0) {
        pthread_detach(m->thread);
        return false;
    }
    daemon_models_join(m);
    return true;
}
