/* The step: batch, network forward and back, Adam. */
#include "train_work.h"
#include "train_adam.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int train_work_open(struct train_work *w, const struct train_work_options *options, struct err *e)
{
    const struct train_config *c = options->config;
    const struct nn_grad_options grad = {
        .kernel = options->kernel, .batch = (int)c->batch, .dropout = c->dropout, .seed = c->seed};
    w->o = *options;
    w->pool = pool_new(options->threads, e);
    if (!w->pool)
        return -1;
    w->grad = nn_grad_new(&c->arch, &grad, w->pool, e);
    if (!w->grad)
        return -1;
    w->params = nn_grad_params(w->grad, &w->param_count);
    w->gradient = calloc(w->state.count, sizeof *w->gradient);
    w->losses = calloc((size_t)c->batch, sizeof *w->losses);
    if (!w->gradient || !w->losses)
        return err_fail_memory(e, w->state.count * sizeof *w->gradient);
    if (train_batch_init(&w->batch, c, options->data, options->kernel, w->pool, e) != 0)
        return -1;
    if (options->teacher && !(w->targets = train_teacher_new(options->teacher, c, w->pool, e)))
        return -1;
    return 0;
}

void train_work_clear(struct train_work *w)
{
    train_teacher_free(w->targets);
    train_batch_clear(&w->batch);
    train_state_clear(&w->state);
    nn_grad_free(w->grad);
    pool_free(w->pool);
    free(w->gradient);
    free(w->losses);
    *w = (struct train_work){0};
}

/* A student begins as its teacher. */
int train_work_begin(struct train_work *w, const char *teacher, struct err *e)
{
    struct train_state *s = &w->state;
    if (!teacher)
        train_state_init(s, w->params, w->param_count, w->o.config->seed, w->o.data);
    else if (train_teacher_weights(w->o.teacher, teacher, w->params, w->param_count, s->weights,
                                   e) != 0)
        return -1;
    train_state_begin_averages(s);
    return 0;
}

static double on_loss(void *context, int image, const float *v_x, float v_t, float *v_x_slope,
                      float *v_t_slope)
{
    const struct train_batch *b = context;
    return train_batch_loss(b, image, v_x, v_t, 1.0f / (float)b->count, v_x_slope, v_t_slope);
}

/* How many there are. */
static int list_averages(const struct train_state *s, const struct train_config *c,
                         struct train_average out[TRAIN_AVERAGES_MAX + 2])
{
    int count = 0;
    out[count++] = (struct train_average){s->ema, c->ema, true};
    if (s->target)
        out[count++] = (struct train_average){s->target, c->target_ema, false};
    for (int i = 0; i < s->other_count; i++)
        out[count++] = (struct train_average){s->others[i], c->ema_others.rate[i], true};
    return count;
}

int train_work_step(struct train_work *w, struct err *e)
{
    const struct train_config *c = w->o.config;
    struct train_state *s = &w->state;
    double loss = 0;
    train_batch_make(&w->batch, s->step);
    if (w->targets) {
        nn_grad_weights_set(w->grad, s->target);
        if (train_teacher_targets(w->targets, &w->batch, w->grad, e) != 0)
            return -1;
    }
    nn_grad_weights_set(w->grad, s->weights);
    const struct nn_grad_batch batch = {.n = w->batch.count,
                                        .x = w->batch.x,
                                        .t = w->batch.t,
                                        .label = c->conditional ? w->batch.label : NULL,
                                        .training = true,
                                        .step = (uint64_t)s->step,
                                        .loss = on_loss,
                                        .context = &w->batch};
    nn_grad_run(w->grad, &batch, w->losses, w->gradient);
    for (int i = 0; i < w->batch.count; i++)
        loss += w->losses[i];
    loss /= w->batch.count;
    double norm = train_gradient_norm(w->pool, w->gradient, s->count);
    if (!isfinite(loss) || !isfinite(norm))
        return err_fail(e, ERR_NUMERIC, "",
                        "at step %" PRId64 " the %s is not finite; the last saved state is good: "
                        "lower \"learning_rate\" (%g) and begin anew",
                        s->step, isfinite(loss) ? "gradient" : "loss", c->learning_rate);
    const struct train_adam_step update = {.step = s->step + 1,
                                           .rate = train_config_rate(c, s->step),
                                           .norm = norm,
                                           .clip = c->clip,
                                           .gradient = w->gradient};
    struct train_average averages[TRAIN_AVERAGES_MAX + 2];
    struct train_adam adam = {.count = s->count,
                              .weights = s->weights,
                              .mean = s->mean,
                              .square = s->square,
                              .averages = averages,
                              .average_count = list_averages(s, c, averages)};
    train_adam_update(w->pool, &adam, &update);
    s->step++;
    s->loss_sum += loss;
    s->norm_sum += norm;
    s->sum_count++;
    return 0;
}
