/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC'11, "Parallel random numbers: as
 * easy as 1, 2, 3"). A value is a pure function of (seed, index, purpose, block): no state, no
 * order, so any image can be drawn alone and in any thread.
 *
 * key = (seed low, seed high); counter = (index low, index high, purpose, block). */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a stream is for. Numbers are part of the seed rule: never reuse or renumber one. */
enum rng_purpose {
    RNG_PRIOR_DIRECTION = 1,  /* the d normals of the start on t = T */
    RNG_PRIOR_RADIUS = 2,     /* the normal under the start's radius */
    RNG_CLASS = 3,            /* the class of an image that is asked for without one */
    RNG_PRIOR_ADDED = 4,      /* the chi-square under the start's radius with D added dimensions */
    RNG_LIKELIHOOD_PROBE = 5, /* the signs of a likelihood's probes, a bit each (rng_signs) */
    RNG_DEQUANTISE = 6, /* what is added to the bytes of a picture whose likelihood is asked */
    RNG_CHURN = 7,      /* the normals that a stochastic sampler adds, see rng_step_normals */
    RNG_CIRCLE = 8,     /* the normals of the direction by which opposite latents are joined */
    /* Of training; the index is train_rng_index(step, …) where nothing else is said. They are part
     * of what makes a run resume to the same bytes. */
    RNG_TRAIN_SHUFFLE = 100,  /* index: epoch */
    RNG_TRAIN_LARGE = 101,    /* group: the large batch's rows */
    RNG_TRAIN_FLIP = 102,     /* image */
    RNG_TRAIN_LABEL = 103,    /* image: left out or not */
    RNG_TRAIN_EXPONENT = 104, /* image: m, and m once more */
    RNG_TRAIN_NOISE = 105,    /* image: t's normal, then x's */
    RNG_TRAIN_WEIGHTS = 106,  /* index: parameter: initial values */
    RNG_TRAIN_EVAL = 107,     /* index: direction */
    RNG_TRAIN_PARTNER = 108,  /* image: the datum of the direct objective */
    RNG_TRAIN_DROPOUT = 110,  /* the network's masks */
    RNG_TRAIN_ADDED = 111,    /* image: the chi-square of D degrees */
    RNG_TRAIN_INTERVAL = 112, /* image: where on the path a distillation has it */
    RNG_TRAIN_SHIFT = 113,    /* image: by how many pixels it is moved */
    RNG_TEST = 1000           /* tests only */
};

/* One block of the generator: four words from counter[4] and key[2]. */
void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Uniform in the open interval (0, 1), 52 bits and a half: never 0, never 1. */
double rng_unit(uint64_t bits);

/* Two independent standard normals from two 64-bit words, by Box and Muller; finite for any. */
void rng_normal_pair(uint64_t a, uint64_t b, double out[2]);

/* n standard normals of one stream; number j is always the same whatever n. n < 2^33. */
void rng_normals(uint64_t seed, uint64_t index, enum rng_purpose purpose, size_t n, double *out);

/* n random signs, ±1: numbers first to first + n − 1 of one stream, a bit each, 128 a block, the
 * lowest of the block's words first. first + n ≤ 2^39. */
void rng_signs(uint64_t seed, uint64_t index, enum rng_purpose purpose, uint64_t first, size_t n,
               double *out);

/* The normals of one step of many, a stream for each: purpose + 4096 · step in the purpose's place.
 * step ≤ RNG_STEP_MAX. */
#define RNG_STEP_MAX 1000000
void rng_step_normals(uint64_t seed, uint64_t index, enum rng_purpose purpose, uint32_t step,
                      size_t n, double *out);

/* A uniform integer below n ≥ 1, exactly: the remainder by n of the stream's first 64-bit word that
 * lies below the largest multiple of n up to 2^64. */
uint64_t rng_below(uint64_t seed, uint64_t index, enum rng_purpose purpose, uint64_t n);

/* A chi-square variate of `degrees` ≥ 1 degrees of freedom, whole or not, ≤ 1e9: exact in law, and
 * above 1e-50 for any seed. By Marsaglia and Tsang's rejection ("A simple method for generating
 * gamma variables", 2000); try k reads blocks 2k and 2k + 1 of the stream. */
double rng_chi_square(uint64_t seed, uint64_t index, enum rng_purpose purpose, double degrees);

/* n uniforms in (0, 1) of one stream. */
void rng_uniforms(uint64_t seed, uint64_t index, enum rng_purpose purpose, size_t n, double *out);

#endif
