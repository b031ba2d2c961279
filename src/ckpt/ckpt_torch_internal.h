/* The inside of the PyTorch reader, shared by its files: ckpt_torch_container.c finds the pickle
 * and the storages in the file, ckpt_torch_state.c finds the state dicts in the pickle's value,
 * ckpt_torch_modules.c the tensors of modules that were saved whole, ckpt_torch.c is the reader's
 * life and the reading of values. */
#ifndef CKPT_TORCH_INTERNAL_H
#define CKPT_TORCH_INTERNAL_H

#include "base_crypto.h"
#include "base_file.h"
#include "ckpt_pickle.h"
#include "ckpt_stream.h"
#include "ckpt_table.h"
#include "ckpt_torch.h"
#include "image_zip.h"

/* A state dict or EMA as a table. */
struct ckpt_tensor_set {
    struct ckpt_table table;
    const struct ckpt_view **views;
    uint64_t *viewed; /* zip: elements of each place that the set's views name, at most; else NULL
                       */
};

struct ckpt_torch {
    char *path;
    struct file_map map;
    struct image_zip *zip;        /* NULL for the other containers */
    bool plain;                   /* a pickle without container */
    unsigned char *pickle_bytes;  /* data.pkl of a zip */
    struct ckpt_pickle *pickle;   /* owns every value and name */
    const struct ckpt_value *top; /* what was saved */
    struct ckpt_places places;
    struct ckpt_tensor_set model, ema;
    enum ckpt_torch_ema ema_kind;
    const struct ckpt_value *ema_module, *net_module; /* what was saved whole, or NULL */
    int64_t step;
    unsigned char *held; /* bytes of the storage that was read last from a zip */
    size_t held_place;   /* meaningful while held is not NULL */
    char sha256[SHA256_HEX_SIZE];
};

/* Sets zip or not, runs the pickle, sets top and places. */
int ckpt_torch_container_read(struct ckpt_torch *t, struct err *e);
/* Sets model, ema, ema_kind and step from top. */
int ckpt_torch_state_read(struct ckpt_torch *t, struct err *e);
void ckpt_tensor_set_clear(struct ckpt_tensor_set *set);
int ckpt_tensor_set_allocate(struct ckpt_tensor_set *set, size_t n, const char *path,
                             struct err *e);
/* Adds a tensor in the room allocated; the name is copied. */
int ckpt_tensor_set_add(struct ckpt_torch *t, struct ckpt_tensor_set *set, const char *name,
                        const struct ckpt_view *view, struct err *e);

/* Counts, once a set is whole, how much of each storage its views name. */
int ckpt_tensor_set_measure(struct ckpt_torch *t, struct ckpt_tensor_set *set, struct err *e);

/* Calls `visit` for a module and all modules within it, outer ones first. Names are dotted, the
 * root's is empty. */
typedef int ckpt_module_visit(void *context, const char *name, const struct ckpt_value *module,
                              struct err *e);
int ckpt_modules_walk(const struct ckpt_value *root, const char *path, ckpt_module_visit *visit,
                      void *context, struct err *e);
/* Sets ema and model from whole modules, either of which may be absent (NULL or None). */
int ckpt_torch_modules_read(struct ckpt_torch *t, const struct ckpt_value *ema,
                            const struct ckpt_value *net, struct err *e);

#endif
