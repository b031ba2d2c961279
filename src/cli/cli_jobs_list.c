/* `pfgm jobs list` and `pfgm jobs cancel`. */
#include "cli_jobs_common.h"
#include "cli_json.h"

#include <inttypes.h>
#include <string.h>

#define LIST_USUAL 20
#define LIST_MAX 1000000
#define PAGE 100

enum { OPTION_STATE = 256, OPTION_JSON, OPTION_FORGET };

struct list {
    struct cli_jobs jobs;
    const char *state;
    int64_t max;
    bool json, forget;
};

static int take_option(void *context, int c, const char *word, struct err *e)
{
    struct list *l = context;
    switch (c) {
    case OPTION_STATE:
        l->state = word;
        if (word[0] == '\0' || strspn(word, "abcdefghijklmnopqrstuvwxyz") != strlen(word))
            return err_fail(e, ERR_INPUT, "--state", "\"%s\" is no state of a job", word);
        return 0;
    case 'n':
        return cli_parse_int("-n", word, 1, LIST_MAX, &l->max, e);
    case OPTION_FORGET:
        l->forget = true;
        return 0;
    case OPTION_JSON:
        l->json = true;
        return 0;
    default:
        return cli_jobs_take(&l->jobs, c, word, e);
    }
}

/* ---- list ---- */

static int print_job(const struct list *l, const json_t *job, struct err *e)
{
    char id[CLI_JOBS_TEXT], state[CLI_JOBS_TEXT], label[CLI_JOBS_TEXT], model[CLI_JOBS_TEXT],
        when[CLI_JOBS_TEXT], count[48];
    if (l->json) {
        struct buf text;
        buf_init(&text, 1u << 20);
        const int result = json_append(&text, job, 0, e);
        if (result == 0)
            printf("%s\n", (const char *)text.data);
        buf_clear(&text);
        return result;
    }
    snprintf(count, sizeof count, "%" PRIu64 "/%" PRIu64, cli_jobs_count(job, "images_done"),
             cli_jobs_count(job, "images_total"));
    cli_jobs_text(job, "label", label);
    printf("%-36s  %-10s  %15s  %-20.19s  %s%s%s\n", cli_jobs_text(job, "id", id),
           cli_jobs_text(job, "state", state), count, cli_jobs_text(job, "submitted_at", when),
           cli_jobs_text(json_object_get(job, "model"), "name", model), label[0] ? "  " : "",
           label);
    return 0;
}

/* A page; what the next begins with is put into `next`, which is empty behind the last. */
static int list_page(const struct list *l, struct remote *r, int64_t *left, char next[64],
                     struct err *e)
{
    struct buf path;
    json_t *page = NULL;
    buf_init(&path, 4096);
    if (buf_format(&path, e, "/v1/jobs?limit=%" PRId64 "%s%s%s%s", *left < PAGE ? *left : PAGE,
                   next[0] ? "&after=" : "", next, l->state ? "&state=" : "",
                   l->state ? l->state : "") == 0)
        page = remote_json(r, "GET", (const char *)path.data, NULL, e);
    buf_clear(&path);
    if (!page)
        return -1;
    const json_t *jobs = json_object_get(page, "jobs");
    const char *after = json_string_value(json_object_get(page, "next"));
    int result = 0;
    for (size_t i = 0; result == 0 && *left > 0 && i < json_array_size(jobs); i++, --*left)
        result = print_job(l, json_array_get(jobs, i), e);
    const bool more = after && json_array_size(jobs) > 0 && strlen(after) < 24 &&
                      strspn(after, "0123456789") == strlen(after);
    snprintf(next, 64, "%s", more ? after : "");
    json_decref(page);
    return result;
}

static int list_main(int argc, char **argv)
{
    struct list l = {.jobs = {.to = {.patience_s = CLI_JOBS_PATIENCE_S}}, .max = LIST_USUAL};
    struct err e = {0};
    char next[64] = "";
    int code = cli_options_take(&cli_jobs_list_command, NULL, argc, argv, &l);
    if (code >= 0)
        return code;
    if (argc != optind)
        return cli_usage_error("jobs list", "\"%s\" is no option", argv[optind]);
    struct remote *r = cli_jobs_open(&l.jobs, &e);
    int result = r ? 0 : -1;
    int64_t left = l.max;
    do {
        if (result == 0)
            result = list_page(&l, r, &left, next, &e);
    } while (result == 0 && left > 0 && next[0]);
    remote_close(r);
    return result == 0 ? CLI_EXIT_OK : cli_fail("jobs list", &e);
}

