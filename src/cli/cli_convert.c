/* pfgm convert: a checkpoint of the reference codes becomes a model file of ours. What may go wrong
 * is in import_convert.h, and what kind of file it is, which its content shows; here are the
 * options, the summary and a progress line on a terminal. */
#include "base_file.h"
#include "import_convert.h"
#include "import_shapes.h"
#include "cli.h"
#include "cli_json.h"
#include "cli_convert_exact.h"
#include "cli_output.h"
#include "cli_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_BYTES_MAX ((size_t)1 << 20)

struct convert_options {
    const char *input, *output, *preset, *config;
    struct cli_convert_exact exact; /* data NULL: a checkpoint is converted */
    enum import_weights weights;
    bool weights_given;
    bool json;
    json_t *settings; /* of the reference's configuration, by options; owned */
};

/* Settings of a reference's configuration that shapes do not tell, and from which id on their
 * options are. */
enum { OPTION_SETTING = 256 };
enum setting_kind { SETTING_INTEGER, SETTING_REAL, SETTING_TRUTH };
static const struct setting {
    const char *key, *option;
    enum setting_kind kind;
} settings[] = {{"image_size", "--image-size", SETTING_INTEGER},
                {"fir", "--fir", SETTING_TRUTH},
                {"gamma", "--gamma", SETTING_REAL},
                {"sigma", "--sigma", SETTING_REAL},
                {"tau", "--tau", SETTING_REAL},
                {"M", "--M", SETTING_INTEGER},
                {"z_max", "--z-max", SETTING_REAL},
                {"z_min", "--z-min", SETTING_REAL},
                {"upper_norm", "--upper-norm", SETTING_REAL},
                {"z_exp", "--z-exp", SETTING_REAL}};

static int take_setting(struct convert_options *o, const struct setting *s, const char *word,
                        struct err *e)
{
    json_t *value = NULL;
    int64_t integer;
    double real;
    if (s->kind == SETTING_TRUTH && strcmp(word, "true") != 0 && strcmp(word, "false") != 0)
        return err_fail(e, ERR_INPUT, s->option, "is true or false, not \"%s\"", word);
    if (s->kind == SETTING_TRUTH)
        value = json_boolean(strcmp(word, "true") == 0);
    else if (s->kind == SETTING_REAL && cli_parse_real(s->option, word, &real, e) == 0)
        value = json_real(real);
    else if (s->kind == SETTING_INTEGER &&
             cli_parse_int(s->option, word, 0, INT32_MAX, &integer, e) == 0)
        value = json_integer((json_int_t)integer);
    if (!value)
        return -1;
    if (!o->settings)
        o->settings = json_object();
    return json_object_set_new(o->settings, s->key, value) == 0 ? 0 : err_fail_memory(e, 256);
}

static int take_plane(const char *name, const char *word, double *out, struct err *e)
{
    if (cli_parse_real(name, word, out, e) != 0)
        return -1;
    return *out > 0 ? 0 : err_fail(e, ERR_INPUT, name, "%s is not above 0", word);
}

static int take(void *context, int option, const char *word, struct err *e)
{
    struct convert_options *o = context;
    if (option >= OPTION_SETTING)
        return take_setting(o, &settings[option - OPTION_SETTING], word, e);
    switch (option) {
    case 'o':
        o->output = word;
        return 0;
    case 'p':
        o->preset = word;
        return 0;
    case 'c':
        o->config = word;
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case 'x':
        o->exact.data = word;
        return 0;
    case 'l':
        o->exact.labels = word;
        return 0;
    case 'W':
        o->exact.weights = word;
        return 0;
    case 's':
        o->exact.strict = true;
        return 0;
    case 'T':
        return take_plane("--t-max", word, &o->exact.t_max, e);
    case 't':
        return take_plane("--t-min", word, &o->exact.t_min, e);
    default:
        o->weights = strcmp(word, "raw") == 0 ? IMPORT_WEIGHTS_RAW : IMPORT_WEIGHTS_EMA;
        o->weights_given = true;
        if (o->weights == IMPORT_WEIGHTS_EMA && strcmp(word, "ema") != 0)
            return err_fail(e, ERR_INPUT, "--weights", "is ema or raw, not \"%s\"", word);
        return 0;
    }
}

