/* `pfgm tune`: finds, for numbers of evaluations, the method and the nodes whose ends are nearest
 * to the exact path's, and stores them in the checkpoint's description. This file holds the options
 * and the report. */
#include "cli.h"
#include "cli_json.h"
#include "cli_output.h"
#include "cli_stream.h"
#include "tune_store.h"

#include <stdio.h>
#include <string.h>

#define STARTS_DEFAULT 128
#define STARTS_MAX 10000
#define ROUNDS_DEFAULT 4
#define ROUNDS_MAX 50

struct tune_words {
    struct tune_options search;
    const char *output;
    bool json;
};

static void print_table(const struct tune_search *t, const char *output)
{
    char shown[CLI_SHOWN_MAX];
    printf("%s\n  evaluations  method       from the path   as by default   first node\n",
           cli_shown(output, shown));
    for (int k = 0; k < t->o->nfe_count; k++)
        printf("  %11d  %-11s  %13.5f  %14.5f  %11.4g\n", t->o->nfe[k],
               ode_method_name(t->found[k].best.method), t->found[k].judged.rms,
               t->found[k].before.rms, t->found[k].best.nodes[0]);
}

static int print_json(const struct tune_search *t, const char *output, struct err *e)
{
    json_t *list = json_array();
    for (int k = 0; k < t->o->nfe_count; k++) {
        json_t *nodes = json_array();
        for (int i = 0; i <= t->found[k].best.steps; i++)
            nodes = json_plus(nodes, json_real(t->found[k].best.nodes[i]));
        list = json_plus(
            list, json_pack("{s:i, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "nfe", t->o->nfe[k],
                            "method", ode_method_name(t->found[k].best.method), "rms",
                            t->found[k].judged.rms, "rms_default", t->found[k].before.rms, "mean",
                            t->found[k].judged.mean, "mean_default", t->found[k].before.mean,
                            "spread", t->found[k].judged.spread, "spread_default",
                            t->found[k].before.spread, "nodes", nodes));
    }
    json_t *root = json_pack("{s:s, s:s, s:I, s:I, s:f, s:o}", "model", t->o->model, "output",
                             output, "starts", (json_int_t)t->o->starts, "ways_tried",
                             (json_int_t)t->tried, "exact_nfe", t->judge.exact_nfe, "tuned", list);
    int result = cli_json_print(root, e);
    json_decref(root);
    return result;
}

static int run(const struct tune_words *o, struct err *e)
{
    struct tune_search t = {0};
    if (o->json && cli_json_paths(o->search.model, o->output, e) != 0)
        return -1;
    int result = cli_output_prepare_file(o->output, NULL, e); /* which may be the model */
    if (result == 0)
        result = tune_search_run(&o->search, &t, e);
    if (result == 0)
        result = tune_store(&t, o->output, e);
    if (result == 0 && o->json)
        result = print_json(&t, o->output, e);
    else if (result == 0)
        print_table(&t, o->output);
    tune_search_clear(&t);
    return result;
}

static int take_nfe(struct tune_options *o, const char *word, struct err *e)
{
    char copy[256], *rest = copy, *part;
    if (strlen(word) >= sizeof copy)
        return err_fail(e, ERR_INPUT, "--nfe", "the list is too long");
    strcpy(copy, word);
    while ((part = strsep(&rest, ","))) {
        int64_t nfe;
        if (cli_parse_int("--nfe", part, 2, 100, &nfe, e) != 0)
            return -1;
        if (o->nfe_count == CKPT_TUNED_MAX)
            return err_fail(e, ERR_INPUT, "--nfe", "at most %d numbers", CKPT_TUNED_MAX);
        if (o->nfe_count > 0 && nfe <= o->nfe[o->nfe_count - 1])
            return err_fail(e, ERR_INPUT, "--nfe", "numbers must rise, %s does not", part);
        o->nfe[o->nfe_count++] = (int)nfe;
    }
    return 0;
}

static int take_option(void *context, int option, const char *word, struct err *e)
{
    struct tune_words *o = context;
    switch (option) {
    case 'o':
        o->output = word;
        return 0;
    case 'n':
        o->search.nfe_count = 0;
        return take_nfe(&o->search, word, e);
    case 's':
        return cli_parse_int("--starts", word, 2, STARTS_MAX, &o->search.starts, e);
    case 'r':
        return cli_parse_int("--rounds", word, 0, ROUNDS_MAX, &o->search.rounds, e);
    case 'S':
        return cli_parse_u64("--seed", word, &o->search.seed, e);
    case 'k':
        o->search.kernel = word;
        return 0;
    default:
        o->json = true;
        return 0;
    }
}

static int tune_main(int argc, char **argv)
{
    struct tune_words o = {.search = {.starts = STARTS_DEFAULT, .rounds = ROUNDS_DEFAULT}};
    struct err e = {0};
    int code = cli_options_take(&cli_tune_command, NULL, argc, argv, &o);
    if (code >= 0)
        return code;
    if (argc - optind != 1)
        return cli_usage_error("tune", "one MODEL is needed, %d given", argc - optind);
    if (!o.output || o.search.nfe_count == 0)
        return cli_usage_error("tune", "%s is needed", o.output ? "--nfe" : "-o OUT.safetensors");
    if (cli_stream_is_standard(o.output))
        return cli_usage_error("tune",
                               "-o - is no file: a model is not written to standard output");
    o.search.model = argv[optind];
    return run(&o, &e) == 0 ? CLI_EXIT_OK : cli_fail("tune", &e);
}

static const struct cli_option options[] = {
    {"nfe", 0, 'n', "N,N,...", NULL, "numbers of evaluations, 2 to 100"},
    {"starts", 0, 's', "N", NULL, "starts to search with, and as many others to judge by (128)"},
    {"rounds", 0, 'r', "N", NULL, "rounds over all nodes, after twice as many over the curve (4)"},
    {"seed", 0, 'S', "S", NULL, "of the starts (0)"},
    CLI_OPTION_KERNEL('k'),
    CLI_OPTION_JSON('j'),
    {"output", 'o', 0, "OUT", CLI_VALUES_FILES, "the model with what was found"},
    {0}};

const struct cli_command cli_tune_command = {
    .name = "tune",
    .summary = "find the best schedule of few evaluations, and store it in the model",
    .synopsis = "tune MODEL --nfe N[,N...] -o OUT.safetensors [options]",
    .about = "Searches for the solver and the nodes that come nearest to the exact path in N "
             "evaluations, and writes the model with this schedule: --schedule tuned uses it, and "
             "a schedule of 20 evaluations becomes the default, if none is marked as it. Schedules "
             "that MODEL has for other numbers stay. OUT may be MODEL itself; its SHA-256, which "
             "PNGs carry, then changes.",
    .options = options,
    .words = CLI_VALUES_FILES,
    .take = take_option,
    .run = tune_main};
