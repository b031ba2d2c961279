/* Checkpoints as PyTorch saves them (.pth, .pt, .pkl), read without executing anything.
 *
 * The pickle inside is run on a machine that knows a short list of opcodes and of globals and
 * builds plain values (numbers, strings, lists, dicts, tensors as views of storages); any other
 * global or opcode is refused by name. Three containers are read: the zip archive (members stored
 * or deflated, any folder name), the older stream, and a plain pickle. One thread at a time may use
 * a reader: it keeps the storage that it read last. */
#ifndef IMPORT_TORCH_H
#define IMPORT_TORCH_H

#include "ckpt_safetensors.h"

struct import_torch;
/* Reads the structure; storages are checked against the file. The error names the file and the
 * opcode, global, storage or tensor. */
struct import_torch *import_torch_open(const char *path, struct err *e);
void import_torch_close(struct import_torch *t);

struct import_torch_tensor {
    const char *name; /* owned by the reader; without any "module." prefix */
    enum ckpt_dtype dtype;
    int rank;
    uint64_t shape[CKPT_RANK_MAX];
    uint64_t count;
};
/* The tensors of "model" (a flat state dict counts as one), in their order. Names are unique. */
size_t import_torch_count(const struct import_torch *t);
const struct import_torch_tensor *import_torch_tensor(const struct import_torch *t, size_t i);
/* Index of a model tensor, or -1. */
int64_t import_torch_find(const struct import_torch *t, const char *name);
int64_t import_torch_step(const struct import_torch *t); /* -1 when absent */
/* Whether networks were saved as whole objects ("ema" and "net", as PFGM++ does), which tell their
 * architecture. "net" counts as the model; it may have no tensor. */
bool import_torch_is_whole(const struct import_torch *t);

/* The averaged weights: none, the reference's list without names (one tensor a trainable parameter,
 * in the order of registration; called "ema.shadow_params[i]" here), or a dict with names. */
enum import_torch_ema { IMPORT_TORCH_EMA_NONE, IMPORT_TORCH_EMA_LIST, IMPORT_TORCH_EMA_NAMED };
enum import_torch_ema import_torch_ema_kind(const struct import_torch *t);
bool import_torch_has_ema(const struct import_torch *t);
size_t import_torch_ema_count(const struct import_torch *t);
const struct import_torch_tensor *import_torch_ema_tensor(const struct import_torch *t, size_t i);
int64_t import_torch_ema_find(const struct import_torch *t, const char *name);

/* Logical values (strides, offset, dtype resolved) of the i-th model or EMA tensor as f32: `out`
 * has room for its count. The error names the tensor. */
int import_torch_read(struct import_torch *t, size_t i, float *out, struct err *e);
int import_torch_ema_read(struct import_torch *t, size_t i, float *out, struct err *e);

/* Digest of the whole file, computed once on demand; owned by the reader. NULL on failure. */
const char *import_torch_sha256(struct import_torch *t, struct err *e);
const char *import_torch_path(const struct import_torch *t);
uint64_t import_torch_bytes(const struct import_torch *t);
/* "zip", "legacy", or "pickle" for one without container. */
const char *import_torch_container(const struct import_torch *t);

/* Whether the bytes look like a PyTorch file of either kind (for `inspect`). */
bool import_torch_is(const char *path);

#endif
