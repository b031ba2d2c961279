/* What the few known globals mean. A call of one becomes data here; no code stands behind any of
 * them.
 *
 * NumPy's scalar and dtype and the codec call beneath them occur in optimiser states (a learning
 * rate kept as a NumPy number) and sets in modules. Nobody reads those values, so they become
 * opaque.
 *
 * A module that was saved whole is a record: its class's name, the source text of that class, and
 * its attributes. Python would run that text; here it stays text, and what is kept is the name and
 * the attributes. The storages of a plain pickle are streams of torch.save inside bytes. */
#include "base_size.h"
#include "import_pickle_machine.h"
#include "import_stream.h"
#include <stdio.h>
#include <string.h>

enum meaning {
    MEANS_ORDERED_DICT,
    MEANS_TENSOR,    /* (storage, offset, size, stride, requires_grad, hooks, …) */
    MEANS_PARAMETER, /* (tensor, requires_grad, hooks) */
    MEANS_STORAGE,   /* a type of storages; never called */
    MEANS_RECORD,    /* ({type, version, module_src, class_name, state}) */
    MEANS_MODULES,   /* a class of torch's that holds modules by name */
    MEANS_STREAM,    /* (bytes): a storage, saved as a stream of its own */
    MEANS_OPAQUE
};

#define RECORD_VERSION 6
#define STREAM_KEY 40 /* bytes of a key */

struct import_global {
    const char *module, *name;
    enum meaning meaning;
    enum ckpt_dtype dtype; /* of a storage */
};

static const struct import_global globals[] = {
    {"collections", "OrderedDict", MEANS_ORDERED_DICT, 0},
    {"dnnlib.util", "EasyDict", MEANS_ORDERED_DICT, 0},
    {"torch_utils.persistence", "_reconstruct_persistent_obj", MEANS_RECORD, 0},
    {"torch.nn.modules.container", "ModuleDict", MEANS_MODULES, 0},
    {"torch.storage", "_load_from_bytes", MEANS_STREAM, 0},
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
    {"__builtin__", "set", MEANS_OPAQUE, 0},
    {"builtins", "set", MEANS_OPAQUE, 0},
};

static bool text_is(const char *text, size_t length, const char *word)
{
    return length == strlen(word) && memcmp(text, word, length) == 0;
}

struct import_value *import_global_find(struct import_pickle *p, const char *module,
                                        size_t module_length, const char *name, size_t name_length)
{
    for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++) {
        if (!text_is(module, module_length, globals[i].module) ||
            !text_is(name, name_length, globals[i].name))
            continue;
        struct import_value *value = import_value_new(p, IMPORT_VALUE_GLOBAL);
        if (value)
            value->global = &globals[i];
        return value;
    }
    import_pickle_refuse(p, "refused global %.*s.%.*s",
                         module_length < 200 ? (int)module_length : 200, module,
                         name_length < 200 ? (int)name_length : 200, name);
    return NULL;
}

static struct import_value *item(const struct import_value *sequence, size_t i)
{
    return i < sequence->items.count ? sequence->items.values[i] : NULL;
}

static bool is_kind(const struct import_value *value, enum import_value_kind kind)
{
    return value && value->kind == kind;
}

/* A tuple or list of integers from 0 up, at most CKPT_RANK_MAX of them. */
static int extents_read(struct import_pickle *p, const struct import_value *values, const char *of,
                        uint64_t *out, int *rank)
{
    if (!is_kind(values, IMPORT_VALUE_TUPLE) && !is_kind(values, IMPORT_VALUE_LIST))
        return import_pickle_refuse(p, "a tensor's %s is no tuple", of);
    if (values->items.count > CKPT_RANK_MAX)
        return import_pickle_refuse(p, "a tensor of %zu dimensions, the limit is %d",
                                    values->items.count, CKPT_RANK_MAX);
    for (size_t i = 0; i < values->items.count; i++) {
        const struct import_value *value = values->items.values[i];
        if (value->kind != IMPORT_VALUE_INT || value->integer < 0)
            return import_pickle_refuse(p, "a tensor's %s must hold integers from 0 up", of);
        out[i] = (uint64_t)value->integer;
    }
    *rank = (int)values->items.count;
    return 0;
}

