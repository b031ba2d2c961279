/* What the files of PFGM++'s reference say of their network, as a description of ours.
 *
 * Two sources: a configuration in JSON, and the record of a module that was saved whole. The record
 * has the arguments that the constructor was given; those it was not given have the defaults of the
 * reference's constructor, which are listed here. Arguments that we do not know, or whose value our
 * network cannot have, are refused: another network would make pictures that look almost right. The
 * text of the class that the record carries is never looked at; that the class does what the
 * reference's does is what its name is taken for. */
#include "import_song.h"

#include "ckpt_arch.h"
#include "import_torch_internal.h"
#include "nn_plan.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The reference's sampler, where a file does not say otherwise. */
#define SIGMA_MIN 0.002
#define SIGMA_MAX 80.0
#define RHO 7.0
#define NUM_STEPS 18

/* What the two sources call the same settings. */
struct keys {
    const char *image_size, *channels, *nf, *ch_mult, *blocks, *attention, *labels, *augment;
};

static int labels_number(struct ckpt_description *d, int count, struct err *e)
{
    char text[16];
    d->labels = count ? calloc((size_t)count, sizeof *d->labels) : NULL;
    if (count && !d->labels)
        return err_fail_memory(e, (size_t)count * sizeof *d->labels);
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%d", i);
        d->labels[i] = strdup(text);
        if (!d->labels[i])
            return err_fail_memory(e, sizeof text);
        d->label_count++;
    }
    d->arch.classes = count;
    d->no_null_class = count > 0; /* unless it is known that labels were left out */
    return 0;
}

/* The settings that are numbers. */
static int sizes_read(const json_t *root, const struct keys *keys, const char *what,
                      struct import_song *out, struct err *e)
{
    struct nn_arch *arch = &out->description->arch;
    int64_t labels = 0, augment = 0;
    if (ckpt_int_read(root, keys->image_size, NN_SIDE_MAX, &arch->image_size, what, e) != 0 ||
        ckpt_int_read(root, keys->channels, 16, &arch->channels, what, e) != 0 ||
        ckpt_int_read(root, keys->nf, NN_CHANNELS_MAX, &arch->nf, what, e) != 0 ||
        ckpt_ints_read(root, keys->ch_mult, 1, NN_CHANNELS_MAX, arch->ch_mult, &arch->levels, what,
                       e) != 0 ||
        ckpt_int_read(root, keys->blocks, 1000, &arch->num_res_blocks, what, e) != 0 ||
        ckpt_ints_read(root, keys->attention, 0, NN_SIDE_MAX, arch->attn_resolutions,
                       &arch->attn_count, what, e) != 0 ||
        json_get_int(root, keys->labels, true, 0, CKPT_LABELS_MAX, &labels, what, e) != 0 ||
        json_get_int(root, keys->augment, true, 0, 4096, &augment, what, e) != 0)
        return -1;
    arch->denoiser = true;
    out->augment_dim = (int)augment;
    return labels_number(out->description, (int)labels, e);
}

static void song_begin(struct import_song *out)
{
    out->description->family = CKPT_FAMILY_PFGMPP;
    out->description->provenance.step = -1;
    out->augment_dim = 0;
}

/* ---- a configuration ---- */

