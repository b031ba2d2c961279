/* Orders as JSON: {"seed", "first_index", "solver", "class": {"rule", "label"}, "temperature",
 * "output", "metadata", "classes", "shape": [C,H,W], "preview_every" if there is one, and a digest
 * of it all}. The solver stands there resolved, as it does in answers; what may not be chosen
 * follows from the model, whose digest is the job's. */
#include "jobs_order.h"

#include "jobs.h"

#include "base_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const class_words[] = {[ENGINE_CLASS_DRAWN] = "drawn",
                                          [ENGINE_CLASS_GIVEN] = "given",
                                          [ENGINE_CLASS_NONE] = "none",
                                          [ENGINE_CLASS_EACH] = "each"};
static const char *const output_words[] = {[ENGINE_OUTPUT_PNG] = "png",
                                           [ENGINE_OUTPUT_PIXELS] = "pixels",
                                           [ENGINE_OUTPUT_SAMPLE] = "sample"};
#define COUNT(words) (sizeof words / sizeof *words)

void jobs_order_needs(const struct engine_model *em, struct jobs_needs *out)
{
    const struct model *m = engine_model_get(em);
    snprintf(out->model, sizeof out->model, "%s", engine_model_name(em));
    snprintf(out->sha256, sizeof out->sha256, "%s", model_sha256(m));
    snprintf(out->kernel, sizeof out->kernel, "%s", model_kernel_id(m));
    snprintf(out->precision, sizeof out->precision, "%s", model_precision_name(m));
}

struct engine_model *jobs_order_model(struct engine *g, const struct jobs_needs *needs)
{
    struct jobs_needs offered;
    struct engine_model *em;
    for (size_t i = 0; (em = engine_model_at(g, i)) != NULL; i++) {
        jobs_order_needs(em, &offered);
        if (strcmp(offered.sha256, needs->sha256) == 0 &&
            strcmp(offered.kernel, needs->kernel) == 0 &&
            strcmp(offered.precision, needs->precision) == 0)
            return em;
        engine_model_release(em);
    }
    return NULL;
}

