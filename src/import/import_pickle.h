/* A pickle machine that executes nothing. Internal to the room.
 *
 * Python's pickle is a program for a stack machine that may call any function. This one knows the
 * opcodes that torch.save and pickled modules have in protocols 1 to 5 and a fixed list of globals;
 * a call of one of those is replaced by what it means (an empty dict, a tensor over a storage, a
 * record of an object's class and attributes), and anything else is refused by name. What it builds
 * is plain data in an arena.
 *
 * Limits: IMPORT_PICKLE_MEMORY for all values, IMPORT_PICKLE_STACK values and IMPORT_PICKLE_MARKS
 * open containers on the stack, memo numbers below the pickle's length. Nothing recurses, neither
 * here nor in those who read the values, so deep nesting and cycles are harmless. The one exception
 * is a storage whose bytes are a stream inside the pickle (torch.storage._load_from_bytes): that is
 * read by a machine of its own, which has IMPORT_STREAM_MEMORY and refuses another stream within,
 * and the streams of one pickle may have no more bytes together than the pickle has. */
#ifndef IMPORT_PICKLE_H
#define IMPORT_PICKLE_H

#include "import_arena.h"
#include "ckpt_safetensors.h"

#define IMPORT_PICKLE_MEMORY ((size_t)256 << 20)
#define IMPORT_PICKLE_STACK ((size_t)1 << 20)
#define IMPORT_PICKLE_MARKS 4096
#define IMPORT_PICKLE_PROTOCOL 5 /* the latest */
#define IMPORT_STREAM_MEMORY ((size_t)1 << 20)

enum import_value_kind {
    IMPORT_VALUE_NONE,
    IMPORT_VALUE_BOOL,
    IMPORT_VALUE_INT,
    IMPORT_VALUE_LONG, /* an integer beyond 64 bits: its little-endian two's complement in `text` */
    IMPORT_VALUE_REAL,
    IMPORT_VALUE_STRING,
    IMPORT_VALUE_BYTES, /* a view of the pickle, not a copy: weights may be embedded in it */
    IMPORT_VALUE_TUPLE,
    IMPORT_VALUE_LIST,
    IMPORT_VALUE_DICT, /* items: key, value, key, value, … as they were set */
    IMPORT_VALUE_GLOBAL,
    IMPORT_VALUE_STORAGE,
    IMPORT_VALUE_TENSOR,
    IMPORT_VALUE_OBJECT, /* an instance of a known kind of class: see `object` */
    IMPORT_VALUE_OPAQUE  /* a harmless object that no one here needs: a NumPy scalar or dtype, a set
                          */
};

/* A storage as one persistent id names it. The same storage may be named many times; `place` is for
 * the container's reader, who unites those with equal keys. */
struct import_storage {
    const char *key;
    size_t key_length;
    enum ckpt_dtype dtype;
    uint64_t numel;
    size_t place;
    const unsigned char *data; /* embedded in the pickle, which must outlive it; else NULL */
};

/* A strided view, checked to lie within its storage. */
struct import_view {
    const struct import_storage *storage;
    uint64_t offset; /* in elements, as are the strides */
    int rank;
    uint64_t shape[CKPT_RANK_MAX];
    uint64_t stride[CKPT_RANK_MAX];
    uint64_t count;
};

struct import_global;
struct import_value {
    enum import_value_kind kind;
    union {
        bool truth;
        int64_t integer;
        double real;
        struct {
            const char *data; /* of a string: followed by a NUL that `length` leaves out; may
                                 hold others */
            size_t length;
        } text;
        struct {
            struct import_value **values;
            size_t count, capacity;
        } items;
        const struct import_global *global;
        struct import_storage *storage;
        struct import_view *view;
        struct {
            const char *class_name;           /* without NUL in it; its module is not kept */
            const struct import_value *state; /* a dict of attributes; NULL as long as none came */
        } object;
    };
};

struct import_pickle;
/* A machine without any values yet; `what` (copied) names the file in errors. */
struct import_pickle *import_pickle_new(const char *what, struct err *e);
/* The same for the pickles of a stream inside another pickle. */
struct import_pickle *import_pickle_new_nested(const char *what, struct err *e);
/* Frees the machine and every value that it built. */
void import_pickle_free(struct import_pickle *p);

/* Runs one pickle that begins `data`, up to its STOP; `used` receives the number of bytes read. The
 * value lives as long as the machine, and needs `data` as long. NULL on failure; the error tells
 * opcode and byte. */
const struct import_value *import_pickle_run(struct import_pickle *p, const unsigned char *data,
                                             size_t length, size_t *used, struct err *e);

/* The storages named so far, in the order of their naming. The array is the machine's and moves
 * when it runs again; the storages stay. */
struct import_storage **import_pickle_storages(struct import_pickle *p, size_t *count);
/* Memory that lives as long as the machine. */
void *import_pickle_take(struct import_pickle *p, size_t size, struct err *e);

/* The value of a dict's string key, the last one set, as in Python; NULL when absent or no dict. */
const struct import_value *import_value_get(const struct import_value *dict, const char *key);
/* An object's attribute, NULL when it has none of that name or is no object. */
const struct import_value *import_value_attribute(const struct import_value *object,
                                                  const char *name);
/* Whether it is the string `text`. */
bool import_value_is(const struct import_value *value, const char *text);

#endif
