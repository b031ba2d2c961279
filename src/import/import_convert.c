/* The import. A wrong weight makes a picture that looks almost right, so nothing is guessed:
 *
 *  - the model's table must hold exactly the network's parameters, each with its shape, whichever
 * weights are taken;
 *  - the EMA list has no names; its i-th tensor belongs to the i-th trainable parameter in the
 * order of registration. The names of the model's table show that order, so they must stand in the
 * network's own, or the list is refused;
 *  - the frozen Fourier projection is in no EMA and comes from the model;
 *  - every value must be finite in float32;
 *  - a file that says what its network is (PFGM++'s) is taken at its word, and by its names
 * (import_song.h); its EMA is a whole network of its own.
 *
 * All shapes are compared before the first value is read, so a file can make this allocate no more
 * than the description's network needs. */
#include "import_convert.h"

#include "base_file.h"
#include "base_size.h"
#include "import_plain.h"
#include "import_song.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Known tensors of the reference's state dict that are no weights: the noise levels of another
 * method, which the network's constructor registers and never reads. */
static const char *const skipped[] = {"sigmas"};
#define SKIPPED_MAX 65536 /* elements; the reference has a thousand */

/* Where a parameter's values come from. */
struct origin {
    const struct import_source *source;
    size_t index;                        /* in its table */
    const struct import_song_item *item; /* NULL: the values lie there as they do here */
};

struct import {
    const char *path;
    struct import_torch *torch; /* one of these two */
    struct import_plain *plain;
    struct import_song song; /* with a description where the file gives it */
    struct import_song_item *items;
    struct nn_param *params;
    size_t count;
    struct import_source model, ema;
    struct origin *origins; /* [count] */
    size_t *order;          /* [count]: parameters in the order of reading */
    struct ckpt_output *outputs;
    float *values; /* of all parameters, one after the other */
    enum import_weights weights;
};

static bool is_skipped(const char *name)
{
    for (size_t i = 0; i < sizeof skipped / sizeof skipped[0]; i++)
        if (strcmp(name, skipped[i]) == 0)
            return true;
    return false;
}

/* Compares a table of names with the parameters: each there, nothing else. In the EMA's, frozen
 * parameters may be absent. */
static int names_match(struct import *im, bool ema, struct err *e)
{
    const struct import_source *source = ema ? &im->ema : &im->model;
    const struct import_table *table = source->table;
    size_t used = 0;
    bool *known = calloc(table->count + 1, sizeof *known);
    int result = known ? 0 : err_fail_memory(e, table->count + 1);
    for (size_t i = 0; !result && i < im->count; i++) {
        const struct nn_param *param = &im->params[i];
        bool optional = ema && !param->trainable;
        if (optional && import_table_find(table, param->name) < 0)
            continue;
        int64_t at =
            import_source_take(source, param->name, param->rank, param->shape, param->name, e);
        if (at < 0) {
            result = -1;
            break;
        }
        known[at] = true;
        used++;
        if (!optional)
            im->origins[i] = (struct origin){source, (size_t)at, NULL};
    }
    for (size_t i = 0; !result && i < table->count; i++) {
        const char *name = table->tensors[i].name;
        if (known[i] || (is_skipped(name) && table->tensors[i].count <= SKIPPED_MAX))
            continue;
        result = err_fail(e, ERR_INPUT, source->path,
                          "tensor \"%.200s\" in \"%s\" is unexpected: the configured network has "
                          "none of that name (%zu of its %zu were found)",
                          name, source->word, used, im->count);
    }
    free(known);
    return result;
}

/* Gives the i-th tensor of the list to the i-th trainable parameter. */
static int list_match(struct import *im, struct err *e)
{
    const char *path = im->path;
    size_t trainable = 0, at = 0, count = import_torch_ema_count(im->torch);
    for (size_t i = 0; i < im->count; i++) {
        trainable += im->params[i].trainable;
        /* where the model's table differs from the order of registration, the list's is unknown */
        if (i > 0 && im->origins[i].index <= im->origins[i - 1].index)
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
        const struct nn_param *param = &im->params[i];
        if (import_source_check(&im->ema, &im->ema.table->tensors[at], param->rank, param->shape,
                                param->name, e) != 0)
            return -1;
        im->origins[i] = (struct origin){&im->ema, at++, NULL};
    }
    return 0;
}

