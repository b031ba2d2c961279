/* The run: opening, the loop over steps, saving. */
#include "train.h"
#include "base_cpu.h"
#include "base_file.h"
#include "base_log.h"
#include "train_minutes.h"
#include "train_place.h"
#include "train_scale.h"
#include "train_sheet.h"
#include "train_teacher.h"
#include "train_work.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SHEET_COLUMNS 8
#define PATH_MAX_HERE 4096

struct run {
    const struct train_options *o;
    struct train_place place;
    struct train_config config;
    struct data_set data;
    struct model *teacher; /* of a distillation */
    struct train_work work;
    struct train_log log;
    char config_sha256[SHA256_HEX_SIZE];
    bool changed;                 /* what a resumed run's config.json says */
    int64_t begun_step, begun_ns; /* of this process, for the speed */
    struct train_plan plan;       /* of minutes, */
    struct train_clock clock;     /* and where the run stands in them */
};

static const char *path_in(const struct run *r, const char *name, char out[PATH_MAX_HERE])
{
    size_t length = strlen(r->o->run);
    bool slash = length > 0 && r->o->run[length - 1] == '/';
    snprintf(out, PATH_MAX_HERE, "%s%s%s", r->o->run, slash ? "" : "/", name);
    return out;
}

/* Of a sheet of samples. */
static int sheet_rows(int classes)
{
    return classes == 0 ? 4 : classes < 10 ? classes : 10;
}

/* ---- opening ---- */

static int make_folder(const char *path, struct err *e)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return 0;
    return err_fail_errno(e, errno, path, "make the folder");
}

static int adopt_teacher(struct run *r, const char *what, struct err *e)
{
    if (r->teacher)
        return train_teacher_adopt(r->teacher, r->o->student_steps, r->o->resume, &r->data, what,
                                   &r->config, e);
    return r->config.objective != TRAIN_OBJECTIVE_DISTILL
               ? 0
               : err_fail(e, ERR_INPUT, what,
                          "\"objective\" distill needs a teacher: use \"pfgm distill MODEL\"");
}

/* The configuration of a run of so many minutes, by what the given one leaves open. */
static int plan(struct run *r, const char *text, size_t length, const char *path, struct err *e)
{
    const struct train_minutes_options options = {
        .data = &r->data,
        .path = r->o->data.path,
        .what = path ? path : "configuration",
        .kernel = r->o->kernel,
        .threads = r->o->threads,
        .total = r->clock.total,
        .begun_ns = r->clock.begun_ns,
        .sheet_images = r->data.values ? 0 : SHEET_COLUMNS * sheet_rows(r->data.classes)};
    return train_minutes_plan(&options, text, length, &r->plan, &r->config, e);
}

static const char *steps_option(const struct run *r)
{
    return r->o->teacher ? "--train-steps" : "--steps";
}

/* Where the number of steps decides bytes before the last one, it is a change that the run notes.
 */
static int check_steps_change(const struct run *r, struct err *e)
{
    const struct train_config *c = &r->config;
    const bool falls = c->decay != TRAIN_DECAY_NONE;
    if (!falls && c->objective != TRAIN_OBJECTIVE_DISTILL)
        return 0;
    return err_fail(e, ERR_INPUT, steps_option(r),
                    "cannot change the %" PRId64 " steps of this run, by which %s: use "
                    "--continue-with FILE with {\"steps\": %" PRId64 "} in it",
                    c->steps, falls ? "its learning rate falls" : "its intervals grow finer",
                    r->o->steps);
}

static int read_config(struct run *r, struct err *e)
{
    char own[PATH_MAX_HERE];
    const char *path = r->o->resume ? path_in(r, "config.json", own) : r->o->config;
    struct buf text;
    buf_init(&text, TRAIN_CONFIG_BYTES_MAX);
    int result = path ? file_read(path, &text, e) : 0;
    if (result == 0 && r->o->minutes > 0)
        result = plan(r, path ? (const char *)text.data : NULL, text.length, path, e);
    else if (result == 0)
        result = train_config_read(path ? (const char *)text.data : NULL, text.length, path,
                                   &r->config, e);
    buf_clear(&text);
    if (result)
        return -1;
    const bool more = r->o->steps >= 0 && r->o->steps != r->config.steps;
    if (r->o->resume && more && check_steps_change(r, e) != 0)
        return -1;
    r->changed = r->o->resume && (r->o->changes || more);
    if (r->o->steps >= 0)
        r->config.steps = r->o->steps;
    if (adopt_teacher(r, path ? path : "configuration", e) != 0 ||
        train_config_own(&r->config, r->o->resume, path ? path : "configuration", e) != 0)
        return -1;
    return train_config_resolve(&r->config, &r->data, path ? path : "configuration", e);
}

