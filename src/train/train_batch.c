/* Images are taken in epochs, each a permutation that can be evaluated anywhere: a Feistel network
 * on the smallest even number of bits that holds n, walked until it lands below n. So the batch of
 * any step is known without the ones before.
 *
 * A group is the images of a batch that share a large batch: the labelled ones of one class, and
 * the ones without a label. Its large batch holds its own images first, then draws from its class
 * or from everything; when that is no larger than the large batch, all of it, once. */
#include "train_batch.h"
#include "train_denoise.h"
#include "train_rng.h"
#include <stdlib.h>
#include <string.h>

#define FEISTEL_ROUNDS 6

/* ---- order ---- */

static size_t feistel(uint64_t seed, uint64_t epoch, unsigned half, size_t value)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t mask = (uint32_t)((1u << half) - 1);
    uint32_t left = (uint32_t)(value >> half), right = (uint32_t)value & mask;
    for (uint32_t round = 0; round < FEISTEL_ROUNDS; round++) {
        const uint32_t counter[4] = {(uint32_t)epoch, (uint32_t)(epoch >> 32) << 8 | round,
                                     (uint32_t)RNG_TRAIN_SHUFFLE, right};
        uint32_t out[4], next;
        rng_philox(counter, key, out);
        next = (left ^ out[0]) & mask;
        left = right;
        right = next;
    }
    return (size_t)left << half | right;
}

size_t train_shuffle(uint64_t seed, uint64_t epoch, size_t n, size_t k)
{
    unsigned half = 1;
    while (half < 16 && (size_t)1 << 2 * half < n)
        half++;
    do
        k = feistel(seed, epoch, half, k);
    while (k >= n);
    return k;
}

/* ---- memory ---- */

/* Images by class, in their order: a counting sort. */
static int sort_members(struct train_batch *b, struct err *e)
{
    size_t classes = (size_t)b->data->classes, count = b->data->count;
    b->member = calloc(count, sizeof *b->member);
    b->first = calloc(classes + 2, sizeof *b->first);
    size_t *next = calloc(classes + 1, sizeof *next);
    if (!b->member || !b->first || !next) {
        free(next);
        return err_fail_memory(e, count * sizeof *b->member);
    }
    for (size_t i = 0; i < count; i++)
        if (b->data->label[i] >= 0)
            b->first[b->data->label[i] + 1]++;
    for (size_t c = 0; c < classes; c++) {
        b->first[c + 1] += b->first[c];
        next[c] = b->first[c];
    }
    for (size_t i = 0; i < count; i++)
        if (b->data->label[i] >= 0)
            b->member[next[b->data->label[i]]++] = (uint32_t)i;
    free(next);
    return 0;
}

/* Only a target that is a field has to be computed. */
static int new_threads(struct train_batch *b, enum nn_kernel kernel, struct err *e)
{
    size_t threads = (size_t)pool_threads(b->pool);
    size_t rows = (size_t)b->config->large_batch + (size_t)b->count;
    b->scratch = calloc(threads, sizeof *b->scratch);
    b->clean = calloc(threads, sizeof *b->clean);
    b->field = calloc(threads, sizeof *b->field);
    if (!b->scratch || !b->clean || !b->field)
        return err_fail_memory(e, threads * sizeof *b->field);
    for (size_t i = 0; i < threads; i++) {
        b->scratch[i] = calloc(b->n + 2, sizeof **b->scratch);
        b->clean[i] = calloc(b->n, sizeof **b->clean);
        if (!b->scratch[i] || !b->clean[i])
            return err_fail_memory(e, b->n * sizeof **b->scratch);
        if (!train_config_denoises(b->config) &&
            !(b->field[i] = train_field_new(kernel, b->n, rows, e)))
            return -1;
    }
    return 0;
}

int train_batch_init(struct train_batch *b, const struct train_config *config,
                     const struct data_set *data, enum nn_kernel kernel, struct pool *pool,
                     struct err *e)
{
    size_t count = (size_t)config->batch;
    *b = (struct train_batch){.config = config, .data = data, .pool = pool, .count = (int)count};
    b->n = (size_t)data->channels * (size_t)data->side * (size_t)data->side;
    int most = config->conditional ? data->classes + 1 : 1;
    b->groups = most < b->count ? most : b->count;
    b->x = calloc(count, sizeof *b->x);
    b->t = calloc(count, sizeof *b->t);
    b->label = calloc(count, sizeof *b->label);
    b->target = calloc(count * (b->n + 1), sizeof *b->target);
    b->values = calloc(count * b->n, sizeof *b->values);
    b->image = calloc(count, sizeof *b->image);
    b->rows = calloc((size_t)b->groups, sizeof *b->rows);
    b->row_count = calloc((size_t)b->groups, sizeof *b->row_count);
    b->group = calloc(count, sizeof *b->group);
    b->label_of = calloc((size_t)b->groups, sizeof *b->label_of);
    b->blocks = calloc(count, sizeof *b->blocks);
    b->block_group = calloc(count, sizeof *b->block_group);
    if (!b->x || !b->t || !b->label || !b->target || !b->values || !b->image || !b->rows ||
        !b->row_count || !b->group || !b->label_of || !b->blocks || !b->block_group)
        return err_fail_memory(e, count * b->n * sizeof *b->values);
    if (config->objective == TRAIN_OBJECTIVE_DISTILL) {
        b->point = calloc(count * b->n, sizeof *b->point);
        b->span = calloc(count, sizeof *b->span);
        if (!b->point || !b->span)
            return err_fail_memory(e, count * b->n * sizeof *b->point);
    }
    for (size_t i = 0; i < count; i++)
        b->x[i] = b->values + i * b->n;
    for (int g = 0; g < b->groups; g++) {
        size_t rows = (size_t)config->large_batch + count;
        b->rows[g] = calloc(rows, sizeof **b->rows);
        if (!b->rows[g])
            return err_fail_memory(e, rows * sizeof **b->rows);
    }
    if (config->conditional && sort_members(b, e) != 0)
        return -1;
    return new_threads(b, kernel, e);
}

