/* The import. A wrong weight makes a picture that looks almost right, so nothing is guessed:
 *
 *  - the model's table must hold exactly the network's parameters, each with its shape, whichever
 * weights are taken;
 *  - the EMA list has no names; its i-th tensor belongs to the i-th trainable parameter in the
 * order of registration. The names of the model's table show that order, so they must stand in the
 * network's own, or the list is refused;
 *  - the frozen Fourier projection is in no EMA and comes from the model;
 *  - every value must be finite in float32.
 *
 * All shapes are compared before the first value is read, so a file can make this allocate no more
 * than the description's network needs. */
#include "ckpt_convert.h"

#include "base_size.h"
#include "ckpt_dtype.h"
#include "ckpt_torch.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Known tensors of the reference's state dict that are no weights: the noise levels of another
 * method, which the network's constructor registers and never reads. */
static const char *const skipped[] = {"sigmas"};

/* Where a parameter's values come from. */
struct source {
    bool ema;
    size_t index; /* in the model's or the EMA's table */
};

struct import {
    struct ckpt_torch *torch;
    struct nn_param *params;
    size_t count;
    struct source *sources; /* [count] */
    struct ckpt_output *outputs;
    float *values; /* of all parameters, one after the other */
    enum ckpt_weights weights;
};

static bool is_skipped(const char *name)
{
    for (size_t i = 0; i < sizeof skipped / sizeof skipped[0]; i++)
        if (strcmp(name, skipped[i]) == 0)
            return true;
    return false;
}

static int shape_check(const struct import *im, const struct nn_param *param,
                       const struct ckpt_torch_tensor *found, struct err *e)
{
    uint64_t shape[CKPT_RANK_MAX] = {0};
    char expected[CKPT_SHAPE_TEXT], given[CKPT_SHAPE_TEXT], alias[128] = "";
    bool same = found->rank == param->rank;

    for (int i = 0; i < param->rank; i++) {
        shape[i] = param->shape[i];
        same = same && found->shape[i] == shape[i];
    }
    if (strcmp(found->name, param->name) != 0)
        snprintf(alias, sizeof alias, " (for \"%s\")", param->name);
    if (!same)
        return err_fail(e, ERR_INPUT, ckpt_torch_path(im->torch),
                        "tensor \"%.120s\"%s: shape %s expected, %s found", found->name, alias,
                        ckpt_shape_text(param->rank, shape, expected),
                        ckpt_shape_text(found->rank, found->shape, given));
    if (!ckpt_dtype_is_float(found->dtype))
        return err_fail(e, ERR_INPUT, ckpt_torch_path(im->torch),
                        "tensor \"%.120s\"%s: dtype %s where a float type is needed", found->name,
                        alias, ckpt_dtype_name(found->dtype));
    return 0;
}

typedef int64_t (*finder)(const struct ckpt_torch *torch, const char *name);
typedef const struct ckpt_torch_tensor *(*getter)(const struct ckpt_torch *torch, size_t i);

/* Compares a table of names with the parameters: each there, nothing else. `ema` also says whether
 * frozen parameters may be absent. */
static int names_match(struct import *im, bool ema, struct err *e)
{
    const finder find = ema ? ckpt_torch_ema_find : ckpt_torch_find;
    const getter get = ema ? ckpt_torch_ema_tensor : ckpt_torch_tensor;
    size_t count = ema ? ckpt_torch_ema_count(im->torch) : ckpt_torch_count(im->torch);
    const char *path = ckpt_torch_path(im->torch), *table = ema ? "ema" : "model";
    size_t used = 0;
    bool *known = calloc(count + 1, sizeof *known);
    int result = known ? 0 : err_fail_memory(e, count + 1);

    for (size_t i = 0; !result && i < im->count; i++) {
        const struct nn_param *param = &im->params[i];
        int64_t at = find(im->torch, param->name);
        if (at < 0 && ema && !param->trainable)
            continue;
        if (at < 0) {
            result = err_fail(e, ERR_INPUT, path, "tensor \"%s\" is missing from \"%s\"",
                              param->name, table);
            break;
        }
        result = shape_check(im, param, get(im->torch, (size_t)at), e);
        known[at] = true;
        used++;
        if (!ema || param->trainable)
            im->sources[i] = (struct source){ema, (size_t)at};
    }
    for (size_t i = 0; !result && i < count; i++) {
        const char *name = get(im->torch, i)->name;
        if (known[i] || is_skipped(name))
            continue;
        result = err_fail(e, ERR_INPUT, path,
                          "tensor \"%.200s\" in \"%s\" is unexpected: the configured network has "
                          "none of that name (%zu of its %zu were found)",
                          name, table, used, im->count);
    }
    free(known);
    return result;
}

