/* The subcommands that use the flow for more than sampling: `encode` (images up to t = T), `decode`
 * (latents down to images), `interpolate` (two ends of a path, then down), `edit` (an image up some
 * of the path, and down again) and `likelihood`. They share their options here, each with its own
 * choice of them, and what is made of latents. */
#ifndef CLI_FLOW_H
#define CLI_FLOW_H

#include "cli.h"
#include "cli_output.h"
#include "cli_points.h"
#include "cli_run.h"

enum { /* of options without a letter */
       CLI_FLOW_LATENTS = 256,
       CLI_FLOW_BETWEEN,
       CLI_FLOW_SEEDS,
       CLI_FLOW_SEED,
       CLI_FLOW_INDEX,
       CLI_FLOW_NEW_SEED,
       CLI_FLOW_FIRST_INDEX,
       CLI_FLOW_IMAGE,
       CLI_FLOW_MASK,
       CLI_FLOW_STRENGTH,
       CLI_FLOW_FRAMES,
       CLI_FLOW_PROBES,
       CLI_FLOW_EXACT_TRACE,
       CLI_FLOW_CONSTANT,
       CLI_FLOW_TIME,
       CLI_FLOW_EPSILON,
       CLI_FLOW_CLASS,
       CLI_FLOW_KERNEL,
       CLI_FLOW_PRECISION,
       CLI_FLOW_WORKERS,
       CLI_FLOW_COLUMNS,
       CLI_FLOW_SCALE,
       CLI_FLOW_DTYPE,
       CLI_FLOW_JSON
};

/* As given; 0, NULL and false mean absent. */
struct cli_flow_options {
    const char *model, *input, *mask, *latents, *between[2], *epsilon, *class, *kernel, *precision;
    struct cli_output_options output;
    struct model_choice solver;
    const char *steps; /* as in the subcommand's table */
    struct model_likelihood likelihood;
    bool json, exact_trace, linear, seeds_given, has_seed, has_index, has_new_seed, has_strength;
    uint64_t seed, seeds[2], index, new_seed, first_index;
    double strength;
    int64_t frames, probes, workers;
    /* The subcommand's words, for --between, which takes two. */
    int argc;
    char **argv;
};
/* Rows that several of them have: what all take, and what those that write images take. */
#define CLI_FLOW_OPTIONS                                                                           \
    CLI_OPTION_KERNEL(CLI_FLOW_KERNEL), CLI_OPTION_PRECISION(CLI_FLOW_PRECISION),                  \
        CLI_OPTION_WORKERS(CLI_FLOW_WORKERS), CLI_OPTION_JSON(CLI_FLOW_JSON)
#define CLI_FLOW_IMAGE_OPTIONS(columns_)                                                           \
    {"dtype",         0,                                                                           \
     CLI_FLOW_DTYPE,  "T",                                                                         \
     "uint8 float32", "of a .npy: uint8 or float32 (for vectors always float32)"},                 \
        {"columns", 0, CLI_FLOW_COLUMNS, "N", NULL, "images per row of a sheet (" columns_ ")"},   \
        {"scale", 0, CLI_FLOW_SCALE, "K", NULL, "enlarge a .png K times"},                         \
    {                                                                                              \
        "output", 'o', 0, "OUT", CLI_VALUES_FILES,                                                 \
            "as that of pfgm sample: .png, DIR/, .npy, .npz, .safetensors, or - for standard "     \
            "output"                                                                               \
    }
#define CLI_FLOW_LATENTS_OPTION(help_)                                                             \
    {                                                                                              \
        "latents", 0, CLI_FLOW_LATENTS, "FILE", CLI_VALUES_FILES, help_                            \
    }

/* A subcommand: its table, whose `take` is cli_flow_take, what must be there beside its options,
 * and what it does. */
struct cli_flow_command {
    const struct cli_command *command;
    /* What is missing or does not go together, in words for a usage error; NULL: nothing. */
    const char *(*missing)(const struct cli_flow_options *o);
    int (*run)(const struct cli_flow_options *o, struct err *e);
};
int cli_flow_take(void *context, int id, const char *word, struct err *e);
/* Reads the command line and runs it: the exit code. */
int cli_flow_main(const struct cli_flow_command *command, int argc, char **argv);

/* Frees what a subcommand has: each may be NULL or zeroed. */
void cli_flow_clear(struct cli_run *run, struct cli_points *points, struct model *m);

/* What the command line says is read. */
struct cli_output_guard cli_flow_guard(const struct cli_flow_options *o);
/* Looks at the output before anything is computed. */
int cli_flow_prepare(const struct cli_flow_options *o, const struct model *m,
                     enum cli_output_kind *kind, struct err *e);
/* Brings latents (all that is in them) down, of the class of the command line, else of those that
 * came with them, else of all data; writes the images and prints the result. */
int cli_flow_decode(struct cli_run *run, const struct cli_flow_options *o,
                    enum cli_output_kind kind, const struct cli_points *latents, struct err *e);
/* Runs an order for images, writes them and prints the result. */
int cli_flow_make(struct cli_run *run, const struct cli_flow_options *o, enum cli_output_kind kind,
                  const struct engine_order *order, struct err *e);

#endif
