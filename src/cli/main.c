/* The command line tool: finds the subcommand and ends with its exit code.
 *
 * 0: done. 1: it was tried and failed. 2: the input, a file or an option, is wrong.
 *
 * SIGPIPE is ignored: a reader that goes away (`pfgm inspect … | head`) must not kill a run that is
 * about to write a file; the failed write shows when standard output is flushed at the end. The
 * locale is never set, so numbers are read and written alike everywhere. */
#include "cli.h"

#include "base_file.h"
#include "base_text.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct cli_command *const commands[] = {
    &cli_sample_command,     &cli_merge_command,       &cli_encode_command,
    &cli_decode_command,     &cli_interpolate_command, &cli_edit_command,
    &cli_likelihood_command, &cli_field_command,       &cli_convert_command,
    &cli_inspect_command,    &cli_train_command,       &cli_distill_command,
    &cli_eval_command,       &cli_tune_command,        &cli_plot_command,
    &cli_bench_command,      &cli_jobs_command,        NULL};
enum { COMMANDS_MAX = 32 };

static void print_usage(FILE *to)
{
    fputs("usage: pfgm SUBCOMMAND ...\n"
          "\n"
          "Samples Poisson flow generative models.\n"
          "\n",
          to);
    for (size_t i = 0; commands[i]; i++)
        fprintf(to, "  %-11s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n"
          "  -h, --help     print this text; pfgm help SUBCOMMAND prints a subcommand's options\n"
          "  -V, --version  print the version\n",
          to);
}

/* Inputs are mapped (base_file.h), and somebody who shortens one meanwhile ends who reads it.
 * Nothing can be tidied up here; a file that was being written goes with the process, or is left
 * under its temporary name (base_file.h). */
static void on_shortened(int number)
{
    static const char text[] = "pfgm: a file was shortened while it was read; try again\n";
    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(CLI_EXIT_FAILED);
    _exit(CLI_EXIT_FAILED);
}

/* A failed write to standard output turns success into failure; silently when the reader is gone,
 * or when what failed was reported. */
static int finish(int code)
{
    const int why = file_flush_standard();
    if (why == 0)
        return code;
    if (why != EPIPE && code == CLI_EXIT_OK)
        fprintf(stderr, "pfgm: cannot write to standard output: %s\n", strerror(why));
    return code == CLI_EXIT_OK ? CLI_EXIT_FAILED : code;
}

static int no_subcommand(const char *word)
{
    const char *names[COMMANDS_MAX] = {"help", "--help", "--version"}, *nearest;
    char shown[256];
    size_t count = 3;
    for (size_t i = 0; commands[i]; i++)
        names[count++] = commands[i]->name;
    nearest = cli_nearest(word, names, count);
    text_escape(shown, sizeof shown, word, true);
    fprintf(stderr, "pfgm: no subcommand \"%s\"%s%s%s (try pfgm --help)\n", shown,
            nearest ? ": did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    return CLI_EXIT_INPUT;
}

/* `pfgm help [WORD...]`. With --man or --completions SHELL it writes what the build installs. */
static int help_of(int count, char **words)
{
    int used;
    if (count == 0 || strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0) {
        print_usage(stdout);
        return CLI_EXIT_OK;
    }
    if (strcmp(words[0], "--man") == 0) {
        cli_man_print(commands);
        return CLI_EXIT_OK;
    }
    if (strcmp(words[0], "--completions") == 0 && count > 1)
        return cli_completions_print(commands, words[1]) == 0 ? CLI_EXIT_OK : CLI_EXIT_INPUT;
    const struct cli_command *command = cli_command_find(commands, count, words, &used);
    if (!command || used < count)
        return no_subcommand(words[used]);
    cli_command_help(command);
    return CLI_EXIT_OK;
}

static int run(int argc, char **argv)
{
    int used;
    const struct cli_command *command = cli_command_find(commands, argc - 1, argv + 1, &used);
    if (command)
        return command->run(argc - used, argv + used);
    if (strcmp(argv[1], "help") == 0)
        return help_of(argc - 2, argv + 2);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help_of(0, NULL);
    if (strcmp(argv[1], "--version") != 0 && strcmp(argv[1], "-V") != 0)
        return no_subcommand(argv[1]);
    puts("pfgm " PFGM_VERSION);
    return CLI_EXIT_OK;
}

int main(int argc, char **argv)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, shortened = {.sa_handler = on_shortened};
    if (file_hold_standard() != 0)
        return CLI_EXIT_FAILED;
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGBUS, &shortened, NULL);
    if (argc > 1)
        return finish(run(argc, argv));
    print_usage(stderr);
    return CLI_EXIT_INPUT;
}