/* Gives the i-th tensor of the list to the i-th trainable parameter. */
static int list_match(struct import *im, struct err *e)
{
    const char *path = ckpt_torch_path(im->torch);
    size_t trainable = 0, at = 0, count = ckpt_torch_ema_count(im->torch);

    for (size_t i = 0; i < im->count; i++) {
        trainable += im->params[i].trainable;
        /* where the model's table differs from the order of registration, the list's is unknown */
        if (i > 0 && im->sources[i].index <= im->sources[i - 1].index)
            return err_fail(
                e, ERR_INPUT, path,
                "the model's tensors are not in the network's order (\"%s\"), so the EMA "
                "list cannot be matched to them; use --weights raw",
                im->params[i].name);
    }
    if (count != trainable)
        return err_fail(e, ERR_INPUT, path,
                        "ema.shadow_params holds %zu tensors, but the network has %zu trainable "
                        "ones",
                        count, trainable);
    for (size_t i = 0; i < im->count; i++) {
        if (!im->params[i].trainable)
            continue;
        if (shape_check(im, &im->params[i], ckpt_torch_ema_tensor(im->torch, at), e))
            return -1;
        im->sources[i] = (struct source){true, at++};
    }
    return 0;
}

static int sources_match(struct import *im, struct err *e)
{
    im->sources = calloc(im->count + 1, sizeof *im->sources);
    if (!im->sources)
        return err_fail_memory(e, im->count * sizeof *im->sources);
    if (names_match(im, false, e))
        return -1;
    if (im->weights == CKPT_WEIGHTS_RAW)
        return 0;
    switch (ckpt_torch_ema_kind(im->torch)) {
    case CKPT_TORCH_EMA_LIST:
        return list_match(im, e);
    case CKPT_TORCH_EMA_NAMED:
        return names_match(im, true, e);
    case CKPT_TORCH_EMA_NONE:
        break;
    }
    return err_fail(e, ERR_INPUT, ckpt_torch_path(im->torch),
                    "holds no EMA weights; use --weights raw");
}

static int param_read(struct import *im, size_t i, float *out, struct err *e)
{
    const struct source *source = &im->sources[i];
    size_t count = im->params[i].count;
    char alias[128] = "";

    if (source->ema ? ckpt_torch_ema_read(im->torch, source->index, out, e)
                    : ckpt_torch_read(im->torch, source->index, out, e))
        return -1;
    for (size_t k = 0; k < count; k++) {
        if (isfinite(out[k]))
            continue;
        if (source->ema && ckpt_torch_ema_kind(im->torch) == CKPT_TORCH_EMA_LIST)
            snprintf(alias, sizeof alias, " (ema.shadow_params[%zu])", source->index);
        return err_fail(e, ERR_INPUT, ckpt_torch_path(im->torch),
                        "tensor \"%s\"%s: non-finite weights (element %zu is %s)",
                        im->params[i].name, alias, k, isnan(out[k]) ? "NaN" : "infinite");
    }
    return 0;
}

static int values_read(struct import *im, void (*progress)(void *, size_t, size_t), void *context,
                       struct ckpt_census *census, struct err *e)
{
    size_t scalars = 0, bytes = 0;