int import_song_from_config(const json_t *config, const char *what, struct import_song *out,
                            struct err *e)
{
    static const char *const known[] = {"family",           "D",          "image_size",
                                        "channels",         "arch",       "model_channels",
                                        "channel_mult",     "num_blocks", "rho",
                                        "attn_resolutions", "label_dim",  "augment_dim",
                                        "sigma_data",       "sigma_min",  "sigma_max",
                                        "num_steps"};
    static const struct keys keys = {"image_size",   "channels",   "model_channels",
                                     "channel_mult", "num_blocks", "attn_resolutions",
                                     "label_dim",    "augment_dim"};
    struct nn_arch *arch = &out->description->arch;
    const char *family, *word;
    song_begin(out);
    if (!json_is_object(config))
        return err_fail(e, ERR_INPUT, what, "the configuration must be a JSON object");
    if (json_get_string(config, "family", true, &family, what, e) != 0)
        return -1;
    if (strcmp(family, "pfgmpp") != 0)
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "weights of family \"%.40s\" in safetensors; only \"pfgmpp\" is known so",
                        family);
    if (json_only_keys(config, known, sizeof known / sizeof known[0], what, e) != 0 ||
        json_get_string(config, "arch", true, &word, what, e) != 0 ||
        sizes_read(config, &keys, what, out, e) != 0 ||
        ckpt_pfgmpp_read(config, out->description, what, e) != 0)
        return -1;
    if (strcmp(word, "ncsnpp") == 0) {
        arch->fir = true;
        arch->pyramid = NN_PYRAMID_RESIDUAL;
        arch->embedding = NN_EMBEDDING_FOURIER;
    } else if (strcmp(word, "ddpmpp") != 0) {
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "\"arch\" is \"%.40s\"; known: \"ncsnpp\", \"ddpmpp\"", word);
    }
    return ckpt_description_check_arch(out->description, what, e);
}

/* ---- a module saved whole ---- */

/* SongUNet's arguments in their order, and the values of those that may be left out. */
static const struct {
    const char *name, *usual;
} arguments[] = {
    {"img_resolution", NULL},
    {"in_channels", NULL},
    {"out_channels", NULL},
    {"label_dim", "0"},
    {"augment_dim", "0"},
    {"model_channels", "128"},
    {"channel_mult", "[1, 2, 2, 2]"},
    {"channel_mult_emb", "4"},
    {"num_blocks", "4"},
    {"attn_resolutions", "[16]"},
    {"dropout", "0.1"},
    {"label_dropout", "0"},
    {"embedding_type", "\"positional\""},
    {"channel_mult_noise", "1"},
    {"encoder_type", "\"standard\""},
    {"decoder_type", "\"standard\""},
    {"resample_filter", "[1, 1]"},
};
#define ARGUMENTS (sizeof arguments / sizeof arguments[0])

/* What must not differ in the modules inside, where it is recorded: attributes that the network's
 * constructor sets and that change what it computes. */
static const struct {
    const char *class_name, *attribute;
    double low, high;
} fixed[] = {
    {"UNetBlock", "num_heads", 0, 1},
    {"UNetBlock", "adaptive_scale", 0, 0},
    {"UNetBlock", "skip_scale", 0.707106, 0.707107},
    {"GroupNorm", "eps", 0.999e-6, 1.001e-6},
    {"PositionalEmbedding", "endpoint", 1, 1},
    {"PositionalEmbedding", "max_positions", 10000, 10000},
};

static bool number_get(const struct import_value *value, double *out)
{
    if (!value || (value->kind != IMPORT_VALUE_INT && value->kind != IMPORT_VALUE_REAL &&
                   value->kind != IMPORT_VALUE_BOOL))
        return false;
    *out = value->kind == IMPORT_VALUE_INT    ? (double)value->integer
           : value->kind == IMPORT_VALUE_BOOL ? (double)value->truth
                                              : value->real;
    return true;
}

/* A number or a string; NULL for anything else, and for numbers that JSON does not have. */
static json_t *scalar_json(const struct import_value *value)
{
    switch (value->kind) {
    case IMPORT_VALUE_INT:
        return json_integer(value->integer);
    case IMPORT_VALUE_REAL:
        return json_real(value->real);
    case IMPORT_VALUE_STRING:
        return json_stringn(value->text.data, value->text.length);
    default:
        return NULL;
    }
}

