/* What the description says of an exact field: the shape of a datum and the planes of the flow. The
 * field itself is the checkpoint's data, the tensors CKPT_SOURCES and what belongs to them. */
#include "ckpt_description_keys.h"

#define EXACT_CHANNELS_MAX 16
#define EXACT_SIDE_MAX 65536

static int shape_read(const json_t *shape, struct ckpt_description *d, const char *what,
                      struct err *e)
{
    int *const sides[3] = {&d->exact_shape.channels, &d->exact_shape.height, &d->exact_shape.width};
    static const int largest[3] = {EXACT_CHANNELS_MAX, EXACT_SIDE_MAX, EXACT_SIDE_MAX};
    if (!json_is_array(shape) || json_array_size(shape) != 3)
        return err_fail(e, ERR_INPUT, what, "\"shape\" must be [channels, height, width]");
    for (size_t i = 0; i < 3; i++) {
        const json_t *side = json_array_get(shape, i);
        if (!json_is_integer(side) || json_integer_value(side) < 1 ||
            json_integer_value(side) > largest[i])
            return err_fail(e, ERR_INPUT, what,
                            "\"shape\" element %zu must be an integer from 1 to %d", i, largest[i]);
        *sides[i] = (int)json_integer_value(side);
    }
    return 0;
}

static int exact_read(const json_t *root, struct ckpt_description *d, const char *what,
                      struct err *e)
{
    if (shape_read(json_object_get(root, "shape"), d, what, e) != 0 ||
        json_get_real(root, "t_max", true, 0, FIELD_T_MAX, &d->t_max, what, e) != 0 ||
        json_get_real(root, "t_min", true, 0, FIELD_T_MAX, &d->t_min, what, e) != 0)
        return -1;
    return ckpt_description_check_planes(d, "t_max", "t_min", what, e);
}

static int exact_write(const struct ckpt_description *d, json_t *root)
{
    json_t *own = json_pack("{s:[i, i, i], s:f, s:f}", "shape", d->exact_shape.channels,
                            d->exact_shape.height, d->exact_shape.width, "t_max", d->t_max, "t_min",
                            d->t_min);
    int result = own ? json_object_update(root, own) : -1;
    json_decref(own);
    return result;
}

static struct image_shape exact_shape(const struct ckpt_description *d)
{
    return d->exact_shape;
}

static const char *const exact_keys[] = {"shape", "t_max", "t_min", NULL};

const struct ckpt_schema ckpt_schema_exact = {
    .family = "exact",
    .keys = exact_keys,
    .read = exact_read,
    .write = exact_write,
    .shape = exact_shape,
};
