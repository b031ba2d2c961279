/* Initial weights, the state file and the export. One thread. */
#include "train_state.h"
#include "ckpt_description.h"
#include "train_rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_KEY "pfgm.train"
#define STATE_VERSION 1
/* An mlp's few features must bend from the start: from activations that are nearly linear, a set
 * that is symmetric about its mean gives no gradient to begin with. */
#define MLP_STEM "all_modules.3.weight"
#define MLP_STEM_DEVIATION 3.0

int train_state_allocate(struct train_state *s, size_t count, bool distils, int others,
                         struct err *e)
{
    *s = (struct train_state){.count = count, .other_count = others};
    s->weights = calloc(count, sizeof(float));
    s->mean = calloc(count, sizeof(float));
    s->square = calloc(count, sizeof(float));
    s->ema = calloc(count, sizeof(float));
    if (distils)
        s->target = calloc(count, sizeof(float));
    bool all = s->weights && s->mean && s->square && s->ema && (s->target || !distils);
    for (int i = 0; i < others; i++)
        all = (s->others[i] = calloc(count, sizeof(float))) && all;
    if (all)
        return 0;
    train_state_clear(s);
    return err_fail_memory(e, (4 + (size_t)others) * count * sizeof(float));
}

void train_state_clear(struct train_state *s)
{
    free(s->weights);
    free(s->mean);
    free(s->square);
    free(s->ema);
    free(s->target);
    for (int i = 0; i < s->other_count; i++)
        free(s->others[i]);
    *s = (struct train_state){0};
}

/* ---- initial weights ---- */

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* The bound of the uniform distribution of a matrix or convolution. */
static double uniform_bound(const struct nn_param *p, bool head)
{
    size_t kernel = p->rank == 4 ? p->shape[2] * p->shape[3] : 1;
    double fan = (double)((p->shape[0] + p->shape[1]) * kernel) / 2, scale = 1;
    if (head || ends_with(p->name, "Conv_1.weight") || ends_with(p->name, "NIN_3.W"))
        scale = 1e-10;
    else if (p->rank == 2 && strcmp(p->name, MLP_STEM) == 0)
        return MLP_STEM_DEVIATION * sqrt(3 / (double)p->shape[1]);
    else if (strstr(p->name, ".NIN_"))
        scale = 0.1;
    return sqrt(3 * scale / fan);
}

static void init_normals(uint64_t seed, size_t number, size_t count, double scale, float *out)
{
    for (size_t i = 0; i < count; i += 2) {
        double pair[2];
        rng_normals(seed, train_rng_index((int64_t)number, i / 2), RNG_TRAIN_WEIGHTS, 2, pair);
        out[i] = (float)(scale * pair[0]);
        if (i + 1 < count)
            out[i + 1] = (float)(scale * pair[1]);
    }
}

static void init_uniforms(uint64_t seed, size_t number, size_t count, double bound, float *out)
{
    for (size_t i = 0; i < count; i += 2) {
        double pair[2];
        rng_uniforms(seed, train_rng_index((int64_t)number, i / 2), RNG_TRAIN_WEIGHTS, 2, pair);
        out[i] = (float)(bound * (2 * pair[0] - 1));
        if (i + 1 < count)
            out[i + 1] = (float)(bound * (2 * pair[1] - 1));
    }
}

