/* What a subcommand takes, in one table: getopt reads the command line by it, and `--help`, the
 * manual page and the completions are written from it. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "model_choice.h"

/* In place of words to complete: a path. */
#define CLI_VALUES_FILES "<files>"
/* Words that several options have. */
#define CLI_VALUES_PRESETS                                                                         \
    "cifar10-ddpmpp, cifar10-ddpmpp-deep, cifar10-ncsnpp, celeba64-ddpmpp or bedroom-ddpmpp"

struct cli_option {
    const char *name;     /* behind "--"; NULL where there is a letter only */
    char letter;          /* behind "-"; '\0': none */
    int id;               /* what the subcommand's `take` gets; 0: the letter */
    const char *argument; /* what stands for its value in a help text; NULL: it takes none */
    const char *values;   /* to complete: "a b", "a, b or c", CLI_VALUES_FILES, or NULL */
    const char *help;     /* a sentence or a few; where lines break is the printer's business */
};

/* Rows that several subcommands have. */
#define CLI_OPTION_CLASS(id_, defaults)                                                            \
    {                                                                                              \
        .name = "class", .id = id_, .argument = "C",                                               \
        .help = "a class of the model, by name or number; none: of all data (" defaults ")"        \
    }
/* The same where a class can be drawn; `values` and `more` are of what else can be said. */
#define CLI_OPTION_CLASS_DRAWN(id_, values_, more)                                                 \
    {                                                                                              \
        .name = "class", .id = id_, .argument = "C", .values = values_,                            \
        .help = "a class of the model, by name or number; drawn (default): by seed and index; "    \
                "none: of all data" more                                                           \
    }
/* What `drawn` says of a seed that is not given. */
#define CLI_OPTION_SEED(name_, id_, what, drawn)                                                   \
    {                                                                                              \
        .name = name_, .id = id_, .argument = "S", .help = what "0 to 2^64-1; " drawn              \
    }
#define CLI_OPTION_FIRST_INDEX(id_)                                                                \
    {                                                                                              \
        .name = "first-index", .id = id_, .argument = "K",                                         \
        .help = "the images are K, K+1, ... of the seed (0)"                                       \
    }
#define CLI_OPTION_TEMPERATURE(id_)                                                                \
    {                                                                                              \
        .name = "temperature", .id = id_, .argument = "F",                                         \
        .help = "factor on the distance at which an image starts, 0.001 to 10 (1)"                 \
    }
#define CLI_OPTION_KERNEL(id_)                                                                     \
    {                                                                                              \
        .name = "kernel", .id = id_, .argument = "K",                                              \
        .values = "auto c openblas lanes8 avx2 neon avx512 amx",                                   \
        .help = "auto (default), c, openblas, lanes8 (avx2, neon), avx512, amx"                    \
    }
#define CLI_OPTION_PRECISION(id_)                                                                  \
    {                                                                                              \
        .name = "precision", .id = id_, .argument = "P", .values = "auto f32 bf16x3 bf16",         \
        .help = "auto (default: bf16x3 with AMX, else f32), f32, bf16x3, bf16"                     \
    }
#define CLI_OPTION_WORKERS(id_)                                                                    \
    {                                                                                              \
        .name = "workers", .id = id_, .argument = "W",                                             \
        .help = "threads (as many as the process may use)"                                         \
    }
#define CLI_OPTION_JSON(id_)                                                                       \
    {                                                                                              \
        .name = "json", .id = id_, .help = "print the result as JSON"                              \
    }

/* A word and what it means: the forms of an output, the figures that can be drawn. */
struct cli_term {
    const char *word, *help;
};

/* The options of the solver, for those subcommands where it can be chosen: a row for each of
 * model_choice.h. */
struct cli_solver_options {
    const char
        *title; /* of these options in the help, which ends with them; NULL: there are none */
    const char *steps;  /* the option of the steps, where "--steps" means something else; or NULL */
    const char *method; /* what --solver is, where it is not the model's own by default; or NULL */
    bool adaptive;      /* the method is rk45 in any case, and so is what can be chosen */
};

struct cli_command {
    const char *name;     /* the words behind pfgm */
    const char *summary;  /* for the list of subcommands */
    const char *synopsis; /* what stands behind pfgm, a line for each form of the command line */
    const char *about;    /* paragraphs, with an empty line between */
    const struct cli_term *terms;     /* behind `about`; ends with a NULL word; or NULL */
    const struct cli_option *options; /* ends with a row of zeros; --help is added to them */
    struct cli_solver_options solver;
    const char *words; /* what may stand among the options, to complete: as values of an option */
    const struct cli_command *const *inner; /* subcommands of its own; ends with NULL; or NULL */
    /* Takes one option and its value (NULL without one) into what `context` points to. */
    int (*take)(void *context, int id, const char *word, struct err *e);
    /* Gets the words behind `pfgm` (argv[0] is the last of its own name); the exit code. */
    int (*run)(int argc, char **argv);
};

/* Row i of all options: its own, then --help, then the solver's, whose id is CLI_OPTION_SOLVER and
 * the row of model_choice.h. False beyond the last. */
enum { CLI_OPTION_SOLVER = 4096 };
bool cli_command_option(const struct cli_command *c, size_t i, struct cli_option *out);

/* "-o, --output OUT", at most 63 bytes of it; returns `out`. */
const char *cli_option_tag(const struct cli_option *o, char out[64]);

/* Prints the help to standard output. */
void cli_command_help(const struct cli_command *c);

/* The command that the first words name, with `*used` of them; NULL when the first one is none. */
const struct cli_command *cli_command_find(const struct cli_command *const *list, int count,
                                           char **words, int *used);

/* The name most like a misspelt word, of `count` names; NULL when none is near. */
const char *cli_nearest(const char *word, const char *const *names, size_t count);

/* Prints `text` in lines of at most 79 columns, each but the first behind `indent` spaces; the
 * first begins in column `at`. */
void cli_print_wrapped(const char *text, int at, int indent);

#endif
