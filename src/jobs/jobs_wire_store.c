/* What goes over the wire and is kept: records, results, reports, shards. */
#include "jobs_wire_internal.h"

#include "base_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PURGE_MS 60000
#define TAKE_MS 200
#define WINDOW 256 /* messages on their way at a time */

/* ---- records ---- */

enum jobs_answer jobs_wire_put(struct jobs_wire *w, const char *key, const void *data,
                               size_t length, uint64_t *revision, struct err *e)
{
    char subject[JOBS_WIRE_SUBJECT];
    natsMsg *m = NULL;
    jsPubAck *ack = NULL;
    jsErrCode code = 0;
    jsPubOptions o;
    jsPubOptions_Init(&o);
    o.ExpectLastSubjectSeq = *revision;
    o.ExpectNoMessage = *revision == 0;
    if (!jobs_wire_may_ask(w, &o.MaxWait))
        return jobs_wire_fail(w, NATS_TIMEOUT, 0, e);
    snprintf(subject, sizeof subject, JOBS_WIRE_KEYS "%s", key);
    natsStatus s = natsMsg_Create(&m, subject, NULL, data, (int)length);
    if (s == NATS_OK)
        s = js_PublishMsg(&ack, w->js, m, &o, &code);
    jobs_wire_asked(w, s);
    natsMsg_Destroy(m);
    if (s != NATS_OK)
        return jobs_wire_fail(w, s, code, e);
    *revision = ack->Sequence;
    jsPubAck_Destroy(ack);
    return JOBS_DONE;
}

/* The last message of a subject, by the stream's leader. */
static natsStatus get_last(struct jobs_wire *w, const char *stream, const char *subject,
                           natsMsg **out, jsErrCode *code)
{
    jsOptions o;
    jsOptions_Init(&o);
    if (!jobs_wire_may_ask(w, &o.Wait))
        return NATS_TIMEOUT;
    const natsStatus s = js_GetLastMsg(out, w->js, stream, subject, &o, code);
    jobs_wire_asked(w, s);
    return s;
}

enum jobs_answer jobs_wire_get(struct jobs_wire *w, const char *key, struct buf *value,
                               uint64_t *revision, struct err *e)
{
    char subject[JOBS_WIRE_SUBJECT];
    natsMsg *m = NULL;
    jsErrCode code = 0;
    snprintf(subject, sizeof subject, JOBS_WIRE_KEYS "%s", key);
    natsStatus s = get_last(w, JOBS_WIRE_RECORDS_STREAM, subject, &m, &code);
    if (s != NATS_OK)
        return jobs_wire_fail(w, s, code, e);
    *revision = natsMsg_GetSequence(m);
    const int result = buf_append(value, natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m), e);
    natsMsg_Destroy(m);
    return result == 0 ? JOBS_DONE : JOBS_BROKEN;
}

/* What lies before the message `end` (0: all). */
static enum jobs_answer purge(struct jobs_wire *w, const char *stream, const char *subject,
                              uint64_t end, struct err *e)
{
    jsErrCode code = 0;
    jsOptions o;
    jsOptions_Init(&o);
    if (!jobs_wire_may_ask(w, &o.Wait))
        return jobs_wire_fail(w, NATS_TIMEOUT, 0, e);
    if (o.Wait == 0)
        o.Wait = PURGE_MS;
    o.Stream.Purge.Subject = subject;
    o.Stream.Purge.Sequence = end;
    natsStatus s = js_PurgeStream(w->js, stream, &o, &code);
    jobs_wire_asked(w, s);
    return s == NATS_OK ? JOBS_DONE : jobs_wire_fail(w, s, code, e);
}

enum jobs_answer jobs_wire_delete(struct jobs_wire *w, const char *keys, uint64_t revision,
                                  struct err *e)
{
    char subject[JOBS_WIRE_SUBJECT];
    snprintf(subject, sizeof subject, JOBS_WIRE_KEYS "%s", keys);
    return purge(w, JOBS_WIRE_RECORDS_STREAM, subject, revision + 1, e);
}

enum jobs_answer jobs_wire_purge_job(struct jobs_wire *w, const char *id, struct err *e)
{
    char results[JOBS_WIRE_SUBJECT], reports[JOBS_WIRE_SUBJECT];
    snprintf(results, sizeof results, "pfgm.result.%s.*", id);
    snprintf(reports, sizeof reports, JOBS_WIRE_DONE "%s.>", id);
    const enum jobs_answer answer = purge(w, JOBS_WIRE_RESULTS_STREAM, results, 0, e);
    return answer == JOBS_DONE ? purge(w, JOBS_WIRE_REPORTS_STREAM, reports, 0, e) : answer;
}

