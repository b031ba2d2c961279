/* Hostile bytes at each of the program's entrances.
 *
 * A target is a function that takes any bytes and must come back: what is wrong with them is an
 * error of the library and no more. What must hold besides (of an error, of a value that was
 * accepted, of what was written and is read again) is checked with FUZZ_CHECK. The same function
 * runs in two programs: libFuzzer's, which makes the bytes up, and the replay's, which takes those
 * that a campaign has kept (tests/fuzz/corpus) and needs no clang. */
#ifndef FUZZ_H
#define FUZZ_H

#include "base_err.h"
#include <stdint.h>

struct fuzz_target {
    const char *name;
    /* What may be allocated at once by the time `run` returns: so many bytes, and so many times the
     * input's. Counted where the address sanitizer is there. */
    size_t memory, memory_factor;
    void (*begin)(void); /* once, before the first run; or NULL */
    void (*run)(const uint8_t *data, size_t length);
    void (*end)(void); /* once, after the last one; or NULL */
};

extern const struct fuzz_target fuzz_config, fuzz_connection, fuzz_dataset, fuzz_description,
    fuzz_head, fuzz_idx, fuzz_keys, fuzz_kserve, fuzz_multipart, fuzz_pickle, fuzz_png,
    fuzz_request, fuzz_safetensors, fuzz_torch, fuzz_training, fuzz_written;

/* Ends the process when the condition does not hold, naming it and its place. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_fail(__FILE__, __LINE__, #condition);                                             \
    } while (0)
void fuzz_fail(const char *file, int line, const char *what) __attribute__((noreturn));

/* Runs the target's `begin`, with the log turned off. */
void fuzz_begin(const struct fuzz_target *target);
/* Runs the target on the bytes, with its memory counted. */
void fuzz_run(const struct fuzz_target *target, const uint8_t *data, size_t length);

/* An error as every failing function leaves it: a code, and one line of text. */
void fuzz_check_error(const struct err *e);

/* The path of a regular file that lies in memory and has these bytes, until the next call with the
 * same slot. */
#define FUZZ_FILES 2
const char *fuzz_file(int slot, const void *data, size_t length);

#endif
