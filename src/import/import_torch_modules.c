/* Modules that were saved whole, as trees of objects: their tensors by dotted name.
 *
 * A module's attributes hold `_parameters` and `_buffers`, dicts of tensors, and `_modules`, a dict
 * of modules. The walk has a stack of its own and bounds for depth, modules and attributes, because
 * the pickle may let a module hold itself, or one module be held by all others. */
#include "import_torch_internal.h"

#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 16
#define MODULES_MAX 8192
#define ATTRIBUTES_MAX 4096 /* of one module, and entries of each of its dicts */
#define ENTRIES_MAX 262144  /* of all modules entered, since one of many may be entered often */
#define NAME_BYTES 256

struct frame {
    const struct import_value *modules; /* its dict, or NULL */
    size_t next;                        /* the entry to enter next */
    size_t length;                      /* of the module's name */
};

struct walk {
    const char *path;
    struct frame frames[DEPTH_MAX];
    int depth;
    size_t count;   /* of modules so far */
    size_t entries; /* attributes of those, and entries of their dicts */
    char name[NAME_BYTES];
    import_module_visit *visit;
    void *context;
};

/* A dict among the attributes, or *out NULL when it is not there. */
static int dict_get(const struct walk *w, const struct import_value *module, const char *attribute,
                    const struct import_value **out, struct err *e)
{
    const struct import_value *dict = import_value_attribute(module, attribute);
    *out = dict;
    if (!dict)
        return 0;
    if (dict->kind != IMPORT_VALUE_DICT)
        return err_fail(e, ERR_INPUT, w->path, "%s of module \"%.200s\" is no dict", attribute,
                        w->name);
    if (dict->items.count / 2 > ATTRIBUTES_MAX)
        return err_fail(e, ERR_LIMIT, w->path, "%s of module \"%.200s\" has more than %d entries",
                        attribute, w->name, ATTRIBUTES_MAX);
    return 0;
}

/* Counts what visiting a module looks through. */
static int entries_count(struct walk *w, const struct import_value *module, struct err *e)
{
    static const char *const dicts[] = {"_modules", "_parameters", "_buffers"};
    w->entries += module->object.state->items.count / 2;
    for (size_t i = 0; i < sizeof dicts / sizeof dicts[0]; i++) {
        const struct import_value *dict = NULL;
        if (dict_get(w, module, dicts[i], &dict, e) != 0)
            return -1;
        w->entries += dict ? dict->items.count / 2 : 0;
    }
    if (w->entries > ENTRIES_MAX)
        return err_fail(e, ERR_LIMIT, w->path, "the modules have more than %d attributes together",
                        ENTRIES_MAX);
    return 0;
}

static int module_enter(struct walk *w, const struct import_value *module, struct err *e)
{
    struct frame *frame = &w->frames[w->depth];
    if (module->kind != IMPORT_VALUE_OBJECT || !module->object.state)
        return err_fail(e, ERR_INPUT, w->path, "\"%.200s\" is no module", w->name);
    if (w->depth == DEPTH_MAX)
        return err_fail(e, ERR_LIMIT, w->path, "module \"%.200s\" is nested deeper than %d levels",
                        w->name, DEPTH_MAX);
    if (++w->count > MODULES_MAX)
        return err_fail(e, ERR_LIMIT, w->path, "more than %d modules", MODULES_MAX);
    if (module->object.state->items.count / 2 > ATTRIBUTES_MAX)
        return err_fail(e, ERR_LIMIT, w->path, "module \"%.200s\" has more than %d attributes",
                        w->name, ATTRIBUTES_MAX);
    *frame = (struct frame){.length = strlen(w->name)};
    if (entries_count(w, module, e) != 0 ||
        dict_get(w, module, "_modules", &frame->modules, e) != 0 ||
        w->visit(w->context, w->name, module, e) != 0)
        return -1;
    w->depth++;
    return 0;
}

/* The name of a member behind the module's own; `out` may be where that is. */
static int name_join(const struct walk *w, const char *module, size_t length,
                     const struct import_value *key, char out[NAME_BYTES], struct err *e)
{
    if (key->kind != IMPORT_VALUE_STRING || strlen(key->text.data) != key->text.length)
        return err_fail(e, ERR_INPUT, w->path, "a member of module \"%.200s\" has no plain name",
                        module);
    if (length + 1 + key->text.length >= NAME_BYTES)
        return err_fail(e, ERR_LIMIT, w->path, "a name in module \"%.200s\" is too long", module);
    memmove(out, module, length);
    if (length > 0)
        out[length++] = '.';
    memcpy(out + length, key->text.data, key->text.length + 1);
    return 0;
}

