/* The worker's loop: what to do is chosen under the lock, done without it, and counted under it
 * again. A worker takes a batch of slots and evaluates the field for them once; or it announces
 * what has ended; or, with nothing to take, it helps another worker, or sleeps. */
#include "engine_worker.h"

#include "engine_model.h"
#include "engine_queue.h"
#include "engine_request.h"
#include "engine_slot.h"

#include "base_wait.h"

/* More hardly find a piece of one image to work on. */
#define HELPERS_MAX 7

enum turn_kind { TURN_ADVANCE, TURN_ANNOUNCE, TURN_HELP, TURN_SLEEP, TURN_LEAVE };

struct turn {
    enum turn_kind kind;
    int count;                  /* TURN_ADVANCE: slots in the batch */
    struct engine_model *model; /* TURN_HELP: held for as long as it is helped with */
    struct nn_team *team;
    unsigned call;
};

/* How many help it; HELPERS_MAX also where nobody can. */
static int helpers_of_locked(const struct engine_worker *w)
{
    return w->model && w->team && model_is_shared(w->model->model) ? nn_team_helpers(w->team)
                                                                   : HELPERS_MAX;
}

/* The worker at work with the fewest helpers, if it has room for one. */
static struct engine_worker *find_to_help_locked(struct engine *g)
{
    struct engine_worker *found = NULL;
    int fewest = HELPERS_MAX;
    for (int i = 0; i < g->workers; i++) {
        struct engine_worker *w = &g->worker[i];
        int helpers = helpers_of_locked(w);
        if (helpers < fewest) {
            fewest = helpers;
            found = w;
        }
    }
    return found;
}

static struct turn help_locked(struct engine *g)
{
    const struct engine_worker *other = find_to_help_locked(g);
    if (!other)
        return (struct turn){.kind = TURN_SLEEP};
    engine_model_pin_locked(other->model);
    return (struct turn){.kind = TURN_HELP,
                         .model = other->model,
                         .team = other->team,
                         .call = nn_team_call(other->team)};
}

static struct turn choose_turn_locked(struct engine_worker *w)
{
    struct engine *g = w->engine;
    engine_queue_expire_locked(g, &w->ended);
    if (w->ended.first) {
        engine_queue_rest_locked(w); /* the model may go with its last request */
        engine_queue_offer_locked(g);
        return (struct turn){.kind = TURN_ANNOUNCE};
    }
    int count = engine_queue_take_locked(w);
    if (count > 0) {
        if (g->waiting && helpers_of_locked(w) < HELPERS_MAX)
            pthread_cond_signal(&g->work); /* to help, if there is nothing else */
        return (struct turn){.kind = TURN_ADVANCE, .count = count};
    }
    engine_queue_rest_locked(w);
    return g->stopping ? (struct turn){.kind = TURN_LEAVE} : help_locked(g);
}

static void act(struct engine_worker *w, const struct turn *turn, struct ode_counts *totals)
{
    switch (turn->kind) {
    case TURN_ADVANCE:
        engine_slots_advance(w, turn->count, totals);
        break;
    case TURN_ANNOUNCE:
        engine_requests_announce(w->engine, &w->ended);
        break;
    case TURN_HELP:
        model_workspace_help(turn->model->workspaces[w->number], turn->team, turn->call);
        engine_model_release(turn->model);
        break;
    case TURN_SLEEP:
    case TURN_LEAVE:
        break;
    }
}

void *engine_worker_main(void *worker)
{
    struct engine_worker *w = worker;
    struct engine *g = w->engine;
    struct turn turn = {.kind = TURN_SLEEP};
    lock_take(&g->lock);
    while (turn.kind != TURN_LEAVE) {
        turn = choose_turn_locked(w);
        if (turn.kind == TURN_SLEEP) {
            g->waiting++;
            lock_wait(&g->lock, &g->work, WAIT_FOREVER);
            g->waiting--;
            continue;
        }
        struct ode_counts totals = {0};
        lock_drop(&g->lock);
        act(w, &turn, &totals);
        lock_take(&g->lock);
        if (turn.kind == TURN_ADVANCE)
            engine_queue_give_back_locked(w, turn.count, &totals);
    }
    lock_drop(&g->lock);
    return NULL;
}
