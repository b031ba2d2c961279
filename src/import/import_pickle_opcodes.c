/* Opcodes of the pickle machine: one function each, in a table of 256. An entry with a name but no
 * function is an opcode of the language that this machine refuses. */
#include "import_pickle_machine.h"

#include <string.h>

/* Takes the values above the innermost mark, and the mark, off the stack. They stay readable at
 * *values until the next push. */
static int pop_to_mark(struct import_pickle *p, struct import_value ***values, size_t *count)
{
    if (p->mark_count == 0)
        return import_pickle_refuse(p, "no mark on the stack");
    *count = import_pickle_above_mark(p);
    p->stack.count = p->marks[--p->mark_count];
    *values = *count ? (struct import_value **)(void *)(p->stack.at + p->stack.count) : NULL;
    return 0;
}

static int op_proto(struct import_pickle *p)
{
    uint64_t version;
    if (import_pickle_take_number(p, 1, &version) != 0)
        return -1;
    if (version > IMPORT_PICKLE_PROTOCOL)
        return import_pickle_refuse(p, "pickle protocol %d is not known (0 to %d are)",
                                    (int)version, IMPORT_PICKLE_PROTOCOL);
    return 0;
}

static int op_frame(struct import_pickle *p)
{
    uint64_t length; /* a hint for readers of streams */
    return import_pickle_take_number(p, 8, &length);
}

static int op_stop(struct import_pickle *p)
{
    if (p->mark_count > 0 || p->stack.count != 1)
        return import_pickle_refuse(p, "%zu values are left on the stack, 1 is expected",
                                    p->stack.count);
    p->stopped = true;
    return 0;
}

static int op_mark(struct import_pickle *p)
{
    if (p->mark_count == IMPORT_PICKLE_MARKS)
        return import_pickle_refuse(p, "nested deeper than %d levels", IMPORT_PICKLE_MARKS);
    p->marks[p->mark_count++] = p->stack.count;
    return 0;
}

static int op_pop(struct import_pickle *p)
{
    return import_pickle_pop(p) ? 0 : -1;
}

static int op_pop_mark(struct import_pickle *p)
{
    struct import_value **values = NULL;
    size_t count = 0;
    return pop_to_mark(p, &values, &count);
}

static int op_dup(struct import_pickle *p)
{
    return import_pickle_push(p, import_pickle_top(p));
}

static int op_empty(struct import_pickle *p)
{
    unsigned char c = *p->opcode;
    return import_pickle_push(p, import_value_new(p, c == ')'   ? IMPORT_VALUE_TUPLE
                                                     : c == ']' ? IMPORT_VALUE_LIST
                                                                : IMPORT_VALUE_DICT));
}

/* A container of `count` values. */
static int push_container(struct import_pickle *p, enum import_value_kind kind,
                          struct import_value *const *values, size_t count)
{
    struct import_value *container = import_value_new(p, kind);
    if (!container)
        return -1;
    if (kind == IMPORT_VALUE_DICT && count % 2)
        return import_pickle_refuse(p, "a key without value");
    if (count) {
        container->items.values = import_pickle_take(p, count * sizeof *values, p->e);
        if (!container->items.values)
            return -1;
        memcpy(container->items.values, values, count * sizeof *values);
        container->items.count = container->items.capacity = count;
    }
    return import_pickle_push(p, container);
}

static int op_container(struct import_pickle *p)
{
    struct import_value **values = NULL;
    size_t count = 0;
    unsigned char c = *p->opcode;
    if (pop_to_mark(p, &values, &count) != 0)
        return -1;
    return push_container(p,
                          c == 't'   ? IMPORT_VALUE_TUPLE
                          : c == 'l' ? IMPORT_VALUE_LIST
                                     : IMPORT_VALUE_DICT,
                          values, count);
}

static int op_tuple_short(struct import_pickle *p)
{
    size_t count = (size_t)(*p->opcode - 0x84);
    if (import_pickle_above_mark(p) < count)
        return import_pickle_refuse(p, "nothing on the stack");
    p->stack.count -= count;
    return push_container(p, IMPORT_VALUE_TUPLE,
                          (struct import_value **)(void *)(p->stack.at + p->stack.count), count);
}

/* Appends `count` values to the list or dict on top of the stack. */
static int extend(struct import_pickle *p, enum import_value_kind kind,
                  struct import_value *const *values, size_t count)
{
    struct import_value *container = import_pickle_top(p);
    if (!container)
        return -1;
    if (container->kind != kind)
        return import_pickle_refuse(p, "not a %s on the stack",
                                    kind == IMPORT_VALUE_DICT ? "dict" : "list");
    if (kind == IMPORT_VALUE_DICT && count % 2)
        return import_pickle_refuse(p, "a key without value");
    for (size_t i = 0; i < count; i++)
        if (import_value_append(p, container, values[i]) != 0)
            return -1;
    return 0;
}

