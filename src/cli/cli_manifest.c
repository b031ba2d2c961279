/* Lines, so that a shard of any size is read and written a line at a time, and so that a journal
 * grows by appending. The whole stands in the first line word by word, and what two shards of one
 * whole must have in common is compared member by member: the error can then name it. */
#include "cli_manifest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1 /* of these lines */

uint64_t cli_range_begin(struct cli_range r)
{
    return (r.shard - 1) * r.n / r.shards;
}

uint64_t cli_range_end(struct cli_range r)
{
    return r.shard * r.n / r.shards;
}

uint64_t cli_manifest_index(const struct cli_manifest *m, size_t k)
{
    return m->first_index + cli_range_begin(m->range) + k;
}

size_t cli_manifest_missing(const struct cli_manifest *m)
{
    size_t missing = 0;
    for (size_t k = 0; k < m->count; k++)
        missing += !m->images[k].there;
    return missing;
}

void cli_manifest_clear(struct cli_manifest *m)
{
    json_decref(m->head);
    free(m->images);
    *m = (struct cli_manifest){0};
}

static int make_images(struct cli_manifest *m, struct err *e)
{
    m->count = (size_t)(cli_range_end(m->range) - cli_range_begin(m->range));
    m->images = calloc(m->count ? m->count : 1, sizeof *m->images);
    return m->images ? 0 : err_fail_memory(e, m->count * sizeof *m->images);
}

/* ---- making ---- */

static json_t *class_json(const struct engine_class *c)
{
    switch (c->rule) {
    case ENGINE_CLASS_GIVEN:
        return json_integer(c->label);
    case ENGINE_CLASS_NONE:
        return json_string("none");
    case ENGINE_CLASS_EACH:
        return json_string("each");
    case ENGINE_CLASS_DRAWN:
    case ENGINE_CLASS_LISTED: /* latents and shards do not go together */
        break;
    }
    return json_string("drawn");
}

