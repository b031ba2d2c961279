/* `pfgm distill`: teaches a student to do in 1, 2 or 4 evaluations what its teacher does in many.
 * It is a run like one of `pfgm train` with the objective of a distillation (train_distill.h). */
#include "cli.h"
#include "cli_training.h"

enum { OPTION_STUDENT_STEPS = CLI_TRAINING_OTHERS };

static int take_option(void *context, int option, const char *word, struct err *e)
{
    struct train_options *o = context;
    int64_t steps;
    if (option != OPTION_STUDENT_STEPS)
        return cli_training_take(o, option, word, e);
    if (cli_parse_int("--steps", word, 1, TRAIN_STUDENT_STEPS_MAX, &steps, e) != 0)
        return -1;
    if (steps == 3)
        return err_fail(e, ERR_INPUT, "--steps", "is 1, 2 or 4");
    o->student_steps = (int)steps;
    return 0;
}

static int distill_main(int argc, char **argv)
{
    struct cli_training shown;
    struct train_options o = cli_training_begin(&shown);
    int code = cli_options_take(&cli_distill_command, NULL, argc, argv, &o);
    if (code >= 0)
        return code;
    if (argc - optind != 1)
        return cli_usage_error("distill", "one MODEL is needed, %d given", argc - optind);
    o.teacher = argv[optind];
    code = cli_training_check("distill", &o);
    return code >= 0 ? code : cli_training_run("distill", &o);
}

static const struct cli_option options[] = {
    {"steps", 0, OPTION_STUDENT_STEPS, "K", "1 2 4",
     "evaluations of the student: 1 (default), 2 or 4"},
    CLI_TRAINING_OPTIONS,
    {"train-steps", 0, CLI_TRAINING_STEPS, "N", NULL,
     "steps of training in all, instead of the configuration's"},
    CLI_TRAINING_OPTIONS_MORE,
    {0}};

const struct cli_command cli_distill_command = {
    .name = "distill",
    .summary = "teach a student that needs 1, 2 or 4 evaluations",
    .synopsis = "distill MODEL --data SRC -o RUN/ [--steps 1|2|4] [options]",
    .about =
        "Trains a student of MODEL, its teacher: the same network, which does in 1, 2 or 4 "
        "evaluations what the teacher does in many. MODEL is of the family pfgmpp (its D may be 1, "
        "the field of PFGM). SRC is what MODEL was trained with, or similar data, in any form that "
        "pfgm train reads; the classes are the teacher's. RUN/ is as pfgm train leaves it, and "
        "RUN/model.safetensors is sampled and served as any model, by its own steps alone.",
    .options = options,
    .words = CLI_VALUES_FILES,
    .take = take_option,
    .run = distill_main};