void train_state_init(struct train_state *s, const struct nn_param *params, size_t param_count,
                      uint64_t seed, const struct data_set *data)
{
    size_t at = 0, head = 0;
    bool mlp = strcmp(params[0].name, NN_MLP_OFFSET) == 0;
    for (size_t i = 0; i < param_count; i++)
        if (params[i].rank == (mlp ? 2 : 4) && strcmp(params[i].name, NN_LABEL_EMBEDDING) != 0)
            head = i; /* the last convolution, or matrix */
    for (size_t i = 0; i < param_count; at += params[i++].count) {
        const struct nn_param *p = &params[i];
        if (strcmp(p->name, NN_MLP_OFFSET) == 0)
            memcpy(s->weights + at, data->offset, p->count * sizeof *s->weights);
        else if (strcmp(p->name, NN_MLP_SCALE) == 0)
            s->weights[at] = data->scale;
        else if (!p->trainable)
            init_normals(seed, i, p->count, 16, s->weights + at);
        else if (strcmp(p->name, NN_LABEL_EMBEDDING) == 0)
            init_normals(seed, i, p->count, 0.02, s->weights + at);
        else if (p->rank > 1)
            init_uniforms(seed, i, p->count, uniform_bound(p, i == head), s->weights + at);
        else if (ends_with(p->name, "weight")) /* of a norm */
            for (size_t k = 0; k < p->count; k++)
                s->weights[at + k] = 1;
    }
}

void train_state_begin_averages(struct train_state *s)
{
    memcpy(s->ema, s->weights, s->count * sizeof *s->ema);
    if (s->target)
        memcpy(s->target, s->weights, s->count * sizeof *s->target);
    for (int i = 0; i < s->other_count; i++)
        memcpy(s->others[i], s->weights, s->count * sizeof *s->others[i]);
}

/* ---- the state file ---- */

static int check_finite(const float *v, size_t count, const char *name, struct err *e)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(v[i]))
            return err_fail(e, ERR_NUMERIC, name, "value %zu of %zu is not finite", i, count);
    return 0;
}

struct array {
    const char *name;
    float *values;
};

#define ARRAYS_MAX (5 + TRAIN_AVERAGES_MAX)

static const char *const other_names[TRAIN_AVERAGES_MAX] = {"ema.1", "ema.2", "ema.3", "ema.4"};

/* How many there are. */
static int list_arrays(const struct train_state *s, struct array out[ARRAYS_MAX])
{
    out[0] = (struct array){"weights", s->weights};
    out[1] = (struct array){"adam.mean", s->mean};
    out[2] = (struct array){"adam.square", s->square};
    out[3] = (struct array){"ema", s->ema};
    int count = 4;
    if (s->target)
        out[count++] = (struct array){"target", s->target};
    for (int i = 0; i < s->other_count; i++)
        out[count++] = (struct array){other_names[i], s->others[i]};
    return count;
}

static json_t *state_metadata(const struct train_state *s, const char *config, const char *data,
                              struct err *e)
{
    json_t *state =
        json_pack("{s:i, s:I, s:s, s:s, s:f, s:f, s:I}", "version", STATE_VERSION, "step",
                  (json_int_t)s->step, "config_sha256", config, "data_sha256", data, "loss_sum",
                  s->loss_sum, "norm_sum", s->norm_sum, "sum_count", (json_int_t)s->sum_count);
    struct buf text;
    json_t *metadata = NULL;
    buf_init(&text, 4096);
    if (state && json_append(&text, state, 0, e) == 0)
        metadata = json_pack("{s:s}", STATE_KEY, (const char *)text.data);
    json_decref(state);
    buf_clear(&text);
    if (!metadata)
        json_fail(e, ERR_NUMERIC, "state", "cannot be written: a sum is not finite");
    return metadata;
}

int train_state_save(const struct train_state *s, const char *path, const char *config_sha256,
                     const char *data_sha256, struct err *e)
{
    struct array arrays[ARRAYS_MAX];
    struct ckpt_output tensors[ARRAYS_MAX];
    const int count = list_arrays(s, arrays);
    for (int i = 0; i < count; i++) {
        if (check_finite(arrays[i].values, s->count, arrays[i].name, e) != 0)
            return -1;
        tensors[i] = (struct ckpt_output){.name = arrays[i].name,
                                          .dtype = CKPT_F32,
                                          .rank = 1,
                                          .shape = {s->count},
                                          .data = arrays[i].values};
    }
    json_t *metadata = state_metadata(s, config_sha256, data_sha256, e);
    if (!metadata)
        return -1;
    int result = ckpt_file_write(path, tensors, (size_t)count, metadata, e);
    json_decref(metadata);
    return result;
}

