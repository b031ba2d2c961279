/* What a server says of a job is shown and compared, and never believed to be of a kind that it is
 * not: a member that is absent or of another type counts as absent. */
#include "cli_jobs_common.h"

#include "base_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SERVER "http://127.0.0.1:8080"
#define PATIENCE_MAX_S 31536000

int cli_jobs_take(struct cli_jobs *j, int id, const char *word, struct err *e)
{
    switch (id) {
    case CLI_JOBS_SERVER:
        j->to.server = word;
        return 0;
    case CLI_JOBS_KEY_FILE:
        j->to.key_file = word;
        return 0;
    case CLI_JOBS_CA:
        j->to.ca = word;
        return 0;
    case CLI_JOBS_PATIENCE:
        return cli_parse_int("--patience", word, 0, PATIENCE_MAX_S, &j->to.patience_s, e);
    default:
        return err_fail(e, ERR_INTERNAL, "", "an option without a meaning");
    }
}

struct remote *cli_jobs_open(struct cli_jobs *j, struct err *e)
{
    const char *url = getenv("PFGM_URL");
    if (!j->to.server)
        j->to.server = url && *url ? url : SERVER;
    return remote_open(&j->to, e);
}

bool cli_jobs_is_id(const char *word)
{
    return strlen(word) == 36 && strspn(word, "0123456789abcdefABCDEF-") == 36;
}

int cli_jobs_parse(const struct cli_command *command, int argc, char **argv, struct cli_jobs *j,
                   void *context)
{
    j->to.patience_s = CLI_JOBS_PATIENCE_S;
    const int code = cli_options_take(command, NULL, argc, argv, context);
    if (code >= 0)
        return code;
    if (argc - optind != 1)
        return cli_usage_error(command->name, "the ID of one job is needed, %d words given",
                               argc - optind);
    j->id = argv[optind];
    return cli_jobs_is_id(j->id)
               ? -1
               : cli_usage_error(command->name, "\"%s\" is no ID of a job, which is a UUID", j->id);
}

int cli_jobs_path(const struct cli_jobs *j, const char *more, struct buf *out, struct err *e)
{
    return buf_format(out, e, "/v1/jobs/%s%s", j->id, more);
}

json_t *cli_jobs_get(struct remote *r, const struct cli_jobs *j, struct err *e)
{
    struct buf path;
    json_t *job = NULL;
    buf_init(&path, 4096);
    if (cli_jobs_path(j, "", &path, e) == 0)
        job = remote_json(r, "GET", (const char *)path.data, NULL, e);
    buf_clear(&path);
    return job;
}

const char *cli_jobs_text(const json_t *job, const char *key, char out[CLI_JOBS_TEXT])
{
    const char *text = json_string_value(json_object_get(job, key));
    text_copy(out, CLI_JOBS_TEXT, text ? text : "");
    text_make_printable(out);
    return out;
}

uint64_t cli_jobs_count(const json_t *job, const char *key)
{
    const json_int_t value =
        json_integer_value(json_object_get(json_object_get(job, "progress"), key));
    return value > 0 ? (uint64_t)value : 0;
}

bool cli_jobs_ended(const json_t *job)
{
    static const char *const words[] = {"succeeded", "failed", "cancelled"};
    const char *state = json_string_value(json_object_get(job, "state"));
    bool ended = false;
    for (size_t i = 0; state && i < sizeof words / sizeof *words; i++)
        ended |= strcmp(words[i], state) == 0;
    return ended;
}

int cli_jobs_succeeded(const json_t *job, struct err *e)
{
    char state[CLI_JOBS_TEXT], id[CLI_JOBS_TEXT], detail[CLI_JOBS_TEXT], at[CLI_JOBS_TEXT];
    const json_t *error = json_object_get(job, "error");
    if (strcmp(cli_jobs_text(job, "state", state), "succeeded") == 0)
        return 0;
    cli_jobs_text(error, "detail", detail);
    cli_jobs_text(error, "pointer", at);
    return err_fail(e, ERR_IO, "", "job %s %s with %" PRIu64 " of %" PRIu64 " images%s%s%s%s",
                    cli_jobs_text(job, "id", id), state, cli_jobs_count(job, "images_done"),
                    cli_jobs_count(job, "images_total"), at[0] || detail[0] ? ": " : "", at,
                    at[0] && detail[0] ? " " : "", detail);
}

void cli_jobs_print(const json_t *job)
{
    char state[CLI_JOBS_TEXT], id[CLI_JOBS_TEXT];
    printf("job %s %s: %" PRIu64 " of %" PRIu64 " images\n", cli_jobs_text(job, "id", id),
           cli_jobs_text(job, "state", state), cli_jobs_count(job, "images_done"),
           cli_jobs_count(job, "images_total"));
}
