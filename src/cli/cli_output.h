/* Where samples go: a kind of output for each ending of -o. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "engine.h"

enum cli_output_kind {
    CLI_OUTPUT_PNG,        /* NAME.png or -: one image, or a sheet */
    CLI_OUTPUT_FOLDER,     /* DIR/: one PNG per image, 000003.png by its index */
    CLI_OUTPUT_NPY,        /* NAME.npy, or - with a dtype: uint8 [n,H,W,C] */
    CLI_OUTPUT_NPY_F32,    /* the same with float32 [n,C,H,W] in data scale, or [n,d] of vectors */
    CLI_OUTPUT_NPZ,        /* NAME.npz: arr_0 uint8 [n,H,W,C], seed uint64 [1], index uint64 [n],
                              and class int64 [n] where the model knows classes */
    CLI_OUTPUT_SAFETENSORS /* NAME.safetensors: samples float32 [n,C,H,W] in data scale, and
                              class int32 [n] where the model knows classes */
};

/* By the path's ending; -1 and an error that lists the endings otherwise. */
int cli_output_kind_parse(const char *path, enum cli_output_kind *out, struct err *e);

/* What the command line says about the output; 0 and false mean absent. */
struct cli_output_options {
    const char *path;
    bool dtype_given, float32; /* --dtype */
    int64_t columns, scale;
};
/* The kind for a model, or -1 and an error that names the option that does not go with it. */
int cli_output_choose(const struct cli_output_options *o, const struct model *m,
                      enum cli_output_kind *out, struct err *e);
/* The word of --dtype. */
int cli_output_take_dtype(struct cli_output_options *o, const char *word, struct err *e);
/* A sheet of n images; columns 0: about the root of n. */
struct image_grid cli_output_grid(const struct cli_output_options *o, size_t n);

/* What an output must leave as it is. */
enum { CLI_OUTPUT_INPUTS_MAX = 8 };
struct cli_output_guard {
    const char *inputs[CLI_OUTPUT_INPUTS_MAX]; /* as they are named: NULL where one is not given,
                                                  "-" on standard input */
    bool shards; /* a folder may hold shards of a run: who writes into it looks at them */
};

/* Before hours of work: whether the model's images can have this form, the path looks writable and
 * what is written takes the place of nothing that the guard keeps. */
int cli_output_prepare(enum cli_output_kind kind, const char *path, struct image_shape shape,
                       const struct cli_output_guard *guard, struct err *e);
/* Of one file, whatever is in it: it need not exist, its folder must, and let itself be written.
 * Without a guard it may be any file. */
int cli_output_prepare_file(const char *path, const struct cli_output_guard *guard, struct err *e);
/* The same of a folder of images. */
int cli_output_prepare_folder(const char *path, const struct cli_output_guard *guard,
                              struct err *e);

/* Makes the folder of CLI_OUTPUT_FOLDER if it is not there, once nothing of the order is wrong. No
 * image of the order may take the place of an input. */
int cli_output_make_folder(enum cli_output_kind kind, const char *path,
                           const struct engine_order *order, const struct cli_output_guard *guard,
                           struct err *e);

/* What the engine must keep for it. `sheet`: the PNG is a sheet. */
enum engine_output cli_output_engine(enum cli_output_kind kind, bool sheet);

/* Writes a finished request; every file atomically. */
int cli_output_write(enum cli_output_kind kind, const char *path,
                     const struct engine_request *request, struct err *e);

/* Digest of image i as it is in the output: of its PNG, or of its uint8 or float32 values. Empty
 * for a member of a sheet, which is not there by itself. */
int cli_output_digest(const struct engine_request *request, size_t i, char out[SHA256_HEX_SIZE],
                      struct err *e);

#endif
