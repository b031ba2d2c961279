/* `pfgm train`: learns a field from pictures. The run itself is the room train's, and what is shown
 * of it cli_training.c's. */
#include "cli.h"
#include "cli_training.h"

static int take_option(void *context, int option, const char *word, struct err *e)
{
    return cli_training_take(context, option, word, e);
}

static int train_main(int argc, char **argv)
{
    struct cli_training shown;
    struct train_options o = cli_training_begin(&shown);
    int code = cli_options_take(&cli_train_command, NULL, argc, argv, &o);
    if (code >= 0)
        return code;
    if (optind < argc)
        return cli_usage_error("train", "unexpected word \"%s\"", argv[optind]);
    code = cli_training_check("train", &o);
    return code >= 0 ? code : cli_training_run("train", &o);
}

static const struct cli_option options[] = {
    CLI_TRAINING_OPTIONS,
    {"steps", 0, CLI_TRAINING_STEPS, "N", NULL,
     "steps to take in all, instead of the configuration's"},
    CLI_TRAINING_OPTIONS_MORE,
    {0}};

const struct cli_command cli_train_command = {
    .name = "train",
    .summary = "learn a model from pictures or vectors",
    .synopsis = "train --data SRC -o RUN/ [options]",
    .about =
        "Learns the field of a set of pictures or vectors. SRC is a folder of PNGs or a ZIP "
        "archive of one (a class for each subfolder, if there are any, or as dataset.json says), "
        "an IDX file of images (gzipped or not), or an NPY or NPZ array of bytes [n,H,W] or "
        "[n,H,W,C], or of floats [n,d]. Two classes or more are learned with the images. RUN/ "
        "gets model.safetensors (which pfgmd serves), log.csv, loss.png, samples/, config.json "
        "and the state from which --resume continues.",
    .options = options,
    .take = take_option,
    .run = train_main};
