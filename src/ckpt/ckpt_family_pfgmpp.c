/* What the description says of a PFGM++ denoiser: its network, how many dimensions were added, the
 * noise levels of the sampler and the preconditioning. The noise level sigma is the flow's t: the
 * path goes from t_max = sigma_max to t_min = sigma_min, and from there to 0. D, which may be
 * infinite, is a number or the word "inf". */
#include "ckpt_description_keys.h"
#include "field_student.h"

#include <math.h>
#include <string.h>

#define RHO_MAX 100.0

int ckpt_added_read(const json_t *root, double *out, const char *what, struct err *e)
{
    const json_t *added = json_object_get(root, "D");
    if (json_is_string(added) && strcmp(json_string_value(added), "inf") == 0) {
        *out = INFINITY;
        return 0;
    }
    if (!json_is_number(added) || !(json_number_value(added) >= 1.0) ||
        !(json_number_value(added) <= FIELD_ADDED_MAX))
        return err_fail(e, ERR_INPUT, what, "\"D\" must be a number from 1 to %g or \"inf\"",
                        FIELD_ADDED_MAX);
    *out = json_number_value(added);
    return 0;
}

json_t *ckpt_added_json(double added)
{
    return isinf(added) ? json_string("inf") : json_real(added);
}

int ckpt_pfgmpp_read(const json_t *root, struct ckpt_description *d, const char *what,
                     struct err *e)
{
    int64_t steps = 0;
    if (ckpt_added_read(root, &d->added, what, e) != 0 ||
        json_get_real(root, "sigma_max", true, 0, FIELD_T_MAX, &d->t_max, what, e) != 0 ||
        json_get_real(root, "sigma_min", true, 0, FIELD_T_MAX, &d->t_min, what, e) != 0 ||
        json_get_real(root, "sigma_data", true, 0, CKPT_SIGMA_MAX, &d->sigma_data, what, e) != 0 ||
        json_get_real(root, "rho", true, 1, RHO_MAX, &d->rho, what, e) != 0 ||
        json_get_int(root, "num_steps", true, 2, ODE_STEPS_MAX, &steps, what, e) != 0)
        return -1;
    d->num_steps = (int)steps;
    if (d->sigma_data <= 0)
        return err_fail(e, ERR_INPUT, what, "\"sigma_data\" must be greater than 0");
    return ckpt_description_check_planes(d, "sigma_max", "sigma_min", what, e);
}

static int pfgmpp_read(const json_t *root, struct ckpt_description *d, const char *what,
                       struct err *e)
{
    if (ckpt_arch_read(json_object_get(root, "arch"), true, &d->arch, what, e) != 0)
        return -1;
    d->arch.classes = d->label_count;
    d->arch.denoiser = !nn_arch_of_vectors(&d->arch);
    return ckpt_pfgmpp_read(root, d, what, e) != 0 || ckpt_description_check_arch(d, what, e) != 0
               ? -1
               : 0;
}

static int pfgmpp_write(const struct ckpt_description *d, json_t *root)
{
    json_t *own =
        json_pack("{s:o, s:o, s:f, s:f, s:f, s:f, s:i}", "arch", ckpt_arch_json(&d->arch), "D",
                  ckpt_added_json(d->added), "sigma_max", d->t_max, "sigma_min", d->t_min,
                  "sigma_data", d->sigma_data, "rho", d->rho, "num_steps", d->num_steps);
    int result = own ? json_object_update(root, own) : -1;
    json_decref(own);
    return result;
}

static const char *const pfgmpp_keys[] = {"arch",       "D",   "sigma_max", "sigma_min",
                                          "sigma_data", "rho", "num_steps", NULL};

const struct ckpt_schema ckpt_schema_pfgmpp = {
    .family = "pfgmpp",
    .keys = pfgmpp_keys,
    .read = pfgmpp_read,
    .write = pfgmpp_write,
    .shape = ckpt_arch_shape,
};
