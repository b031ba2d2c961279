/* Two passes over argv: the first finds --config and the actions, the second applies the flags, so
 * that flags win wherever they stand; between the two the environment is looked at. Flags and
 * variables of settings come from the configuration's own table. A SIGHUP reads all of it again. */
#include "daemon_options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char daemon_usage[] =
    "Usage: pfgmd --model [NAME=]PATH [--model …] [--listen ADDRESS:PORT] [options]\n"
    "Serves images of Poisson Flow Generative Models over HTTP.\n"
    "\n"
    "  --model [NAME=]PATH    a checkpoint (.safetensors) to serve; the first is the default\n"
    "  --listen ADDRESS:PORT  127.0.0.1:8080; port 0 takes any free port and logs it\n"
    "  --config FILE          settings from a file; flags override it (see conf/pfgmd.conf)\n"
    "  --workers N            threads that compute, 0 = as many as the machine gives (0)\n"
    "  --batch N              images that a worker evaluates at once (8)\n"
    "  --queue N              images that may wait (1024)\n"
    "  --n-max N              images in one request (64)\n"
    "  --nfe-max N            evaluations per image that a request may ask for, 0 = no limit "
    "(100000)\n"
    "  --timeout-max S        seconds after which a request that is no job ends, 0 = never (3600)\n"
    "  --kernel K             auto, c, openblas, lanes8 (avx2, neon), avx512 or amx (auto)\n"
    "  --precision P          auto, f32, bf16x3 or bf16 (auto)\n"
    "  --connections N        connections that get work at once (4096)\n"
    "  --connections-per-address N  the same from one address, 0 = no limit (0)\n"
    "  --http-threads N       threads that serve connections (2)\n"
    "  --idle-timeout S       seconds of silence on a connection (60)\n"
    "  --read-timeout S       seconds in which a request's body must arrive (30)\n"
    "  --drain-delay S        seconds after SIGTERM in which new work is still taken (0)\n"
    "  --drain-timeout S      seconds for running work after that (30)\n"
    "  --watchdog S           age of an evaluation that counts as stuck, 0 = never (300)\n"
    "  --admin PATH           unix socket with reload, drain, log level and slots (none)\n"
    "  --state FOLDER         keep jobs there; without it there are none (none)\n"
    "  --nats nats://HOST:PORT  keep jobs in NATS JetStream, which replicas share (none)\n"
    "  --nats-credentials FILE, --nats-ca FILE  for NATS servers that ask for it (none)\n"
    "  --nats-replicas N      copies that a cluster of NATS servers keeps (1)\n"
    "  --jobs-keep S          seconds for which a finished job is kept (604800)\n"
    "  --jobs-keep-mib N      MiB of finished jobs above which the oldest goes, 0 = no limit "
    "(10240)\n"
    "  --jobs-records N       ended jobs above which the oldest are forgotten, 0 = no limit "
    "(100000)\n"
    "  --jobs-live N          live jobs of one key, 0 = no limit (1000)\n"
    "  --keys FILE            bearer keys that clients must show (none)\n"
    "  --link-secret FILE     secret that signs links where keys are needed (drawn at the start)\n"
    "  --link-lifetime S      seconds for which a signed link is good (3600)\n"
    "  --tls-certificate FILE, --tls-key FILE  PEM files; HTTPS instead of HTTP (none)\n"
    "  --cors-origins LIST    origins whose pages may ask, or * (none)\n"
    "  --public-url URL       where clients reach this server, when a proxy stands before it "
    "(none)\n"
    "  --hosts LIST           names that it answers to besides those of loopback, or * (none)\n"
    "  --trusted-proxies LIST addresses whose Forwarded and X-Forwarded- fields count (none)\n"
    "  --public-metrics on|off  /metrics on the public listener too (on)\n"
    "  --log-level L          error, warn, info or debug (info)\n"
    "  --log-format F         text or json, one line per message in both (text)\n"
    "  --check-config         read the settings and what they name, say whether\n"
    "                         they are good, and exit\n"
    "  --health ADDRESS:PORT  ask a running pfgmd whether it is ready; exit 0 when it is;\n"
    "                         on loopback by HTTP or HTTPS, or /PATH of its admin socket\n"
    "  -V, --version, -h, --help\n"
    "\n"
    "In the environment PFGMD_N_MAX=8 does what --n-max 8 does, and so for every setting;\n"
    "flags win over the environment, the environment wins over the file.\n"
    "SIGHUP reads settings, keys, certificate and models again; SIGTERM finishes and stops.\n"
    "Exit: 0 stopped as asked, 1 failed (port taken …), 2 bad settings or checkpoint,\n"
    "130 or 143 a second SIGINT or SIGTERM.\n";

/* One flag: its key with '_' for '-', and its value. */
struct flag {
    char key[64];
    const char *value;
};

