/* Completions of the three shells, made from the tables of the subcommands: their names, options,
 * and for an option's value its words, or files, or nothing. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

enum { FLAT_MAX = 64 };

/* All subcommands, those of subcommands too. */
static size_t flatten(const struct cli_command *const *list, const struct cli_command **out)
{
    size_t n = 0;
    for (size_t i = 0; list && list[i] && n < FLAT_MAX; i++) {
        out[n++] = list[i];
        for (size_t k = 0; list[i]->inner && list[i]->inner[k] && n < FLAT_MAX; k++)
            out[n++] = list[i]->inner[k];
    }
    return n;
}

static bool is_files(const char *values)
{
    return values && strcmp(values, CLI_VALUES_FILES) == 0;
}

/* The words of a list such as "a, b or c", with a space before each but the first. */
static void print_words(const char *list)
{
    for (bool first = true; *(list += strspn(list, " ,")); first = false) {
        size_t length = strcspn(list, " ,");
        if (length != 2 || strncmp(list, "or", 2) != 0)
            printf("%s%.*s", first ? "" : " ", (int)length, list);
        list += length;
    }
}

/* Within single quotes: up to the first clause's end, for a list has no room for more. */
static void print_short(const char *text, const char *escaped_quote, bool escape_colon)
{
    for (size_t n = 0; *text && *text != ';' && n < 60; text++, n++) {
        if (*text == '\'')
            fputs(escaped_quote, stdout);
        else if (*text == ':' && escape_colon)
            fputs("\\:", stdout);
        else
            putchar(*text == '\n' ? ' ' : *text);
    }
}

static void print_names(const struct cli_command *const *list)
{
    for (size_t i = 0; list[i]; i++)
        printf("%s ", list[i]->name);
    printf("help");
}

/* 'NAME --option'|'NAME -o': what stands before a value. */
static void print_pattern(const struct cli_command *c, const struct cli_option *o)
{
    if (o->name)
        printf("'%s --%s'", c->name, o->name);
    if (o->letter)
        printf("%s'%s -%c'", o->name ? "|" : "", c->name, o->letter);
}

/* The case of a value, in the words that bash and zsh have in common. */
static void print_value_cases(const struct cli_command *c, const char *words, const char *end,
                              const char *files, const char *nothing)
{
    struct cli_option o;
    for (size_t i = 0; cli_command_option(c, i, &o); i++) {
        if (!o.argument)
            continue;
        printf("    ");
        print_pattern(c, &o);
        printf(") ");
        if (is_files(o.values)) {
            printf("%s", files);
        } else if (o.values) {
            printf("%s", words);
            print_words(o.values);
            printf("%s", end);
        } else {
            printf("%s", nothing);
        }
        printf(" ;;\n");
    }
}

/* Names of a command of two words count from the third word on. */
static void print_inner_case(const struct cli_command *const *list)
{
    bool first = true;
    for (size_t i = 0; list[i]; i++)
        for (size_t k = 0; list[i]->inner && list[i]->inner[k]; k++) {
            printf("%s'%s'", first ? "" : "|", list[i]->inner[k]->name);
            first = false;
        }
}

