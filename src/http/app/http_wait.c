/* Connections, tickets and the watcher.
 *
 * The watcher looks every 100 ms, in one poll(2) over all sleeping connections: POLLRDHUP there
 * means that the client has closed its side. A client that only half-closes while it waits cannot
 * be told from one that left and is treated as gone, as common HTTP servers do. It sleeps without a
 * time-out while no connection is open. */
#include "http_wait.h"

#include "base_cpu.h"
#include "base_wait.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define TICK_MS 100
#define ENDED_NS 1000000000
#define TAKEN_NS 250000000
#define LEFT (POLLRDHUP | POLLHUP | POLLERR)

static void unlock_and_free_if_last(struct http_wait *w, struct http_ticket *t)
{
    lock_assert_held(&w->lock);
    bool last = t->holders == 0;
    if (last && --w->ticket_count == 0)
        pthread_cond_broadcast(&w->changed);
    struct engine_request *request = t->request;
    lock_drop(&w->lock);
    if (last) { /* `w` may be gone */
        engine_request_free(request);
        for (size_t i = 0; i < HTTP_PREVIEWS; i++)
            buf_clear(&t->news.previews[i].png);
        free(t->news.images);
        free(t);
    }
}

static void wake_locked(struct http_ticket *t)
{
    lock_assert_held(&t->wait->lock);
    if (!t->asleep)
        return;
    t->asleep = false;
    t->wait->resume(t->handle);
}

static void on_image(struct engine_request *r, size_t i, void *context)
{
    struct http_ticket *t = context;
    (void)r;
    lock_take(&t->wait->lock);
    t->news.images[t->news.count++] = i;
    wake_locked(t);
    lock_drop(&t->wait->lock);
}

static void on_preview(struct engine_request *r, size_t i, int64_t step, const struct buf *png,
                       void *context)
{
    struct http_ticket *t = context;
    struct http_news *news = &t->news;
    struct http_preview preview = {.image = i, .step = step};
    (void)r;
    buf_init(&preview.png, png->length);
    if (buf_append(&preview.png, png->data, png->length, NULL) != 0)
        return; /* previews are a courtesy */
    lock_take(&t->wait->lock);
    if (news->waiting == HTTP_PREVIEWS) {
        buf_clear(&news->previews[news->first].png);
        news->first = (news->first + 1) % HTTP_PREVIEWS;
        news->waiting--;
    }
    news->previews[(news->first + news->waiting++) % HTTP_PREVIEWS] = preview;
    wake_locked(t);
    lock_drop(&t->wait->lock);
}

bool http_ticket_preview(struct http_ticket *t, struct http_preview *out)
{
    struct http_news *news = &t->news;
    lock_take(&t->wait->lock);
    bool found = news->waiting > 0;
    if (found) {
        *out = news->previews[news->first];
        memset(&news->previews[news->first], 0, sizeof *out);
        news->first = (news->first + 1) % HTTP_PREVIEWS;
        news->waiting--;
    }
    lock_drop(&t->wait->lock);
    return found;
}

static void on_done(struct engine_request *r, void *context)
{
    struct http_ticket *t = context;
    struct http_wait *w = t->wait;
    if (t->charge.keys)
        http_keys_return(t->charge.keys, t->charge.name, engine_request_unmade(r), t->charge.day);
    lock_take(&w->lock);
    if (!t->request) /* this may come before engine_submit has returned */
        t->request = r;
    t->finished = true;
    wake_locked(t);
    t->holders--;
    unlock_and_free_if_last(w, t);
}

struct http_ticket *http_ticket_new(struct http_wait *w, struct err *e)
{
    struct http_ticket *t = calloc(1, sizeof *t);
    if (!t) {
        err_fail_memory(e, sizeof *t);
        return NULL;
    }
    t->wait = w;
    t->holders = 1;
    lock_take(&w->lock);
    w->ticket_count++;
    lock_drop(&w->lock);
    return t;
}

int http_ticket_submit(struct http_ticket *t, struct engine *g, struct engine_order *order,
                       bool news, struct err *e)
{
    struct engine_request *request = NULL;
    if (news) {
        t->news.images = calloc(order->n, sizeof *t->news.images);
        if (!t->news.images)
            return err_fail_memory(e, order->n * sizeof *t->news.images);
        order->image = on_image;
        order->preview = on_preview;
    }
    order->done = on_done;
    order->context = t;
    lock_take(&t->wait->lock);
    t->holders++;
    lock_drop(&t->wait->lock);
    int result = engine_submit(g, order, &request, e);
    lock_take(&t->wait->lock);
    if (result != 0)
        t->holders--;
    else
        t->request = request;
    lock_drop(&t->wait->lock);
    return result;
}

