/* A step of the teacher's is a solver per image, and a task of the pool takes a few images through
 * it in one call of the model, whose answers do not depend on their neighbours: so neither the
 * number of threads nor that of the images in a task changes a bit. */
#include "train_teacher.h"
#include "ckpt_arch.h"
#include "field_denoise.h"
#include "ode_solver.h"
#include "train_distill.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TOGETHER 8 /* images of a task */

struct model *train_teacher_open(const char *path, enum nn_kernel kernel, struct err *e)
{
    const struct model_options options = {.kernel = kernel, .precision = NN_PRECISION_F32};
    struct model *m = model_load(path, &options, e);
    if (!m)
        return NULL;
    const struct ckpt_description *d = model_description(m);
    int result = 0;
    if (d->family != CKPT_FAMILY_PFGMPP)
        result =
            err_fail(e, ERR_UNSUPPORTED, path,
                     "is of the family %s: models of the family pfgmpp can be distilled (D = 1 "
                     "is the field of PFGM; train one with \"objective\" pfgmpp)",
                     ckpt_family_name(d->family));
    else if (*d->teacher_sha256)
        result = err_fail(e, ERR_UNSUPPORTED, path,
                          "is a student itself, which has no path to learn from: distill its "
                          "teacher");
    if (result == 0)
        return m;
    model_free(m);
    return NULL;
}

/* ---- what is taken over ---- */

static int adopt_number(const char *key, bool given, double right, const char *what, double *at,
                        struct err *e)
{
    if (given && *at != right)
        return err_fail(e, ERR_INPUT, what, "\"%s\" is the teacher's, %g, not %g: leave it out",
                        key, right, *at);
    *at = right;
    return 0;
}

static int adopt_network(const struct ckpt_description *d, const char *what, struct train_config *c,
                         struct err *e)
{
    json_t *network = ckpt_arch_json(&d->arch);
    if (!network)
        return err_fail_memory(e, 1024);
    const char *key;
    json_t *value;
    json_object_foreach(c->network, key, value)
    {
        if (!json_equal(value, json_object_get(network, key))) {
            json_decref(network);
            return err_fail(e, ERR_INPUT, what,
                            "\"network\": \"%s\" is not the teacher's: leave \"network\" out", key);
        }
    }
    json_decref(c->network);
    c->network = network;
    return 0;
}

/* Numbers are no names: the teacher, too, may have been given names for them. */
static bool is_number(const char *name)
{
    return name[strspn(name, "0123456789")] == '\0';
}

static bool has_unlabelled(const struct data_set *data)
{
    for (size_t i = 0; i < data->count; i++)
        if (data->label[i] < 0)
            return true;
    return false;
}

static int adopt_classes(const struct ckpt_description *d, const struct data_set *data,
                         const char *what, struct train_config *c, struct err *e)
{
    if (c->conditional_given && c->conditional != (d->label_count > 0))
        return err_fail(e, ERR_INPUT, what,
                        "\"conditional\" is the teacher's to say, which %s: leave it out",
                        d->label_count > 0 ? "has classes" : "has none");
    c->conditional = d->label_count > 0;
    c->conditional_given = true;
    if (!c->conditional)
        return 0;
    if (d->no_null_class && c->label_dropout_given && c->label_dropout > 0)
        return err_fail(
            e, ERR_INPUT, what,
            "\"label_dropout\" asks the teacher for no class, which it has not learned: "
            "leave it out");
    if (d->no_null_class)
        c->label_dropout = 0;
    if (data->classes != d->label_count)
        return err_fail(e, ERR_INPUT, what, "the teacher has %d classes, the data have %d",
                        d->label_count, data->classes);
    if (d->no_null_class && has_unlabelled(data))
        return err_fail(e, ERR_INPUT, what,
                        "the data have %s without a class, and the teacher has not learned what "
                        "has none: give each a class, or take a teacher that was trained with "
                        "\"label_dropout\"",
                        data->values ? "vectors" : "pictures");
    json_t *labels = json_array();
    for (int i = 0; i < d->label_count; i++) {
        if (!is_number(data->names[i]) && strcmp(data->names[i], d->labels[i]) != 0) {
            json_decref(labels);
            return err_fail(e, ERR_INPUT, what,
                            "class %d of the data is \"%s\", the teacher's is \"%s\"", i,
                            data->names[i], d->labels[i]);
        }
        labels = json_plus(labels, json_string(d->labels[i]));
    }
    const bool same = !c->labels || json_equal(c->labels, labels);
    json_decref(c->labels);
    c->labels = labels;
    if (!labels)
        return err_fail_memory(e, 256);
    return same ? 0
                : err_fail(e, ERR_INPUT, what,
                           "\"labels\" are the teacher's, and not these: leave them out");
}

