/* From what was saved to tables of tensors: which dict is the model, which holds the EMA, and how
 * names are cleaned.
 *
 * PFGM's reference saves {optimizer, model, ema, step}, where ema is {decay, num_updates,
 * shadow_params: list}. PFGM++'s saves {ema, net, step, optimizer_state} or {ema} of whole modules.
 * Other tools save a flat state dict, or averaged weights by name. Names may carry the "module." of
 * the parallel wrapper: it is stripped once, and only if every name of the table has it. A table
 * where some have it, or where it occurs twice, is refused: guessing there mixes up weights. */
#include "import_torch_internal.h"

#include <stdlib.h>
#include <string.h>

static const char prefix[] = "module.";
#define PREFIX_LENGTH (sizeof prefix - 1)

/* Fails with up to three of the names that have, or have not, the prefix. */
static int prefix_fail(const struct import_tensor_set *set, bool having, const char *why,
                       const char *path, struct err *e)
{
    char list[400] = "";
    size_t length = 0, n = 0;
    for (size_t i = 0; i < set->table.count; i++) {
        const char *name = set->table.tensors[i].name;
        if ((strncmp(name, prefix, PREFIX_LENGTH) == 0) != having || n++ >= 3)
            continue;
        length += (size_t)snprintf(list + length, sizeof list - length, "%s\"%.100s\"",
                                   length ? ", " : "", name);
    }
    if (n > 3)
        snprintf(list + length, sizeof list - length, " and %zu more", n - 3);
    return err_fail(e, ERR_INPUT, path, "%s: unexpected %s", why, list);
}

static int prefix_strip(struct import_tensor_set *set, const char *path, struct err *e)
{
    size_t having = 0;
    for (size_t i = 0; i < set->table.count; i++)
        having += strncmp(set->table.tensors[i].name, prefix, PREFIX_LENGTH) == 0;
    if (having == 0)
        return 0;
    if (having < set->table.count)
        return prefix_fail(set, 2 * having < set->table.count,
                           "some tensor names begin with \"module.\" and some do not", path, e);
    having = 0;
    for (size_t i = 0; i < set->table.count; i++)
        having += strncmp(set->table.tensors[i].name + PREFIX_LENGTH, prefix, PREFIX_LENGTH) == 0;
    if (having > 0)
        return prefix_fail(set, true, "tensor names begin with \"module.\" twice", path, e);
    for (size_t i = 0; i < set->table.count; i++)
        set->table.tensors[i].name += PREFIX_LENGTH;
    return 0;
}

/* A dict of names to tensors. Entries of other kinds are skipped if `others` allows, else refused.
 */
static int set_from_dict(struct import_tensor_set *set, const struct import_value *dict,
                         bool others, const char *path, struct err *e)
{
    if (import_tensor_set_allocate(set, dict->items.count / 2, path, e) != 0)
        return -1;
    for (size_t i = 0; i + 1 < dict->items.count; i += 2) {
        const struct import_value *key = dict->items.values[i];
        const struct import_value *value = dict->items.values[i + 1];
        if (value->kind != IMPORT_VALUE_TENSOR && others)
            continue;
        if (key->kind != IMPORT_VALUE_STRING || strlen(key->text.data) != key->text.length)
            return err_fail(e, ERR_INPUT, path, "a key of the state dict is no plain string");
        if (value->kind != IMPORT_VALUE_TENSOR)
            return err_fail(e, ERR_INPUT, path, "\"%.200s\" of the state dict is no tensor",
                            key->text.data);
        import_tensor_set_append(set, key->text.data, value->view);
    }
    return prefix_strip(set, path, e) != 0 || import_table_index(&set->table, path, e) != 0 ? -1
                                                                                            : 0;
}

/* The reference's list without names; each gets a name that says where it was. */
static int set_from_list(struct import_torch *t, const struct import_value *list, struct err *e)
{
    if (import_tensor_set_allocate(&t->ema, list->items.count, t->path, e) != 0)
        return -1;
    for (size_t i = 0; i < list->items.count; i++) {
        char name[48];
        snprintf(name, sizeof name, "ema.shadow_params[%zu]", i);
        if (list->items.values[i]->kind != IMPORT_VALUE_TENSOR)
            return err_fail(e, ERR_INPUT, t->path, "%s is no tensor", name);
        if (import_tensor_set_add(t, &t->ema, name, list->items.values[i]->view, e) != 0)
            return -1;
    }
    return import_table_index(&t->ema.table, t->path, e);
}

static bool holds_tensor(const struct import_value *dict)
{
    for (size_t i = 0; i + 1 < dict->items.count; i += 2)
        if (dict->items.values[i + 1]->kind == IMPORT_VALUE_TENSOR)
            return true;
    return false;
}

static int ema_read(struct import_torch *t, const struct import_value *ema, struct err *e)
{
    if (!ema || ema->kind == IMPORT_VALUE_NONE)
        return 0;
    const struct import_value *shadow = import_value_get(ema, "shadow_params");
    if (!shadow && ema->kind == IMPORT_VALUE_DICT && holds_tensor(ema)) {
        t->ema_kind = IMPORT_TORCH_EMA_NAMED;
        return set_from_dict(&t->ema, ema, true, t->path, e);
    }
    if (shadow && shadow->kind == IMPORT_VALUE_DICT) {
        t->ema_kind = IMPORT_TORCH_EMA_NAMED;
        return set_from_dict(&t->ema, shadow, false, t->path, e);
    }
    if (shadow && shadow->kind == IMPORT_VALUE_LIST) {
        t->ema_kind = IMPORT_TORCH_EMA_LIST;
        return set_from_list(t, shadow, e);
    }
    return err_fail(e, ERR_UNSUPPORTED, t->path,
                    "\"ema\" is neither {shadow_params: list or dict} nor a dict of tensors");
}

static bool is_module(const struct import_value *value)
{
    return value && value->kind == IMPORT_VALUE_OBJECT;
}

int import_torch_state_read(struct import_torch *t, struct err *e)
{
    const struct import_value *model = import_value_get(t->top, "model");
    const struct import_value *ema = import_value_get(t->top, "ema");
    const struct import_value *net = import_value_get(t->top, "net");
    const struct import_value *step = import_value_get(t->top, "step");
    bool state = model && model->kind == IMPORT_VALUE_DICT;
    bool whole = !state && (is_module(ema) || is_module(net));
    t->step = -1;
    if ((state || whole) && step && step->kind == IMPORT_VALUE_INT && step->integer >= 0)
        t->step = step->integer;
    if (whole)
        return import_torch_modules_read(t, ema, net, e);
    if (state)
        return set_from_dict(&t->model, model, false, t->path, e) != 0 || ema_read(t, ema, e) != 0
                   ? -1
                   : 0;
    if (t->top->kind != IMPORT_VALUE_DICT || !holds_tensor(t->top))
        return err_fail(e, ERR_INPUT, t->path,
                        "holds no weights: neither {\"model\": dict}, nor a dict of tensors, nor "
                        "{\"ema\": module}");
    return set_from_dict(&t->model, t->top, false, t->path, e);
}
