/* What a checkpoint of a run says about itself. */
#include "train_config.h"
#include "train_distill.h"
#include <stdlib.h>
#include <string.h>

#define DENOISE_STEPS 18 /* of the default sampler, as in Karras et al. 2022 */

/* A student's path ends at 0, and leads over its nodes alone. */
static int describe_student(const struct train_config *c, struct ckpt_description *out,
                            struct err *e)
{
    double *nodes = calloc((size_t)c->student_steps + 1, sizeof *nodes);
    out->tuned = calloc(1, sizeof *out->tuned);
    if (!nodes || !out->tuned) {
        free(nodes);
        ckpt_description_clear(out);
        return err_fail_memory(e, sizeof *out->tuned);
    }
    train_distill_nodes(c, nodes);
    *out->tuned =
        (struct ckpt_tuned){.method = ODE_EULER, .steps = (int)c->student_steps, .nodes = nodes};
    out->tuned_count = 1;
    out->t_min = nodes[c->student_steps];
    strcpy(out->teacher_sha256, c->teacher_sha256);
    return 0;
}

int train_config_describe(const struct train_config *c, char *const *labels, int label_count,
                          int64_t step, const char *source, struct ckpt_description *out,
                          struct err *e)
{
    *out = (struct ckpt_description){.arch = c->arch,
                                     .t_max = c->t_max,
                                     .t_min = c->t_min,
                                     .sigma = c->sigma,
                                     .tau = c->tau,
                                     .m = c->m,
                                     .gamma = c->gamma,
                                     .norm_max = c->norm_max,
                                     .t_substitution = c->t_substitution,
                                     .divisor_offset = train_config_offset(c),
                                     .added = c->added,
                                     .sigma_data = c->sigma_data,
                                     .rho = TRAIN_NOISE_RHO,
                                     .num_steps = DENOISE_STEPS};
    out->family = train_config_denoises(c) ? CKPT_FAMILY_PFGMPP : CKPT_FAMILY_PFGM;
    out->provenance.step = step;
    strcpy(out->provenance.weights, "ema");
    ckpt_description_source(out, source);
    if (c->objective == TRAIN_OBJECTIVE_DISTILL && describe_student(c, out, e) != 0)
        return -1;
    if (!c->conditional)
        return 0;
    out->no_null_class = c->label_dropout == 0;
    out->labels = calloc((size_t)label_count, sizeof *out->labels);
    for (int i = 0; i < label_count && out->labels; i++) {
        const char *given = json_string_value(json_array_get(c->labels, (size_t)i));
        out->labels[i] = strdup(given ? given : labels[i]);
        if (!out->labels[i])
            break;
        out->label_count++;
    }
    if (out->label_count == label_count)
        return 0;
    ckpt_description_clear(out);
    return err_fail_memory(e, (size_t)label_count * sizeof *out->labels);
}
