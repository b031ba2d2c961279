/* Opcodes of the pickle machine that push one value: None, truth values, numbers and text. */
#include "import_pickle_machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int import_op_none(struct import_pickle *p)
{
    return import_pickle_push(p, import_value_new(p, IMPORT_VALUE_NONE));
}

static int push_bool(struct import_pickle *p, bool truth)
{
    struct import_value *value = import_value_new(p, IMPORT_VALUE_BOOL);
    if (value)
        value->truth = truth;
    return import_pickle_push(p, value);
}

int import_op_newtrue(struct import_pickle *p)
{
    return push_bool(p, true);
}

int import_op_newfalse(struct import_pickle *p)
{
    return push_bool(p, false);
}

static int push_int(struct import_pickle *p, int64_t integer)
{
    struct import_value *value = import_value_new(p, IMPORT_VALUE_INT);
    if (value)
        value->integer = integer;
    return import_pickle_push(p, value);
}

/* INT and LONG are decimal text; INT spells the truth values 00 and 01, LONG may end in L. */
int import_op_decimal(struct import_pickle *p)
{
    size_t length;
    const char *line = import_pickle_take_line(p, &length);
    char text[32], *rest;
    if (!line)
        return -1;
    if (*p->opcode == 'I' && length == 2 && line[0] == '0' && (line[1] == '0' || line[1] == '1'))
        return push_bool(p, line[1] == '1');
    if (*p->opcode == 'L' && length > 0 && line[length - 1] == 'L')
        length--;
    if (length == 0 || length >= sizeof text)
        return import_pickle_refuse(p, "not an integer of 64 bits");
    memcpy(text, line, length);
    text[length] = 0;
    errno = 0;
    long long integer = strtoll(text, &rest, 10);
    if (errno || *rest)
        return import_pickle_refuse(p, "not an integer of 64 bits");
    return push_int(p, integer);
}

int import_op_binint(struct import_pickle *p)
{
    uint64_t bits;
    return import_pickle_take_number(p, 4, &bits) != 0 ? -1 : push_int(p, (int32_t)(uint32_t)bits);
}

int import_op_binint1(struct import_pickle *p)
{
    uint64_t bits;
    return import_pickle_take_number(p, 1, &bits) != 0 ? -1 : push_int(p, (int64_t)bits);
}

int import_op_binint2(struct import_pickle *p)
{
    uint64_t bits;
    return import_pickle_take_number(p, 2, &bits) != 0 ? -1 : push_int(p, (int64_t)bits);
}

static int push_text(struct import_pickle *p, enum import_value_kind kind, uint64_t length)
{
    const unsigned char *taken = import_pickle_operand(p, length);
    struct import_value *value = taken ? import_value_new(p, kind) : NULL;
    if (!value)
        return -1;
    value->text.data = (const char *)taken;
    value->text.length = (size_t)length;
    if (kind != IMPORT_VALUE_BYTES) {
        char *copy = import_pickle_take(p, (size_t)length + 1, p->e);
        if (!copy)
            return -1;
        memcpy(copy, taken, (size_t)length);
        value->text.data = copy;
    }
    return import_pickle_push(p, value);
}

/* LONG1 and LONG4: two's complement of stated length. */
int import_op_long(struct import_pickle *p)
{
    uint64_t length;
    uint64_t bits = 0;
    if (import_pickle_take_number(p, *p->opcode == 0x8a ? 1 : 4, &length) != 0)
        return -1;
    if (length > 8)
        return push_text(p, IMPORT_VALUE_LONG, length);
    const unsigned char *taken = import_pickle_operand(p, length);
    if (!taken)
        return -1;
    if (length > 0 && taken[length - 1] & 0x80)
        bits = UINT64_MAX;
    memcpy(&bits, taken, (size_t)length);
    return push_int(p, (int64_t)bits);
}

int import_op_binfloat(struct import_pickle *p)
{
    uint64_t bits;
    struct import_value *value = import_value_new(p, IMPORT_VALUE_REAL);
    if (!value || import_pickle_take_number(p, 8, &bits) != 0)
        return -1;
    bits = __builtin_bswap64(bits); /* the one big-endian operand of the language */
    memcpy(&value->real, &bits, 8);
    return import_pickle_push(p, value);
}

/* The text opcodes differ in the width of the length and in the kind. */
int import_op_text(struct import_pickle *p)
{
    static const struct {
        unsigned char opcode, width;
        enum import_value_kind kind;
    } forms[] = {
        {'U', 1, IMPORT_VALUE_STRING},  {'T', 4, IMPORT_VALUE_STRING},
        {0x8c, 1, IMPORT_VALUE_STRING}, {'X', 4, IMPORT_VALUE_STRING},
        {0x8d, 8, IMPORT_VALUE_STRING}, {'C', 1, IMPORT_VALUE_BYTES},
        {'B', 4, IMPORT_VALUE_BYTES},   {0x8e, 8, IMPORT_VALUE_BYTES},
    };
    size_t form = 0;
    uint64_t length;
    while (forms[form].opcode != *p->opcode)
        form++;
    if (import_pickle_take_number(p, forms[form].width, &length) != 0)
        return -1;
    return push_text(p, forms[form].kind, length);
}
