/* The verdict on what the settings name: one for the start, for a SIGHUP and for --check-config. */
#ifndef DAEMON_CHECK_H
#define DAEMON_CHECK_H

#include "base_buf.h"
#include "daemon_config.h"

/* Reads certificate and key, which belong together; both stay empty without TLS. The caller frees
 * them, also on failure. */
int daemon_check_tls(const struct daemon_config *c, struct buf *certificate, struct buf *key,
                     struct err *e);
/* The files of keys and of the links' secret. */
int daemon_check_secrets(const struct daemon_config *c, struct err *e);
/* All that a start would judge before it loads weights: address, models' headers, TLS, secrets. */
int daemon_check(const struct daemon_config *c, struct err *e);

/* The same with a line on standard output where all is good; the exit code. */
int daemon_check_print(const struct daemon_config *c, struct err *e);

/* The exit code of a start that ended with `e`: 1 where another try may do better or the program is
 * at fault, else 2. */
int daemon_check_exit_code(const struct err *e);

#endif