static json_t *digits_json(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

int cli_manifest_make(const struct engine_order *whole, struct cli_range range, bool pixels,
                      struct cli_manifest *out, struct err *e)
{
    const struct model *m = engine_model_get(whole->model);
    struct buf rule;
    json_t *text = NULL, *head = NULL;
    *out = (struct cli_manifest){.range = range,
                                 .pixels = pixels,
                                 .classes = model_class_count(m) > 0,
                                 .seed = whole->seed,
                                 .first_index = whole->first_index,
                                 .shape = model_shape(m)};
    buf_init(&rule, 65536);
    if (engine_seed_text(whole, whole->first_index, NULL, &rule, e) == 0)
        text = json_parse(rule.data, rule.length, "seed rule", e);
    buf_clear(&rule);
    if (!text)
        return -1;
    head = json_with(json_object(), "pfgm_shards", json_integer(FORMAT));
    head = json_with(head, "shard", json_integer((json_int_t)range.shard));
    head = json_with(head, "shards", json_integer((json_int_t)range.shards));
    head = json_with(head, "n", json_integer((json_int_t)range.n));
    head = json_with(head, "seed", digits_json(whole->seed));
    head = json_with(head, "first_index", digits_json(whole->first_index));
    head = json_with(head, "form", json_string(pixels ? "pixels" : "png"));
    head =
        json_with(head, "shape",
                  json_pack("[i,i,i]", out->shape.channels, out->shape.height, out->shape.width));
    head = json_with(head, "classes", json_boolean(out->classes));
    head = json_with(head, "class", class_json(&whole->class));
    out->head = json_with(head, "seed_rule", text);
    if (out->head && make_images(out, e) == 0)
        return 0;
    if (!out->head)
        err_fail_memory(e, 4096);
    cli_manifest_clear(out);
    return -1;
}

/* ---- writing ---- */

int cli_manifest_head(const struct cli_manifest *m, struct buf *out, struct err *e)
{
    return json_append(out, m->head, 0, e) != 0 || buf_string(out, "\n", e) != 0 ? -1 : 0;
}

int cli_manifest_line(const struct cli_manifest *m, size_t k, struct buf *out, struct err *e)
{
    const struct cli_manifest_image *image = &m->images[k];
    char class[16] = "null";
    if (image->label != MODEL_CLASS_NONE)
        snprintf(class, sizeof class, "%" PRId32, image->label);
    return buf_format(out, e, "{\"index\":\"%" PRIu64 "\",\"class\":%s,\"sha256\":\"%s\"}\n",
                      cli_manifest_index(m, k), class, image->sha256);
}

int cli_manifest_text(const struct cli_manifest *m, struct buf *out, struct err *e)
{
    int result = cli_manifest_head(m, out, e);
    for (size_t k = 0; result == 0 && k < m->count; k++)
        result = cli_manifest_line(m, k, out, e);
    return result;
}

/* ---- reading ---- */

static bool read_count(const json_t *head, const char *key, uint64_t max, uint64_t *out)
{
    const json_t *value = json_object_get(head, key);
    const bool good = json_is_integer(value) && json_integer_value(value) >= 1 &&
                      (uint64_t)json_integer_value(value) <= max;
    if (good)
        *out = (uint64_t)json_integer_value(value);
    return good;
}

static bool read_shape(const json_t *shape, struct image_shape *out)
{
    int *const sides[] = {&out->channels, &out->height, &out->width};
    for (size_t i = 0; i < 3; i++) {
        const json_int_t side = json_integer_value(json_array_get(shape, i));
        if (side < 1 || side > IMAGE_SIDE_MAX)
            return false;
        *sides[i] = (int)side;
    }
    return json_array_size(shape) == 3 && out->channels <= 16;
}

/* Takes the head over. */
static int read_head(json_t *head, const char *path, struct cli_manifest *out, struct err *e)
{
    const char *form = json_string_value(json_object_get(head, "form"));
    *out = (struct cli_manifest){.head = head};
    if (json_integer_value(json_object_get(head, "pfgm_shards")) != FORMAT)
        return err_fail(e, ERR_INPUT, path, "is no manifest of a shard that this pfgm can read");
    const bool good = read_count(head, "shards", CLI_SHARDS_MAX, &out->range.shards) &&
                      read_count(head, "shard", out->range.shards, &out->range.shard) &&
                      read_count(head, "n", CLI_IMAGES_MAX, &out->range.n) &&
                      out->range.n >= out->range.shards &&
                      json_u64_read(json_object_get(head, "seed"), &out->seed) &&
                      json_u64_read(json_object_get(head, "first_index"), &out->first_index) &&
                      out->first_index <= UINT64_MAX - out->range.n + 1 && form &&
                      (strcmp(form, "png") == 0 || strcmp(form, "pixels") == 0) &&
                      json_is_boolean(json_object_get(head, "classes")) &&
                      json_is_object(json_object_get(head, "seed_rule")) &&
                      read_shape(json_object_get(head, "shape"), &out->shape);
    if (!good)
        return err_fail(e, ERR_INPUT, path, "the first line is no head of a shard's manifest");
    out->pixels = strcmp(form, "pixels") == 0;
    out->classes = json_is_true(json_object_get(head, "classes"));
    return 0;
}

static bool is_digest(const char *word)
{
    return word && strlen(word) == SHA256_HEX_SIZE - 1 &&
           strspn(word, "0123456789abcdef") == SHA256_HEX_SIZE - 1;
}

static int read_image(const json_t *line, const char *path, struct cli_manifest *m, struct err *e)
{
    const json_t *class = json_object_get(line, "class");
    const char *digest = json_string_value(json_object_get(line, "sha256"));
    const json_int_t label = json_is_integer(class) ? json_integer_value(class) : MODEL_CLASS_NONE;
    uint64_t index;
    if (!json_u64_read(json_object_get(line, "index"), &index) || !is_digest(digest) ||
        (class && !json_is_null(class) && (label < 0 || label > INT32_MAX)))
        return err_fail(e, ERR_INPUT, path, "has a line that says nothing of an image");
    if (index < cli_manifest_index(m, 0) || index - cli_manifest_index(m, 0) >= m->count)
        return err_fail(e, ERR_INPUT, path,
                        "names image %" PRIu64 ", which is not of shard %" PRIu64 "/%" PRIu64,
                        index, m->range.shard, m->range.shards);
    struct cli_manifest_image *image = &m->images[index - cli_manifest_index(m, 0)];
    image->there = true;
    image->label = (int32_t)label;
    memcpy(image->sha256, digest, SHA256_HEX_SIZE);
    return 0;
}

int cli_manifest_read_head(const char *text, size_t length, const char *path,
                           struct cli_manifest *out, struct err *e)
{
    *out = (struct cli_manifest){0};
    json_t *line = json_parse(text, length, path, e);
    if (line && read_head(line, path, out, e) == 0)
        return 0;
    cli_manifest_clear(out);
    return -1;
}

int cli_manifest_read(const char *text, size_t length, const char *path, struct cli_manifest *out,
                      struct err *e)
{
    int result = 0;
    *out = (struct cli_manifest){0};
    for (const char *end;
         result == 0 && length > 0 && (end = memchr(text, '\n', length)) != NULL;) {
        const size_t bytes = (size_t)(end - text);
        json_t *line = json_parse(text, bytes, path, e);
        if (!line) {
            result = -1;
        } else if (!out->head) {
            result = read_head(line, path, out, e); /* which owns it */
            if (result == 0)
                result = make_images(out, e);
        } else {
            result = read_image(line, path, out, e);
            json_decref(line);
        }
        length -= bytes + 1;
        text = end + 1;
    }
    if (result == 0 && !out->head)
        result = err_fail(e, ERR_INPUT, path, "is no manifest of a shard: it has no whole line");
    if (result != 0)
        cli_manifest_clear(out);
    return result;
}

/* ---- comparing ---- */

/* The text of a member, to be freed; "nothing" where there is none. */
static char *text_of(const json_t *value)
{
    char *text = value ? json_dumped(value, JSON_COMPACT | JSON_ENCODE_ANY, NULL) : NULL;
    return text ? text : strdup("nothing");
}

static int fail_differs(const char *name, const json_t *found, const json_t *wanted,
                        const char *path, struct err *e)
{
    char *a = text_of(found), *b = text_of(wanted);
    err_fail(e, ERR_INPUT, path, "is of another run: its %s is %s, and not %s", name, a ? a : "?",
             b ? b : "?");
    free(a);
    free(b);
    return -1;
}

/* Members of `wanted` that `found` has otherwise; those of `skip` aside. */
static int compare_members(const json_t *found, const json_t *wanted, const char *const *skip,
                           const char *path, struct err *e)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)wanted, key, value)
    {
        bool skipped = false;
        for (size_t i = 0; skip[i]; i++)
            skipped |= strcmp(skip[i], key) == 0;
        if (!skipped && !json_equal(json_object_get(found, key), value))
            return fail_differs(key, json_object_get(found, key), value, path, e);
    }
    return 0;
}