static int check_digest(const json_t *state, const char *key, const char *right, const char *what,
                        const char *path, struct err *e)
{
    const char *digest;
    if (json_get_string(state, key, true, &digest, path, e) != 0)
        return -1;
    return strcmp(digest, right) == 0
               ? 0
               : err_fail(e, ERR_INPUT, path,
                          "belongs to %s: continue with that, or begin another run", what);
}

/* The digest that the state must have: of the configuration, or of one that was changed into it at
 * this step. */
static const char *config_of_step(const json_t *state, const char *config, const json_t *continued)
{
    const char *stored = json_string_value(json_object_get(state, "config_sha256"));
    json_t *step = json_object_get(state, "step");
    for (size_t i = 0; stored && i < json_array_size(continued); i++) {
        const json_t *entry = json_array_get(continued, i);
        const char *digest = json_string_value(json_object_get(entry, "config_sha256"));
        if (json_equal(json_object_get(entry, "step"), step) && digest &&
            strcmp(digest, stored) == 0)
            return digest;
    }
    return config;
}

static int read_metadata(struct train_state *s, const struct ckpt_file *f, const char *config,
                         const json_t *continued, const char *data, struct err *e)
{
    const char *path = ckpt_file_path(f), *text = ckpt_file_metadata(f, STATE_KEY);
    int64_t version;
    if (!text)
        return err_fail(e, ERR_INPUT, path, "is not the state of a training run");
    json_t *state = json_parse(text, strlen(text), path, e);
    if (!state)
        return -1;
    int result = json_get_int(state, "version", true, 1, INT64_MAX, &version, path, e);
    if (result == 0 && version != STATE_VERSION)
        result = err_fail(e, ERR_UNSUPPORTED, path, "state version %lld, this build knows %d",
                          (long long)version, STATE_VERSION);
    if (result == 0 &&
        (check_digest(state, "config_sha256", config_of_step(state, config, continued),
                      "another configuration", path, e) != 0 ||
         check_digest(state, "data_sha256", data, "other data", path, e) != 0 ||
         json_get_int(state, "step", true, 0, TRAIN_STEPS_MAX, &s->step, path, e) != 0 ||
         json_get_real(state, "loss_sum", true, -1e300, 1e300, &s->loss_sum, path, e) != 0 ||
         json_get_real(state, "norm_sum", true, -1e300, 1e300, &s->norm_sum, path, e) != 0 ||
         json_get_int(state, "sum_count", true, 0, TRAIN_STEPS_MAX, &s->sum_count, path, e) != 0))
        result = -1;
    json_decref(state);
    return result;
}

static int read_arrays(struct train_state *s, const struct ckpt_file *f, struct err *e)
{
    struct array arrays[ARRAYS_MAX];
    const int count = list_arrays(s, arrays);
    for (int i = 0; i < count; i++) {
        const struct ckpt_tensor *t = ckpt_file_find(f, arrays[i].name);
        if (!t || t->dtype != CKPT_F32 || t->count != s->count)
            return err_fail(e, ERR_INPUT, ckpt_file_path(f),
                            "\"%s\" is missing or not %zu numbers of type F32", arrays[i].name,
                            s->count);
        if (ckpt_tensor_to_f32(t, arrays[i].values, e) != 0 ||
            check_finite(arrays[i].values, s->count, arrays[i].name, e) != 0)
            return -1;
    }
    return 0;
}

int train_state_load(struct train_state *s, const char *path, const char *config_sha256,
                     const json_t *continued, const char *data_sha256, struct err *e)
{
    struct ckpt_file *f = ckpt_file_open(path, e);
    if (!f)
        return -1;
    int result = read_metadata(s, f, config_sha256, continued, data_sha256, e);
    if (result == 0)
        result = ckpt_file_verify(f, e);
    if (result == 0)
        result = read_arrays(s, f, e);
    ckpt_file_close(f);
    return result;
}

/* ---- the export ---- */

