/* The network in use: weights packed for one instruction set, a workspace planned once, and the
 * forward pass (x, t, label) → (v_x, v_t) of pfgm's normalised field, or → F of a PFGM++ denoiser.
 *
 * What the result of an image depends on: its own x, t and label, the weights, the kernel id and
 * the precision. Nothing else: not on how many images share the call, nor on its place among them.
 * Every kernel keeps one fixed order of summation for an output element, whatever tile it falls
 * into.
 *
 * Threads: a net is read-only after creation and shared; each thread brings its own workspace. */
#ifndef NN_NET_H
#define NN_NET_H

#include "nn_arch.h"

enum nn_kernel { NN_KERNEL_AUTO, NN_KERNEL_C, NN_KERNEL_AVX2, NN_KERNEL_AVX512, NN_KERNEL_AMX };

/* "auto", "c", "avx2", "avx512", "amx"; -1 and an error that lists the words otherwise. */
int nn_kernel_parse(const char *word, enum nn_kernel *out, struct err *e);
/* What the environment variable PFGM_KERNEL asks for in the place of AUTO: AUTO itself if it is
 * unset or empty, -1 and an error that names it if it holds another word. */
#define NN_KERNEL_VARIABLE "PFGM_KERNEL"
int nn_kernel_environment(enum nn_kernel *out, struct err *e);
/* Whether this machine can run it. AUTO resolves to what PFGM_KERNEL says, or else to the best in
 * single precision that the machine can run. */
bool nn_kernel_available(enum nn_kernel kernel);
enum nn_kernel nn_kernel_resolve(enum nn_kernel kernel);
/* ISA and revision in single precision, part of the seed rule: "c.1", "avx2.3", "avx512.3", which
 * is AMX's too. The revision rises whenever any output bit of a kernel changes. */
const char *nn_kernel_id(enum nn_kernel kernel);

/* What products are made of: single precision; numbers as pairs of bf16, three products for one
 * (error about 1e-5 of the output); or bf16 (about 1e-2). Everything else is in f32 in all of them.
 */
enum nn_precision { NN_PRECISION_AUTO, NN_PRECISION_F32, NN_PRECISION_BF16X3, NN_PRECISION_BF16 };
/* "auto", "f32", "bf16x3", "bf16"; -1 and an error that lists the words otherwise. */
int nn_precision_parse(const char *word, enum nn_precision *out, struct err *e);
const char *nn_precision_name(enum nn_precision precision);
/* nn_kernel_id for f32; for bf16 and bf16x3 "amx.1", "avx512bf16.1", "avx2bf16.1", "cbf16.1". */
const char *nn_kernel_id_in(enum nn_kernel kernel, enum nn_precision precision);
/* Resolves both. A precision AUTO is bf16x3 where the kernel is AMX, or AUTO on a machine with AMX,
 * else f32. With f32, AMX becomes AVX512. With bf16 a kernel AUTO becomes AMX, or AVX512 where it
 * has BF16, else ERR_UNSUPPORTED; one that is named and has no instruction for bf16 computes its
 * products in plain C, with AVX512's bits, for comparison. ERR_UNSUPPORTED for what this machine
 * cannot run, ERR_INPUT for a bad word in PFGM_KERNEL; `at` "kernel", "precision", or the variable.
 */
int nn_precision_resolve(enum nn_kernel *kernel, enum nn_precision *precision, struct err *e);

/* Where weights come from: fills `out` with the param's values in f32, in PyTorch order; 0 or -1.
 */
struct nn_weights {
    int (*read)(void *context, const struct nn_param *param, float *out, struct err *e);
    void *context;
};

struct nn_net;
/* Reads every parameter in the order of nn_arch_params, refuses non-finite ones by name, packs
 * them. NULL on failure, which a bad word in PFGM_KERNEL is too if the kernel is AUTO. */
struct nn_net *nn_net_new(const struct nn_arch *arch, const struct nn_weights *weights,
                          enum nn_kernel kernel, struct err *e);
/* The same by up to `threads` ≥ 1 threads, the caller included: with more than one, `read` is
 * called by several at once and in any order, once for each param. Bits and errors are those of
 * one. */
struct nn_net *nn_net_new_threads(const struct nn_arch *arch, const struct nn_weights *weights,
                                  enum nn_kernel kernel, enum nn_precision precision, int threads,
                                  struct err *e);
void nn_net_free(struct nn_net *net);
const struct nn_arch *nn_net_arch(const struct nn_net *net);
enum nn_kernel nn_net_kernel(const struct nn_net *net);
enum nn_precision nn_net_precision(const struct nn_net *net);
const char *nn_net_kernel_id(const struct nn_net *net); /* nn_kernel_id_in of the two */
size_t nn_net_bytes(const struct nn_net *net);          /* memory of the packed weights */

/* Scratch for up to `batch` images at once; the only allocation, none happens in a forward pass. */
struct nn_workspace;
struct nn_workspace *nn_workspace_new(const struct nn_net *net, int batch, struct err *e);
void nn_workspace_free(struct nn_workspace *ws);
size_t nn_workspace_bytes(const struct nn_workspace *ws);
int nn_workspace_batch(const struct nn_workspace *ws);

#define NN_LABEL_NONE (-1)
/* v_x [n][C,H,W], v_t [n] of n images x [n][C,H,W] at t [n] > 0, 1 ≤ n ≤ batch. The arrays of
 * pointers let images lie anywhere. label [n]: classes below nn_arch.classes, or NN_LABEL_NONE;
 * NULL: none at all. A denoiser (nn_arch.denoiser) takes c_in·x as x and c_noise, of any sign, as
 * t, and gives F as v_x and 0 as v_t. Raw network output, no substitution; non-finite values are
 * passed on for the caller to see. */
void nn_net_forward(const struct nn_net *net, struct nn_workspace *ws, int n,
                    const float *const x[], const float t[], const int32_t label[],
                    float *const v_x[], float v_t[]);

#endif
