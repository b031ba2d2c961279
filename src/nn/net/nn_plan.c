/* Building the program: the reference's registration rule, once, in order of execution. */
#include "nn_plan.h"
#include <assert.h>
#include <stdlib.h>

struct builder {
    const struct nn_arch *arch;
    struct nn_plan *plan;
    int module;
    int *stack; /* values that wait as skips */
    int depth;
    int current;  /* value */
    int pyramid;  /* value, or -1 */
    int capacity; /* of steps */
};

int nn_stem_module(const struct nn_arch *arch)
{
    return nn_arch_time(arch) == NN_TIME_POSITIONAL ? 2 : 3; /* else what it needs comes first */
}

int nn_embedding_length(const struct nn_arch *arch)
{
    return arch->embedding == NN_EMBEDDING_FOURIER ? 2 * arch->nf : arch->nf;
}

int nn_label_length(const struct nn_arch *arch)
{
    return arch->denoiser ? nn_embedding_length(arch) : 4 * arch->nf;
}

int nn_outputs(const struct nn_arch *arch)
{
    return arch->denoiser ? arch->channels : arch->channels + 1;
}

static bool has_attention(const struct nn_arch *arch, int side)
{
    for (int i = 0; i < arch->attn_count; i++)
        if (arch->attn_resolutions[i] == side)
            return true;
    return false;
}

static int add_value(struct builder *b, int side, int channels)
{
    struct nn_plan *plan = b->plan;
    struct nn_value *v = &plan->values[plan->value_count];
    v->side = side;
    v->channels = channels;
    /* In range: sides are at most 1024 and channels at most 4096. */
    v->size = (size_t)side * (size_t)side * nn_lanes((size_t)channels);
    v->last_use = -1;
    return plan->value_count++;
}

static void use_value(struct builder *b, int value)
{
    if (value >= 0)
        b->plan->values[value].last_use = b->plan->step_count;
}

static void check_groups(struct builder *b, int channels)
{
    int groups = nn_groups(channels);
    if ((groups == 0 || channels % groups != 0) && b->plan->groups_faulty == 0)
        b->plan->groups_faulty = channels;
}

/* Appends a step that turns the current value (with `other`, or -1) into a new current value. */
static struct nn_step *add_step(struct builder *b, enum nn_step_kind kind, int side_out,
                                int channels_out, int other)
{
    struct nn_plan *plan = b->plan;
    assert(plan->step_count < b->capacity);
    struct nn_step *s = &plan->steps[plan->step_count];
    const struct nn_value *in = &plan->values[b->current];
    s->kind = kind;
    s->resampling = NN_RESAMPLE_NONE;
    s->module = b->module;
    b->module++;
    s->side_in = in->side;
    s->side_out = side_out;
    s->channels_in = in->channels;
    s->channels_skip = 0;
    s->channels_out = channels_out;
    s->shortcut = false;
    s->time_lanes = 0;
    s->in = b->current;
    s->other = other;
    use_value(b, s->in);
    use_value(b, other);
    s->out = add_value(b, side_out, channels_out);
    b->current = s->out;
    plan->step_count++;
    return s;
}

/* Gives the step its outputs of the time layer. */
static void add_time(struct builder *b, struct nn_step *s)
{
    s->time_first = b->plan->time_lanes;
    s->time_lanes = nn_lanes((size_t)s->channels_out);
    b->plan->time_lanes += s->time_lanes;
}

static void add_res(struct builder *b, int channels_out, enum nn_resampling resampling, int skip)
{
    int side = b->plan->values[b->current].side;
    int side_out = resampling == NN_RESAMPLE_DOWN ? side / 2
                   : resampling == NN_RESAMPLE_UP ? side * 2
                                                  : side;
    struct nn_step *s = add_step(b, NN_STEP_RES, side_out, channels_out, skip);
    s->channels_skip = skip >= 0 ? b->plan->values[skip].channels : 0;
    s->resampling = resampling;
    add_time(b, s);
    int channels_in = s->channels_in + s->channels_skip;
    s->shortcut = channels_in != channels_out || resampling != NN_RESAMPLE_NONE;
    check_groups(b, channels_in);
    check_groups(b, channels_out);
}

static void add_attention(struct builder *b)
{
    const struct nn_value *v = &b->plan->values[b->current];
    check_groups(b, v->channels);
    add_step(b, NN_STEP_ATTENTION, v->side, v->channels, -1);
}

/* p = (PyramidDown(p) + h) / √2 becomes both the activation and the next level's p. */
static void add_pyramid(struct builder *b)
{
    const struct nn_value h = b->plan->values[b->current];
    int trunk = b->current;
    b->current = b->pyramid;
    add_step(b, NN_STEP_PYRAMID, h.side, h.channels, trunk);
    b->pyramid = b->current;
}

static void push(struct builder *b)
{
    b->stack[b->depth++] = b->current;
}

