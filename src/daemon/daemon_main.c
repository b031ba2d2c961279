/* pfgmd: a server of images.
 *
 * The main thread does nothing but live through the states: it opens the sockets, starts engine and
 * server (work is answered with 503 "loading" from then on), lets a loader thread bring the models
 * in, and then waits in one poll(2) for the loader's word, a signal, or a call from the admin
 * listener. Signals are blocked in every
 * thread and read from a signalfd, so no code ever runs inside a handler. The handlers that are
 * installed besides make sure that nothing is lost when the process is PID 1 of a container, for
 * which the kernel has no default actions. The log is written by a thread of its own, so that
 * nobody who reads it can hold the daemon up.
 *
 * SIGHUP: settings, keys, certificate and models are read again, and what is good takes the place
 * of the old. SIGTERM, SIGINT: no new work, what runs and what waits is finished (at most
 * drain_timeout), exit 0. A second one: exit at once, with 128 + its number. */
#include "base_cpu.h"
#include "base_file.h"
#include "daemon_address.h"
#include "daemon_check.h"
#include "daemon_memory.h"
#include "daemon_models.h"
#include "daemon_notify.h"
#include "daemon_options.h"
#include "http_keys.h"
#include "http_link.h"
#include "http_server.h"
#include "jobs.h"

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
#define GIVE_BACK_MS 60000 /* between two returns of free memory */
#define SPARE_FILES 64     /* descriptors for everything but connections */
#define LOG_FLUSH_MS 300   /* for the last lines, at the end */
#define STOP_SPARE_S 10    /* for what follows the drain */
enum { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_BAD_INPUT = 2 };

struct pfgmd {
    int argc;
    char **argv;
    struct daemon_config *config;
    struct engine *engine;
    struct jobs *jobs;       /* NULL: there are none, */
    char jobs_trouble[1100]; /* and why, if there should be */
    struct http_server *server;
    const char *names[DAEMON_MODELS_MAX];
    int signals; /* signalfd */
    int called;  /* eventfd: the admin listener wants something */
    _Atomic bool drain_wanted;
    int connections; /* that the descriptors allow */
    bool admin;      /* its socket lies in the file system */
    bool loading, hangup;
    struct daemon_models models;
    struct buf certificate, key;
};

static void fail_line(const struct err *e)
{
    char line[1100];
    log_line(LOG_ERROR, "%s", err_line(e, line, sizeof line));
}

static void call_main(struct pfgmd *d)
{
    const uint64_t one = 1;
    if (write(d->called, &one, sizeof one) != (ssize_t)sizeof one)
        log_line(LOG_ERROR, "the main thread cannot be called: %s", strerror(errno));
}

static void on_drain(void *context)
{
    struct pfgmd *d = context;
    atomic_store(&d->drain_wanted, true);
    call_main(d);
}

static void on_reload(void *context, size_t model)
{
    struct pfgmd *d = context;
    http_server_reloading(d->server, model); /* who asked must not find the last reload's outcome */
    atomic_store(&d->models.wanted[model], true);
    call_main(d);
}

static void ignore_signal(int number)
{
    (void)number; /* never runs: the signals are blocked and read from the signalfd */
}

static void stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

/* A signal that comes before the daemon can obey it waits until then; nothing is lost, and a stop
 * is a stop from the first instruction on. */
static void hold_signals(int how)
{
    sigset_t set;
    stop_signals(&set);
    pthread_sigmask(how, &set, NULL);
}

static int take_signals(struct err *e)
{
    sigset_t set;
    struct sigaction action = {.sa_handler = ignore_signal};
    stop_signals(&set);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd >= 0 ? fd : err_fail_errno(e, errno, "signals", "open a signalfd");
}

/* The next pending SIGTERM or SIGINT, or 0. A SIGHUP is noted for later. */
static int next_stop_signal(struct pfgmd *d)
{
    struct signalfd_siginfo info;
    while (read(d->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGHUP)
            return (int)info.ssi_signo;
        d->hangup = true;
    }
    return 0;
}

/* How many connections there may be: they must never run out of descriptors, as an accept that
 * fails for want of one is tried again at once, for ever. */