/* To nearest, ties to even. */
static uint16_t to_bfloat(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* To nearest, ties to even, subnormals kept; values beyond f16's range become infinite. */
static uint16_t to_half(float v)
{
    uint32_t bits, sign, mantissa;
    memcpy(&bits, &v, sizeof bits);
    sign = bits >> 16 & 0x8000;
    int exponent = (int)(bits >> 23 & 0xff) - 112;
    mantissa = bits & 0x7fffff;
    if (exponent >= 31)
        return (uint16_t)(sign | 0x7c00);
    int drop = 13;
    if (exponent <= 0) {
        if (exponent < -10)
            return (uint16_t)sign;
        mantissa |= 0x800000;
        drop += 1 - exponent;
        exponent = 0;
    }
    uint32_t half = (uint32_t)exponent << 10 | mantissa >> drop;
    uint32_t rest = mantissa & ((1u << drop) - 1), middle = 1u << (drop - 1);
    half += rest > middle || (rest == middle && (half & 1));
    return (uint16_t)(sign | half);
}

/* `count` values from `first` on in the given type, in `out`. */
static int narrow(const float *average, const char *what, size_t first, size_t count,
                  enum ckpt_dtype dtype, uint16_t *out, struct err *e)
{
    for (size_t i = first; i < first + count; i++) {
        out[i] = dtype == CKPT_F16 ? to_half(average[i]) : to_bfloat(average[i]);
        bool infinite =
            dtype == CKPT_F16 ? (out[i] & 0x7fff) == 0x7c00 : (out[i] & 0x7fff) == 0x7f80;
        if (infinite)
            return err_fail(e, ERR_NUMERIC, "--export-dtype",
                            "weight %zu of %s, %g, does not fit f16: use bf16 or f32", i, what,
                            (double)average[i]);
    }
    return 0;
}

static json_t *export_metadata(const struct ckpt_description *description, struct err *e)
{
    struct buf text;
    json_t *metadata = NULL, *root = ckpt_description_json(description, e);
    buf_init(&text, 1 << 20);
    if (root && json_append(&text, root, 0, e) == 0) {
        metadata = json_pack("{s:s}", CKPT_DESCRIPTION_KEY, (const char *)text.data);
        if (!metadata)
            err_fail_memory(e, text.length);
    }
    json_decref(root);
    buf_clear(&text);
    return metadata;
}

int train_state_export(const struct train_state *s, const float *average, const char *what,
                       const struct nn_param *params, size_t param_count,
                       const struct ckpt_description *description, enum ckpt_dtype dtype,
                       const char *path, struct err *e)
{
    struct ckpt_output *tensors = calloc(param_count, sizeof *tensors);
    uint16_t *half = dtype == CKPT_F32 ? NULL : calloc(s->count, sizeof *half);
    json_t *metadata = NULL;
    size_t at = 0;
    int result = tensors && (half || dtype == CKPT_F32)
                     ? check_finite(average, s->count, what, e)
                     : err_fail_memory(e, param_count * sizeof *tensors);
    if (result == 0)
        result = (metadata = export_metadata(description, e)) ? 0 : -1;
    for (size_t i = 0; result == 0 && i < param_count; at += params[i++].count) {
        /* What is not learned are coordinates: where the data lie, and frequencies of ln t. */
        const bool narrowed = half && params[i].trainable;
        if (narrowed)
            result = narrow(average, what, at, params[i].count, dtype, half, e);
        tensors[i] = (struct ckpt_output){.name = params[i].name,
                                          .dtype = narrowed ? dtype : CKPT_F32,
                                          .rank = params[i].rank,
                                          .data = narrowed ? (const void *)(half + at)
                                                           : (const void *)(average + at)};
        for (int k = 0; k < params[i].rank; k++)
            tensors[i].shape[k] = params[i].shape[k];
    }
    if (result == 0)
        result = ckpt_file_write(path, tensors, param_count, metadata, e);
    json_decref(metadata);
    free(tensors);
    free(half);
    return result;
}