/* The view must lie within its storage: offset + Σ (shape − 1) · stride < numel, unless it is
 * empty. */
static int view_check(struct import_pickle *p, struct import_view *view)
{
    size_t count = 1, last = view->offset;
    for (int i = 0; i < view->rank; i++)
        if (!size_mul(count, view->shape[i], &count))
            return import_pickle_refuse(p, "a tensor's shape overflows");
    view->count = count;
    if (count == 0)
        return 0;
    for (int i = 0; i < view->rank; i++) {
        size_t reach;
        if (!size_mul(view->shape[i] - 1, view->stride[i], &reach) || !size_add(last, reach, &last))
            return import_pickle_refuse(p, "a tensor's strides overflow");
    }
    if (last >= view->storage->numel)
        return import_pickle_refuse(p,
                                    "a tensor reaches element %zu of storage \"%.100s\", which has "
                                    "%llu",
                                    last, view->storage->key,
                                    (unsigned long long)view->storage->numel);
    return 0;
}

static struct import_value *tensor_call(struct import_pickle *p,
                                        const struct import_value *arguments)
{
    const struct import_value *storage = item(arguments, 0), *offset = item(arguments, 1);
    struct import_value *tensor = import_value_new(p, IMPORT_VALUE_TENSOR);
    struct import_view *view = tensor ? import_pickle_take(p, sizeof *view, p->e) : NULL;
    int strides;
    if (!view)
        return NULL;
    if (!is_kind(storage, IMPORT_VALUE_STORAGE) || !is_kind(offset, IMPORT_VALUE_INT) ||
        offset->integer < 0) {
        import_pickle_refuse(p, "a tensor without storage and offset");
        return NULL;
    }
    /* Behind requires_grad and hooks: what is to be done to the values before they are used. */
    const struct import_value *metadata = item(arguments, 6);
    if (metadata && !is_kind(metadata, IMPORT_VALUE_NONE) &&
        !(is_kind(metadata, IMPORT_VALUE_DICT) && metadata->items.count == 0)) {
        import_pickle_refuse(p, "a tensor with metadata, such as one that is to be negated when it "
                                "is used: save it with resolve_neg() and resolve_conj()");
        return NULL;
    }
    view->storage = storage->storage;
    view->offset = (uint64_t)offset->integer;
    if (extents_read(p, item(arguments, 2), "size", view->shape, &view->rank) != 0 ||
        extents_read(p, item(arguments, 3), "stride", view->stride, &strides) != 0)
        return NULL;
    if (strides != view->rank) {
        import_pickle_refuse(p, "a tensor of %d dimensions with %d strides", view->rank, strides);
        return NULL;
    }
    if (view_check(p, view) != 0)
        return NULL;
    tensor->view = view;
    return tensor;
}

/* OrderedDict() or OrderedDict([(key, value), …]). */
static struct import_value *dict_call(struct import_pickle *p, const struct import_value *arguments)
{
    struct import_value *dict = import_value_new(p, IMPORT_VALUE_DICT);
    const struct import_value *pairs = item(arguments, 0);
    if (!dict || !pairs)
        return dict;
    if (!is_kind(pairs, IMPORT_VALUE_LIST) || arguments->items.count > 1) {
        import_pickle_refuse(p, "OrderedDict is called with something else than a list of pairs");
        return NULL;
    }
    for (size_t i = 0; i < pairs->items.count; i++) {
        const struct import_value *pair = pairs->items.values[i];
        if ((pair->kind != IMPORT_VALUE_TUPLE && pair->kind != IMPORT_VALUE_LIST) ||
            pair->items.count != 2) {
            import_pickle_refuse(p,
                                 "OrderedDict is called with something else than a list of pairs");
            return NULL;
        }
        if (import_value_append(p, dict, pair->items.values[0]) != 0 ||
            import_value_append(p, dict, pair->items.values[1]) != 0)
            return NULL;
    }
    return dict;
}

