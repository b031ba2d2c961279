/* Opcodes of the pickle machine: one function each, in a table of 256. An entry with a name but no
 * function is an opcode of the language that this machine refuses. */
#include "ckpt_pickle_machine.h"

#include <string.h>

/* Takes the values above the innermost mark, and the mark, off the stack. They stay readable at
 * *values until the next push. */
static int pop_to_mark(struct ckpt_pickle *p, struct ckpt_value ***values, size_t *count)
{
    if (p->mark_count == 0)
        return ckpt_pickle_refuse(p, "no mark on the stack");
    *count = ckpt_pickle_above_mark(p);
    p->stack.count = p->marks[--p->mark_count];
    *values = *count ? (struct ckpt_value **)(void *)(p->stack.at + p->stack.count) : NULL;
    return 0;
}

static int op_proto(struct ckpt_pickle *p)
{
    uint64_t version;

    if (ckpt_pickle_take_number(p, 1, &version))
        return -1;
    if (version > CKPT_PICKLE_PROTOCOL)
        return ckpt_pickle_refuse(p, "pickle protocol %d is not known (0 to %d are)", (int)version,
                                  CKPT_PICKLE_PROTOCOL);
    return 0;
}

static int op_frame(struct ckpt_pickle *p)
{
    uint64_t length; /* a hint for readers of streams */

    return ckpt_pickle_take_number(p, 8, &length);
}

static int op_stop(struct ckpt_pickle *p)
{
    if (p->mark_count > 0 || p->stack.count != 1)
        return ckpt_pickle_refuse(p, "%zu values are left on the stack, 1 is expected",
                                  p->stack.count);
    p->stopped = true;
    return 0;
}

static int op_mark(struct ckpt_pickle *p)
{
    if (p->mark_count == CKPT_PICKLE_MARKS)
        return ckpt_pickle_refuse(p, "nested deeper than %d levels", CKPT_PICKLE_MARKS);
    p->marks[p->mark_count++] = p->stack.count;
    return 0;
}

static int op_pop(struct ckpt_pickle *p)
{
    return ckpt_pickle_pop(p) ? 0 : -1;
}

static int op_pop_mark(struct ckpt_pickle *p)
{
    struct ckpt_value **values = NULL;
    size_t count = 0;

    return pop_to_mark(p, &values, &count);
}

static int op_dup(struct ckpt_pickle *p)
{
    return ckpt_pickle_push(p, ckpt_pickle_top(p));
}

static int op_empty(struct ckpt_pickle *p)
{
    unsigned char c = *p->opcode;

    return ckpt_pickle_push(p, ckpt_value_new(p, c == ')'   ? CKPT_VALUE_TUPLE
                                                 : c == ']' ? CKPT_VALUE_LIST
                                                            : CKPT_VALUE_DICT));
}

/* A container of `count` values. */
static int push_container(struct ckpt_pickle *p, enum ckpt_value_kind kind,
                          struct ckpt_value *const *values, size_t count)
{
    struct ckpt_value *container = ckpt_value_new(p, kind);

    if (!container)
        return -1;
    if (kind == CKPT_VALUE_DICT && count % 2)
        return ckpt_pickle_refuse(p, "a key without value");
    if (count) {
        container->items.values = ckpt_pickle_take(p, count * sizeof *values, p->e);
        if (!container->items.values)
            return -1;
        memcpy(container->items.values, values, count * sizeof *values);
        container->items.count = container->items.capacity = count;
    }
    return ckpt_pickle_push(p, container);
}

static int op_container(struct ckpt_pickle *p)
{
    struct ckpt_value **values = NULL;
    size_t count = 0;
    unsigned char c = *p->opcode;

    if (pop_to_mark(p, &values, &count))
        return -1;
    return push_container(p,
                          c == 't'   ? CKPT_VALUE_TUPLE
                          : c == 'l' ? CKPT_VALUE_LIST
                                     : CKPT_VALUE_DICT,
                          values, count);
}

static int op_tuple_short(struct ckpt_pickle *p)
{
    size_t count = (size_t)(*p->opcode - 0x84);

    if (ckpt_pickle_above_mark(p) < count)
        return ckpt_pickle_refuse(p, "nothing on the stack");
    p->stack.count -= count;
    return push_container(p, CKPT_VALUE_TUPLE,
                          (struct ckpt_value **)(void *)(p->stack.at + p->stack.count), count);
}

