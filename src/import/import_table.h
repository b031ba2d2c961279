/* Tables of named tensors, whatever file they are in, for those who match weights to a network.
 * Internal to the room; a table is built by one thread and read-only afterwards. */
#ifndef IMPORT_TABLE_H
#define IMPORT_TABLE_H

#include "import_torch.h"
#include "nn_arch.h"

struct import_table {
    struct import_torch_tensor *tensors;
    size_t *by_name; /* indices sorted by name */
    size_t count;
};
/* Room for n tensors, none there yet; at most IMPORT_TENSORS_MAX. `what` names the file. */
int import_table_allocate(struct import_table *table, size_t n, const char *what, struct err *e);
/* Sorts the names once all are there, and refuses one that occurs twice. */
int import_table_index(struct import_table *table, const char *what, struct err *e);
void import_table_clear(struct import_table *table);
/* Index of the name, or -1. */
int64_t import_table_find(const struct import_table *table, const char *name);

/* A table with what is needed to read its values. */
struct import_source {
    const char *path; /* of the file */
    const char *word; /* what the file calls the table: "model", "ema", "net", "weights" */
    const struct import_table *table;
    void *owner;
    int (*read)(void *owner, size_t i, float *out, struct err *e); /* as f32; `out` has room */
    /* Where the i-th tensor's bytes are: tensors of one place are unpacked once when they are read
     * one after the other, and rising places are read in the file's order. NULL: in any order. */
    size_t (*place)(void *owner, size_t i);
};
/* The model's or the averaged weights of a PyTorch file. */
struct import_source import_torch_source(struct import_torch *t, bool ema);

/* The named tensor's index, its shape and a float type checked; -1 with an error that names it, and
 * `param` where that has another name. */
int64_t import_source_take(const struct import_source *source, const char *name, int rank,
                           const size_t *shape, const char *param, struct err *e);
/* The check alone. */
int import_source_check(const struct import_source *source, const struct import_torch_tensor *found,
                        int rank, const size_t *shape, const char *param, struct err *e);

#endif
