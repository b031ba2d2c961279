/* pfgmd: a server of images.
 *
 * The main thread does nothing but live through the states: it opens the socket, starts engine and
 * server (work is answered with 503 "loading" from then on), lets a loader thread bring the models
 * in, and then waits in one poll(2) for the loader's word or a signal. Signals are blocked in every
 * thread and read from a signalfd, so no code ever runs inside a handler. The handlers that are
 * installed besides make sure that nothing is lost when the process is PID 1 of a container, for
 * which the kernel has no default actions.
 *
 * SIGTERM, SIGINT: no new work, what runs and what waits is finished (at most drain_timeout), exit
 * 0. A second one: exit at once. */
#include "base_cpu.h"
#include "daemon_address.h"
#include "daemon_notify.h"
#include "daemon_options.h"
#include "http_server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define BODY_MAX ((size_t)1 << 20)
#define SPARE_FILES 64 /* descriptors for everything but connections */
enum { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_BAD_INPUT = 2 };

struct pfgmd {
    struct daemon_config *config;
    struct engine *engine;
    struct http_server *server;
    const char *names[DAEMON_MODELS_MAX];
    int signals, loaded; /* signalfd, eventfd */
    pthread_t loader;
    _Atomic bool stop_loading;
    struct err load_error; /* the loader's, once `loaded` has spoken */
};

static void fail_line(const struct err *e)
{
    char line[1100];
    log_line(LOG_ERROR, "%s", err_line(e, line, sizeof line));
}

static int load_model(struct pfgmd *d, size_t i, struct err *e)
{
    const struct daemon_model *wanted = &d->config->models[i];
    char what[128];
    int64_t begun = clock_ns();
    snprintf(what, sizeof what, "model %zu of %zu (%s)", i + 1, d->config->model_count,
             wanted->name);
    http_server_loading(d->server, what);
    struct model *m = model_load(wanted->path, &wanted->options, e);
    if (!m)
        return -1;
    struct err own = {0};
    struct engine_model *em = engine_model_add(d->engine, wanted->name, m, &own);
    if (!em)
        return err_fail(e, own.code, wanted->path, "%s%s%s", own.at, own.at[0] ? ": " : "",
                        own.text);
    m = NULL; /* the engine's now */
    const struct model *ready = engine_model_get(em);
    log_line(LOG_INFO, "model %s: %zu parameters, kernel %s, sha256 %s, loaded in %.0f ms",
             wanted->name, model_parameters(ready), model_kernel_id(ready), model_sha256(ready),
             (double)(clock_ns() - begun) / 1e6);
    return 0;
}

static void *load_models(void *context)
{
    struct pfgmd *d = context;
    const uint64_t one = 1;
    for (size_t i = 0; i < d->config->model_count && !atomic_load(&d->stop_loading); i++)
        if (load_model(d, i, &d->load_error) != 0)
            break;
    if (write(d->loaded, &one, sizeof one) != (ssize_t)sizeof one)
        log_line(LOG_ERROR, "the loader cannot report: %s", strerror(errno));
    return NULL;
}

static void ignore_signal(int number)
{
    (void)number; /* never runs: the signals are blocked and read from the signalfd */
}

static int take_signals(struct err *e)
{
    sigset_t set;
    struct sigaction action = {.sa_handler = ignore_signal};
    sigemptyset(&set);
    const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaddset(&set, numbers[i]);
        sigaction(numbers[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd >= 0 ? fd : err_fail_errno(e, errno, "signals", "open a signalfd");
}

/* The next pending SIGTERM or SIGINT, or 0. */
static int next_stop_signal(struct pfgmd *d)
{
    struct signalfd_siginfo info;
    while (read(d->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGHUP)
            return (int)info.ssi_signo;
        log_line(LOG_WARN, "SIGHUP: settings and models are read at start only; restart to change "
                           "them");
    }
    return 0;
}

/* Connections must never run out of descriptors: an accept that fails for want of one is tried
 * again at once, for ever. */
static void fit_connections(struct daemon_config *c)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur == RLIM_INFINITY || (rlim_t)c->connections + SPARE_FILES <= limit.rlim_cur)
        return;
    rlim_t spare = limit.rlim_cur > 2 * SPARE_FILES ? SPARE_FILES : limit.rlim_cur / 2;
    int room = (int)(limit.rlim_cur - spare);
    log_line(LOG_WARN,
             "%d connections need more file descriptors than the limit of %llu; taking %d",
             c->connections, (unsigned long long)limit.rlim_cur, room);
    c->connections = room;
}

static int start(struct pfgmd *d, struct err *e)
{
    struct daemon_config *c = d->config;
    struct daemon_address address;
    char shown[256];
    if (daemon_address_parse(c->listen, &address, e) != 0)
        return EXIT_BAD_INPUT;
    fit_connections(c);
    d->signals = take_signals(e);
    d->loaded = eventfd(0, EFD_CLOEXEC);
    if (d->signals < 0 || d->loaded < 0)
        return EXIT_FAILED;
    int fd = daemon_address_listen(&address, shown, sizeof shown, e);
    if (fd < 0)
        return EXIT_FAILED;
    const struct engine_options engine = {c->workers, c->batch, (size_t)c->queue};
    d->engine = engine_new(&engine, e);
    if (!d->engine) {
        close(fd);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < c->model_count; i++)
        d->names[i] = c->models[i].name;
    const struct http_options http = {.listen_fd = fd,
                                      .n_max = (size_t)c->n_max,
                                      .body_max = BODY_MAX,
                                      .queue_images_max = (size_t)c->queue,
                                      .connections = c->connections,
                                      .threads = c->http_threads,
                                      .idle_s = c->idle_timeout,
                                      .read_s = c->read_timeout,
                                      .model_names = d->names,
                                      .model_count = c->model_count};
    d->server = http_server_start(d->engine, &http, e);
    if (!d->server)
        return EXIT_FAILED;
    log_line(LOG_INFO, "pfgmd %s, %d workers, batches of %d", PFGMD_VERSION,
             engine_workers(d->engine), engine_batch(d->engine));
    log_line(LOG_INFO, "listening on %s", shown);
    return EXIT_STOPPED;
}