static void add_down_path(struct builder *b)
{
    const struct nn_arch *a = b->arch;
    int side = a->image_size;
    for (int level = 0; level < a->levels; level++) {
        int width = a->nf * a->ch_mult[level];
        for (int i = 0; i < a->num_res_blocks; i++) {
            add_res(b, width, NN_RESAMPLE_NONE, -1);
            if (has_attention(a, side))
                add_attention(b);
            push(b);
        }
        if (level + 1 < a->levels) {
            add_res(b, width, NN_RESAMPLE_DOWN, -1);
            side /= 2;
            if (a->pyramid == NN_PYRAMID_RESIDUAL)
                add_pyramid(b);
            push(b);
        }
    }
    int width = b->plan->values[b->current].channels;
    add_res(b, width, NN_RESAMPLE_NONE, -1);
    add_attention(b);
    add_res(b, width, NN_RESAMPLE_NONE, -1);
}

static void add_up_path(struct builder *b)
{
    const struct nn_arch *a = b->arch;
    for (int level = a->levels - 1; level >= 0; level--) {
        int width = a->nf * a->ch_mult[level];
        for (int i = 0; i <= a->num_res_blocks; i++)
            add_res(b, width, NN_RESAMPLE_NONE, b->stack[--b->depth]);
        if (has_attention(a, a->image_size >> level))
            add_attention(b);
        if (level > 0)
            add_res(b, width, NN_RESAMPLE_UP, -1);
    }
}

static void add_image_steps(struct builder *b)
{
    const struct nn_arch *a = b->arch;
    add_step(b, NN_STEP_STEM, a->image_size, a->nf, -1);
    push(b);
    add_down_path(b);
    add_up_path(b);
    check_groups(b, b->plan->values[b->current].channels);
    add_step(b, NN_STEP_HEAD, a->image_size, nn_outputs(a), -1);
}

static void add_vector_steps(struct builder *b)
{
    const struct nn_arch *a = b->arch;
    add_step(b, NN_STEP_VECTOR_STEM, 1, 4 * a->nf, -1);
    for (int i = 0; i < a->num_res_blocks; i++)
        add_time(b, add_step(b, NN_STEP_VECTOR_BLOCK, 1, 4 * a->nf, -1));
    add_step(b, NN_STEP_VECTOR_HEAD, 1, nn_outputs(a), -1);
}

/* The lowest offset at which `size` floats overlap no value that is alive while step `at` runs. */
static size_t first_fit(const struct nn_plan *plan, int placed, int at, size_t size)
{
    size_t offset = 0;
    bool moved = true;
    while (moved) {
        moved = false;
        for (int i = 0; i < placed; i++) {
            const struct nn_value *v = &plan->values[i];
            if (v->last_use >= at && v->offset < offset + size && offset < v->offset + v->size) {
                offset = v->offset + v->size;
                moved = true;
            }
        }
    }
    return offset;
}

/* Value k + 1 is made by step k, so values are placed in the order of their birth. */
static void place_values(struct nn_plan *plan)
{
    for (int i = 0; i < plan->value_count; i++) {
        struct nn_value *v = &plan->values[i];
        v->offset = first_fit(plan, i, i - 1, v->size);
        if (v->offset + v->size > plan->value_floats)
            plan->value_floats = v->offset + v->size;
    }
}

int nn_plan_build(const struct nn_arch *arch, struct nn_plan *plan, struct err *e)
{
    *plan = (struct nn_plan){0};
    /* At most, a level has two modules per block downward, one per block upward, and a
     * change of resolution, a pyramid and an attention; then stem, middle and head. A perceptron
     * has no levels: its blocks, stem and head. */
    const int capacity = nn_arch_of_vectors(arch)
                             ? arch->num_res_blocks + 2
                             : arch->levels * (3 * arch->num_res_blocks + 6) + 8;
    size_t count = (size_t)capacity;
    struct builder b = {.arch = arch, .plan = plan, .pyramid = -1, .capacity = capacity};
    plan->steps = calloc(count, sizeof *plan->steps);
    plan->values = calloc(count + 1, sizeof *plan->values);
    b.stack = calloc(count, sizeof *b.stack);
    if (!plan->steps || !plan->values || !b.stack) {
        free(b.stack);
        nn_plan_clear(plan);
        return err_fail_memory(e, count * sizeof *plan->steps);
    }
    b.module = nn_stem_module(arch);
    b.current = add_value(&b, arch->image_size, arch->channels);
    if (arch->pyramid == NN_PYRAMID_RESIDUAL)
        b.pyramid = b.current;
    (nn_arch_of_vectors(arch) ? add_vector_steps : add_image_steps)(&b);
    use_value(&b, b.current); /* the caller reads the head after the last step */
    place_values(plan);
    free(b.stack);
    return 0;
}

void nn_plan_clear(struct nn_plan *plan)
{
    free(plan->steps);
    free(plan->values);
    *plan = (struct nn_plan){0};
}
