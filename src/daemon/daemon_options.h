/* The command line. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include "daemon_config.h"

enum daemon_action { DAEMON_RUN, DAEMON_HELP, DAEMON_VERSION, DAEMON_CHECK, DAEMON_HEALTH };

struct daemon_options {
    enum daemon_action action;
    const char *health; /* the address of DAEMON_HEALTH */
    char ignored[256];  /* names of PFGMD_ variables that are no setting, with blanks between */
    struct daemon_config config;
};
/* Reads argv: the configuration file first, wherever --config stands, then PFGMD_ variables, then
 * the flags over it. Flags are "--key value" or "--key=value". ERR_INPUT for what it does not know.
 */
int daemon_options_read(struct daemon_options *o, int argc, char **argv, struct err *e);
/* Logs what the reading passed over. */
void daemon_options_warn(const struct daemon_options *o);

extern const char daemon_usage[];

#endif