int train_teacher_adopt(const struct model *teacher, int steps, bool resumed,
                        const struct data_set *data, const char *what, struct train_config *c,
                        struct err *e)
{
    const struct ckpt_description *d = model_description(teacher);
    if (resumed && c->objective != TRAIN_OBJECTIVE_DISTILL)
        return err_fail(e, ERR_INPUT, what,
                        "is no distillation: continue the run with \"pfgm train\"");
    if (resumed && strcmp(c->teacher_sha256, model_sha256(teacher)) != 0)
        return err_fail(e, ERR_INPUT, what,
                        "the run has another teacher, of the SHA-256 %s: continue with that",
                        c->teacher_sha256);
    if (resumed && steps > 0 && steps != c->student_steps)
        return err_fail(e, ERR_INPUT, "--steps", "the run's student takes %lld: leave it out",
                        (long long)c->student_steps);
    if (*c->teacher_sha256 && strcmp(c->teacher_sha256, model_sha256(teacher)) != 0)
        return err_fail(e, ERR_INPUT, what, "\"teacher_sha256\" is of another model: leave it out");
    c->objective = TRAIN_OBJECTIVE_DISTILL;
    strcpy(c->teacher_sha256, model_sha256(teacher));
    if (steps > 0)
        c->student_steps = steps;
    if (c->student_steps == 3)
        return err_fail(e, ERR_INPUT, what, "\"student_steps\" is 1, 2 or 4");
    if (c->intervals_last < c->intervals)
        return err_fail(e, ERR_INPUT, what, "\"intervals_last\" is below \"intervals\"");
    return adopt_network(d, what, c, e) != 0 || adopt_classes(d, data, what, c, e) != 0 ||
                   adopt_number("t_max", c->t_max > 0, d->t_max, what, &c->t_max, e) != 0 ||
                   adopt_number("t_min", c->t_min > 0, d->t_min, what, &c->t_min, e) != 0 ||
                   adopt_number("sigma_data", c->sigma_data > 0, d->sigma_data, what,
                                &c->sigma_data, e) != 0 ||
                   adopt_number("D", c->added_given, d->added, what, &c->added, e) != 0
               ? -1
               : 0;
}

int train_teacher_weights(const struct model *teacher, const char *path,
                          const struct nn_param *params, size_t count, float *out, struct err *e)
{
    struct ckpt_file *f = ckpt_file_open_again(path, model_sha256(teacher), "weights",
                                               "distill it anew, into another folder", e);
    if (!f)
        return -1;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; out += params[i++].count) {
        const struct ckpt_tensor *tensor = ckpt_file_find(f, params[i].name);
        result = tensor && tensor->count == params[i].count
                     ? ckpt_tensor_to_f32(tensor, out, e)
                     : err_fail(e, ERR_INPUT, path, "has no tensor \"%s\" of %zu numbers",
                                params[i].name, params[i].count);
    }
    if (result == 0)
        result = ckpt_file_check(f, e);
    ckpt_file_close(f);
    return result;
}

/* ---- targets ---- */

struct train_teacher {
    const struct model *model;
    const struct train_config *config;
    struct pool *pool;
    size_t n;
    int count;
    struct model_workspace **workspace; /* [threads] */
    struct ode_solver **solver;         /* [count]; its state is x' */
    double *slope;                      /* [count][n] */
    double *answer;                     /* [count][n]: of the teacher or of the average, at x' */
    const struct train_batch *batch;    /* of the call */
    /* What the average is asked: rows of images that have not arrived. */
    float *values, *time;
    const float **row;
    int32_t *label;
    int *image;
    double *losses;
};

