/* The inside of the .pth reader, shared by its three files: ckpt_torch_container.c finds the pickle
 * and the storages in the file, ckpt_torch_state.c finds the state dicts in the pickle's value,
 * ckpt_torch.c is the reader's life and the reading of values. */
#ifndef CKPT_TORCH_INTERNAL_H
#define CKPT_TORCH_INTERNAL_H

#include "base_crypto.h"
#include "base_file.h"
#include "ckpt_pickle.h"
#include "ckpt_torch.h"
#include "image_zip.h"

/* Where the bytes of a storage are. One place per key; ckpt_storage.place is its index. */
struct ckpt_place {
    const struct ckpt_storage *storage; /* one of those that name it */
    size_t bytes;                       /* numel · element size */
    size_t member;                      /* zip: index of the archive's member */
    const unsigned char *data;          /* legacy: in the mapped file; NULL in a zip */
};

/* A state dict or EMA as a table. */
struct ckpt_tensor_set {
    struct ckpt_torch_tensor *tensors;
    const struct ckpt_view **views;
    size_t *by_name; /* indices sorted by name */
    size_t count;
};

struct ckpt_torch {
    char *path;
    struct file_map map;
    struct image_zip *zip;        /* NULL for the legacy container */
    unsigned char *pickle_bytes;  /* data.pkl of a zip */
    struct ckpt_pickle *pickle;   /* owns every value and name */
    const struct ckpt_value *top; /* what was saved */
    struct ckpt_place *places;
    size_t place_count;
    struct ckpt_tensor_set model, ema;
    enum ckpt_torch_ema ema_kind;
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
/* Index of the name, or -1. */
int64_t ckpt_tensor_set_find(const struct ckpt_tensor_set *set, const char *name);

#endif
