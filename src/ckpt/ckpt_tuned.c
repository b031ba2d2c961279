/* The tuned schedules of a checkpoint, in its description: one per number of evaluations, checked
 * here so that a solver can take it as it is. */
#include "ckpt_description_keys.h"

#include <math.h>
#include <stdlib.h>

static int nodes_read(const json_t *nodes, const struct ckpt_description *d, struct ckpt_tuned *out,
                      const char *what, struct err *e)
{
    size_t n = json_array_size(nodes);
    if (!json_is_array(nodes) || n < 2 || n > CKPT_TUNED_STEPS_MAX + 1)
        return err_fail(e, ERR_INPUT, what,
                        "\"tuned\": \"nodes\" must be an array of 2 to %d numbers",
                        CKPT_TUNED_STEPS_MAX + 1);
    out->nodes = calloc(n, sizeof *out->nodes);
    if (!out->nodes)
        return err_fail_memory(e, n * sizeof *out->nodes);
    out->steps = (int)n - 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *node = json_array_get(nodes, i);
        double t = json_number_value(node);
        if (!json_is_number(node) || !(t > 0.0) || (i > 0 && !(t < out->nodes[i - 1])))
            return err_fail(e, ERR_INPUT, what,
                            "\"tuned\": node %zu must be a number above 0 and below the one before",
                            i);
        out->nodes[i] = t;
    }
    if (out->nodes[0] > d->t_max || out->nodes[n - 1] != d->t_min)
        return err_fail(e, ERR_INPUT, what,
                        "\"tuned\": nodes must begin at t_max = %g or below and end at t_min = %g",
                        d->t_max, d->t_min);
    return 0;
}

static int one_read(const json_t *one, const struct ckpt_description *d, struct ckpt_tuned *out,
                    const char *what, struct err *e)
{
    static const char *const keys[] = {"method", "nodes", "default"};
    const json_t *is_default = json_object_get(one, "default");
    const char *method;
    if (!json_is_object(one))
        return err_fail(e, ERR_INPUT, what, "\"tuned\" must be an array of objects");
    if (json_only_keys(one, keys, 3, what, e) != 0 ||
        json_get_string(one, "method", true, &method, what, e) != 0)
        return -1;
    if (ode_method_parse(method, &out->method) != 0 || !ode_method_is_fixed_step(out->method))
        return err_fail(e, ERR_UNSUPPORTED, what,
                        "\"tuned\": \"%.40s\" is no method of fixed steps that this build knows",
                        method);
    if (is_default && !json_is_boolean(is_default))
        return err_fail(e, ERR_INPUT, what, "\"tuned\": \"default\" must be true or false");
    out->is_default = json_is_true(is_default);
    return nodes_read(json_object_get(one, "nodes"), d, out, what, e);
}

int ckpt_tuned_read(const json_t *tuned, struct ckpt_description *d, const char *what,
                    struct err *e)
{
    size_t n = json_array_size(tuned);
    int defaults = 0;
    if (!tuned)
        return 0;
    if (!json_is_array(tuned) || n < 1 || n > CKPT_TUNED_MAX)
        return err_fail(e, ERR_INPUT, what, "\"tuned\" must be an array of 1 to %d objects",
                        CKPT_TUNED_MAX);
    d->tuned = calloc(n, sizeof *d->tuned);
    if (!d->tuned)
        return err_fail_memory(e, n * sizeof *d->tuned);
    for (size_t i = 0; i < n; i++) {
        struct ckpt_tuned *one = &d->tuned[d->tuned_count++]; /* counted first: nodes are freed */
        if (one_read(json_array_get(tuned, i), d, one, what, e) != 0)
            return -1;
        if (i > 0 && one->steps <= one[-1].steps)
            return err_fail(e, ERR_INPUT, what, "\"tuned\" must be in the order of its steps");
        defaults += one->is_default;
        if (defaults > 1)
            return err_fail(e, ERR_INPUT, what, "\"tuned\": only one can be the default");
    }
    return 0;
}

json_t *ckpt_tuned_json(const struct ckpt_description *d)
{
    json_t *tuned = json_array();
    for (int i = 0; i < d->tuned_count; i++) {
        const struct ckpt_tuned *one = &d->tuned[i];
        json_t *nodes = json_array();
        for (int k = 0; k <= one->steps; k++)
            nodes = json_plus(nodes, json_real(one->nodes[k]));
        json_t *object = json_pack("{s:s}", "method", ode_method_name(one->method));
        object = json_with(object, "nodes", nodes);
        if (one->is_default)
            object = json_with(object, "default", json_true());
        tuned = json_plus(tuned, object);
    }
    return tuned;
}