/* The same, or a list of them that is not longer than any setting's. */
static json_t *argument_json(const struct import_value *value)
{
    if (value->kind != IMPORT_VALUE_LIST && value->kind != IMPORT_VALUE_TUPLE)
        return scalar_json(value);
    json_t *array = value->items.count <= 2 * NN_LEVELS_MAX ? json_array() : NULL;
    for (size_t i = 0; array && i < value->items.count; i++) {
        if (json_array_append_new(array, scalar_json(value->items.values[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static int argument_set(json_t *root, const char *name, const struct import_value *value,
                        const char *what, struct err *e)
{
    if (json_object_set_new(root, name, argument_json(value)) != 0)
        return json_fail(e, ERR_UNSUPPORTED, what,
                         "the argument \"%s\" is neither a number, a string nor a short list",
                         name);
    return 0;
}

/* The arguments that were recorded, by position and by name. */
static int arguments_take(json_t *root, const struct import_value *network, const char *what,
                          struct err *e)
{
    const struct import_value *list = import_value_attribute(network, "_init_args");
    const struct import_value *named = import_value_attribute(network, "_init_kwargs");
    if (!list || list->kind != IMPORT_VALUE_TUPLE || list->items.count > ARGUMENTS || !named ||
        named->kind != IMPORT_VALUE_DICT)
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "the constructor's arguments were not recorded (_init_args, _init_kwargs)");
    for (size_t i = 0; i < list->items.count; i++)
        if (argument_set(root, arguments[i].name, list->items.values[i], what, e) != 0)
            return -1;
    for (size_t i = 0; i + 1 < named->items.count; i += 2) {
        const struct import_value *key = named->items.values[i];
        size_t known = 0;
        while (known < ARGUMENTS && !import_value_is(key, arguments[known].name))
            known++;
        if (known == ARGUMENTS)
            return err_fail(e, ERR_UNSUPPORTED, what, "unknown argument \"%.60s\"",
                            key->kind == IMPORT_VALUE_STRING ? key->text.data : "");
        if (argument_set(root, arguments[known].name, named->items.values[i + 1], what, e) != 0)
            return -1;
    }
    return 0;
}

static json_t *arguments_json(const struct import_value *network, const char *what, struct err *e)
{
    json_t *root = json_object();
    for (size_t i = 0; i < ARGUMENTS; i++) {
        const char *usual = arguments[i].usual;
        json_t *value = usual ? json_parse(usual, strlen(usual), what, e) : NULL;
        if (usual && json_object_set_new(root, arguments[i].name, value) != 0) {
            err_fail_memory(e, strlen(usual));
            json_decref(root);
            return NULL;
        }
    }
    if (arguments_take(root, network, what, e) != 0) {
        json_decref(root);
        return NULL;
    }
    return root;
}

static bool word_is(const json_t *root, const char *key, const char *word)
{
    const char *text = json_string_value(json_object_get(root, key));
    return text && strcmp(text, word) == 0;
}

/* Whether an array holds these two or four numbers and no more. */
static bool filter_is(const json_t *array, size_t count, const double *taps)
{
    bool same = json_array_size(array) == count;
    for (size_t i = 0; same && i < count; i++)
        same = json_number_value(json_array_get(array, i)) == taps[i];
    return same;
}

/* The settings that are words, and those of which our network has one value only. */
static int kinds_read(const json_t *root, const char *what, struct nn_arch *arch, struct err *e)
{
    static const double box[] = {1, 1}, fir[] = {1, 3, 3, 1};
    const json_t *filter = json_object_get(root, "resample_filter");
    double noise = json_number_value(json_object_get(root, "channel_mult_noise"));
    bool residual = word_is(root, "encoder_type", "residual");
    if (!residual && !word_is(root, "encoder_type", "standard"))
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "\"encoder_type\" is neither \"standard\" nor \"residual\"");
    if (!word_is(root, "decoder_type", "standard"))
        return err_fail(e, ERR_UNSUPPORTED, what, "\"decoder_type\" is not \"standard\"");
    arch->pyramid = residual ? NN_PYRAMID_RESIDUAL : NN_PYRAMID_NONE;
    arch->fir = filter_is(filter, 4, fir);
    if (!arch->fir && !filter_is(filter, 2, box))
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "\"resample_filter\" is neither [1,1] nor [1,3,3,1]");
    if (json_number_value(json_object_get(root, "channel_mult_emb")) != 4)
        return err_fail(e, ERR_UNSUPPORTED, what, "\"channel_mult_emb\" is not 4");
    if (word_is(root, "embedding_type", "fourier") && noise == 2)
        arch->embedding = NN_EMBEDDING_FOURIER;
    else if (!word_is(root, "embedding_type", "positional") || noise != 1)
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "\"embedding_type\" and \"channel_mult_noise\" are neither \"positional\" "
                        "and 1 nor \"fourier\" and 2");
    if (!json_equal(json_object_get(root, "in_channels"), json_object_get(root, "out_channels")))
        return err_fail(e, ERR_UNSUPPORTED, what, "\"in_channels\" and \"out_channels\" differ");
    return 0;
}

/* The preconditioning around the network: what it says of the noise, the reference's sampler where
 * it says nothing. Its own bounds of sigma only narrow the sampler's. */
static int noise_read(const struct import_value *module, const char *what,
                      struct ckpt_description *d, struct err *e)
{
    const struct import_value *finite = import_value_attribute(module, "pfgmpp");
    const struct import_value *added = import_value_attribute(module, "D");
    double low = 0, high = INFINITY, dimensions = INFINITY, data = 0.5;
    json_t *root;
    int result;
    if (added && (!finite || finite->kind != IMPORT_VALUE_BOOL))
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "says D but not whether it is used (attribute \"pfgmpp\")");
    if (finite && (finite->kind != IMPORT_VALUE_BOOL || (finite->truth && !added)))
        return err_fail(e, ERR_INPUT, what, "\"pfgmpp\" without a number \"D\"");
    if ((finite && finite->truth && !number_get(added, &dimensions)) ||
        (import_value_attribute(module, "sigma_min") &&
         !number_get(import_value_attribute(module, "sigma_min"), &low)) ||
        (import_value_attribute(module, "sigma_max") &&
         !number_get(import_value_attribute(module, "sigma_max"), &high)) ||
        (import_value_attribute(module, "sigma_data") &&
         !number_get(import_value_attribute(module, "sigma_data"), &data)))
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "\"D\", \"sigma_min\", \"sigma_max\" or \"sigma_data\" is no number");
    low = low > SIGMA_MIN ? low : SIGMA_MIN;
    high = high < SIGMA_MAX ? high : SIGMA_MAX;
    root =
        json_pack("{s:o, s:f, s:f, s:f, s:f, s:i}", "D",
                  isinf(dimensions) ? json_string("inf") : json_real(dimensions), "sigma_min", low,
                  "sigma_max", high, "sigma_data", data, "rho", RHO, "num_steps", NUM_STEPS);
    if (!root) /* NaN */
        return json_fail(e, ERR_INPUT, what, "\"D\" or a sigma is no finite number");
    result = ckpt_pfgmpp_read(root, d, what, e);
    json_decref(root);
    return result;
}

