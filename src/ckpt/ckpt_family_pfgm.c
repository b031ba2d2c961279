/* What the description says of a learned PFGM field: its network, the plane of start, and the
 * constants of the perturbation and the normalisation. */
#include "ckpt_description_keys.h"

#include <math.h>

int ckpt_description_check(const struct ckpt_description *d, const char *t_max_key,
                           const char *t_min_key, const char *norm_max_key, const char *what,
                           struct err *e)
{
    if (ckpt_description_check_planes(d, t_max_key, t_min_key, what, e) != 0)
        return -1;
    if (d->norm_max <= d->norm_min)
        return err_fail(e, ERR_INPUT, what, "\"%s\" (%g) must be greater than the least norm (%g)",
                        norm_max_key, d->norm_max, d->norm_min);
    return ckpt_description_check_arch(d, what, e);
}

static int pfgm_read(const json_t *root, struct ckpt_description *d, const char *what,
                     struct err *e)
{
    const json_t *norm_max = json_object_get(root, "norm_max");
    if (ckpt_arch_read(json_object_get(root, "arch"), true, &d->arch, what, e) != 0)
        return -1;
    d->arch.classes = d->label_count;
    if (json_get_real(root, "t_max", true, 0, FIELD_T_MAX, &d->t_max, what, e) != 0 ||
        json_get_real(root, "t_min", true, 0, FIELD_T_MAX, &d->t_min, what, e) != 0 ||
        json_get_real(root, "sigma", true, 0, CKPT_SIGMA_MAX, &d->sigma, what, e) != 0 ||
        json_get_real(root, "tau", true, 0, CKPT_TAU_MAX, &d->tau, what, e) != 0 ||
        json_get_int(root, "m", true, 0, CKPT_M_MAX, &d->m, what, e) != 0 ||
        json_get_real(root, "gamma", true, 0, CKPT_GAMMA_MAX, &d->gamma, what, e) != 0 ||
        json_get_real(root, "norm_min", true, 0, CKPT_NORM_MAX, &d->norm_min, what, e) != 0 ||
        json_get_real(root, "t_substitution", true, 0, FIELD_T_MAX, &d->t_substitution, what, e) !=
            0 ||
        json_get_real(root, "divisor_offset", true, 0, 1, &d->divisor_offset, what, e) != 0)
        return -1;
    d->norm_max = INFINITY;
    if (!json_is_null(norm_max) &&
        json_get_real(root, "norm_max", true, 0, CKPT_NORM_MAX, &d->norm_max, what, e) != 0)
        return -1;
    return ckpt_description_check(d, "t_max", "t_min", "norm_max", what, e);
}

static int pfgm_write(const struct ckpt_description *d, json_t *root)
{
    json_t *own =
        json_pack("{s:o, s:f, s:f, s:f, s:f, s:I, s:f, s:f, s:o, s:f, s:f}", "arch",
                  ckpt_arch_json(&d->arch), "t_max", d->t_max, "t_min", d->t_min, "sigma", d->sigma,
                  "tau", d->tau, "m", (json_int_t)d->m, "gamma", d->gamma, "norm_min", d->norm_min,
                  "norm_max", isinf(d->norm_max) ? json_null() : json_real(d->norm_max),
                  "t_substitution", d->t_substitution, "divisor_offset", d->divisor_offset);
    int result = own ? json_object_update(root, own) : -1;
    json_decref(own);
    return result;
}

static const char *const pfgm_keys[] = {
    "arch",     "t_max",    "t_min",          "sigma",          "tau", "m", "gamma",
    "norm_min", "norm_max", "t_substitution", "divisor_offset", NULL};

const struct ckpt_schema ckpt_schema_pfgm = {
    .family = "pfgm",
    .keys = pfgm_keys,
    .read = pfgm_read,
    .write = pfgm_write,
    .shape = ckpt_arch_shape,
};
