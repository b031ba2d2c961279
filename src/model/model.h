/* What can be sampled: a checkpoint opened for use, behind one table of functions a family.
 *
 * A model knows its plane of start, its prior and the slope of its flow; it knows nothing of
 * solvers' steps, requests or threads. It is read-only after loading and shared by all; each thread
 * brings a workspace. */
#ifndef MODEL_H
#define MODEL_H

#include "ckpt_description.h"
#include "image.h"
#include "model_choice.h"
#include "nn_net.h"
#include "nn_profile.h"
#include "nn_team.h"
#include "ode_solver.h"

struct model_options {
    enum nn_kernel kernel;       /* AUTO: the best that this machine runs */
    enum nn_precision precision; /* of learned families; exact fields have one */
};

struct model;
/* Opens a checkpoint, checks all of it (description, every tensor's name, shape and finiteness,
 * nothing left over), packs the weights and takes the file's digest. NULL: the error names the file
 * and the tensor or key. */
struct model *model_load(const char *path, const struct model_options *options, struct err *e);
void model_free(struct model *m);

const struct ckpt_description *model_description(const struct model *m);
const char *model_sha256(const struct model *m); /* of the checkpoint file */
const char *model_kernel_id(const struct model *m);
const char *model_precision_name(const struct model *m);
struct image_shape model_shape(const struct model *m);
size_t model_dimension(const struct model *m); /* d = C·H·W */
/* Whether its data are vectors [1,1,d] in coordinates of their own, of which no picture can be
 * made. */
bool model_vectors(const struct model *m);
enum image_rounding model_rounding(const struct model *m);
size_t model_parameters(const struct model *m); /* scalars */
size_t model_bytes(const struct model *m);      /* memory of the weights */
/* Classes that an image can be asked of; 0: unconditional. Their names are the description's. */
int model_class_count(const struct model *m);
/* Whether it has learned the field of no class, besides those of its classes. */
bool model_null_class(const struct model *m);
/* "0 Trouser, 1 Dress, …", or without the numbers; as many as fit into `out` [size]. */
void model_classes_list(const struct model *m, bool numbered, char *out, size_t size);
/* The class of that name or, where none is called so, of that number in decimal digits. ERR_INPUT,
 * `at` "class", says what there is. */
int model_class_find(const struct model *m, const char *word, int32_t *out, struct err *e);

/* The model's own default (see model_solver.c). */
struct model_solver model_solver_default(const struct model *m);

/* The solver of the path up, from t_min to t_max, of encoding and likelihood: rk45 over ln t,
 * tolerances 1e-5; those of the likelihood are the reference's 1e-4. */
struct model_solver model_solver_forward_default(const struct model *m);
struct model_solver model_solver_likelihood_default(const struct model *m);

/* The model's default with what the choice changes; tolerances without a method ask for rk45.
 * ERR_INPUT where an option belongs to the other kind of method; the error's `at` is the option's
 * name. Ranges are model_solver_check's. */
int model_solver_choose(const struct model *m, const struct model_choice *choice,
                        struct model_solver *out, struct err *e);
/* The path up: `base`, one of the two defaults of that direction, with what the choice changes. If
 * the choice asks for fixed steps, by the method, their number or the schedule, it is what
 * model_solver_choose makes of it. Tuned nodes lead down, so those that the model has by default
 * become the power grid's. It does not end at t = 0. ERR_INPUT where an option belongs to the other
 * kind of method. */
int model_solver_choose_forward(const struct model *m, const struct model_solver *base,
                                const struct model_choice *choice, struct model_solver *out,
                                struct err *e);
/* The steps by which a request names the description's tuned schedule i. */
int model_tuned_steps(const struct model *m, int i);
/* Before a check: gives the schedule `tuned` the nodes that the checkpoint has for the steps,
 * unless it has some; they last as long as the model. Gives that of vectors the place and the scale
 * of the data, which its tolerances are counted in. ERR_INPUT when there are no nodes. */
int model_solver_resolve(const struct model *m, struct model_solver *solver, struct err *e);
/* Checks everything, against the model too; the error's `at` is the option's name: "steps", "t_max"
 * … */
int model_solver_check(const struct model *m, const struct model_solver *solver, struct err *e);

/* ERR_INPUT, `at` "guidance", for a solver that guides: no path up from an image does. */
int model_solver_unguided(const struct model_solver *solver, struct err *e);

/* Whether a solver is so coarse that a sample is likely to end in noise, and what to do, in words;
 * else false and "". It looks at the steps alone and costs microseconds; one that it finds fine may
 * be poor all the same. `size` 256 holds every text. */
