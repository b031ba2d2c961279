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
    result = result != 0 ? err_fail_memory(e, 512) : json_append(out, o, 0, e);
    json_decref(o);
    return result;
}
