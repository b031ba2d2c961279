/* Following what is stored: an ordered consumer of our own making. Its numbers have no gaps, and it
 * gives a sign of life each second; where either fails, whoever follows connects anew. */
#include "jobs_wire_internal.h"

#include "base_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEARD_NS (8 * JOBS_WIRE_SECOND_NS)

struct jobs_wire_tail {
    atomic_int references;  /* its owner's, and libnats' for as long as it may call */
    struct jobs_wire *wire; /* held */
    natsSubscription *sub;
    enum jobs_wire_what what;
    jobs_wire_follow *follow; /* one of them */
    jobs_wire_hear *hear;
    void *context;
    atomic_int_fast64_t heard_ns;
    atomic_bool broken;
    struct lock lock; /* held while the callback runs */
    bool closed;      /* [lock] */
    uint64_t last;    /* of the consumer's numbers [lock] */
};

/* The numbers of "$JS.ACK.STREAM.CONSUMER.DELIVERIES.SEQUENCE.NUMBER.TIME.PENDING", which has two
 * more words before the stream's in newer servers. */
bool jobs_wire_read_reply(const char *reply, uint64_t *deliveries, uint64_t *sequence,
                          uint64_t *number)
{
    unsigned long long v[3];
    int words = 1;
    for (const char *c = reply ? reply : ""; *c; c++)
        words += *c == '.';
    const char *at = reply;
    for (int skip = words >= 11 ? 6 : 4; at && skip > 0; skip--) {
        at = strchr(at, '.');
        at = at ? at + 1 : NULL;
    }
    if (!at || words < 9 || sscanf(at, "%llu.%llu.%llu", &v[0], &v[1], &v[2]) != 3)
        return false;
    *deliveries = v[0];
    *sequence = v[1];
    *number = v[2];
    return true;
}

/* A sign of life, or a question whether we keep up. */
static void on_status(struct jobs_wire_tail *t, natsMsg *m)
{
    const char *stalled = NULL, *last = NULL;
    natsMsgHeader_Get(m, "Nats-Consumer-Stalled", &stalled);
    natsMsgHeader_Get(m, "Nats-Last-Consumer", &last);
    if (natsMsg_GetReply(m))
        stalled = natsMsg_GetReply(m);
    if (stalled)
        natsConnection_Publish(t->wire->nc, stalled, "", 0);
    if (last && strtoull(last, NULL, 10) != t->last)
        t->broken = true;
}

static void on_news(struct jobs_wire_tail *t, natsMsg *m)
{
    uint64_t deliveries, number;
    const char *status = NULL, *operation = NULL;
    struct jobs_wire_news news = {.name = natsMsg_GetSubject(m)};
    natsMsgHeader_Get(m, "Status", &status);
    if (status) {
        on_status(t, m);
        return;
    }
    if (!jobs_wire_read_reply(natsMsg_GetReply(m), &deliveries, &news.sequence, &number) ||
        number != t->last + 1) {
        t->broken = true;
        return;
    }
    t->last = number;
    natsMsgHeader_Get(m, "KV-Operation", &operation);
    news.is_gone = operation != NULL;
    news.data = natsMsg_GetData(m);
    news.length = (size_t)natsMsg_GetDataLength(m);
    if (t->what == JOBS_WIRE_RECORDS && strlen(news.name) > sizeof JOBS_WIRE_KEYS - 1)
        news.name += sizeof JOBS_WIRE_KEYS - 1;
    t->follow(t->context, &news);
}

static void on_message(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *closure)
{
    struct jobs_wire_tail *t = closure;
    (void)nc, (void)sub;
    t->heard_ns = clock_ns();
    lock_take(&t->lock);
    if (!t->closed && t->hear)
        t->hear(t->context, natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m));
    else if (!t->closed && !t->broken)
        on_news(t, m);
    lock_drop(&t->lock);
    natsMsg_Destroy(m);
}

static void let_go(struct jobs_wire_tail *t)
{
    if (--t->references > 0)
        return;
    natsSubscription_Destroy(t->sub);
    jobs_wire_release(t->wire);
    lock_clear(&t->lock);
    free(t);
}

/* After the last message: nobody of libnats comes again. */
static void on_complete(void *closure)
{
    let_go(closure);
}

