/* `pfgm field`: the network's raw output at given points, for comparing with another
 * implementation.
 *
 * One thread, through the model and not the engine: there is no solver, no seed, no request. Points
 * go through the network a few at a time, which changes nothing in the answers. */
#include "cli.h"
#include "cli_output.h"
#include "cli_stream.h"
#include "cli_tensors.h"
#include "base_size.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_BATCH 8

struct field_options {
    const char *model, *input, *output, *kernel, *precision;
};

/* All points and answers; one block each. */
struct field_points {
    size_t n, d;
    struct image_shape shape;
    float *x, *t, *v_x, *v_t;
    int32_t *label;
};

static void points_clear(struct field_points *p)
{
    free(p->x);
    free(p->t);
    free(p->v_x);
    free(p->v_t);
    free(p->label);
}

static int points_check(const struct field_points *p, const char *path, struct err *e)
{
    for (size_t i = 0; i < p->n * p->d; i++) {
        if (!isfinite(p->x[i]))
            return err_fail(e, ERR_INPUT, path, "point %zu holds a value that is not finite",
                            i / p->d);
    }
    for (size_t i = 0; i < p->n; i++) {
        if (!isfinite(p->t[i]) || !(p->t[i] > 0))
            return err_fail(e, ERR_INPUT, path, "t of point %zu is %g and must be above 0", i,
                            (double)p->t[i]);
    }
    return 0;
}

static int points_read(const struct model *m, struct ckpt_file *f, const char *path,
                       struct field_points *p, struct err *e)
{
    const bool denoises = model_denoises(m);
    const struct ckpt_tensor *x = cli_tensor_find(f, "x", denoises ? "denoise.x" : "field.x", e);
    const struct ckpt_tensor *t = !x         ? NULL
                                  : denoises ? cli_tensor_find(f, "sigma", "denoise.sigma", e)
                                             : cli_tensor_find(f, "t", "field.z", e);
    size_t bytes;
    bool has_classes;
    if (!t || cli_tensor_check_images(f, x, p->shape, &p->n, e) != 0)
        return -1;
    if (t->rank != 1 || t->shape[0] != p->n)
        return err_fail(e, ERR_INPUT, path,
                        "tensor \"%s\" must have the shape [%zu], one t per point", t->name, p->n);
    if (!size_mul(p->n, p->d, &bytes) || !size_mul(bytes, sizeof(float), &bytes))
        return err_fail(e, ERR_LIMIT, path, "%zu points of %zu values are too many", p->n, p->d);
    p->x = malloc(bytes);
    p->v_x = malloc(bytes);
    p->t = malloc(p->n * sizeof(float));
    p->v_t = malloc(p->n * sizeof(float));
    p->label = malloc(p->n * sizeof *p->label);
    if (!p->x || !p->v_x || !p->t || !p->v_t || !p->label)
        return err_fail_memory(e, 2 * bytes);
    if (ckpt_tensor_to_f32(x, p->x, e) != 0 || ckpt_tensor_to_f32(t, p->t, e) != 0 ||
        cli_tensor_labels(f, (size_t)model_class_count(m), p->n, p->label, &has_classes, e) != 0)
        return -1;
    return points_check(p, path, e);
}

static int evaluate(const struct model *m, struct field_points *p, struct err *e)
{
    struct model_workspace *ws = model_workspace_new(m, FIELD_BATCH, e);
    const float *x[FIELD_BATCH];
    float *v_x[FIELD_BATCH];
    if (!ws)
        return -1;
    for (size_t begin = 0; begin < p->n; begin += FIELD_BATCH) {
        int count = p->n - begin < FIELD_BATCH ? (int)(p->n - begin) : FIELD_BATCH;
        for (int i = 0; i < count; i++) {
            x[i] = p->x + (begin + (size_t)i) * p->d;
            v_x[i] = p->v_x + (begin + (size_t)i) * p->d;
        }
        model_field(m, ws, count, x, p->t + begin, p->label + begin, v_x, p->v_t + begin);
    }
    model_workspace_free(ws);
    for (size_t i = 0; i < p->n; i++) {
        bool finite = isfinite(p->v_t[i]);
        for (size_t k = 0; k < p->d && finite; k++)
            finite = isfinite(p->v_x[i * p->d + k]);
        if (!finite)
            return err_fail(e, ERR_NUMERIC, "", "the field at point %zu is not finite", i);
    }
    return 0;
}

