/* Turns of jobs: a list that goes round. */
#include "jobs_turns.h"

#include <stdlib.h>
#include <string.h>

static void turn_free(struct jobs_turn *turn)
{
    free(turn->again);
    free(turn);
}

void jobs_turns_clear(struct jobs_turns *t)
{
    while (t->first) {
        struct jobs_turn *turn = t->first;
        t->first = turn->next;
        turn_free(turn);
    }
    t->last = NULL;
}

/* Takes out what follows `before`; NULL: the first one. */
static struct jobs_turn *take_out(struct jobs_turns *t, struct jobs_turn *before)
{
    struct jobs_turn **link = before ? &before->next : &t->first, *turn = *link;
    *link = turn->next;
    if (t->last == turn)
        t->last = before;
    return turn;
}

static void append(struct jobs_turns *t, struct jobs_turn *turn)
{
    turn->next = NULL;
    *(t->last ? &t->last->next : &t->first) = turn;
    t->last = turn;
}

int jobs_turns_add(struct jobs_turns *t, const struct jobs_record *r, struct err *e)
{
    struct jobs_turn *turn = calloc(1, sizeof *turn);
    if (!turn)
        return err_fail_memory(e, sizeof *turn);
    memcpy(turn->id, r->id, sizeof turn->id);
    turn->number = r->number;
    turn->needs = r->needs;
    turn->n = r->n;
    append(t, turn);
    return 0;
}

void jobs_turns_remove(struct jobs_turns *t, const char *id)
{
    struct jobs_turn *before = NULL, *turn = t->first;
    for (; turn && strcmp(turn->id, id) != 0; turn = turn->next)
        before = turn;
    if (turn)
        turn_free(take_out(t, before));
}

struct jobs_turn *jobs_turns_find(struct jobs_turns *t, const char *id)
{
    struct jobs_turn *turn = t->first;
    while (turn && strcmp(turn->id, id) != 0)
        turn = turn->next;
    return turn;
}

static bool serves(const struct jobs_needs *model, const struct jobs_needs *needs)
{
    return strcmp(model->sha256, needs->sha256) == 0 && strcmp(model->kernel, needs->kernel) == 0 &&
           strcmp(model->precision, needs->precision) == 0;
}

static bool is_served(const struct jobs_turn *turn, const struct jobs_needs *models, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (serves(&models[i], &turn->needs))
            return true;
    return false;
}

static bool may_be_next(const struct jobs_turn *turn, const struct jobs_needs *models, size_t count)
{
    return (turn->begun < turn->n || turn->again_count > 0) && is_served(turn, models, count);
}

static struct jobs_range hand_out(struct jobs_turn *turn)
{
    if (turn->again_count > 0)
        return turn->again[--turn->again_count];
    struct jobs_range range = {turn->begun, turn->begun + JOBS_SHARD_IMAGES};
    if (range.end > turn->n)
        range.end = turn->n;
    turn->begun = range.end;
    return range;
}

struct jobs_turn *jobs_turns_next(struct jobs_turns *t, const struct jobs_needs *models,
                                  size_t count, struct jobs_range *out)
{
    struct jobs_turn *before = NULL, *turn = t->first;
    for (; turn && !may_be_next(turn, models, count); turn = turn->next)
        before = turn;
    if (!turn)
        return NULL;
    append(t, take_out(t, before));
    *out = hand_out(turn);
    return turn;
}

/* Of what is to be handed out again, what the images from `first` on hold already. */
static void forget_from(struct jobs_turn *turn, uint64_t first)
{
    size_t kept = 0;
    for (size_t i = 0; i < turn->again_count; i++)
        if (turn->again[i].first < first)
            turn->again[kept++] = turn->again[i];
    turn->again_count = kept;
}

void jobs_turns_again(struct jobs_turn *turn, struct jobs_range range)
{
    if (range.end > turn->begun)
        range.end = turn->begun;
    if (range.first >= range.end) /* none, or they will be, since memory was out before */
        return;
    struct jobs_range *grown = realloc(turn->again, (turn->again_count + 1) * sizeof *turn->again);
    if (grown) {
        turn->again = grown;
        turn->again[turn->again_count++] = range;
    } else {
        turn->begun = range.first;
        forget_from(turn, range.first);
    }
}

void jobs_turns_offer(struct jobs_turns *t, const struct jobs_needs *models, size_t count)
{
    t->model_count = count < JOBS_OFFERS_MAX ? count : JOBS_OFFERS_MAX;
    memcpy(t->models, models, t->model_count * sizeof *models);
}

uint64_t jobs_turns_waiting(const struct jobs_turns *t, uint64_t *unserved)
{
    uint64_t images = 0;
    *unserved = 0;
    for (const struct jobs_turn *turn = t->first; turn; turn = turn->next) {
        if (!is_served(turn, t->models, t->model_count)) {
            ++*unserved;
            continue;
        }
        images += turn->n - turn->begun;
        for (size_t i = 0; i < turn->again_count; i++)
            images += turn->again[i].end - turn->again[i].first;
    }
    return images;
}
