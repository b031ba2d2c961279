/* The pickle machine itself: its life, the loop over opcodes, the stack and what opcodes need of
 * it.
 *
 * Every operand is taken through import_pickle_operand, which compares with the bytes that are
 * left; every pop looks at the innermost mark. The meaning of opcodes is in
 * import_pickle_opcodes.c. */
#include "import_pickle_machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int import_pickle_refuse(struct import_pickle *p, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *name = import_opcodes[*p->opcode].name;
    return err_fail(p->e, ERR_INPUT, p->what, "%s (pickle opcode %s at byte %zu)", text,
                    name ? name : "unknown", (size_t)(p->opcode - p->begin));
}

int import_pointers_push(struct import_pickle *p, struct import_pointers *array, void *value,
                         size_t max, const char *of)
{
    if (array->count == max)
        return import_pickle_refuse(p, "more than %zu %s", max, of);
    if (array->count == array->capacity) {
        size_t capacity = array->capacity ? 2 * array->capacity : 256;
        void **grown = realloc(array->at, capacity * sizeof *grown);
        if (!grown)
            return err_fail_memory(p->e, capacity * sizeof *grown);
        array->at = grown;
        array->capacity = capacity;
    }
    array->at[array->count++] = value;
    return 0;
}

struct import_value *import_value_new(struct import_pickle *p, enum import_value_kind kind)
{
    struct import_value *value = import_pickle_take(p, sizeof *value, p->e);
    if (value)
        value->kind = kind;
    return value;
}

int import_value_append(struct import_pickle *p, struct import_value *container,
                        struct import_value *item)
{
    size_t count = container->items.count;
    if (count == container->items.capacity) {
        size_t capacity = count ? 2 * count : 4;
        struct import_value **grown = import_pickle_take(p, capacity * sizeof *grown, p->e);
        if (!grown)
            return -1;
        if (count)
            memcpy(grown, container->items.values, count * sizeof *grown);
        container->items.values = grown;
        container->items.capacity = capacity;
    }
    container->items.values[container->items.count++] = item;
    return 0;
}

/* ---- operands and the stack ---- */

const unsigned char *import_pickle_operand(struct import_pickle *p, uint64_t length)
{
    const unsigned char *taken = p->at;
    if (length > (uint64_t)(p->end - p->at)) {
        import_pickle_refuse(p, "truncated: %llu bytes wanted, %zu left",
                             (unsigned long long)length, (size_t)(p->end - p->at));
        return NULL;
    }
    p->at += length;
    return taken;
}

/* A little-endian number of `bytes` bytes. */
int import_pickle_take_number(struct import_pickle *p, int bytes, uint64_t *out)
{
    const unsigned char *taken = import_pickle_operand(p, (uint64_t)bytes);
    if (!taken)
        return -1;
    *out = 0;
    memcpy(out, taken, (size_t)bytes);
    return 0;
}

/* The text up to a line feed, without it. */
const char *import_pickle_take_line(struct import_pickle *p, size_t *length)
{
    const char *line = (const char *)p->at;
    const unsigned char *feed = memchr(p->at, '\n', (size_t)(p->end - p->at));
    if (!feed) {
        import_pickle_refuse(p, "truncated: a line without end");
        return NULL;
    }
    *length = (size_t)(feed - p->at);
    p->at = feed + 1;
    return line;
}

int import_pickle_push(struct import_pickle *p, struct import_value *value)
{
    return value ? import_pointers_push(p, &p->stack, value, IMPORT_PICKLE_STACK,
                                        "values on the stack")
                 : -1;
}

/* How many values lie above the innermost mark. */
size_t import_pickle_above_mark(const struct import_pickle *p)
{
    return p->stack.count - (p->mark_count ? p->marks[p->mark_count - 1] : 0);
}

struct import_value *import_pickle_pop(struct import_pickle *p)
{
    if (import_pickle_above_mark(p) == 0) {
        import_pickle_refuse(p, "nothing on the stack");
        return NULL;
    }
    return p->stack.at[--p->stack.count];
}

struct import_value *import_pickle_top(struct import_pickle *p)
{
    if (import_pickle_above_mark(p) == 0) {
        import_pickle_refuse(p, "nothing on the stack");
        return NULL;
    }
    return p->stack.at[p->stack.count - 1];
}

/* ---- running ---- */

static struct import_pickle *machine_new(const char *what, size_t memory, struct err *e)
{
    struct import_pickle *p = calloc(1, sizeof *p);
    if (!p || !(p->what = strdup(what))) {
        free(p);
        err_fail_memory(e, sizeof *p);
        return NULL;
    }
    import_arena_init(&p->arena, memory);
    return p;
}

struct import_pickle *import_pickle_new(const char *what, struct err *e)
{
    return machine_new(what, IMPORT_PICKLE_MEMORY, e);
}

struct import_pickle *import_pickle_new_nested(const char *what, struct err *e)
{
    struct import_pickle *p = machine_new(what, IMPORT_STREAM_MEMORY, e);
    if (p)
        p->nested = true;
    return p;
}

void import_pickle_free(struct import_pickle *p)
{
    if (!p)
        return;
    import_arena_clear(&p->arena);
    free(p->storages.at);
    free(p->stack.at);
    free(p->memo.at);
    free(p->what);
    free(p);
}

const struct import_value *import_pickle_run(struct import_pickle *p, const unsigned char *data,
                                             size_t length, size_t *used, struct err *e)
{
    p->begin = p->at = p->opcode = data;
    p->end = data + length;
    p->stack.count = p->memo.count = p->mark_count = 0;
    p->stream_bytes = p->record_items = 0;
    p->stopped = false;
    p->e = e;
    while (!p->stopped) {
        if (p->at == p->end) {
            err_fail(e, ERR_INPUT, p->what, "truncated: the pickle ends at byte %zu without STOP",
                     length);
            return NULL;
        }
        p->opcode = p->at++;
        const struct import_opcode *opcode = &import_opcodes[*p->opcode];
        if (!opcode->run) {
            import_pickle_refuse(p, "refused opcode %s (0x%02x)", opcode->name ? opcode->name : "",
                                 *p->opcode);
            return NULL;
        }
        if (opcode->run(p) != 0)
            return NULL;
    }
    *used = (size_t)(p->at - p->begin);
    return p->stack.at[0];
}

struct import_storage **import_pickle_storages(struct import_pickle *p, size_t *count)
{
    *count = p->storages.count;
    return (struct import_storage **)(void *)p->storages.at;
}

void *import_pickle_take(struct import_pickle *p, size_t size, struct err *e)
{
    return import_arena_take(&p->arena, size, p->what, e);
}

const struct import_value *import_value_get(const struct import_value *dict, const char *key)
{
    if (!dict || dict->kind != IMPORT_VALUE_DICT)
        return NULL;
    for (size_t i = dict->items.count; i >= 2; i -= 2)
        if (import_value_is(dict->items.values[i - 2], key))
            return dict->items.values[i - 1];
    return NULL;
}

const struct import_value *import_value_attribute(const struct import_value *object,
                                                  const char *name)
{
    return object && object->kind == IMPORT_VALUE_OBJECT
               ? import_value_get(object->object.state, name)
               : NULL;
}

bool import_value_is(const struct import_value *value, const char *text)
{
    return value->kind == IMPORT_VALUE_STRING && value->text.length == strlen(text) &&
           memcmp(value->text.data, text, value->text.length) == 0;
}
