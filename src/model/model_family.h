/* What a family of models must be able to do: the table behind model.h. Inside the room only.
 *
 * The learned families keep a network and share model_net.c; others keep what they need behind
 * `own`, in the model and in the workspace. */
#ifndef MODEL_FAMILY_H
#define MODEL_FAMILY_H

#include "model.h"
#include "nn_vjp.h"

struct model_family {
    enum image_rounding rounding;
    bool to_zero;  /* its flow ends on the data prediction at t_min */
    bool denoises; /* what `field` gives is the denoised image, and t is the noise level */
    /* Takes the weights over from the file, whose description has been read, and fills `sha256`,
     * `parameters` and `bytes`. After a failure too, `unload` frees what is there. */
    int (*load)(struct model *m, struct ckpt_file *f, const struct model_options *options,
                struct err *e);
    void (*unload)(struct model *m);
    const char *(*kernel_id)(const struct model *m);
    /* Everything of a workspace but `family` and `batch`. After a failure too, `workspace_clear`
     * frees what is there. */
    int (*workspace_fill)(const struct model *m, struct model_workspace *ws, struct err *e);
    void (*workspace_clear)(struct model_workspace *ws);
    /* Components of the reference's time channel in the norm of its step control (see ode_options).
     */
    size_t (*time_components)(const struct model *m);
    /* Changes what model_solver_default has; NULL: nothing. */
    void (*solver_default)(const struct model *m, struct model_solver *solver);
    /* What the family means by the method and schedule of a solver that was chosen; NULL: nothing
     * else. */
    void (*solver_resolve)(const struct model *m, struct model_solver *solver);
    /* The data's mean [d] or NULL. */
    const double *(*mean)(const struct model *m);
    /* Where the prior is centred [d]; NULL: the origin. */
    const double *(*prior_centre)(const struct model *m);
    void (*prior_draw)(const struct model *m, const struct model_solver *solver, uint64_t seed,
                       uint64_t index, double *x);
    /* log p of a point of the plane t = solver->t_max at the distance r from the prior's centre;
     * NULL: the multivariate Cauchy law's (field_prior_log_density). */
    double (*prior_log_density)(const struct model *m, const struct model_solver *solver, double r);
    void (*slopes)(const struct model *m, struct model_workspace *ws, int n,
                   const struct model_query *queries);
    /* Slopes with products; NULL where the family cannot. `vjp_fill` makes what it needs of the
     * workspace, once; NULL: nothing. */
    int (*vjp_fill)(const struct model *m, struct model_workspace *ws, struct err *e);
    void (*slopes_vjp)(const struct model *m, struct model_workspace *ws, int n,
                       const struct model_query *queries);
    void (*field)(const struct model *m, struct model_workspace *ws, int n, const float *const x[],
                  const float t[], const int32_t label[], float *const v_x[], float v_t[]);
};

struct model {
    const struct model_family *family; /* NULL before the description is known */
    struct ckpt_description description;
    struct image_shape shape; /* of one datum, by the description */
    size_t dimension;         /* d = C·H·W of it */
    bool vectors;             /* its data are vectors (model.h) */
    struct nn_net *net;       /* of learned families */
    double *mean;             /* of learned families, or NULL */
    double deviation;         /* of vectors: that of all their numbers from their mean */
    struct model_vjp *vjp;    /* of learned families: what model_net_vjp_fill makes once, or NULL */
    void *own;                /* of others */
    size_t parameters, bytes;
    char sha256[SHA256_HEX_SIZE];
    char kernel_id[64];
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
    /* Of models with model_null_class: the rows that guided queries become, and the slopes of no
     * class [batch][d]; or NULL. */
    struct model_query *rows;
    double *unguided;
    bool vjp_ready;               /* see model_workspace_vjp */
    struct nn_vjp_workspace *vjp; /* of learned families */
    void *own;                    /* of others */
};

/* Whether the model was distilled (model_solver.c): then it has one schedule, whose last step leads
 * to the end. */
bool model_is_student(const struct model *m);

/* model_net.c: the part of the table that learned families share. */
int model_net_load(struct model *m, struct ckpt_file *f, const struct model_options *options,
                   struct err *e);
void model_net_unload(struct model *m);
const char *model_net_kernel_id(const struct model *m);
const double *model_net_mean(const struct model *m);
int model_net_workspace_fill(const struct model *m, struct model_workspace *ws, struct err *e);
void model_net_workspace_clear(struct model_workspace *ws);
void model_net_field(const struct model *m, struct model_workspace *ws, int n,
                     const float *const x[], const float t[], const int32_t label[],
                     float *const v_x[], float v_t[]);

/* model_vjp.c. What is needed to make the network for products later; model_net_load's. */
int model_vjp_prepare(struct model *m, const char *path, struct err *e);
void model_vjp_free(struct model_vjp *v);
/* `vjp_fill` of the learned families: the network for products, made at the first call of any
 * thread, and the workspace's part of it. */
int model_net_vjp_fill(const struct model *m, struct model_workspace *ws, struct err *e);
/* After it: the products of the rows that the workspace holds, into ws->v_x, with the vectors that
 * `output` makes of each image's output (nn_grad_batch.loss). */
void model_net_products(const struct model *m, struct model_workspace *ws, int n,
                        double (*output)(void *context, int image, const float *v_x, float v_t,
                                         float *v_x_slope, float *v_t_slope),
                        void *context);

extern const struct model_family model_family_pfgm;
extern const struct model_family model_family_exact;
extern const struct model_family model_family_pfgmpp;

#endif
