/* The model is made here and not taken from conf/models: the smallest there is, so that a request
 * takes microseconds, and one with classes, which the bundled network of that size has none of. */
#include "fuzz_world.h"

#include "fuzz.h"

#include "base_crypto.h"
#include "base_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PICTURES 4
#define PIXELS (FUZZ_SIDE * FUZZ_SIDE)

static const char description[] =
    "{\"version\":1,\"family\":\"exact\",\"shape\":[1,4,4],\"t_max\":30,\"t_min\":1e-3,"
    "\"labels\":[\"ankle boot\",\"T-shirt/top\"],\"provenance\":{\"source_sha256\":\"\","
    "\"source_name\":\"\",\"step\":null,\"weights\":\"raw\"}}";

/* A name in a new folder; the file is removed with fuzz_forget once it has been read. */
static void file_name(char folder[64], char path[80])
{
    const char *base = getenv("TMPDIR");
    FUZZ_CHECK(snprintf(folder, 64, "%.40s/fuzz-XXXXXX", base && *base ? base : "/tmp") < 64);
    FUZZ_CHECK(mkdtemp(folder));
    snprintf(path, 80, "%s/file", folder);
}

struct engine *fuzz_world_engine(void)
{
    static const int32_t labels[PICTURES] = {0, 0, 1, -1};
    uint8_t sources[PICTURES * PIXELS];
    struct err e = {0};
    char folder[64], path[80];
    for (int i = 0; i < PICTURES * PIXELS; i++)
        sources[i] = (uint8_t)(i * i * 7);
    const struct ckpt_output tensors[] = {{.name = CKPT_SOURCES,
                                           .dtype = CKPT_U8,
                                           .rank = 2,
                                           .shape = {PICTURES, PIXELS},
                                           .data = sources},
                                          {.name = CKPT_SOURCE_LABELS,
                                           .dtype = CKPT_I32,
                                           .rank = 1,
                                           .shape = {PICTURES},
                                           .data = labels}};
    json_t *metadata = json_pack("{s:s}", CKPT_DESCRIPTION_KEY, description);
    file_name(folder, path);
    FUZZ_CHECK(ckpt_file_write(path, tensors, 2, metadata, &e) == 0);
    json_decref(metadata);
    struct model *m = model_load(path, &(struct model_options){0}, &e);
    unlink(path);
    rmdir(folder);
    FUZZ_CHECK(m);
    struct engine *g = engine_new(&(struct engine_options){1, 4, 8}, &e);
    FUZZ_CHECK(g && engine_model_add(g, FUZZ_MODEL, m, &e));
    return g;
}

static void nothing(void *connection)
{
    (void)connection;
}

void fuzz_world_app(struct http_app *app, const struct http_options *options)
{
    struct err e = {0};
    FUZZ_CHECK(http_app_init(app, fuzz_world_engine(), options, nothing, nothing, &e) == 0);
}

void fuzz_world_app_end(struct http_app *app)
{
    struct engine *g = app->engine;
    engine_drain(g);
    http_reader_stop(&app->reader);
    http_app_clear(app);
    engine_free(g);
}

const char *fuzz_world_keys(void)
{
    char digest[2][SHA256_HEX_SIZE], text[512];
    struct err e = {0};
    FUZZ_CHECK(sha256_hex("k", 1, digest[0], &e) == 0 && sha256_hex("r", 1, digest[1], &e) == 0);
    int length = snprintf(text, sizeof text, "all %s images=1000000000\nreader %s read-only\n",
                          digest[0], digest[1]);
    return fuzz_file(FUZZ_FILES - 1, text, (size_t)length);
}