static const struct cli_option list_options[] = {
    {"state", 0, OPTION_STATE, "STATE", "queued running cancelling succeeded failed cancelled",
     "only those in this state"},
    {NULL, 'n', 0, "N", NULL, "at most N jobs (20)"},
    CLI_JOBS_OPTIONS,
    {"json", 0, OPTION_JSON, NULL, NULL, "each job as a line of JSON"},
    {0}};

const struct cli_command cli_jobs_list_command = {
    .name = "jobs list",
    .summary = "list the jobs of one's key, the newest first",
    .synopsis = "jobs list [options]",
    .about = "Lists the jobs that were filed with the same key, the newest first: ID, state, "
             "images that are done, when it was filed, model and label.",
    .options = list_options,
    .take = take_option,
    .run = list_main};

/* ---- cancel ---- */

/* The server has nothing more to say of it. */
static int show_forgotten(const struct list *l, struct err *e)
{
    if (!l->json) {
        printf("job %s is forgotten\n", l->jobs.id);
        return 0;
    }
    json_t *answer = json_pack("{s:s, s:b}", "id", l->jobs.id, "forgotten", 1);
    const int result = cli_json_print(answer, e);
    json_decref(answer);
    return result;
}

static int show(const struct list *l, const json_t *job, struct err *e)
{
    if (l->json)
        return cli_json_print(job, e);
    cli_jobs_print(job);
    return 0;
}

/* DELETE also forgets a job that has ended, with its images. So the job is looked at first, and the
 * server obeys only while it is as it was seen then, however often it is asked. */
static int end_seen(struct list *l, struct remote *r, const json_t *job, const char *path,
                    char *tag, bool *changed, struct err *e)
{
    char state[CLI_JOBS_TEXT];
    const bool ended = cli_jobs_ended(job);
    if (l->forget && !ended)
        return err_fail(e, ERR_INPUT, "--forget",
                        "the job is %s; cancel it first, and watch it until it has ended",
                        cli_jobs_text(job, "state", state));
    if (ended != l->forget)
        return show(l, job, e);
    json_t *after = remote_tagged(r, "DELETE", path, tag, changed, e);
    if (!after)
        return -1;
    const int result = ended ? show_forgotten(l, e) : show(l, after, e);
    json_decref(after);
    return result;
}

static int cancel(struct list *l, struct remote *r, struct err *e)
{
    struct buf path;
    char tag[REMOTE_TAG_SIZE] = "";
    bool changed = true;
    int result;
    buf_init(&path, 4096);
    result = cli_jobs_path(&l->jobs, "", &path, e);
    while (result == 0 && changed) {
        struct err why = {0};
        const char *at = (const char *)path.data;
        json_t *job = remote_tagged(r, "GET", at, tag, &changed, &why);
        result = job ? end_seen(l, r, job, at, tag, &changed, &why) : -1;
        if (result != 0 && !changed)
            err_pass(e, &why);
        result = changed ? 0 : result;
        json_decref(job);
    }
    buf_clear(&path);
    return result;
}

static int cancel_main(int argc, char **argv)
{
    struct list l = {0};
    struct err e = {0};
    int code = cli_jobs_parse(&cli_jobs_cancel_command, argc, argv, &l.jobs, &l);
    if (code >= 0)
        return code;
    struct remote *r = cli_jobs_open(&l.jobs, &e);
    const int result = r ? cancel(&l, r, &e) : -1;
    remote_close(r);
    return result == 0 ? CLI_EXIT_OK : cli_fail("jobs cancel", &e);
}

static const struct cli_option cancel_options[] = {
    {"forget", 0, OPTION_FORGET, NULL, NULL, "delete one that has ended, with its images"},
    CLI_JOBS_OPTIONS,
    CLI_OPTION_JSON(OPTION_JSON),
    {0}};

const struct cli_command cli_jobs_cancel_command = {
    .name = "jobs cancel",
    .summary = "cancel a job, or delete one that has ended",
    .synopsis = "jobs cancel ID [options]",
    .about = "Cancels a job; the images that it has are kept. One that has ended stays as it is, "
             "and with --forget it is deleted.",
    .options = cancel_options,
    .take = take_option,
    .run = cancel_main};
