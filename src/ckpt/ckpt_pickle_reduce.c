/* What the few known globals mean. A call of one becomes data here; no code stands behind any of
 * them.
 *
 * NumPy's scalar and dtype and the codec call beneath them occur in optimiser states (a learning
 * rate kept as a NumPy number). Nobody reads those values, so they become opaque. */
#include "base_size.h"
#include "ckpt_pickle_machine.h"
#include <string.h>

enum meaning {
    MEANS_ORDERED_DICT,
    MEANS_TENSOR,    /* (storage, offset, size, stride, requires_grad, hooks, …) */
    MEANS_PARAMETER, /* (tensor, requires_grad, hooks) */
    MEANS_STORAGE,   /* a type of storages; never called */
    MEANS_OPAQUE
};

struct ckpt_global {
    const char *module, *name;
    enum meaning meaning;
    enum ckpt_dtype dtype; /* of a storage */
};

static const struct ckpt_global globals[] = {
    {"collections", "OrderedDict", MEANS_ORDERED_DICT, 0},
    {"torch._utils", "_rebuild_tensor_v2", MEANS_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", MEANS_PARAMETER, 0},
    {"torch", "DoubleStorage", MEANS_STORAGE, CKPT_F64},
    {"torch", "FloatStorage", MEANS_STORAGE, CKPT_F32},
    {"torch", "HalfStorage", MEANS_STORAGE, CKPT_F16},
    {"torch", "BFloat16Storage", MEANS_STORAGE, CKPT_BF16},
    {"torch", "LongStorage", MEANS_STORAGE, CKPT_I64},
    {"torch", "IntStorage", MEANS_STORAGE, CKPT_I32},
    {"torch", "ShortStorage", MEANS_STORAGE, CKPT_I16},
    {"torch", "CharStorage", MEANS_STORAGE, CKPT_I8},
    {"torch", "ByteStorage", MEANS_STORAGE, CKPT_U8},
    {"torch", "BoolStorage", MEANS_STORAGE, CKPT_BOOL},
    {"torch.storage", "UntypedStorage", MEANS_STORAGE, CKPT_U8},
    {"torch", "Size", MEANS_OPAQUE, 0},
    {"numpy", "dtype", MEANS_OPAQUE, 0},
    {"numpy.core.multiarray", "scalar", MEANS_OPAQUE, 0},
    {"numpy._core.multiarray", "scalar", MEANS_OPAQUE, 0},
    {"_codecs", "encode", MEANS_OPAQUE, 0},
};

static bool text_is(const char *text, size_t length, const char *word)
{
    return length == strlen(word) && memcmp(text, word, length) == 0;
}

struct ckpt_value *ckpt_global_find(struct ckpt_pickle *p, const char *module, size_t module_length,
                                    const char *name, size_t name_length)
{
    for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++) {
        if (!text_is(module, module_length, globals[i].module) ||
            !text_is(name, name_length, globals[i].name))
            continue;
        struct ckpt_value *value = ckpt_value_new(p, CKPT_VALUE_GLOBAL);
        if (value)
            value->global = &globals[i];
        return value;
    }
    ckpt_pickle_refuse(p, "refused global %.*s.%.*s",
                       module_length < 200 ? (int)module_length : 200, module,
                       name_length < 200 ? (int)name_length : 200, name);
    return NULL;
}

static struct ckpt_value *item(const struct ckpt_value *sequence, size_t i)
{
    return i < sequence->items.count ? sequence->items.values[i] : NULL;
}

static bool is_kind(const struct ckpt_value *value, enum ckpt_value_kind kind)
{
    return value && value->kind == kind;
}

/* A tuple or list of integers from 0 up, at most CKPT_RANK_MAX of them. */
static int extents_read(struct ckpt_pickle *p, const struct ckpt_value *values, const char *of,
                        uint64_t *out, int *rank)
{
    if (!is_kind(values, CKPT_VALUE_TUPLE) && !is_kind(values, CKPT_VALUE_LIST))
        return ckpt_pickle_refuse(p, "a tensor's %s is no tuple", of);
    if (values->items.count > CKPT_RANK_MAX)
        return ckpt_pickle_refuse(p, "a tensor of %zu dimensions, the limit is %d",
                                  values->items.count, CKPT_RANK_MAX);
    for (size_t i = 0; i < values->items.count; i++) {
        const struct ckpt_value *value = values->items.values[i];
        if (value->kind != CKPT_VALUE_INT || value->integer < 0)
            return ckpt_pickle_refuse(p, "a tensor's %s must hold integers from 0 up", of);
        out[i] = (uint64_t)value->integer;
    }
    *rank = (int)values->items.count;
    return 0;
}

/* The view must lie within its storage: offset + Σ (shape − 1) · stride < numel, unless it is
 * empty. */
static int view_check(struct ckpt_pickle *p, struct ckpt_view *view)
{
    size_t count = 1, last = view->offset;

    for (int i = 0; i < view->rank; i++)
        if (!size_mul(count, view->shape[i], &count))
            return ckpt_pickle_refuse(p, "a tensor's shape overflows");
    view->count = count;
    if (count == 0)
        return 0;
    for (int i = 0; i < view->rank; i++) {
        size_t reach;
        if (!size_mul(view->shape[i] - 1, view->stride[i], &reach) || !size_add(last, reach, &last))
            return ckpt_pickle_refuse(p, "a tensor's strides overflow");
    }
    if (last >= view->storage->numel)
        return ckpt_pickle_refuse(p,
                                  "a tensor reaches element %zu of storage \"%.100s\", which has "
                                  "%llu",
                                  last, view->storage->key,
                                  (unsigned long long)view->storage->numel);
    return 0;
}