static int write_config(const struct run *r, struct err *e)
{
    char path[PATH_MAX_HERE];
    json_t *root = train_config_json(&r->config, e);
    struct buf text;
    if (!root)
        return -1;
    buf_init(&text, TRAIN_CONFIG_BYTES_MAX);
    int result = json_append(&text, root, JSON_INDENT(2), e);
    if (result == 0)
        result = buf_string(&text, "\n", e);
    if (result == 0)
        result = file_write_atomic(path_in(r, "config.json", path), text.data, text.length, e);
    buf_clear(&text);
    json_decref(root);
    return result;
}

/* Takes changes into the configuration, which write_config keeps when the run can go on with it. A
 * run that is killed before its next save finds the changed configuration beside the state that it
 * was changed at; the list of changes says that the two belong together. */
static int take_changes(struct run *r, const char *text, size_t length, const char *what,
                        struct err *e)
{
    return train_config_change(&r->config, text, length, r->work.state.step, what, e) != 0 ||
                   train_config_digest(&r->config, r->config_sha256, e) != 0
               ? -1
               : 0;
}

static int change_config(struct run *r, struct err *e)
{
    const char *path = r->o->changes;
    struct buf text;
    if (!path)
        return 0;
    buf_init(&text, TRAIN_CONFIG_BYTES_MAX);
    int result = file_read(path, &text, e);
    if (result == 0)
        result = take_changes(r, (const char *)text.data, text.length, path, e);
    if (result == 0)
        log_line(LOG_INFO, "from step %" PRId64 " on with the changes of %s", r->work.state.step,
                 path);
    buf_clear(&text);
    return result;
}

/* The state, before what depends on a configuration that may yet be changed. */
static int open_state(struct run *r, struct err *e)
{
    char path[PATH_MAX_HERE];
    if (train_state_allocate(&r->work.state, nn_arch_scalars(&r->config.arch), r->teacher != NULL,
                             r->config.ema_others.count, e) != 0)
        return -1;
    if (!r->o->resume)
        return write_config(r, e);
    if (train_state_load(&r->work.state, path_in(r, "state.safetensors", path), r->config_sha256,
                         r->config.continued, r->data.sha256, e) != 0 ||
        change_config(r, e) != 0)
        return -1;
    if (r->changed && r->config.steps < r->work.state.step)
        return err_fail(e, ERR_INPUT, r->o->changes ? r->o->changes : steps_option(r),
                        "%" PRId64 " steps are asked for, and %" PRId64 " are done",
                        r->config.steps, r->work.state.step);
    return 0;
}

static int save_state(const struct run *r, struct err *e)
{
    char path[PATH_MAX_HERE];
    return train_state_save(&r->work.state, path_in(r, "state.safetensors", path), r->config_sha256,
                            r->data.sha256, e);
}

static int build(struct run *r, struct err *e)
{
    const struct train_work_options options = {.config = &r->config,
                                               .data = &r->data,
                                               .teacher = r->teacher,
                                               .kernel = r->o->kernel,
                                               .threads = r->o->threads};
    char path[PATH_MAX_HERE];
    if (train_work_open(&r->work, &options, e) != 0)
        return -1;
    /* So a run that ends before its first save can be resumed too. */
    if (!r->o->resume &&
        (train_work_begin(&r->work, r->o->teacher, e) != 0 || save_state(r, e) != 0))
        return -1;
    return train_log_open(&r->log, path_in(r, "log.csv", path),
                          r->o->resume ? r->work.state.step : -1, e);
}

static int take_place(struct run *r, struct err *e)
{
    return train_place_take(&r->place, r->o->run, r->o->resume, r->o->config, e);
}

/* Of pictures the network's target is the noise in units of σ, and the square of it has the mean
 * D/(D − 2) per coordinate; its variance is finite above D = 4. */
static void warn_of_tails(const struct run *r)
{
    const struct train_config *c = &r->config;
    if (c->objective == TRAIN_OBJECTIVE_PFGMPP && !r->data.values && c->added <= 4)
        log_line(LOG_WARN,
                 "D = %g: perturbations have such long tails that the loss has no finite %s, and a "
                 "run rarely settles; take a D above 4, or the objective \"pfgm\", which learns "
                 "the field of D = 1",
                 c->added, c->added <= 2 ? "mean" : "variance");
}

/* Pictures that a run writes would be data of the next one, which could not go on with it. */
static int check_apart(const struct run *r, struct err *e)
{
    bool within;
    if (file_within(r->o->run, r->o->data.path, &within, e) != 0)
        return -1;
    return within ? err_fail(e, ERR_INPUT, r->o->run,
                             "lies in the folder of the data, %s, and what a run writes would be "
                             "data: name a folder outside",
                             r->o->data.path)
                  : 0;
}

