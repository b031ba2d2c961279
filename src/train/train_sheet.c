/* All images of a sheet take the same fixed steps, so they are evaluated as one batch, which the
 * training network spreads over its pool. */
#include "train_sheet.h"
#include "base_file.h"
#include "field_denoise.h"
#include "field_flow.h"
#include "field_prior.h"
#include "field_student.h"
#include "image.h"
#include "archive_npy.h"
#include "ode_solver.h"
#include "train_distill.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 18

struct draw {
    const struct train_sheet *s;
    size_t n, images;
    struct ode_solver **solver;
    float *x, *t;
    const float **rows;
    int32_t *label;
    double *losses, *slope;                    /* slope [images][n] */
    double *clock;                             /* t of each image, as the solver gave it */
    double nodes[TRAIN_STUDENT_STEPS_MAX + 1]; /* of a student */
};

static bool denoises(const struct draw *d)
{
    return train_config_denoises(d->s->config);
}

static struct field_denoise around(const struct draw *d, double sigma)
{
    const struct train_config *c = d->s->config;
    return field_denoise_at(sigma, c->sigma_data, nn_arch_of_vectors(&c->arch));
}

/* The slope dx/dt or dx/d ln t from the network's field or denoiser, as in sampling. */
static double on_output(void *context, int image, const float *v_x, float v_t, float *v_x_slope,
                        float *v_t_slope)
{
    struct draw *d = context;
    const struct train_config *c = d->s->config;
    const struct field_flow flow = {c->gamma, c->t_substitution, train_config_offset(c)};
    double t = d->clock[image];
    double *slope = d->slope + (size_t)image * d->n;
    (void)v_x_slope;
    (void)v_t_slope;
    bool log_clock = ode_solver_form(d->solver[image]) == ODE_SLOPE_DLNT;
    if (denoises(d)) {
        const struct field_denoise c_at = around(d, t);
        const double *x = ode_solver_point(d->solver[image]);
        double net = field_denoise_factor(&c_at, (double)v_t), unit = log_clock ? 1 : 1 / t;
        for (size_t i = 0; i < d->n; i++)
            slope[i] = unit * ((1 - c_at.skip) * x[i] - net * (double)v_x[i]);
        return 0;
    }
    double factor = (log_clock ? t : 1.0) / field_flow_divisor(&flow, v_x, d->n, v_t, t);
    for (size_t i = 0; i < d->n; i++)
        slope[i] = factor * v_x[i];
    return 0;
}

/* A student goes by its own nodes, to *t_min; others by those of a sheet, to the run's. */
static struct ode_options solver_of(struct draw *d, double *t_min)
{
    const struct train_config *c = d->s->config;
    *t_min = c->t_min;
    if (c->objective != TRAIN_OBJECTIVE_DISTILL)
        return (struct ode_options){.method = ODE_HEUN,
                                    .clock = denoises(d) ? ODE_CLOCK_LINEAR : ODE_CLOCK_LOG,
                                    .schedule = denoises(d) ? ODE_SCHEDULE_RHO : ODE_SCHEDULE_LOG,
                                    .to_zero = denoises(d),
                                    .steps = STEPS};
    train_distill_nodes(c, d->nodes);
    *t_min = d->nodes[c->student_steps];
    return (struct ode_options){.method = ODE_EULER,
                                .schedule = ODE_SCHEDULE_TUNED,
                                .nodes = d->nodes,
                                .steps = (int)c->student_steps};
}

static int start(struct draw *d, struct err *e)
{
    const struct train_config *c = d->s->config;
    double t_min;
    const struct ode_options options = solver_of(d, &t_min);
    const float *offset = nn_grad_offset(d->s->grad);
    const struct field_student student = {.d = d->n, .added = c->added, .sigma_max = c->t_max};
    const struct field_prior prior = {.d = d->n, .t_max = c->t_max, .norm_max = c->norm_max};
    for (size_t i = 0; i < d->images; i++) {
        d->solver[i] = ode_solver_new(&options, d->n, e);
        if (!d->solver[i])
            return -1;
        if (denoises(d))
            field_student_draw(&student, c->seed, i, d->slope);
        else
            field_prior_draw(&prior, c->seed, i, d->slope);
        for (size_t k = 0; offset && k < d->n; k++)
            d->slope[k] += (double)offset[k];
        if (ode_solver_start(d->solver[i], d->slope, c->t_max, t_min, e) != 0)
            return -1;
        d->rows[i] = d->x + i * d->n;
        d->label[i] = d->s->config->arch.classes > 0
                          ? (int32_t)(i / (size_t)d->s->columns) % d->s->config->arch.classes
                          : -1;
    }
    return 0;
}