void train_batch_clear(struct train_batch *b)
{
    for (int i = 0; b->pool && i < pool_threads(b->pool); i++) {
        if (b->scratch)
            free(b->scratch[i]);
        if (b->clean)
            free(b->clean[i]);
        if (b->field)
            train_field_free(b->field[i]);
    }
    for (int g = 0; b->rows && g < b->groups; g++)
        free(b->rows[g]);
    free(b->scratch);
    free(b->clean);
    free(b->field);
    free(b->member);
    free(b->first);
    free(b->x);
    free(b->t);
    free(b->label);
    free(b->target);
    free(b->point);
    free(b->span);
    free(b->values);
    free(b->image);
    free(b->rows);
    free(b->row_count);
    free(b->group);
    free(b->label_of);
    free(b->blocks);
    free(b->block_group);
    *b = (struct train_batch){0};
}

/* ---- a step ---- */

/* Which images, mirrored or not, with which label. */
static void choose(struct train_batch *b)
{
    const struct train_config *c = b->config;
    for (int i = 0; i < b->count; i++) {
        uint64_t place = (uint64_t)b->step * (uint64_t)b->count + (uint64_t)i;
        size_t n = b->data->count, k = (size_t)(place % n);
        size_t image = train_shuffle(c->seed, place / n, n, k);
        double u;
        bool flip = false;
        if (c->flip) {
            rng_uniforms(c->seed, train_rng_index(b->step, (uint64_t)i), RNG_TRAIN_FLIP, 1, &u);
            flip = u < 0.5;
        }
        b->image[i] = (uint32_t)(image << 1 | flip);
        b->label[i] = -1;
        if (c->conditional) {
            rng_uniforms(c->seed, train_rng_index(b->step, (uint64_t)i), RNG_TRAIN_LABEL, 1, &u);
            b->label[i] = u < c->label_dropout ? -1 : b->data->label[image];
        }
    }
}

/* The group of a label, made if it is not there: in the order of first appearance. */
static int group_of(struct train_batch *b, int *groups, int32_t label)
{
    for (int g = 0; g < *groups; g++)
        if (b->label_of[g] == label)
            return g;
    b->label_of[*groups] = label;
    b->row_count[*groups] = 0;
    return (*groups)++;
}

/* What a group draws from: its members (NULL: all images, in order), times two where they are
 * mirrored too. */
struct pot {
    const uint32_t *member;
    size_t members, faces;
};

static struct pot pot_of(const struct train_batch *b, int label)
{
    size_t faces = b->config->flip ? 2 : 1;
    if (label < 0)
        return (struct pot){NULL, b->data->count, faces};
    return (struct pot){b->member + b->first[label], b->first[label + 1] - b->first[label], faces};
}

/* The image (the lowest bit: mirrored) that 32 random bits pick. */
static uint32_t pot_pick(const struct pot *p, uint32_t word)
{
    size_t pick = (size_t)((uint64_t)word * (p->members * p->faces) >> 32), i = pick / p->faces;
    return (p->member ? p->member[i] : (uint32_t)i) << 1 | (uint32_t)(pick % p->faces);
}

/* A datum of the image's group that has nothing to do with the image. */
static uint32_t draw_partner(const struct train_batch *b, int image)
{
    const struct train_config *c = b->config;
    const struct pot pot = pot_of(b, b->label[image]);
    const uint32_t key[2] = {(uint32_t)c->seed, (uint32_t)(c->seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)b->step, (uint32_t)image, (uint32_t)RNG_TRAIN_PARTNER,
                                 0};
    uint32_t word[4];
    rng_philox(counter, key, word);
    return pot_pick(&pot, word[0]);
}