static int fit_connections(const struct daemon_config *c)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return c->connections;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur == RLIM_INFINITY || (rlim_t)c->connections + SPARE_FILES <= limit.rlim_cur)
        return c->connections;
    rlim_t spare = limit.rlim_cur > 2 * SPARE_FILES ? SPARE_FILES : limit.rlim_cur / 2;
    int room = (int)(limit.rlim_cur - spare);
    log_line(LOG_WARN,
             "%d connections need more file descriptors than the limit of %llu; taking %d",
             c->connections, (unsigned long long)limit.rlim_cur, room);
    return room;
}

static int open_sockets(const struct daemon_config *c, char *shown, size_t size, int *admin,
                        struct err *e)
{
    struct daemon_address address;
    struct err why = {0};
    *admin = -1;
    int fd = daemon_notify_socket(&why);
    if (why.code != ERR_NONE) {
        *e = why;
        return -1;
    }
    if (fd >= 0)
        snprintf(shown, size, "the socket that was handed over");
    else if (daemon_address_parse(c->listen, &address, e) == 0)
        fd = daemon_address_listen(&address, shown, size, e);
    if (fd < 0 || !c->admin[0])
        return fd;
    *admin = daemon_address_listen_unix(c->admin, e);
    if (*admin >= 0)
        return fd;
    close(fd);
    return -1;
}

static struct http_options http_options_of(struct pfgmd *d, int fd, int admin)
{
    const struct daemon_config *c = d->config;
    return (struct http_options){
        .listen_fd = fd,
        .admin_fd = admin,
        .n_max = (size_t)c->n_max,
        .timeout_max_s = c->timeout_max,
        .nfe_max = c->nfe_max,
        .body_max = BODY_MAX,
        .queue_images_max = (size_t)c->queue,
        .connections = d->connections,
        .connections_per_address = c->connections_per_address,
        .threads = c->http_threads,
        .idle_s = c->idle_timeout,
        .read_s = c->read_timeout,
        .watchdog_s = c->watchdog,
        .public_metrics = c->public_metrics,
        .cors_origins = c->cors_origins,
        .public_url = c->public_url,
        .hosts = c->hosts,
        .trusted_proxies = c->trusted_proxies,
        .keys_file = c->keys,
        .link_secret = c->link_secret,
        .link_lifetime_s = c->link_lifetime,
        .certificate = d->certificate.length ? (const char *)d->certificate.data : NULL,
        .key = d->key.length ? (const char *)d->key.data : NULL,
        .model_names = d->names,
        .model_count = c->model_count,
        .jobs = d->jobs,
        .jobs_trouble = d->jobs_trouble[0] ? d->jobs_trouble : NULL,
        .hooks = {d, on_drain, on_reload},
    };
}

/* A store that cannot be used is said, and everything that needs none is served. */
static void open_jobs(struct pfgmd *d)
{
    const struct daemon_config *c = d->config;
    const struct jobs_options options = {.folder = c->state,
                                         .nats = c->nats,
                                         .nats_credentials = c->nats_credentials,
                                         .nats_ca = c->nats_ca,
                                         .nats_replicas = c->nats_replicas,
                                         .keep_s = c->jobs_keep,
                                         .keep_bytes = (uint64_t)c->jobs_keep_mib << 20,
                                         .records_max = (uint64_t)c->jobs_records,
                                         .live_max = (uint64_t)c->jobs_live};
    struct err e = {0};
    if (!c->state[0] && !c->nats[0])
        return;
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
    d->jobs = jobs_open(d->engine, &options, &e);
    if (d->jobs)
        return;
    err_line(&e, d->jobs_trouble, sizeof d->jobs_trouble);
    log_line(LOG_ERROR, "%s; there are no jobs until that is mended and pfgmd is started again",
             d->jobs_trouble);
}

