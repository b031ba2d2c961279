/* Failing, reading numbers and opening models, for every subcommand alike. */
#include "cli_options.h"

#include "base_text.h"

#include <inttypes.h>
#include <string.h>

enum { OPTIONS_MAX = 64 };

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

/* The option for a field that is none of the solver's; NULL: there is none. */
static const char *option_of(const char *field)
{
    static const char *const words[][2] = {
        {"n", "-n"},
        {"first_index", "--first-index"},
        {"seed", "--seed"},
        {"class", "--class"},
        {"temperature", "--temperature"},
        {"latents", "--latents"},
        {"format", "--output"},
        {"grid", "--columns and --scale"},
        {"points", "--input"},
        {"image", "--image"},
        {"mask", "--mask"},
        {"strength", "--strength"},
        {"probes", "--probes"},
        {"epsilon", "--epsilon"},
        {"constant", "--constant"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i][0], field) == 0)
            return words[i][1];
    return NULL;
}

int cli_fail_field(const struct err *why, const char *steps, struct err *e)
{
    const struct model_choice_field *field = model_choice_find(why->at);
    if (!field && option_of(why->at))
        return err_rename(e, why, option_of(why->at));
    const bool renamed = steps && strcmp(why->at, "steps") == 0;
    char option[sizeof why->at + 2];
    snprintf(option, sizeof option, "%s%s", field ? "--" : "",
             renamed ? steps
             : field ? field->option
                     : why->at);
    return err_rename(e, why, option);
}

/* ---- misspelt options ---- */

static int unknown_option(const struct cli_command *command, const char *word)
{
    const char *names[OPTIONS_MAX], *nearest;
    const size_t length = strcspn(word + 2, "=");
    char asked[48], among[256] = "";
    struct cli_option option;
    size_t count = 0, beginning = 0;
    snprintf(asked, sizeof asked, "%.*s", (int)length, word + 2);
    for (size_t i = 0; cli_command_option(command, i, &option); i++) {
        if (!option.name)
            continue;
        if (strcmp(option.name, asked) == 0) /* or it would not be here */
            return cli_usage_error(command->name, "option --%s takes no value", asked);
        if (length > 0 && strncmp(option.name, asked, length) == 0)
            snprintf(among + strlen(among), sizeof among - strlen(among), "%s--%s",
                     beginning++ ? ", " : "", option.name);
        names[count++] = option.name;
    }
    if (beginning > 1)
        return cli_usage_error(command->name, "option --%s may be %s", asked, among);
    nearest = cli_nearest(asked, names, count);
    return nearest ? cli_usage_error(command->name, "unknown option --%s: did you mean --%s?",
                                     asked, nearest)
                   : cli_usage_error(command->name, "unknown option --%s", asked);
}

/* Whether `word` gives the long option with the number `id` a value that it does not take. */
static bool has_value_too_many(const struct cli_command *command, int id, const char *word)
{
    struct cli_option o;
    if (!strchr(word, '='))
        return false;
    for (size_t i = 0; cli_command_option(command, i, &o); i++)
        if (o.name && !o.argument && (o.id ? o.id : o.letter) == id)
            return true;
    return false;
}

/* The usage error for what getopt_long returned as '?' or ':'; the exit code.
 *
 * The word that it read last is not always the one that is wrong: within a group of letters it is
 * still the word before. What tells them apart is optopt: 0 for a long option that there is not,
 * else a letter, or the number of a long option whose value is missing or too many. */
static int option_error(const struct cli_command *command, int answer, char **argv)
{
    const char *word = optind > 0 ? argv[optind - 1] : "";
    const bool is_long = strncmp(word, "--", 2) == 0;
    if (answer == ':')
        return is_long ? cli_usage_error(command->name, "option %s needs a value", word)
                       : cli_usage_error(command->name, "option -%c needs a value", optopt);
    if (is_long && (optopt == 0 || has_value_too_many(command, optopt, word)))
        return unknown_option(command, word);
    return cli_usage_error(command->name, "unknown option -%c", optopt);
}

/* ---- reading ---- */