int import_modules_walk(const struct import_value *root, const char *path,
                        import_module_visit *visit, void *context, struct err *e)
{
    struct walk w = {.path = path, .visit = visit, .context = context};
    if (module_enter(&w, root, e) != 0)
        return -1;
    while (w.depth > 0) {
        struct frame *frame = &w.frames[w.depth - 1];
        if (!frame->modules || frame->next + 1 >= frame->modules->items.count) {
            w.depth--;
            continue;
        }
        const struct import_value *key = frame->modules->items.values[frame->next];
        const struct import_value *module = frame->modules->items.values[frame->next + 1];
        frame->next += 2;
        w.name[frame->length] = 0;
        if (name_join(&w, w.name, frame->length, key, w.name, e) != 0)
            return -1;
        if (module->kind != IMPORT_VALUE_NONE && module_enter(&w, module, e) != 0)
            return -1;
    }
    return 0;
}

/* ---- the tensors ---- */

struct gathering {
    struct import_torch *t;
    struct import_tensor_set *set;
    size_t count; /* of tensors */
};

/* Visits the tensors of a module: counts them while there is no room, adds them then. */
static int tensors_visit(void *context, const char *name, const struct import_value *module,
                         struct err *e)
{
    static const char *const dicts[] = {"_parameters", "_buffers"};
    struct gathering *g = context;
    struct walk w = {.path = g->t->path};
    const struct import_value *dict;
    char full[NAME_BYTES];
    snprintf(w.name, sizeof w.name, "%s", name);
    for (size_t d = 0; d < sizeof dicts / sizeof dicts[0]; d++) {
        if (dict_get(&w, module, dicts[d], &dict, e) != 0)
            return -1;
        for (size_t i = 0; dict && i + 1 < dict->items.count; i += 2) {
            const struct import_value *value = dict->items.values[i + 1];
            if (value->kind == IMPORT_VALUE_NONE)
                continue;
            if (name_join(&w, name, strlen(name), dict->items.values[i], full, e) != 0)
                return -1;
            if (value->kind != IMPORT_VALUE_TENSOR)
                return err_fail(e, ERR_INPUT, g->t->path, "\"%.200s\" in %s is no tensor", full,
                                dicts[d]);
            if (g->set->table.tensors &&
                import_tensor_set_add(g->t, g->set, full, value->view, e) != 0)
                return -1;
            if (++g->count > IMPORT_TENSORS_MAX)
                return err_fail(e, ERR_LIMIT, g->t->path, "more than %d tensors",
                                IMPORT_TENSORS_MAX);
        }
    }
    return 0;
}

static int tensors_gather(struct import_torch *t, const struct import_value *module,
                          struct import_tensor_set *set, struct err *e)
{
    struct gathering g = {.t = t, .set = set};
    if (import_modules_walk(module, t->path, tensors_visit, &g, e) != 0 ||
        import_tensor_set_allocate(set, g.count, t->path, e) != 0 ||
        import_modules_walk(module, t->path, tensors_visit, &g, e) != 0)
        return -1;
    return import_table_index(&set->table, t->path, e);
}

int import_torch_modules_read(struct import_torch *t, const struct import_value *ema,
                              const struct import_value *net, struct err *e)
{
    if (ema && ema->kind != IMPORT_VALUE_NONE) {
        if (ema->kind != IMPORT_VALUE_OBJECT)
            return err_fail(e, ERR_INPUT, t->path, "\"ema\" is no module, but \"net\" is");
        t->ema_module = ema;
        t->ema_kind = IMPORT_TORCH_EMA_NAMED;
        if (tensors_gather(t, ema, &t->ema, e) != 0)
            return -1;
    }
    if (net && net->kind != IMPORT_VALUE_NONE) {
        if (net->kind != IMPORT_VALUE_OBJECT)
            return err_fail(e, ERR_INPUT, t->path, "\"net\" is no module, but \"ema\" is");
        t->net_module = net;
        if (tensors_gather(t, net, &t->model, e) != 0)
            return -1;
    }
    return 0;
}
