/* What a checkpoint is: the family, the network, the field's constants and where it came from. Kept
 * as JSON text under the key "pfgm" of a safetensors file's __metadata__; one schema, one reader,
 * one writer. */
#ifndef CKPT_DESCRIPTION_H
#define CKPT_DESCRIPTION_H

#include "base_crypto.h"
#include "base_json.h"
#include "ckpt_safetensors.h"
#include "field_prior.h"
#include "image.h"
#include "nn_arch.h"
#include "ode_solver.h"

#define CKPT_DESCRIPTION_KEY "pfgm"
#define CKPT_DESCRIPTION_VERSION 1
#define CKPT_LABELS_MAX 1000
#define CKPT_LABEL_BYTES_MAX 128

/* Each family's own keys, with their reader and writer, are a struct ckpt_schema. */
enum ckpt_family { CKPT_FAMILY_PFGM, CKPT_FAMILY_EXACT, CKPT_FAMILY_PFGMPP };
const char *ckpt_family_name(enum ckpt_family family); /* the word of the interface */

/* Tensors of an exact field: sources [n,d] as bytes of pictures (U8, data scale v/127.5 − 1) or
 * F32, weights [n] F32 if they are not equal, and with labels the class of each [n] I32, −1 for
 * none. */
#define CKPT_SOURCES "sources"
#define CKPT_SOURCE_WEIGHTS "weights"
#define CKPT_SOURCE_LABELS "labels"

/* A tuned schedule, the best that a search has found in `steps` evaluations: the method, and
 * steps + 1 nodes that fall from at most t_max to t_min. Above the first node the data look like
 * one mass at their mean, the tensor CKPT_DATA_MEAN [C,H,W] F32, and the path to there costs
 * nothing. */
#define CKPT_TUNED_MAX 16
#define CKPT_TUNED_STEPS_MAX 1000
#define CKPT_DATA_MEAN "data_mean"
struct ckpt_tuned {
    enum ode_method method;
    int steps;
    double *nodes;   /* owned by the description */
    bool is_default; /* at most one: what the model is sampled with where nothing is asked for */
};

struct ckpt_description {
    enum ckpt_family family;
    struct nn_arch arch;            /* of learned families */
    struct image_shape exact_shape; /* of the exact family */
    double t_max, t_min;            /* the flow runs from t = t_max to t_min, 0 < t_min < t_max */
    double sigma, tau;              /* of the perturbation */
    int64_t m;                      /* its exponent's bound M */
    double gamma;                   /* of the normalisation, ≥ 0 */
    double norm_min,
        norm_max; /* clip of the prior's norm; norm_max INFINITY: none ("norm_max": null) */
    double t_substitution; /* below this t the network's v_t is replaced; 0: never */
    double divisor_offset; /* added to v_t before it divides: 1e-5 in the reference */
    /* Of PFGM++, whose t is the noise level sigma: */
    double added;      /* D, how many dimensions were added: at least 1, or INFINITY */
    double sigma_data; /* of the preconditioning */
    double rho;        /* of the sampler's grid */
    int num_steps;     /* of the sampler, the one to 0 among them */
    /* Class names or NULL; owned. A learned field that has them takes a class: see
     * NN_LABEL_EMBEDDING. */
    char **labels;
    int label_count;
    /* It has labels and has learned its classes alone, not the field of all data too. In JSON
     * "null_class": false, which is left out where it is true. */
    bool no_null_class;
    struct ckpt_tuned *tuned; /* owned; by rising steps */
    int tuned_count;
    /* SHA-256 of the model that this one was distilled from, else empty. A student has one tuned
     * schedule, of euler, has learned nothing besides, and goes by it straight to t_min. */
    char teacher_sha256[SHA256_HEX_SIZE];
    struct {
        char source_sha256[SHA256_HEX_SIZE]; /* of the file it was made from; empty if none */
        char source_name[256];               /* its base name */
        int64_t step;                        /* of training; -1 unknown */
        char weights[8];                     /* "ema" or "raw" */
    } provenance;
};

/* Reads and checks the description of an open checkpoint. The error names the key. Free with
 * ckpt_description_clear. */
int ckpt_description_read(const struct ckpt_file *f, struct ckpt_description *out, struct err *e);
/* Whether a checkpoint can hold these labels: ERR_LIMIT, at `what`, where it cannot. */
int ckpt_description_check_labels(const struct ckpt_description *d, const char *what,
                                  struct err *e);
/* The JSON object (new reference) as it is stored and as `pfgm inspect --json` shows it. */
json_t *ckpt_description_json(const struct ckpt_description *d, struct err *e);
/* Takes the last part of a path as provenance.source_name, "pictures" of "/data/pictures/"; where
 * that is no UTF-8, bytes beyond ASCII become '?'. */
void ckpt_description_source(struct ckpt_description *d, const char *path);
void ckpt_description_clear(struct ckpt_description *d);
struct image_shape ckpt_description_shape(const struct ckpt_description *d); /* of one datum */

/* The description from a training configuration of the reference: an object with the keys
 * image_size, channels, nf, ch_mult, num_res_blocks, attn_resolutions, fir, progressive_input,
 * embedding_type, gamma, sigma, tau, M, z_max, z_min, upper_norm, z_exp, num_scales, family.
 * Unknown keys are errors. */
int ckpt_description_from_config(const json_t *config, const char *what,
                                 struct ckpt_description *out, struct err *e);
/* The same for a published preset by name; the error lists the names. */
int ckpt_description_from_preset(const char *name, struct ckpt_description *out, struct err *e);

#endif
