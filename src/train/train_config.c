/* Reading, changing and writing a training configuration. One table of keys serves all. */
#include "train_config.h"
#include "base_math.h"
#include "ckpt_arch.h"
#include "field_student.h"
#include "nn_grad.h"
#include "train_distill.h"
#include "train_noise.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { REAL, INTEGER, BOOLEAN, WORD, ADDED, RATES };

static const char *const objective_words[] = {"pfgm", "direct", "pfgmpp", "distill", NULL};
static const char *const decay_words[] = {"none", "linear", "cosine", NULL};

/* CHANGES: may be changed when a run goes on; FREE: decides no byte of the weights; LATER: came
 * after the first version, so that a default is left out of the digest; STUDENT: of a distillation
 * alone; DENOISER: of what train_config_denoises alone. */
enum { CHANGES = 1, FREE = 2, LATER = 4, STUDENT = 8, DENOISER = 16 };

/* Keys that are numbers, truth values or words, with their ranges. */
static const struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    double min, max;
    const char *const *words; /* of a WORD, whose value is the number of the word; NULL behind */
    unsigned flags;
} keys[] = {
#define KEY(name, kind, min, max, ...)                                                             \
    {                                                                                              \
#name, kind, offsetof(struct train_config, name), min, max, __VA_ARGS__                    \
    }
    KEY(objective, WORD, 0, 0, objective_words, LATER),
    KEY(sigma, REAL, 0, CKPT_SIGMA_MAX, NULL, 0),
    KEY(tau, REAL, 1e-6, CKPT_TAU_MAX, NULL, 0),
    KEY(gamma, REAL, -1, CKPT_GAMMA_MAX, NULL, 0),
    KEY(m, INTEGER, -1, CKPT_M_MAX, NULL, 0),
    KEY(restrict_m, BOOLEAN, 0, 1, NULL, 0),
    KEY(t_max, REAL, 0, FIELD_T_MAX, NULL, 0),
    KEY(t_min, REAL, 0, FIELD_T_MAX, NULL, 0),
    KEY(norm_max, REAL, 0, CKPT_NORM_MAX, NULL, 0),
    KEY(t_substitution, REAL, -1, FIELD_T_MAX, NULL, 0),
    {"D", ADDED, offsetof(struct train_config, added), 1, FIELD_ADDED_MAX, NULL, LATER | DENOISER},
    KEY(sigma_data, REAL, 0, CKPT_SIGMA_MAX, NULL, LATER | DENOISER),
    KEY(log_sigma_mean, REAL, -100, TRAIN_NOISE_RULE, NULL, LATER | DENOISER),
    KEY(log_sigma_deviation, REAL, 0, 100, NULL, LATER | DENOISER),
    KEY(student_steps, INTEGER, 1, TRAIN_STUDENT_STEPS_MAX, NULL, LATER | STUDENT),
    KEY(intervals, INTEGER, 1, TRAIN_INTERVALS_MAX, NULL, LATER | STUDENT),
    KEY(intervals_last, INTEGER, 1, TRAIN_INTERVALS_MAX, NULL, LATER | STUDENT),
    KEY(target_ema, REAL, 0, 1, NULL, LATER | STUDENT),
    KEY(batch, INTEGER, 1, TRAIN_BATCH_MAX, NULL, 0),
    KEY(large_batch, INTEGER, 1, TRAIN_LARGE_BATCH_MAX, NULL, CHANGES),
    KEY(conditional, BOOLEAN, 0, 1, NULL, 0),
    KEY(label_dropout, REAL, 0, 1, NULL, 0),
    KEY(flip, BOOLEAN, 0, 1, NULL, 0),
    KEY(shift, INTEGER, 0, TRAIN_SHIFT_MAX, NULL, LATER),
    KEY(steps, INTEGER, 0, TRAIN_STEPS_MAX, NULL, CHANGES),
    KEY(warmup, INTEGER, 0, TRAIN_STEPS_MAX, NULL, 0),
    KEY(learning_rate, REAL, 0, 1e30, NULL, CHANGES),
    KEY(decay, WORD, 0, 0, decay_words, CHANGES | LATER),
    KEY(decay_steps, INTEGER, 0, TRAIN_STEPS_MAX, NULL, CHANGES | LATER),
    KEY(clip, REAL, 1e-9, 1e9, NULL, 0),
    KEY(ema, REAL, 0, 1, NULL, CHANGES),
    KEY(ema_others, RATES, 0, 1, NULL, LATER),
    KEY(dropout, REAL, -1, 0.99, NULL, CHANGES),
    KEY(log_every, INTEGER, 1, TRAIN_STEPS_MAX, NULL, CHANGES | FREE),
    KEY(save_every, INTEGER, 1, TRAIN_STEPS_MAX, NULL, CHANGES | FREE),
    KEY(sheet_every, INTEGER, 0, TRAIN_STEPS_MAX, NULL, CHANGES | FREE),
#undef KEY
};
#define KEY_COUNT (sizeof keys / sizeof keys[0])
#define OTHER_KEYS 5 /* network, seed, labels, continued, teacher_sha256 */

