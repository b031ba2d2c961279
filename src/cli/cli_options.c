/* Failing, reading numbers and opening models, for every subcommand alike. */
#include "cli.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

int cli_take_options(const struct cli_options *options, int argc, char **argv, void *context)
{
    struct err e = {0};
    int c;

    optind = 0; /* the library's word for: begin anew */
    opterr = 0;
    while ((c = getopt_long(argc, argv, options->short_options, options->long_options, NULL)) !=
           -1) {
        if (c == 'h') {
            fputs(options->help, stdout);
            return CLI_EXIT_OK;
        }
        if (c == '?' || c == ':')
            return cli_option_error(options->subcommand, c, argv);
        if (options->take(context, c, optarg, &e) != 0)
            return cli_fail(options->subcommand, &e);
    }
    return -1;
}

/* The digits of the whole word as a number up to UINT64_MAX. */
static bool parse_digits(const char *word, uint64_t *out)
{
    uint64_t value = 0;

    if (*word == '\0')
        return false;
    for (; *word; word++) {
        if (*word < '0' || *word > '9' || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*word - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

int cli_parse_int(const char *option, const char *word, int64_t min, int64_t max, int64_t *out,
                  struct err *e)
{
    bool negative = word[0] == '-' && min < 0;
    uint64_t size;

    if (!parse_digits(word + negative, &size) || size > INT64_MAX ||
        (negative ? -(int64_t)size : (int64_t)size) < min ||
        (negative ? -(int64_t)size : (int64_t)size) > max)
        return err_fail(e, ERR_INPUT, option,
                        "\"%s\" is not a whole number from %" PRId64 " to %" PRId64, word, min,
                        max);
    *out = negative ? -(int64_t)size : (int64_t)size;
    return 0;
}

int cli_parse_u64(const char *option, const char *word, uint64_t *out, struct err *e)
{
    if (!parse_digits(word, out))
        return err_fail(e, ERR_INPUT, option, "\"%s\" is not a whole number from 0 to %" PRIu64,
                        word, UINT64_MAX);
    return 0;
}

int cli_parse_real(const char *option, const char *word, double *out, struct err *e)
{
    char *end = NULL;
    double value = 0;
    bool digits_first = (word[0] >= '0' && word[0] <= '9') || word[0] == '.';

    /* The set of characters keeps out "0x1p3", "inf", "nan" and leading space. */
    if (digits_first && strspn(word, "0123456789.eE+-") == strlen(word))
        value = strtod(word, &end);
    if (!end || *end != '\0' || !isfinite(value))
        return err_fail(e, ERR_INPUT, option, "\"%s\" is not a positive number such as 1e-4", word);
    *out = value;
    return 0;
}

json_t *cli_json_u64(uint64_t value)
{
    char digits[24];

    if (value <= INT64_MAX)
        return json_integer((json_int_t)value);
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    return json_string(digits);
}

int cli_model_options(const char *kernel, const char *precision, struct model_options *out,
                      struct err *e)
{
    struct err own = {0};
    *out = (struct model_options){.kernel = NN_KERNEL_AUTO, .precision = NN_PRECISION_AUTO};

    if (kernel && nn_kernel_parse(kernel, &out->kernel, e) < 0)
        return -1;
    if (!nn_kernel_available(out->kernel))
        return err_fail(e, ERR_UNSUPPORTED, "--kernel",
                        "kernel %s is not available on this machine; auto takes the best that is",
                        kernel);
    if (precision && nn_precision_parse(precision, &out->precision, &own) < 0)
        return err_fail(e, own.code, "--precision", "%s", own.text);
    return 0;
}

struct model *cli_model_load(const char *path, const char *kernel, const char *precision,
                             struct err *e)
{
    struct model_options options;

    return cli_model_options(kernel, precision, &options, e) < 0 ? NULL
                                                                 : model_load(path, &options, e);
}

static int take_churn(struct model_choice *c, const char *option, const char *word, struct err *e)
{
    const struct {
        const char *option;
        bool *given;
        double *value;
    } members[] = {{"--churn", &c->churn_given, &c->churn.amount},
                   {"--churn-t-min", &c->churn_t_min_given, &c->churn.t_min},
                   {"--churn-t-max", &c->churn_t_max_given, &c->churn.t_max},
                   {"--churn-noise", &c->churn_noise_given, &c->churn.noise}};

    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (strcmp(option, members[i].option) == 0) {
            *members[i].given = true;
            return cli_parse_real(option, word, members[i].value, e);
        }
    return err_fail(e, ERR_INTERNAL, option, "is no option of churn");
}

int cli_take_solver(struct model_choice *c, const char *option, const char *word, struct err *e)
{
    if (strcmp(option, "--solver") == 0) {
        c->method_given = true;
        return ode_method_parse(word, &c->method) == 0
                   ? 0
                   : err_fail(e, ERR_INPUT, option, "\"%s\" is not a method: use " ODE_METHOD_WORDS,
                              word);
    }
    if (strcmp(option, "--schedule") == 0) {
        c->schedule_given = true;
        return ode_schedule_parse(word, &c->schedule) == 0
                   ? 0
                   : err_fail(e, ERR_INPUT, option,
                              "\"%s\" is not a schedule: use " ODE_SCHEDULE_WORDS, word);
    }
    if (strcmp(option, "--steps") == 0) {
        int64_t steps = 0;
        int result = cli_parse_int(option, word, 1, ODE_STEPS_MAX, &steps, e);
        c->steps_given = true;
        c->steps = (int)steps;
        return result;
    }
    if (strcmp(option, "--max-nfe") == 0) {
        c->max_nfe_given = true;
        return cli_parse_int(option, word, 1, ODE_NFE_MAX, &c->max_nfe, e);
    }
    if (strncmp(option, "--churn", 7) == 0)
        return take_churn(c, option, word, e);
    bool rtol = strcmp(option, "--rtol") == 0;
    c->rtol_given = c->rtol_given || rtol;
    c->atol_given = c->atol_given || !rtol;
    return cli_parse_real(option, word, rtol ? &c->rtol : &c->atol, e);
}

int cli_solver_choose(const struct model *m, const struct model_choice *choice,
                      struct model_solver *out, struct err *e)
{
    struct err own = {0};
    char option[sizeof own.at + 2];

    if (model_solver_choose(m, choice, out, &own) == 0)
        return 0;
    snprintf(option, sizeof option, "--%s", own.at);
    for (char *c = option; *c; c++)
        *c = *c == '_' ? '-' : *c;
    return err_fail(e, own.code, option, "%s", own.text);
}