static natsStatus subscribe(struct jobs_wire_tail *t, const char *subject)
{
    natsStatus s = natsConnection_Subscribe(&t->sub, t->wire->nc, subject, on_message, t);
    if (s != NATS_OK)
        return s;
    t->references++;
    s = natsSubscription_SetOnCompleteCB(t->sub, on_complete, t);
    if (s != NATS_OK) /* it has ended meanwhile, and will not call */
        t->references--;
    return s == NATS_OK ? natsSubscription_SetPendingLimits(t->sub, -1, -1) : s;
}

static struct jobs_wire_tail *new_tail(struct jobs_wire *w, void *context, struct err *e)
{
    struct jobs_wire_tail *t = calloc(1, sizeof *t);
    if (!t) {
        err_fail_memory(e, sizeof *t);
        return NULL;
    }
    t->references = 1;
    t->wire = jobs_wire_hold(w);
    t->context = context;
    t->heard_ns = clock_ns();
    lock_init(&t->lock);
    return t;
}

static natsStatus consume(struct jobs_wire_tail *t, const char *inbox, const char *filter,
                          uint64_t *present, jsErrCode *code)
{
    jsConsumerInfo *info = NULL;
    jsConsumerConfig c;
    jsConsumerConfig_Init(&c);
    c.DeliverSubject = inbox;
    c.FilterSubject = filter;
    c.AckPolicy = js_AckNone;
    c.Heartbeat = JOBS_WIRE_SECOND_NS;
    c.FlowControl = true;
    c.MemoryStorage = true;
    c.Replicas = 1;
    c.InactiveThreshold = 30 * JOBS_WIRE_SECOND_NS;
    natsStatus s = js_AddConsumer(&info, t->wire->js, jobs_wire_stream(t->what), &c, NULL, code);
    if (s == NATS_OK)
        *present = info->NumPending + info->Delivered.Consumer;
    jsConsumerInfo_Destroy(info);
    return s;
}

enum jobs_answer jobs_wire_tail_open(struct jobs_wire *w, enum jobs_wire_what what,
                                     const char *names, jobs_wire_follow *follow, void *context,
                                     struct jobs_wire_tail **out, uint64_t *present, struct err *e)
{
    char filter[JOBS_WIRE_SUBJECT];
    natsInbox *inbox = NULL;
    jsErrCode code = 0;
    struct jobs_wire_tail *t = new_tail(w, context, e);
    if (!t)
        return JOBS_BROKEN;
    t->what = what;
    t->follow = follow;
    snprintf(filter, sizeof filter, "%s%s", what == JOBS_WIRE_RECORDS ? JOBS_WIRE_KEYS : "", names);
    natsStatus s = natsInbox_Create(&inbox);
    if (s == NATS_OK)
        s = subscribe(t, inbox);
    if (s == NATS_OK)
        s = consume(t, inbox, filter, present, &code);
    if (s != NATS_OK)
        jobs_wire_tail_close(t);
    natsInbox_Destroy(inbox);
    *out = s == NATS_OK ? t : NULL;
    return s == NATS_OK ? JOBS_DONE : jobs_wire_fail(w, s, code, e);
}

bool jobs_wire_tail_is_whole(struct jobs_wire_tail *t)
{
    return !t->broken && (t->hear || clock_ns() - t->heard_ns < HEARD_NS);
}

void jobs_wire_tail_close(struct jobs_wire_tail *t)
{
    if (!t)
        return;
    lock_take(&t->lock);
    t->closed = true;
    lock_drop(&t->lock);
    if (t->sub)
        natsSubscription_Unsubscribe(t->sub);
    let_go(t);
}

enum jobs_answer jobs_wire_listen(struct jobs_wire *w, const char *subject, jobs_wire_hear *hear,
                                  void *context, struct jobs_wire_tail **out, struct err *e)
{
    struct jobs_wire_tail *t = new_tail(w, context, e);
    if (!t)
        return JOBS_BROKEN;
    t->hear = hear;
    natsStatus s = subscribe(t, subject);
    if (s != NATS_OK)
        jobs_wire_tail_close(t);
    *out = s == NATS_OK ? t : NULL;
    return s == NATS_OK ? JOBS_DONE : jobs_wire_fail(w, s, 0, e);
}

void jobs_wire_say(struct jobs_wire *w, const char *subject, const void *data, size_t length)
{
    natsConnection_Publish(w->nc, subject, data, (int)length);
}
