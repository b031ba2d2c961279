/* Room for bodies and answers, under the lock of the connections. */
#include "http_room.h"

#include "base_cpu.h"

#include <sys/socket.h>

static void leave_locked(struct http_wait *w, struct http_connection *c)
{
    lock_assert_held(&w->lock);
    w->large_count -= c->hold.kind == HTTP_HOLD_LARGE;
    w->room[c->hold.kind] -= c->hold.room;
    c->hold = (struct http_hold){0};
}

/* Who holds something of a kind, stopped or trickles, and is the slowest of those; NULL when all
 * are well under way. One that has only begun is given a moment. */
static struct http_connection *find_slow_locked(struct http_wait *w, enum http_hold_kind kind,
                                                int64_t now)
{
    struct http_connection *slowest = NULL;
    double least = (double)HTTP_LEAST_RATE;
    lock_assert_held(&w->lock);
    for (struct http_connection *c = w->connections; c; c = c->next) {
        double seconds = (double)(now - c->hold.since_ns) / 1e9;
        if (c->hold.kind != kind || c->cut || c->phase != HTTP_PHASE_BODY || seconds < 1.0)
            continue;
        const bool stopped = now - c->hold.last_ns > HTTP_RATE_WINDOW_NS;
        double rate = stopped ? 0.0 : (double)c->hold.came / seconds;
        if (rate >= least)
            continue;
        least = rate;
        slowest = c;
    }
    return slowest;
}

/* One that stopped or trickles is cut for the sake of `c`, and what it had is free. */
static bool displace_locked(struct http_wait *w, const struct http_connection *c,
                            enum http_hold_kind kind, int64_t now)
{
    struct http_connection *slow = find_slow_locked(w, kind, now);
    lock_assert_held(&w->lock);
    if (!slow || slow == c)
        return false;
    slow->displaced = slow->cut = true;
    shutdown(slow->fd, SHUT_RD);
    leave_locked(w, slow);
    return true;
}

static bool fits_locked(const struct http_wait *w, const struct http_connection *c,
                        enum http_hold_kind kind, size_t bytes)
{
    lock_assert_held(&w->lock);
    if (kind == HTTP_HOLD_USUAL)
        return w->room[kind] + bytes <= HTTP_USUAL_ROOM;
    return w->room[kind] + bytes <= HTTP_LARGE_ROOM &&
           (c->hold.kind == kind || w->large_count < HTTP_LARGE_BODIES);
}

struct http_room http_room_taken(struct http_wait *w)
{
    lock_take(&w->lock);
    const struct http_room taken = {.usual = w->room[HTTP_HOLD_USUAL],
                                    .large = w->room[HTTP_HOLD_LARGE],
                                    .work = w->answers[HTTP_ANSWER_WORK],
                                    .told = w->answers[HTTP_ANSWER_TOLD]};
    lock_drop(&w->lock);
    return taken;
}

bool http_room_body_came(struct http_wait *w, struct http_connection *c, size_t bytes)
{
    lock_take(&w->lock);
    bool taken = !c->cut;
    const int64_t now = clock_ns();
    if (now - c->hold.since_ns > HTTP_RATE_WINDOW_NS) { /* what came long ago says nothing */
        c->hold.since_ns = c->hold.last_ns;
        c->hold.came = 0;
    }
    c->hold.last_ns = now;
    c->hold.came += bytes;
    lock_drop(&w->lock);
    return taken;
}

bool http_room_take_body(struct http_wait *w, struct http_connection *c, size_t bytes, bool large)
{
    const enum http_hold_kind kind = large ? HTTP_HOLD_LARGE : HTTP_HOLD_USUAL;
    lock_take(&w->lock);
    const int64_t now = clock_ns();
    const size_t more = bytes + (c->hold.kind == kind ? 0 : c->hold.room);
    while (!fits_locked(w, c, kind, more) && displace_locked(w, c, kind, now))
        ;
    const bool taken = fits_locked(w, c, kind, more);
    if (taken && c->hold.kind != kind) {
        leave_locked(w, c);
        c->hold = (struct http_hold){.kind = kind, .since_ns = now, .last_ns = now};
        w->large_count += large;
    }
    if (taken) {
        c->hold.room += more;
        w->room[kind] += more;
    }
    lock_drop(&w->lock);
    return taken;
}

void http_room_leave_body(struct http_wait *w, struct http_connection *c)
{
    lock_take(&w->lock);
    leave_locked(w, c);
    lock_drop(&w->lock);
}

/* Who has room for an answer of a kind that has been made, and has taken nothing of it for longest.
 */
static struct http_connection *find_stalled_locked(struct http_wait *w, enum http_answer_kind kind,
                                                   int64_t now)
{
    struct http_connection *stalled = NULL;
    int64_t since = now - HTTP_STALLED_NS;
    lock_assert_held(&w->lock);
    for (struct http_connection *c = w->connections; c; c = c->next) {
        if (!c->answer || c->answer_kind != kind || c->cut || c->phase != HTTP_PHASE_SEND)
            continue;
        http_connection_look_locked(w, c, now);
        if (c->since_ns >= since)
            continue;
        since = c->since_ns;
        stalled = c;
    }
    return stalled;
}

static void leave_answer_locked(struct http_wait *w, struct http_connection *c)
{
    lock_assert_held(&w->lock);
    w->answers[c->answer_kind] -= c->answer;
    c->answer = 0;
}

static bool take_answer_locked(struct http_wait *w, struct http_connection *c,
                               enum http_answer_kind kind, size_t bytes, size_t most)
{
    const int64_t now = clock_ns();
    struct http_connection *stalled;
    lock_assert_held(&w->lock);
    while (bytes > 0 && w->answers[kind] + bytes > most &&
           (stalled = find_stalled_locked(w, kind, now)) != NULL) {
        stalled->cut = true;
        shutdown(stalled->fd, SHUT_RDWR);
        leave_answer_locked(w, stalled);
    }
    if (bytes > 0 && w->answers[kind] + bytes > most)
        return false;
    c->answer_kind = kind;
    c->answer = bytes;
    w->answers[kind] += bytes;
    return true;
}

bool http_room_take_answer(struct http_wait *w, struct http_connection *c, size_t bytes,
                           size_t most)
{
    lock_take(&w->lock);
    leave_answer_locked(w, c);
    const bool taken = take_answer_locked(w, c, HTTP_ANSWER_WORK, bytes,
                                          most < HTTP_ANSWER_ROOM ? HTTP_ANSWER_ROOM : most);
    lock_drop(&w->lock);
    return taken;
}

bool http_room_send_answer(struct http_wait *w, struct http_connection *c, size_t bytes)
{
    bool taken = true;
    lock_take(&w->lock);
    if (c->answer > bytes) {
        w->answers[c->answer_kind] -= c->answer - bytes;
        c->answer = bytes;
    } else if (c->answer == 0 && bytes > HTTP_SENT_AT_ONCE) {
        taken = take_answer_locked(w, c, HTTP_ANSWER_TOLD, bytes, HTTP_ANSWER_ROOM);
    }
    lock_drop(&w->lock);
    return taken;
}

void http_room_leave_answer(struct http_wait *w, struct http_connection *c)
{
    lock_take(&w->lock);
    leave_answer_locked(w, c);
    lock_drop(&w->lock);
}
