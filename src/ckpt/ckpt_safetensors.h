/* Safetensors: an 8-byte little-endian header length, a JSON header, the tensors' bytes.
 *
 *     offset 0   u64 N          length of the header, ≤ CKPT_HEADER_MAX and ≤ file − 8
 *     offset 8   N bytes        {"__metadata__": {string: string}, "name": {"dtype", "shape",
 *                               "data_offsets": [begin, end]}, …} then spaces only
 *     offset 8+N the data       offsets count from here; no overlap, no hole, nothing left over
 *
 * The header is read when the file is opened, a tensor's bytes when they are asked for. Nothing is
 * mapped: somebody who writes into the file meanwhile causes an error (ckpt_file_check), and the
 * memory needed is that of the values wanted. */
#ifndef CKPT_SAFETENSORS_H
#define CKPT_SAFETENSORS_H

#include "base_err.h"
#include "base_json.h"
#include <stdint.h>

#define CKPT_HEADER_MAX (100u * 1000 * 1000)
#define CKPT_RANK_MAX 8
#define IMPORT_TENSORS_MAX 65536

enum ckpt_dtype {
    CKPT_F64,
    CKPT_F32,
    CKPT_F16,
    CKPT_BF16,
    CKPT_I64,
    CKPT_I32,
    CKPT_I16,
    CKPT_I8,
    CKPT_U64,
    CKPT_U32,
    CKPT_U16,
    CKPT_U8,
    CKPT_BOOL
};
size_t ckpt_dtype_size(enum ckpt_dtype dtype);
const char *ckpt_dtype_name(enum ckpt_dtype dtype); /* as safetensors writes it: "F32" */
bool ckpt_dtype_is_float(enum ckpt_dtype dtype);

struct ckpt_tensor {
    const char *name; /* owned by the file */
    enum ckpt_dtype dtype;
    int rank;
    uint64_t shape[CKPT_RANK_MAX];
    uint64_t count; /* product of shape; 1 for a scalar */
    uint64_t begin; /* of its count · dtype size bytes in the data section */
    const struct ckpt_file *file;
};

struct ckpt_file;
/* Opens and checks everything but the values. The error names the file and the tensor or key. */
struct ckpt_file *ckpt_file_open(const char *path, struct err *e);
/* A file that was good when it was loaded, with that digest. ERR_IO when it is another one by now,
 * or cannot be read any more; the error says that its `what` are needed once more, and `do_this`.
 */
struct ckpt_file *ckpt_file_open_again(const char *path, const char *sha256, const char *what,
                                       const char *do_this, struct err *e);
void ckpt_file_close(struct ckpt_file *f);
size_t ckpt_file_count(const struct ckpt_file *f);
/* In the order of their data. */
const struct ckpt_tensor *ckpt_file_tensor(const struct ckpt_file *f, size_t i);
const struct ckpt_tensor *ckpt_file_find(const struct ckpt_file *f, const char *name); /* or NULL */
/* The value of a __metadata__ key, or NULL. Owned by the file. */
const char *ckpt_file_metadata(const struct ckpt_file *f, const char *key);
const char *ckpt_file_path(const struct ckpt_file *f);
/* Digest of the whole file, computed once on demand; the digest is owned by the file. NULL on
 * failure. */
const char *ckpt_file_sha256(struct ckpt_file *f, struct err *e);
uint64_t ckpt_file_bytes(const struct ckpt_file *f);
/* After the last tensor was read: ERR_IO when somebody wrote into the file since it was opened. */
int ckpt_file_check(const struct ckpt_file *f, struct err *e);

/* Holds the data against the digest in the metadata, where there is one: all files that are written
 * here have it. ERR_INPUT when they differ, which says that the file is damaged. Reads the whole
 * file, on all processors. */
int ckpt_file_verify(const struct ckpt_file *f, struct err *e);

size_t ckpt_tensor_bytes(const struct ckpt_tensor *t);
/* The tensor's bytes as they lie in the file. */
int ckpt_tensor_read(const struct ckpt_tensor *t, void *out, struct err *e);
/* Converts a float tensor's elements to f32 or f64 (f16 and bf16 widened, f64 rounded to f32; a
 * finite f64 that f32 cannot hold is an error naming the tensor). ERR_INPUT for integer types. */
int ckpt_tensor_to_f32(const struct ckpt_tensor *t, float *out, struct err *e);
int ckpt_tensor_to_f64(const struct ckpt_tensor *t, double *out, struct err *e);

/* One tensor to write; data in native little-endian C order, not owned. */
struct ckpt_output {
    const char *name;
    enum ckpt_dtype dtype;
    int rank;
    uint64_t shape[CKPT_RANK_MAX];
    const void *data;
};
/* All tensors of a file as outputs, in their order, with room for `spare` more. The caller frees
 * the array and *data, which holds their bytes; names are the file's. NULL on failure. */
struct ckpt_output *ckpt_file_outputs(const struct ckpt_file *f, size_t spare, void **data,
                                      struct err *e);
/* Writes the file atomically: tensors in the given order, header padded with spaces to a multiple
 * of 8, `metadata` an object of strings (borrowed; may be NULL) to which a digest of the data is
 * added. Equal input gives equal bytes. */
int ckpt_file_write(const char *path, const struct ckpt_output *tensors, size_t n,
                    const json_t *metadata, struct err *e);

#endif
