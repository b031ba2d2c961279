/* The inside of the pickle machine, shared by the machine (import_pickle.c), its opcodes
 * (import_pickle_opcodes.c, import_pickle_scalars.c) and the meanings of globals
 * (import_pickle_reduce.c). */
#ifndef IMPORT_PICKLE_MACHINE_H
#define IMPORT_PICKLE_MACHINE_H

#include "import_pickle.h"

/* A growing array of pointers on the heap. */
struct import_pointers {
    void **at;
    size_t count, capacity;
};

struct import_pickle {
    char *what;
    struct import_arena arena;
    struct import_pointers storages;
    bool nested; /* runs a stream inside another pickle */
    /* of the run in progress */
    const unsigned char *begin, *at, *end;
    const unsigned char *opcode; /* the one that is being executed */
    struct import_pointers stack, memo;
    size_t marks[IMPORT_PICKLE_MARKS]; /* stack depths */
    size_t mark_count;
    uint64_t stream_bytes; /* of the streams inside it so far */
    uint64_t record_items; /* of the persistence records that were called so far */
    bool stopped;
    struct err *e;
};

struct import_opcode {
    const char *name;                    /* NULL: no opcode of the language */
    int (*run)(struct import_pickle *p); /* NULL: refused */
};
extern const struct import_opcode import_opcodes[256];

/* Fills the run's error with text, opcode and byte; returns -1. */
int import_pickle_refuse(struct import_pickle *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Appends, growing up to `max`; `of` names the array in the error. */
int import_pointers_push(struct import_pickle *p, struct import_pointers *array, void *value,
                         size_t max, const char *of);

/* The next `length` bytes of the pickle, or NULL when there are fewer. */
const unsigned char *import_pickle_operand(struct import_pickle *p, uint64_t length);
/* A little-endian number of `bytes` bytes, at most 8. */
int import_pickle_take_number(struct import_pickle *p, int bytes, uint64_t *out);
/* The text up to a line feed, without it. */
const char *import_pickle_take_line(struct import_pickle *p, size_t *length);
/* `value` may be NULL for a failure that has filled the error; returns -1 then. */
int import_pickle_push(struct import_pickle *p, struct import_value *value);
/* How many values lie above the innermost mark. */
size_t import_pickle_above_mark(const struct import_pickle *p);
/* The topmost value, taken off or left; NULL when none lies above the innermost mark. */
struct import_value *import_pickle_pop(struct import_pickle *p);
struct import_value *import_pickle_top(struct import_pickle *p);

/* Opcodes that push one value. */
int import_op_none(struct import_pickle *p);
int import_op_newtrue(struct import_pickle *p);
int import_op_newfalse(struct import_pickle *p);
int import_op_decimal(struct import_pickle *p);
int import_op_binint(struct import_pickle *p);
int import_op_binint1(struct import_pickle *p);
int import_op_binint2(struct import_pickle *p);
int import_op_long(struct import_pickle *p);
int import_op_binfloat(struct import_pickle *p);
int import_op_text(struct import_pickle *p);

/* A new value of this kind with zeroed content, or NULL. */
struct import_value *import_value_new(struct import_pickle *p, enum import_value_kind kind);
/* Appends to a tuple, list or dict. */
int import_value_append(struct import_pickle *p, struct import_value *container,
                        struct import_value *item);

/* The global of that module and name as a value, or NULL: "refused global MODULE.NAME". */
struct import_value *import_global_find(struct import_pickle *p, const char *module,
                                        size_t module_length, const char *name, size_t name_length);
/* What calling `callable` with the tuple `arguments` means. */
struct import_value *import_global_call(struct import_pickle *p,
                                        const struct import_value *callable,
                                        const struct import_value *arguments);
/* What making an instance of `class` with the tuple `arguments` means (NEWOBJ). */
struct import_value *import_global_instance(struct import_pickle *p,
                                            const struct import_value *class,
                                            const struct import_value *arguments);
/* Gives an object the state that BUILD brings. */
int import_object_build(struct import_pickle *p, struct import_value *object,
                        const struct import_value *state);
/* The storage that a persistent id names. */
struct import_value *import_storage_load(struct import_pickle *p, const struct import_value *id);

#endif