bool http_ticket_sleep(struct http_ticket *t, struct http_connection *c, void *handle, size_t seen,
                       int64_t wake_ns)
{
    struct http_wait *w = t->wait;
    lock_take(&w->lock);
    bool sleep = !t->finished && !w->stopping && t->news.count <= seen && t->news.waiting == 0;
    if (sleep) {
        c->ticket = t;
        c->phase = HTTP_PHASE_WORK;
        c->since_ns = clock_ns();
        t->handle = handle;
        t->wake_ns = wake_ns;
        t->asleep = true;
        w->suspend(handle);
    }
    lock_drop(&w->lock);
    return sleep;
}

struct http_look http_ticket_look(struct http_ticket *t)
{
    lock_take(&t->wait->lock);
    struct http_look look = {t->finished, t->gone, t->wait->stopping, t->news.count};
    lock_drop(&t->wait->lock);
    return look;
}

void http_ticket_drop(struct http_ticket *t, struct http_connection *c)
{
    struct http_wait *w = t->wait;
    lock_take(&w->lock);
    if (c && c->ticket == t)
        c->ticket = NULL;
    t->asleep = false;
    /* An answer whose last image has been sent may end before the engine has put the request away.
     */
    const bool made =
        t->news.images && t->request && t->news.count == engine_request_order(t->request)->n;
    bool cancel = !t->finished && t->request && !made;
    lock_drop(&w->lock);
    if (cancel)
        engine_request_cancel(t->request); /* ours until we let go below */
    lock_take(&w->lock);
    t->holders--;
    unlock_and_free_if_last(w, t);
}

void http_wait_wake_all(struct http_wait *w)
{
    lock_take(&w->lock);
    w->stopping = true;
    for (struct http_connection *c = w->connections; c; c = c->next)
        if (c->ticket)
            wake_locked(c->ticket);
    lock_drop(&w->lock);
}

/* The client's address as text; empty for a unix socket. An IPv4 address that came through an IPv6
 * socket is shown as what it is. */
static void read_address(struct http_connection *c)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    if (getpeername(c->fd, (struct sockaddr *)&peer, &length) != 0)
        return;
    c->local = peer.ss_family == AF_UNIX;
    if (peer.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&peer;
        inet_ntop(AF_INET, &in->sin_addr, c->peer, sizeof c->peer);
    } else if (peer.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)&peer;
        if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr))
            inet_ntop(AF_INET, &in->sin6_addr.s6_addr[12], c->peer, sizeof c->peer);
        else
            inet_ntop(AF_INET6, &in->sin6_addr, c->peer, sizeof c->peer);
    }
    memcpy(c->address, c->peer, sizeof c->address);
}

struct http_connection *http_connection_open(struct http_wait *w, int fd, bool plain)
{
    struct http_connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->fd = fd;
    c->plain = plain;
    read_address(c);
    c->since_ns = clock_ns();
    lock_take(&w->lock);
    c->next = w->connections;
    if (w->connections)
        w->connections->previous = c;
    w->connections = c;
    w->connection_count++;
    pthread_cond_signal(&w->changed);
    lock_drop(&w->lock);
    return c;
}

void http_connection_close(struct http_wait *w, struct http_connection *c)
{
    lock_take(&w->lock);
    if (c->previous)
        c->previous->next = c->next;
    else
        w->connections = c->next;
    if (c->next)
        c->next->previous = c->previous;
    w->connection_count--;
    lock_drop(&w->lock);
    free(c);
}

void http_connection_phase(struct http_wait *w, struct http_connection *c, enum http_phase phase)
{
    lock_take(&w->lock);
    c->phase = phase;
    c->since_ns = clock_ns();
    lock_drop(&w->lock);
}

/* A count that changes whenever the other end takes something: bytes that it has acknowledged, or
 * of a unix socket those that wait for it. */
static bool read_taken(const struct http_connection *c, uint64_t *out)
{
    struct tcp_info tcp;
    socklen_t length = sizeof tcp;
    int waiting = 0;
    if (c->local && ioctl(c->fd, SIOCOUTQ, &waiting) == 0) {
        *out = (uint64_t)waiting;
        return true;
    }
    if (c->local || getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &tcp, &length) != 0 ||
        length < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof tcp.tcpi_bytes_acked)
        return false;
    *out = tcp.tcpi_bytes_acked;
    return true;
}

void http_connection_look_locked(struct http_wait *w, struct http_connection *c, int64_t now)
{
    uint64_t taken = 0;
    lock_assert_held(&w->lock);
    if (c->phase != HTTP_PHASE_SEND || c->cut || !read_taken(c, &taken) || taken == c->taken)
        return;
    c->taken = taken;
    c->since_ns = now;
}