static int origins_match(struct import *im, struct err *e)
{
    im->origins = calloc(im->count + 1, sizeof *im->origins);
    if (!im->origins)
        return err_fail_memory(e, im->count * sizeof *im->origins);
    if (names_match(im, false, e) != 0)
        return -1;
    if (im->weights == IMPORT_WEIGHTS_RAW)
        return 0;
    switch (import_torch_ema_kind(im->torch)) {
    case IMPORT_TORCH_EMA_LIST:
        return list_match(im, e);
    case IMPORT_TORCH_EMA_NAMED:
        return names_match(im, true, e);
    case IMPORT_TORCH_EMA_NONE:
        break;
    }
    return err_fail(e, ERR_INPUT, im->path, "holds no EMA weights; use --weights raw");
}

/* A network that was saved with what it is: its tensors have the reference's names. */
static int song_match(struct import *im, struct err *e)
{
    im->origins = calloc(im->count + 1, sizeof *im->origins);
    im->items = calloc(im->count + 1, sizeof *im->items);
    if (!im->origins || !im->items)
        return err_fail_memory(e, im->count * sizeof *im->items);
    if (import_song_match(&im->song, im->params, im->count, &im->model, im->items, e) != 0)
        return -1;
    for (size_t i = 0; i < im->count; i++)
        im->origins[i] = (struct origin){&im->model, im->items[i].index, &im->items[i]};
    return 0;
}

static int param_read(struct import *im, size_t i, float *out, struct err *e)
{
    const struct origin *origin = &im->origins[i];
    size_t count = im->params[i].count;
    char alias[128] = "";
    int result = origin->item
                     ? import_song_read(origin->source, &im->params[i], origin->item, out, e)
                     : origin->source->read(origin->source->owner, origin->index, out, e);
    if (result != 0)
        return -1;
    for (size_t k = 0; k < count; k++) {
        if (isfinite(out[k]))
            continue;
        if (origin->source == &im->ema && import_torch_ema_kind(im->torch) == IMPORT_TORCH_EMA_LIST)
            snprintf(alias, sizeof alias, " (ema.shadow_params[%zu])", origin->index);
        else if (origin->item)
            snprintf(alias, sizeof alias, " (from \"%.100s\")",
                     origin->source->table->tensors[origin->index].name);
        return err_fail(e, ERR_INPUT, im->path,
                        "tensor \"%s\"%s: non-finite weights (element %zu is %s)",
                        im->params[i].name, alias, k, isnan(out[k]) ? "NaN" : "infinite");
    }
    return 0;
}

static size_t origin_place(const struct origin *origin)
{
    const struct import_source *source = origin->source;
    return source->place ? source->place(source->owner, origin->index) : 0;
}

static int compare_places(const void *a, const void *b, void *context)
{
    const struct import *im = context;
    const size_t i = *(const size_t *)a, k = *(const size_t *)b;
    const size_t p = origin_place(&im->origins[i]), q = origin_place(&im->origins[k]);
    return p != q ? (p < q ? -1 : 1) : i < k ? -1 : i > k;
}

/* The order in which the parameters are read: as their bytes lie in the file, so that storages that
 * many tensors share are unpacked once. */
static int order_resolve(struct import *im, struct err *e)
{
    im->order = calloc(im->count + 1, sizeof *im->order);
    if (!im->order)
        return err_fail_memory(e, im->count * sizeof *im->order);
    for (size_t i = 0; i < im->count; i++)
        im->order[i] = i;
    qsort_r(im->order, im->count, sizeof *im->order, compare_places, im);
    return 0;
}

static int values_read(struct import *im, void (*progress)(void *, size_t, size_t), void *context,
                       struct import_census *census, struct err *e)
{
    size_t scalars = 0, bytes = 0;
    for (size_t i = 0; i < im->count; i++)
        if (!size_add(scalars, im->params[i].count, &scalars))
            return err_fail(e, ERR_LIMIT, im->path, "the network is too large");
    if (!size_mul(scalars, sizeof *im->values, &bytes))
        return err_fail(e, ERR_LIMIT, im->path, "the network is too large");
    im->values = malloc(bytes + 1);
    im->outputs = calloc(im->count + 1, sizeof *im->outputs);
    if (!im->values || !im->outputs)
        return err_fail_memory(e, bytes);
    float *at = im->values;
    for (size_t i = 0; i < im->count; i++) {
        struct ckpt_output *output = &im->outputs[i];
        output->name = im->params[i].name;
        output->dtype = CKPT_F32;
        output->rank = im->params[i].rank;
        for (int k = 0; k < output->rank; k++)
            output->shape[k] = im->params[i].shape[k];
        output->data = at;
        at += im->params[i].count;
    }
    if (order_resolve(im, e) != 0)
        return -1;
    for (size_t i = 0; i < im->count; i++) {
        const size_t k = im->order[i];
        if (param_read(im, k, (float *)(uintptr_t)im->outputs[k].data, e) != 0)
            return -1;
        if (progress)
            progress(context, i + 1, im->count);
    }
    *census = (struct import_census){.tensors = im->count, .scalars = scalars};
    return 0;
}

