/* Making an exact field: the readers of training data read the sources, the checkpoint holds them
 * as they are.
 *
 * The plane of start must lie far enough out that the sources look like one mass: the shares of the
 * sources are off by about (radius/T)², so T is 20 radii unless another is given. The flow ends at
 * 1e-4 radii, below the distance of sources that a person can tell apart, and steps to 0 from
 * there. */
#include "cli_convert_exact.h"

#include "base_file.h"
#include "base_size.h"
#include "ckpt_description.h"
#include "cli.h"
#include "cli_json.h"
#include "cli_output.h"
#include "cli_stream.h"
#include "field_cloud.h"
#include "archive_npy_read.h"
#include "data.h"
#include "model_choice.h"

#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T_MAX_RADII 20.0
#define T_MIN_RADII 1e-4
#define WEIGHTS_HEADER_MAX ((size_t)4096)

/* The weights of an array of them, which must be as many as there are sources. */
static int weights_take(const struct archive_npy *a, const char *path, const struct data_set *data,
                        float *out, struct err *e)
{
    if (strcmp(a->type, "<f4") != 0 && strcmp(a->type, "<f8") != 0)
        return err_fail(e, ERR_UNSUPPORTED, path,
                        "has elements of type %s: weights are float32 or float64", a->type);
    if (a->rank != 1 || a->count != data->count)
        return err_fail(e, ERR_INPUT, path,
                        "holds %zu numbers in %d dimensions: one dimension of %zu is needed, a "
                        "weight a source%s",
                        a->count, a->rank, data->count,
                        data->skipped > 0 ? " (files of DATA that cannot be used are none)" : "");
    for (size_t i = 0; i < a->count; i++) {
        const double weight = archive_npy_real(a, i);
        if (!(weight >= (double)FLT_MIN && weight <= (double)FLT_MAX))
            return err_fail(e, ERR_INPUT, path, "weight %zu is %g: weights are finite and above 0",
                            i, weight);
        out[i] = (float)weight;
    }
    return 0;
}

/* *out [count], to be freed, or NULL where no weights were given. */
static int weights_read(const struct cli_convert_exact *o, const struct data_set *data, float **out,
                        struct err *e)
{
    struct archive_npy a;
    struct buf file;
    size_t bytes;
    *out = NULL;
    if (!o->weights)
        return 0;
    if (!size_mul(data->count, sizeof(float), &bytes) || !(*out = malloc(bytes)))
        return err_fail_memory(e, data->count * sizeof(float));
    buf_init(&file, WEIGHTS_HEADER_MAX + 2 * bytes);
    int result = file_read(o->weights, &file, e);
    if (result == 0)
        result = archive_npy_read(file.data, file.length, SIZE_MAX, o->weights, &a, e);
    if (result == 0)
        result = weights_take(&a, o->weights, data, *out, e);
    buf_clear(&file);
    return result;
}

/* The cloud's radius, with all checks of the sources that a model makes when it is loaded. */
static int radius_of(const struct data_set *data, const float *weights,
                     const struct image_shape shape, double *out, struct err *e)
{
    struct field_cloud_points points = {.count = data->count,
                                        .d = image_shape_count(shape),
                                        .weights = weights,
                                        .group = data->label,
                                        .groups = data->classes};
    float *values = calloc(data->count * points.d, sizeof *values);
    struct field_cloud *cloud = NULL;
    if (!values)
        return err_fail_memory(e, data->count * points.d * sizeof *values);
    for (size_t i = 0; i < data->count; i++)
        data_image(data, i, (struct data_view){0}, values + i * points.d);
    points.points = values;
    cloud = field_cloud_new(&points, e);
    if (cloud)
        *out = field_cloud_radius(cloud);
    field_cloud_free(cloud);
    free(values);
    return cloud ? 0 : -1;
}

static int planes_set(const struct cli_convert_exact *o, double radius, struct ckpt_description *d,
                      struct err *e)
{
    if (radius == 0.0 && (o->t_max == 0.0 || o->t_min == 0.0))
        return err_fail(e, ERR_INPUT, o->data,
                        "all sources are one point, which has no radius: give --t-max and --t-min");
    d->t_max = o->t_max > 0.0 ? o->t_max : T_MAX_RADII * radius;
    d->t_min = o->t_min > 0.0 ? o->t_min : T_MIN_RADII * radius;
    if (d->t_min < MODEL_T_MIN)
        return err_fail(
            e, ERR_INPUT, o->t_min > 0.0 ? "--t-min" : o->data,
            "t_min would be %g, and a flow ends at %g at the lowest: scale the data up, "
            "or give a larger --t-min",
            d->t_min, MODEL_T_MIN);
    if (d->t_max > FIELD_T_MAX || d->t_min >= d->t_max)
        return err_fail(e, ERR_INPUT, "--t-max", "%g does not lie above --t-min %g and below %g",
                        d->t_max, d->t_min, FIELD_T_MAX);
    return 0;
}