/* The persistence record of an object: what its class is called, and its attributes. A record is
 * looked through at each call, so the items of all calls are bounded together: each item takes a
 * byte of the pickle at least to set, and an honest pickle calls a record once. */
static struct import_value *record_call(struct import_pickle *p,
                                        const struct import_value *arguments)
{
    const struct import_value *record = item(arguments, 0);
    p->record_items += is_kind(record, IMPORT_VALUE_DICT) ? record->items.count : 0;
    if (p->record_items > (uint64_t)(p->end - p->begin)) {
        import_pickle_refuse(p, "persistence records are called more often than they are there");
        return NULL;
    }
    const struct import_value *type = import_value_get(record, "type");
    const struct import_value *version = import_value_get(record, "version");
    const struct import_value *name = import_value_get(record, "class_name");
    const struct import_value *state = import_value_get(record, "state");
    struct import_value *object = import_value_new(p, IMPORT_VALUE_OBJECT);

    if (!object)
        return NULL;
    if (arguments->items.count != 1 || !type || !import_value_is(type, "class") ||
        !is_kind(name, IMPORT_VALUE_STRING) || strlen(name->text.data) != name->text.length ||
        !is_kind(state, IMPORT_VALUE_DICT)) {
        import_pickle_refuse(p,
                             "a persistence record without type \"class\", class_name and state");
        return NULL;
    }
    if (!is_kind(version, IMPORT_VALUE_INT) || version->integer != RECORD_VERSION) {
        import_pickle_refuse(p, "a persistence record of an unknown version, %d is known",
                             RECORD_VERSION);
        return NULL;
    }
    object->object.class_name = name->text.data;
    object->object.state = state;
    return object;
}

/* Streams are bounded together: a memo lets a pickle of few bytes name one of many, many times. */
static struct import_value *stream_call(struct import_pickle *p,
                                        const struct import_value *arguments)
{
    const struct import_value *bytes = item(arguments, 0);
    struct import_value *value = NULL;
    char *key = NULL, what[256];
    if (p->nested || !is_kind(bytes, IMPORT_VALUE_BYTES) || arguments->items.count != 1) {
        import_pickle_refuse(p, p->nested ? "a stream within a stream" : "a stream without bytes");
        return NULL;
    }
    p->stream_bytes += bytes->text.length;
    if (p->stream_bytes > (uint64_t)(p->end - p->begin)) {
        import_pickle_refuse(p, "embedded streams are loaded more often than they are there");
        return NULL;
    }
    const unsigned char *data = (const unsigned char *)bytes->text.data;
    value = import_value_new(p, IMPORT_VALUE_STORAGE);
    if (!value || !(value->storage = import_pickle_take(p, sizeof *value->storage, p->e)) ||
        !(key = import_pickle_take(p, STREAM_KEY, p->e)))
        return NULL;
    snprintf(key, STREAM_KEY, "embedded at %zu", (size_t)(data - p->begin));
    snprintf(what, sizeof what, "%.200s, %s", p->what, key);
    if (import_stream_storage(data, bytes->text.length, what, value->storage, p->e) != 0)
        return NULL;
    /* equal keys in two streams name two storages, so each gets one that says where it is */
    value->storage->key = key;
    value->storage->key_length = strlen(key);
    return import_pointers_push(p, &p->storages, value->storage,
                                IMPORT_PICKLE_MEMORY / sizeof(void *), "storages") != 0
               ? NULL
               : value;
}

