/* The team's protocol. All atomics are sequentially consistent; three pairs matter:
 *
 * - A helper enters (`inside` + 1) and then looks whether the operation is still open (`bell` odd);
 *   the owner closes it and then looks whether somebody is inside. One of them sees the other, so
 *   an operation's memory is never touched after nn_team_run has returned.
 * - A helper announces its sleep (`sleepers` + 1) and then sleeps on the bell's old value; whoever
 *   rings changes the bell and then looks for sleepers.
 * - The owner announces its wait (`waiting`) and then looks at `inside`; a helper leaves and then
 *   looks for the wait. */
#include "nn_team.h"
#include "base_cpu.h"
#include "nn_layers.h"
#include "nn_team_work.h"
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Multiply-adds below which handing an operation over costs more than it brings. */
#define WORK_MIN 50000
/* An operation is taken in at most about so many pieces. */
#define GRAINS 32
/* Pauses: of a helper between operations, about the length of a small one; of the owner at the end
 * of an operation. */
#define SPINS_HELPER 4000
#define SPINS_OWNER 2000
/* Evaluations that are judged together last at least so long: some of a scheduler's slices. */
#define STRETCH_NS 50000000
/* Stretches between two looks at the alternative, which grow rarer while the answer stays the same;
 * and what is so much slower than usual that something must have changed. */
#define PROBE_MIN 2
#define PROBE_MAX 256
#define SLOWER 1.3
/* How fast the best stretch is forgotten, per stretch that does not reach it. */
#define FORGETS 1.1

/* How long evaluations of one network and number of images take, [0] alone and [1] with helpers:
 * the best of the last stretches, 0 while unknown. A stretch in which somebody else got a core says
 * nothing of the choice, unless others like it follow: so what is best rises by FORGETS with each.
 * One choice is kept for a stretch of evaluations, since a single one says more about who else got
 * the core in its time. */
struct habit {
    const struct nn_net *net;
    int images;
    double spent[2];
    bool together; /* in this stretch */
    bool active;   /* this evaluation goes together */
    int probe_in, probe_gap;
    int64_t begun, total;
    int count;
};

struct job {
    const struct nn_net *net;
    const struct nn_sharing *how;
    const void *op;
    size_t units, grain;
};

struct nn_team {
    atomic_uint bell;      /* odd while an operation is open; changed by 2 to be heard only */
    atomic_uint dismissed; /* how many times */
    atomic_int helpers, sleepers;
    _Alignas(64) atomic_size_t next;
    _Alignas(64) atomic_uint inside;
    atomic_bool waiting;
    struct job job;     /* the owner's; constant while open or somebody is inside */
    struct habit habit; /* the owner's */
};

