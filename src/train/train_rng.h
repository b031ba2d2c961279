/* The streams of training's random draws (see rng_purpose): numbers are part of what makes a run
 * resume to the same bytes; never reuse or renumber one. Every draw is a function of the run's seed
 * and the step, so there is no generator whose state would have to be saved. */
#ifndef TRAIN_RNG_H
#define TRAIN_RNG_H

#include "base_rng.h"

#define TRAIN_RNG_SHUFFLE ((enum rng_purpose)100)  /* index: epoch */
#define TRAIN_RNG_LARGE ((enum rng_purpose)101)    /* index: step, group: the large batch's rows */
#define TRAIN_RNG_FLIP ((enum rng_purpose)102)     /* index: step, image */
#define TRAIN_RNG_LABEL ((enum rng_purpose)103)    /* index: step, image: left out or not */
#define TRAIN_RNG_EXPONENT ((enum rng_purpose)104) /* index: step, image: m, and m once more */
#define TRAIN_RNG_NOISE ((enum rng_purpose)105)    /* index: step, image: t's normal, then x's */
#define TRAIN_RNG_EVAL ((enum rng_purpose)107)     /* index: direction */
#define TRAIN_RNG_WEIGHTS ((enum rng_purpose)106)  /* index: parameter: initial values */

/* Steps are below 2^32, what is counted within a step too. */
static inline uint64_t train_rng_index(int64_t step, uint64_t within)
{
    return (uint64_t)step | within << 32;
}

#endif
