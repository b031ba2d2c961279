/* Kernels and precisions by name: which there are, what this machine runs, what a word means.
 *
 * A kernel is one way to compute all operations, by an instruction set or a library; a precision
 * says what products are made of. Both, with the kernel's revision, belong to the seed rule.
 * Instruction sets that compute the same bits are one kernel: LANES8 is AVX2 on x86 and NEON on
 * Arm. */
#ifndef NN_KERNEL_H
#define NN_KERNEL_H

#include "base_err.h"

enum nn_kernel {
    NN_KERNEL_AUTO,
    NN_KERNEL_C,
    NN_KERNEL_OPENBLAS,
    NN_KERNEL_LANES8,
    NN_KERNEL_AVX512,
    NN_KERNEL_AMX
};

/* "auto", "c", "openblas", "lanes8", "avx512", "amx", and for lanes8 its instruction sets "avx2"
 * and "neon"; -1 and an error that lists the words otherwise. */
int nn_kernel_parse(const char *word, enum nn_kernel *out, struct err *e);
/* What the environment variable PFGM_KERNEL asks for in the place of AUTO: AUTO itself if it is
 * unset or empty, -1 and an error that names it if it holds another word, or one for what this
 * machine cannot run. */
#define NN_KERNEL_VARIABLE "PFGM_KERNEL"
int nn_kernel_environment(enum nn_kernel *out, struct err *e);
/* Whether this machine can run it; with the reason, why not, as ERR_UNSUPPORTED at "kernel". The
 * first question for OPENBLAS loads the library. AUTO resolves to what PFGM_KERNEL says, or else to
 * the best in single precision that the machine can run: with vectors of ours, or else OPENBLAS. */
bool nn_kernel_available(enum nn_kernel kernel);
int nn_kernel_require(enum nn_kernel kernel, struct err *e);
enum nn_kernel nn_kernel_resolve(enum nn_kernel kernel);
/* ISA and revision in single precision, part of the seed rule: "c.1", "lanes8.3", "avx512.3", which
 * is AMX's too; or library, version, core and revision, "openblas-0.3.21-skylakex.1". The revision
 * rises whenever any output bit of a kernel changes. */
const char *nn_kernel_id(enum nn_kernel kernel);
/* The present name of an id that was written earlier: of "avx2.3", which eight lanes were called
 * while AVX2 alone had them, "lanes8.3"; of any other, itself. */
const char *nn_kernel_id_now(const char *id);

/* What products are made of: single precision; numbers as pairs of bf16, three products for one
 * (error about 1e-5 of the output); or bf16 (about 1e-2). Everything else is in f32 in all of them.
 */
enum nn_precision { NN_PRECISION_AUTO, NN_PRECISION_F32, NN_PRECISION_BF16X3, NN_PRECISION_BF16 };
/* "auto", "f32", "bf16x3", "bf16"; -1 and an error that lists the words otherwise. */
int nn_precision_parse(const char *word, enum nn_precision *out, struct err *e);
const char *nn_precision_name(enum nn_precision precision);
/* nn_kernel_id for f32; for bf16 and bf16x3 "amx.1", "avx512bf16.1", "lanes8bf16.1", "cbf16.1". */
const char *nn_kernel_id_in(enum nn_kernel kernel, enum nn_precision precision);
/* Resolves both. A precision AUTO is bf16x3 where the kernel is AMX, or AUTO on a machine with AMX,
 * else f32. With f32, AMX becomes AVX512; with bf16, OPENBLAS becomes C. With bf16 a kernel AUTO
 * becomes AMX, or AVX512 where it has BF16, else ERR_UNSUPPORTED; one that is named and has no
 * instruction for bf16 computes its products in plain C, with AVX512's bits, for comparison.
 * ERR_UNSUPPORTED for what this machine cannot run, ERR_INPUT for a bad word in PFGM_KERNEL; `at`
 * "kernel", "precision", or the variable.
 */
int nn_precision_resolve(enum nn_kernel *kernel, enum nn_precision *precision, struct err *e);

#endif
