/* Reading orders. One table a JSON object says which keys exist and who reads each, so that an
 * unknown field cannot be forgotten; readers add their own faults and never stop the others. */
#include "api_order.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct reading {
    struct api_order *order;
    size_t n_max;
    struct http_problem *p;
    bool bad;
};

typedef void read_field(struct reading *r, const char *pointer, const json_t *value);
struct field {
    const char *key;
    read_field *read;
};

#define FAULT(r, pointer, ...)                                                                     \
    do {                                                                                           \
        (r)->bad = true;                                                                           \
        http_problem_point((r)->p, pointer, __VA_ARGS__);                                          \
    } while (0)

static void read_member(struct reading *r, const char *pointer, const char *key,
                        const json_t *value, const struct field *fields, size_t count)
{
    char member[256];
    snprintf(member, sizeof member, "%s", pointer);
    http_pointer_step(member, sizeof member, key);
    size_t i = 0;
    while (i < count && strcmp(fields[i].key, key) != 0)
        i++;
    if (i < count)
        fields[i].read(r, member, value);
    else
        FAULT(r, member, "is not a known field");
}

static void read_object(struct reading *r, const char *pointer, const json_t *value,
                        const struct field *fields, size_t count)
{
    const char *key;
    json_t *item;
    if (!json_is_object(value)) {
        FAULT(r, pointer, "must be an object");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
        read_member(r, pointer, key, item, fields, count);
}

static bool read_int(struct reading *r, const char *pointer, const json_t *value, int64_t min,
                     int64_t max, int64_t *out)
{
    if (json_is_integer(value) && json_integer_value(value) >= min &&
        json_integer_value(value) <= max) {
        *out = json_integer_value(value);
        return true;
    }
    FAULT(r, pointer, "must be an integer from %" PRId64 " to %" PRId64, min, max);
    return false;
}

static bool read_uint64(struct reading *r, const char *pointer, const json_t *value, uint64_t *out)
{
    if (json_u64_read(value, out))
        return true;
    FAULT(r, pointer,
          "must be an integer from 0 to 9223372036854775807, or a string of decimal digits up "
          "to \"18446744073709551615\"");
    return false;
}

static bool read_real(struct reading *r, const char *pointer, const json_t *value, double min,
                      double max, double *out)
{
    double x = json_is_number(value) ? json_number_value(value) : NAN;
    if (isfinite(x) && x >= min && x <= max) {
        *out = x;
        return true;
    }
    FAULT(r, pointer, "must be a number from %g to %g", min, max);
    return false;
}

static void read_model(struct reading *r, const char *pointer, const json_t *value)
{
    if (!json_is_string(value))
        FAULT(r, pointer, "must be a string");
    else if (json_string_length(value) == 0 || json_string_length(value) > API_MODEL_NAME_MAX)
        FAULT(r, pointer, "must be the name of a model, 1 to %d bytes", API_MODEL_NAME_MAX);
    else
        snprintf(r->order->model, sizeof r->order->model, "%s", json_string_value(value));
}

static void read_n(struct reading *r, const char *pointer, const json_t *value)
{
    int64_t n;
    if (read_int(r, pointer, value, 1, (int64_t)r->n_max, &n))
        r->order->n = (size_t)n;
    else
        r->p->limit = (int64_t)r->n_max;
}

static void read_seed(struct reading *r, const char *pointer, const json_t *value)
{
    r->order->seed_given = read_uint64(r, pointer, value, &r->order->seed);
}

static void read_first_index(struct reading *r, const char *pointer, const json_t *value)
{
    read_uint64(r, pointer, value, &r->order->first_index);
}

static void read_embed_metadata(struct reading *r, const char *pointer, const json_t *value)
{
    if (json_is_boolean(value))
        r->order->embed_metadata = json_is_true(value);
    else
        FAULT(r, pointer, "must be true or false");
}

/* One of `count` words; its place, or -1 after a fault. */
static int read_word(struct reading *r, const char *pointer, const json_t *value,
                     const char *const words[], int count, const char *list)
{
    for (int i = 0; json_is_string(value) && i < count; i++)
        if (strcmp(json_string_value(value), words[i]) == 0)
            return i;
    FAULT(r, pointer, "must be %s", list);
    return -1;
}

static void read_format(struct reading *r, const char *pointer, const json_t *value)
{
    r->order->format_given = json_is_string(value) &&
                             http_format_parse(json_string_value(value), &r->order->format) == 0;
    if (!r->order->format_given)
        FAULT(r, pointer, "must be one of json, png, npy, npz, zip, tar or events");
}

static void read_dtype(struct reading *r, const char *pointer, const json_t *value)
{
    static const char *const words[] = {"uint8", "float32"};
    r->order->float32 = read_word(r, pointer, value, words, 2, "uint8 or float32") == 1;
    r->order->dtype_given = true;
}

static void read_layout(struct reading *r, const char *pointer, const json_t *value)
{
    static const char *const words[] = {"hwc", "chw"};
    r->order->chw = read_word(r, pointer, value, words, 2, "hwc or chw") == 1;
    r->order->layout_given = true;
}

static void read_priority(struct reading *r, const char *pointer, const json_t *value)
{
    static const char *const words[] = {"interactive", "batch"};
    if (read_word(r, pointer, value, words, 2, "interactive or batch") == 1)
        r->order->priority = ENGINE_PRIORITY_BATCH;
}

static void read_preview_every(struct reading *r, const char *pointer, const json_t *value)
{
    int64_t steps;
    if (read_int(r, pointer, value, 0, ODE_STEPS_MAX, &steps))
        r->order->preview_every = (int)steps;
}

static void read_timeout(struct reading *r, const char *pointer, const json_t *value)
{
    read_real(r, pointer, value, 0.001, API_TIMEOUT_MAX, &r->order->timeout_s);
}

/* A number is an index; text is a name, or an index in digits where no class is called so. */
static void read_class(struct reading *r, const char *pointer, const json_t *value)
{
    struct api_order *o = r->order;
    if (json_is_null(value)) {
        o->class = API_CLASS_NULL;
    } else if (json_is_string(value) && json_string_length(value) > 0 &&
               json_string_length(value) <= API_CLASS_NAME_MAX) {
        o->class = API_CLASS_NAME;
        snprintf(o->class_name, sizeof o->class_name, "%s", json_string_value(value));
    } else if (json_is_integer(value) && json_integer_value(value) >= 0 &&
               json_integer_value(value) < NN_CLASSES_MAX) {
        o->class = API_CLASS_NUMBER;
        o->class_number = (int32_t)json_integer_value(value);
    } else {
        FAULT(r, pointer,
              "must be the number of a class from 0 to %d, the name of one of 1 to %d bytes, or "
              "null",
              NN_CLASSES_MAX - 1, API_CLASS_NAME_MAX);
    }
}

static void read_temperature(struct reading *r, const char *pointer, const json_t *value)
{
    read_real(r, pointer, value, ENGINE_TEMPERATURE_MIN, ENGINE_TEMPERATURE_MAX,
              &r->order->temperature);
}

static void read_label(struct reading *r, const char *pointer, const json_t *value)
{
    if (json_is_string(value) && json_string_length(value) <= API_LABEL_MAX)
        snprintf(r->order->label, sizeof r->order->label, "%s", json_string_value(value));
    else
        FAULT(r, pointer, "must be a string of at most %d bytes", API_LABEL_MAX);
}

static void read_solver_field(struct reading *r, const char *pointer, const char *key,
                              const json_t *value)
{
    const struct model_choice_field *field = model_choice_find(key);
    struct err e = {0};
    char member[256];
    snprintf(member, sizeof member, "%s", pointer);
    http_pointer_step(member, sizeof member, key);
    if (!field)
        FAULT(r, member, "is not a known field");
    else if (model_choice_read_json(&r->order->solver, field, value, &e) != 0)
        FAULT(r, member, "%s", e.text);
}

static void read_solver(struct reading *r, const char *pointer, const json_t *value)
{
    const char *key;
    json_t *item;
    if (!json_is_object(value)) {
        FAULT(r, pointer, "must be an object");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
        read_solver_field(r, pointer, key, item);
}

static void read_columns(struct reading *r, const char *pointer, const json_t *value)
{
    int64_t columns;
    if (read_int(r, pointer, value, 1, API_COLUMNS_MAX, &columns))
        r->order->columns = (int)columns;
}

static void read_scale(struct reading *r, const char *pointer, const json_t *value)
{
    int64_t scale;
    if (read_int(r, pointer, value, 1, API_SCALE_MAX, &scale))
        r->order->scale = (int)scale;
}

static void read_grid(struct reading *r, const char *pointer, const json_t *value)
{
    static const struct field fields[] = {{"columns", read_columns}, {"scale", read_scale}};
    r->order->grid_given = true;
    read_object(r, pointer, value, fields, sizeof fields / sizeof *fields);
}

static const struct field order_fields[] = {
    {"model", read_model},
    {"n", read_n},
    {"seed", read_seed},
    {"first_index", read_first_index},
    {"solver", read_solver},
    {"class", read_class},
    {"temperature", read_temperature},
    {"grid", read_grid},
    {"embed_metadata", read_embed_metadata},
    {"format", read_format},
    {"dtype", read_dtype},
    {"layout", read_layout},
    {"preview_every", read_preview_every},
    {"timeout_s", read_timeout},
    {"priority", read_priority},
    {"label", read_label},
};

void api_order_init(struct api_order *out)
{
    memset(out, 0, sizeof *out);
    out->n = 1;
    out->scale = 1;
    out->embed_metadata = true;
}

int api_order_field(struct api_order *o, const char *key, const json_t *value, size_t n_max,
                    struct http_problem *p)
{
    struct reading r = {o, n_max, p, false};
    read_member(&r, "", key, value, order_fields, sizeof order_fields / sizeof *order_fields);
    return r.bad ? -1 : 0;
}

int api_order_solver_field(struct api_order *o, const char *key, const json_t *value,
                           struct http_problem *p)
{
    struct reading r = {o, 0, p, false};
    read_solver_field(&r, "/solver", key, value);
    return r.bad ? -1 : 0;
}

int api_order_end(const struct api_order *o, struct http_problem *p)
{
    if (o->n - 1 <= UINT64_MAX - o->first_index)
        return 0;
    http_problem_point(p, "/first_index", "%" PRIu64 " + %zu images goes past 2^64", o->first_index,
                       o->n);
    return -1;
}

int api_order_parse(const json_t *body, size_t n_max, struct api_order *out, struct http_problem *p)
{
    api_order_init(out);
    struct reading r = {out, n_max, p, false};
    read_object(&r, "", body, order_fields, sizeof order_fields / sizeof *order_fields);
    return r.bad ? -1 : api_order_end(out, p);
}

static int refuse(const struct err *e, struct http_problem *p)
{
    char pointer[sizeof e->at + 16];
    snprintf(pointer, sizeof pointer, "/solver/%s", e->at);
    http_problem_point(p, pointer, "%s", e->text);
    return -1;
}

int api_order_solver(const struct model_choice *choice, const struct model *m,
                     struct model_solver *out, struct http_problem *p)
{
    struct err e = {0};
    return model_solver_choose(m, choice, out, &e) == 0 ? 0 : refuse(&e, p);
}

int api_order_solver_once(const struct model_choice *choice, const struct model *m,
                          struct model_solver *out, struct http_problem *p)
{
    struct err e = {0};
    return model_solver_choose_once(m, choice, out, &e) == 0 ? 0 : refuse(&e, p);
}

int api_order_solver_forward(const struct model_choice *choice, const struct model *m,
                             const struct model_solver *base, struct model_solver *out,
                             struct http_problem *p)
{
    struct err e = {0};
    return model_solver_choose_forward(m, base, choice, out, &e) == 0 ? 0 : refuse(&e, p);
}
