/* JSON on standard output, for the subcommands that know --json. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include "base_json.h"

/* Prints the value over several lines, two spaces per level, with a line feed at the end. A full or
 * closed standard output shows when main() flushes it. NULL is a value that could not be made, and
 * an error. */
int cli_json_print(const json_t *value, struct err *e);

#endif
