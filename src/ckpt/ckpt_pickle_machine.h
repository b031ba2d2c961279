/* The inside of the pickle machine, shared by the machine (ckpt_pickle.c), its opcodes
 * (ckpt_pickle_opcodes.c, ckpt_pickle_scalars.c) and the meanings of globals
 * (ckpt_pickle_reduce.c). */
#ifndef CKPT_PICKLE_MACHINE_H
#define CKPT_PICKLE_MACHINE_H

#include "ckpt_pickle.h"

/* A growing array of pointers on the heap. */
struct ckpt_pointers {
    void **at;
    size_t count, capacity;
};

struct ckpt_pickle {
    char *what;
    struct ckpt_arena arena;
    struct ckpt_pointers storages;
    bool nested; /* runs a stream inside another pickle */
    /* of the run in progress */
    const unsigned char *begin, *at, *end;
    const unsigned char *opcode; /* the one that is being executed */
    struct ckpt_pointers stack, memo;
    size_t marks[CKPT_PICKLE_MARKS]; /* stack depths */
    size_t mark_count;
    uint64_t stream_bytes; /* of the streams inside it so far */
    uint64_t record_items; /* of the persistence records that were called so far */
    bool stopped;
    struct err *e;
};

struct ckpt_opcode {
    const char *name;                  /* NULL: no opcode of the language */
    int (*run)(struct ckpt_pickle *p); /* NULL: refused */
};
extern const struct ckpt_opcode ckpt_opcodes[256];

/* Fills the run's error with text, opcode and byte; returns -1. */
int ckpt_pickle_refuse(struct ckpt_pickle *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Appends, growing up to `max`; `of` names the array in the error. */
int ckpt_pointers_push(struct ckpt_pickle *p, struct ckpt_pointers *array, void *value, size_t max,
                       const char *of);

/* The next `length` bytes of the pickle, or NULL when there are fewer. */
const unsigned char *ckpt_pickle_operand(struct ckpt_pickle *p, uint64_t length);
/* A little-endian number of `bytes` bytes, at most 8. */
int ckpt_pickle_take_number(struct ckpt_pickle *p, int bytes, uint64_t *out);
/* The text up to a line feed, without it. */
const char *ckpt_pickle_take_line(struct ckpt_pickle *p, size_t *length);
/* `value` may be NULL for a failure that has filled the error; returns -1 then. */
int ckpt_pickle_push(struct ckpt_pickle *p, struct ckpt_value *value);
/* How many values lie above the innermost mark. */
size_t ckpt_pickle_above_mark(const struct ckpt_pickle *p);
/* The topmost value, taken off or left; NULL when none lies above the innermost mark. */
struct ckpt_value *ckpt_pickle_pop(struct ckpt_pickle *p);
struct ckpt_value *ckpt_pickle_top(struct ckpt_pickle *p);

/* Opcodes that push one value. */
int ckpt_op_none(struct ckpt_pickle *p);
int ckpt_op_newtrue(struct ckpt_pickle *p);
int ckpt_op_newfalse(struct ckpt_pickle *p);
int ckpt_op_decimal(struct ckpt_pickle *p);
int ckpt_op_binint(struct ckpt_pickle *p);
int ckpt_op_binint1(struct ckpt_pickle *p);
int ckpt_op_binint2(struct ckpt_pickle *p);
int ckpt_op_long(struct ckpt_pickle *p);
int ckpt_op_binfloat(struct ckpt_pickle *p);
int ckpt_op_text(struct ckpt_pickle *p);

/* A new value of this kind with zeroed content, or NULL. */
struct ckpt_value *ckpt_value_new(struct ckpt_pickle *p, enum ckpt_value_kind kind);
/* Appends to a tuple, list or dict. */
int ckpt_value_append(struct ckpt_pickle *p, struct ckpt_value *container, struct ckpt_value *item);

/* The global of that module and name as a value, or NULL: "refused global MODULE.NAME". */
struct ckpt_value *ckpt_global_find(struct ckpt_pickle *p, const char *module, size_t module_length,
                                    const char *name, size_t name_length);
/* What calling `callable` with the tuple `arguments` means. */
struct ckpt_value *ckpt_global_call(struct ckpt_pickle *p, const struct ckpt_value *callable,
                                    const struct ckpt_value *arguments);
/* What making an instance of `class` with the tuple `arguments` means (NEWOBJ). */
struct ckpt_value *ckpt_global_instance(struct ckpt_pickle *p, const struct ckpt_value *class,
                                        const struct ckpt_value *arguments);
/* Gives an object the state that BUILD brings. */
int ckpt_object_build(struct ckpt_pickle *p, struct ckpt_value *object,
                      const struct ckpt_value *state);
/* The storage that a persistent id names. */
struct ckpt_value *ckpt_storage_load(struct ckpt_pickle *p, const struct ckpt_value *id);

#endif
