/* What a family of models must be able to do: the table behind model.h. Inside the room only.
 *
 * The learned families keep a network and share model_net.c; others keep what they need behind
 * `own`, in the model and in the workspace. */
#ifndef MODEL_FAMILY_H
#define MODEL_FAMILY_H

#include "model.h"

struct model_family {
    enum image_rounding rounding;
    bool to_zero; /* its flow ends on the data prediction at t_min */
    /* Takes the weights over from the file, whose description has been read, and fills `sha256`,
     * `parameters` and `bytes`. After a failure too, `unload` frees what is there. */
    int (*load)(struct model *m, struct ckpt_file *f, const struct model_options *options,
                struct err *e);
    void (*unload)(struct model *m);
    const char *(*kernel_id)(const struct model *m);
    /* Everything of a workspace but `family` and `batch`; likewise. */
    int (*workspace_fill)(const struct model *m, struct model_workspace *ws, struct err *e);
    void (*workspace_clear)(struct model_workspace *ws);
    /* Components of the reference's time channel in the norm of its step control (see ode_options).
     */
    size_t (*time_components)(const struct model *m);
    /* Changes what model_solver_default has; NULL: nothing. */
    void (*solver_default)(const struct model *m, struct model_solver *solver);
    /* The data's mean [d] or NULL. */
    const double *(*mean)(const struct model *m);
    /* Where the prior is centred [d]; NULL: the origin. */
    const double *(*prior_centre)(const struct model *m);
    void (*prior_draw)(const struct model *m, const struct model_solver *solver, uint64_t seed,
                       uint64_t index, double *x);
    void (*slopes)(const struct model *m, struct model_workspace *ws, int n,
                   const struct model_query *queries);
    void (*field)(const struct model *m, struct model_workspace *ws, int n, const float *const x[],
                  const float t[], float *const v_x[], float v_t[]);
};

struct model {
    const struct model_family *family; /* NULL before the description is known */
    struct ckpt_description description;
    struct nn_net *net; /* of learned families */
    double *mean;       /* of learned families, or NULL */
    void *own;          /* of others */
    size_t parameters, bytes;
    char sha256[SHA256_HEX_SIZE];
};

struct model_workspace {
    const struct model_family *family;
    int batch;
    /* Learned families: rows of f32 for the network's input and output, and its own workspace. */
    struct nn_workspace *nn;
    float *block;
    const float **x;
    float **v_x;
    float *t, *v_t;
    int32_t *label;
    void *own; /* of others */
};

/* model_net.c: the part of the table that learned families share. */
int model_net_load(struct model *m, struct ckpt_file *f, const struct model_options *options,
                   struct err *e);
void model_net_unload(struct model *m);
const char *model_net_kernel_id(const struct model *m);
const double *model_net_mean(const struct model *m);
int model_net_workspace_fill(const struct model *m, struct model_workspace *ws, struct err *e);
void model_net_workspace_clear(struct model_workspace *ws);
void model_net_field(const struct model *m, struct model_workspace *ws, int n,
                     const float *const x[], const float t[], float *const v_x[], float v_t[]);

extern const struct model_family model_family_pfgm;
extern const struct model_family model_family_exact;

#endif