struct import_value *import_global_call(struct import_pickle *p,
                                        const struct import_value *callable,
                                        const struct import_value *arguments)
{
    if (callable->kind != IMPORT_VALUE_GLOBAL || arguments->kind != IMPORT_VALUE_TUPLE) {
        import_pickle_refuse(p, "refused to call something that is no known global");
        return NULL;
    }
    switch (callable->global->meaning) {
    case MEANS_ORDERED_DICT:
        return dict_call(p, arguments);
    case MEANS_TENSOR:
        return tensor_call(p, arguments);
    case MEANS_PARAMETER:
        if (is_kind(item(arguments, 0), IMPORT_VALUE_TENSOR))
            return item(arguments, 0);
        import_pickle_refuse(p, "a parameter without tensor");
        return NULL;
    case MEANS_RECORD:
        return record_call(p, arguments);
    case MEANS_STREAM:
        return stream_call(p, arguments);
    case MEANS_OPAQUE:
        return import_value_new(p, IMPORT_VALUE_OPAQUE);
    case MEANS_STORAGE:
    case MEANS_MODULES:
        break;
    }
    import_pickle_refuse(p, "refused to call %s.%s", callable->global->module,
                         callable->global->name);
    return NULL;
}

struct import_value *import_global_instance(struct import_pickle *p,
                                            const struct import_value *class,
                                            const struct import_value *arguments)
{
    const struct import_global *global = class->kind == IMPORT_VALUE_GLOBAL ? class->global : NULL;
    bool plain = arguments->kind == IMPORT_VALUE_TUPLE && arguments->items.count == 0;
    if (global && plain && global->meaning == MEANS_ORDERED_DICT)
        return import_value_new(p, IMPORT_VALUE_DICT);
    if (global && plain && global->meaning == MEANS_MODULES) {
        struct import_value *object = import_value_new(p, IMPORT_VALUE_OBJECT);
        if (object)
            object->object.class_name = global->name;
        return object;
    }
    import_pickle_refuse(p, "refused to make an instance of %s%s%s",
                         global ? global->module : "something that is no known class",
                         global ? "." : "", global ? global->name : "");
    return NULL;
}

/* For a dict the state is attributes (a state dict's _metadata), for an opaque object nothing that
 * matters: both are dropped. An object of torch's gets its attributes once; a record has them. */
int import_object_build(struct import_pickle *p, struct import_value *object,
                        const struct import_value *state)
{
    if (object->kind == IMPORT_VALUE_DICT || object->kind == IMPORT_VALUE_OPAQUE)
        return 0;
    if (object->kind != IMPORT_VALUE_OBJECT || object->object.state ||
        state->kind != IMPORT_VALUE_DICT)
        return import_pickle_refuse(p, "refused to set the state of an object");
    object->object.state = state;
    return 0;
}

/* ("storage", type, key, location, numel) and, in the older container, (…, view_metadata). */
struct import_value *import_storage_load(struct import_pickle *p, const struct import_value *id)
{
    struct import_value *value = NULL;
    struct import_storage *storage = NULL;
    if (id->kind != IMPORT_VALUE_TUPLE || id->items.count < 5 || id->items.count > 6 ||
        !import_value_is(item(id, 0), "storage") || !is_kind(item(id, 1), IMPORT_VALUE_GLOBAL) ||
        item(id, 1)->global->meaning != MEANS_STORAGE ||
        !is_kind(item(id, 2), IMPORT_VALUE_STRING) || !is_kind(item(id, 3), IMPORT_VALUE_STRING) ||
        !is_kind(item(id, 4), IMPORT_VALUE_INT) || item(id, 4)->integer < 0) {
        import_pickle_refuse(p, "refused a persistent id that does not name a storage");
        return NULL;
    }
    if (id->items.count == 6 && item(id, 5)->kind != IMPORT_VALUE_NONE) {
        import_pickle_refuse(p, "storage \"%.100s\" is a view of another, which is not supported",
                             item(id, 2)->text.data);
        return NULL;
    }
    value = import_value_new(p, IMPORT_VALUE_STORAGE);
    storage = value ? import_pickle_take(p, sizeof *storage, p->e) : NULL;
    if (!storage || import_pointers_push(p, &p->storages, storage,
                                         IMPORT_PICKLE_MEMORY / sizeof(void *), "storages") != 0)
        return NULL;
    storage->key = item(id, 2)->text.data;
    storage->key_length = item(id, 2)->text.length;
    storage->dtype = item(id, 1)->global->dtype;
    storage->numel = (uint64_t)item(id, 4)->integer;
    value->storage = storage;
    return value;
}
