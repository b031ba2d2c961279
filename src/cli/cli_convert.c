/* pfgm convert: a checkpoint of the reference code becomes a model file of ours. What may go wrong
 * is in ckpt_convert.h; here are the options, the summary and a progress line on a terminal. */
#include "base_file.h"
#include "ckpt_convert.h"
#include "cli.h"
#include "cli_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_BYTES_MAX ((size_t)1 << 20)

static const char usage[] =
    "usage: pfgm convert IN -o OUT.safetensors (--preset NAME | --config FILE.json)\n"
    "                    [--weights ema|raw] [--json]\n"
    "\n"
    "Reads a checkpoint that the PFGM reference code saved (.pth, zip or legacy container, "
    "nothing\n"
    "in it is executed), checks every tensor against the network and writes a model file.\n"
    "\n"
    "  -o, --output FILE   the model to write; it appears only when all went well\n"
    "      --preset NAME   cifar10-ddpmpp, cifar10-ddpmpp-deep, cifar10-ncsnpp, celeba64-ddpmpp\n"
    "                      or bedroom-ddpmpp\n"
    "      --config FILE   JSON object of the training configuration: image_size, channels, nf,\n"
    "                      ch_mult, num_res_blocks, attn_resolutions, fir, progressive_input,\n"
    "                      embedding_type, gamma, sigma, tau, M, z_max, z_min, upper_norm, z_exp\n"
    "      --weights KIND  ema (averaged, the default) or raw\n"
    "      --json          print the summary as JSON\n"
    "      --help          print this text\n";

struct convert_options {
    const char *input, *output, *preset, *config;
    enum ckpt_weights weights;
    bool json, help;
};

/* 0, or the exit code of a usage error. */
static int options_parse(int argc, char **argv, struct convert_options *o)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"preset", required_argument, NULL, 'p'},
        {"config", required_argument, NULL, 'c'},
        {"weights", required_argument, NULL, 'w'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    optind = 0; /* the library's word for: begin anew */
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":o:", options, NULL)) != -1) {
        if (option == 'o')
            o->output = optarg;
        else if (option == 'p')
            o->preset = optarg;
        else if (option == 'c')
            o->config = optarg;
        else if (option == 'j')
            o->json = true;
        else if (option == 'h')
            o->help = true;
        else if (option == 'w' && strcmp(optarg, "ema") == 0)
            o->weights = CKPT_WEIGHTS_EMA;
        else if (option == 'w' && strcmp(optarg, "raw") == 0)
            o->weights = CKPT_WEIGHTS_RAW;
        else if (option == 'w')
            return cli_usage_error("convert", "--weights is ema or raw, not \"%s\"", optarg);
        else
            return cli_option_error("convert", option, argv);
    }
    if (o->help)
        return 0;
    if (optind + 1 != argc)
        return cli_usage_error("convert", "exactly one input file is needed");
    o->input = argv[optind];
    if (!o->output)
        return cli_usage_error("convert", "-o OUT.safetensors is needed");
    if (!o->preset == !o->config)
        return cli_usage_error("convert", "exactly one of --preset and --config is needed");
    return 0;
}

static int description_get(const struct convert_options *o, struct ckpt_description *d,
                           struct err *e)
{
    struct buf text;
    json_t *config = NULL;
    int result = -1;

    if (o->preset)
        return ckpt_description_from_preset(o->preset, d, e);
    buf_init(&text, CONFIG_BYTES_MAX);
    if (file_read(o->config, &text, e) == 0)
        config = json_parse(text.data, text.length, o->config, e);
    if (config)
        result = ckpt_description_from_config(config, o->config, d, e);
    json_decref(config);
    buf_free(&text);
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
                        const struct ckpt_census *census, const char *digest, struct err *e)
{
    json_t *description = ckpt_description_json(d, e);
    json_t *root;
    int result;

    if (!description)
        return -1;
    root = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:o}", "input", o->input, "output", o->output,
                     "sha256", digest, "tensors", (json_int_t)census->tensors, "parameters",
                     (json_int_t)census->scalars, "weights", d->provenance.weights, "description",
                     description);
    if (!root)
        return err_fail(e, ERR_INPUT, o->input, "a file name is not UTF-8, so JSON cannot tell it");
    result = cli_json_print(root, e);
    json_decref(root);
    return result;
}

static int summary_print(const struct convert_options *o, const struct ckpt_description *d,
                         const struct ckpt_census *census, struct err *e)
{
    char digest[SHA256_HEX_SIZE];

    if (sha256_file_hex(o->output, digest, e))
        return -1;
    if (o->json)
        return summary_json(o, d, census, digest, e);
    printf("%s\n", o->output);
    printf("  tensors     %zu, all finite\n", census->tensors);
    printf("  parameters  %" PRIu64 "\n", census->scalars);
    printf("  weights     %s\n", d->provenance.weights);
    if (d->provenance.step >= 0)
        printf("  step        %" PRId64 "\n", d->provenance.step);
    printf("  sha256      %s\n", digest);
    printf("  made from   %s\n", o->input);
    printf("  its sha256  %s\n", d->provenance.source_sha256);
    return 0;
}

int cli_convert(int argc, char **argv)
{
    struct convert_options o = {.weights = CKPT_WEIGHTS_EMA};
    struct ckpt_description d = {0};
    struct ckpt_census census = {0};
    struct err e = {0};
    int code = options_parse(argc, argv, &o);

    if (code)
        return code;
    if (o.help)
        return fputs(usage, stdout) < 0 ? CLI_EXIT_FAILED : CLI_EXIT_OK;
    if (description_get(&o, &d, &e) ||
        ckpt_convert(o.input, o.output, &d, o.weights, isatty(STDERR_FILENO) ? progress_show : NULL,
                     NULL, &census, &e) ||
        summary_print(&o, &d, &census, &e))
        code = cli_fail("convert", &e);
    ckpt_description_clear(&d);
    return code;
}