static int op_append(struct import_pickle *p)
{
    struct import_value *item = import_pickle_pop(p);
    return item ? extend(p, IMPORT_VALUE_LIST, &item, 1) : -1;
}

static int op_setitem(struct import_pickle *p)
{
    struct import_value *pair[2];
    if (!(pair[1] = import_pickle_pop(p)) || !(pair[0] = import_pickle_pop(p)))
        return -1;
    return extend(p, IMPORT_VALUE_DICT, pair, 2);
}

static int op_extend(struct import_pickle *p)
{
    struct import_value **values = NULL;
    size_t count = 0;
    if (pop_to_mark(p, &values, &count) != 0)
        return -1;
    return extend(p, *p->opcode == 'e' ? IMPORT_VALUE_LIST : IMPORT_VALUE_DICT, values, count);
}

/* ---- the memo ---- */

static int memo_put(struct import_pickle *p, uint64_t number)
{
    struct import_value *value = import_pickle_top(p);
    if (!value)
        return -1;
    /* each number of an honest pickle takes a byte at least to put there */
    if (number >= (uint64_t)(p->end - p->begin))
        return import_pickle_refuse(p, "memo number %llu is out of range",
                                    (unsigned long long)number);
    while (p->memo.count <= number)
        if (import_pointers_push(p, &p->memo, NULL, IMPORT_PICKLE_MEMORY / sizeof(void *),
                                 "memo numbers") != 0)
            return -1;
    p->memo.at[number] = value;
    return 0;
}

/* PUT and GET: decimal text; the others: a number of 1 or 4 bytes. */
static int memo_number(struct import_pickle *p, uint64_t *number)
{
    unsigned char c = *p->opcode;
    size_t length;
    if (c != 'p' && c != 'g')
        return import_pickle_take_number(p, c == 'q' || c == 'h' ? 1 : 4, number);
    const char *line = import_pickle_take_line(p, &length);
    if (!line)
        return -1;
    if (length == 0 || length > 9)
        return import_pickle_refuse(p, "not a memo number");
    *number = 0;
    for (size_t i = 0; i < length; i++) {
        if (line[i] < '0' || line[i] > '9')
            return import_pickle_refuse(p, "not a memo number");
        *number = 10 * *number + (uint64_t)(line[i] - '0');
    }
    return 0;
}

static int op_put(struct import_pickle *p)
{
    uint64_t number;
    return memo_number(p, &number) != 0 ? -1 : memo_put(p, number);
}

static int op_memoize(struct import_pickle *p)
{
    return memo_put(p, p->memo.count);
}

static int op_get(struct import_pickle *p)
{
    uint64_t number;
    if (memo_number(p, &number) != 0)
        return -1;
    if (number >= p->memo.count || !p->memo.at[number])
        return import_pickle_refuse(p, "nothing in the memo under %llu",
                                    (unsigned long long)number);
    return import_pickle_push(p, p->memo.at[number]);
}

/* ---- globals, calls, persistent ids ---- */

static int op_global(struct import_pickle *p)
{
    size_t module_length, name_length;
    const char *module = import_pickle_take_line(p, &module_length);
    const char *name = module ? import_pickle_take_line(p, &name_length) : NULL;
    return name ? import_pickle_push(
                      p, import_global_find(p, module, module_length, name, name_length))
                : -1;
}

static int op_stack_global(struct import_pickle *p)
{
    const struct import_value *name = import_pickle_pop(p);
    const struct import_value *module = name ? import_pickle_pop(p) : NULL;
    if (!module)
        return -1;
    if (module->kind != IMPORT_VALUE_STRING || name->kind != IMPORT_VALUE_STRING)
        return import_pickle_refuse(p, "a global's name is not a string");
    return import_pickle_push(p, import_global_find(p, module->text.data, module->text.length,
                                                    name->text.data, name->text.length));
}

static int op_reduce(struct import_pickle *p)
{
    const struct import_value *arguments = import_pickle_pop(p);
    const struct import_value *callable = arguments ? import_pickle_pop(p) : NULL;
    return callable ? import_pickle_push(p, import_global_call(p, callable, arguments)) : -1;
}

static int op_newobj(struct import_pickle *p)
{
    const struct import_value *arguments = import_pickle_pop(p);
    const struct import_value *class = arguments ? import_pickle_pop(p) : NULL;
    return class ? import_pickle_push(p, import_global_instance(p, class, arguments)) : -1;
}

static int op_build(struct import_pickle *p)
{
    const struct import_value *state = import_pickle_pop(p);
    struct import_value *object = state ? import_pickle_top(p) : NULL;
    return object ? import_object_build(p, object, state) : -1;
}

/* ---- sets ---- */