/* The preconditioning has the same sizes as the network. */
static int sizes_agree(const struct import_value *module, const struct ckpt_description *d,
                       const char *what, struct err *e)
{
    const struct {
        const char *attribute;
        int value;
    } sizes[] = {{"img_resolution", d->arch.image_size},
                 {"img_channels", d->arch.channels},
                 {"label_dim", d->label_count}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct import_value *value = import_value_attribute(module, sizes[i].attribute);
        double number = 0;
        if (value && (!number_get(value, &number) || number != sizes[i].value))
            return err_fail(e, ERR_INPUT, what, "\"%s\" is not the network's, %d",
                            sizes[i].attribute, sizes[i].value);
    }
    return 0;
}

/* A group norm splits its channels as ours does. */
static int groups_check(const char *name, const struct import_value *module, const char *what,
                        struct err *e)
{
    const struct import_value *groups = import_value_attribute(module, "num_groups");
    const struct import_value *weight =
        import_value_get(import_value_attribute(module, "_parameters"), "weight");
    if (!groups || groups->kind != IMPORT_VALUE_INT || !weight ||
        weight->kind != IMPORT_VALUE_TENSOR || weight->view->count > 2 * NN_CHANNELS_MAX ||
        groups->integer == nn_groups((int)weight->view->count))
        return 0;
    return err_fail(
        e, ERR_UNSUPPORTED, what,
        "module \"%.100s\": num_groups is %lld, which no network here has for %d channels", name,
        (long long)groups->integer, (int)weight->view->count);
}

