/* Reading points. Files are mapped, their sizes checked against what they say, and copied as
 * doubles. */
#include "cli_points.h"

#include "cli_run.h"
#include "cli_tensors.h"
#include "cli_stream.h"
#include "base_size.h"
#include "data.h"

#include <dirent.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void cli_points_clear(struct cli_points *p)
{
    free(p->values);
    free(p->labels);
    *p = (struct cli_points){0};
}

static int take(const struct model *m, size_t n, const char *path, struct cli_points *out,
                struct err *e)
{
    size_t d = model_dimension(m), bytes;
    if (n > CLI_IMAGES_MAX || !size_mul(n, d, &bytes) || !size_mul(bytes, sizeof(double), &bytes))
        return err_fail(e, ERR_LIMIT, path, "%zu images of %zu values are too many", n, d);
    out->values = malloc(bytes);
    out->n = n;
    return out->values ? 0 : err_fail_memory(e, bytes);
}

/* ---- arrays and tensors ---- */

static int take_npy(const struct model *m, const struct cli_source *source,
                    const struct model_scale *scale, struct cli_points *out, struct err *e)
{
    const char *path = source->name;
    struct archive_npy a;
    size_t n;
    if (archive_npy_read(source->data, source->length, SIZE_MAX, path, &a, e) != 0 ||
        model_points_count(&a, CLI_IMAGES_MAX, path, &n, e) != 0 || take(m, n, path, out, e) != 0)
        return -1;
    return scale ? model_points_images(m, &a, n, *scale, path, out->values, e)
                 : model_points_latents(m, &a, n, path, out->values, e);
}

static int read_npy(const struct model *m, const char *path, const struct model_scale *scale,
                    struct cli_points *out, struct err *e)
{
    struct cli_source source;
    if (cli_source_open(&source, path, e) != 0)
        return -1;
    int result = take_npy(m, &source, scale, out, e);
    cli_source_close(&source);
    return result;
}

static int read_tensor(const struct model *m, const struct ckpt_file *f, const char *other,
                       struct cli_points *out, struct err *e)
{
    const struct ckpt_tensor *t = cli_tensor_find(f, "x", other, e);
    const char *path = ckpt_file_path(f);
    size_t d = model_dimension(m), n;
    if (!t || cli_tensor_check_images(f, t, model_shape(m), &n, e) != 0 ||
        take(m, n, path, out, e) != 0 || ckpt_tensor_to_f64(t, out->values, e) != 0)
        return -1;
    for (size_t i = 0; i < n * d; i++)
        if (!(fabs(out->values[i]) <= (double)FLT_MAX))
            return err_fail(e, ERR_INPUT, path,
                            "value %zu of image %zu must be a finite number of single precision",
                            i % d, i / d);
    return 0;
}

static int read_labels(const struct model *m, const struct ckpt_file *f, struct cli_points *out,
                       struct err *e)
{
    if (model_class_count(m) == 0)
        return 0;
    out->labels = malloc(out->n * sizeof *out->labels);
    if (!out->labels)
        return err_fail_memory(e, out->n * sizeof *out->labels);
    bool found;
    int result = cli_tensor_labels(f, (size_t)model_class_count(m), out->n, out->labels, &found, e);
    if (result == 0 && found)
        return 0;
    free(out->labels);
    out->labels = NULL;
    return result;
}

static int read_tensors(const struct model *m, const char *path, const char *other,
                        bool with_labels, struct cli_points *out, struct err *e)
{
    struct ckpt_file *f = ckpt_file_open(path, e);
    int result = f && ckpt_file_verify(f, e) == 0 ? read_tensor(m, f, other, out, e) : -1;
    if (result == 0 && with_labels)
        result = read_labels(m, f, out, e);
    ckpt_file_close(f);
    return result;
}

/* ---- pictures ---- */