static void provenance_fill(struct ckpt_description *d, const char *path, const char *digest,
                            int64_t step, bool raw)
{
    strcpy(d->provenance.source_sha256, digest);
    ckpt_description_source(d, path);
    d->provenance.step = step;
    strcpy(d->provenance.weights, raw ? "raw" : "ema");
}

static int provenance_get(const struct import *im, struct ckpt_description *d, struct err *e)
{
    const char *digest =
        im->torch ? import_torch_sha256(im->torch, e) : import_plain_sha256(im->plain, e);
    if (!digest)
        return -1;
    provenance_fill(d, im->path, digest, im->torch ? import_torch_step(im->torch) : -1,
                    im->weights == IMPORT_WEIGHTS_RAW);
    return 0;
}

int import_torch_describe(struct import_torch *t, struct ckpt_description *out, struct err *e)
{
    struct import_song song = {.description = out};
    const char *digest = import_torch_sha256(t, e);
    bool raw = !import_torch_has_ema(t);
    if (!digest || import_song_from_torch(t, raw, &song, e) != 0)
        return -1;
    provenance_fill(out, import_torch_path(t), digest, import_torch_step(t), raw);
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
    if (description && json_append(&text, description, JSON_COMPACT, e) == 0) {
        metadata = json_pack("{s:s%}", CKPT_DESCRIPTION_KEY, (const char *)text.data, text.length);
        result = metadata ? ckpt_file_write(output, im->outputs, im->count, metadata, e)
                          : err_fail_memory(e, text.length);
    }
    json_decref(metadata);
    json_decref(description);
    buf_clear(&text);
    return result;
}

static int input_open(struct import *im, struct err *e)
{
    bool is_plain = false;
    if (import_plain_is(im->path, &is_plain, e) != 0)
        return -1;
    if (is_plain)
        im->plain = import_plain_open(im->path, e);
    else
        im->torch = import_torch_open(im->path, e);
    if (im->torch) {
        im->model = import_torch_source(im->torch, false);
        im->ema = import_torch_source(im->torch, true);
    }
    return im->torch || im->plain ? 0 : -1;
}

/* The description that the file itself gives, of the weights that are wanted; these are the model
 * then. */
static int description_get(struct import *im, struct ckpt_description *d, struct err *e)
{
    bool raw = im->weights == IMPORT_WEIGHTS_RAW;
    im->song.description = d;
    if (im->torch) {
        im->model = raw ? im->model : im->ema;
        return import_song_from_torch(im->torch, raw, &im->song, e);
    }
    if (raw)
        return err_fail(e, ERR_INPUT, im->path,
                        "holds one set of weights, which is taken for the EMA; leave out "
                        "--weights raw");
    im->model = import_plain_source(im->plain);
    return import_song_from_config(import_plain_config(im->plain), im->path, &im->song, e);
}

static bool is_given(const struct ckpt_description *d)
{
    return d->arch.image_size > 0;
}

/* Who says what the network is: the file or the caller, never both. */
static int description_settle(struct import *im, struct ckpt_description *d, struct err *e)
{
    bool describes = im->plain || import_torch_is_whole(im->torch);
    if (describes && is_given(d))
        return err_fail(e, ERR_INPUT, im->path,
                        "says itself what its network is; leave out --preset and --config");
    if (!describes && !is_given(d))
        return err_fail(e, ERR_INPUT, im->path,
                        "does not say what its network is; --preset or --config must");
    return describes ? description_get(im, d, e) : 0;
}

int import_convert(const char *input, const char *output, struct ckpt_description *description,
                   enum import_weights weights,
                   void (*progress)(void *context, size_t done, size_t all), void *context,
                   struct import_census *census, struct err *e)
{
    struct import im = {.path = input, .weights = weights};
    int result = -1;
    if (file_apart(input, output, e) != 0)
        return -1;
    if (input_open(&im, e) == 0 && description_settle(&im, description, e) == 0)
        im.params = nn_arch_params(&description->arch, &im.count, e);
    if (im.params && (im.song.description ? song_match(&im, e) : origins_match(&im, e)) == 0 &&
        values_read(&im, progress, context, census, e) == 0 &&
        provenance_get(&im, description, e) == 0)
        result = output_write(&im, output, description, e);
    census->augment_left_out = im.song.augment_dim > 0;
    free(im.values);
    free(im.outputs);
    free(im.items);
    free(im.origins);
    free(im.order);
    free(im.params);
    import_plain_close(im.plain);
    import_torch_close(im.torch);
    return result;
}