static json_t *uint64_json(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

static const char *output_word(enum engine_output output)
{
    return (size_t)output < COUNT(output_words) ? output_words[output] : NULL;
}

/* Of what decides the images, so that no flipped bit of a store makes others. `all` is without it.
 */
static int digest_order(const json_t *all, const struct jobs_record *r, char out[SHA256_HEX_SIZE],
                        struct err *e)
{
    struct buf text;
    buf_init(&text, 2 * JOBS_PARAMETERS_MAX);
    const int result = json_append(&text, all, JSON_SORT_KEYS, e) != 0 ||
                       buf_format(&text, e, " %" PRIu64 " %s", r->n, r->needs.sha256) != 0 ||
                       sha256_hex(text.data, text.length, out, e) != 0;
    buf_clear(&text);
    return result != 0 ? -1 : 0;
}

/* Whether the record is what was written. */
static int check_digest(json_t *all, const struct jobs_record *r, struct err *e)
{
    char was[SHA256_HEX_SIZE], is[SHA256_HEX_SIZE];
    const char *word = json_string_value(json_object_get(all, "digest"));
    if (!word)
        return 0; /* there was none once */
    snprintf(was, sizeof was, "%s", word);
    json_object_del(all, "digest");
    if (digest_order(all, r, is, e) != 0)
        return -1;
    return strcmp(was, is) == 0 ? 0 : err_fail(e, ERR_INPUT, "", "its digest is another one");
}

static int check(const struct engine_order *o, struct err *e)
{
    if (o->n < 1 || o->n > JOBS_IMAGES_MAX)
        return err_fail(e, ERR_LIMIT, "n", "a job has 1 to %d images", JOBS_IMAGES_MAX);
    if (o->task != ENGINE_TASK_SAMPLE || o->latents || o->points || o->edit.image || o->seeds ||
        o->class.rule == ENGINE_CLASS_LISTED || !output_word(o->output))
        return err_fail(e, ERR_UNSUPPORTED, "", "a job makes images by seed and index only");
    return 0;
}

int jobs_order_write(const struct engine_order *o, struct jobs_record *r, struct err *e)
{
    struct buf text;
    if (check(o, e) != 0)
        return -1;
    json_t *class = json_with(json_object(), "rule", json_string(class_words[o->class.rule]));
    class = json_with(class, "label", json_integer(o->class.label));
    json_t *all = json_with(json_object(), "seed", uint64_json(o->seed));
    all = json_with(all, "first_index", uint64_json(o->first_index));
    all = json_with(all, "solver", model_solver_json(&o->solver, true));
    all = json_with(all, "class", class);
    all = json_with(all, "temperature", json_real(o->temperature == 0.0 ? 1.0 : o->temperature));
    all = json_with(all, "output", json_string(output_word(o->output)));
    all = json_with(all, "metadata", json_boolean(!o->no_metadata));
    const struct image_shape shape = model_shape(engine_model_get(o->model));
    all = json_with(all, "classes", json_integer(model_class_count(engine_model_get(o->model))));
    all =
        json_with(all, "shape", json_pack("[i, i, i]", shape.channels, shape.height, shape.width));
    if (o->preview_every > 0)
        all = json_with(all, "preview_every", json_integer(o->preview_every));
    r->n = o->n;
    jobs_order_needs(o->model, &r->needs);
    char digest[SHA256_HEX_SIZE] = "";
    int result = all ? digest_order(all, r, digest, e) : err_fail_memory(e, 1024);
    all = json_with(all, "digest", json_string(digest));
    buf_init(&text, sizeof r->parameters - 1);
    if (result == 0)
        result = all ? json_append(&text, all, 0, e) : err_fail_memory(e, 1024);
    if (result == 0) {
        memcpy(r->parameters, text.data, text.length);
        r->parameters[text.length] = '\0';
    }
    json_decref(all);
    buf_clear(&text);
    return result;
}

/* ---- reading ---- */

static int read_word(const json_t *o, const char *key, const char *const *words, size_t count,
                     size_t *out, struct err *e)
{
    const char *word = NULL;
    if (json_get_string(o, key, true, &word, "parameters", e) != 0)
        return -1;
    for (*out = 0; *out < count; ++*out)
        if (words[*out] && strcmp(words[*out], word) == 0)
            return 0;
    return err_fail(e, ERR_INPUT, key, "\"%s\" is not known to this pfgmd", word);
}

static int read_uint64(const json_t *o, const char *key, uint64_t *out, struct err *e)
{
    const char *word = NULL;
    if (json_get_string(o, key, true, &word, "parameters", e) != 0)
        return -1;
    return text_digits(word, out) ? 0 : err_fail(e, ERR_INPUT, key, "is not a number");
}

static int read_solver(const json_t *parameters, const struct model *m, struct model_solver *out,
                       struct err *e)
{
    struct model_choice choice = {.given = 0};
    const char *key;
    json_t *value, *solver = json_object_get(parameters, "solver");
    json_object_foreach(solver, key, value)
    {
        const struct model_choice_field *field = model_choice_find(key);
        if (field && model_choice_read_json(&choice, field, value, e) != 0)
            return -1;
    }
    return model_solver_choose(m, &choice, out, e);
}

static int read_class(const json_t *parameters, struct engine_class *out, struct err *e)
{
    const json_t *class = json_object_get(parameters, "class");
    size_t rule = 0;
    int64_t label = 0;
    if (read_word(class, "rule", class_words, COUNT(class_words), &rule, e) != 0 ||
        json_get_int(class, "label", true, INT32_MIN, INT32_MAX, &label, "parameters", e) != 0)
        return -1;
    *out = (struct engine_class){(enum engine_class_rule)rule, (int32_t)label};
    return 0;
}

/* [C,H,W], whose product is what an image may have. */
static int read_shape(const json_t *o, struct image_shape *out, struct err *e)
{
    const json_t *shape = json_object_get(o, "shape");
    int64_t sides[3], left = IMAGE_PIXELS_MAX;
    for (size_t i = 0; i < 3; i++) {
        const json_t *side = json_array_get(shape, i);
        sides[i] = json_is_integer(side) ? json_integer_value(side) : 0;
        if (json_array_size(shape) != 3 || sides[i] < 1 || sides[i] > left)
            return err_fail(e, ERR_INPUT, "shape", "is not that of an image");
        left /= sides[i];
    }
    *out = (struct image_shape){(int)sides[0], (int)sides[1], (int)sides[2]};
    return 0;
}

static int read_kept(const struct jobs_record *r, struct jobs_kept *k, struct err *e)
{
    struct engine_class class;
    size_t output = 0;
    int64_t classes = 0;
    if (r->n < 1 || r->n > JOBS_IMAGES_MAX)
        return err_fail(e, ERR_INPUT, "n", "is not 1 to %d", JOBS_IMAGES_MAX);
    if (check_digest(k->all, r, e) != 0 || read_uint64(k->all, "seed", &k->seed, e) != 0 ||
        read_uint64(k->all, "first_index", &k->first_index, e) != 0 ||
        read_class(k->all, &class, e) != 0 ||
        read_word(k->all, "output", output_words, COUNT(output_words), &output, e) != 0 ||
        read_shape(k->all, &k->shape, e) != 0 ||
        json_get_int(k->all, "classes", true, 0, NN_CLASSES_MAX, &classes, "parameters", e) != 0)
        return -1;
    k->output = (enum engine_output)output;
    k->classes = (int)classes;
    return 0;
}

int jobs_kept_read(const struct jobs_record *r, struct jobs_kept *out, struct err *e)
{
    struct err why = {0};
    *out = (struct jobs_kept){
        .all = json_parse(r->parameters, strlen(r->parameters), "parameters", &why)};
    if (out->all && read_kept(r, out, &why) == 0)
        return 0;
    jobs_kept_clear(out);
    return why.code == ERR_MEMORY
               ? err_fail(e, ERR_MEMORY, "", "%s", why.text)
               : err_fail(e, ERR_INPUT, "",
                          "the job store is damaged: this job is not what was filed (%s%s%s); file "
                          "it again",
                          why.at, why.at[0] ? " " : "", why.text);
}

void jobs_kept_clear(struct jobs_kept *k)
{
    json_decref(k->all);
    *k = (struct jobs_kept){.all = NULL};
}

static int read_rest(const json_t *o, struct engine_model *em, struct engine_order *out,
                     struct err *e)
{
    int64_t preview_every = 0;
    bool metadata = true;
    if (read_solver(o, engine_model_get(em), &out->solver, e) != 0 ||
        read_class(o, &out->class, e) != 0 ||
        json_get_real(o, "temperature", true, ENGINE_TEMPERATURE_MIN, ENGINE_TEMPERATURE_MAX,
                      &out->temperature, "parameters", e) != 0 ||
        json_get_bool(o, "metadata", true, &metadata, "parameters", e) != 0 ||
        json_get_int(o, "preview_every", false, 0, ODE_STEPS_MAX, &preview_every, "parameters",
                     e) != 0)
        return -1;
    out->preview_every = (int)preview_every;
    out->no_metadata = !metadata;
    return 0;
}

int jobs_order_read(const struct jobs_record *r, struct engine_model *em, uint64_t first,
                    size_t count, struct engine_order *out, struct err *e)
{
    struct jobs_kept kept;
    *out = (struct engine_order){.model = em, .n = count, .priority = ENGINE_PRIORITY_BATCH};
    if (jobs_kept_read(r, &kept, e) != 0)
        return -1;
    const int result = read_rest(kept.all, em, out, e);
    out->seed = kept.seed;
    out->first_index = kept.first_index + first;
    out->output = kept.output;
    jobs_kept_clear(&kept);
    return result;
}
