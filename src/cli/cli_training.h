/* What `pfgm train` and `pfgm distill` share: options, signals, and what a person sees of a run. */
#ifndef CLI_TRAINING_H
#define CLI_TRAINING_H

#include "cli_command.h"
#include "train.h"

/* What is shown of a run. */
struct cli_training {
    bool json, terminal, drawn, begun; /* begun: a line of a step was printed */
    int64_t drawn_ns;
    const char *dtype, *threads, *kernel; /* as given, or NULL */
};

enum {
    CLI_TRAINING_CHANGES = 256,
    CLI_TRAINING_STEPS,
    CLI_TRAINING_LABELS,
    CLI_TRAINING_CROP,
    CLI_TRAINING_RESIZE,
    CLI_TRAINING_STRICT,
    CLI_TRAINING_DTYPE,
    CLI_TRAINING_THREADS,
    CLI_TRAINING_KERNEL,
    CLI_TRAINING_JSON,
    CLI_TRAINING_OTHERS /* where a subcommand's own begin */
};

/* Rows of a table of options; what --steps counts is the subcommand's to say. */
#define CLI_TRAINING_OPTIONS                                                                       \
    {"data", 'd', 0, "SRC", CLI_VALUES_FILES, "the pictures or vectors"},                          \
        {"output", 'o', 0, "RUN/", CLI_VALUES_FILES, "folder of the run"},                         \
        {"config",                                                                                 \
         'c',                                                                                      \
         0,                                                                                        \
         "FILE",                                                                                   \
         CLI_VALUES_FILES,                                                                         \
         "configuration (JSON); what it leaves out has defaults"},                                 \
        {"resume", 'r',  0,                                                                        \
         NULL,     NULL, "continue the run in RUN/; same data, same bytes as without a break"},    \
    {                                                                                              \
        "continue-with", 0, CLI_TRAINING_CHANGES, "FILE", CLI_VALUES_FILES,                        \
            "with --resume: change steps, learning_rate, decay and the like (JSON) from here on; " \
            "the change is noted in config.json"                                                   \
    }
#define CLI_TRAINING_OPTIONS_MORE                                                                  \
    {"labels",                                                                                     \
     0,                                                                                            \
     CLI_TRAINING_LABELS,                                                                          \
     "FILE",                                                                                       \
     CLI_VALUES_FILES,                                                                             \
     "labels of an IDX file, if its name does not lead to them"},                                  \
        {"center-crop", 0,    CLI_TRAINING_CROP,                                                   \
         "N",           NULL, "first cut N×N pixels from the middle of each picture"},             \
        {"resize", 0, CLI_TRAINING_RESIZE, "N", NULL, "then scale to N×N pixels"},                 \
        {"strict", 0,    CLI_TRAINING_STRICT,                                                      \
         NULL,     NULL, "refuse files that cannot be used, instead of skipping them"},            \
        {"export-dtype",     0,                                                                    \
         CLI_TRAINING_DTYPE, "T",                                                                  \
         "f32 bf16 f16",     "of model.safetensors: f32 (default), bf16, f16"},                    \
        {"threads", 0, CLI_TRAINING_THREADS, "N", NULL, "default: one for each processor"},        \
        {"kernel",                                                                                 \
         0,                                                                                        \
         CLI_TRAINING_KERNEL,                                                                      \
         "K",                                                                                      \
         "auto c openblas lanes8 avx2 neon avx512",                                                \
         "auto (default), c, openblas, lanes8 (avx2, neon), avx512"},                              \
    {                                                                                              \
        "json", 0, CLI_TRAINING_JSON, NULL, NULL, "one JSON object per line on standard output"    \
    }

/* The options' defaults, with the run to be shown by `s`, their context. */
struct train_options cli_training_begin(struct cli_training *s);
/* Takes one of the options above. */
int cli_training_take(struct train_options *o, int option, const char *word, struct err *e);
/* Whether they go together: -1, or the exit code of a usage error, which was printed. */
int cli_training_check(const char *name, const struct train_options *o);
/* The run, and the exit code of the subcommand `name`. */
int cli_training_run(const char *name, const struct train_options *o);

#endif
