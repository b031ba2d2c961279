/* What a training run is made of: everything that decides its bytes, and how often it reports.
 *
 * A configuration is a JSON object; every key is optional, unknown ones are refused. What it leaves
 * out gets a default here or, where the data decide (image size, channels, the field's constants),
 * is resolved by train_config_resolve. The resolved configuration is written to RUN/config.json and
 * can be given to another run. Plain data. */
#ifndef TRAIN_CONFIG_H
#define TRAIN_CONFIG_H

#include "base_crypto.h"
#include "base_json.h"
#include "ckpt_description.h"
#include "data.h"

#define TRAIN_STEPS_MAX 100000000 /* the draws' counters hold 32 bits of steps */
#define TRAIN_DIVISOR_OFFSET 1e-5 /* as the reference's samplers have it */
#define TRAIN_CONFIG_BYTES_MAX ((size_t)1 << 20)
#define TRAIN_BATCH_MAX 4096
#define TRAIN_LARGE_BATCH_MAX 65536
#define TRAIN_STUDENT_STEPS_MAX 4
#define TRAIN_INTERVALS_MAX 10000

/* What the network learns, see train_field.h, train_denoise.h and train_distill.h. */
enum train_objective {
    TRAIN_OBJECTIVE_PFGM,
    TRAIN_OBJECTIVE_DIRECT,
    TRAIN_OBJECTIVE_PFGMPP,
    TRAIN_OBJECTIVE_DISTILL
};
#define TRAIN_DIRECT_DIMENSION_MAX 64 /* beyond, no example says anything of its neighbours */

enum train_decay { TRAIN_DECAY_NONE, TRAIN_DECAY_LINEAR, TRAIN_DECAY_COSINE };

#define TRAIN_AVERAGES_MAX 4
#define TRAIN_SHIFT_MAX 64

/* A rate as it is printed and in the name of its model. */
#define TRAIN_RATE_FORMAT "%.10g"

struct train_rates {
    int count;
    double rate[TRAIN_AVERAGES_MAX];
};

struct train_config {
    struct nn_arch arch;
    json_t *network;   /* as given: resolved when the image size is known; owned, may be NULL */
    json_t *labels;    /* names of the classes instead of the data's own; owned, may be NULL */
    json_t *continued; /* what was changed during the run, see train_config_change; owned, may be
                          NULL */
    int objective;     /* enum train_objective */
    /* the field */
    double sigma; /* 0: by the rule */
    double tau;
    double gamma;    /* −1: by the rule, and so below */
    int64_t m;       /* −1: by the rule for a new data set */
    bool restrict_m; /* near the data a smaller bound of the exponent */
    double t_max;    /* 0: by the rule */
    double t_min;    /* where sampling ends; 0: by the rule */
    double norm_max; /* 0: by the rule */
    double t_substitution;
    /* of pfgmpp, whose t is the noise level */
    double added;                               /* D; INFINITY: diffusion */
    double sigma_data;                          /* 0: by the rule, and so below */
    double log_sigma_mean, log_sigma_deviation; /* mean above 1e9: by the rule */
    /* of a distillation */
    char teacher_sha256[SHA256_HEX_SIZE]; /* of the model it learns from; else empty */
    int64_t student_steps;                /* evaluations of the student: 1, 2 or 4 */
    int64_t intervals, intervals_last;    /* of the path, at first and at the end */
    double target_ema;                    /* rate of the average that targets come from */
    /* the batch */
    int64_t batch, large_batch;
    bool conditional, conditional_given; /* not given: where the data have two classes or more */
    double label_dropout;                /* share of labels left out */
    bool label_dropout_given, added_given, large_batch_given;
    const char *denoiser_key, *student_key; /* a given one that only pfgmpp and distill, or distill
                                               alone, have; NULL: none is given */
    bool flip;                              /* mirror half of the images */
    int64_t shift; /* move an image by up to so many pixels along each axis; of denoisers */
    /* the optimiser */
    int64_t steps, warmup;
    double learning_rate, clip, ema, dropout;
    struct train_rates ema_others; /* of further averages of the weights, kept beside `ema`'s */
    int decay;                     /* enum train_decay */
    int64_t decay_steps; /* at the end of the run, over which the rate falls to 0; 0: a fifth */
    uint64_t seed;
    /* the run */
    int64_t log_every, save_every, sheet_every; /* steps; 0: never (sheets) */
};