void http_connection_name(struct http_wait *w, struct http_connection *c, const char *address)
{
    lock_take(&w->lock);
    snprintf(c->address, sizeof c->address, "%s", address);
    lock_drop(&w->lock);
}

size_t http_connection_count(struct http_wait *w, const struct http_connection *c,
                             size_t *same_address)
{
    *same_address = 0;
    lock_take(&w->lock);
    size_t count = w->connection_count;
    for (const struct http_connection *k = c ? w->connections : NULL; k; k = k->next)
        *same_address += strcmp(k->address, c->address) == 0;
    lock_drop(&w->lock);
    return count;
}

bool http_connection_body_ended(struct http_wait *w, struct http_connection *c)
{
    lock_take(&w->lock);
    bool in_time = !c->cut;
    c->phase = HTTP_PHASE_WORK;
    c->since_ns = clock_ns();
    lock_drop(&w->lock);
    return in_time;
}

bool http_connection_cut(struct http_wait *w, const struct http_connection *c)
{
    lock_take(&w->lock);
    bool cut = c->cut;
    lock_drop(&w->lock);
    return cut;
}

bool http_connection_left(const struct http_connection *c)
{
    struct pollfd look = {.fd = c->fd, .events = POLLRDHUP};
    return poll(&look, 1, 0) > 0 && (look.revents & LEFT);
}

void http_wait_count(struct http_wait *w, int change)
{
    lock_take(&w->lock);
    w->exchange_count += (size_t)change;
    lock_drop(&w->lock);
}

size_t http_wait_exchanges(struct http_wait *w)
{
    lock_take(&w->lock);
    size_t count = w->exchange_count;
    lock_drop(&w->lock);
    return count;
}

size_t http_wait_answers(struct http_wait *w)
{
    size_t count = 0;
    lock_take(&w->lock);
    for (const struct http_connection *c = w->connections; c; c = c->next)
        count += !c->cut && (c->phase == HTTP_PHASE_WORK || c->phase == HTTP_PHASE_SEND);
    lock_drop(&w->lock);
    return count;
}

/* What one look of the watcher needs; grown outside the lock. */
struct look {
    struct pollfd *fds;
    struct http_ticket **tickets; /* of the same places; then those to cancel */
    size_t room;
    int64_t ended_ns; /* when cut_ended_locked looked last, */
    int64_t taken_ns; /* and when all that take an answer were looked at */
};

static void grow(struct look *k, size_t want)
{
    if (want <= k->room)
        return;
    struct pollfd *fds = realloc(k->fds, want * sizeof *fds);
    if (fds)
        k->fds = fds;
    struct http_ticket **tickets = realloc(k->tickets, want * sizeof(struct http_ticket *));
    if (tickets)
        k->tickets = tickets;
    if (fds && tickets)
        k->room = want; /* else this look covers fewer connections; the next one tries again */
}

/* Cuts connections that stayed too long in a phase. The socket is ours to shut down while the lock
 * is held, because the library closes it only after http_connection_close. One whose body was due
 * can still be written to: it gets its answer when its own thread finds that no more can be read.
 */
static void cut_late_locked(struct http_wait *w, int64_t now)
{
    lock_assert_held(&w->lock);
    for (struct http_connection *c = w->connections; c; c = c->next) {
        int64_t limit = w->limits_ns[c->phase];
        if (limit && !c->cut && now - c->since_ns > limit) {
            c->cut = true;
            shutdown(c->fd, c->phase == HTTP_PHASE_BODY ? SHUT_RD : SHUT_RDWR);
        }
    }
}

/* Collects the tickets whose clients have gone, each with a hold of its own: those that wait, and
 * those whose answer is on its way in pieces, also where it has stopped because nobody reads, and
 * those of connections that were cut, which look as if their clients had left. */