#define MODEL_WARNING_MAX 256
bool model_solver_warning(const struct model *m, const struct model_solver *solver, char *out,
                          size_t size);

/* Brings x [d] from the plane t = t_max to where the solver begins, which it returns: t_max itself,
 * or the first of the tuned nodes, to which x goes straight through the data's mean. The solver was
 * resolved and checked. */
double model_solver_begin(const struct model *m, const struct model_solver *solver, double *x);

/* ---- editing (model_edit.c) ---- */

/* The strength of an edit that names none: this, and 1 where a mask keeps a part of the image. */
#define MODEL_EDIT_STRENGTH 0.5
double model_edit_strength(bool masked);

/* The t to which an image goes up towards the latent x_T [d] at a strength: 0 for none (and where
 * that is not above t_min, so that the image stays as it is), solver->t_max for 1, and between them
 * where the distance that the point has moved, the root of its mean square, is that of the strength
 * on the grid of t^(1/10), whatever the latent's own distance. */
double model_edit_time(const struct model *m, const struct model_solver *solver, double strength,
                       const double *latent);
/* The point [d] on the plane t, on the straight line from the image [d] on t = 0 to the latent on
 * solver->t_max. */
void model_edit_point(const struct model *m, const struct model_solver *solver, double t,
                      const double *image, const double *latent, double *out);
/* The part of the solver's path below t > t_min, into `out`, and where it begins, which it returns:
 * t, or of a distilled model the nearest of its nodes. Of a method of fixed steps it has the
 * solver's own nodes below t, in `nodes` [grid steps + 2], to last as long as `out`. The solver was
 * resolved and checked. */
double model_solver_below(const struct model *m, const struct model_solver *solver, double t,
                          struct model_solver *out, double *nodes);
/* As model_solver_choose, for an edit under a mask, which takes methods of one evaluation a step
 * alone: where the choice leaves the method to the model, and its own takes more, multistep3. */
int model_solver_choose_once(const struct model *m, const struct model_choice *choice,
                             struct model_solver *out, struct err *e);

/* The noise that a stochastic solver of image (seed, index) asks for: leaves the solver where it
 * wants a slope, or at its end. `scratch` [d]. */
void model_solver_noise(const struct model *m, struct ode_solver *s, uint64_t seed, uint64_t index,
                        double *scratch);
/* The data's mean [d] in data scale, or NULL where the checkpoint does not tell. A learned model
 * can be given one [d], copied, before others use it. */
const double *model_mean(const struct model *m);
int model_mean_set(struct model *m, const float *mean, struct err *e);

/* A state on its path as pixels [H,W,C], for looking at: as it is where it overshoots [-1, 1] but
 * little, else divided by its largest value, for it is far outside on most of the path. */
int model_state_pixels(const struct model *m, const double *state, uint8_t *pixels, struct err *e);

/* The start of image (seed, index) on the plane t = solver->t_max, x [d] in data scale, C,H,W
 * order. Temperature, > 0, is a factor on its distance from the prior's centre; with 1 the bits are
 * the prior's own. */
void model_prior_draw(const struct model *m, const struct model_solver *solver, double temperature,
                      uint64_t seed, uint64_t index, double *x);

/* ---- latents (model_latent.c) ---- */

/* Where the prior is centred [d]; NULL: the origin. */
const double *model_prior_centre(const struct model *m);
/* How far a latent [d] lies from there. */
double model_prior_distance(const struct model *m, const double *x);
/* The path of frames ≥ 2 rows between two latents, ends [2][d], into out [frames][d]: directions
 * from the prior's centre go along a great circle, distances from it in even steps
 * (field_circle_between, whose `seed` it is). Its ends are the given ones, bit for bit. */
void model_latents_between(const struct model *m, const double *ends, size_t frames, uint64_t seed,
                           double *out);

struct model_workspace;
/* Scratch for up to `batch` images in one call; nothing else is allocated later. */
struct model_workspace *model_workspace_new(const struct model *m, int batch, struct err *e);
void model_workspace_free(struct model_workspace *ws);

/* Several threads on one call: see nn_team.h, whose words these are. With a team, a workspace's
 * calls are shared with the team's helpers; each brings its own workspace of the same model. */
void model_workspace_team(struct model_workspace *ws, struct nn_team *team);
/* Whether helpers can share a call at all: an exact field has no network to share. */
bool model_is_shared(const struct model *m);
void model_workspace_help(struct model_workspace *ws, struct nn_team *team, unsigned call);
/* nn_workspace_profile; a model without a network adds nothing. */
void model_workspace_profile(struct model_workspace *ws, struct nn_profile *profile);

