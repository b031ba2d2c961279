/* JSON on standard output, for the subcommands that know --json. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include "base_json.h"

/* Before any work: whether an answer in JSON could hold these paths, of which each may be NULL.
 * ERR_INPUT at the one that is not UTF-8. */
int cli_json_paths(const char *one, const char *other, struct err *e);

/* Prints the value over several lines, two spaces per level, with a line feed at the end. A full or
 * closed standard output shows when main() flushes it. NULL is a value that could not be made, and
 * an error. */
int cli_json_print(const json_t *value, struct err *e);

#endif
