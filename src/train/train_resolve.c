/* What a training configuration leaves open: taken from the data, or the rule of the papers. */
#include "base_math.h"
#include "ckpt_arch.h"
#include "model_choice.h"
#include "train_config.h"
#include "train_noise.h"
#include "train_scale.h"

#include <math.h>

/* Halved while it stays even and at least 8 a side, twice at most: {1}, {1,2} or {1,2,2}. */
static json_t *default_levels(int side)
{
    json_t *levels = json_pack("[i]", 1);
    for (int halved = 0; halved < 2 && side % 2 == 0 && side >= 8; halved++, side /= 2)
        levels = json_plus(levels, json_integer(2));
    return levels;
}

static json_t *network_defaults(const struct data_set *data)
{
    if (data->values)
        return json_pack("{s:s, s:i, s:i, s:i}", "kind", "mlp", "dimension", data->channels,
                         "width", 128, "depth", 3);
    return json_pack("{s:i, s:i, s:i, s:o, s:i, s:[], s:b, s:s, s:s}", "image_size", data->side,
                     "channels", data->channels, "nf", 32, "ch_mult", default_levels(data->side),
                     "num_res_blocks", 2, "attn_resolutions", "fir", 0, "progressive_input", "none",
                     "embedding_type", "positional");
}

static int resolve_network(struct train_config *c, const struct data_set *data, const char *what,
                           struct err *e)
{
    json_t *defaults_json = network_defaults(data);
    struct err reason = {0};
    if (!defaults_json || json_object_update(defaults_json, c->network) != 0) {
        json_decref(defaults_json);
        return err_fail_memory(e, 1024);
    }
    int result = ckpt_arch_read(defaults_json, true, &c->arch, what, e);
    json_decref(defaults_json);
    if (result)
        return -1;
    c->arch.denoiser = train_config_denoises(c) && !nn_arch_of_vectors(&c->arch);
    if (nn_arch_of_vectors(&c->arch) != (data->values != NULL))
        return err_fail(e, ERR_INPUT, what, "\"network\" is for %s, the data are %s",
                        nn_arch_of_vectors(&c->arch) ? "vectors" : "pictures",
                        data->values ? "vectors" : "pictures");
    if (c->arch.image_size != data->side || c->arch.channels != data->channels)
        return err_fail(e, ERR_INPUT, what,
                        "\"network\" is for images of %d channels and %d pixels a side, the data "
                        "have %d and %d",
                        c->arch.channels, c->arch.image_size, data->channels, data->side);
    if (nn_arch_check(&c->arch, &reason) != 0) {
        char line[1100];
        return err_fail(e, reason.code, what, "\"network\": %s",
                        err_line(&reason, line, sizeof line));
    }
    return 0;
}

size_t train_config_rows(const struct train_config *c, const struct data_set *data)
{
    return data->count * (c->flip ? 2 : 1);
}

/* What "direct" takes the scale out by must depend on the point alone: the nearest of all data. */
static void settle_large_batch(struct train_config *c, const struct data_set *data)
{
    const size_t all = train_config_rows(c, data);
    if (c->objective != TRAIN_OBJECTIVE_DIRECT || c->large_batch_given ||
        all <= (size_t)c->large_batch)
        return;
    c->large_batch = all < TRAIN_LARGE_BATCH_MAX ? (int64_t)all : TRAIN_LARGE_BATCH_MAX;
}

