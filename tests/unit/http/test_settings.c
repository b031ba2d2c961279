/* The configuration file, the flags and the addresses of pfgmd. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base_cpu.h"
#include "daemon_address.h"
#include "daemon_check.h"
#include "daemon_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct daemon_config config;
static struct daemon_options options;
static char path[64];

/* A machine without vectors, while that is wanted. */
static bool is_plain_machine;
struct cpu_features __real_cpu_features_get(void);
struct cpu_features __wrap_cpu_features_get(void);
struct cpu_features __wrap_cpu_features_get(void)
{
    return is_plain_machine ? (struct cpu_features){0} : __real_cpu_features_get();
}

static void make_file(const char *text)
{
    snprintf(path, sizeof path, "/tmp/pfgmd-settings-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int read_config(const char *text, struct err *e)
{
    make_file(text);
    daemon_config_clear(&config);
    daemon_config_init(&config);
    int result = daemon_config_read(&config, path, e);
    if (result == 0)
        result = daemon_config_finish(&config, e);
    unlink(path);
    return result;
}

static void a_whole_file_is_read(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(read_config("# pfgmd\n"
                                 "listen = [::1]:0\r\n"
                                 "  workers=3   # three\n"
                                 "batch = 4\nqueue = 10\nn_max = 5\nlog_level = debug\n"
                                 "kernel = c\ndrain_timeout = 0\n\n"
                                 "[model a-b.c_1]\n"
                                 "path = /x/y#z.safetensors\n"
                                 "precision = f32\n"
                                 "[model second]\npath = b\nkernel = auto",
                                 &e),
                     0);
    assert_string_equal(config.listen, "[::1]:0");
    assert_int_equal(config.workers, 3);
    assert_int_equal(config.batch, 4);
    assert_int_equal(config.queue, 10);
    assert_int_equal(config.n_max, 5);
    assert_int_equal(config.drain_timeout, 0);
    assert_int_equal(config.log_level, LOG_DEBUG);
    assert_int_equal(config.model_count, 2);
    assert_string_equal(config.models[0].name, "a-b.c_1");
    assert_string_equal(config.models[0].path, "/x/y#z.safetensors");
    assert_int_equal(config.models[0].options.kernel, NN_KERNEL_C);
    assert_int_equal(config.models[0].options.precision, NN_PRECISION_F32);
    assert_int_equal(config.models[1].options.kernel, NN_KERNEL_AUTO);
}

static void who_may_ask_and_where(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(read_config("admin = /run/x.sock\nkeys = /etc/k\ntls_certificate = c.pem\n"
                                 "tls_key = k.pem\ncors_origins = https://a https://b\n"
                                 "public_metrics = off\nconnections_per_address = 9\n"
                                 "drain_delay = 3\nwatchdog = 0\n[model m]\npath = x",
                                 &e),
                     0);
    assert_string_equal(config.admin, "/run/x.sock");
    assert_string_equal(config.keys, "/etc/k");
    assert_string_equal(config.tls_certificate, "c.pem");
    assert_string_equal(config.tls_key, "k.pem");
    assert_string_equal(config.cors_origins, "https://a https://b");
    assert_false(config.public_metrics);
    assert_int_equal(config.connections_per_address, 9);
    assert_int_equal(config.drain_delay, 3);
    assert_int_equal(config.watchdog, 0);
    assert_int_equal(config.nfe_max, 100000);
    assert_int_equal(config.timeout_max, 3600);
    assert_int_equal(read_config("tls_key = k.pem\n[model m]\npath = x", &e), -1);
    assert_non_null(strstr(e.at, "tls_certificate"));
    assert_int_equal(read_config("public_metrics = maybe\n[model m]\npath = x", &e), -1);
    assert_non_null(strstr(e.at, ":1"));
}

/* A SIGHUP: paths change, what cannot stays, and nothing is freed twice. */
static void what_may_change_is_taken(void **state)
{
    (void)state;
    struct err e = {0};
    static struct daemon_config fresh;
    assert_int_equal(read_config("batch = 4\n[model a]\npath = old\n[model b]\npath = b", &e), 0);
    fresh = config;
    memset(&config, 0, sizeof config);
    assert_int_equal(read_config("batch = 5\n[model a]\npath = new\n[model c]\npath = c", &e), 0);
    daemon_config_take(&fresh, &config);
    assert_int_equal(fresh.batch, 4);
    assert_int_equal(fresh.model_count, 2);
    assert_string_equal(fresh.models[0].path, "new");
    assert_string_equal(fresh.models[1].path, "b");
    daemon_config_clear(&fresh);
    daemon_config_clear(&config);
}

static void the_environment_stands_between_file_and_flags(void **state)
{
    (void)state;
    struct err e = {0};
    make_file("n_max = 3\nbatch = 3\nqueue = 3\n[model m]\npath = x");
    char *argv[] = {"pfgmd", "--queue", "5", NULL};
    setenv("PFGMD_CONFIG", path, 1);
    setenv("PFGMD_BATCH", "4", 1);
    setenv("PFGMD_QUEUE", "4", 1);
    assert_int_equal(daemon_options_read(&options, 3, argv, &e), 0);
    assert_int_equal(options.config.n_max, 3);
    assert_int_equal(options.config.batch, 4);
    assert_int_equal(options.config.queue, 5);
    daemon_config_clear(&options.config);
    setenv("PFGMD_NONSENSE", "1", 1);
    /* What is no setting may be meant for another program. */
    assert_int_equal(daemon_options_read(&options, 3, argv, &e), 0);
    assert_int_equal(options.config.queue, 5);
    daemon_config_clear(&options.config);
    static const char *const names[] = {"PFGMD_CONFIG", "PFGMD_BATCH", "PFGMD_QUEUE",
                                        "PFGMD_NONSENSE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    unlink(path);
}

static void a_unix_socket_is_for_owner_and_group(void **state)
{
    (void)state;
    struct err e = {0};
    struct stat st;
    char name[64];
    snprintf(name, sizeof name, "/tmp/pfgmd-settings-%d.sock", (int)getpid());
    int fd = daemon_address_listen_unix(name, &e);
    assert_true(fd >= 0);
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_int_equal(daemon_address_listen_unix(name, &e), -1); /* somebody listens there */
    close(fd);
    fd = daemon_address_listen_unix(name, &e); /* a leftover */
    assert_true(fd >= 0);
    close(fd);
    unlink(name);
    make_file("no socket");
    assert_int_equal(daemon_address_listen_unix(path, &e), -1);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static void faults_name_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int line;
        const char *word;
    } rows[] = {
        {"workers = 2\nfoo = 1\n", 2, "foo"},
        {"workers = -1", 1, "workers"},
        {"workers = 257", 1, "workers"},
        {"workers = 2x", 1, "workers"},
        {"workers = ", 1, "workers"},
        {"workers = 1e2", 1, "workers"},
        {"workers = 99999999999999999999", 1, "workers"},
        {"batch = 0", 1, "batch"},
        {"workers = 1\nworkers = 2", 2, "twice"},
        {"log_level = loud", 1, "loud"},
        {"kernel = sse", 1, "sse"},
        {"precision = f16", 1, "f16"},
        {"just words", 1, "just words"},
        {"[models x]", 1, "[model NAME]"},
        {"[model x", 1, "[model NAME]"},
        {"[modelx]", 1, "[model NAME]"},
        {"[model ]", 1, "name"},
        {"[model a/b]", 1, "a/b"},
        {"[model x]\npath = a\npath = b", 3, "twice"},
        {"[model x]\npath =", 2, "empty"},
        {"[model x]\nworkers = 2", 2, "workers"},
        {"[model x]\npath = a\n[model x]", 3, "two models"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        char where[96];
        if (read_config(rows[i].text, &e) == 0)
            fail_msg("row %zu was taken: %s", i, rows[i].text);
        snprintf(where, sizeof where, "%s:%d", path, rows[i].line);
        assert_string_equal(e.at, where);
        if (!strstr(e.text, rows[i].word))
            fail_msg("row %zu says: %s", i, e.text);
        assert_int_equal(err_exit_code(&e), 2);
    }
    struct err e = {0};
    assert_int_equal(read_config("workers = 1", &e), -1); /* no model at all */
    assert_int_equal(read_config("", &e), -1);
    assert_non_null(strstr(e.text, "no model"));
    assert_int_equal(read_config("[model x]\nkernel = c", &e), -1);
    assert_non_null(strstr(e.text, "path"));
}

static int read_flags(struct err *e, int argc, const char *const *argv)
{
    char *copy[16] = {NULL};
    for (int i = 0; i < argc; i++)
        copy[i] = strdup(argv[i]);
    daemon_config_clear(&options.config);
    int result = daemon_options_read(&options, argc, copy, e);
    for (int i = 0; i < argc; i++)
        free(copy[i]);
    return result;
}
#define FLAGS(e, ...)                                                                              \
    read_flags(e, (int)(sizeof((const char *[]){"pfgmd", __VA_ARGS__}) / sizeof(char *)),          \
               (const char *[]){"pfgmd", __VA_ARGS__})

static void flags_are_read_and_win(void **state)
{
    (void)state;
    struct err e = {0};
    make_file("workers = 3\nqueue = 9\n[model m]\npath = old\n");
    assert_int_equal(FLAGS(&e, "--workers=5", "--config", path, "--n-max", "9", "--model",
                           "dir/x.safetensors", "--model=m=new"),
                     0);
    unlink(path);
    assert_int_equal(options.action, DAEMON_RUN);
    assert_int_equal(options.config.workers, 5);
    assert_int_equal(options.config.queue, 9);
    assert_int_equal(options.config.n_max, 9);
    assert_int_equal(options.config.model_count, 2);
    assert_string_equal(options.config.models[0].path, "new");
    assert_string_equal(options.config.models[1].name, "x");
    assert_string_equal(options.config.models[1].path, "dir/x.safetensors");
}

static void wrong_flags_are_named(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(FLAGS(&e, "--modle", "x"), -1);
    assert_string_equal(e.at, "--modle");
    assert_int_equal(FLAGS(&e, "x.safetensors"), -1);
    assert_int_equal(FLAGS(&e, "--model"), -1);
    assert_non_null(strstr(e.text, "value"));
    assert_int_equal(FLAGS(&e, "--model", "a", "--workers", "two"), -1);
    assert_string_equal(e.at, "--workers");
    assert_int_equal(FLAGS(&e, "--model", "a", "--model", "a"), -1);
    assert_int_equal(FLAGS(&e, "--model", "bad name.safetensors"), -1);
    assert_int_equal(FLAGS(&e, "--workers", "1"), -1);
    assert_non_null(strstr(e.text, "no model"));
    assert_int_equal(FLAGS(&e, "--model", "a", "--config", "/nonexistent"), -1);
    assert_int_equal(FLAGS(&e, "--help"), 0);
    assert_int_equal(options.action, DAEMON_HELP);
    assert_int_equal(FLAGS(&e, "--health", "127.0.0.1:1"), 0);
    assert_int_equal(options.action, DAEMON_HEALTH);
}

/* Before a start, which would fail: --check-config is for that. */
static void what_the_machine_lacks_is_found(void **state)
{
    (void)state;
    char name[sizeof config.admin + 1];
    struct err e = {0};
    is_plain_machine = true;
    assert_int_equal(FLAGS(&e, "--model", MODEL), 0);
    assert_int_equal(daemon_check(&options.config, &e), 0);
    assert_int_equal(FLAGS(&e, "--model", MODEL, "--precision", "bf16", "--kernel", "c"), 0);
    assert_int_equal(daemon_check(&options.config, &e), 0);
    assert_int_equal(FLAGS(&e, "--model", MODEL, "--precision", "bf16"), 0);
    assert_int_equal(daemon_check(&options.config, &e), -1);
    assert_string_equal(e.at, MODEL);
    assert_non_null(strstr(e.text, "which this machine lacks"));
    assert_int_equal(daemon_check_exit_code(&e), 2);
    is_plain_machine = false;
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(FLAGS(&e, "--model", MODEL, "--admin", name), -1);
    assert_string_equal(e.at, "--admin");
    name[sizeof name - 2] = '\0';
    assert_int_equal(FLAGS(&e, "--model", MODEL, "--admin", name), 0);
}

static void addresses(void **state)
{
    (void)state;
    struct daemon_address a;
    struct err e = {0};
    assert_int_equal(daemon_address_parse("127.0.0.1:8080", &a, &e), 0);
    assert_string_equal(a.host, "127.0.0.1");
    assert_int_equal(a.port, 8080);
    assert_int_equal(daemon_address_parse("[::1]:0", &a, &e), 0);
    assert_string_equal(a.host, "::1");
    assert_int_equal(a.port, 0);
    static const char *const wrong[] = {
        "",        "8080",    "127.0.0.1", ":8080", "x:",   "x:y",  "x:65536", "::1:80",
        "[::1:80", "[::1]80", "[]:80",     "x:-1",  "x:1 ", "x: 1", "x:123456"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (daemon_address_parse(wrong[i], &a, &e) == 0)
            fail_msg("\"%s\" is an address: %s and %u", wrong[i], a.host, a.port);
}

static void a_taken_port_is_told_with_its_reason(void **state)
{
    (void)state;
    struct daemon_address a;
    struct err e = {0};
    char shown[256], again[256];
    assert_int_equal(daemon_address_parse("127.0.0.1:0", &a, &e), 0);
    int fd = daemon_address_listen(&a, shown, sizeof shown, &e);
    assert_true(fd >= 0);
    assert_int_equal(daemon_address_parse(shown, &a, &e), 0);
    assert_true(a.port > 0);
    assert_int_equal(daemon_address_listen(&a, again, sizeof again, &e), -1);
    assert_string_equal(e.at, shown);
    assert_non_null(strstr(e.text, "in use"));
    assert_int_equal(err_exit_code(&e), 1);
    close(fd);
    assert_int_equal(daemon_address_probe(&a, &e), -1); /* nobody there any more */
}

static int clear(void **state)
{
    (void)state;
    daemon_config_clear(&config);
    daemon_config_clear(&options.config);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_is_read),
        cmocka_unit_test(who_may_ask_and_where),
        cmocka_unit_test(what_may_change_is_taken),
        cmocka_unit_test(the_environment_stands_between_file_and_flags),
        cmocka_unit_test(a_unix_socket_is_for_owner_and_group),
        cmocka_unit_test(faults_name_file_and_line),
        cmocka_unit_test(flags_are_read_and_win),
        cmocka_unit_test(wrong_flags_are_named),
        cmocka_unit_test(what_the_machine_lacks_is_found),
        cmocka_unit_test(addresses),
        cmocka_unit_test(a_taken_port_is_told_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, clear);
}