struct train_teacher *train_teacher_new(const struct model *teacher, const struct train_config *c,
                                        struct pool *pool, struct err *e)
{
    const size_t count = (size_t)c->batch, n = model_dimension(teacher);
    const struct ode_options step = {
        .method = ODE_HEUN, .clock = ODE_CLOCK_LINEAR, .schedule = ODE_SCHEDULE_LOG, .steps = 1};
    struct train_teacher *t = calloc(1, sizeof *t);
    if (!t) {
        err_fail_memory(e, sizeof *t);
        return NULL;
    }
    *t = (struct train_teacher){
        .model = teacher, .config = c, .pool = pool, .n = n, .count = (int)count};
    t->workspace = calloc((size_t)pool_threads(pool), sizeof *t->workspace);
    t->solver = calloc(count, sizeof *t->solver);
    t->slope = calloc(count * n, sizeof *t->slope);
    t->answer = calloc(count * n, sizeof *t->answer);
    t->values = calloc(count * n, sizeof *t->values);
    t->time = calloc(count, sizeof *t->time);
    t->row = calloc(count, sizeof *t->row);
    t->label = calloc(count, sizeof *t->label);
    t->image = calloc(count, sizeof *t->image);
    t->losses = calloc(count, sizeof *t->losses);
    int result = t->workspace && t->solver && t->slope && t->answer && t->values && t->time &&
                         t->row && t->label && t->image && t->losses
                     ? 0
                     : err_fail_memory(e, count * n * sizeof(double));
    for (int i = 0; i < pool_threads(pool) && result == 0; i++)
        result = (t->workspace[i] = model_workspace_new(teacher, TOGETHER, e)) ? 0 : -1;
    for (size_t i = 0; i < count && result == 0; i++)
        result = (t->solver[i] = ode_solver_new(&step, n, e)) ? 0 : -1;
    if (result == 0)
        return t;
    train_teacher_free(t);
    return NULL;
}

void train_teacher_free(struct train_teacher *t)
{
    if (!t)
        return;
    for (int i = 0; t->workspace && i < pool_threads(t->pool); i++)
        model_workspace_free(t->workspace[i]);
    for (int i = 0; t->solver && i < t->count; i++)
        ode_solver_free(t->solver[i]);
    free(t->workspace);
    free(t->solver);
    free(t->slope);
    free(t->answer);
    free(t->values);
    free(t->time);
    free(t->row);
    free(t->label);
    free(t->image);
    free(t->losses);
    free(t);
}

static struct model_query query_at(const struct train_teacher *t, int image, const double *x,
                                   double time, enum ode_form form)
{
    return (struct model_query){.x = x,
                                .t = time,
                                .form = form,
                                .label = t->batch->label[image],
                                .slope = t->slope + (size_t)image * t->n};
}

/* Whether the teacher's own prediction is where the image's path ends. */
static bool ends(const struct train_distill_span *span)
{
    return span->arrives && span->end == 0;
}

/* The teacher's prediction on the last plane. */
static void predict(struct train_teacher *t, int from, int to, int thread)
{
    struct model_query query[TOGETHER];
    int n = 0;
    for (int i = from; i < to; i++)
        if (ends(&t->batch->span[i]) && ode_solver_status(t->solver[i]) == ODE_DONE)
            query[n++] = query_at(t, i, ode_solver_state(t->solver[i]), t->batch->span[i].to,
                                  ODE_SLOPE_DLNT);
    if (n > 0)
        model_slopes(t->model, t->workspace[thread], n, query);
    for (int i = 0; i < n; i++) {
        double *answer = t->answer + (query[i].slope - t->slope);
        for (size_t k = 0; k < t->n; k++)
            answer[k] = query[i].x[k] - query[i].slope[k];
    }
}

