/* What our own edits and OpenAI's share. For the files of src/http/api only. */
#ifndef API_EDIT_H
#define API_EDIT_H

#include "api_dialect.h"

/* A number from 0 to 1, or -1 with a problem under "/strength". */
int api_edit_strength(const json_t *value, double *strength, bool *given, struct http_problem *p);

#endif