/* ---- results, reports and shards ---- */

static natsStatus send(struct jobs_wire *w, const struct jobs_wire_message *one, size_t i)
{
    char reply[sizeof w->inbox + 40];
    natsMsg *m = NULL;
    snprintf(reply, sizeof reply, "%s.%u-%zu", w->inbox, w->round, i);
    natsStatus s = natsMsg_Create(&m, one->subject, reply, one->data, (int)one->length);
    if (s == NATS_OK)
        s = natsMsgHeader_Set(m, "Nats-Msg-Id", one->id);
    if (s == NATS_OK && one->note[0])
        s = natsMsgHeader_Set(m, JOBS_WIRE_NOTE, one->note);
    if (s == NATS_OK)
        s = natsConnection_PublishMsg(w->nc, m);
    natsMsg_Destroy(m);
    return s;
}

/* What the server says of a message that was sent. */
static enum jobs_answer read_ack(struct jobs_wire *w, natsMsg *m, uint64_t *sequence, struct err *e)
{
    if (natsMsg_IsNoResponders(m))
        return jobs_wire_fail(w, NATS_NO_RESPONDERS, 0, e);
    json_t *o = json_parse(natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m), "JetStream", e);
    const json_t *error = json_object_get(o, "error");
    const char *words = json_string_value(json_object_get(error, "description"));
    enum jobs_answer answer = o ? JOBS_DONE : JOBS_BROKEN;
    if (o && !json_is_true(json_object_get(o, "duplicate")))
        *sequence = (uint64_t)json_integer_value(json_object_get(o, "seq"));
    if (error && !(words && strstr(words, "per subject"))) /* which is: it is there already */
        answer = jobs_wire_judge(w, (int)json_integer_value(json_object_get(error, "err_code")),
                                 words ? words : "it does not say why", e);
    json_decref(o);
    return answer;
}

/* Waits for one answer to this round. */
static enum jobs_answer take_ack(struct jobs_wire *w, struct jobs_wire_message *messages,
                                 size_t count, struct err *e)
{
    unsigned round = 0;
    size_t i = 0;
    natsMsg *m = NULL;
    for (;;) {
        natsStatus s = natsSubscription_NextMsg(&m, w->answers, 2 * JOBS_WIRE_ANSWER_MS);
        if (s != NATS_OK)
            return jobs_wire_fail(w, s, 0, e);
        const char *name = natsMsg_GetSubject(m) + strlen(w->inbox);
        if (sscanf(name, ".%u-%zu", &round, &i) == 2 && round == w->round && i < count)
            break;
        natsMsg_Destroy(m); /* of a round that was given up */
    }
    enum jobs_answer answer = read_ack(w, m, &messages[i].sequence, e);
    natsMsg_Destroy(m);
    return answer;
}

enum jobs_answer jobs_wire_publish(struct jobs_wire *w, struct jobs_wire_message *messages,
                                   size_t count, struct err *e)
{
    const int64_t most = natsConnection_GetMaxPayload(w->nc) - 1024;
    enum jobs_answer answer = JOBS_DONE;
    size_t sent = 0, taken = 0;
    for (size_t i = 0; i < count; i++) {
        messages[i].sequence = 0;
        if ((int64_t)messages[i].length <= most)
            continue;
        err_fail(e, ERR_LIMIT, "",
                 "an image has %zu bytes, and the NATS server takes %lld: raise its max_payload",
                 messages[i].length, (long long)most);
        return JOBS_BROKEN;
    }
    lock_take(&w->publishing);
    w->round++;
    while (answer == JOBS_DONE && taken < count) {
        natsStatus s = NATS_OK;
        for (; s == NATS_OK && sent < count && sent < taken + WINDOW; sent++)
            s = send(w, &messages[sent], sent);
        answer = s == NATS_OK ? take_ack(w, messages, count, e) : jobs_wire_fail(w, s, 0, e);
        taken++;
    }
    lock_drop(&w->publishing);
    return answer;
}

enum jobs_answer jobs_wire_publish_one(struct jobs_wire *w, struct jobs_wire_message *message,
                                       struct err *e)
{
    jsPubAck *ack = NULL;
    jsErrCode code = 0;
    jsPubOptions o;
    jsPubOptions_Init(&o);
    o.MsgId = message->id;
    natsStatus s =
        js_Publish(&ack, w->js, message->subject, message->data, (int)message->length, &o, &code);
    if (s != NATS_OK)
        return jobs_wire_fail(w, s, code, e);
    message->sequence = ack->Duplicate ? 0 : ack->Sequence;
    jsPubAck_Destroy(ack);
    return JOBS_DONE;
}