    for (size_t i = 0; i < im->count; i++)
        if (!size_add(scalars, im->params[i].count, &scalars))
            return err_fail(e, ERR_LIMIT, ckpt_torch_path(im->torch), "the network is too large");
    if (!size_mul(scalars, sizeof *im->values, &bytes))
        return err_fail(e, ERR_LIMIT, ckpt_torch_path(im->torch), "the network is too large");
    im->values = malloc(bytes + 1);
    im->outputs = calloc(im->count + 1, sizeof *im->outputs);
    if (!im->values || !im->outputs)
        return err_fail_memory(e, bytes);
    float *at = im->values;
    for (size_t i = 0; i < im->count; i++) {
        struct ckpt_output *output = &im->outputs[i];
        if (param_read(im, i, at, e))
            return -1;
        output->name = im->params[i].name;
        output->dtype = CKPT_F32;
        output->rank = im->params[i].rank;
        for (int k = 0; k < output->rank; k++)
            output->shape[k] = im->params[i].shape[k];
        output->data = at;
        at += im->params[i].count;
        if (progress)
            progress(context, i + 1, im->count);
    }
    *census = (struct ckpt_census){im->count, scalars};
    return 0;
}

static int provenance_fill(struct import *im, struct ckpt_description *d, struct err *e)
{
    const char *path = ckpt_torch_path(im->torch), *slash = strrchr(path, '/');
    const char *digest = ckpt_torch_sha256(im->torch, e);

    if (!digest)
        return -1;
    strcpy(d->provenance.source_sha256, digest);
    snprintf(d->provenance.source_name, sizeof d->provenance.source_name, "%s",
             slash ? slash + 1 : path);
    /* a file name may be any bytes, the description is JSON */
    json_t *text = json_string(d->provenance.source_name);
    if (!text)
        strcpy(d->provenance.source_name, "(name is not UTF-8)");
    json_decref(text);
    d->provenance.step = ckpt_torch_step(im->torch);
    strcpy(d->provenance.weights, im->weights == CKPT_WEIGHTS_EMA ? "ema" : "raw");
    return 0;
}

static int output_write(const struct import *im, const char *output,
                        const struct ckpt_description *d, struct err *e)
{
    struct buf text;
    json_t *description = ckpt_description_json(d, e);
    json_t *metadata = NULL;
    int result = -1;

    buf_init(&text, 1 << 20);
    if (description && !json_append(&text, description, JSON_COMPACT, e)) {
        metadata = json_pack("{s:s%}", CKPT_DESCRIPTION_KEY, (const char *)text.data, text.length);
        result = metadata ? ckpt_file_write(output, im->outputs, im->count, metadata, e)
                          : err_fail_memory(e, text.length);
    }
    json_decref(metadata);
    json_decref(description);
    buf_free(&text);
    return result;
}

/* Writing over the input would destroy what the output's provenance points to. */
static int paths_differ(const char *input, const char *output, struct err *e)
{
    struct stat in, out;

    if (stat(input, &in) == 0 && stat(output, &out) == 0 && in.st_dev == out.st_dev &&
        in.st_ino == out.st_ino)
        return err_fail(e, ERR_INPUT, output, "is the input file; name another output");
    return 0;
}

int ckpt_convert(const char *input, const char *output, struct ckpt_description *description,
                 enum ckpt_weights weights,
                 void (*progress)(void *context, size_t done, size_t all), void *context,
                 struct ckpt_census *census, struct err *e)
{
    struct import im = {.weights = weights};
    int result = -1;

    if (paths_differ(input, output, e))
        return -1;
    im.torch = ckpt_torch_open(input, e);
    if (im.torch)
        im.params = nn_arch_params(&description->arch, &im.count, e);
    if (im.params && !sources_match(&im, e) && !values_read(&im, progress, context, census, e) &&
        !provenance_fill(&im, description, e))
        result = output_write(&im, output, description, e);
    free(im.values);
    free(im.outputs);
    free(im.sources);
    free(im.params);
    ckpt_torch_close(im.torch);
    return result;
}
