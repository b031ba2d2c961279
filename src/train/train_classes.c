/* The classes of a run: whether their names can stand in a checkpoint is found out before the first
 * step, not at the first save. */
#include "base_json.h"
#include "train_config.h"
#include <string.h>

/* Names for all numbers that labels had, to those for the classes that have images. */
static int narrow_labels(struct train_config *c, const struct data_set *data, struct err *e)
{
    json_t *labels = json_array();
    for (int i = 0; i < data->classes && labels; i++)
        if (json_array_append(labels, json_array_get(c->labels, (size_t)data->number[i])) != 0) {
            json_decref(labels);
            labels = NULL;
        }
    if (!labels)
        return err_fail_memory(e, 256);
    json_decref(c->labels);
    c->labels = labels;
    return 0;
}

static int check_name(const char *name, const char *path, struct err *e)
{
    if (strlen(name) > CKPT_LABEL_BYTES_MAX)
        return err_fail(e, ERR_LIMIT, path,
                        "the name of class \"%.128s…\" has %zu bytes, at most %d are possible: "
                        "rename its folder, or give names with \"labels\"",
                        name, strlen(name), CKPT_LABEL_BYTES_MAX);
    json_t *text = json_string(name);
    if (text || !*name) {
        json_decref(text);
        return *name ? 0 : err_fail(e, ERR_INPUT, path, "a class has no name");
    }
    text = json_text(name);
    json_fail(e, ERR_INPUT, path,
              "the name of class \"%s\" is not UTF-8: rename its folder, give names with "
              "\"labels\", or set \"conditional\" to false",
              text ? json_string_value(text) : "");
    json_decref(text);
    return -1;
}

int train_config_classes(struct train_config *c, const struct data_set *data, const char *path,
                         struct err *e)
{
    const size_t names = json_array_size(c->labels);
    if (names > 0 && data->number && names == (size_t)data->numbers &&
        narrow_labels(c, data, e) != 0)
        return -1;
    if (names > 0 && json_array_size(c->labels) != (size_t)data->classes)
        return err_fail(e, ERR_INPUT, "\"labels\"", "names %zu classes, the data have %d", names,
                        data->classes);
    if (!c->conditional)
        return 0;
    if (data->classes < 1)
        return err_fail(e, ERR_INPUT, "\"conditional\"",
                        "needs labels, and %s has none: put each class in a folder of its own",
                        path);
    if (data->classes > CKPT_LABELS_MAX)
        return err_fail(e, ERR_LIMIT, path,
                        "%d classes are too many to be learned: at most %d; \"conditional\": false "
                        "learns without them",
                        data->classes, CKPT_LABELS_MAX);
    for (int i = 0; i < data->classes; i++) {
        const char *given = json_string_value(json_array_get(c->labels, (size_t)i));
        if (check_name(given ? given : data->names[i], path, e) != 0)
            return -1;
    }
    c->arch.classes = data->classes;
    return 0;
}