/* What is left to the rule and is no exponent or length. */
static int settle_constants(struct train_config *c, const struct data_set *data, const char *what,
                            struct err *e)
{
    bool direct = c->objective == TRAIN_OBJECTIVE_DIRECT;
    double dimension = (double)data->channels * data->side * data->side;
    if (direct && dimension > TRAIN_DIRECT_DIMENSION_MAX)
        return err_fail(e, ERR_INPUT, what,
                        "\"objective\" direct is for at most %d dimensions, the data have %g: use "
                        "pfgm",
                        TRAIN_DIRECT_DIMENSION_MAX, dimension);
    bool denoise = train_config_denoises(c), plain = data->values || direct || denoise;
    /* The network of vectors gives a direction, whose length says nothing. */
    if (plain && (c->gamma > 0 || c->t_substitution > 0))
        return err_fail(e, ERR_INPUT, what,
                        "\"objective\" %s%s has no normalisation: leave \"gamma\" and "
                        "\"t_substitution\" out",
                        train_config_objective(c), data->values ? " of vectors" : "");
    if (data->values && (c->flip || c->shift > 0))
        return err_fail(e, ERR_INPUT, what, "\"%s\" is for pictures, the data are vectors",
                        c->flip ? "flip" : "shift");
    /* PFGM's target is the field of the images of the large batch, which are not moved. */
    if (c->shift > 0 && !denoise)
        return err_fail(e, ERR_INPUT, what,
                        "\"shift\" is for the objectives pfgmpp and distill: leave it out with %s",
                        train_config_objective(c));
    if (c->shift >= data->side)
        return err_fail(e, ERR_INPUT, what,
                        "\"shift\" (%lld) must be less than the pictures' side, %d pixels",
                        (long long)c->shift, data->side);
    if (denoise)
        train_noise_resolve(c, data);
    settle_large_batch(c, data);
    if (c->sigma <= 0)
        c->sigma = data->values ? 0.01 * (double)data->scale : 0.01;
    if (denoise && c->sigma > CKPT_SIGMA_MAX) /* not used, but config.json is read again */
        c->sigma = CKPT_SIGMA_MAX;
    if (c->t_min <= 0)
        c->t_min = data->values ? 0.1 * c->sigma : 1e-3;
    if (c->gamma < 0)
        c->gamma = plain ? 0 : 5;
    if (c->t_substitution < 0)
        c->t_substitution = plain ? 0 : 1;
    if (c->dropout < 0)
        c->dropout = data->values || c->objective == TRAIN_OBJECTIVE_DISTILL ? 0 : 0.1;
    return 0;
}

#define HALF_NORMAL 0.79788456080286535588 /* √(2/π): the mean of |N(0,1)| */

static int64_t settled_m(const struct train_config *c, const struct data_set *data, double root)
{
    double growth = math_log(1 + c->tau), m = 1;
    if (data->values) {
        double ratio = 40 * data->norm / (HALF_NORMAL * c->sigma);
        m = ratio > 1 ? ceil(math_log(ratio) / growth) : 1;
    } else {
        double ratio = data->norm * data->norm / (2 * root * c->sigma * c->sigma);
        m = ratio > 1 ? floor(0.75 * math_log(ratio) / growth) + 1 : 1;
    }
    return m < CKPT_M_MAX ? (int64_t)m : CKPT_M_MAX;
}

int train_config_resolve(struct train_config *c, const struct data_set *data, const char *what,
                         struct err *e)
{
    if (!c->conditional_given)
        c->conditional = data->classes > 1;
    if (resolve_network(c, data, what, e) != 0 || settle_constants(c, data, what, e) != 0 ||
        train_scale_check(c, train_config_denoises(c), data, what, e) != 0)
        return -1;
    double root = sqrt((double)data->channels * data->side * data->side);
    double growth = math_log(1 + c->tau);
    if (c->m < 0)
        c->m = settled_m(c, data, root);
    double reach = c->sigma * math_exp((double)c->m * growth);
    if (c->t_max <= 0)
        c->t_max = HALF_NORMAL * reach;
    if (c->norm_max <= 0)
        c->norm_max = data->values ? 1e6 * c->t_max : root * reach;
    if (!(c->t_max < FIELD_T_MAX) || !(c->norm_max < CKPT_NORM_MAX))
        return err_fail(e, ERR_INPUT, what,
                        "\"m\" = %lld carries points too far: t_max would be %g", (long long)c->m,
                        c->t_max);
    if (c->t_min < MODEL_T_MIN)
        return err_fail(
            e, ERR_INPUT, what,
            "\"t_min\" is %g, and a flow ends at %g at the lowest: scale the data up, or "
            "give a larger \"t_min\"",
            c->t_min, MODEL_T_MIN);
    if (c->t_max <= c->t_min)
        return err_fail(e, ERR_INPUT, what, "\"t_max\" (%g) must be greater than \"t_min\" (%g)",
                        c->t_max, c->t_min);
    return 0;
}