static void print_bash(const struct cli_command *const *list)
{
    const struct cli_command *all[FLAT_MAX];
    const size_t count = flatten(list, all);
    struct cli_option o;
    printf("# Completion of pfgm for bash, written by pfgm help --completions bash.\n"
           "_pfgm()\n{\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} name=${COMP_WORDS[1]} words=\"\" values=\"\"\n"
           "    COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ] || { [ \"$COMP_CWORD\" -eq 2 ] && [ \"$name\" = help "
           "]; }; "
           "then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"");
    print_names(list);
    printf(" --help --version\" -- \"$word\")\n        return\n    fi\n"
           "    case \"$name ${COMP_WORDS[2]}\" in\n    ");
    print_inner_case(list);
    printf(") [ \"$COMP_CWORD\" -gt 2 ] && name=\"$name ${COMP_WORDS[2]}\" ;;\n    esac\n"
           "    case \"$name ${COMP_WORDS[COMP_CWORD-1]}\" in\n");
    for (size_t i = 0; i < count; i++)
        print_value_cases(all[i], "values=\"", "\"", "return",
                          "compopt +o default 2>/dev/null; return");
    printf("    esac\n"
           "    if [ -n \"$values\" ]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$values\" -- \"$word\")\n"
           "        return\n    fi\n"
           "    case $name in\n");
    for (size_t i = 0; i < count; i++) {
        printf("    '%s') words=\"", all[i]->name);
        for (size_t k = 0; cli_command_option(all[i], k, &o); k++)
            if (o.name)
                printf("%s--%s", k ? " " : "", o.name);
        printf("\"");
        if (all[i]->words && !is_files(all[i]->words)) {
            printf(" values=\"");
            print_words(all[i]->words);
            printf("\"");
        }
        printf(" ;;\n");
    }
    printf(
        "    esac\n"
        "    [[ $word == -* ]] && values=$words\n"
        "    [ -z \"$values\" ] || mapfile -t COMPREPLY < <(compgen -W \"$values\" -- \"$word\")\n"
        "}\n"
        "complete -o default -F _pfgm pfgm\n");
}

static void print_zsh(const struct cli_command *const *list)
{
    const struct cli_command *all[FLAT_MAX];
    const size_t count = flatten(list, all);
    struct cli_option o;
    printf("#compdef pfgm\n"
           "# Completion of pfgm for zsh, written by pfgm help --completions zsh.\n"
           "local -a subcommands options\n"
           "local name=$words[2]\n"
           "subcommands=(\n");
    for (size_t i = 0; list[i]; i++) {
        printf("    '%s:", list[i]->name);
        print_short(list[i]->summary, "'\\''", true);
        printf("'\n");
    }
    printf("    'help:print the options of a subcommand'\n)\n"
           "if (( CURRENT == 2 )) || [[ $CURRENT == 3 && $name == help ]]; then\n"
           "    _describe subcommand subcommands\n    return\nfi\n"
           "case \"$words[2] $words[3]\" in\n    ");
    print_inner_case(list);
    printf(") (( CURRENT > 3 )) && name=\"$words[2] $words[3]\" ;;\nesac\n"
           "case \"$name $words[CURRENT-1]\" in\n");
    for (size_t i = 0; i < count; i++)
        print_value_cases(all[i], "compadd -- ", "; return", "_files; return", "return");
    printf("esac\ncase $name in\n");
    for (size_t i = 0; i < count; i++) {
        printf("    '%s') options=(", all[i]->name);
        for (size_t k = 0; cli_command_option(all[i], k, &o); k++) {
            if (!o.name)
                continue;
            printf("\n        '--%s:", o.name);
            print_short(o.help, "'\\''", true);
            printf("'");
        }
        printf(") ;;\n");
    }
    printf("esac\nif [[ $words[CURRENT] == -* ]]; then\n"
           "    _describe -o option options\n    return\nfi\n"
           "case $name in\n");
    for (size_t i = 0; i < count; i++) {
        if (!all[i]->words || is_files(all[i]->words))
            continue;
        printf("    '%s') compadd -- ", all[i]->name);
        print_words(all[i]->words);
        printf(" ;;\n");
    }
    printf("esac\n_files\n");
}

static void print_fish_option(const char *condition, const struct cli_option *o)
{
    printf("complete -c pfgm -n '%s'", condition);
    if (o->name)
        printf(" -l %s", o->name);
    if (o->letter)
        printf(" -s %c", o->letter);
    if (is_files(o->values)) {
        printf(" -r -F");
    } else if (o->argument) {
        printf(" -x");
        if (o->values) {
            printf(" -a '");
            print_words(o->values);
            printf("'");
        }
    }
    printf(" -d '");
    print_short(o->help, "\\'", false);
    printf("'\n");
}

static void print_fish(const struct cli_command *const *list)
{
    const struct cli_command *all[FLAT_MAX];
    const size_t count = flatten(list, all);
    struct cli_option o;
    printf("# Completion of pfgm for fish, written by pfgm help --completions fish.\n"
           "complete -c pfgm -n '__fish_use_subcommand' -f\n"
           "complete -c pfgm -n '__fish_use_subcommand' -l version -s V -d 'print the version'\n");
    for (size_t i = 0; list[i]; i++) {
        printf("complete -c pfgm -n '__fish_use_subcommand' -a %s -d '", list[i]->name);
        print_short(list[i]->summary, "\\'", false);
        printf("'\n");
    }
    printf("complete -c pfgm -n '__fish_use_subcommand' -a help -d 'print the options of a "
           "subcommand'\n"
           "complete -c pfgm -n '__fish_seen_subcommand_from help' -f -a '");
    print_names(list);
    printf("'\n");
    for (size_t i = 0; i < count; i++) {
        const char *inner = strchr(all[i]->name, ' ');
        char condition[160];
        snprintf(condition, sizeof condition, "__fish_seen_subcommand_from %.*s%s%s",
                 inner ? (int)(inner - all[i]->name) : (int)strlen(all[i]->name), all[i]->name,
                 inner ? "; and __fish_seen_subcommand_from" : "", inner ? inner : "");
        for (size_t k = 0; cli_command_option(all[i], k, &o); k++)
            print_fish_option(condition, &o);
        if (!all[i]->words || is_files(all[i]->words))
            continue;
        printf("complete -c pfgm -n '%s' -a '", condition);
        print_words(all[i]->words);
        printf("'\n");
    }
}

int cli_completions_print(const struct cli_command *const *list, const char *shell)
{
    static const struct {
        const char *name;
        void (*print)(const struct cli_command *const *list);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(shell, shells[i].name) == 0) {
            shells[i].print(list);
            return 0;
        }
    }
    cli_usage_error("help", "--completions is bash, zsh or fish, not \"%s\"", shell);
    return -1;
}