static int read_png(const struct model *m, const char *path, size_t i, struct model_scale scale,
                    double *out, struct err *e)
{
    struct file_map map;
    if (file_map_open(&map, path, e) != 0)
        return -1;
    int result = model_points_png(m, map.data, map.length, i, scale, path, out, e);
    file_map_close(&map);
    return result;
}

static int is_picture(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && data_picture_named(entry->d_name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_listed(const struct model *m, const char *folder, struct dirent *const *entries,
                       struct model_scale scale, struct cli_points *out, struct err *e)
{
    const size_t d = model_dimension(m);
    struct buf path;
    int result = 0;
    buf_init(&path, 65536);
    for (size_t i = 0; i < out->n && result == 0; i++) {
        buf_reset(&path);
        result = buf_format(&path, e, "%s/%s", folder, entries[i]->d_name);
        if (result == 0)
            result = read_png(m, (const char *)path.data, i, scale, out->values + i * d, e);
    }
    buf_clear(&path);
    return result;
}

static int read_folder(const struct model *m, const char *folder, struct model_scale scale,
                       struct cli_points *out, struct err *e)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_picture, by_name), result;
    if (count < 0)
        return err_fail(e, errno == ENOMEM ? ERR_MEMORY : ERR_INPUT, folder,
                        "is no .png, .npy or .safetensors, and as a folder cannot be read: %s",
                        strerror(errno));
    result = count > 0 ? take(m, (size_t)count, folder, out, e)
                       : err_fail(e, ERR_INPUT, folder, "holds no files whose names end in .png");
    if (result == 0)
        result = read_listed(m, folder, entries, scale, out, e);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return result;
}

/* What comes on standard input has no name: its first bytes say what it is. */
static int read_standard(const struct model *m, struct model_scale scale, struct cli_points *out,
                         struct err *e)
{
    struct cli_source source;
    int result;
    if (cli_source_open(&source, "-", e) != 0)
        return -1;
    if (source.length >= 6 && memcmp(source.data, "\x93NUMPY", 6) == 0)
        result = take_npy(m, &source, &scale, out, e);
    else if (source.length >= 4 && memcmp(source.data, "\x89PNG", 4) == 0)
        result = take(m, 1, source.name, out, e) != 0
                     ? -1
                     : model_points_png(m, source.data, source.length, 0, scale, source.name,
                                        out->values, e);
    else
        result = err_fail(e, ERR_INPUT, source.name, "holds neither a PNG nor a .npy");
    cli_source_close(&source);
    return result;
}

int cli_points_pair(const struct model *m, const char *const paths[2], struct model_scale scale,
                    struct cli_points *out, struct err *e)
{
    const size_t d = model_dimension(m);
    if (take(m, 2, paths[0], out, e) != 0)
        return -1;
    for (size_t i = 0; i < 2; i++)
        if (read_png(m, paths[i], i, scale, out->values + i * d, e) != 0)
            return -1;
    return 0;
}

int cli_points_images(const struct model *m, const char *path, struct model_scale scale,
                      struct cli_points *out, struct err *e)
{
    if (cli_stream_is_standard(path))
        return read_standard(m, scale, out, e);
    if (file_name_ends(path, ".npy"))
        return read_npy(m, path, &scale, out, e);
    if (file_name_ends(path, ".safetensors"))
        return read_tensors(m, path, "likelihood.x", false, out, e);
    if (!data_picture_named(path))
        return read_folder(m, path, scale, out, e);
    return take(m, 1, path, out, e) != 0 ? -1 : read_png(m, path, 0, scale, out->values, e);
}

int cli_points_latents(const struct model *m, const char *path, bool with_labels,
                       struct cli_points *out, struct err *e)
{
    if (file_name_ends(path, ".npy") || cli_stream_is_standard(path))
        return read_npy(m, path, NULL, out, e);
    return read_tensors(m, path, model_denoises(m) ? "heun18.latent" : "prior.x", with_labels, out,
                        e);
}

/* ---- probes ---- */