/* What is stored under a subject. Any server of a cluster answers, also one that has not heard of
 * the newest yet. */
static natsStatus get_direct(struct jobs_wire *w, enum jobs_wire_what what, const char *subject,
                             natsMsg **out)
{
    jsDirectGetMsgOptions o;
    jsOptions how;
    jsOptions_Init(&how);
    if (!jobs_wire_may_ask(w, &how.Wait))
        return NATS_TIMEOUT;
    jsDirectGetMsgOptions_Init(&o);
    o.LastBySubject = subject;
    const natsStatus s = js_DirectGetMsg(out, w->js, jobs_wire_stream(what), &how, &o);
    jobs_wire_asked(w, s);
    return s;
}

enum jobs_answer jobs_wire_is_reported(struct jobs_wire *w, const char *subject, bool *out,
                                       struct err *e)
{
    natsMsg *m = NULL;
    natsStatus s = get_direct(w, JOBS_WIRE_REPORTS, subject, &m);
    natsMsg_Destroy(m);
    *out = s == NATS_OK;
    return s == NATS_OK || s == NATS_NOT_FOUND ? JOBS_DONE : jobs_wire_fail(w, s, 0, e);
}

/* A consumer knows how much lies before it; this one is there for that only. */
enum jobs_answer jobs_wire_count(struct jobs_wire *w, enum jobs_wire_what what,
                                 const char *subjects, uint64_t *out, struct err *e)
{
    jsConsumerInfo *info = NULL;
    jsConsumerConfig c;
    jsErrCode code = 0;
    jsConsumerConfig_Init(&c);
    c.FilterSubject = subjects;
    c.AckPolicy = js_AckNone;
    c.MemoryStorage = true;
    c.Replicas = 1;
    c.InactiveThreshold = JOBS_WIRE_SECOND_NS; /* where the line that ends it is lost */
    natsStatus s = js_AddConsumer(&info, w->js, jobs_wire_stream(what), &c, NULL, &code);
    if (s != NATS_OK)
        return jobs_wire_fail(w, s, code, e);
    *out = info->NumPending;
    js_DeleteConsumer(w->js, info->Stream, info->Name, NULL, NULL);
    jsConsumerInfo_Destroy(info);
    return JOBS_DONE;
}

enum jobs_answer jobs_wire_result(struct jobs_wire *w, const char *subject, struct buf *bytes,
                                  char note[192], struct err *e)
{
    natsMsg *m = NULL;
    const char *text = NULL;
    jsErrCode code = 0;
    natsStatus s = get_direct(w, JOBS_WIRE_RESULTS, subject, &m);
    if (s == NATS_NOT_FOUND && w->replicas > 1) /* who answered may be behind, and the leader not */
        s = get_last(w, JOBS_WIRE_RESULTS_STREAM, subject, &m, &code);
    if (s != NATS_OK)
        return jobs_wire_fail(w, s, code, e);
    natsMsgHeader_Get(m, JOBS_WIRE_NOTE, &text);
    snprintf(note, 192, "%s", text ? text : "");
    const int result = buf_append(bytes, natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m), e);
    natsMsg_Destroy(m);
    return result == 0 ? JOBS_DONE : JOBS_BROKEN;
}

/* ---- work ---- */

/* A consumer's name has no dots. */
static void name_consumer(const char *subject, char out[JOBS_WIRE_SUBJECT])
{
    const char *from = subject + sizeof "pfgm.work." - 1;
    snprintf(out, JOBS_WIRE_SUBJECT, "%s", from);
    for (char *c = out; *c; c++)
        if (*c == '.')
            *c = '_';
}

static struct jobs_wire_queue *find_queue(struct jobs_wire *w, const char *subject)
{
    lock_take(&w->lock);
    struct jobs_wire_queue *q = w->queues;
    while (q && strcmp(q->subject, subject) != 0)
        q = q->next;
    lock_drop(&w->lock);
    return q;
}

