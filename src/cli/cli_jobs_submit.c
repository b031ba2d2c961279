/* `pfgm jobs submit`: files a job under a UUID that is drawn here, so that asking again, when an
 * answer was lost, files nothing twice. */
#include "cli_jobs_common.h"
#include "cli_json.h"
#include "cli_run.h"

#include "base_crypto.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define JOB_IMAGES_MAX 1000000

enum {
    OPTION_MODEL = 256,
    OPTION_SEED,
    OPTION_FIRST_INDEX,
    OPTION_CLASS,
    OPTION_TEMPERATURE,
    OPTION_DTYPE,
    OPTION_LABEL,
    OPTION_ID,
    OPTION_JSON
};

struct submit {
    struct cli_jobs jobs;
    const char *model, *class, *dtype, *label;
    bool has_seed, has_first, json;
    int64_t n;
    uint64_t seed, first_index;
    double temperature; /* 0: absent */
    struct model_choice solver;
    char drawn[40];
};

static int take_option(void *context, int c, const char *word, struct err *e)
{
    struct submit *s = context;
    switch (c) {
    case 'n':
        return cli_parse_int("-n", word, 1, JOB_IMAGES_MAX, &s->n, e);
    case OPTION_MODEL:
        s->model = word;
        return 0;
    case OPTION_SEED:
        s->has_seed = true;
        return cli_parse_u64("--seed", word, &s->seed, e);
    case OPTION_FIRST_INDEX:
        s->has_first = true;
        return cli_parse_u64("--first-index", word, &s->first_index, e);
    case OPTION_CLASS:
        s->class = word;
        return 0;
    case OPTION_TEMPERATURE:
        return cli_run_temperature(word, &s->temperature, e);
    case OPTION_DTYPE:
        s->dtype = word;
        return 0;
    case OPTION_LABEL:
        s->label = word;
        return 0;
    case OPTION_ID:
        s->jobs.id = word;
        return cli_jobs_is_id(word) ? 0 : err_fail(e, ERR_INPUT, "--id", "\"%s\" is no UUID", word);
    case OPTION_JSON:
        s->json = true;
        return 0;
    default:
        return cli_jobs_take(&s->jobs, c, word, e);
    }
}

