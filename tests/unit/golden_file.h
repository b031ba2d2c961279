/* A reader for the golden files in tests of rooms below the checkpoint reader: float64 tensors and
 * the `info` JSON of a safetensors file under GOLDEN_DIR. Whatever is missing or of another shape
 * fails the running test; nothing is skipped. Include after <cmocka.h>. */
#ifndef GOLDEN_FILE_H
#define GOLDEN_FILE_H

#include "base_file.h"
#include "base_json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct golden_file {
    char path[1024];
    struct file_map map;
    json_t *header;
    const unsigned char *data; /* after the header */
    size_t data_length;
    json_t *info; /* NULL where the file has none */
};

static inline struct golden_file golden_open(const char *name)
{
    struct golden_file g = {0};
    struct err e = {0};
    uint64_t length = 0;
    snprintf(g.path, sizeof g.path, "%s/%s", GOLDEN_DIR, name);
    if (file_map_open(&g.map, g.path, &e) != 0)
        fail_msg("golden file: %s: %s", g.path, e.text);
    if (g.map.length < sizeof length)
        fail_msg("%s: too short for a safetensors file", g.path);
    memcpy(&length, g.map.data, sizeof length);
    if (length > g.map.length - sizeof length)
        fail_msg("%s: header is longer than the file", g.path);
    g.header = json_parse(g.map.data + sizeof length, (size_t)length, g.path, &e);
    if (g.header == NULL)
        fail_msg("%s: %s", g.path, e.text);
    g.data = g.map.data + sizeof length + length;
    g.data_length = g.map.length - sizeof length - (size_t)length;
    const char *info =
        json_string_value(json_object_get(json_object_get(g.header, "__metadata__"), "info"));
    if (info != NULL && (g.info = json_parse(info, strlen(info), g.path, &e)) == NULL)
        fail_msg("%s: info: %s", g.path, e.text);
    return g;
}

static inline void golden_close(struct golden_file *g)
{
    json_decref(g->info);
    json_decref(g->header);
    file_map_close(&g->map);
}

/* A copy of a float64 tensor, to be freed; its number of elements in *count. */
static inline double *golden_doubles(const struct golden_file *g, const char *name, size_t *count)
{
    const json_t *tensor = json_object_get(g->header, name);
    const char *type = json_string_value(json_object_get(tensor, "dtype"));
    const json_t *offsets = json_object_get(tensor, "data_offsets");
    json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    json_int_t end = json_integer_value(json_array_get(offsets, 1));
    if (type == NULL || strcmp(type, "F64") != 0)
        fail_msg("%s: no float64 tensor %s", g->path, name);
    if (begin < 0 || end <= begin || (size_t)end > g->data_length)
        fail_msg("%s: tensor %s lies outside the file", g->path, name);
    size_t bytes = (size_t)(end - begin);
    double *values = malloc(bytes);
    assert_non_null(values);
    memcpy(values, g->data + begin, bytes);
    *count = bytes / sizeof(double);
    return values;
}

/* Member `key` of the member `entry` of `info`. */
static inline int64_t golden_info_int(const struct golden_file *g, const char *entry,
                                      const char *key)
{
    const json_t *value = json_object_get(json_object_get(g->info, entry), key);
    if (!json_is_integer(value))
        fail_msg("%s: info has no integer %s of %s", g->path, key, entry);
    return json_integer_value(value);
}

#endif