static void warn_of_bias(const struct run *r)
{
    const struct train_config *c = &r->config;
    const size_t all = train_config_rows(c, &r->data);
    if (c->objective == TRAIN_OBJECTIVE_DIRECT && (size_t)c->large_batch < all)
        log_line(LOG_WARN,
                 "\"objective\" direct with a \"large_batch\" of %" PRId64 " of %zu data: what is "
                 "near counts too little in the field that is learned; %s",
                 c->large_batch, all,
                 all <= TRAIN_LARGE_BATCH_MAX ? "leave \"large_batch\" out, which takes all"
                                              : "the objective \"pfgm\" is for so many");
}

static int open_run(struct run *r, struct err *e)
{
    char path[PATH_MAX_HERE];
    if (strlen(r->o->run) + 64 > PATH_MAX_HERE)
        return err_fail(e, ERR_LIMIT, "-o", "the path is too long");
    /* A folder that is there is taken before the data are read, which may last; one that is not is
     * made when nothing is left to be refused. */
    struct stat st;
    bool there;
    if (file_look(r->o->run, true, &there, &st, e) != 0)
        return -1;
    if (there && !S_ISDIR(st.st_mode))
        return err_fail(e, ERR_INPUT, r->o->run, "exists and is not a folder; name another");
    if ((!r->o->resume && check_apart(r, e) != 0) ||
        ((r->o->resume || there) && take_place(r, e) != 0))
        return -1;
    if (r->o->teacher && !(r->teacher = train_teacher_open(r->o->teacher, r->o->kernel, e)))
        return -1;
    if (data_open(&r->o->data, &r->data, e) != 0 || read_config(r, e) != 0 ||
        train_config_classes(&r->config, &r->data, r->o->data.path, e) != 0 ||
        train_config_digest(&r->config, r->config_sha256, e) != 0 ||
        make_folder(r->o->run, e) != 0 || take_place(r, e) != 0 ||
        make_folder(path_in(r, "samples", path), e) != 0 || open_state(r, e) != 0 ||
        build(r, e) != 0 || /* a change is kept when the run can go on with it */
        (r->changed && write_config(r, e) != 0))
        return -1;
    if (r->data.count < (size_t)r->config.batch)
        log_line(LOG_WARN, "%s: %zu images for batches of %" PRId64 ": each comes several times",
                 r->o->data.path, r->data.count, r->config.batch);
    warn_of_tails(r);
    warn_of_bias(r);
    train_scale_warn(&r->config, train_config_denoises(&r->config), &r->data, r->o->data.path);
    return 0;
}

static void close_run(struct run *r)
{
    train_work_clear(&r->work);
    train_log_close(&r->log);
    model_free(r->teacher);
    train_config_clear(&r->config);
    data_clear(&r->data);
    train_place_leave(&r->place);
}

/* ---- saving ---- */

static int save_model(struct run *r, struct err *e)
{
    char path[PATH_MAX_HERE];
    struct ckpt_description d;
    if (train_config_describe(&r->config, r->data.names, r->data.classes, r->work.state.step,
                              r->o->data.path, &d, e) != 0)
        return -1;
    strcpy(d.provenance.source_sha256, r->data.sha256);
    const struct train_state *s = &r->work.state;
    int result = train_state_export(s, s->ema, "ema", r->work.params, r->work.param_count, &d,
                                    r->o->export_dtype, path_in(r, "model.safetensors", path), e);
    for (int i = 0; i < s->other_count && result == 0; i++) {
        char name[64];
        snprintf(name, sizeof name, TRAIN_OTHER_MODEL TRAIN_RATE_FORMAT ".safetensors",
                 r->config.ema_others.rate[i]);
        result = train_state_export(s, s->others[i], name, r->work.params, r->work.param_count, &d,
                                    r->o->export_dtype, path_in(r, name, path), e);
    }
    ckpt_description_clear(&d);
    return result;
}

static int save(struct run *r, struct err *e)
{
    char path[PATH_MAX_HERE];
    if (save_state(r, e) != 0 || save_model(r, e) != 0)
        return -1;
    return train_log_plot(&r->log, path_in(r, "loss.png", path), e);
}

static int write_sheet(struct run *r, struct err *e)
{
    char name[64], path[PATH_MAX_HERE];
    const struct train_sheet s = {.config = &r->config,
                                  .grad = r->work.grad,
                                  .columns = SHEET_COLUMNS,
                                  .rows = sheet_rows(r->config.arch.classes)};
    snprintf(name, sizeof name, "samples/step-%08" PRId64 ".%s", r->work.state.step,
             r->data.values ? "npy" : "png");
    nn_grad_weights_set(r->work.grad, r->work.state.ema);
    const int64_t begun = clock_ns();
    const int result = train_sheet_write(&s, path_in(r, name, path), e);
    train_clock_sheet(&r->clock, (double)(clock_ns() - begun) * 1e-9);
    return result;
}

