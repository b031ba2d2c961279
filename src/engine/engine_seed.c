/* The seed rule in words: the inputs that an image's bytes are a function of, as text. */
#include "engine_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static bool has_classes(const struct model *m)
{
    return model_class_count(m) > 0;
}

/* Of one image its class. A sheet of several tells the rule, as the bytes hold them all. */
static json_t *class_json(const struct engine_order *order, uint64_t index, bool sheet)
{
    if (sheet && has_classes(order->model->model)) {
        if (order->class.rule == ENGINE_CLASS_DRAWN)
            return json_string("drawn");
        if (order->class.rule == ENGINE_CLASS_EACH)
            return json_string("each");
        if (order->class.rule == ENGINE_CLASS_LISTED)
            return json_string("listed");
    }
    int32_t label = engine_order_label(order, index);
    return label == MODEL_CLASS_NONE ? json_null() : json_integer(label);
}

/* The usual one as an integer. */
static json_t *temperature_json(const struct engine_order *order)
{
    return order->temperature == 0.0 || order->temperature == 1.0 ? json_integer(1)
                                                                  : json_real(order->temperature);
}

/* What was edited, as digests: of the values of the image in data scale, doubles [C,H,W], and of
 * the mask, a byte for each of them. */
static json_t *edit_json(const struct engine_order *order, struct err *e)
{
    const size_t d = model_dimension(order->model->model);
    char image[SHA256_HEX_SIZE], mask[SHA256_HEX_SIZE];
    if (sha256_hex(order->edit.image, d * sizeof *order->edit.image, image, e) != 0 ||
        (order->edit.kept && sha256_hex(order->edit.kept, d, mask, e) != 0))
        return NULL;
    return json_pack("{s:s, s:s?, s:f}", "image", image, "mask", order->edit.kept ? mask : NULL,
                     "strength", order->edit.strength);
}

int engine_seed_text(const struct engine_order *order, uint64_t index,
                     const struct image_grid *grid, struct buf *out, struct err *e)
{
    const struct model *m = order->model->model;
    char seed[24], number[24];
    snprintf(seed, sizeof seed, "%" PRIu64, order->seed);
    snprintf(number, sizeof number, "%" PRIu64, index);
    json_t *o = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:s, s:s, s:s}", "model", model_sha256(m),
                          "kernel", model_kernel_id(m), "precision", model_precision_name(m),
                          "solver", model_solver_json(&order->solver, false), "class",
                          class_json(order, index, grid != NULL), "temperature",
                          temperature_json(order), "format", "png", "seed", seed, "index", number);
    int result = o == NULL;
    if (result == 0 && grid) {
        result |= json_object_set_new(o, "n", json_integer((json_int_t)order->n));
        result |= json_object_set_new(o, "columns", json_integer(grid->columns));
        result |= json_object_set_new(o, "scale", json_integer(grid->scale));
    }
    if (result == 0 && order->latents)
        result |= json_object_set_new(o, "latents", json_string("given"));
    if (result == 0 && order->edit.image)
        result |= json_object_set_new(o, "edit", edit_json(order, e));
    result = result != 0 ? err_fail_memory(e, 512) : json_append(out, o, 0, e);
    json_decref(o);
    return result;
}