/* ---- likelihood ----
 *
 * Along the flow d/dt log p = −div(dx/dt), so that of a point x at t_min, which the forward flow
 * takes to x_T, log p(x) = log prior(x_T) + ∫ div dt from t_min to T. The divergence is the trace
 * of the slope's derivative J: Σ eᵢᵀJeᵢ over all unit vectors, or (Hutchinson) the mean of εᵀJε
 * over probes ε of random signs that stay the same along the path. */
struct model_likelihood {
    int probes;              /* 0: the exact trace, d products at each evaluation */
    bool reference_constant; /* the prior's, as the reference has it (see field_prior.h) */
};
#define MODEL_PROBES_MAX 1000
#define MODEL_TRACE_MAX 64 /* d of the exact trace at the most */
/* ERR_INPUT, `at` "probes"; ERR_UNSUPPORTED where the model has no vector–Jacobian product. */
int model_likelihood_check(const struct model *m, const struct model_likelihood *l, struct err *e);
/* The vectors of an evaluation: how many, the k-th of image (seed, index) [d], and the factor on
 * the sum of the products with them. */
int model_likelihood_vectors(const struct model *m, const struct model_likelihood *l);
void model_likelihood_vector(const struct model *m, const struct model_likelihood *l, uint64_t seed,
                             uint64_t index, int k, double *out);
double model_likelihood_factor(const struct model_likelihood *l);
/* log p of the unclipped prior on t = solver->t_max at x [d] (natural logarithm). */
double model_prior_log_density(const struct model *m, const struct model_solver *solver,
                               const struct model_likelihood *l, const double *x);
/* −log p / (d ln 2), + 7 for pictures: their 8 bits fill [-1, 1], so a bit is 1/128 of the scale.
 * Vectors are in coordinates of their own, and nothing is added. */
double model_bits_per_dimension(const struct model *m, double log_likelihood);

#define MODEL_CLASS_NONE NN_CLASS_NONE
/* One image's question to the flow: the slope at (x, t), dx/d ln t or dx/dt as `form` says. */
struct model_query {
    const double *x; /* [d] */
    double t;
    enum ode_form form;
    int32_t label; /* class, 0 to model_class_count − 1; MODEL_CLASS_NONE: of all data */
    double *slope; /* [d], out; non-finite where the network's answer is */
    /* Of model_slopes_vjp, else NULL. `product` [d], out: Jᵀ·cotangent with J = ∂slope/∂x, of the
     * slope in the query's own form. */
    const double *cotangent; /* [d] */
    double *product;
    /* The slope of no class and `guidance` times from there to that of the class: two rows of the
     * call in place of one. Of model_slopes, with a class, and where model_null_class. */
    bool guided;
    double guidance;
};
/* What a solver wants to know, of that class. */
struct model_query model_query_of(const struct ode_solver *s, int32_t label, double *slope);
/* Answers 1 ≤ n ≤ batch questions. An answer depends on its own question alone, bit for bit. */
void model_slopes(const struct model *m, struct model_workspace *ws, int n,
                  const struct model_query *queries);

/* Whether the model can differentiate its slope: 0, or ERR_UNSUPPORTED that says which cannot. */
int model_vjp_check(const struct model *m, struct err *e);
/* Readies a workspace for model_slopes_vjp; the first call of a model packs its weights once more,
 * for all threads. What has been readied stays so. ERR_UNSUPPORTED, ERR_MEMORY, or ERR_IO where the
 * checkpoint is no longer what was loaded. */
int model_workspace_vjp(const struct model *m, struct model_workspace *ws, struct err *e);
/* As model_slopes for queries with a cotangent and a product each; the workspace is ready. An
 * answer's bits depend on its own question alone; its slope may differ in rounding from that of
 * model_slopes. */
void model_slopes_vjp(const struct model *m, struct model_workspace *ws, int n,
                      const struct model_query *queries);

/* The network's own output, unsubstituted: v_x [n][d], v_t [n] at x [n][d] (f32, C,H,W), t [n], of
 * the classes label [n] or, NULL, of none. Of a denoiser (model_denoises) v_x is the denoised image
 * D(x, t) and v_t is 0. */
void model_field(const struct model *m, struct model_workspace *ws, int n, const float *const x[],
                 const float t[], const int32_t label[], float *const v_x[], float v_t[]);
/* Whether the family is PFGM++'s, whose t is the noise level. */
bool model_denoises(const struct model *m);

#endif