/* Defaults; then what `text` (JSON, named `what` in errors, or NULL) says. Free with _clear. */
int train_config_read(const char *text, size_t length, const char *what, struct train_config *out,
                      struct err *e);
void train_config_clear(struct train_config *c);

/* Settles what depends on the data. The reference's rule for a new set of pictures, `norm` their
 * mean norm and d their dimension: M = floor(0.75 ln(norm² / (2 √d σ²)) / ln(1 + τ)) + 1, t_max =
 * √(2/π) σ (1 + τ)^M,   norm_max = √d σ (1 + τ)^M,   σ = 0.01, t_min = 0.001. For vectors, in few
 * dimensions of which the prior has long tails and whose shares of mass depend on how far the plane
 * is, with s their deviation: σ = s / 100,   t_min = σ / 10,   M the least with t_max ≥ 40 norm,
 * norm_max = 10⁶ t_max. The objective pfgmpp has the constants of Karras et al. 2022, made for data
 * of the deviation sigma_data = 0.5 and scaled with it: t_max = 80, t_min = 0.002, ln σ ~
 * N(−1.2, 1.2²); sigma_data is by train_config_deviation. The objective direct has all data in its
 * large batch, as far as TRAIN_LARGE_BATCH_MAX goes. */
int train_config_resolve(struct train_config *c, const struct data_set *data, const char *what,
                         struct err *e);

/* How many rows a large batch of all data has: mirrored ones count too. */
size_t train_config_rows(const struct train_config *c, const struct data_set *data);

/* ERR_INPUT for a given key that the objective does not have. For a run that has `begun` with it,
 * whose weights it has not touched, a warning. */
int train_config_own(const struct train_config *c, bool begun, const char *what, struct err *e);

/* The resolved configuration (new reference), readable by train_config_read. */
json_t *train_config_json(const struct train_config *c, struct err *e);

/* SHA-256 of what decides the bytes of the weights: without how long to train (unless the rate
 * decays towards the end, or intervals grow finer), how often to report, names and the list of
 * changes. Keys that were added after the first version count only where they differ from their
 * default. */
int train_config_digest(const struct train_config *c, char out[SHA256_HEX_SIZE], struct err *e);

/* Changes a resolved configuration from step `step` on, by a JSON object of some of: steps,
 * learning_rate, decay, decay_steps, ema, dropout, large_batch, log_every, save_every, sheet_every.
 * What was changed is added to c->continued as {"step", "config_sha256", "changes"}, the digest
 * being that of the configuration before. */
int train_config_change(struct train_config *c, const char *text, size_t length, int64_t step,
                        const char *what, struct err *e);

/* The learning rate of the step that follows `step` steps taken: a linear rise over `warmup` steps,
 * and a fall over the last `decay_steps`, linear or as half a cosine, that would reach 0 at
 * `steps`. */
double train_config_rate(const struct train_config *c, int64_t step);

/* The objective's word in a configuration; static. */
const char *train_config_objective(const struct train_config *c);

/* Whether the network is a denoiser, the model's family pfgmpp. */
bool train_config_denoises(const struct train_config *c);

/* What denoising takes for the data's deviation: of pictures how far values are from 0, norm / √d,
 * since its scalings count from there; of vectors s. */
double train_config_deviation(const struct data_set *data);

/* The mean of ln σ by the rule for data of that deviation, and its deviation. */
double train_config_noise_mean(double sigma_data);
#define TRAIN_NOISE_DEVIATION 1.2
#define TRAIN_NOISE_RHO 7.0 /* exponent of the grid of noise levels, as in the same article */
#define TRAIN_ADDED_DEFAULT 128

/* What is added to v_t before it divides: nothing to an mlp's, which is never 0, and nothing to
 * that of the objective direct, whose length is no √d but as small as the data are many. */
double train_config_offset(const struct train_config *c);

/* The classes' names of a conditional run: the data's, or the configuration's, which names those
 * of the data or all numbers that the labels had (data_set.number); for the latter c->labels
 * becomes the names of those that are there. Sets arch.classes. ERR_INPUT or ERR_LIMIT by name for
 * what a checkpoint could not hold. */
int train_config_classes(struct train_config *c, const struct data_set *data, const char *path,
                         struct err *e);

/* What a checkpoint of this run says about itself; `labels` [label_count] are copied; `source` is
 * the data's path. Free with ckpt_description_clear. */
int train_config_describe(const struct train_config *c, char *const *labels, int label_count,
                          int64_t step, const char *source, struct ckpt_description *out,
                          struct err *e);

#endif