static void step_task(void *context, size_t task, int thread)
{
    struct train_teacher *t = context;
    const int from = (int)task * TOGETHER;
    const int to = from + TOGETHER < t->count ? from + TOGETHER : t->count;
    struct model_query query[TOGETHER];
    int image[TOGETHER], n;
    for (int i = from; i < to; i++) /* a failure is in the solver's status */
        ode_solver_start(t->solver[i], t->batch->point + (size_t)i * t->n, t->batch->span[i].from,
                         t->batch->span[i].to, NULL);
    do {
        n = 0;
        for (int i = from; i < to; i++) {
            const struct ode_solver *s = t->solver[i];
            if (ode_solver_status(s) != ODE_WANTS_SLOPE)
                continue;
            image[n] = i;
            query[n++] =
                query_at(t, i, ode_solver_point(s), ode_solver_time(s), ode_solver_form(s));
        }
        if (n > 0)
            model_slopes(t->model, t->workspace[thread], n, query);
        for (int i = 0; i < n; i++)
            ode_solver_feed(t->solver[image[i]], query[i].slope);
    } while (n > 0);
    predict(t, from, to, thread);
}

static double on_average(void *context, int row, const float *v_x, float v_t, float *v_x_slope,
                         float *v_t_slope)
{
    struct train_teacher *t = context;
    const int i = t->image[row];
    (void)v_x_slope;
    (void)v_t_slope;
    train_distill_answer(t->config, t->n, t->batch->span[i].to, ode_solver_state(t->solver[i]), v_x,
                         v_t, t->answer + (size_t)i * t->n);
    return 0;
}

/* The average's answer at x' of the images that have not arrived. */
static void ask_average(struct train_teacher *t, struct nn_grad *average)
{
    const struct train_config *c = t->config;
    int n = 0;
    for (int i = 0; i < t->count; i++) {
        const struct train_distill_span *span = &t->batch->span[i];
        if (span->arrives)
            continue;
        const struct field_denoise around =
            field_denoise_at(span->to, c->sigma_data, nn_arch_of_vectors(&c->arch));
        const double *x = ode_solver_state(t->solver[i]);
        float *row = t->values + (size_t)n * t->n;
        for (size_t k = 0; k < t->n; k++)
            row[k] = (float)(around.in * x[k]);
        t->time[n] = (float)around.time;
        t->row[n] = row;
        t->label[n] = t->batch->label[i];
        t->image[n++] = i;
    }
    const struct nn_grad_batch batch = {.n = n,
                                        .x = t->row,
                                        .t = t->time,
                                        .label = c->conditional ? t->label : NULL,
                                        .loss = on_average,
                                        .context = t};
    if (n > 0)
        nn_grad_run(average, &batch, t->losses, NULL);
}

static void target_task(void *context, size_t task, int thread)
{
    struct train_teacher *t = context;
    const struct train_distill_span *span = &t->batch->span[task];
    const double *state = ode_solver_state(t->solver[task]);
    double *z = t->answer + task * t->n;
    const double kept = span->end / span->to; /* of x' beside the answer; 1 where it has arrived */
    (void)thread;
    for (size_t k = 0; k < t->n; k++)
        z[k] = kept < 1 ? z[k] + kept * (state[k] - z[k]) : state[k];
    train_distill_target(span, t->n, t->batch->point + task * t->n, z,
                         t->batch->target + task * (t->n + 1));
}

int train_teacher_targets(struct train_teacher *t, struct train_batch *b, struct nn_grad *average,
                          struct err *e)
{
    t->batch = b;
    pool_run(t->pool, (size_t)(t->count + TOGETHER - 1) / TOGETHER, step_task, t);
    for (int i = 0; i < t->count; i++)
        if (ode_solver_status(t->solver[i]) != ODE_DONE)
            return err_fail(e, ERR_NUMERIC, "", "at step %lld the teacher's path is not finite: %s",
                            (long long)b->step, ode_solver_error(t->solver[i])->text);
    ask_average(t, average);
    pool_run(t->pool, (size_t)t->count, target_task, t);
    return 0;
}
