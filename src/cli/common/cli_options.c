/* Failing, reading numbers and opening models, for every subcommand alike. */
#include "cli_options.h"

#include "base_text.h"

#include <inttypes.h>
#include <string.h>

enum { OPTIONS_MAX = 64, OPTION_SOLVER = 4096, HELP_MAX = 16384 };

int cli_fail(const char *subcommand, const struct err *e)
{
    char line[sizeof e->at + sizeof e->text + 2];
    fprintf(stderr, "pfgm %s: %s\n", subcommand, err_line(e, line, sizeof line));
    return err_exit_code(e);
}

int cli_usage_error(const char *subcommand, const char *format, ...)
{
    struct err e = {0};
    char text[sizeof e.text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_fail(&e, ERR_INPUT, "", "%s", text); /* makes it one printable line */
    fprintf(stderr, "pfgm %s: %s (try pfgm %s --help)\n", subcommand, e.text, subcommand);
    return CLI_EXIT_INPUT;
}

int cli_option_error(const char *subcommand, int answer, char **argv)
{
    const char *word = optind > 0 ? argv[optind - 1] : "";
    if (answer == ':')
        return cli_usage_error(subcommand, "option %s needs a value", word);
    if (optopt != 0 && strncmp(word, "--", 2) != 0)
        return cli_usage_error(subcommand, "unknown option -%c", optopt);
    return cli_usage_error(subcommand, "unknown or ambiguous option %s", word);
}

/* The error with the option of the command line in place of the field. */
static int fail_option(const struct err *own, const char *steps, struct err *e)
{
    const struct model_choice_field *field = model_choice_find(own->at);
    const bool renamed = steps && strcmp(own->at, "steps") == 0;
    char option[sizeof own->at + 2];
    snprintf(option, sizeof option, "%s%s", field ? "--" : "",
             renamed ? steps
             : field ? field->option
                     : own->at);
    return err_rename(e, own, option);
}

static const char *option_of(const struct cli_solver_options *solver, size_t row)
{
    return row == MODEL_CHOICE_STEPS && solver->steps ? solver->steps
                                                      : model_choice_field(row)->option;
}

/* The subcommand's own rows, then one for each field of the solver. */
static void lay_options(const struct cli_options *options, const struct cli_solver_options *solver,
                        struct option table[OPTIONS_MAX])
{
    const struct model_choice_field *field;
    size_t n = 0;
    for (; options->long_options[n].name; n++)
        table[n] = options->long_options[n];
    for (size_t i = 0; solver && (field = model_choice_field(i)) != NULL; i++)
        if (model_choice_offered(field, solver->adaptive))
            table[n++] = (struct option){option_of(solver, i), required_argument, NULL,
                                         OPTION_SOLVER + (int)i};
    table[n] = (struct option){0};
}

static int print_help(const struct cli_options *options, const struct cli_solver_options *solver)
{
    struct buf text;
    struct err e = {0};
    fputs(options->help, stdout);
    if (!solver)
        return CLI_EXIT_OK;
    buf_init(&text, HELP_MAX);
    int result =
        model_choice_help(option_of(solver, MODEL_CHOICE_STEPS), solver->adaptive, &text, &e);
    if (result == 0)
        printf("\n%s\n%.*s", solver->title, (int)text.length, (const char *)text.data);
    buf_clear(&text);
    return result == 0 ? CLI_EXIT_OK : cli_fail(options->subcommand, &e);
}

int cli_take_options_solver(const struct cli_options *options,
                            const struct cli_solver_options *solver, struct model_choice *choice,
                            int argc, char **argv, void *context)
{
    struct option table[OPTIONS_MAX];
    struct err e = {0}, own = {0};
    int c;
    lay_options(options, solver, table);
    optind = 0; /* the library's word for: begin anew */
    opterr = 0;
    while ((c = getopt_long(argc, argv, options->short_options, table, NULL)) != -1) {
        if (c == 'h')
            return print_help(options, solver);
        if (c == '?' || c == ':')
            return cli_option_error(options->subcommand, c, argv);
        int result =
            c < OPTION_SOLVER
                ? options->take(context, c, optarg, &e)
                : model_choice_read_word(choice, model_choice_field((size_t)(c - OPTION_SOLVER)),
                                         optarg, &own);
        if (result != 0 && c >= OPTION_SOLVER)
            fail_option(&own, solver->steps, &e);
        if (result != 0)
            return cli_fail(options->subcommand, &e);
    }
    return -1;
}

int cli_take_options(const struct cli_options *options, int argc, char **argv, void *context)
{
    return cli_take_options_solver(options, NULL, NULL, argc, argv, context);
}

int cli_parse_int(const char *option, const char *word, int64_t min, int64_t max, int64_t *out,
                  struct err *e)
{
    int64_t value;
    if (!text_integer(word, &value) || (word[0] == '-' && min >= 0) || value < min || value > max)
        return err_fail(e, ERR_INPUT, option,
                        "\"%s\" is not a whole number from %" PRId64 " to %" PRId64, word, min,
                        max);
    *out = value;
    return 0;
}

int cli_parse_u64(const char *option, const char *word, uint64_t *out, struct err *e)
{
    if (!text_digits(word, out))
        return err_fail(e, ERR_INPUT, option, "\"%s\" is not a whole number from 0 to %" PRIu64,
                        word, UINT64_MAX);
    return 0;
}

int cli_parse_real(const char *option, const char *word, double *out, struct err *e)
{
    if (!text_real(word, out))
        return err_fail(e, ERR_INPUT, option, "\"%s\" is not a positive number such as 1e-4", word);
    return 0;
}

int cli_model_options(const char *kernel, const char *precision, struct model_options *out,
                      struct err *e)
{
    struct err own = {0};
    *out = (struct model_options){.kernel = NN_KERNEL_AUTO, .precision = NN_PRECISION_AUTO};

    if (kernel && nn_kernel_parse(kernel, &out->kernel, e) != 0)
        return -1;
    if (!nn_kernel_available(out->kernel))
        return err_fail(e, ERR_UNSUPPORTED, "--kernel",
                        "kernel %s is not available on this machine; auto takes the best that is",
                        kernel);
    if (precision && nn_precision_parse(precision, &out->precision, &own) != 0)
        return err_rename(e, &own, "--precision");
    return 0;
}

struct model *cli_model_load(const char *path, const char *kernel, const char *precision,
                             struct err *e)
{
    struct model_options options;
    return cli_model_options(kernel, precision, &options, e) != 0 ? NULL
                                                                  : model_load(path, &options, e);
}

int cli_solver_choose(const struct model *m, const struct model_solver *forward, const char *steps,
                      const struct model_choice *choice, struct model_solver *out, struct err *e)
{
    struct err own = {0};
    int result = forward ? model_solver_choose_forward(m, forward, choice, out, &own)
                         : model_solver_choose(m, choice, out, &own);
    return result == 0 ? 0 : fail_option(&own, steps, e);
}