/* Moves the end of a run of so many minutes to where its time ends, as the machine is now. The
 * state is saved first, so that the change stands in the configuration beside the state that it
 * begins with, as one by --continue-with does. */
static int keep_time(struct run *r, struct err *e)
{
    struct train_config *c = &r->config;
    int64_t wanted;
    char text[128], decay[64] = "";
    if (!train_clock_look(&r->clock, clock_ns(), r->work.state.step, c->steps, &wanted))
        return 0;
    if (c->decay_steps == c->steps / 2) /* as the plan had it, not a configuration */
        snprintf(decay, sizeof decay, ", \"decay_steps\": %" PRId64, wanted / 2);
    snprintf(text, sizeof text, "{\"steps\": %" PRId64 "%s}", wanted, decay);
    return save_state(r, e) != 0 || take_changes(r, text, strlen(text), "--minutes", e) != 0 ||
                   write_config(r, e) != 0
               ? -1
               : 0;
}

/* ---- steps ---- */

/* The mean since the last line, as a line of the log if one is due. */
static int report(struct run *r, struct train_progress *p, struct err *e)
{
    struct train_state *s = &r->work.state;
    double seconds = (double)(clock_ns() - r->begun_ns) * 1e-9;
    double images = (double)(s->step - r->begun_step) * (double)r->config.batch;
    *p = (struct train_progress){.step = s->step,
                                 .steps = r->config.steps,
                                 .loss = s->loss_sum / (double)s->sum_count,
                                 .norm = s->norm_sum / (double)s->sum_count,
                                 .speed = seconds > 0 ? images / seconds : 0};
    if (p->speed > 0)
        p->seconds_left = (double)(r->config.steps - s->step) * (double)r->config.batch / p->speed;
    if (s->step % r->config.log_every != 0)
        return 0;
    p->logged = true;
    p->line = (struct train_log_line){.step = s->step,
                                      .loss = p->loss,
                                      .norm = p->norm,
                                      .rate = train_config_rate(&r->config, s->step - 1),
                                      .speed = p->speed};
    s->loss_sum = s->norm_sum = 0;
    s->sum_count = 0;
    return train_log_add(&r->log, p->line, e);
}

static int loop(struct run *r, struct train_result *result, struct err *e)
{
    const struct train_config *c = &r->config;
    int64_t saved = -1;
    r->begun_step = r->work.state.step;
    r->begun_ns = clock_ns();
    train_clock_start(&r->clock, r->begun_ns, r->begun_step,
                      r->plan.sheet * r->plan.image_seconds[r->plan.network]);
    while (r->work.state.step < c->steps && !(result->stopped = r->o->stop && *r->o->stop)) {
        struct train_progress p;
        if (train_work_step(&r->work, e) != 0 || report(r, &p, e) != 0)
            return -1;
        if (r->o->progress)
            r->o->progress(r->o->context, &p);
        /* Before the state: a run that goes on from this step would not draw it again. */
        if (c->sheet_every > 0 && r->work.state.step % c->sheet_every == 0 &&
            write_sheet(r, e) != 0)
            return -1;
        if (keep_time(r, e) != 0)
            return -1;
        if (r->work.state.step % c->save_every == 0 && r->work.state.step < c->steps) {
            if (save(r, e) != 0)
                return -1;
            saved = r->work.state.step;
        }
    }
    if (saved != r->work.state.step && save(r, e) != 0)
        return -1;
    return result->stopped || c->sheet_every == 0 || r->work.state.step % c->sheet_every == 0
               ? 0
               : write_sheet(r, e);
}

int train_run(const struct train_options *options, struct train_result *out, struct err *e)
{
    struct run r = {.o = options, .place = TRAIN_PLACE_NONE};
    char path[PATH_MAX_HERE];
    *out = (struct train_result){.loss = NAN};
    r.clock = (struct train_clock){.total = 60 * options->minutes, .begun_ns = clock_ns()};
    int result = open_run(&r, e);
    if (result == 0 && options->minutes > 0 && options->plan)
        options->plan(options->context, &r.plan, &r.config, &r.data);
    if (result == 0 && options->begin)
        options->begin(options->context, &r.config, &r.data, nn_grad_scalars(r.work.grad),
                       r.work.state.step);
    if (result == 0)
        result = loop(&r, out, e);
    if (result == 0)
        result = sha256_file_hex(path_in(&r, "model.safetensors", path), out->model_sha256, e);
    out->step = r.work.state.step;
    if (r.log.count > 0)
        out->loss = r.log.lines[r.log.count - 1].loss;
    close_run(&r);
    return result;
}
