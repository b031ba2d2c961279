/* An engine with one small model, for targets that need what a serving process keeps. Inside
 * tests/fuzz only. */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "engine.h"
#include "http_app.h"

#define FUZZ_SIDE 4    /* images are [1, FUZZ_SIDE, FUZZ_SIDE] */
#define FUZZ_IMAGES 4  /* of a request, at most */
#define FUZZ_BODY 4096 /* bytes of a JSON body, at most */
#define FUZZ_MODEL "m"

/* An exact field of a few pictures of two classes, "ankle boot" and "T-shirt/top", as FUZZ_MODEL.
 */
struct engine *fuzz_world_engine(void);

/* An application around such an engine, without a server; no connection ever waits on it. `options`
 * outlive it. */
void fuzz_world_app(struct http_app *app, const struct http_options *options);
/* Ends it and its engine. */
void fuzz_world_app_end(struct http_app *app);

/* A file of keys: "k" may do everything, "r" reads only. Its path lasts until the end. */
const char *fuzz_world_keys(void);

#endif