static int start(struct pfgmd *d, struct err *e)
{
    struct daemon_config *c = d->config;
    struct daemon_address address;
    char shown[256];
    int admin;
    if (daemon_address_parse(c->listen, &address, e) != 0 ||
        daemon_check_tls(c, &d->certificate, &d->key, e) != 0)
        return daemon_check_exit_code(e);
    d->signals = take_signals(e);
    if (d->signals < 0 || log_start(e) != 0)
        return EXIT_FAILED;
    d->connections = fit_connections(c);
    d->called = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->models.done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->called < 0 || d->models.done < 0) {
        err_fail_errno(e, errno, "the main thread", "open an eventfd");
        return EXIT_FAILED;
    }
    int fd = open_sockets(c, shown, sizeof shown, &admin, e);
    if (fd < 0)
        return EXIT_FAILED;
    d->admin = admin >= 0;
    const struct engine_options engine = {c->workers, c->batch, (size_t)c->queue};
    d->engine = engine_new(&engine, e);
    if (!d->engine) {
        close(fd);
        if (admin >= 0)
            close(admin);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < c->model_count; i++)
        d->names[i] = c->models[i].name;
    open_jobs(d);
    const struct http_options http = http_options_of(d, fd, admin);
    d->server = http_server_start(d->engine, &http, e);
    if (!d->server)
        return err_exit_code(e); /* the same numbers */
    d->models.config = c;
    d->models.engine = d->engine;
    d->models.server = d->server;
    log_line(LOG_INFO, "pfgmd %s, %d workers, batches of %d", PFGMD_VERSION,
             engine_workers(d->engine), engine_batch(d->engine));
    log_line(LOG_INFO, "listening on %s", shown);
    if (admin >= 0)
        log_line(LOG_INFO, "admin socket at %s", c->admin);
    return daemon_models_load(&d->models, e) == 0 ? EXIT_STOPPED : EXIT_FAILED;
}

static bool same_bytes(const struct buf *a, const struct buf *b)
{
    return a->length == b->length && memcmp(a->data, b->data, a->length) == 0;
}

/* A new pair is for new connections; the same one changes nothing. */
static int take_pair(struct pfgmd *d, struct buf *certificate, struct buf *key, struct err *e)
{
    if (!d->certificate.length || !certificate->length ||
        (same_bytes(certificate, &d->certificate) && same_bytes(key, &d->key)))
        return 0;
    if (http_server_reload_tls(d->server, (const char *)certificate->data, (const char *)key->data,
                               e) != 0)
        return -1;
    const struct buf old[2] = {d->certificate, d->key};
    d->certificate = *certificate;
    d->key = *key;
    *certificate = old[0];
    *key = old[1];
    return 0;
}

/* What may change while the daemon runs, but for the models. Everything is read and checked before
 * anything is changed. */
static int read_again(struct pfgmd *d, struct daemon_options *fresh, struct err *e)
{
    struct buf certificate = {0}, key = {0};
    int result = daemon_options_read(fresh, d->argc, d->argv, e) != 0 ||
                 daemon_check_tls(&fresh->config, &certificate, &key, e) != 0 ||
                 daemon_check_secrets(d->config, e) != 0 ||
                 take_pair(d, &certificate, &key, e) != 0;
    buf_clear(&certificate);
    buf_clear(&key);
    return result != 0 || http_server_reload_keys(d->server, e) != 0
               ? -1
               : http_server_reload_links(d->server, e);
}

static void hang_up(struct pfgmd *d)
{
    static struct daemon_options fresh; /* large */
    struct err e = {0};
    d->hangup = false;
    log_line(LOG_INFO, "SIGHUP: reading settings, keys and models again");
    if (read_again(d, &fresh, &e) != 0) {
        fail_line(&e);
        log_line(LOG_ERROR, "everything stays as it was");
    } else {
        log_set_level(fresh.config.log_level);
        log_set_format(fresh.config.log_format);
        if (d->certificate.length)
            daemon_config_take_pair(d->config, &fresh.config);
        daemon_config_take(d->config, &fresh.config);
        for (size_t i = 0; i < d->config->model_count; i++)
            atomic_store(&d->models.wanted[i], true);
    }
    daemon_config_clear(&fresh.config);
}

static void remove_admin_socket(struct pfgmd *d)
{
    if (d->admin)
        unlink(d->config->admin);
    d->admin = false;
}

static _Noreturn void leave_at_once(struct pfgmd *d, int code)
{
    remove_admin_socket(d);
    log_stop(LOG_FLUSH_MS);
    _exit(code);
}

/* What a stop does between two looks at what it waits for. */
static void breathe(struct pfgmd *d)
{
    int number = next_stop_signal(d);
    if (number) {
        log_line(LOG_WARN, "second signal: exit at once");
        leave_at_once(d, 128 + number);
    }
    if (http_server_alive(d->server))
        daemon_notify_alive();
}