static const struct train_config defaults = {
    .tau = 0.03,
    .gamma = -1,
    .m = -1,
    .restrict_m = true,
    .t_substitution = -1,
    .added = TRAIN_ADDED_DEFAULT,
    .log_sigma_mean = TRAIN_NOISE_RULE,
    .log_sigma_deviation = TRAIN_NOISE_DEVIATION,
    .student_steps = 1,
    .intervals = 10,
    .intervals_last = 80,
    .target_ema = 0.95,
    .batch = 64,
    .large_batch = 1024,
    .label_dropout = 0.1,
    .steps = 100000,
    .warmup = 1000,
    .learning_rate = 2e-4,
    .clip = 1,
    .ema = 0.9999,
    .dropout = -1,
    .seed = 1,
    .log_every = 50,
    .save_every = 1000,
    .sheet_every = 5000,
};

static void *member(const struct train_config *c, const struct key *k)
{
    return (unsigned char *)c + k->offset;
}

static int read_word(const json_t *root, const struct key *k, int *out, const char *what,
                     struct err *e)
{
    const char *word = NULL;
    char choices[128] = "";
    if (json_get_string(root, k->name, false, &word, what, e) != 0)
        return -1;
    for (int i = 0; word && k->words[i]; i++) {
        if (strcmp(word, k->words[i]) == 0) {
            *out = i;
            return 0;
        }
        size_t length = strlen(choices);
        snprintf(choices + length, sizeof choices - length, "%s%s", i ? ", " : "", k->words[i]);
    }
    return word ? err_fail(e, ERR_INPUT, what, "\"%s\" is one of %s, not \"%s\"", k->name, choices,
                           word)
                : 0;
}

static bool same_words(double a, double b)
{
    char one[32], other[32];
    snprintf(one, sizeof one, TRAIN_RATE_FORMAT, a);
    snprintf(other, sizeof other, TRAIN_RATE_FORMAT, b);
    return strcmp(one, other) == 0;
}

static int read_rates(const json_t *root, const struct key *k, struct train_rates *out,
                      const char *what, struct err *e)
{
    const json_t *given = json_object_get(root, k->name);
    if (!given)
        return 0;
    *out = (struct train_rates){0};
    if (!json_is_array(given) || json_array_size(given) > TRAIN_AVERAGES_MAX)
        return err_fail(e, ERR_INPUT, what, "\"%s\" must be an array of at most %d rates", k->name,
                        TRAIN_AVERAGES_MAX);
    for (size_t i = 0; i < json_array_size(given); i++) {
        const json_t *rate = json_array_get(given, i);
        const double value = json_number_value(rate);
        if (!json_is_number(rate) || !(value >= k->min && value <= k->max))
            return err_fail(e, ERR_INPUT, what, "\"%s\" element %zu must be a number from %g to %g",
                            k->name, i, k->min, k->max);
        for (int j = 0; j < out->count; j++)
            if (same_words(out->rate[j], value))
                return err_fail(e, ERR_INPUT, what, "\"%s\" has " TRAIN_RATE_FORMAT " twice",
                                k->name, value);
        out->rate[out->count++] = value;
    }
    return 0;
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
    case WORD:
        return read_word(root, k, member(c, k), what, e);
    case ADDED:
        return json_object_get(root, k->name) ? ckpt_added_read(root, member(c, k), what, e) : 0;
    case RATES:
        return read_rates(root, k, member(c, k), what, e);
    case BOOLEAN:
        break;
    }
    return json_get_bool(root, k->name, false, member(c, k), what, e);
}

static json_t *rates_json(const struct train_rates *rates)
{
    json_t *root = json_array();
    for (int i = 0; i < rates->count; i++)
        root = json_plus(root, json_real(rates->rate[i]));
    return root;
}