static void futex_wait(atomic_uint *word, unsigned value)
{
    /* Returns early for many reasons (the value has changed, a signal); every caller looks again.
     */
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

struct nn_team *nn_team_new(struct err *e)
{
    void *memory = NULL;
    if (posix_memalign(&memory, _Alignof(struct nn_team), sizeof(struct nn_team)) != 0) {
        err_fail_memory(e, sizeof(struct nn_team));
        return NULL;
    }
    struct nn_team *t = memory;
    *t = (struct nn_team){0};
    return t;
}

void nn_team_free(struct nn_team *t)
{
    free(t);
}

void nn_workspace_team(struct nn_workspace *ws, struct nn_team *team)
{
    ws->team = team;
}

/* ---- units ---- */

static void take_units(struct nn_team *t, float *scratch)
{
    const struct job *j = &t->job;
    struct nn_share share = {.scratch = scratch};
    for (;;) {
        size_t first = atomic_fetch_add(&t->next, j->grain);
        if (first >= j->units)
            return;
        share.first = first;
        share.last = j->units - first < j->grain ? j->units : first + j->grain;
        j->how->run(j->op, &share);
    }
}

/* ---- the owner ---- */

/* Whether the last stretches say that helpers help; they do until the contrary is known. */
static bool together_is_better(const struct habit *h)
{
    return h->spent[0] == 0 || h->spent[1] <= h->spent[0];
}

/* Judges the stretch that has ended and decides how the next one goes. */
static void turn_over(struct habit *h)
{
    double *best = &h->spent[h->together], took = (double)h->total / h->count;
    bool before = together_is_better(h), slow = *best != 0 && took > SLOWER * *best;
    *best = *best == 0 || took < FORGETS * *best ? took : FORGETS * *best;
    if (together_is_better(h) != before)
        h->probe_gap = h->probe_in = PROBE_MIN;
    else if (h->probe_in == 0)
        h->probe_in = h->probe_gap = h->probe_gap * 2 < PROBE_MAX ? h->probe_gap * 2 : PROBE_MAX;
    else if (slow)
        h->probe_in = 1;
    h->together = together_is_better(h) != (--h->probe_in == 0);
    h->total = 0;
    h->count = 0;
}

void nn_team_begin(struct nn_team *t, const struct nn_net *net, int images)
{
    struct habit *h = &t->habit;
    if (h->net != net || h->images != images)
        *h = (struct habit){.net = net,
                            .images = images,
                            .together = true,
                            .probe_gap = PROBE_MIN,
                            .probe_in = PROBE_MIN};
    h->active = h->together && atomic_load(&t->helpers) > 0;
    h->begun = clock_ns();
}

void nn_team_end(struct nn_team *t)
{
    struct habit *h = &t->habit;
    if (h->active == h->together) { /* not while nobody came to help */
        h->total += clock_ns() - h->begun;
        h->count++;
    }
    h->active = false;
    if (h->total >= STRETCH_NS)
        turn_over(h);
}

bool nn_team_pays(struct nn_team *t, size_t work)
{
    return t && t->habit.active && work >= WORK_MIN;
}

/* Waits until every helper has left the operation. */
static void wait_for_helpers(struct nn_team *t)
{
    for (int i = 0; i < SPINS_OWNER; i++) {
        if (atomic_load(&t->inside) == 0)
            return;
        pause_briefly();
    }
    unsigned inside;
    atomic_store(&t->waiting, true);
    while ((inside = atomic_load(&t->inside)) > 0)
        futex_wait(&t->inside, inside);
    atomic_store(&t->waiting, false);
}

static void ring(struct nn_team *t, unsigned change)
{
    atomic_fetch_add(&t->bell, change);
    if (atomic_load(&t->sleepers) > 0)
        futex_wake(&t->bell);
}

void nn_team_run(struct nn_team *t, const struct nn_net *net, const struct nn_sharing *how,
                 const void *op, float *scratch)
{
    size_t units = how->units(op);
    t->job = (struct job){net, how, op, units, units < GRAINS ? 1 : units / GRAINS};
    atomic_store(&t->next, 0);
    ring(t, 1);
    take_units(t, scratch);
    atomic_fetch_add(&t->bell, 1); /* closed; those asleep may sleep on */
    wait_for_helpers(t);
}

/* ---- helpers ---- */

int nn_team_helpers(const struct nn_team *t)
{
    return atomic_load(&t->helpers);
}

unsigned nn_team_call(const struct nn_team *t)
{
    return atomic_load(&t->dismissed);
}

void nn_team_dismiss(struct nn_team *t)
{
    atomic_fetch_add(&t->dismissed, 1);
    ring(t, 2);
}

/* Helps with the operation that was open at `bell`. False if it is another network's. */
static bool help_once(struct nn_team *t, const struct nn_workspace *ws, unsigned bell)
{
    bool same = true;
    atomic_fetch_add(&t->inside, 1);
    if (atomic_load(&t->bell) == bell) {
        same = t->job.net == ws->net;
        if (same)
            take_units(t, ws->scratch);
    }
    if (atomic_fetch_sub(&t->inside, 1) == 1 && atomic_load(&t->waiting))
        futex_wake(&t->inside);
    return same;
}

static void sleep_until_rung(struct nn_team *t, unsigned bell)
{
    atomic_fetch_add(&t->sleepers, 1);
    futex_wait(&t->bell, bell);
    atomic_fetch_sub(&t->sleepers, 1);
}

void nn_team_help(struct nn_team *t, struct nn_workspace *ws, unsigned call)
{
    unsigned seen = 0; /* even: no operation */
    int idle = 0;
    atomic_fetch_add(&t->helpers, 1);
    for (;;) {
        unsigned bell = atomic_load(&t->bell);
        if (atomic_load(&t->dismissed) != call)
            break;
        if (bell % 2 == 1 && bell != seen) {
            if (!help_once(t, ws, bell))
                break;
            seen = bell;
            idle = 0;
        } else if (++idle < SPINS_HELPER) {
            pause_briefly();
        } else {
            sleep_until_rung(t, bell);
            idle = 0;
        }
    }
    atomic_fetch_sub(&t->helpers, 1);
}