static int fixed_visit(void *context, const char *name, const struct import_value *module,
                       struct err *e)
{
    const char *what = context;
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        double number;
        if (strcmp(module->object.class_name, fixed[i].class_name) != 0 ||
            !number_get(import_value_attribute(module, fixed[i].attribute), &number))
            continue;
        if (!(number >= fixed[i].low && number <= fixed[i].high))
            return err_fail(e, ERR_UNSUPPORTED, what,
                            "module \"%.100s\": %s is %g, which no "
                            "network here has",
                            name, fixed[i].attribute, number);
    }
    return strcmp(module->object.class_name, "GroupNorm") == 0 ? groups_check(name, module, what, e)
                                                               : 0;
}

int import_song_from_module(const struct import_value *module, const char *what,
                            struct import_song *out, struct err *e)
{
    static const struct keys keys = {"img_resolution", "in_channels", "model_channels",
                                     "channel_mult",   "num_blocks",  "attn_resolutions",
                                     "label_dim",      "augment_dim"};
    const struct import_value *network =
        import_value_get(import_value_attribute(module, "_modules"), "model");
    struct ckpt_description *d = out->description;
    json_t *root;
    double dropped = 0;
    int result;
    song_begin(out);
    if (strcmp(module->object.class_name, "EDMPrecond") != 0)
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "preconditioning \"%.60s\" is not supported, EDMPrecond is",
                        module->object.class_name);
    if (!network || network->kind != IMPORT_VALUE_OBJECT)
        return err_fail(e, ERR_INPUT, what, "holds no module \"model\"");
    if (strcmp(network->object.class_name, "SongUNet") != 0)
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "network \"%.60s\" is not supported, SongUNet (ddpmpp, ncsnpp) is",
                        network->object.class_name);
    root = arguments_json(network, what, e);
    if (!root)
        return -1;
    result = kinds_read(root, what, &d->arch, e) != 0 ||
                     sizes_read(root, &keys, what, out, e) != 0 ||
                     json_get_real(root, "label_dropout", true, 0, 1, &dropped, what, e) != 0
                 ? -1
                 : 0;
    json_decref(root);
    if (dropped > 0) /* the network has seen examples without their class, as zeros */
        d->no_null_class = false;
    if (result || noise_read(module, what, d, e) != 0 || sizes_agree(module, d, what, e) != 0 ||
        import_modules_walk(module, what, fixed_visit, (void *)(uintptr_t)what, e) != 0)
        return -1;
    return ckpt_description_check_arch(d, what, e);
}

int import_song_from_torch(const struct import_torch *t, bool raw, struct import_song *out,
                           struct err *e)
{
    const struct import_value *module = raw ? t->net_module : t->ema_module;
    char what[256];
    if (!module && raw)
        return err_fail(e, ERR_INPUT, t->path, "holds no raw weights (\"net\")");
    if (!module)
        return err_fail(e, ERR_INPUT, t->path, "holds no EMA weights; use --weights raw");
    snprintf(what, sizeof what, "%.240s: %s", t->path, raw ? "net" : "ema");
    return import_song_from_module(module, what, out, e);
}
