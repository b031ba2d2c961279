/* Following a job, and `pfgm jobs watch`, which does nothing else. */
#include "cli_jobs_follow.h"

#include "base_cpu.h"
#include "base_text.h"
#include "remote_events.h"

#include <inttypes.h>
#include <string.h>

static int print_line(const struct remote_event *event, struct err *e)
{
    struct buf text;
    json_t *o = json_with(json_object(), "id", json_u64(event->id));
    o = json_with(o, "event", json_text(event->kind));
    o = json_with(o, "data", json_incref((json_t *)(uintptr_t)event->data));
    buf_init(&text, (size_t)32 << 20);
    const int result = o ? json_append(&text, o, 0, e) : err_fail_memory(e, 256);
    if (result == 0)
        printf("%s\n", (const char *)text.data);
    fflush(stdout); /* a failure shows at the end */
    buf_clear(&text);
    json_decref(o);
    return result;
}

/* Rate and time left are those of what was seen here, so a burst of what was there before does not
 * count; until there is a rate, the server's word stands. */
static void draw(struct cli_jobs_follow *f, const json_t *progress)
{
    const json_int_t total = json_integer_value(json_object_get(progress, "images_total")),
                     said = json_integer_value(json_object_get(progress, "images_done"));
    const uint64_t done = f->image ? f->handled : said > 0 ? (uint64_t)said : 0;
    const json_t *eta = json_object_get(progress, "eta_s");
    struct cli_progress_job now = {.done = done,
                                   .total = total > 0 ? (uint64_t)total : 0,
                                   .fraction =
                                       json_number_value(json_object_get(progress, "fraction")),
                                   .rate = -1,
                                   .left_s = json_is_number(eta) ? json_number_value(eta) : -1};
    if (f->image)
        now.fraction = now.total ? (double)done / (double)now.total : 0;
    if (f->first_ns == 0) {
        f->first_ns = clock_ns();
        f->first = done;
    }
    const double gone_s = (double)(clock_ns() - f->first_ns) * 1e-9;
    if (done > f->first && gone_s > 1)
        now.rate = (double)(done - f->first) / gone_s;
    if (now.rate > 0 && now.total >= done)
        now.left_s = (double)(now.total - done) / now.rate;
    cli_progress_draw_job(&f->bar, &now);
}

static int take_image(struct cli_jobs_follow *f, const json_t *data, struct err *e)
{
    const char *digest = json_string_value(json_object_get(data, "sha256"));
    uint64_t place;
    if (!json_u64_read(json_object_get(data, "index"), &place) || !digest ||
        strlen(digest) != SHA256_HEX_SIZE - 1)
        return err_fail(e, ERR_IO, "", "the server sent an event of an image without its SHA-256");
    f->handled++;
    return f->image(f->context, place, digest, e);
}

/* The progress of `total` images, of which the events say nothing more than that one is there. */
static void draw_handled(struct cli_jobs_follow *f)
{
    json_t *o = f->job ? json_object_get(f->job, "progress") : NULL;
    if (o)
        draw(f, o);
}

static int on_event(void *context, const struct remote_event *event, struct err *e)
{
    struct cli_jobs_follow *f = context;
    const bool is_end = strcmp(event->kind, "done") == 0 || strcmp(event->kind, "failed") == 0 ||
                        strcmp(event->kind, "cancelled") == 0;
    const bool is_job =
        is_end || strcmp(event->kind, "queued") == 0 || strcmp(event->kind, "started") == 0;
    int result = f->json ? print_line(event, e) : 0;
    if (is_job && result == 0) {
        json_decref(f->job);
        f->job = json_incref((json_t *)(uintptr_t)event->data);
    }
    if (result == 0 && f->image && strcmp(event->kind, "image") == 0)
        result = take_image(f, event->data, e);
    if (result == 0 && f->image)
        draw_handled(f);
    else if (result == 0 && strcmp(event->kind, "progress") == 0)
        draw(f, event->data);
    return result == 0 && is_end ? 1 : result;
}

int cli_jobs_follow(struct remote *r, const struct cli_jobs *j, struct cli_jobs_follow *f,
                    struct err *e)
{
    struct remote_reader reader = {.event = on_event, .context = f};
    struct buf path;
    buf_init(&path, 4096);
    cli_progress_begin(&f->bar);
    int result = cli_jobs_path(j, "/events", &path, e);
    if (result == 0)
        result = remote_follow(r, (const char *)path.data, &reader, e);
    cli_progress_end(&f->bar);
    buf_clear(&path);
    if (result == 1) { /* the end had been seen, and the answer to it was lost */
        json_decref(f->job);
        f->job = cli_jobs_get(r, j, e);
        result = f->job ? 0 : -1;
    }
    if (result != 0) {
        json_decref(f->job);
        f->job = NULL;
    }
    return result;
}

/* ---- watch ---- */

enum { OPTION_JSON = 256 };

struct watch {
    struct cli_jobs jobs;
    bool json;
};

static int take_option(void *context, int c, const char *word, struct err *e)
{
    struct watch *w = context;
    if (c != OPTION_JSON)
        return cli_jobs_take(&w->jobs, c, word, e);
    w->json = true;
    return 0;
}

static int watch_main(int argc, char **argv)
{
    struct watch w = {0};
    struct err e = {0};
    int code = cli_jobs_parse(&cli_jobs_watch_command, argc, argv, &w.jobs, &w);
    if (code >= 0)
        return code;
    struct cli_jobs_follow f = {.json = w.json};
    struct remote *r = cli_jobs_open(&w.jobs, &e);
    int result = r ? cli_jobs_follow(r, &w.jobs, &f, &e) : -1;
    if (result == 0 && !w.json)
        cli_jobs_print(f.job);
    if (result == 0)
        result = cli_jobs_succeeded(f.job, &e);
    json_decref(f.job);
    remote_close(r);
    return result == 0 ? CLI_EXIT_OK : cli_fail("jobs watch", &e);
}

static const struct cli_option options[] = {
    CLI_JOBS_OPTIONS,
    {"json", 0, OPTION_JSON, NULL, NULL, "each event as a line of JSON: id, event, data"},
    {0}};

const struct cli_command cli_jobs_watch_command = {
    .name = "jobs watch",
    .summary = "follow a job until it has ended",
    .synopsis = "jobs watch ID [options]",
    .about = "Follows a job until it has ended, with a bar on a terminal: images, images per "
             "second, time left. When the connection is lost or the server restarts, it waits and "
             "goes on behind the last event that came. The exit status is 0 if the job succeeded, "
             "1 if it failed or was cancelled.",
    .options = options,
    .take = take_option,
    .run = watch_main};
