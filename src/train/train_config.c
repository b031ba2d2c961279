/* Reading, settling and writing a training configuration. One table of keys serves both
 * directions. */
#include "train_config.h"
#include "base_math.h"
#include "ckpt_description_keys.h"
#include "nn_grad.h"
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind { REAL, INTEGER, BOOLEAN };

/* Keys that are numbers or truth values, with their ranges. A real's `min` may be excluded. */
static const struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    double min, max;
} keys[] = {
#define KEY(name, kind, min, max)                                                                  \
    {                                                                                              \
#name, kind, offsetof(struct train_config, name), min, max                                 \
    }
    KEY(sigma, REAL, 1e-9, CKPT_SIGMA_MAX),
    KEY(tau, REAL, 1e-6, CKPT_TAU_MAX),
    KEY(gamma, REAL, 0, CKPT_GAMMA_MAX),
    KEY(m, INTEGER, -1, CKPT_M_MAX),
    KEY(restrict_m, BOOLEAN, 0, 1),
    KEY(t_max, REAL, 0, FIELD_T_MAX),
    KEY(t_min, REAL, 1e-6, FIELD_T_MAX),
    KEY(norm_max, REAL, 0, CKPT_NORM_MAX),
    KEY(t_substitution, REAL, 0, FIELD_T_MAX),
    KEY(batch, INTEGER, 1, TRAIN_BATCH_MAX),
    KEY(large_batch, INTEGER, 1, TRAIN_LARGE_BATCH_MAX),
    KEY(conditional, BOOLEAN, 0, 1),
    KEY(label_dropout, REAL, 0, 1),
    KEY(flip, BOOLEAN, 0, 1),
    KEY(steps, INTEGER, 0, TRAIN_STEPS_MAX),
    KEY(warmup, INTEGER, 0, TRAIN_STEPS_MAX),
    KEY(learning_rate, REAL, 0, 1e30),
    KEY(clip, REAL, 1e-9, 1e9),
    KEY(ema, REAL, 0, 1),
    KEY(dropout, REAL, 0, 0.99),
    KEY(log_every, INTEGER, 1, TRAIN_STEPS_MAX),
    KEY(save_every, INTEGER, 1, TRAIN_STEPS_MAX),
    KEY(sheet_every, INTEGER, 0, TRAIN_STEPS_MAX),
#undef KEY
};
#define KEY_COUNT (sizeof keys / sizeof keys[0])

static const struct train_config defaults = {
    .sigma = 0.01,
    .tau = 0.03,
    .gamma = 5,
    .m = -1,
    .restrict_m = true,
    .t_min = 1e-3,
    .t_substitution = 1,
    .batch = 64,
    .large_batch = 1024,
    .label_dropout = 0.1,
    .steps = 100000,
    .warmup = 1000,
    .learning_rate = 2e-4,
    .clip = 1,
    .ema = 0.9999,
    .dropout = 0.1,
    .seed = 1,
    .log_every = 50,
    .save_every = 1000,
    .sheet_every = 5000,
};

static void *member(const struct train_config *c, const struct key *k)
{
    return (unsigned char *)c + k->offset;
}

static int read_key(const json_t *root, const struct key *k, struct train_config *c,
                    const char *what, struct err *e)
{
    switch (k->kind) {
    case REAL:
        return json_get_real(root, k->name, false, k->min, k->max, member(c, k), what, e);
    case INTEGER:
        return json_get_int(root, k->name, false, (int64_t)k->min, (int64_t)k->max, member(c, k),
                            what, e);
    case BOOLEAN:
        break;
    }
    return json_get_bool(root, k->name, false, member(c, k), what, e);
}

static int read_labels(const json_t *labels, struct train_config *c, const char *what,
                       struct err *e)
{
    if (!labels)
        return 0;
    for (size_t i = 0; i < json_array_size(labels); i++)
        if (json_string_length(json_array_get(labels, i)) == 0)
            return err_fail(e, ERR_INPUT, what, "\"labels\" element %zu is no name", i);
    if (json_array_size(labels) == 0)
        return err_fail(e, ERR_INPUT, what, "\"labels\" must be an array of names, one a class");
    c->labels = json_deep_copy(labels);
    return c->labels ? 0 : err_fail_memory(e, 256);
}

static int read_object(const json_t *root, struct train_config *c, const char *what, struct err *e)
{
    const char *known[KEY_COUNT + 3] = {"network", "seed", "labels"};
    int64_t seed = (int64_t)c->seed;

    if (!json_is_object(root))
        return err_fail(e, ERR_INPUT, what, "the configuration must be a JSON object");
    for (size_t i = 0; i < KEY_COUNT; i++)
        known[i + 3] = keys[i].name;
    if (json_only_keys(root, known, KEY_COUNT + 3, what, e) ||
        json_get_int(root, "seed", false, 0, INT64_MAX, &seed, what, e))
        return -1;
    c->seed = (uint64_t)seed;
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (read_key(root, &keys[i], c, what, e))
            return -1;
    const json_t *network = json_object_get(root, "network");
    if (network && !json_is_object(network))
        return err_fail(e, ERR_INPUT, what, "\"network\" must be an object");
    c->network = network ? json_deep_copy(network) : json_object();
    return c->network ? read_labels(json_object_get(root, "labels"), c, what, e)
                      : err_fail_memory(e, 256);
}

int train_config_read(const char *text, size_t length, const char *what, struct train_config *out,
                      struct err *e)
{
    *out = defaults;
    json_t *root = text ? json_parse(text, length, what, e) : json_object();
    if (!root)
        return text ? -1 : err_fail_memory(e, 256);
    int result = read_object(root, out, what, e);
    json_decref(root);
    if (result)
        train_config_clear(out);
    return result;
}