/* The tables that getopt_long wants. */
struct getopt_tables {
    struct option options[OPTIONS_MAX + 1];
    char letters[2 * OPTIONS_MAX + 2];
};

static void lay_tables(const struct cli_command *command, struct getopt_tables *out)
{
    struct cli_option o;
    size_t n = 0, at = 0;
    out->letters[at++] = ':'; /* the library's word for: a missing value is reported as one */
    for (size_t i = 0; i < OPTIONS_MAX && cli_command_option(command, i, &o); i++) {
        if (o.name)
            out->options[n++] = (struct option){
                o.name, o.argument ? required_argument : no_argument, NULL, o.id ? o.id : o.letter};
        if (o.letter)
            out->letters[at++] = o.letter;
        if (o.letter && o.argument)
            out->letters[at++] = ':';
    }
    out->options[n] = (struct option){0};
    out->letters[at] = '\0';
}

/* What `take` gets for what getopt_long returned: a letter may stand for an option with an id. */
static int id_of(const struct cli_command *command, int answer)
{
    struct cli_option o;
    for (size_t i = 0; answer < 256 && cli_command_option(command, i, &o); i++)
        if (o.letter == answer)
            return o.id ? o.id : answer;
    return answer;
}

static int take(const struct cli_command *command, struct model_choice *choice, int id,
                void *context, struct err *e)
{
    struct err why = {0};
    if (id < CLI_OPTION_SOLVER)
        return command->take(context, id, optarg, e);
    const struct model_choice_field *field = model_choice_field((size_t)(id - CLI_OPTION_SOLVER));
    return model_choice_read_word(choice, field, optarg, &why) == 0
               ? 0
               : cli_fail_field(&why, command->solver.steps, e);
}

int cli_options_take(const struct cli_command *command, struct model_choice *choice, int argc,
                     char **argv, void *context)
{
    struct getopt_tables tables;
    struct err e = {0};
    int answer;
    lay_tables(command, &tables);
    optind = 0; /* the library's word for: begin anew */
    opterr = 0;
    while ((answer = getopt_long(argc, argv, tables.letters, tables.options, NULL)) != -1) {
        if (answer == 'h') {
            cli_command_help(command);
            return CLI_EXIT_OK;
        }
        if (answer == '?' || answer == ':')
            return option_error(command, answer, argv);
        if (take(command, choice, id_of(command, answer), context, &e) != 0)
            return cli_fail(command->name, &e);
    }
    return -1;
}

/* ---- values ---- */

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
    struct err why = {0};
    *out = (struct model_options){.kernel = NN_KERNEL_AUTO, .precision = NN_PRECISION_AUTO};

    if (kernel && nn_kernel_parse(kernel, &out->kernel, &why) != 0)
        return err_rename(e, &why, "--kernel");
    if (nn_kernel_require(out->kernel, &why) != 0)
        return err_rename(e, &why, "--kernel");
    if (precision && nn_precision_parse(precision, &out->precision, &why) != 0)
        return err_rename(e, &why, "--precision");
    return 0;
}

struct model *cli_model_load(const char *path, const char *kernel, const char *precision,
                             struct err *e)
{
    struct model_options options;
    return cli_model_options(kernel, precision, &options, e) != 0 ? NULL
                                                                  : model_load(path, &options, e);
}

int cli_solver_choose_once(const struct model *m, bool once, const char *steps,
                           const struct model_choice *choice, struct model_solver *out,
                           struct err *e)
{
    struct err why = {0};
    int result = once ? model_solver_choose_once(m, choice, out, &why)
                      : model_solver_choose(m, choice, out, &why);
    return result == 0 ? 0 : cli_fail_field(&why, steps, e);
}

int cli_solver_choose(const struct model *m, const struct model_solver *forward, const char *steps,
                      const struct model_choice *choice, struct model_solver *out, struct err *e)
{
    struct err why = {0};
    int result = forward ? model_solver_choose_forward(m, forward, choice, out, &why)
                         : model_solver_choose(m, choice, out, &why);
    return result == 0 ? 0 : cli_fail_field(&why, steps, e);
}
