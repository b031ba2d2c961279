/* What a family of models must be able to do: the table behind model.h. Inside the room only. */
#ifndef MODEL_FAMILY_H
#define MODEL_FAMILY_H

#include "model.h"

struct model_family {
    enum image_rounding rounding;
    /* Components of the reference's time channel in the norm of its step control (see ode_options).
     */
    size_t (*time_components)(const struct model *m);
    void (*prior_draw)(const struct model *m, const struct model_solver *solver, uint64_t seed,
                       uint64_t index, double *x);
    void (*slopes)(const struct model *m, struct model_workspace *ws, int n,
                   const struct model_query *queries);
};

struct model {
    const struct model_family *family;
    struct ckpt_description description;
    struct nn_net *net;
    size_t parameters;
    char sha256[SHA256_HEX_SIZE];
};

/* Rows of f32 for the network's input and output, and the network's own workspace. */
struct model_workspace {
    int batch;
    struct nn_workspace *nn;
    float *block;
    const float **x;
    float **v_x;
    float *t, *v_t;
};

extern const struct model_family model_family_pfgm;

#endif