/* Takes the flag at argv[*at] and moves past it. */
static int next_flag(int argc, char **argv, int *at, struct flag *f, struct err *e)
{
    const char *text = argv[*at];
    if (strcmp(text, "-h") == 0)
        text = "--help";
    else if (strcmp(text, "-V") == 0)
        text = "--version";
    if (strncmp(text, "--", 2) != 0 || !text[2])
        return err_fail(e, ERR_INPUT, text, "is not a flag; see pfgmd --help");
    size_t length = strcspn(text + 2, "=");
    if (length >= sizeof f->key)
        return err_fail(e, ERR_INPUT, text, "is not a flag; see pfgmd --help");
    snprintf(f->key, sizeof f->key, "%.*s", (int)length, text + 2);
    for (char *c = f->key; *c; c++)
        if (*c == '-')
            *c = '_';
    f->value = text[2 + length] == '=' ? text + 3 + length : NULL;
    ++*at;
    static const char *const plain[] = {"help", "version", "check_config"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strcmp(f->key, plain[i]) == 0)
            return f->value ? err_fail(e, ERR_INPUT, text, "takes no value") : 0;
    if (!f->value && *at < argc)
        f->value = argv[(*at)++];
    return f->value ? 0 : err_fail(e, ERR_INPUT, text, "needs a value");
}

static int apply(struct daemon_options *o, const struct flag *f, struct err *e)
{
    char where[80] = "--";
    size_t used = 2;
    for (const char *c = f->key; *c && used + 1 < sizeof where; c++)
        where[used++] = *c == '_' ? '-' : *c;
    where[used] = '\0';
    if (strcmp(f->key, "config") == 0)
        return 0;
    if (strcmp(f->key, "model") == 0)
        return daemon_config_add_model(&o->config, f->value, where, e);
    if (daemon_config_has(f->key))
        return daemon_config_set(&o->config, f->key, f->value, where, e);
    return err_fail(e, ERR_INPUT, where, "is not a flag; see pfgmd --help");
}

/* Actions end the reading: --help works beside anything. */
static bool is_action(struct daemon_options *o, const struct flag *f)
{
    if (strcmp(f->key, "help") == 0)
        o->action = DAEMON_HELP;
    else if (strcmp(f->key, "version") == 0)
        o->action = DAEMON_VERSION;
    else if (strcmp(f->key, "health") == 0)
        o->action = DAEMON_HEALTH, o->health = f->value;
    else
        return false;
    return true;
}

/* What Kubernetes and Docker put into the environment for a service or container whose name begins
 * with "pfgmd": PFGMD_SERVICE_HOST, PFGMD_PORT=tcp://10.0.0.1:8080, PFGMD_PORT_8080_TCP_ADDR … */
static bool is_service_link(const char *key, const char *value)
{
    static const char *const inner[] = {"_tcp", "_udp", "_sctp"};
    const char *port = strstr(key, "port_");
    const size_t length = strlen(key);
    if (strstr(value, "://") && length >= 4 && strcmp(key + length - 4, "port") == 0)
        return true;
    if (strstr(key, "service_host") || strstr(key, "service_port"))
        return true;
    for (size_t digits = port ? strspn(port + 5, "0123456789") : 0, i = 0; digits && i < 3; i++)
        if (strncmp(port + 5 + digits, inner[i], strlen(inner[i])) == 0)
            return true;
    return strcmp(key, "name") == 0 || strncmp(key, "env_", 4) == 0;
}

static void note_ignored(struct daemon_options *o, const char *name)
{
    const size_t used = strlen(o->ignored);
    snprintf(o->ignored + used, sizeof o->ignored - used, "%s%s", used ? " " : "", name);
}

void daemon_options_warn(const struct daemon_options *o)
{
    if (o->ignored[0])
        log_line(LOG_WARN, "passed over in the environment, as no setting has that name: %s",
                 o->ignored);
}

/* PFGMD_N_MAX in the environment is n_max: over the file, under the flags. Names that are no
 * setting may be anybody's, so they do not end the start. */
static int apply_environment(struct daemon_options *o, struct err *e)
{
    for (char **at = environ; *at; at++) {
        char key[64], where[80];
        const char *equals = strchr(*at, '=');
        if (!equals || strncmp(*at, "PFGMD_", 6) != 0)
            continue;
        snprintf(key, sizeof key, "%.*s", (int)(equals - *at - 6), *at + 6);
        for (char *c = key; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        snprintf(where, sizeof where, "%.*s", (int)(equals - *at), *at);
        if (strcmp(key, "config") == 0 || is_service_link(key, equals + 1))
            continue;
        if (!daemon_config_has(key))
            note_ignored(o, where);
        else if (daemon_config_set(&o->config, key, equals + 1, where, e) != 0)
            return -1;
    }
    return 0;
}

int daemon_options_read(struct daemon_options *o, int argc, char **argv, struct err *e)
{
    struct flag f;
    const char *file = NULL;
    memset(o, 0, sizeof *o);
    daemon_config_init(&o->config);
    for (int at = 1; at < argc;) {
        if (next_flag(argc, argv, &at, &f, e) != 0)
            return -1;
        if (is_action(o, &f))
            return 0;
        if (strcmp(f.key, "check_config") == 0)
            o->action = DAEMON_CHECK;
        if (strcmp(f.key, "config") == 0 && file)
            return err_fail(e, ERR_INPUT, "--config", "is given twice");
        if (strcmp(f.key, "config") == 0)
            file = f.value;
    }
    if (!file)
        file = getenv("PFGMD_CONFIG");
    if (file && daemon_config_read(&o->config, file, e) != 0)
        return -1;
    if (apply_environment(o, e) != 0)
        return -1;
    for (int at = 1; at < argc;) {
        if (next_flag(argc, argv, &at, &f, e) != 0)
            return -1;
        if (strcmp(f.key, "check_config") != 0 && apply(o, &f, e) != 0)
            return -1;
    }
    return daemon_config_finish(&o->config, e);
}