int cli_manifest_compare(const struct cli_manifest *found, const struct cli_manifest *wanted,
                         bool same_shard, const char *path, struct err *e)
{
    static const char *const of_rule[] = {"class", "index", "seed", "format", NULL};
    static const char *const of_head[] = {"shard", "seed_rule", NULL};
    const json_t *rules[] = {json_object_get(found->head, "seed_rule"),
                             json_object_get(wanted->head, "seed_rule")};
    if (compare_members(rules[0], rules[1], of_rule, path, e) != 0 ||
        compare_members(found->head, wanted->head, of_head, path, e) != 0)
        return -1;
    if (!same_shard || found->range.shard == wanted->range.shard)
        return 0;
    return err_fail(e, ERR_INPUT, path,
                    "is shard %" PRIu64 "/%" PRIu64 ", and not shard %" PRIu64
                    ": each shard needs a file of its own",
                    found->range.shard, found->range.shards, wanted->range.shard);
}

int cli_manifest_rule(const struct cli_manifest *m, size_t k, struct buf *out, struct err *e)
{
    json_t *rule = json_copy(json_object_get(m->head, "seed_rule"));
    const int32_t label = m->images[k].label;
    rule = json_with(rule, "class", label == MODEL_CLASS_NONE ? json_null() : json_integer(label));
    rule = json_with(rule, "index", digits_json(cli_manifest_index(m, k)));
    const int result = rule ? json_append(out, rule, 0, e) : err_fail_memory(e, 512);
    json_decref(rule);
    return result;
}
