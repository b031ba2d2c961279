/* The description as JSON under CKPT_DESCRIPTION_KEY: one table of keys, one reader, one writer.
 *
 * The reader is strict: unknown keys are refused, because a setting that is silently ignored gives
 * other pictures than its author saw; a later version of the schema raises
 * CKPT_DESCRIPTION_VERSION. A description is plain data owned by its holder; only the labels are
 * allocated. */
#include "ckpt_description.h"

#include "ckpt_description_keys.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

int ckpt_description_check_planes(const struct ckpt_description *d, const char *t_max_key,
                                  const char *t_min_key, const char *what, struct err *e)
{
    if (d->t_min <= 0)
        return err_fail(e, ERR_INPUT, what, "\"%s\" must be greater than 0", t_min_key);
    if (d->t_max <= d->t_min)
        return err_fail(e, ERR_INPUT, what, "\"%s\" (%g) must be greater than \"%s\" (%g)",
                        t_max_key, d->t_max, t_min_key, d->t_min);
    return 0;
}

static int labels_read(const json_t *labels, struct ckpt_description *d, const char *what,
                       struct err *e)
{
    size_t n = json_array_size(labels);
    if (!labels)
        return 0;
    if (!json_is_array(labels) || n < 1 || n > CKPT_LABELS_MAX)
        return err_fail(e, ERR_INPUT, what, "\"labels\" must be an array of 1 to %d strings",
                        CKPT_LABELS_MAX);
    d->labels = calloc(n, sizeof *d->labels);
    if (!d->labels)
        return err_fail_memory(e, n * sizeof *d->labels);
    for (size_t i = 0; i < n; i++) {
        const char *label = json_string_value(json_array_get(labels, i));
        if (!label || !*label || strlen(label) > CKPT_LABEL_BYTES_MAX)
            return err_fail(e, ERR_INPUT, what,
                            "\"labels\" element %zu must be a string of 1 to %d bytes", i,
                            CKPT_LABEL_BYTES_MAX);
        d->labels[i] = strdup(label);
        if (!d->labels[i])
            return err_fail_memory(e, strlen(label) + 1);
        d->label_count++;
    }
    return 0;
}

/* Of labels that have been read. */
static int null_class_read(const json_t *root, struct ckpt_description *d, const char *what,
                           struct err *e)
{
    bool learned = true;
    if (json_get_bool(root, "null_class", false, &learned, what, e) != 0)
        return -1;
    if (!learned && d->label_count == 0)
        return err_fail(e, ERR_INPUT, what, "\"null_class\" is for a model with \"labels\"");
    d->no_null_class = !learned;
    return 0;
}

/* The member must be a string that fits `size` with its NUL. */
static int text_read(const json_t *object, const char *key, char *out, size_t size,
                     const char *what, struct err *e)
{
    const char *text = NULL;
    if (json_get_string(object, key, true, &text, what, e) != 0)
        return -1;
    if (strlen(text) >= size)
        return err_fail(e, ERR_LIMIT, what, "\"%s\" is longer than %zu bytes", key, size - 1);
    strcpy(out, text);
    return 0;
}

static int provenance_read(const json_t *root, struct ckpt_description *d, const char *what,
                           struct err *e)
{
    static const char *const keys[] = {"source_sha256", "source_name", "step", "weights"};
    const json_t *p = json_object_get(root, "provenance");
    size_t digits;
    d->provenance.step = -1;
    if (!json_is_object(p))
        return err_fail(e, ERR_INPUT, what, "\"provenance\" must be an object");
    if (json_only_keys(p, keys, 4, what, e) != 0 ||
        text_read(p, "source_sha256", d->provenance.source_sha256,
                  sizeof d->provenance.source_sha256, what, e) != 0 ||
        text_read(p, "source_name", d->provenance.source_name, sizeof d->provenance.source_name,
                  what, e) != 0 ||
        text_read(p, "weights", d->provenance.weights, sizeof d->provenance.weights, what, e) != 0)
        return -1;
    digits = strspn(d->provenance.source_sha256, "0123456789abcdef");
    if (d->provenance.source_sha256[digits] || (digits != 0 && digits != 64))
        return err_fail(e, ERR_INPUT, what,
                        "\"source_sha256\" must be 64 hexadecimal digits or "
                        "empty");
    if (strcmp(d->provenance.weights, "ema") != 0 && strcmp(d->provenance.weights, "raw") != 0)
        return err_fail(e, ERR_INPUT, what, "\"weights\" must be \"ema\" or \"raw\"");
    if (!json_is_null(json_object_get(p, "step")) &&
        json_get_int(p, "step", true, 0, INT64_MAX, &d->provenance.step, what, e) != 0)
        return -1;
    return 0;
}