/* Fills a group's large batch behind its own images, or with all that there is. */
static void fill_rows(struct train_batch *b, int g)
{
    const struct train_config *c = b->config;
    int label = b->label_of[g];
    const struct pot pot = pot_of(b, label);
    size_t large = (size_t)c->large_batch;
    if (pot.members * pot.faces <= large) {
        b->row_count[g] = 0;
        for (size_t i = 0; i < pot.members; i++)
            for (uint32_t f = 0; f < pot.faces; f++)
                b->rows[g][b->row_count[g]++] = (pot.member ? pot.member[i] : (uint32_t)i) << 1 | f;
        return;
    }
    /* Draws k of this group's stream, four at a time. */
    const uint32_t key[2] = {(uint32_t)c->seed, (uint32_t)(c->seed >> 32)};
    uint32_t word[4] = {0};
    for (uint32_t k = 0; b->row_count[g] < large; k++) {
        if (k % 4 == 0) {
            const uint32_t counter[4] = {(uint32_t)b->step, (uint32_t)(label + 1),
                                         (uint32_t)RNG_TRAIN_LARGE, k / 4};
            rng_philox(counter, key, word);
        }
        b->rows[g][b->row_count[g]++] = pot_pick(&pot, word[k % 4]);
    }
}

/* Groups with their rows, and blocks of points that share rows. */
static int gather_groups(struct train_batch *b)
{
    int groups = 0;
    b->block_count = 0;
    for (int i = 0; i < b->count; i++) {
        int g = group_of(b, &groups, b->label[i]);
        b->group[i] = g;
        b->rows[g][b->row_count[g]++] = b->image[i];
    }
    for (int g = 0; g < groups; g++) {
        struct train_points *block = NULL;
        fill_rows(b, g);
        for (int i = 0; i < b->count; i++) {
            if (b->group[i] != g)
                continue;
            if (!block || block->count == TRAIN_BLOCK) {
                block = &b->blocks[b->block_count];
                b->block_group[b->block_count++] = g;
                block->count = 0;
            }
            block->x[block->count] = b->x[i];
            block->t[block->count] = b->t[i];
            if (b->config->objective == TRAIN_OBJECTIVE_DIRECT)
                block->partner[block->count] = draw_partner(b, i);
            block->target[block->count++] = b->target + (size_t)i * (b->n + 1);
        }
    }
    return groups;
}

static struct data_view view_of(const struct train_batch *b, size_t image)
{
    struct data_view view = {.flip = b->image[image] & 1};
    const int64_t reach = b->config->shift, places = 2 * reach + 1;
    double u[2];
    if (reach == 0)
        return view;
    rng_uniforms(b->config->seed, train_rng_index(b->step, image), RNG_TRAIN_SHIFT, 2, u);
    view.right = (int)((int64_t)(u[0] * (double)places) - reach);
    view.down = (int)((int64_t)(u[1] * (double)places) - reach);
    return view;
}

static void perturb_task(void *context, size_t task, int thread)
{
    struct train_batch *b = context;
    data_image(b->data, b->image[task] >> 1, view_of(b, task), b->clean[thread]);
    if (b->config->objective == TRAIN_OBJECTIVE_DISTILL) {
        train_distill_perturb(b->config, b->step, (int)task, b->n, b->clean[thread],
                              b->scratch[thread], &b->span[task], b->point + task * b->n,
                              b->values + task * b->n, &b->t[task]);
        return;
    }
    if (b->config->objective == TRAIN_OBJECTIVE_PFGMPP) {
        train_denoise_perturb(b->config, b->step, (int)task, b->n, b->clean[thread],
                              b->scratch[thread], b->values + task * b->n, &b->t[task],
                              b->target + task * (b->n + 1));
        return;
    }
    train_perturb(b->config, b->step, (int)task, b->n, b->clean[thread], b->scratch[thread],
                  b->values + task * b->n, &b->t[task]);
}

static void target_task(void *context, size_t task, int thread)
{
    struct train_batch *b = context;
    int g = b->block_group[task];
    const struct train_rows rows = {.data = b->data, .index = b->rows[g], .count = b->row_count[g]};
    if (b->config->objective == TRAIN_OBJECTIVE_DIRECT)
        train_field_direct(b->field[thread], &rows, &b->blocks[task]);
    else
        train_field_targets(b->field[thread], b->config->gamma, &rows, &b->blocks[task]);
}

void train_batch_make(struct train_batch *b, int64_t step)
{
    b->step = step;
    choose(b);
    pool_run(b->pool, (size_t)b->count, perturb_task, b);
    if (train_config_denoises(b->config))
        return; /* the targets are the images themselves, or the teacher's to give */
    gather_groups(b);
    pool_run(b->pool, (size_t)b->block_count, target_task, b);
}

double train_batch_loss(const struct train_batch *b, int image, const float *v_x, float v_t,
                        float share, float *v_x_slope, float *v_t_slope)
{
    const struct train_config *c = b->config;
    const float *target = b->target + (size_t)image * (b->n + 1);
    if (c->objective == TRAIN_OBJECTIVE_DISTILL)
        return train_distill_loss(c, b->n, b->x[image], b->t[image], target, v_x, v_t, share,
                                  v_x_slope, v_t_slope);
    if (c->objective == TRAIN_OBJECTIVE_PFGMPP && nn_arch_of_vectors(&c->arch))
        return train_denoise_loss(c->sigma_data, b->n, b->x[image], b->t[image], target, v_x, v_t,
                                  share, v_x_slope, v_t_slope);
    return train_loss(b->n, target, v_x, v_t, share, v_x_slope, v_t_slope);
}