/* -1 to go on, else the exit code. */
static int options_parse(int argc, char **argv, struct convert_options *o)
{
    int code = cli_options_take(&cli_convert_command, NULL, argc, argv, o);
    if (code >= 0)
        return code;
    if (optind + (o->exact.data ? 0 : 1) != argc)
        return cli_usage_error("convert", o->exact.data ? "--exact takes no input file beside DATA"
                                                        : "exactly one input file is needed");
    o->input = argv[optind];
    if (!o->output)
        return cli_usage_error("convert", "-o OUT.safetensors is needed");
    if (cli_stream_is_standard(o->output))
        return cli_usage_error("convert",
                               "-o - is no file: a model is not written to standard output");
    if (o->exact.data && (o->preset || o->config || o->settings || o->weights_given))
        return cli_usage_error("convert", "--exact has no network: no --preset, no --config, no "
                                          "--weights and no settings of one");
    if (o->settings && (o->preset || o->config))
        return cli_usage_error("convert", "--preset and --config say all settings: give none "
                                          "beside them");
    if (o->preset && o->config)
        return cli_usage_error("convert", "only one of --preset and --config may be given");
    if (!o->exact.data && (o->exact.labels || o->exact.weights || o->exact.strict ||
                           o->exact.t_max > 0 || o->exact.t_min > 0))
        return cli_usage_error("convert", "--labels, --source-weights, --strict, --t-max and "
                                          "--t-min belong to --exact");
    return -1;
}

/* By the tensors' shapes and the settings given as options, unless the file has a description. */
static int description_from_shapes(const struct convert_options *o, struct ckpt_description *d,
                                   struct err *e)
{
    bool whole = false;
    json_t *config = import_shapes_config(o->input, o->settings, &whole, e);
    int result = config ? ckpt_description_from_config(config, o->input, d, e) : -1;
    json_decref(config);
    if (!whole)
        return result;
    return o->settings ? err_fail(e, ERR_INPUT, o->input,
                                  "says itself what its network is; leave out its settings")
                       : 0;
}

static int description_get(const struct convert_options *o, struct ckpt_description *d,
                           struct err *e)
{
    struct buf text;
    json_t *config = NULL;
    int result = -1;
    if (o->preset)
        return ckpt_description_from_preset(o->preset, d, e);
    if (!o->config)
        return description_from_shapes(o, d, e);
    buf_init(&text, CONFIG_BYTES_MAX);
    if (file_read(o->config, &text, e) == 0)
        config = json_parse(text.data, text.length, o->config, e);
    if (config)
        result = ckpt_description_from_config(config, o->config, d, e);
    json_decref(config);
    buf_clear(&text);
    return result;
}

static void progress_show(void *context, size_t done, size_t all)
{
    (void)context;
    fprintf(stderr, "\rreading tensor %zu of %zu", done, all);
    if (done == all)
        fprintf(stderr, "\r\033[K");
    fflush(stderr);
}

static int summary_json(const struct convert_options *o, const struct ckpt_description *d,
                        const struct import_census *census, const char *digest, struct err *e)
{
    json_t *description = ckpt_description_json(d, e);
    json_t *root;
    int result;
    if (!description)
        return -1;
    root = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:b, s:o}", "input", o->input, "output",
                     o->output, "sha256", digest, "tensors", (json_int_t)census->tensors,
                     "parameters", (json_int_t)census->scalars, "weights", d->provenance.weights,
                     "augment_left_out", census->augment_left_out, "description", description);
    if (!root)
        return json_fail(e, ERR_INPUT, o->input,
                         "a file name is not UTF-8, so JSON cannot hold it");
    result = cli_json_print(root, e);
    json_decref(root);
    return result;
}

static int summary_print(const struct convert_options *o, const struct ckpt_description *d,
                         const struct import_census *census, struct err *e)
{
    char digest[SHA256_HEX_SIZE], shown[CLI_SHOWN_MAX];
    if (sha256_file_hex(o->output, digest, e) != 0)
        return -1;
    if (o->json)
        return summary_json(o, d, census, digest, e);
    printf("%s\n", cli_shown(o->output, shown));
    printf("  tensors     %zu, all finite\n", census->tensors);
    printf("  parameters  %" PRIu64 "\n", census->scalars);
    printf("  weights     %s\n", d->provenance.weights);
    if (d->provenance.step >= 0)
        printf("  step        %" PRId64 "\n", d->provenance.step);
    if (census->augment_left_out)
        printf("  left out    the weight of augmentation labels, which only training uses\n");
    printf("  sha256      %s\n", digest);
    printf("  made from   %s\n", cli_shown(o->input, shown));
    printf("  its sha256  %s\n", d->provenance.source_sha256);
    return 0;
}