static const struct ckpt_schema *const schemas[] = {
    [CKPT_FAMILY_PFGM] = &ckpt_schema_pfgm,
    [CKPT_FAMILY_EXACT] = &ckpt_schema_exact,
    [CKPT_FAMILY_PFGMPP] = &ckpt_schema_pfgmpp,
};
#define SCHEMAS (sizeof schemas / sizeof schemas[0])

const char *ckpt_family_name(enum ckpt_family family)
{
    return schemas[family]->family;
}

static int family_read(const json_t *root, struct ckpt_description *d, const char *what,
                       struct err *e)
{
    const char *family;
    char known[128] = "";
    size_t length = 0;
    if (json_get_string(root, "family", true, &family, what, e) != 0)
        return -1;
    for (size_t i = 0; i < SCHEMAS; i++) {
        if (strcmp(family, schemas[i]->family) == 0) {
            d->family = (enum ckpt_family)i;
            return 0;
        }
        length += (size_t)snprintf(known + length, sizeof known - length, "%s\"%s\"",
                                   i > 0 ? ", " : "", schemas[i]->family);
    }
    return err_fail(e, ERR_UNSUPPORTED, what, "unknown family \"%.40s\"; known: %s", family, known);
}

/* The keys of every family, and those of this one. */
static int keys_check(const json_t *root, const struct ckpt_schema *schema, const char *what,
                      struct err *e)
{
    const char *keys[CKPT_SCHEMA_KEYS_MAX + 7] = {
        "version", "family", "labels", "tuned", "provenance", "teacher_sha256", "null_class"};
    size_t count = 7;
    for (const char *const *key = schema->keys; *key; key++) {
        assert(count < sizeof keys / sizeof keys[0]);
        keys[count++] = *key;
    }
    return json_only_keys(root, keys, count, what, e);
}

/* Of a student, once its schedule is known. */
static int teacher_read(const json_t *root, struct ckpt_description *d, const char *what,
                        struct err *e)
{
    if (!json_object_get(root, "teacher_sha256"))
        return 0;
    if (text_read(root, "teacher_sha256", d->teacher_sha256, sizeof d->teacher_sha256, what, e) !=
        0)
        return -1;
    if (strspn(d->teacher_sha256, "0123456789abcdef") != SHA256_HEX_SIZE - 1)
        return err_fail(e, ERR_INPUT, what, "\"teacher_sha256\" must be 64 hexadecimal digits");
    if (d->tuned_count != 1 || d->tuned->method != ODE_EULER || d->tuned->nodes[0] != d->t_max)
        return err_fail(e, ERR_INPUT, what,
                        "a student (\"teacher_sha256\") must have one schedule in \"tuned\", of "
                        "euler, from t_max");
    return 0;
}

static int description_parse(const json_t *root, struct ckpt_description *d, const char *what,
                             struct err *e)
{
    int64_t version;
    if (!json_is_object(root))
        return err_fail(e, ERR_INPUT, what, "the description must be a JSON object");
    /* the version first: an unknown key of a later one is explained by it */
    if (json_get_int(root, "version", true, 1, INT64_MAX, &version, what, e) != 0)
        return -1;
    if (version != CKPT_DESCRIPTION_VERSION)
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "description version %lld; this build knows version %d; convert the "
                        "checkpoint again with it",
                        (long long)version, CKPT_DESCRIPTION_VERSION);
    if (family_read(root, d, what, e) != 0 || keys_check(root, schemas[d->family], what, e) != 0 ||
        labels_read(json_object_get(root, "labels"), d, what, e) != 0 ||
        null_class_read(root, d, what, e) != 0 || provenance_read(root, d, what, e) != 0)
        return -1;
    return schemas[d->family]->read(root, d, what, e) != 0 ||
                   ckpt_tuned_read(json_object_get(root, "tuned"), d, what, e) != 0 ||
                   teacher_read(root, d, what, e) != 0
               ? -1
               : 0;
}

