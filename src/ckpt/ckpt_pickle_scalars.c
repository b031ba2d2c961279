/* Opcodes of the pickle machine that push one value: None, truth values, numbers and text. */
#include "ckpt_pickle_machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ckpt_op_none(struct ckpt_pickle *p)
{
    return ckpt_pickle_push(p, ckpt_value_new(p, CKPT_VALUE_NONE));
}

static int push_bool(struct ckpt_pickle *p, bool truth)
{
    struct ckpt_value *value = ckpt_value_new(p, CKPT_VALUE_BOOL);

    if (value)
        value->truth = truth;
    return ckpt_pickle_push(p, value);
}

int ckpt_op_newtrue(struct ckpt_pickle *p)
{
    return push_bool(p, true);
}

int ckpt_op_newfalse(struct ckpt_pickle *p)
{
    return push_bool(p, false);
}

static int push_int(struct ckpt_pickle *p, int64_t integer)
{
    struct ckpt_value *value = ckpt_value_new(p, CKPT_VALUE_INT);

    if (value)
        value->integer = integer;
    return ckpt_pickle_push(p, value);
}

/* INT and LONG are decimal text; INT spells the truth values 00 and 01, LONG may end in L. */
int ckpt_op_decimal(struct ckpt_pickle *p)
{
    size_t length;
    const char *line = ckpt_pickle_take_line(p, &length);
    char text[32], *rest;

    if (!line)
        return -1;
    if (*p->opcode == 'I' && length == 2 && line[0] == '0' && (line[1] == '0' || line[1] == '1'))
        return push_bool(p, line[1] == '1');
    if (*p->opcode == 'L' && length > 0 && line[length - 1] == 'L')
        length--;
    if (length == 0 || length >= sizeof text)
        return ckpt_pickle_refuse(p, "not an integer of 64 bits");
    memcpy(text, line, length);
    text[length] = 0;
    errno = 0;
    long long integer = strtoll(text, &rest, 10);
    if (errno || *rest)
        return ckpt_pickle_refuse(p, "not an integer of 64 bits");
    return push_int(p, integer);
}

int ckpt_op_binint(struct ckpt_pickle *p)
{
    uint64_t bits;

    return ckpt_pickle_take_number(p, 4, &bits) ? -1 : push_int(p, (int32_t)(uint32_t)bits);
}

int ckpt_op_binint1(struct ckpt_pickle *p)
{
    uint64_t bits;

    return ckpt_pickle_take_number(p, 1, &bits) ? -1 : push_int(p, (int64_t)bits);
}

int ckpt_op_binint2(struct ckpt_pickle *p)
{
    uint64_t bits;

    return ckpt_pickle_take_number(p, 2, &bits) ? -1 : push_int(p, (int64_t)bits);
}

static int push_text(struct ckpt_pickle *p, enum ckpt_value_kind kind, uint64_t length)
{
    const unsigned char *taken = ckpt_pickle_operand(p, length);
    struct ckpt_value *value = taken ? ckpt_value_new(p, kind) : NULL;

    if (!value)
        return -1;
    value->text.data = (const char *)taken;
    value->text.length = (size_t)length;
    if (kind != CKPT_VALUE_BYTES) {
        char *copy = ckpt_pickle_take(p, (size_t)length + 1, p->e);
        if (!copy)
            return -1;
        memcpy(copy, taken, (size_t)length);
        value->text.data = copy;
    }
    return ckpt_pickle_push(p, value);
}

/* LONG1 and LONG4: two's complement of stated length. */
int ckpt_op_long(struct ckpt_pickle *p)
{
    uint64_t length;
    uint64_t bits = 0;

    if (ckpt_pickle_take_number(p, *p->opcode == 0x8a ? 1 : 4, &length))
        return -1;
    if (length > 8)
        return push_text(p, CKPT_VALUE_LONG, length);
    const unsigned char *taken = ckpt_pickle_operand(p, length);
    if (!taken)
        return -1;
    if (length > 0 && taken[length - 1] & 0x80)
        bits = UINT64_MAX;
    memcpy(&bits, taken, (size_t)length);
    return push_int(p, (int64_t)bits);
}

int ckpt_op_binfloat(struct ckpt_pickle *p)
{
    uint64_t bits;
    struct ckpt_value *value = ckpt_value_new(p, CKPT_VALUE_REAL);

    if (!value || ckpt_pickle_take_number(p, 8, &bits))
        return -1;
    bits = __builtin_bswap64(bits); /* the one big-endian operand of the language */
    memcpy(&value->real, &bits, 8);
    return ckpt_pickle_push(p, value);
}

/* The text opcodes differ in the width of the length and in the kind. */
int ckpt_op_text(struct ckpt_pickle *p)
{
    static const struct {
        unsigned char opcode, width;
        enum ckpt_value_kind kind;
    } forms[] = {
        {'U', 1, CKPT_VALUE_STRING}, {'T', 4, CKPT_VALUE_STRING},  {0x8c, 1, CKPT_VALUE_STRING},
        {'X', 4, CKPT_VALUE_STRING}, {0x8d, 8, CKPT_VALUE_STRING}, {'C', 1, CKPT_VALUE_BYTES},
        {'B', 4, CKPT_VALUE_BYTES},  {0x8e, 8, CKPT_VALUE_BYTES},
    };
    size_t form = 0;
    uint64_t length;

    while (forms[form].opcode != *p->opcode)
        form++;
    if (ckpt_pickle_take_number(p, forms[form].width, &length))
        return -1;
    return push_text(p, forms[form].kind, length);
}