/* The time in which load balancers learn that this one is not ready. */
static void delay_drain(struct pfgmd *d, int64_t end_ns)
{
    struct pollfd watch = {.fd = d->signals, .events = POLLIN};
    const int alive_ms = daemon_notify_interval_ms();
    for (int64_t left_ms; (left_ms = (end_ns - clock_ns()) / 1000000) > 0; breathe(d))
        if (poll(&watch, 1, (int)(alive_ms < 0 || left_ms < alive_ms ? left_ms : alive_ms)) < 0 &&
            errno != EINTR)
            return;
}

/* What has been made is on its way to readers, who may be slow. */
static void finish_answers(struct pfgmd *d, int64_t end_ns)
{
    for (size_t left; (left = http_server_answers(d->server)) > 0;) {
        if (clock_ns() >= end_ns) {
            log_line(LOG_WARN, "the time to finish is up: %zu answers end unread", left);
            return;
        }
        breathe(d);
        usleep(20000);
    }
}

/* After SIGTERM: until nothing is queued or live, the time is up, or the second signal. */
static void drain(struct pfgmd *d)
{
    const int timeout_s = d->config->drain_timeout;
    http_server_leave(d->server);
    daemon_notify_stopping((int64_t)d->config->drain_delay + timeout_s + STOP_SPARE_S);
    if (d->config->drain_delay) {
        log_line(LOG_INFO, "not ready any more; new work is taken for another %d s",
                 d->config->drain_delay);
        delay_drain(d, clock_ns() + (int64_t)d->config->drain_delay * 1000000000);
    }
    http_server_drain(d->server);
    if (d->jobs)
        jobs_drain(d->jobs); /* they go on after the next start */
    engine_drain(d->engine);
    log_line(LOG_INFO, "stopping: no new work, finishing what runs for at most %d s", timeout_s);
    int64_t end = clock_ns() + (int64_t)timeout_s * 1000000000;
    while (!engine_wait_empty(d->engine, 50)) {
        breathe(d);
        if (clock_ns() < end)
            continue;
        log_line(LOG_WARN, "the time to finish is up: the rest is cancelled");
        engine_cancel_all(d->engine);
        engine_wait_empty(d->engine, 700);
        break;
    }
    finish_answers(d, end);
    http_server_wait_idle(d->server, 300);
}

/* The first load has ended; 0 when the daemon is ready now. */
static int finish_loading(struct pfgmd *d)
{
    d->loading = false;
    if (d->models.error.code != ERR_NONE) {
        fail_line(&d->models.error);
        return -1;
    }
    http_server_ready(d->server);
    daemon_notify_ready();
    log_line(LOG_INFO, "ready");
    return 0;
}

/* Serves until a signal or a failed load; the exit code. */
static int serve(struct pfgmd *d)
{
    struct pollfd watch[] = {{.fd = d->signals, .events = POLLIN},
                             {.fd = d->models.done, .events = POLLIN},
                             {.fd = d->called, .events = POLLIN}};
    const int alive_ms = daemon_notify_interval_ms();
    bool swept = true;
    int64_t given_ns = clock_ns();
    for (;;) {
        struct err e = {0};
        uint64_t calls;
        if (d->loading)
            daemon_notify_loading("models");
        if (http_server_alive(d->server))
            daemon_notify_alive();
        const int most_ms = !swept ? 1000 : d->loading ? 5000 : GIVE_BACK_MS;
        const int wait_ms = alive_ms >= 0 && alive_ms < most_ms ? alive_ms : most_ms;
        if (poll(watch, 3, wait_ms) < 0 && errno != EINTR) {
            log_line(LOG_ERROR, "poll: %s", strerror(errno));
            return EXIT_FAILED;
        }
        swept = !http_server_sweep(d->server);
        if (clock_ns() - given_ns >= (int64_t)GIVE_BACK_MS * 1000000) {
            daemon_memory_give_back();
            given_ns = clock_ns();
        }
        if (watch[2].revents & POLLIN && read(d->called, &calls, sizeof calls) < 0)
            log_line(LOG_ERROR, "a call cannot be read: %s", strerror(errno));
        if (next_stop_signal(d) || atomic_load(&d->drain_wanted)) {
            drain(d);
            return EXIT_STOPPED;
        }
        if (watch[1].revents & POLLIN) {
            daemon_models_join(&d->models);
            if (d->jobs)
                jobs_wake(d->jobs); /* there may be a model that one waits for */
            if (d->loading && finish_loading(d) != 0)
                return err_exit_code(&d->models.error);
        }
        if (d->hangup && !d->models.running) {
            hang_up(d);
            swept = false;
        }
        if (!d->models.running && daemon_models_reload(&d->models, &e) != 0)
            fail_line(&e);
    }
}

