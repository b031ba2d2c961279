/* The help text, the walk over a subcommand's options, and which name a misspelt word may mean. */
#include "cli_command.h"

#include <stdio.h>
#include <string.h>

enum { COLUMNS = 79, NAME_COLUMNS = 20, WORD_MAX = 48 };

/* The words of a choice, for the completions. */
static const char *values_of(enum model_choice_kind kind)
{
    if (kind == MODEL_CHOICE_IS_METHOD)
        return ODE_METHOD_WORDS;
    return kind == MODEL_CHOICE_IS_SCHEDULE ? ODE_SCHEDULE_WORDS : NULL;
}

static bool solver_option(const struct cli_solver_options *solver, size_t i, struct cli_option *out)
{
    const struct model_choice_field *field;
    for (size_t row = 0; (field = model_choice_field(row)) != NULL; row++) {
        if (!model_choice_offered(field, solver->adaptive) || i-- > 0)
            continue;
        const bool steps = row == MODEL_CHOICE_STEPS && solver->steps;
        const bool method = row == MODEL_CHOICE_METHOD;
        *out = (struct cli_option){.name = steps ? solver->steps : field->option,
                                   .id = CLI_OPTION_SOLVER + (int)row,
                                   .argument = field->value,
                                   .values = method && solver->adaptive ? ode_method_name(ODE_RK45)
                                                                        : values_of(field->kind),
                                   .help = method && solver->method ? solver->method : field->help};
        return true;
    }
    return false;
}

bool cli_command_option(const struct cli_command *c, size_t i, struct cli_option *out)
{
    static const struct cli_option help = {
        .name = "help", .letter = 'h', .help = "print this text"};
    size_t own = 0;
    while (c->options[own].name || c->options[own].letter)
        own++;
    if (i < own)
        *out = c->options[i];
    else if (i == own)
        *out = help;
    else
        return c->solver.title && solver_option(&c->solver, i - own - 1, out);
    return true;
}

/* ---- printing ---- */

/* Columns of the first `length` bytes: of UTF-8, bytes that continue a character take none. */
static int columns_of(const char *text, size_t length)
{
    int columns = 0;
    for (size_t i = 0; i < length; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

void cli_print_wrapped(const char *text, int at, int indent)
{
    bool first = true;
    while (*(text += strspn(text, " \n"))) {
        size_t length = strcspn(text, " \n");
        int columns = columns_of(text, length);
        if (!first && at + 1 + columns > COLUMNS) {
            printf("\n%*s", indent, "");
            at = indent;
        } else if (!first) {
            putchar(' ');
            at++;
        }
        printf("%.*s", (int)length, text);
        at += columns;
        first = false;
        text += length;
    }
    putchar('\n');
}

static void print_paragraphs(const char *text)
{
    for (const char *end; *text; text = end) {
        char part[2048];
        end = strstr(text, "\n\n");
        end = end ? end + 2 : text + strlen(text);
        snprintf(part, sizeof part, "%.*s", (int)(end - text), text);
        putchar('\n');
        cli_print_wrapped(part, 0, 0);
    }
}

/* A name of at most NAME_COLUMNS, and its text beside it; beneath it where the name is longer. */
static void print_row(const char *name, const char *text)
{
    const int taken = 2 + columns_of(name, strlen(name)), column = 2 + NAME_COLUMNS;
    printf("  %s", name);
    if (taken + 1 < column)
        printf("%*s", column - taken, "");
    else
        printf("\n%*s", column, "");
    cli_print_wrapped(text, column, column);
}

const char *cli_option_tag(const struct cli_option *o, char out[64])
{
    const char letter[] = {'-', o->letter, '\0'};
    snprintf(out, 64, "%s%s%s%s%s%s", o->letter ? letter : "", o->letter && o->name ? ", " : "",
             o->name ? "--" : "", o->name ? o->name : "", o->argument ? " " : "",
             o->argument ? o->argument : "");
    return out;
}

static void print_synopsis(const char *synopsis)
{
    const char *before = "usage: pfgm ";
    while (*synopsis) {
        size_t length = strcspn(synopsis, "\n");
        printf("%s%.*s\n", before, (int)length, synopsis);
        synopsis += length + (synopsis[length] == '\n');
        before = *synopsis == ' ' ? "       " : "       pfgm ";
    }
}

void cli_command_help(const struct cli_command *c)
{
    struct cli_option option;
    char tag[64];
    print_synopsis(c->synopsis);
    print_paragraphs(c->about);
    for (const struct cli_term *t = c->terms; t && t->word; t++)
        print_row(t->word, t->help);
    putchar('\n');
    for (size_t i = 0; cli_command_option(c, i, &option); i++) {
        if (option.id == CLI_OPTION_SOLVER)
            printf("\n%s\n", c->solver.title);
        print_row(cli_option_tag(&option, tag), option.help);
    }
    for (size_t i = 0; c->inner && c->inner[i]; i++) {
        printf("%s", i == 0 ? "\npfgm help NAME prints the options of its own subcommands:\n" : "");
        print_row(c->inner[i]->name, c->inner[i]->summary);
    }
}

/* ---- names ---- */

const struct cli_command *cli_command_find(const struct cli_command *const *list, int count,
                                           char **words, int *used)
{
    *used = 0;
    for (size_t i = 0; count > 0 && list && list[i]; i++) {
        const char *space = strrchr(list[i]->name, ' ');
        if (strcmp(words[0], space ? space + 1 : list[i]->name) != 0)
            continue;
        const struct cli_command *inner =
            cli_command_find(list[i]->inner, count - 1, words + 1, used);
        *used += 1;
        return inner ? inner : list[i];
    }
    return NULL;
}

/* How many letters are to be put in, left out, changed or swapped with the next one. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1], n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *beyond = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = row[j] < above[j] + 1 ? row[j] : above[j] + 1;
            row[j] = row[j] < row[j - 1] + 1 ? row[j] : row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                beyond[j - 2] + 1 < row[j])
                row[j] = beyond[j - 2] + 1;
        }
    }
    return rows[n % 3][m];
}

const char *cli_nearest(const char *word, const char *const *names, size_t count)
{
    size_t limit = strlen(word) / 3 + (strlen(word) > 2), least = limit < 3 ? limit + 1 : 4;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, names[i]);
        if (d >= least)
            continue;
        least = d;
        nearest = names[i];
    }
    return nearest;
}