static int write_field(const struct model *m, const struct field_points *p, const char *path,
                       struct err *e)
{
    const struct image_shape s = p->shape;
    const struct ckpt_output tensors[] = {
        {.name = model_denoises(m) ? "D_x" : "v_x",
         .dtype = CKPT_F32,
         .rank = 4,
         .shape = {p->n, (uint64_t)s.channels, (uint64_t)s.height, (uint64_t)s.width},
         .data = p->v_x},
        {.name = "v_t", .dtype = CKPT_F32, .rank = 1, .shape = {p->n}, .data = p->v_t},
    };
    json_t *metadata = json_pack("{s:s, s:s, s:s}", "model", model_sha256(m), "kernel",
                                 model_kernel_id(m), "precision", model_precision_name(m));
    int result;
    if (!metadata)
        return err_fail_memory(e, 512);
    result = ckpt_file_write(path, tensors, model_denoises(m) ? 1 : 2, metadata, e);
    json_decref(metadata);
    return result;
}

static int run(const struct field_options *o, struct err *e)
{
    const struct cli_output_guard guard = {.inputs = {o->model, o->input}};
    struct model *m = cli_output_prepare_file(o->output, &guard, e) != 0
                          ? NULL
                          : cli_model_load(o->model, o->kernel, o->precision, e);
    struct ckpt_file *f = m ? ckpt_file_open(o->input, e) : NULL;
    struct field_points p = {0};
    int result = -1;
    if (f && ckpt_file_verify(f, e) == 0) {
        p.shape = model_shape(m);
        p.d = model_dimension(m);
        result = points_read(m, f, o->input, &p, e);
    }
    if (result == 0)
        result = evaluate(m, &p, e);
    if (result == 0)
        result = write_field(m, &p, o->output, e);
    char shown[CLI_SHOWN_MAX];
    if (result == 0)
        printf("%zu points, %s, %s, %s\n", p.n, model_kernel_id(m), model_precision_name(m),
               cli_shown(o->output, shown));
    points_clear(&p);
    ckpt_file_close(f);
    model_free(m);
    return result;
}

static int take_option(void *context, int id, const char *word, struct err *e)
{
    struct field_options *o = context;
    (void)e;
    *(id == 'i'   ? &o->input
      : id == 'o' ? &o->output
      : id == 'k' ? &o->kernel
                  : &o->precision) = word;
    return 0;
}

static int field_main(int argc, char **argv)
{
    struct field_options o = {0};
    struct err e = {0};
    int code = cli_options_take(&cli_field_command, NULL, argc, argv, &o);
    if (code >= 0)
        return code;
    if (argc - optind != 1)
        return cli_usage_error("field", "one MODEL is needed, %d given", argc - optind);
    if (!o.input || !o.output)
        return cli_usage_error("field", "%s is needed", o.input ? "--output" : "--input");
    if (cli_stream_is_standard(o.output))
        return cli_usage_error("field",
                               "-o - is no file: a field is not written to standard output");
    o.model = argv[optind];
    return run(&o, &e) == 0 ? CLI_EXIT_OK : cli_fail("field", &e);
}

static const struct cli_option options[] = {
    {"input", 'i', 0, "FILE", CLI_VALUES_FILES, "the points"},
    {"output", 'o', 0, "FILE", CLI_VALUES_FILES, "where v_x and v_t, or D_x, go"},
    CLI_OPTION_KERNEL('k'),
    CLI_OPTION_PRECISION('p'),
    {0}};

const struct cli_command cli_field_command = {
    .name = "field",
    .summary = "evaluate a model's network at given points",
    .synopsis = "field MODEL --input IN.safetensors --output OUT.safetensors [options]",
    .about =
        "Evaluates the network at the points x [n,C,H,W] (or field.x) and t [n] (or field.z) of "
        "the input, and writes its raw output v_x [n,C,H,W] and v_t [n] in float32: as the "
        "network gives it, without the substitution at small t. For a PFGM++ model it takes x (or "
        "denoise.x), sigma (or denoise.sigma) and, where there are classes, class_onehot "
        "[n,classes] (or denoise.class_onehot; a row of zeros: no class) and writes the "
        "denoised D_x [n,C,H,W].",
    .options = options,
    .words = CLI_VALUES_FILES,
    .take = take_option,
    .run = field_main};