static struct ckpt_value *tensor_call(struct ckpt_pickle *p, const struct ckpt_value *arguments)
{
    const struct ckpt_value *storage = item(arguments, 0), *offset = item(arguments, 1);
    struct ckpt_value *tensor = ckpt_value_new(p, CKPT_VALUE_TENSOR);
    struct ckpt_view *view = tensor ? ckpt_pickle_take(p, sizeof *view, p->e) : NULL;
    int strides;

    if (!view)
        return NULL;
    if (!is_kind(storage, CKPT_VALUE_STORAGE) || !is_kind(offset, CKPT_VALUE_INT) ||
        offset->integer < 0) {
        ckpt_pickle_refuse(p, "a tensor without storage and offset");
        return NULL;
    }
    view->storage = storage->storage;
    view->offset = (uint64_t)offset->integer;
    if (extents_read(p, item(arguments, 2), "size", view->shape, &view->rank) ||
        extents_read(p, item(arguments, 3), "stride", view->stride, &strides))
        return NULL;
    if (strides != view->rank) {
        ckpt_pickle_refuse(p, "a tensor of %d dimensions with %d strides", view->rank, strides);
        return NULL;
    }
    if (view_check(p, view))
        return NULL;
    tensor->view = view;
    return tensor;
}

/* OrderedDict() or OrderedDict([(key, value), …]). */
static struct ckpt_value *dict_call(struct ckpt_pickle *p, const struct ckpt_value *arguments)
{
    struct ckpt_value *dict = ckpt_value_new(p, CKPT_VALUE_DICT);
    const struct ckpt_value *pairs = item(arguments, 0);

    if (!dict || !pairs)
        return dict;
    if (!is_kind(pairs, CKPT_VALUE_LIST) || arguments->items.count > 1) {
        ckpt_pickle_refuse(p, "OrderedDict is called with something else than a list of pairs");
        return NULL;
    }
    for (size_t i = 0; i < pairs->items.count; i++) {
        const struct ckpt_value *pair = pairs->items.values[i];
        if ((pair->kind != CKPT_VALUE_TUPLE && pair->kind != CKPT_VALUE_LIST) ||
            pair->items.count != 2) {
            ckpt_pickle_refuse(p, "OrderedDict is called with something else than a list of pairs");
            return NULL;
        }
        if (ckpt_value_append(p, dict, pair->items.values[0]) ||
            ckpt_value_append(p, dict, pair->items.values[1]))
            return NULL;
    }
    return dict;
}

struct ckpt_value *ckpt_global_call(struct ckpt_pickle *p, const struct ckpt_value *callable,
                                    const struct ckpt_value *arguments)
{
    if (callable->kind != CKPT_VALUE_GLOBAL || arguments->kind != CKPT_VALUE_TUPLE) {
        ckpt_pickle_refuse(p, "refused to call something that is no known global");
        return NULL;
    }
    switch (callable->global->meaning) {
    case MEANS_ORDERED_DICT:
        return dict_call(p, arguments);
    case MEANS_TENSOR:
        return tensor_call(p, arguments);
    case MEANS_PARAMETER:
        if (is_kind(item(arguments, 0), CKPT_VALUE_TENSOR))
            return item(arguments, 0);
        ckpt_pickle_refuse(p, "a parameter without tensor");
        return NULL;
    case MEANS_OPAQUE:
        return ckpt_value_new(p, CKPT_VALUE_OPAQUE);
    case MEANS_STORAGE:
        break;
    }
    ckpt_pickle_refuse(p, "refused to call %s.%s", callable->global->module,
                       callable->global->name);
    return NULL;
}

/* ("storage", type, key, location, numel) and, in the older container, (…, view_metadata). */
struct ckpt_value *ckpt_storage_load(struct ckpt_pickle *p, const struct ckpt_value *id)
{
    struct ckpt_value *value = NULL;
    struct ckpt_storage *storage = NULL;

    if (id->kind != CKPT_VALUE_TUPLE || id->items.count < 5 || id->items.count > 6 ||
        !ckpt_value_is(item(id, 0), "storage") || !is_kind(item(id, 1), CKPT_VALUE_GLOBAL) ||
        item(id, 1)->global->meaning != MEANS_STORAGE || !is_kind(item(id, 2), CKPT_VALUE_STRING) ||
        !is_kind(item(id, 3), CKPT_VALUE_STRING) || !is_kind(item(id, 4), CKPT_VALUE_INT) ||
        item(id, 4)->integer < 0) {
        ckpt_pickle_refuse(p, "refused a persistent id that does not name a storage");
        return NULL;
    }
    if (id->items.count == 6 && item(id, 5)->kind != CKPT_VALUE_NONE) {
        ckpt_pickle_refuse(p, "storage \"%.100s\" is a view of another, which is not supported",
                           item(id, 2)->text.data);
        return NULL;
    }
    value = ckpt_value_new(p, CKPT_VALUE_STORAGE);
    storage = value ? ckpt_pickle_take(p, sizeof *storage, p->e) : NULL;
    if (!storage || ckpt_pointers_push(p, &p->storages, storage,
                                       CKPT_PICKLE_MEMORY / sizeof(void *), "storages"))
        return NULL;
    storage->key = item(id, 2)->text.data;
    storage->key_length = item(id, 2)->text.length;
    storage->dtype = item(id, 1)->global->dtype;
    storage->numel = (uint64_t)item(id, 4)->integer;
    value->storage = storage;
    return value;
}