/* Appends `count` values to the list or dict on top of the stack. */
static int extend(struct ckpt_pickle *p, enum ckpt_value_kind kind,
                  struct ckpt_value *const *values, size_t count)
{
    struct ckpt_value *container = ckpt_pickle_top(p);

    if (!container)
        return -1;
    if (container->kind != kind)
        return ckpt_pickle_refuse(p, "not a %s on the stack",
                                  kind == CKPT_VALUE_DICT ? "dict" : "list");
    if (kind == CKPT_VALUE_DICT && count % 2)
        return ckpt_pickle_refuse(p, "a key without value");
    for (size_t i = 0; i < count; i++)
        if (ckpt_value_append(p, container, values[i]))
            return -1;
    return 0;
}

static int op_append(struct ckpt_pickle *p)
{
    struct ckpt_value *item = ckpt_pickle_pop(p);

    return item ? extend(p, CKPT_VALUE_LIST, &item, 1) : -1;
}

static int op_setitem(struct ckpt_pickle *p)
{
    struct ckpt_value *pair[2];

    if (!(pair[1] = ckpt_pickle_pop(p)) || !(pair[0] = ckpt_pickle_pop(p)))
        return -1;
    return extend(p, CKPT_VALUE_DICT, pair, 2);
}

static int op_extend(struct ckpt_pickle *p)
{
    struct ckpt_value **values = NULL;
    size_t count = 0;

    if (pop_to_mark(p, &values, &count))
        return -1;
    return extend(p, *p->opcode == 'e' ? CKPT_VALUE_LIST : CKPT_VALUE_DICT, values, count);
}

/* ---- the memo ---- */

static int memo_put(struct ckpt_pickle *p, uint64_t number)
{
    struct ckpt_value *value = ckpt_pickle_top(p);

    if (!value)
        return -1;
    /* each number of an honest pickle takes a byte at least to put there */
    if (number >= (uint64_t)(p->end - p->begin))
        return ckpt_pickle_refuse(p, "memo number %llu is out of range",
                                  (unsigned long long)number);
    while (p->memo.count <= number)
        if (ckpt_pointers_push(p, &p->memo, NULL, CKPT_PICKLE_MEMORY / sizeof(void *),
                               "memo numbers"))
            return -1;
    p->memo.at[number] = value;
    return 0;
}

/* PUT and GET: decimal text; the others: a number of 1 or 4 bytes. */
static int memo_number(struct ckpt_pickle *p, uint64_t *number)
{
    unsigned char c = *p->opcode;
    size_t length;

    if (c != 'p' && c != 'g')
        return ckpt_pickle_take_number(p, c == 'q' || c == 'h' ? 1 : 4, number);
    const char *line = ckpt_pickle_take_line(p, &length);
    if (!line)
        return -1;
    if (length == 0 || length > 9)
        return ckpt_pickle_refuse(p, "not a memo number");
    *number = 0;
    for (size_t i = 0; i < length; i++) {
        if (line[i] < '0' || line[i] > '9')
            return ckpt_pickle_refuse(p, "not a memo number");
        *number = 10 * *number + (uint64_t)(line[i] - '0');
    }
    return 0;
}

static int op_put(struct ckpt_pickle *p)
{
    uint64_t number;

    return memo_number(p, &number) ? -1 : memo_put(p, number);
}

static int op_memoize(struct ckpt_pickle *p)
{
    return memo_put(p, p->memo.count);
}

static int op_get(struct ckpt_pickle *p)
{
    uint64_t number;

    if (memo_number(p, &number))
        return -1;
    if (number >= p->memo.count || !p->memo.at[number])
        return ckpt_pickle_refuse(p, "nothing in the memo under %llu", (unsigned long long)number);
    return ckpt_pickle_push(p, p->memo.at[number]);
}

/* ---- globals, calls, persistent ids ---- */

static int op_global(struct ckpt_pickle *p)
{
    size_t module_length, name_length;
    const char *module = ckpt_pickle_take_line(p, &module_length);
    const char *name = module ? ckpt_pickle_take_line(p, &name_length) : NULL;

    return name ? ckpt_pickle_push(p, ckpt_global_find(p, module, module_length, name, name_length))
                : -1;
}