static natsStatus make_queue(struct jobs_wire *w, const char *subject, const char *consumer,
                             struct jobs_wire_queue **out)
{
    natsInbox *inbox = NULL;
    struct jobs_wire_queue *q = calloc(1, sizeof *q);
    natsStatus s = q ? natsInbox_Create(&inbox) : NATS_NO_MEMORY;
    if (s == NATS_OK)
        s = natsConnection_SubscribeSync(&q->answers, w->nc, inbox);
    if (s == NATS_OK) {
        snprintf(q->subject, sizeof q->subject, "%s", subject);
        snprintf(q->inbox, sizeof q->inbox, "%s", inbox);
        snprintf(q->question, sizeof q->question,
                 "$JS.API.CONSUMER.MSG.NEXT." JOBS_WIRE_WORK_STREAM ".%s", consumer);
        lock_take(&w->lock);
        q->next = w->queues;
        w->queues = *out = q;
        lock_drop(&w->lock);
    } else {
        free(q);
    }
    natsInbox_Destroy(inbox);
    return s;
}

/* A work queue's message goes to one consumer, which all replicas share. To make one that is there
 * changes nothing. The server says nothing at all to whoever asks one that is not. */
static natsStatus open_queue(struct jobs_wire *w, const char *subject, struct jobs_wire_queue **out,
                             jsErrCode *code)
{
    char name[JOBS_WIRE_SUBJECT];
    jsConsumerConfig c;
    *out = find_queue(w, subject);
    if (*out)
        return NATS_OK;
    name_consumer(subject, name);
    jsConsumerConfig_Init(&c);
    c.Durable = name;
    c.FilterSubject = subject;
    c.AckPolicy = js_AckExplicit;
    c.AckWait = JOBS_WIRE_ACK_S * JOBS_WIRE_SECOND_NS;
    c.MaxAckPending = -1;
    natsStatus s = js_AddConsumer(NULL, w->js, JOBS_WIRE_WORK_STREAM, &c, NULL, code);
    return s == NATS_OK ? make_queue(w, subject, name, out) : s;
}

/* NATS_TIMEOUT: there is no work at present. The server means to say so at once, and forgets to
 * when it has just handed out or lost its last message; so the wait is short, and an answer that
 * takes longer than that is taken by the next call. The question itself ends at the server by
 * `expires`.
 */
static natsStatus ask_for_work(struct jobs_wire *w, struct jobs_wire_queue *q, natsMsg **out)
{
    static const char question[] = "{\"batch\":1,\"no_wait\":true,\"expires\":60000000}";
    const char *status = NULL;
    while (natsSubscription_NextMsg(out, q->answers, 0) == NATS_OK) {
        if (natsMsgHeader_Get(*out, "Status", &status) != NATS_OK)
            return NATS_OK;
        natsMsg_Destroy(*out); /* that there was nothing then */
    }
    natsStatus s = natsConnection_PublishRequestString(w->nc, q->question, q->inbox, question);
    return s == NATS_OK ? natsSubscription_NextMsg(out, q->answers, TAKE_MS) : s;
}

enum jobs_answer jobs_wire_take(struct jobs_wire *w, const char *subject,
                                struct jobs_wire_work *out, struct err *e)
{
    natsMsg *m = NULL;
    jsErrCode code = 0;
    uint64_t number;
    const char *status = NULL;
    struct jobs_wire_queue *q = NULL;
    natsStatus s = open_queue(w, subject, &q, &code);
    if (s == NATS_OK)
        s = ask_for_work(w, q, &m);
    if (s == NATS_TIMEOUT && code == 0)
        return JOBS_ABSENT;
    if (s != NATS_OK)
        return jobs_wire_fail(w, s, code, e);
    natsMsgHeader_Get(m, "Status", &status);
    const char *reply = natsMsg_GetReply(m);
    const bool is_work =
        !status && reply && jobs_wire_read_reply(reply, &out->deliveries, &out->sequence, &number);
    if (is_work) {
        snprintf(out->reply, sizeof out->reply, "%s", reply);
        snprintf(out->text, sizeof out->text, "%.*s", natsMsg_GetDataLength(m), natsMsg_GetData(m));
    }
    natsMsg_Destroy(m);
    return is_work ? JOBS_DONE : JOBS_ABSENT;
}

enum jobs_answer jobs_wire_is_idle(struct jobs_wire *w, const char *subject, bool *out,
                                   struct err *e)
{
    char name[JOBS_WIRE_SUBJECT];
    jsConsumerInfo *info = NULL;
    jsErrCode code = 0;
    name_consumer(subject, name);
    natsStatus s = js_GetConsumerInfo(&info, w->js, JOBS_WIRE_WORK_STREAM, name, NULL, &code);
    *out = s != NATS_OK || (info->NumPending == 0 && info->NumAckPending == 0);
    jsConsumerInfo_Destroy(info);
    return s == NATS_OK || s == NATS_NOT_FOUND || code == JSConsumerNotFoundErr
               ? JOBS_DONE
               : jobs_wire_fail(w, s, code, e);
}
