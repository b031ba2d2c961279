/* Where the time of a network goes, by kind of operation: what `pfgm bench --profile` reports.
 *
 * A workspace that was given a profile adds to it what its thread spends in each operation, by the
 * thread's processor time. So a workspace with a profile has no team. Without one an operation asks
 * for no time. */
#ifndef NN_PROFILE_H
#define NN_PROFILE_H

#include <stdint.h>

enum nn_profile_kind {
    NN_PROFILE_WINOGRAD,   /* products by transformed weights, without the next two */
    NN_PROFILE_INPUTS,     /* their transforms of inputs */
    NN_PROFILE_OUTPUTS,    /* of outputs, with bias and residual */
    NN_PROFILE_PRODUCT,    /* all other products: 3×3 directly, 1×1, linear */
    NN_PROFILE_NORM,       /* with SiLU */
    NN_PROFILE_ATTENTION,  /* without its 1×1 products */
    NN_PROFILE_RESAMPLING, /* halving and doubling images */
    NN_PROFILE_REST,       /* of an evaluation: borders, embedding, numbers to bf16, … */
    NN_PROFILE_KINDS
};

/* "winograd products", "input transforms", … */
const char *nn_profile_name(enum nn_profile_kind kind);

struct nn_profile_row {
    double seconds;
    double flop; /* two for each multiply-add that was done; of bf16x3 three products count three */
    double bytes; /* each operand once; 0 where multiply-adds decide */
};

struct nn_profile {
    struct nn_profile_row row[NN_PROFILE_KINDS];
    double total;    /* seconds of all rows, the rest included */
    int evaluations; /* calls of nn_net_forward */
};

struct nn_workspace;
/* Adds to `profile` from now on; NULL: to none. The profile is the caller's and outlives it. */
void nn_workspace_profile(struct nn_workspace *ws, struct nn_profile *profile);

#endif