/* A UUID of version 4 (RFC 9562). */
static int draw_id(char out[40], struct err *e)
{
    unsigned char b[16];
    if (random_bytes(b, sizeof b, e) != 0)
        return -1;
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    for (size_t i = 0, at = 0; i < sizeof b; i++)
        at += (size_t)snprintf(out + at, 40 - at, "%s%02x",
                               i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    return 0;
}

/* 64-bit numbers go as digits. */
static json_t *digits(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

static json_t *with_word(json_t *o, const char *key, const char *word)
{
    return word ? json_with(o, key, json_string(word)) : o;
}

static json_t *body_of(const struct submit *s)
{
    json_t *o = json_with(json_object(), "n", json_integer(s->n ? s->n : 1));
    o = with_word(o, "model", s->model);
    o = with_word(o, "dtype", s->dtype);
    o = with_word(o, "label", s->label);
    if (s->has_seed)
        o = json_with(o, "seed", digits(s->seed));
    if (s->has_first)
        o = json_with(o, "first_index", digits(s->first_index));
    if (s->temperature != 0.0)
        o = json_with(o, "temperature", json_real(s->temperature));
    if (s->class && strcmp(s->class, "none") == 0)
        o = json_with(o, "class", json_null());
    else if (s->class && strcmp(s->class, "drawn") != 0)
        o = json_with(o, "class", json_string(s->class));
    if (s->solver.given)
        o = json_with(o, "solver", model_choice_json(&s->solver));
    return o;
}

static bool is_it(const json_t *job, const char *id)
{
    const char *named = json_string_value(json_object_get(job, "id"));
    return named && strcasecmp(named, id) == 0;
}

static json_t *file_job(struct submit *s, struct remote *r, struct err *e)
{
    struct err why = {0};
    struct buf path, text;
    json_t *body = body_of(s), *job = NULL;
    buf_init(&path, 4096);
    buf_init(&text, 1u << 20);
    if (!body)
        json_fail(e, ERR_INPUT, "", "an option is no UTF-8");
    else if (json_append(&text, body, 0, e) == 0 && cli_jobs_path(&s->jobs, "", &path, e) == 0) {
        job = remote_json(r, "PUT", (const char *)path.data, (const char *)text.data, &why);
        if (!job && why.code == ERR_IO)
            err_fail(e, why.code, why.at,
                     "%s; it may have been filed: the same with --id %s asks again", why.text,
                     s->jobs.id);
        else if (!job)
            err_pass(e, &why);
        else if (!is_it(job, s->jobs.id)) {
            err_fail(e, ERR_IO, s->jobs.to.server, "answered with something that is not the job %s",
                     s->jobs.id);
            json_decref(job);
            job = NULL;
        }
    }
    json_decref(body);
    buf_clear(&text);
    buf_clear(&path);
    return job;
}

static int run(struct submit *s, struct err *e)
{
    if (!s->jobs.id && draw_id(s->drawn, e) != 0)
        return -1;
    if (!s->jobs.id)
        s->jobs.id = s->drawn;
    struct remote *r = cli_jobs_open(&s->jobs, e);
    json_t *job = r ? file_job(s, r, e) : NULL;
    char id[CLI_JOBS_TEXT];
    int result = job ? 0 : -1;
    if (job && s->json)
        result = cli_json_print(job, e);
    else if (job)
        puts(cli_jobs_text(job, "id", id));
    json_decref(job);
    remote_close(r);
    return result;
}

static const struct cli_option options[] = {
    {NULL, 'n', 0, "N", NULL, "images, 1 to 1000000 (1)"},
    {"model", 0, OPTION_MODEL, "NAME", NULL, "a model of the server (its first)"},
    CLI_OPTION_SEED("seed", OPTION_SEED, "", "drawn by the server if absent"),
    CLI_OPTION_FIRST_INDEX(OPTION_FIRST_INDEX),
    CLI_OPTION_CLASS_DRAWN(OPTION_CLASS, "drawn none", ""),
    CLI_OPTION_TEMPERATURE(OPTION_TEMPERATURE),
    {"dtype", 0, OPTION_DTYPE, "T", "uint8 float32",
     "float32: samples before rounding to bytes, as .npy"},
    {"label", 0, OPTION_LABEL, "TEXT", NULL, "a name that the list of jobs shows"},
    {"id", 0, OPTION_ID, "UUID", NULL,
     "the job's ID, drawn if absent; the same ID with the same options is the same job"},
    CLI_JOBS_OPTIONS,
    CLI_OPTION_JSON(OPTION_JSON),
    {0}};

static int submit_main(int argc, char **argv)
{
    struct submit s = {.jobs = {.to = {.patience_s = CLI_JOBS_PATIENCE_S}}};
    struct err e = {0};
    int code = cli_options_take(&cli_jobs_submit_command, &s.solver, argc, argv, &s);
    if (code >= 0)
        return code;
    if (argc != optind)
        return cli_usage_error("jobs submit", "\"%s\" is no option; a model is --model NAME",
                               argv[optind]);
    return run(&s, &e) == 0 ? CLI_EXIT_OK : cli_fail("jobs submit", &e);
}

const struct cli_command cli_jobs_submit_command = {
    .name = "jobs submit",
    .summary = "file a job, and print its ID",
    .synopsis = "jobs submit [options]",
    .about = "Files a job with a server and prints its ID. A lost answer is no harm: the ID is "
             "drawn here, and the same ID is the same job.",
    .options = options,
    .solver = {.title = "The solver (the server's default for the model):"},
    .take = take_option,
    .run = submit_main};