int ckpt_description_read(const struct ckpt_file *f, struct ckpt_description *out, struct err *e)
{
    const char *text = ckpt_file_metadata(f, CKPT_DESCRIPTION_KEY);
    char what[256];
    json_t *root;
    int result;
    *out = (struct ckpt_description){0};
    if (!text)
        return err_fail(e, ERR_INPUT, ckpt_file_path(f),
                        "holds no model description (__metadata__ key \"" CKPT_DESCRIPTION_KEY
                        "\"): not a checkpoint that \"pfgm convert\" made");
    snprintf(what, sizeof what, "%.200s: description", ckpt_file_path(f));
    root = json_parse(text, strlen(text), what, e);
    if (!root)
        return -1;
    result = description_parse(root, out, what, e);
    json_decref(root);
    if (result != 0)
        ckpt_description_clear(out);
    return result;
}

struct image_shape ckpt_description_shape(const struct ckpt_description *d)
{
    return schemas[d->family]->shape(d);
}

void ckpt_description_clear(struct ckpt_description *d)
{
    for (int i = 0; i < d->label_count; i++)
        free(d->labels[i]);
    free(d->labels);
    for (int i = 0; i < d->tuned_count; i++)
        free(d->tuned[i].nodes);
    free(d->tuned);
    *d = (struct ckpt_description){0};
}

void ckpt_description_source(struct ckpt_description *d, const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    size_t from = length;
    while (from > 0 && path[from - 1] != '/')
        from--;
    if (from == length) /* "/" */
        from = 0;
    snprintf(d->provenance.source_name, sizeof d->provenance.source_name, "%.*s",
             (int)(length - from), path + from);
    json_t *text = json_text(d->provenance.source_name);
    snprintf(d->provenance.source_name, sizeof d->provenance.source_name, "%s",
             text ? json_string_value(text) : "");
    json_decref(text);
}

/* ---- writing ---- */

int ckpt_description_check_labels(const struct ckpt_description *d, const char *what, struct err *e)
{
    if (d->label_count > CKPT_LABELS_MAX)
        return err_fail(e, ERR_LIMIT, what, "%d classes are too many for a checkpoint: at most %d",
                        d->label_count, CKPT_LABELS_MAX);
    for (int i = 0; i < d->label_count; i++) {
        const size_t length = strlen(d->labels[i]);
        if (length < 1 || length > CKPT_LABEL_BYTES_MAX)
            return err_fail(e, ERR_LIMIT, what,
                            "the name of class \"%.128s\" has %zu bytes, 1 to %d are possible: "
                            "rename its folder",
                            d->labels[i], length, CKPT_LABEL_BYTES_MAX);
    }
    return 0;
}

static json_t *labels_json(const struct ckpt_description *d)
{
    json_t *labels = json_array();
    for (int i = 0; i < d->label_count; i++) {
        if (json_array_append_new(labels, json_string(d->labels[i])) != 0) {
            json_decref(labels);
            return NULL;
        }
    }
    return labels;
}

json_t *ckpt_description_json(const struct ckpt_description *d, struct err *e)
{
    int64_t step = d->provenance.step;
    if (ckpt_description_check_labels(d, "labels", e) != 0)
        return NULL;
    json_t *provenance =
        json_pack("{s:s, s:s, s:o, s:s}", "source_sha256", d->provenance.source_sha256,
                  "source_name", d->provenance.source_name, "step",
                  step < 0 ? json_null() : json_integer(step), "weights", d->provenance.weights);
    json_t *root = json_pack("{s:i, s:s}", "version", CKPT_DESCRIPTION_VERSION, "family",
                             ckpt_family_name(d->family));
    if (!root || schemas[d->family]->write(d, root) != 0 ||
        json_object_set(root, "provenance", provenance) != 0 ||
        (*d->teacher_sha256 &&
         json_object_set_new(root, "teacher_sha256", json_string(d->teacher_sha256)) != 0) ||
        (d->tuned_count > 0 && json_object_set_new(root, "tuned", ckpt_tuned_json(d)) != 0) ||
        (d->label_count > 0 && json_object_set_new(root, "labels", labels_json(d)) != 0) ||
        (d->no_null_class && json_object_set_new(root, "null_class", json_false()) != 0)) {
        json_decref(root);
        root = NULL;
    }
    json_decref(provenance);
    if (!root)
        json_fail(e, ERR_INPUT, "description",
                  "cannot be written as JSON: a number that is not finite, or text "
                  "that is not UTF-8");
    return root;
}