static int convert_main(int argc, char **argv)
{
    struct convert_options o = {.weights = IMPORT_WEIGHTS_EMA};
    struct ckpt_description d = {0};
    struct import_census census = {0};
    struct err e = {0};
    int code = options_parse(argc, argv, &o);
    if (code >= 0) {
        json_decref(o.settings);
        return code;
    }
    if (o.exact.data) {
        o.exact.output = o.output;
        o.exact.json = o.json;
        return cli_convert_exact(&o.exact, &e) == 0 ? CLI_EXIT_OK : cli_fail("convert", &e);
    }
    const struct cli_output_guard guard = {.inputs = {o.input, o.config}};
    code = CLI_EXIT_OK;
    if ((o.json && cli_json_paths(o.input, o.output, &e) != 0) ||
        cli_output_prepare_file(o.output, &guard, &e) != 0 || description_get(&o, &d, &e) != 0 ||
        import_convert(o.input, o.output, &d, o.weights,
                       isatty(STDERR_FILENO) ? progress_show : NULL, NULL, &census, &e) != 0 ||
        summary_print(&o, &d, &census, &e) != 0)
        code = cli_fail("convert", &e);
    ckpt_description_clear(&d);
    json_decref(o.settings);
    return code;
}

#define SETTING(i, name, argument, help)                                                           \
    {                                                                                              \
        name, 0, OPTION_SETTING + (i), argument, NULL, help                                        \
    }

static const struct cli_option options[] = {
    {"output", 'o', 0, "FILE", CLI_VALUES_FILES,
     "the model to write; it appears only when all went well"},
    {"preset", 0, 'p', "NAME", CLI_VALUES_PRESETS, CLI_VALUES_PRESETS},
    {"config", 0, 'c', "FILE", CLI_VALUES_FILES,
     "JSON object of the training configuration: image_size, channels, nf, ch_mult, "
     "num_res_blocks, "
     "attn_resolutions, fir, progressive_input, embedding_type, gamma, sigma, tau, M, z_max, "
     "z_min, "
     "upper_norm, z_exp"},
    {"weights", 0, 'w', "KIND", "ema raw", "ema (averaged, the default) or raw"},
    SETTING(0, "image-size", "N",
            "width and height in pixels; without --preset and --config the "
            "tensors' shapes say the network's size, and this and the next "
            "options say the rest"),
    {"fir", 0, OPTION_SETTING + 1, "BOOL", "true false",
     "true: images are halved and doubled with the filter [1,3,3,1]"},
    SETTING(2, "gamma", "G", "as in the training configuration, like those below"),
    SETTING(3, "sigma", "S", "deviation of the smallest perturbation"),
    SETTING(4, "tau", "T", "growth of the perturbation"),
    SETTING(5, "M", "M", "largest exponent of the perturbation"),
    SETTING(6, "z-max", "Z", "plane of the start"),
    SETTING(7, "z-min", "Z", "plane of the end"),
    SETTING(8, "upper-norm", "N", "largest norm of a start"),
    SETTING(9, "z-exp", "Z", "the z below which the network's v_z is replaced"),
    {"exact", 0, 'x', "DATA", CLI_VALUES_FILES,
     "no network: the exact field of the data themselves, as pfgm train takes them (a folder of "
     "PNGs, IDX, .npy or .npz)"},
    {"labels", 0, 'l', "FILE", CLI_VALUES_FILES,
     "their labels, if DATA is IDX and the name does not lead to them"},
    {"source-weights", 0, 'W', "FILE.npy", CLI_VALUES_FILES,
     "a weight above 0 for each of the data, in their order: the share of samples that ends there, "
     "over the sum of all (all alike)"},
    {"t-max", 0, 'T', "T", NULL, "plane of the start (20 radii of the data)"},
    {"t-min", 0, 't', "T", NULL, "where the last step to 0 begins (1e-4 radii)"},
    {"strict", 0, 's', NULL, NULL, "a file of DATA that cannot be used is an error"},
    {"json", 0, 'j', NULL, NULL, "print the summary as JSON"},
    {0}};

const struct cli_command cli_convert_command = {
    .name = "convert",
    .summary = "make a model from a checkpoint of the reference code, or of data",
    .synopsis =
        "convert IN -o OUT.safetensors [--preset NAME | --config FILE.json | settings]\n"
        "             [--weights ema|raw] [--json]\n"
        "convert --exact DATA -o OUT.safetensors [--labels FILE]\n"
        "             [--source-weights FILE.npy] [--t-max T] [--t-min T] [--strict] [--json]",
    .about =
        "Reads a checkpoint that the reference code of PFGM (.pth) or of PFGM++ (.pkl, .pt, or "
        "its weights.* as safetensors) saved, checks every tensor against the network and writes "
        "a model file. Nothing in it is executed. A checkpoint of PFGM++ says itself what its "
        "network is. For one of PFGM, the tensors' shapes say nf, ch_mult, num_res_blocks and "
        "attention; --preset, --config or options of these names say the rest.",
    .options = options,
    .words = CLI_VALUES_FILES,
    .take = take,
    .run = convert_main};
