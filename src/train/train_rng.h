/* The index of training's random draws (RNG_TRAIN_… of rng_purpose). Every draw is a function of
 * the run's seed and the step, so there is no generator whose state would have to be saved. */
#ifndef TRAIN_RNG_H
#define TRAIN_RNG_H

#include "base_rng.h"

/* Steps are below 2^32, what is counted within a step too. */
static inline uint64_t train_rng_index(int64_t step, uint64_t within)
{
    return (uint64_t)step | within << 32;
}

#endif
