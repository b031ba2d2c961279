/* All tensors stay as they are; only the description changes, and with it the file's digest. */
#include "tune_store.h"

#include <stdlib.h>
#include <string.h>

/* What was found, and the checkpoint's own schedules for other numbers of evaluations. */
static int merge(const struct tune_search *t, const struct ckpt_description *own,
                 struct ckpt_tuned tuned[CKPT_TUNED_MAX], int *count, struct err *e)
{
    int next = 0;
    *count = 0;
    for (int k = 0; k < t->o->nfe_count || next < own->tuned_count;) {
        const struct tune_schedule *best = k < t->o->nfe_count ? &t->found[k].best : NULL;
        const struct ckpt_tuned *old = next < own->tuned_count ? &own->tuned[next] : NULL;
        if (*count == CKPT_TUNED_MAX)
            return err_fail(e, ERR_LIMIT, "--nfe",
                            "with those that it has, the model has more than "
                            "%d tuned schedules",
                            CKPT_TUNED_MAX);
        if (best && (!old || best->steps <= old->steps)) {
            next += old && best->steps == old->steps;
            tuned[(*count)++] = (struct ckpt_tuned){
                .method = best->method, .steps = best->steps, .nodes = t->found[k++].best.nodes};
        } else {
            tuned[(*count)++] = *old;
            next++;
        }
    }
    return 0;
}

static int describe(const struct tune_search *t, const struct model *m, json_t **out, struct err *e)
{
    struct ckpt_description d = *model_description(m); /* arrays are borrowed */
    struct ckpt_tuned tuned[CKPT_TUNED_MAX];
    int count;
    if (merge(t, &d, tuned, &count, e) != 0)
        return -1;
    d.tuned = tuned;
    d.tuned_count = count;
    *out = ckpt_description_json(&d, e);
    return *out ? 0 : -1;
}

/* All tensors of `f` as they are, with the mean, under the new description. */
static int write_tensors(const struct tune_search *t, const struct ckpt_file *f,
                         struct image_shape s, const json_t *metadata, const char *output,
                         struct err *e)
{
    size_t count = ckpt_file_count(f), n = 0;
    void *data = NULL;
    struct ckpt_output *out = ckpt_file_outputs(f, 1, &data, e);
    if (!out)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (!t->mean || strcmp(out[i].name, CKPT_DATA_MEAN) != 0)
            out[n++] = out[i];
    if (t->mean)
        out[n++] = (struct ckpt_output){
            .name = CKPT_DATA_MEAN,
            .dtype = CKPT_F32,
            .rank = 3,
            .shape = {(uint64_t)s.channels, (uint64_t)s.height, (uint64_t)s.width},
            .data = t->mean};
    int result = ckpt_file_check(f, e);
    if (result == 0)
        result = ckpt_file_write(output, out, n, metadata, e);
    free(out);
    free(data);
    return result;
}

int tune_store(const struct tune_search *t, const char *output, struct err *e)
{
    const struct model *m = engine_model_get(t->learn.em);
    struct ckpt_file *f =
        ckpt_file_open_again(t->o->model, model_sha256(m), "tensors", "tune it anew", e);
    json_t *description = NULL, *metadata = NULL;
    char *text = NULL;
    int result = f ? describe(t, m, &description, e) : -1;
    if (result == 0) {
        text = json_dumped(description, JSON_COMPACT, e);
        metadata = text ? json_pack("{s:s}", CKPT_DESCRIPTION_KEY, text) : NULL;
        result = metadata ? write_tensors(t, f, model_shape(m), metadata, output, e)
                          : err_fail_memory(e, 4096);
    }
    json_decref(metadata);
    free(text);
    json_decref(description);
    ckpt_file_close(f);
    return result;
}