/* After SIGTERM: until nothing is queued or live, the time is up, or the second signal. */
static void drain(struct pfgmd *d, int timeout_s)
{
    http_server_drain(d->server);
    engine_drain(d->engine);
    daemon_notify_stopping();
    log_line(LOG_INFO, "stopping: no new work, finishing what runs for at most %d s", timeout_s);
    int64_t end = clock_ns() + (int64_t)timeout_s * 1000000000;
    while (!engine_wait_empty(d->engine, 50)) {
        int number = next_stop_signal(d);
        if (number) {
            log_line(LOG_WARN, "second signal: exit at once");
            _exit(128 + number);
        }
        if (clock_ns() < end)
            continue;
        log_line(LOG_WARN, "the time to finish is up: the rest is cancelled");
        engine_cancel_all(d->engine);
        engine_wait_empty(d->engine, 700);
        break;
    }
    http_server_wait_idle(d->server, 300);
}

/* Serves until a signal or a failed load; the exit code. */
static int serve(struct pfgmd *d, bool *loading)
{
    struct pollfd watch[2] = {{.fd = d->signals, .events = POLLIN},
                              {.fd = d->loaded, .events = POLLIN}};
    for (;;) {
        if (*loading)
            daemon_notify_loading("models");
        if (poll(watch, 2, *loading ? 5000 : -1) < 0 && errno != EINTR) {
            log_line(LOG_ERROR, "poll: %s", strerror(errno));
            return EXIT_FAILED;
        }
        if (next_stop_signal(d)) {
            drain(d, d->config->drain_timeout);
            return EXIT_STOPPED;
        }
        if (!*loading || !(watch[1].revents & POLLIN))
            continue;
        pthread_join(d->loader, NULL);
        *loading = false;
        watch[1].fd = -1;
        if (d->load_error.code != ERR_NONE) {
            fail_line(&d->load_error);
            return EXIT_BAD_INPUT;
        }
        http_server_ready(d->server);
        daemon_notify_ready();
        log_line(LOG_INFO, "ready");
    }
}

/* A model that is half loaded cannot be interrupted; nothing that lasts depends on it. */
static void end_loader(struct pfgmd *d, int code)
{
    struct timespec until;
    atomic_store(&d->stop_loading, true);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    if (pthread_timedjoin_np(d->loader, NULL, &until) == 0)
        return;
    pthread_detach(d->loader);
    _exit(code);
}

static int run(struct daemon_config *config)
{
    struct pfgmd d = {.config = config, .signals = -1, .loaded = -1};
    struct err e = {0};
    bool loading = false;
    int code = start(&d, &e);
    if (code == EXIT_STOPPED) {
        int failed = pthread_create(&d.loader, NULL, load_models, &d);
        loading = failed == 0;
        if (failed) {
            err_fail_errno(&e, failed, "loader", "start a thread");
            code = EXIT_FAILED;
        }
    }
    if (code == EXIT_STOPPED)
        code = serve(&d, &loading);
    else
        fail_line(&e);
    if (d.engine) {
        engine_drain(d.engine);
        engine_cancel_all(d.engine);
    }
    if (loading)
        end_loader(&d, code); /* it speaks to the server, so it goes first */
    http_server_stop(d.server);
    if (d.engine)
        engine_free(d.engine);
    if (d.signals >= 0)
        close(d.signals);
    if (d.loaded >= 0)
        close(d.loaded);
    return code;
}

static int probe(const char *text, struct err *e)
{
    struct daemon_address address;
    if (daemon_address_parse(text, &address, e) != 0)
        return EXIT_BAD_INPUT;
    return daemon_address_probe(&address, e) == 0 ? EXIT_STOPPED : EXIT_FAILED;
}

static int check(const struct daemon_config *config, struct err *e)
{
    struct daemon_address address;
    if (daemon_address_parse(config->listen, &address, e) != 0)
        return EXIT_BAD_INPUT;
    for (size_t i = 0; i < config->model_count; i++)
        if (access(config->models[i].path, R_OK) != 0) {
            err_fail_errno(e, errno, config->models[i].path, "read the model");
            return EXIT_BAD_INPUT;
        }
    printf("the settings are good: %zu models, listening on %s\n", config->model_count,
           config->listen);
    return EXIT_STOPPED;
}

int main(int argc, char **argv)
{
    static struct daemon_options options; /* large, and as long as the process */
    struct err e = {0};
    int code = EXIT_BAD_INPUT;
    if (daemon_options_read(&options, argc, argv, &e) == 0) {
        log_set_level(options.config.log_level);
        switch (options.action) {
        case DAEMON_RUN:
            code = run(&options.config);
            break;
        case DAEMON_CHECK:
            code = check(&options.config, &e);
            break;
        case DAEMON_HEALTH:
            code = probe(options.health, &e);
            break;
        case DAEMON_VERSION:
            code = printf("pfgmd %s\n", PFGMD_VERSION) < 0;
            break;
        case DAEMON_HELP:
            code = fputs(daemon_usage, stdout) < 0;
            break;
        }
    }
    char line[1100];
    if (e.code != ERR_NONE)
        fprintf(stderr, "pfgmd: %s\n", err_line(&e, line, sizeof line));
    daemon_config_clear(&options.config);
    return code;
}
