/* The manual page, made from the tables of the subcommands, so that it cannot lack an option. What
 * no table has stands here: exit status, environment, files, examples. */
#include "cli.h"

#include <ctype.h>
#include <stdio.h>

/* Text as roff takes it: a minus that is one, no line that begins as a request does. */
static void print_text(const char *text)
{
    bool begins = true;
    for (; *text; text++) {
        if (begins && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        begins = *text == '\n';
        if (text[0] == '\n' && text[1] == '\n') {
            fputs("\n.PP", stdout);
        } else if (*text == '-') {
            fputs("\\-", stdout);
        } else if (*text == '\\') {
            fputs("\\e", stdout);
        } else if (text[0] == '\xc3' && text[1] == '\x97') {
            fputs("\\(mu", stdout); /* × */
            text++;
        } else {
            putchar(*text);
        }
    }
    putchar('\n');
}

static void print_tagged(const char *tag, const char *text)
{
    printf(".TP\n.B ");
    print_text(tag);
    print_text(text);
}

/* Each form of the command line on a line of its own; further lines of a form begin with spaces. */
static void print_synopsis(const char *synopsis)
{
    printf(".nf\n");
    for (bool begins = true; *synopsis; synopsis++) {
        if (begins && *synopsis != ' ')
            printf("pfgm ");
        begins = *synopsis == '\n';
        if (*synopsis == '-')
            putchar('\\');
        putchar(*synopsis);
    }
    printf("\n.fi\n.PP\n");
}

static void print_command(const struct cli_command *c)
{
    struct cli_option option;
    char tag[64];
    printf(".SH PFGM ");
    for (const char *letter = c->name; *letter; letter++)
        putchar(toupper((unsigned char)*letter));
    putchar('\n');
    print_synopsis(c->synopsis);
    print_text(c->about);
    for (const struct cli_term *t = c->terms; t && t->word; t++)
        print_tagged(t->word, t->help);
    for (size_t i = 0; cli_command_option(c, i, &option); i++) {
        if (option.id == CLI_OPTION_SOLVER) {
            printf(".PP\n");
            print_text(c->solver.title);
        }
        print_tagged(cli_option_tag(&option, tag), option.help);
    }
    for (size_t i = 0; c->inner && c->inner[i]; i++)
        print_command(c->inner[i]);
}

void cli_man_print(const struct cli_command *const *list)
{
    fputs(".\\\" sample, train and measure Poisson flow generative models\n"
          ".TH PFGM 1 \"\" \"pfgmd\" \"\"\n"
          ".SH NAME\n"
          "pfgm \\- sample, train and measure Poisson flow generative models\n"
          ".SH SYNOPSIS\n"
          ".nf\npfgm SUBCOMMAND ...\npfgm help [SUBCOMMAND]\npfgm \\-\\-version\n.fi\n"
          ".SH DESCRIPTION\n"
          "Samples Poisson flow generative models. The subcommands:\n",
          stdout);
    for (size_t i = 0; list[i]; i++)
        print_tagged(list[i]->name, list[i]->summary);
    for (size_t i = 0; list[i]; i++)
        print_command(list[i]);
    fputs(
        ".SH EXIT STATUS\n"
        ".TP\n.B 0\nIt is done.\n"
        ".TP\n.B 1\nIt was tried and failed: the disk is full, there is not enough memory, a "
        "number is not finite, a job failed or was cancelled, a server does not answer.\n"
        ".TP\n.B 2\nThe input is wrong: an option, or a file that does not exist or is not what it "
        "should be.\n"
        ".SH ENVIRONMENT\n"
        ".TP\n.B PFGM_KERNEL\nThe kernel that \\-\\-kernel auto takes: c, openblas, lanes8, avx2, "
        "neon, avx512 or amx.\n"
        ".TP\n.B PFGM_URL\nThe server that pfgm jobs asks, if \\-\\-server does not name one.\n"
        ".TP\n.B PFGM_KEY\nThe key that the server wants of pfgm jobs, if \\-\\-key\\-file does "
        "not "
        "name its file.\n"
        ".SH FILES\n"
        ".TP\n.B MODEL\nA safetensors file with a description, as pfgm train and pfgm convert "
        "write "
        "it.\n"
        ".TP\n.B RUN/\nThe folder of a run of pfgm train or pfgm distill: model.safetensors, "
        "config.json, log.csv, "
        "loss.png, samples/ and the state from which it is continued.\n"
        ".TP\n.B DIR/shard\\-I\\-of\\-N.manifest\nWhat pfgm sample \\-\\-shard has written into "
        "DIR: all that the images depend on, and their SHA\\-256. pfgm merge reads it. "
        ".shard\\-I\\-of\\-N.part is that of a shard that is being made.\n"
        ".TP\n.B .NAME.PID.N.tmp\nA file that is being written, where the file system has no files "
        "without names (NFS): it takes the name NAME when it is whole.\n"
        ".SH EXAMPLES\n"
        ".nf\n"
        "pfgm train \\-\\-data pictures/ \\-o run/\n"
        "pfgm sample run/model.safetensors \\-n 16 \\-\\-seed 7 \\-o sheet.png\n"
        "pfgm sample run/model.safetensors \\-\\-class each \\-n 100 \\-o classes.png\n"
        "pfgm sample run/model.safetensors \\-o \\- | display\n"
        "pfgm sample run/model.safetensors \\-n 50000 \\-\\-seed 7 "
        "\\-\\-shard $SLURM_ARRAY_TASK_ID/100 \\-\\-resume \\-o shards/\n"
        "pfgm merge shards/ \\-o samples.npz\n"
        "id=$(pfgm jobs submit \\-n 50000 \\-\\-seed 7 \\-\\-server https://images.example)\n"
        "pfgm jobs watch $id \\-\\-server https://images.example\n"
        "pfgm jobs fetch $id \\-o samples/ \\-\\-server https://images.example\n"
        "pfgm encode run/model.safetensors \\-i a.png \\-o \\- | "
        "pfgm decode run/model.safetensors \\-\\-latents \\- \\-o b.png\n"
        "pfgm tune run/model.safetensors \\-\\-nfe 10,20 \\-o tuned.safetensors\n"
        "pfgm distill run/model.safetensors \\-\\-data pictures/ \\-\\-steps 2 \\-o student/\n"
        "pfgm eval tuned.safetensors \\-\\-data held\\-out/\n"
        "pfgm convert training\\-state\\-193177.pt \\-o ffhq.safetensors\n"
        ".fi\n"
        ".SH SEE ALSO\n"
        ".BR pfgmd (8)\n",
        stdout);
}