static json_t *key_json(const struct train_config *c, const struct key *k)
{
    const void *at = member(c, k);
    switch (k->kind) {
    case REAL:
        return json_real(*(const double *)at);
    case INTEGER:
        return json_integer(*(const int64_t *)at);
    case WORD:
        return json_string(k->words[*(const int *)at]);
    case ADDED:
        return ckpt_added_json(*(const double *)at);
    case RATES:
        return rates_json(at);
    case BOOLEAN:
        break;
    }
    return json_boolean(*(const bool *)at);
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

/* What train_config_change wrote. */
static int read_continued(const json_t *continued, struct train_config *c, const char *what,
                          struct err *e)
{
    if (!continued)
        return 0;
    for (size_t i = 0; i < json_array_size(continued); i++) {
        const json_t *entry = json_array_get(continued, i);
        int64_t step;
        const char *digest;
        if (json_get_int(entry, "step", true, 0, TRAIN_STEPS_MAX, &step, what, e) != 0 ||
            json_get_string(entry, "config_sha256", true, &digest, what, e) != 0)
            return -1;
    }
    if (!json_is_array(continued))
        return err_fail(e, ERR_INPUT, what, "\"continued\" must be an array");
    c->continued = json_deep_copy(continued);
    return c->continued ? 0 : err_fail_memory(e, 256);
}

/* The digest that a distillation's own configuration has, and that its keys are in no other. */
static int read_teacher(const json_t *root, struct train_config *c, const char *what, struct err *e)
{
    const char *digest = "";
    if (json_get_string(root, "teacher_sha256", false, &digest, what, e) != 0)
        return -1;
    if (*digest && (strlen(digest) != SHA256_HEX_SIZE - 1 ||
                    strspn(digest, "0123456789abcdef") != SHA256_HEX_SIZE - 1))
        return err_fail(e, ERR_INPUT, what, "\"teacher_sha256\" must be 64 hexadecimal digits");
    strcpy(c->teacher_sha256, digest);
    return 0;
}

/* A key that some objectives have alone. A config.json lists those of denoisers for every
 * objective, by their defaults and beside the objective. */
static void note_own(const json_t *root, const struct key *k, struct train_config *c)
{
    json_t *usual = key_json(&defaults, k), *value = key_json(c, k);
    const bool listed = json_object_get(root, "objective") && json_equal(usual, value);
    if ((k->flags & STUDENT) || ((k->flags & DENOISER) && !listed))
        *(k->flags & STUDENT ? &c->student_key : &c->denoiser_key) = k->name;
    json_decref(usual);
    json_decref(value);
}

static int read_object(const json_t *root, struct train_config *c, const char *what, struct err *e)
{
    const char *known[KEY_COUNT + OTHER_KEYS] = {"network", "seed", "labels", "continued",
                                                 "teacher_sha256"};
    int64_t seed = (int64_t)c->seed;
    if (!json_is_object(root))
        return err_fail(e, ERR_INPUT, what, "the configuration must be a JSON object");
    for (size_t i = 0; i < KEY_COUNT; i++)
        known[i + OTHER_KEYS] = keys[i].name;
    if (json_only_keys(root, known, KEY_COUNT + OTHER_KEYS, what, e) != 0 ||
        json_get_int(root, "seed", false, 0, INT64_MAX, &seed, what, e) != 0)
        return -1;
    c->seed = (uint64_t)seed;
    c->conditional_given = json_object_get(root, "conditional") != NULL;
    c->label_dropout_given = json_object_get(root, "label_dropout") != NULL;
    c->added_given = json_object_get(root, "D") != NULL;
    c->large_batch_given = json_object_get(root, "large_batch") != NULL;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (read_key(root, &keys[i], c, what, e) != 0)
            return -1;
        if (json_object_get(root, keys[i].name))
            note_own(root, &keys[i], c);
    }
    const json_t *network = json_object_get(root, "network");
    if (network && !json_is_object(network))
        return err_fail(e, ERR_INPUT, what, "\"network\" must be an object");
    c->network = network ? json_deep_copy(network) : json_object();
    if (!c->network)
        return err_fail_memory(e, 256);
    return read_labels(json_object_get(root, "labels"), c, what, e) != 0 ||
                   read_teacher(root, c, what, e) != 0 ||
                   read_continued(json_object_get(root, "continued"), c, what, e) != 0
               ? -1
               : 0;
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
    json_decref(c->continued);
    c->network = c->labels = c->continued = NULL;
}

const char *train_config_objective(const struct train_config *c)
{
    return objective_words[c->objective];
}