static size_t find_gone_locked(struct http_wait *w, struct look *k)
{
    size_t n = 0, gone = 0;
    lock_assert_held(&w->lock);
    for (struct http_connection *c = w->connections; c && n < k->room; c = c->next) {
        bool awaited = c->phase == HTTP_PHASE_WORK || c->phase == HTTP_PHASE_SEND;
        if (!awaited || !c->ticket || c->ticket->finished || c->ticket->gone)
            continue;
        k->fds[n] = (struct pollfd){.fd = c->fd, .events = POLLRDHUP};
        k->tickets[n++] = c->ticket;
    }
    if (n == 0 || poll(k->fds, (nfds_t)n, 0) <= 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (k->fds[i].revents & LEFT) {
            k->tickets[i]->holders++;
            k->tickets[i]->gone = true;
            k->tickets[gone++] = k->tickets[i];
        }
    return gone;
}

/* A client's end that comes in one packet with its request, or with a piece of its body, escapes
 * the library, which then keeps the connection until it has been silent for long. */
static bool may_have_ended(const struct http_connection *c, int64_t now)
{
    return (c->phase == HTTP_PHASE_HEAD || c->phase == HTTP_PHASE_BODY) && !c->cut &&
           now - c->since_ns > ENDED_NS;
}

/* After a request the connection is cut. In a body it is made to look as it is, so that the library
 * ends the request as that of a client who left: once all that came has been taken, and was at the
 * look before. */
static void end_locked(struct http_connection *c)
{
    int unread = 0;
    if (c->phase == HTTP_PHASE_BODY) {
        bool taken = ioctl(c->fd, FIONREAD, &unread) == 0 && unread == 0;
        if (taken && c->ended)
            shutdown(c->fd, SHUT_RDWR);
        c->ended = taken;
        return;
    }
    c->cut = true;
    shutdown(c->fd, SHUT_RDWR);
}

static void cut_ended_locked(struct http_wait *w, struct look *k, int64_t now)
{
    size_t n = 0, i = 0;
    lock_assert_held(&w->lock);
    for (struct http_connection *c = w->connections; c && n < k->room; c = c->next)
        if (may_have_ended(c, now))
            k->fds[n++] = (struct pollfd){.fd = c->fd, .events = POLLRDHUP};
    if (n == 0 || poll(k->fds, (nfds_t)n, 0) <= 0)
        return;
    for (struct http_connection *c = w->connections; c && i < n; c = c->next)
        if (may_have_ended(c, now) && (k->fds[i++].revents & POLLRDHUP))
            end_locked(c);
}

static void look_once(struct http_wait *w, struct look *k)
{
    lock_take(&w->lock);
    size_t want = w->connection_count;
    lock_drop(&w->lock);
    grow(k, want + 64);
    lock_take(&w->lock);
    int64_t now = clock_ns();
    if (now - k->taken_ns > TAKEN_NS) {
        k->taken_ns = now;
        for (struct http_connection *c = w->connections; c; c = c->next)
            http_connection_look_locked(w, c, now);
    }
    cut_late_locked(w, now);
    if (now - k->ended_ns > ENDED_NS) {
        k->ended_ns = now;
        cut_ended_locked(w, k, now);
    }
    for (struct http_connection *c = w->connections; c; c = c->next)
        if (c->ticket && c->ticket->wake_ns && c->ticket->wake_ns <= now)
            wake_locked(c->ticket);
    size_t gone = find_gone_locked(w, k);
    lock_drop(&w->lock);
    for (size_t i = 0; i < gone; i++) {
        if (k->tickets[i]->request)
            engine_request_cancel(k->tickets[i]->request); /* wakes it through on_done */
        lock_take(&w->lock);
        if (!k->tickets[i]->request)
            wake_locked(k->tickets[i]);
        k->tickets[i]->holders--;
        unlock_and_free_if_last(w, k->tickets[i]);
    }
}

static void *watch(void *context)
{
    struct http_wait *w = context;
    struct look k = {0};
    lock_take(&w->lock);
    while (w->started) {
        if (w->connection_count == 0) {
            lock_wait(&w->lock, &w->changed, WAIT_FOREVER);
            continue;
        }
        const int64_t end_ns = wait_end_ns(TICK_MS);
        while (w->started && lock_wait(&w->lock, &w->changed, end_ns))
            ;
        lock_drop(&w->lock);
        look_once(w, &k);
        lock_take(&w->lock);
    }
    lock_drop(&w->lock);
    free(k.fds);
    free(k.tickets);
    return NULL;
}

int http_wait_start(struct http_wait *w, void (*suspend)(void *), void (*resume)(void *),
                    const int limits_s[HTTP_PHASES], struct err *e)
{
    memset(w, 0, sizeof *w);
    w->suspend = suspend;
    w->resume = resume;
    for (int i = 0; i < HTTP_PHASES; i++)
        w->limits_ns[i] = (int64_t)limits_s[i] * 1000000000;
    lock_init(&w->lock);
    wait_init(&w->changed);
    w->started = true;
    int code = pthread_create(&w->thread, NULL, watch, w);
    if (code == 0)
        return 0;
    w->started = false;
    lock_clear(&w->lock);
    pthread_cond_destroy(&w->changed);
    return err_fail_errno(e, code, "watcher", "start a thread");
}

void http_wait_stop(struct http_wait *w)
{
    lock_take(&w->lock);
    while (w->ticket_count > 0)
        lock_wait(&w->lock, &w->changed, WAIT_FOREVER);
    w->started = false;
    pthread_cond_broadcast(&w->changed);
    lock_drop(&w->lock);
    pthread_join(w->thread, NULL);
    lock_clear(&w->lock);
    pthread_cond_destroy(&w->changed);
}