/* One evaluation for all; false when nobody wants one any more. */
static bool advance(struct draw *d)
{
    bool any = false;
    for (size_t i = 0; i < d->images; i++) {
        any |= ode_solver_status(d->solver[i]) == ODE_WANTS_SLOPE;
        const double *x = ode_solver_point(d->solver[i]);
        d->clock[i] = ode_solver_time(d->solver[i]);
        const struct field_denoise c = around(d, d->clock[i]);
        d->t[i] = (float)(denoises(d) ? c.time : d->clock[i]);
        for (size_t k = 0; k < d->n; k++)
            d->x[i * d->n + k] = (float)(denoises(d) ? c.in * x[k] : x[k]);
    }
    if (!any)
        return false;
    const struct nn_grad_batch batch = {.n = (int)d->images,
                                        .x = d->rows,
                                        .t = d->t,
                                        .label = d->s->config->arch.classes > 0 ? d->label : NULL,
                                        .loss = on_output,
                                        .context = d};
    nn_grad_run(d->s->grad, &batch, d->losses, NULL);
    for (size_t i = 0; i < d->images; i++)
        ode_solver_feed(d->solver[i], d->slope + i * d->n);
    return true;
}

static int write_sheet(const struct draw *d, const char *path, struct err *e)
{
    const struct nn_arch *arch = &d->s->config->arch;
    const struct image_shape one = {arch->channels, arch->image_size, arch->image_size};
    const struct image_grid grid = {d->s->columns, arch->image_size < 64 ? 2 : 1, IMAGE_GRID_GAP};
    struct image_shape shape;
    struct buf png;
    if (image_grid_shape(grid, one, d->images, &shape, e) != 0)
        return -1;
    uint8_t *sheet = calloc(image_shape_count(shape), 1), *pixels = calloc(d->n, 1);
    int result = sheet && pixels ? 0 : err_fail_memory(e, image_shape_count(shape));
    for (size_t i = 0; result == 0 && i < d->images; i++)
        if (image_quantise(ode_solver_state(d->solver[i]), one,
                           denoises(d) ? IMAGE_ROUND_PFGMPP : IMAGE_ROUND_PFGM, pixels, NULL) == 0)
            image_grid_place(grid, one, shape, i, pixels, sheet);
    buf_init(&png, IMAGE_PIXELS_MAX);
    if (result == 0)
        result = image_png_encode(sheet, shape, NULL, NULL, &png, e);
    if (result == 0)
        result = file_write_atomic(path, png.data, png.length, e);
    buf_clear(&png);
    free(sheet);
    free(pixels);
    return result;
}

/* Vectors as NPY [images][n], float32. */
static int write_vectors(const struct draw *d, const char *path, struct err *e)
{
    const uint64_t shape[2] = {d->images, d->n};
    struct buf npy;
    int result;
    buf_init(&npy, 4096 + d->images * d->n * sizeof(float));
    result = archive_npy_header(ARCHIVE_NPY_F32, 2, shape, &npy, e);
    for (size_t i = 0; result == 0 && i < d->images; i++) {
        for (size_t k = 0; k < d->n; k++)
            d->x[k] = (float)ode_solver_state(d->solver[i])[k];
        result = buf_append(&npy, d->x, d->n * sizeof *d->x, e);
    }
    if (result == 0)
        result = file_write_atomic(path, npy.data, npy.length, e);
    buf_clear(&npy);
    return result;
}

int train_sheet_write(const struct train_sheet *s, const char *path, struct err *e)
{
    const struct nn_arch *arch = &s->config->arch;
    struct draw d = {.s = s,
                     .n = (size_t)arch->channels * (size_t)arch->image_size *
                          (size_t)arch->image_size,
                     .images = (size_t)s->columns * (size_t)s->rows};
    int result;
    if (!nn_arch_of_vectors(arch) && arch->channels != 1 && arch->channels != 3)
        return 0; /* no PNG has that many channels */
    d.solver = calloc(d.images, sizeof *d.solver);
    d.x = calloc(d.images * d.n, sizeof *d.x);
    d.t = calloc(d.images, sizeof *d.t);
    d.rows = calloc(d.images, sizeof *d.rows);
    d.label = calloc(d.images, sizeof *d.label);
    d.losses = calloc(d.images, sizeof *d.losses);
    d.slope = calloc(d.images * d.n, sizeof *d.slope);
    d.clock = calloc(d.images, sizeof *d.clock);
    if (d.solver && d.x && d.t && d.rows && d.label && d.losses && d.slope && d.clock)
        result = start(&d, e);
    else
        result = err_fail_memory(e, d.images * d.n * 2 * sizeof(double));
    while (result == 0 && advance(&d))
        ;
    if (result == 0)
        result = nn_arch_of_vectors(arch) ? write_vectors(&d, path, e) : write_sheet(&d, path, e);
    for (size_t i = 0; d.solver && i < d.images; i++)
        ode_solver_free(d.solver[i]);
    free(d.solver);
    free(d.x);
    free(d.t);
    free(d.rows);
    free(d.label);
    free(d.losses);
    free(d.slope);
    free(d.clock);
    return result;
}