void train_config_clear(struct train_config *c)
{
    json_decref(c->network);
    json_decref(c->labels);
    c->network = c->labels = NULL;
}

/* ---- settling ---- */

/* Halved while it stays even and at least 8 a side, twice at most: {1}, {1,2} or {1,2,2}. */
static json_t *default_levels(int side)
{
    json_t *levels = json_pack("[i]", 1);
    for (int halved = 0; levels && halved < 2 && side % 2 == 0 && side >= 8; halved++, side /= 2)
        json_array_append_new(levels, json_integer(2));
    return levels;
}

static int settle_network(struct train_config *c, int channels, int side, const char *what,
                          struct err *e)
{
    json_t *defaults_json = json_pack(
        "{s:i, s:i, s:i, s:o, s:i, s:[], s:b, s:s, s:s}", "image_size", side, "channels", channels,
        "nf", 32, "ch_mult", default_levels(side), "num_res_blocks", 2, "attn_resolutions", "fir",
        0, "progressive_input", "none", "embedding_type", "positional");
    struct err reason = {0};
    if (!defaults_json || json_object_update(defaults_json, c->network)) {
        json_decref(defaults_json);
        return err_fail_memory(e, 1024);
    }
    int result = ckpt_arch_read(defaults_json, true, &c->arch, what, e);
    json_decref(defaults_json);
    if (result)
        return -1;
    if (c->arch.image_size != side || c->arch.channels != channels)
        return err_fail(e, ERR_INPUT, what,
                        "\"network\" is for images of %d channels and %d pixels a side, the data "
                        "have %d and %d",
                        c->arch.channels, c->arch.image_size, channels, side);
    if (nn_arch_check(&c->arch, &reason)) {
        char line[1100];
        return err_fail(e, reason.code, what, "\"network\": %s",
                        err_line(&reason, line, sizeof line));
    }
    return 0;
}

int train_config_settle(struct train_config *c, int channels, int side, double norm,
                        const char *what, struct err *e)
{
    if (settle_network(c, channels, side, what, e))
        return -1;
    double root = sqrt((double)channels * side * side), growth = math_log(1 + c->tau);
    if (c->m < 0) {
        double ratio = norm * norm / (2 * root * c->sigma * c->sigma);
        double m = ratio > 1 ? floor(0.75 * math_log(ratio) / growth) + 1 : 1;
        c->m = m < CKPT_M_MAX ? (int64_t)m : CKPT_M_MAX;
    }
    double reach = c->sigma * math_exp((double)c->m * growth);
    if (c->t_max <= 0)
        c->t_max = 0.79788456080286535588 * reach; /* √(2/π): the mean of |N(0,1)| */
    if (c->norm_max <= 0)
        c->norm_max = root * reach;
    if (!(c->t_max < FIELD_T_MAX) || !(c->norm_max < CKPT_NORM_MAX))
        return err_fail(e, ERR_INPUT, what,
                        "\"m\" = %lld carries points too far: t_max would be %g", (long long)c->m,
                        c->t_max);
    if (c->t_max <= c->t_min)
        return err_fail(e, ERR_INPUT, what, "\"t_max\" (%g) must be greater than \"t_min\" (%g)",
                        c->t_max, c->t_min);
    return 0;
}

json_t *train_config_json(const struct train_config *c, struct err *e)
{
    json_t *root = json_object();
    bool bad = !root || json_object_set_new(root, "network", ckpt_arch_json(&c->arch)) ||
               json_object_set_new(root, "seed", json_integer((json_int_t)c->seed));
    for (size_t i = 0; i < KEY_COUNT && !bad; i++) {
        const void *at = member(c, &keys[i]);
        json_t *value = keys[i].kind == REAL      ? json_real(*(const double *)at)
                        : keys[i].kind == INTEGER ? json_integer(*(const int64_t *)at)
                                                  : json_boolean(*(const bool *)at);
        bad = json_object_set_new(root, keys[i].name, value) != 0;
    }
    if (!bad && c->labels)
        bad = json_object_set(root, "labels", c->labels) != 0;
    if (!bad)
        return root;
    json_decref(root);
    err_fail_memory(e, 4096);
    return NULL;
}

int train_config_describe(const struct train_config *c, char *const *labels, int label_count,
                          int64_t step, const char *source, struct ckpt_description *out,
                          struct err *e)
{
    *out = (struct ckpt_description){.family = CKPT_FAMILY_PFGM,
                                     .arch = c->arch,
                                     .t_max = c->t_max,
                                     .t_min = c->t_min,
                                     .sigma = c->sigma,
                                     .tau = c->tau,
                                     .m = c->m,
                                     .gamma = c->gamma,
                                     .norm_max = c->norm_max,
                                     .t_substitution = c->t_substitution,
                                     .divisor_offset = TRAIN_DIVISOR_OFFSET};
    out->provenance.step = step;
    strcpy(out->provenance.weights, "ema");
    strncpy(out->provenance.source_name, source, sizeof out->provenance.source_name - 1);
    if (!c->conditional)
        return 0;
    out->labels = calloc((size_t)label_count, sizeof *out->labels);
    for (int i = 0; i < label_count && out->labels; i++) {
        const char *given = json_string_value(json_array_get(c->labels, (size_t)i));
        out->labels[i] = strdup(given ? given : labels[i]);
        if (!out->labels[i])
            break;
        out->label_count++;
    }
    if (out->label_count == label_count)
        return 0;
    ckpt_description_clear(out);
    return err_fail_memory(e, (size_t)label_count * sizeof *out->labels);
}
