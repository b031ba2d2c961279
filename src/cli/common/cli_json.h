/* JSON on standard output, for the subcommands that know --json. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include "base_json.h"

/* Prints the value over several lines, two spaces a level, with a line feed at the end. A full or
 * closed standard output shows when main() flushes it. */
int cli_json_print(const json_t *value, struct err *e);

/* A number as JSON: an integer up to 2^63 − 1, else its digits as a string. New reference. */
json_t *cli_json_u64(uint64_t value);

#endif
