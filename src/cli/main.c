/* The command line tool: finds the subcommand and answers with its exit code.
 *
 * 0: done. 1: it was tried and failed. 2: the input, a file or an option, is wrong.
 *
 * SIGPIPE is ignored: a reader that goes away (`pfgm inspect … | head`) must not kill a run that is
 * about to write a file; the failed write shows when standard output is flushed at the end. The
 * locale is never set, so numbers are read and written alike everywhere. */
#include "cli.h"

#include "base_file.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} subcommands[] = {
    {"sample", cli_sample, "draw images from a model into PNG, NPY, NPZ or safetensors files"},
    {"encode", cli_encode, "turn images into latents, from which decode makes them again"},
    {"decode", cli_decode, "turn latents into images"},
    {"interpolate", cli_interpolate, "draw images along the way between two"},
    {"likelihood", cli_likelihood, "tell how probable a model finds images"},
    {"field", cli_field, "evaluate a model's network at given points"},
    {"convert", cli_convert, "make a model from a checkpoint of the reference code, or of data"},
    {"inspect", cli_inspect, "show what a model or a checkpoint holds"},
    {"train", cli_train, "learn a model from pictures or vectors"},
    {"eval", cli_eval, "measure a model on pictures that it has not seen"},
    {"tune", cli_tune, "find the best way in few evaluations, and store it in the model"},
    {"plot", cli_plot, "draw the method's figures, from computed fields and from models"},
    {"bench", cli_bench, "time networks and operations on this machine"},
};
#define SUBCOMMAND_COUNT (sizeof subcommands / sizeof *subcommands)

static void print_usage(FILE *to)
{
    fputs("usage: pfgm SUBCOMMAND ...\n"
          "\n"
          "Samples Poisson flow generative models.\n"
          "\n",
          to);
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        fprintf(to, "  %-11s %s\n", subcommands[i].name, subcommands[i].summary);
    fputs("\n"
          "  --help     this text; pfgm SUBCOMMAND --help prints a subcommand's options\n"
          "  --version  the version\n",
          to);
}

/* Inputs are mapped (base_file.h), and somebody who shortens one meanwhile ends who reads it.
 * Nothing can be tidied up here; a file that was being written is left under its temporary name. */
static void on_shortened(int number)
{
    static const char text[] = "pfgm: a file was shortened while it was read; try again\n";
    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(CLI_EXIT_FAILED);
    _exit(CLI_EXIT_FAILED);
}

/* A failed write to standard output turns success into failure; silently when the reader is gone.
 */
static int finish(int code)
{
    const int why = file_flush_standard();
    if (why == 0)
        return code;
    if (why != EPIPE)
        fprintf(stderr, "pfgm: cannot write to standard output: %s\n", strerror(why));
    return code == CLI_EXIT_OK ? CLI_EXIT_FAILED : code;
}

static int find(const char *word)
{
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        if (strcmp(word, subcommands[i].name) == 0)
            return (int)i;
    return -1;
}

static int no_subcommand(const char *word)
{
    fprintf(stderr, "pfgm: no subcommand \"%s\" (try pfgm --help)\n", word);
    return CLI_EXIT_INPUT;
}

/* `pfgm help WORD` */
static int help_of(char *word)
{
    static char option[] = "--help";
    char *words[] = {word, option, NULL};
    const int found = find(word);
    return found >= 0 ? subcommands[found].run(2, words) : no_subcommand(word);
}

int main(int argc, char **argv)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, shortened = {.sa_handler = on_shortened};
    const char *word = argc > 1 ? argv[1] : NULL;
    if (file_hold_standard() != 0)
        return CLI_EXIT_FAILED;
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGBUS, &shortened, NULL);
    if (!word) {
        print_usage(stderr);
        return CLI_EXIT_INPUT;
    }
    const int found = find(word);
    if (found >= 0)
        return finish(subcommands[found].run(argc - 1, argv + 1));
    if (strcmp(word, "help") == 0 && argc > 2)
        return finish(help_of(argv[2]));
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_usage(stdout);
        return finish(CLI_EXIT_OK);
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        puts("pfgm " PFGM_VERSION);
        return finish(CLI_EXIT_OK);
    }
    return no_subcommand(word);
}