/* Nobody reads a set, so it is an opaque object and its members are dropped. */
static int op_empty_set(struct import_pickle *p)
{
    return import_pickle_push(p, import_value_new(p, IMPORT_VALUE_OPAQUE));
}

static int op_additems(struct import_pickle *p)
{
    struct import_value **values = NULL;
    size_t count = 0;
    if (pop_to_mark(p, &values, &count) != 0)
        return -1;
    const struct import_value *set = import_pickle_top(p);
    if (!set)
        return -1;
    return set->kind == IMPORT_VALUE_OPAQUE ? 0 : import_pickle_refuse(p, "not a set on the stack");
}

static int op_frozenset(struct import_pickle *p)
{
    return op_pop_mark(p) != 0 ? -1 : op_empty_set(p);
}

static int op_binpersid(struct import_pickle *p)
{
    const struct import_value *id = import_pickle_pop(p);
    return id ? import_pickle_push(p, import_storage_load(p, id)) : -1;
}

const struct import_opcode import_opcodes[256] = {
    ['('] = {"MARK", op_mark},
    ['.'] = {"STOP", op_stop},
    ['0'] = {"POP", op_pop},
    ['1'] = {"POP_MARK", op_pop_mark},
    ['2'] = {"DUP", op_dup},
    ['B'] = {"BINBYTES", import_op_text},
    ['C'] = {"SHORT_BINBYTES", import_op_text},
    ['F'] = {"FLOAT", NULL},
    ['G'] = {"BINFLOAT", import_op_binfloat},
    ['I'] = {"INT", import_op_decimal},
    ['J'] = {"BININT", import_op_binint},
    ['K'] = {"BININT1", import_op_binint1},
    ['L'] = {"LONG", import_op_decimal},
    ['M'] = {"BININT2", import_op_binint2},
    ['N'] = {"NONE", import_op_none},
    ['P'] = {"PERSID", NULL}, /* its id is text, but torch's ids are tuples */
    ['Q'] = {"BINPERSID", op_binpersid},
    ['R'] = {"REDUCE", op_reduce},
    ['S'] = {"STRING", NULL},
    ['T'] = {"BINSTRING", import_op_text},
    ['U'] = {"SHORT_BINSTRING", import_op_text},
    ['V'] = {"UNICODE", NULL},
    ['X'] = {"BINUNICODE", import_op_text},
    [']'] = {"EMPTY_LIST", op_empty},
    ['a'] = {"APPEND", op_append},
    ['b'] = {"BUILD", op_build},
    ['c'] = {"GLOBAL", op_global},
    ['d'] = {"DICT", op_container},
    ['e'] = {"APPENDS", op_extend},
    ['g'] = {"GET", op_get},
    ['h'] = {"BINGET", op_get},
    ['i'] = {"INST", NULL},
    ['j'] = {"LONG_BINGET", op_get},
    ['l'] = {"LIST", op_container},
    ['o'] = {"OBJ", NULL},
    ['p'] = {"PUT", op_put},
    ['q'] = {"BINPUT", op_put},
    ['r'] = {"LONG_BINPUT", op_put},
    ['s'] = {"SETITEM", op_setitem},
    ['t'] = {"TUPLE", op_container},
    ['u'] = {"SETITEMS", op_extend},
    [')'] = {"EMPTY_TUPLE", op_empty},
    ['}'] = {"EMPTY_DICT", op_empty},
    [0x80] = {"PROTO", op_proto},
    [0x81] = {"NEWOBJ", op_newobj},
    [0x82] = {"EXT1", NULL},
    [0x83] = {"EXT2", NULL},
    [0x84] = {"EXT4", NULL},
    [0x85] = {"TUPLE1", op_tuple_short},
    [0x86] = {"TUPLE2", op_tuple_short},
    [0x87] = {"TUPLE3", op_tuple_short},
    [0x88] = {"NEWTRUE", import_op_newtrue},
    [0x89] = {"NEWFALSE", import_op_newfalse},
    [0x8a] = {"LONG1", import_op_long},
    [0x8b] = {"LONG4", import_op_long},
    [0x8c] = {"SHORT_BINUNICODE", import_op_text},
    [0x8d] = {"BINUNICODE8", import_op_text},
    [0x8e] = {"BINBYTES8", import_op_text},
    [0x8f] = {"EMPTY_SET", op_empty_set},
    [0x90] = {"ADDITEMS", op_additems},
    [0x91] = {"FROZENSET", op_frozenset},
    [0x92] = {"NEWOBJ_EX", NULL},
    [0x93] = {"STACK_GLOBAL", op_stack_global},
    [0x94] = {"MEMOIZE", op_memoize},
    [0x95] = {"FRAME", op_frame},
    [0x96] = {"BYTEARRAY8", NULL},
    [0x97] = {"NEXT_BUFFER", NULL},
    [0x98] = {"READONLY_BUFFER", NULL},
};
