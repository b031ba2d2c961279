/* `pfgm train`: learns a field from pictures. The run itself is the room train's, and what is shown
 * of it cli_training.c's. */
#include "cli.h"
#include "cli_training.h"

enum { OPTION_MINUTES = CLI_TRAINING_OTHERS };

static int take_option(void *context, int option, const char *word, struct err *e)
{
    struct train_options *o = context;
    if (option != OPTION_MINUTES)
        return cli_training_take(o, option, word, e);
    if (cli_parse_real("--minutes", word, &o->minutes, e) != 0)
        return -1;
    if (!(o->minutes > 0) || o->minutes > TRAIN_MINUTES_MAX)
        return err_fail(e, ERR_INPUT, "--minutes", "is more than 0 and at most %g, not %s",
                        TRAIN_MINUTES_MAX, word);
    return 0;
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
    if (o.minutes > 0 && o.steps >= 0)
        return cli_usage_error("train", "--minutes and --steps both say when the run ends: give "
                                        "one of them");
    if (o.minutes > 0 && o.resume)
        return cli_usage_error("train", "--minutes is for a new run; --resume takes the run to the "
                                        "end that it has");
    code = cli_training_check("train", &o);
    return code >= 0 ? code : cli_training_run("train", &o);
}

static const struct cli_option options[] = {
    CLI_TRAINING_OPTIONS,
    {"minutes", 0, OPTION_MINUTES, "M", NULL,
     "end after M minutes: measures this machine for a few seconds and chooses what the "
     "configuration leaves open: network, batch, steps and a falling rate"},
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
