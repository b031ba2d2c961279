/* Files are read into the void here: what the server keeps of them it reads itself. Between the two
 * a file may change, and then the server's own verdict counts. */
#include "daemon_check.h"

#include "base_file.h"
#include "base_tls.h"
#include "ckpt_description.h"
#include "daemon_address.h"
#include "http_keys.h"
#include "http_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PEM_MAX ((size_t)1 << 20)

int daemon_check_tls(const struct daemon_config *c, struct buf *certificate, struct buf *key,
                     struct err *e)
{
    buf_init(certificate, PEM_MAX);
    buf_init(key, PEM_MAX);
    if (!c->tls_certificate[0])
        return 0;
    if (file_read(c->tls_certificate, certificate, e) != 0 || file_read(c->tls_key, key, e) != 0)
        return -1;
    return tls_check_pair(certificate, c->tls_certificate, key, c->tls_key, e);
}

int daemon_check_secrets(const struct daemon_config *c, struct err *e)
{
    struct http_keys keys;
    struct http_links links;
    http_keys_init(&keys);
    http_links_init(&links, c->link_lifetime);
    int result = (c->keys[0] && http_keys_read(&keys, c->keys, e) != 0) ||
                 http_links_read(&links, c->link_secret, e) != 0;
    http_keys_clear(&keys);
    http_links_clear(&links);
    return result != 0 ? -1 : 0;
}

/* The header of a checkpoint, without its weights; and whether this machine has the kernel and the
 * precision that are asked for, where there is a network to need them. */
static int check_model(const struct daemon_model *m, struct err *e)
{
    struct err why = {0};
    struct ckpt_description description = {0};
    enum nn_kernel kernel = m->options.kernel;
    enum nn_precision precision = m->options.precision;
    struct ckpt_file *f = ckpt_file_open(m->path, e);
    if (!f)
        return -1;
    int result = ckpt_description_read(f, &description, &why);
    if (result == 0 && description.family != CKPT_FAMILY_EXACT)
        result = nn_precision_resolve(&kernel, &precision, &why);
    ckpt_description_clear(&description);
    ckpt_file_close(f);
    return result == 0 ? 0 : err_within(e, &why, m->path);
}

/* The folder of the jobs, where it is there; it is made at the start where it is not. */
static int check_state(const char *folder, struct err *e)
{
    if (!folder[0] || access(folder, F_OK) != 0)
        return 0;
    return access(folder, R_OK | W_OK | X_OK) == 0
               ? 0
               : err_fail_errno(e, errno, folder, "write into the folder that \"state\" names");
}

/* A file that is read when it is needed. */
static int check_readable(const char *file, const char *key, struct err *e)
{
    if (!file[0] || access(file, R_OK) == 0)
        return 0;
    return err_fail(e, ERR_INPUT, key, "%s: cannot read the file: %s", file, strerror(errno));
}

int daemon_check(const struct daemon_config *c, struct err *e)
{
    struct daemon_address address;
    struct buf certificate, key;
    if (daemon_address_parse(c->listen, &address, e) != 0)
        return -1;
    int result = daemon_check_tls(c, &certificate, &key, e);
    buf_clear(&certificate);
    buf_clear(&key);
    for (size_t i = 0; i < c->model_count && result == 0; i++)
        result = check_model(&c->models[i], e);
    if (result == 0)
        result = check_state(c->state, e);
    if (result == 0)
        result = check_readable(c->nats_credentials, "nats_credentials", e);
    if (result == 0)
        result = check_readable(c->nats_ca, "nats_ca", e);
    return result != 0 ? -1 : daemon_check_secrets(c, e);
}

int daemon_check_exit_code(const struct err *e)
{
    return e->code == ERR_MEMORY || e->code == ERR_INTERNAL ? EXIT_FAILURE : 2;
}

int daemon_check_print(const struct daemon_config *c, struct err *e)
{
    if (daemon_check(c, e) != 0)
        return daemon_check_exit_code(e);
    printf("the settings are good: %zu model%s, listening on %s\n", c->model_count,
           c->model_count == 1 ? "" : "s", c->listen);
    return 0;
}
