/* Which class the words of a prompt name.
 *
 * A label stands in a prompt when it does so as words of its own, whatever the case; what separates
 * its own words may be a blank, a dash or nothing ("T-shirt", "t shirt", "tshirt"). A "/" in a
 * label parts alternatives: "T-shirt/top" is named by either. English plurals count ("sneakers",
 * "dresses", "puppies", and "sandal" where the label is "Sandals"). Of several the longest wins, of
 * equally long ones the first in the prompt. For the files of src/http/api only. */
#ifndef API_PROMPT_H
#define API_PROMPT_H

#include "base_err.h"

#include <stdbool.h>

#define API_PROMPT_MAX 4000 /* bytes; more would take long beside a thousand labels */

/* The place of that label among labels [n] in `best`, or -1; `blank` says whether the prompt has
 * anything in it at all. Texts are UTF-8. ERR_MEMORY, ERR_INPUT for what is not UTF-8. */
int api_prompt_find(const char *prompt, char *const labels[], int n, int *best, bool *blank,
                    struct err *e);

#endif