/* How many probes per image an array of that shape holds; 0 if it is none of probes. */
static size_t probes_of(const struct model *m, int rank, const size_t *shape, size_t n)
{
    const struct image_shape s = model_shape(m);
    const size_t datum[3] = {(size_t)s.channels, (size_t)s.height, (size_t)s.width};
    int length = model_vectors(m) && rank < 4 ? 1 : 3; /* sides of a datum */
    if ((rank != 1 + length && rank != 2 + length) || shape[0] != n)
        return 0;
    for (int i = 0; i < length; i++)
        if (shape[rank - length + i] != datum[3 - length + i])
            return 0;
    return rank == 1 + length ? 1 : shape[1];
}

static int check_probes(const struct model *m, const char *path, int rank, const size_t *shape,
                        size_t n, int *probes, struct err *e)
{
    const struct image_shape s = model_shape(m);
    size_t k = probes_of(m, rank, shape, n);
    if (k < 1 || k > MODEL_PROBES_MAX)
        return err_fail(e, ERR_INPUT, path,
                        "must hold probes [%zu, %d, %d, %d], or [%zu, K, %d, %d, %d] with K of 1 "
                        "to %d: as many as there are images",
                        n, s.channels, s.height, s.width, n, s.channels, s.height, s.width,
                        MODEL_PROBES_MAX);
    *probes = (int)k;
    return 0;
}

/* `count` is no more than the file has bytes. */
static float *take_floats(size_t count, struct err *e)
{
    float *out = malloc(count * sizeof *out);
    if (!out)
        err_fail_memory(e, count * sizeof *out);
    return out;
}

static int probes_npy(const struct model *m, const char *path, size_t n, int *probes, float **out,
                      struct err *e)
{
    struct file_map map;
    struct archive_npy a;
    if (file_map_open(&map, path, e) != 0)
        return -1;
    int result = archive_npy_read(map.data, map.length, SIZE_MAX, path, &a, e) != 0 ||
                 check_probes(m, path, a.rank, a.shape, n, probes, e) != 0;
    if (result == 0 && !(*out = take_floats(a.count, e)))
        result = -1;
    for (size_t i = 0; i < a.count && result == 0; i++) {
        double value = archive_npy_real(&a, i);
        if (fabs(value) <= (double)FLT_MAX)
            (*out)[i] = (float)value;
        else
            result = err_fail(e, ERR_INPUT, path,
                              "value %zu must be a finite number, float32 or float64", i);
    }
    file_map_close(&map);
    return result != 0 ? -1 : 0;
}

static int probes_tensor(const struct model *m, const char *path, size_t n, int *probes,
                         float **out, struct err *e)
{
    struct ckpt_file *f = ckpt_file_open(path, e);
    const struct ckpt_tensor *t = f ? cli_tensor_find(f, "epsilon", "likelihood.epsilon", e) : NULL;
    size_t shape[CKPT_RANK_MAX];
    int result = t ? ckpt_file_verify(f, e) : -1;
    for (int i = 0; t && i < t->rank; i++)
        shape[i] = (size_t)t->shape[i];
    if (result == 0)
        result = check_probes(m, path, t->rank, shape, n, probes, e);
    if (result == 0)
        result = (*out = take_floats((size_t)t->count, e)) ? ckpt_tensor_to_f32(t, *out, e) : -1;
    for (size_t i = 0; result == 0 && i < t->count; i++)
        if (!isfinite((*out)[i]))
            result = err_fail(e, ERR_INPUT, path, "value %zu of \"%s\" is not finite", i, t->name);
    ckpt_file_close(f);
    return result;
}

int cli_points_probes(const struct model *m, const char *path, size_t n, int *probes, float **out,
                      struct err *e)
{
    return file_name_ends(path, ".npy") ? probes_npy(m, path, n, probes, out, e)
                                        : probes_tensor(m, path, n, probes, out, e);
}
