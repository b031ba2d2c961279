/* The inside of the PyTorch reader, shared by its files: import_torch_container.c finds the pickle
 * and the storages in the file, import_torch_state.c finds the state dicts in the pickle's value,
 * import_torch_modules.c the tensors of modules that were saved whole, import_tensor_set.c keeps
 * what they find, import_torch.c is the reader's life and the reading of values. */
#ifndef IMPORT_TORCH_INTERNAL_H
#define IMPORT_TORCH_INTERNAL_H

#include "base_crypto.h"
#include "base_file.h"
#include "import_pickle.h"
#include "import_stream.h"
#include "import_table.h"
#include "import_torch.h"
#include "archive_zip.h"

/* A state dict or EMA as a table. */
struct import_tensor_set {
    struct import_table table;
    const struct import_view **views;
    uint64_t *viewed; /* zip: elements of each place that the set's views name, at most; else NULL
                       */
};

struct import_torch {
    char *path;
    struct file_map map;
    struct archive_zip *zip;        /* NULL for the other containers */
    bool plain;                     /* a pickle without container */
    unsigned char *pickle_bytes;    /* data.pkl of a zip */
    struct import_pickle *pickle;   /* owns every value and name */
    const struct import_value *top; /* what was saved */
    struct import_places places;
    struct import_tensor_set model, ema;
    enum import_torch_ema ema_kind;
    const struct import_value *ema_module, *net_module; /* what was saved whole, or NULL */
    int64_t step;
    unsigned char *held; /* bytes of the storage that was read last from a zip */
    size_t held_place;   /* meaningful while held is not NULL */
    char sha256[SHA256_HEX_SIZE];
};

/* Sets zip or not, runs the pickle, sets top and places. */
int import_torch_container_read(struct import_torch *t, struct err *e);
/* Sets model, ema, ema_kind and step from top. */
int import_torch_state_read(struct import_torch *t, struct err *e);
void import_tensor_set_clear(struct import_tensor_set *set);
int import_tensor_set_allocate(struct import_tensor_set *set, size_t n, const char *path,
                               struct err *e);
/* Adds a tensor in the room allocated; its name lasts as long as the pickle. */
void import_tensor_set_append(struct import_tensor_set *set, const char *name,
                              const struct import_view *view);
/* The same with a copy of the name. */
int import_tensor_set_add(struct import_torch *t, struct import_tensor_set *set, const char *name,
                          const struct import_view *view, struct err *e);

/* Counts, once a set is whole, how much of each storage its views name. */
int import_tensor_set_measure(struct import_torch *t, struct import_tensor_set *set, struct err *e);

/* Calls `visit` for a module and all modules within it, outer ones first. Names are dotted, the
 * root's is empty. */
typedef int import_module_visit(void *context, const char *name, const struct import_value *module,
                                struct err *e);
int import_modules_walk(const struct import_value *root, const char *path,
                        import_module_visit *visit, void *context, struct err *e);
/* Sets ema and model from whole modules, either of which may be absent (NULL or None). */
int import_torch_modules_read(struct import_torch *t, const struct import_value *ema,
                              const struct import_value *net, struct err *e);

#endif