json_t *train_config_json(const struct train_config *c, struct err *e)
{
    json_t *root = json_object();
    bool bad = !root || json_object_set_new(root, "network", ckpt_arch_json(&c->arch)) != 0 ||
               json_object_set_new(root, "seed", json_integer((json_int_t)c->seed)) != 0;
    for (size_t i = 0; i < KEY_COUNT && !bad; i++) {
        if ((keys[i].flags & STUDENT) && c->objective != TRAIN_OBJECTIVE_DISTILL)
            continue;
        json_t *value = key_json(c, &keys[i]);
        bad = json_object_set_new(root, keys[i].name, value) != 0;
    }
    if (!bad && *c->teacher_sha256)
        bad = json_object_set_new(root, "teacher_sha256", json_string(c->teacher_sha256)) != 0;
    if (!bad && c->labels)
        bad = json_object_set(root, "labels", c->labels) != 0;
    if (!bad && c->continued)
        bad = json_object_set(root, "continued", c->continued) != 0;
    if (!bad)
        return root;
    json_decref(root);
    err_fail_memory(e, 4096);
    return NULL;
}

/* ---- going on with changes ---- */

int train_config_digest(const struct train_config *c, char out[SHA256_HEX_SIZE], struct err *e)
{
    json_t *root = train_config_json(c, e);
    struct buf text;
    if (!root)
        return -1;
    json_object_del(root, "labels");
    json_object_del(root, "continued");
    for (size_t i = 0; i < KEY_COUNT; i++) {
        json_t *usual = key_json(&defaults, &keys[i]);
        bool absent =
            (keys[i].flags & LATER) && json_equal(usual, json_object_get(root, keys[i].name));
        if (absent || (keys[i].flags & FREE))
            json_object_del(root, keys[i].name);
        json_decref(usual);
    }
    if (c->decay == TRAIN_DECAY_NONE && c->objective != TRAIN_OBJECTIVE_DISTILL)
        json_object_del(root, "steps");
    buf_init(&text, TRAIN_CONFIG_BYTES_MAX);
    int result = json_append(&text, root, JSON_SORT_KEYS, e);
    if (result == 0)
        result = sha256_hex(text.data, text.length, out, e);
    buf_clear(&text);
    json_decref(root);
    return result;
}

static int apply_changes(struct train_config *c, const json_t *changes, const char *what,
                         struct err *e)
{
    const char *known[KEY_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (keys[i].flags & CHANGES)
            known[count++] = keys[i].name;
    if (!json_is_object(changes))
        return err_fail(e, ERR_INPUT, what, "the changes must be a JSON object");
    if (json_only_keys(changes, known, count, what, e) != 0)
        return -1;
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (read_key(changes, &keys[i], c, what, e) != 0)
            return -1;
    return c->dropout >= 0 ? 0
                           : err_fail(e, ERR_INPUT, what,
                                      "\"dropout\" must be 0 to 0.99: the rule for it is of a run "
                                      "that begins");
}

int train_config_change(struct train_config *c, const char *text, size_t length, int64_t step,
                        const char *what, struct err *e)
{
    char before[SHA256_HEX_SIZE];
    json_t *changes = json_parse(text, length, what, e);
    if (!changes)
        return -1;
    int result =
        train_config_digest(c, before, e) != 0 || apply_changes(c, changes, what, e) != 0 ? -1 : 0;
    if (result == 0) {
        json_t *entry = json_pack("{s:I, s:s, s:O}", "step", (json_int_t)step, "config_sha256",
                                  before, "changes", changes);
        if (!c->continued)
            c->continued = json_array();
        if (json_array_append_new(c->continued, entry) != 0)
            result = err_fail_memory(e, 256);
    }
    json_decref(changes);
    return result;
}

double train_config_rate(const struct train_config *c, int64_t step)
{
    double ramp = c->warmup > 0 ? (double)step / (double)c->warmup : 1, fall = 1;
    int64_t span = c->decay_steps > 0 ? c->decay_steps : c->steps / 5, left = c->steps - step;
    if (c->decay != TRAIN_DECAY_NONE && left < span)
        fall = (double)left / (double)span;
    if (c->decay == TRAIN_DECAY_COSINE && left < span) {
        double sine, cosine;
        math_sincos_turn(fall / 2, &sine, &cosine);
        fall = (1 - cosine) / 2;
    }
    return c->learning_rate * (ramp < 1 ? ramp : 1) * fall;
}

double train_config_offset(const struct train_config *c)
{
    return nn_arch_of_vectors(&c->arch) || c->objective == TRAIN_OBJECTIVE_DIRECT
               ? 0
               : TRAIN_DIVISOR_OFFSET;
}