static int run(struct daemon_config *config, int argc, char **argv)
{
    static struct pfgmd d; /* hooks point into it */
    struct err e = {0};
    d = (struct pfgmd){.argc = argc, .argv = argv, .config = config, .signals = -1, .called = -1};
    d.models.done = -1;
    d.loading = true;
    daemon_memory_begin();
    int code = start(&d, &e);
    if (code == EXIT_STOPPED)
        code = serve(&d);
    else
        fail_line(&e);
    if (d.engine) {
        engine_drain(d.engine);
        engine_cancel_all(d.engine);
        if (code != EXIT_STOPPED) /* a stop has waited for that: what runs is given back below */
            engine_wait_empty(d.engine, 700);
    }
    /* A model that is half loaded cannot be interrupted; nothing that lasts depends on it. The
     * loader speaks to the server, so it goes first. */
    bool ended = daemon_models_end(&d.models);
    remove_admin_socket(&d);
    if (ended && d.engine && d.server && !engine_wait_empty(d.engine, 0)) {
        /* Nor can an evaluation that is under way. Its clients are told. */
        http_server_dismiss(d.server);
        http_server_wait_idle(d.server, 300);
        ended = engine_wait_empty(d.engine, 0);
        if (!ended)
            log_line(LOG_WARN, "an evaluation is under way, and ends with the process");
    }
    if (!ended)
        leave_at_once(&d, code);
    http_server_stop(d.server);
    jobs_close(d.jobs);
    if (d.engine)
        engine_free(d.engine);
    const int fds[] = {d.signals, d.called, d.models.done};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    buf_clear(&d.certificate);
    buf_clear(&d.key);
    log_stop(LOG_FLUSH_MS);
    return code;
}

static int probe(const char *text, struct err *e)
{
    struct daemon_address address;
    if (text[0] == '/')
        return daemon_address_probe_unix(text, e) == 0 ? EXIT_STOPPED : EXIT_FAILED;
    if (daemon_address_parse(text, &address, e) != 0)
        return EXIT_BAD_INPUT;
    return daemon_address_probe(&address, e) == 0 ? EXIT_STOPPED : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    static struct daemon_options options; /* large, and as long as the process */
    struct err e = {0};
    int code = EXIT_BAD_INPUT;
    hold_signals(SIG_BLOCK);
    if (file_hold_standard() != 0)
        return EXIT_FAILED;
    if (daemon_options_read(&options, argc, argv, &e) == 0) {
        if (options.action != DAEMON_RUN)
            hold_signals(SIG_UNBLOCK);
        log_set_level(options.config.log_level);
        log_set_format(options.config.log_format);
        daemon_options_warn(&options);
        switch (options.action) {
        case DAEMON_RUN:
            code = run(&options.config, argc, argv);
            break;
        case DAEMON_CHECK:
            code = daemon_check_print(&options.config, &e);
            break;
        case DAEMON_HEALTH:
            code = probe(options.health, &e);
            break;
        case DAEMON_VERSION:
            printf("pfgmd %s\n", PFGMD_VERSION);
            code = EXIT_STOPPED;
            break;
        case DAEMON_HELP:
            fputs(daemon_usage, stdout);
            code = EXIT_STOPPED;
            break;
        }
    }
    char line[1100];
    const int lost = file_flush_standard();
    if (lost && e.code == ERR_NONE) {
        err_fail_errno(&e, lost, "standard output", "write");
        code = EXIT_FAILED;
    }
    if (e.code != ERR_NONE)
        fprintf(stderr, "pfgmd: %s\n", err_line(&e, line, sizeof line));
    daemon_config_clear(&options.config);
    return code;
}