static int write_checkpoint(const struct cli_convert_exact *o, const struct data_set *data,
                            const float *weights, const struct ckpt_description *d, struct err *e)
{
    const uint64_t n = data->count;
    struct ckpt_output tensors[3] = {
        {.name = CKPT_SOURCES,
         .dtype = data->values ? CKPT_F32 : CKPT_U8,
         .rank = 2,
         .shape = {n, image_shape_count(d->exact_shape)},
         .data = data->values ? (const void *)data->values : (const void *)data->pixels},
    };
    size_t count = 1;
    if (data->classes > 0)
        tensors[count++] = (struct ckpt_output){.name = CKPT_SOURCE_LABELS,
                                                .dtype = CKPT_I32,
                                                .rank = 1,
                                                .shape = {n},
                                                .data = data->label};
    if (weights)
        tensors[count++] = (struct ckpt_output){.name = CKPT_SOURCE_WEIGHTS,
                                                .dtype = CKPT_F32,
                                                .rank = 1,
                                                .shape = {n},
                                                .data = weights};
    json_t *description = ckpt_description_json(d, e);
    char *text = description ? json_dumped(description, JSON_COMPACT, e) : NULL;
    json_t *metadata = text ? json_pack("{s:s}", CKPT_DESCRIPTION_KEY, text) : NULL;
    int result = -1;

    if (metadata)
        result = ckpt_file_write(o->output, tensors, count, metadata, e);
    else if (description)
        err_fail_memory(e, 4096);
    json_decref(metadata);
    free(text);
    json_decref(description);
    return result;
}

static int print_report(const struct cli_convert_exact *o, const struct data_set *data,
                        const struct ckpt_description *d, struct err *e)
{
    char digest[SHA256_HEX_SIZE];
    struct image_shape s = d->exact_shape;
    int result = 0;
    if (sha256_file_hex(o->output, digest, e) != 0)
        return -1;
    if (o->json) {
        json_t *root =
            json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "input", o->data, "output", o->output,
                      "sha256", digest, "sources", (json_int_t)data->count, "skipped",
                      (json_int_t)data->skipped, "description", ckpt_description_json(d, e));
        result = root ? cli_json_print(root, e)
                      : json_fail(e, ERR_INPUT, o->data,
                                  "a file name is not UTF-8, so JSON cannot hold it");
        json_decref(root);
        return result;
    }
    char shown[CLI_SHOWN_MAX];
    printf("%s\n", cli_shown(o->output, shown));
    printf("  sources     %zu of shape [%d, %d, %d]", data->count, s.channels, s.height, s.width);
    if (data->skipped > 0)
        printf(", %zu files skipped", data->skipped);
    printf("\n  t           from %.6g to %.6g, then to 0\n", d->t_max, d->t_min);
    if (d->label_count > 0)
        printf("  classes     %d\n", d->label_count);
    if (o->weights)
        printf("  weights     %s\n", cli_shown(o->weights, shown));
    printf("  sha256      %s\n", digest);
    return 0;
}

int cli_convert_exact(const struct cli_convert_exact *o, struct err *e)
{
    const struct data_options options = {.path = o->data, .labels = o->labels, .strict = o->strict};
    struct data_set data;
    float *weights = NULL;
    double radius = 0.0;
    const struct cli_output_guard guard = {.inputs = {o->data, o->labels, o->weights}};
    if ((o->json && cli_json_paths(o->data, o->output, e) != 0) ||
        cli_output_prepare_file(o->output, &guard, e) != 0 || data_open(&options, &data, e) != 0)
        return -1;
    struct ckpt_description d = {
        .family = CKPT_FAMILY_EXACT,
        .exact_shape = data.values ? (struct image_shape){1, 1, data.channels}
                                   : (struct image_shape){data.channels, data.side, data.side},
        .labels = data.classes > 0 ? data.names : NULL, /* borrowed */
        .label_count = data.classes,
        .provenance = {.step = -1, .weights = "raw"},
    };
    ckpt_description_source(&d, o->data);
    memcpy(d.provenance.source_sha256, data.sha256, sizeof data.sha256);
    int result = ckpt_description_check_labels(&d, o->data, e);
    if (result == 0)
        result = data_resolution_check(&data, o->data, e);
    if (result == 0)
        result = weights_read(o, &data, &weights, e);
    if (result == 0)
        result = radius_of(&data, weights, d.exact_shape, &radius, e);
    if (result == 0)
        result = planes_set(o, radius, &d, e);
    if (result == 0)
        result = write_checkpoint(o, &data, weights, &d, e);
    if (result == 0)
        result = print_report(o, &data, &d, e);
    free(weights);
    data_clear(&data);
    return result;
}