static int op_stack_global(struct ckpt_pickle *p)
{
    const struct ckpt_value *name = ckpt_pickle_pop(p);
    const struct ckpt_value *module = name ? ckpt_pickle_pop(p) : NULL;

    if (!module)
        return -1;
    if (module->kind != CKPT_VALUE_STRING || name->kind != CKPT_VALUE_STRING)
        return ckpt_pickle_refuse(p, "a global's name is not a string");
    return ckpt_pickle_push(p, ckpt_global_find(p, module->text.data, module->text.length,
                                                name->text.data, name->text.length));
}

static int op_reduce(struct ckpt_pickle *p)
{
    const struct ckpt_value *arguments = ckpt_pickle_pop(p);
    const struct ckpt_value *callable = arguments ? ckpt_pickle_pop(p) : NULL;

    return callable ? ckpt_pickle_push(p, ckpt_global_call(p, callable, arguments)) : -1;
}

static int op_newobj(struct ckpt_pickle *p)
{
    const struct ckpt_value *arguments = ckpt_pickle_pop(p);
    const struct ckpt_value *class = arguments ? ckpt_pickle_pop(p) : NULL;

    return class ? ckpt_pickle_push(p, ckpt_global_instance(p, class, arguments)) : -1;
}

static int op_build(struct ckpt_pickle *p)
{
    const struct ckpt_value *state = ckpt_pickle_pop(p);
    struct ckpt_value *object = state ? ckpt_pickle_top(p) : NULL;

    return object ? ckpt_object_build(p, object, state) : -1;
}

/* ---- sets ---- */

/* Nobody reads a set, so it is an opaque object and its members are dropped. */
static int op_empty_set(struct ckpt_pickle *p)
{
    return ckpt_pickle_push(p, ckpt_value_new(p, CKPT_VALUE_OPAQUE));
}

static int op_additems(struct ckpt_pickle *p)
{
    struct ckpt_value **values = NULL;
    size_t count = 0;

    if (pop_to_mark(p, &values, &count))
        return -1;
    const struct ckpt_value *set = ckpt_pickle_top(p);
    if (!set)
        return -1;
    return set->kind == CKPT_VALUE_OPAQUE ? 0 : ckpt_pickle_refuse(p, "not a set on the stack");
}

static int op_frozenset(struct ckpt_pickle *p)
{
    return op_pop_mark(p) ? -1 : op_empty_set(p);
}

static int op_binpersid(struct ckpt_pickle *p)
{
    const struct ckpt_value *id = ckpt_pickle_pop(p);

    return id ? ckpt_pickle_push(p, ckpt_storage_load(p, id)) : -1;
}

const struct ckpt_opcode ckpt_opcodes[256] = {
    ['('] = {"MARK", op_mark},
    ['.'] = {"STOP", op_stop},
    ['0'] = {"POP", op_pop},
    ['1'] = {"POP_MARK", op_pop_mark},
    ['2'] = {"DUP", op_dup},
    ['B'] = {"BINBYTES", ckpt_op_text},
    ['C'] = {"SHORT_BINBYTES", ckpt_op_text},
    ['F'] = {"FLOAT", NULL},
    ['G'] = {"BINFLOAT", ckpt_op_binfloat},
    ['I'] = {"INT", ckpt_op_decimal},
    ['J'] = {"BININT", ckpt_op_binint},
    ['K'] = {"BININT1", ckpt_op_binint1},
    ['L'] = {"LONG", ckpt_op_decimal},
    ['M'] = {"BININT2", ckpt_op_binint2},
    ['N'] = {"NONE", ckpt_op_none},
    ['P'] = {"PERSID", NULL}, /* its id is text, but torch's ids are tuples */
    ['Q'] = {"BINPERSID", op_binpersid},
    ['R'] = {"REDUCE", op_reduce},
    ['S'] = {"STRING", NULL},
    ['T'] = {"BINSTRING", ckpt_op_text},
    ['U'] = {"SHORT_BINSTRING", ckpt_op_text},
    ['V'] = {"UNICODE", NULL},
    ['X'] = {"BINUNICODE", ckpt_op_text},
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
    [0x88] = {"NEWTRUE", ckpt_op_newtrue},
    [0x89] = {"NEWFALSE", ckpt_op_newfalse},
    [0x8a] = {"LONG1", ckpt_op_long},
    [0x8b] = {"LONG4", ckpt_op_long},
    [0x8c] = {"SHORT_BINUNICODE", ckpt_op_text},
    [0x8d] = {"BINUNICODE8", ckpt_op_text},
    [0x8e] = {"BINBYTES8", ckpt_op_text},
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
