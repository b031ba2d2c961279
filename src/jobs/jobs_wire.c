/* Connecting to NATS: servers, streams, and what went wrong in words.
 *
 * There are four streams. Records lie in a key-value bucket by its usual conventions, so that other
 * programs for NATS can look at it. Of results the server takes one for each subject and no second,
 * which is what makes them be stored once however late a copy comes; reports have a stream of their
 * own, so that the server need not look through results for those who follow them; and shards lie
 * in a work queue, which forgets what was acknowledged.
 *
 * libnats' own reconnecting is not used: whatever a connection knew (what follows it, what was
 * asked) is looked at anew after each loss, so a new connection is the simpler one. */
#include "jobs_wire_internal.h"

#include "base_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HURRY_MS 400                      /* for an answer; twice that of a server that is late */
#define LATE_NS (2 * JOBS_WIRE_SECOND_NS) /* between two looks whether it is still */

/* ---- errors ---- */

void jobs_wire_show(const char *servers, char out[JOBS_WIRE_SHOWN])
{
    size_t used = 0;
    while (*servers && used + 1 < JOBS_WIRE_SHOWN) {
        const size_t length = strcspn(servers, ",");
        const char *host = servers, *scheme = strstr(servers, "://"), *at;
        if (scheme && scheme < servers + length)
            host = scheme + 3;
        while ((at = memchr(host, '@', (size_t)(servers + length - host))) != NULL)
            host = at + 1;
        used += (size_t)snprintf(out + used, JOBS_WIRE_SHOWN - used, "%s%.*s%.*s", used ? "," : "",
                                 scheme ? (int)(scheme + 3 - servers) : 0, servers,
                                 (int)(servers + length - host), host);
        servers += length + (servers[length] == ',');
    }
    out[used < JOBS_WIRE_SHOWN ? used : JOBS_WIRE_SHOWN - 1] = '\0';
}

void jobs_wire_trouble(struct jobs_wire *w, struct err *e)
{
    lock_take(&w->lock);
    if (w->trouble.code == ERR_NONE)
        err_fail(&w->trouble, ERR_IO, w->shown,
                 "the connection to NATS is lost; it is tried again");
    if (e)
        *e = w->trouble;
    lock_drop(&w->lock);
}

static void note_trouble(struct jobs_wire *w, const struct err *e)
{
    lock_take(&w->lock);
    if (w->trouble.code == ERR_NONE)
        w->trouble = *e;
    lock_drop(&w->lock);
}

static _Thread_local bool in_a_hurry;

void jobs_wire_hurry(bool hurries)
{
    in_a_hurry = hurries;
}

bool jobs_wire_may_ask(struct jobs_wire *w, int64_t *ms)
{
    *ms = 0;
    if (!in_a_hurry)
        return true;
    int_fast64_t until_ns = w->late_until_ns;
    const int64_t now = clock_ns();
    *ms = until_ns == 0 ? HURRY_MS : 2 * HURRY_MS;
    return until_ns == 0 || (now >= until_ns && atomic_compare_exchange_strong(
                                                    &w->late_until_ns, &until_ns, now + LATE_NS));
}

void jobs_wire_asked(struct jobs_wire *w, natsStatus s)
{
    if (in_a_hurry)
        w->late_until_ns = s == NATS_TIMEOUT ? clock_ns() + LATE_NS : 0;
}

static enum jobs_answer fail_away(struct jobs_wire *w, natsStatus s, struct err *e)
{
    struct err why = {0};
    if (in_a_hurry && s == NATS_TIMEOUT && !w->closed) {
        err_fail(e, ERR_IO, w->shown, "the NATS server is late");
        return JOBS_AWAY;
    }
    if (w->closed) {
        jobs_wire_trouble(w, e);
        return JOBS_AWAY;
    }
    if (s == NATS_NO_RESPONDERS) {
        err_fail(e, ERR_IO, w->shown, "JetStream of the NATS server does not answer at present");
        return JOBS_AWAY;
    }
    err_fail(&why, ERR_IO, w->shown, "the NATS server does not answer: %s", natsStatus_GetText(s));
    note_trouble(w, &why);
    jobs_wire_trouble(w, e);
    jobs_wire_close(w);
    return JOBS_AWAY;
}

static bool is_full(int code)
{
    return code == JSStreamStoreFailedErr || code == JSStorageResourcesExceededErr ||
           code == JSInsufficientResourcesErr || code == JSMemoryResourcesExceededErr ||
           code == JSAccountResourcesExceededErr;
}

/* What JetStream said: an answer, with its words where they are news to somebody. */
enum jobs_answer jobs_wire_judge(struct jobs_wire *w, int code, const char *words, struct err *e)
{
    if (code == JSStreamWrongLastSequenceErr) {
        err_fail(e, ERR_INPUT, "", "the job was changed meanwhile");
        return JOBS_CONFLICT;
    }
    if (code == JSNoMessageFoundErr) {
        err_fail(e, ERR_INPUT, "", "there is none");
        return JOBS_ABSENT;
    }
    if (is_full(code)) {
        err_fail(e, ERR_LIMIT, w->shown, "the NATS server has no room for jobs: %s", words);
        return JOBS_FULL;
    }
    err_fail(e, ERR_IO, w->shown, "the NATS server refuses: %s", words);
    return code == JSClusterNotAvailErr || code == JSClusterNotLeaderErr ||
                   code == JSStreamOfflineErr
               ? JOBS_AWAY
               : JOBS_BROKEN;
}

enum jobs_answer jobs_wire_fail(struct jobs_wire *w, natsStatus s, int code, struct err *e)
{
    if (code != 0)
        return jobs_wire_judge(w, code, nats_GetLastError(NULL), e);
    if (s == NATS_NOT_FOUND)
        return jobs_wire_judge(w, JSNoMessageFoundErr, "", e);
    if (s == NATS_NO_MEMORY) {
        err_fail_memory(e, 1);
        return JOBS_BROKEN;
    }
    return fail_away(w, s, e);
}

/* ---- life ---- */

struct jobs_wire *jobs_wire_hold(struct jobs_wire *w)
{
    w->references++;
    return w;
}

void jobs_wire_release(struct jobs_wire *w)
{
    if (!w || --w->references > 0)
        return;
    natsSubscription_Destroy(w->answers);
    jsCtx_Destroy(w->js);
    natsConnection_Destroy(w->nc);
    while (w->queues) {
        struct jobs_wire_queue *q = w->queues;
        w->queues = q->next;
        natsSubscription_Destroy(q->answers);
        free(q);
    }
    lock_clear(&w->publishing);
    lock_clear(&w->lock);
    free(w);
}

void jobs_wire_flush(struct jobs_wire *w)
{
    natsConnection_FlushTimeout(w->nc, JOBS_WIRE_ANSWER_MS);
}

void jobs_wire_close(struct jobs_wire *w)
{
    w->closed = true;
    natsConnection_Close(w->nc);
}

bool jobs_wire_is_open(struct jobs_wire *w)
{
    return !w->closed;
}

static void on_closed(natsConnection *nc, void *closure)
{
    struct jobs_wire *w = closure;
    (void)nc;
    w->closed = true;
    jobs_wire_release(w); /* held for this call */
}

static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus s, void *closure)
{
    struct jobs_wire *w = closure;
    struct err why = {0};
    const char *words = NULL;
    (void)sub;
    if (s != NATS_NOT_PERMITTED && s != NATS_STALE_CONNECTION)
        return;
    natsConnection_GetLastError(nc, &words);
    err_fail(&why, ERR_IO, w->shown, "%s",
             s == NATS_STALE_CONNECTION ? "the NATS server does not answer any more"
             : words                    ? words
                                        : "the NATS server does not permit what jobs need");
    note_trouble(w, &why);
}

/* ---- connecting ---- */

static natsStatus set_servers(natsOptions *o, const char *servers)
{
    const char *list[16];
    char *copy = strdup(servers), *rest = copy, *one;
    int count = 0;
    while (copy && count < 16 && (one = strsep(&rest, ",")) != NULL)
        if (*one)
            list[count++] = one;
    natsStatus s = copy ? natsOptions_SetServers(o, list, count) : NATS_NO_MEMORY;
    free(copy);
    return s;
}

static natsStatus set_options(natsOptions *o, struct jobs_wire *w,
                              const struct jobs_wire_options *wanted)
{
    natsStatus s = set_servers(o, wanted->servers);
    if (s == NATS_OK)
        s = natsOptions_SetName(o, "pfgmd");
    if (s == NATS_OK)
        s = natsOptions_SetTimeout(o, JOBS_WIRE_ANSWER_MS);
    if (s == NATS_OK)
        s = natsOptions_SetAllowReconnect(o, false);
    if (s == NATS_OK)
        s = natsOptions_SetWriteDeadline(o, JOBS_WIRE_ANSWER_MS);
    if (s == NATS_OK)
        s = natsOptions_SetPingInterval(o, JOBS_WIRE_ANSWER_MS);
    if (s == NATS_OK)
        s = natsOptions_SetMaxPingsOut(o, 1);
    if (s == NATS_OK)
        s = natsOptions_SetClosedCB(o, on_closed, w);
    if (s == NATS_OK)
        s = natsOptions_SetErrorHandler(o, on_error, w);
    /* This library leaves it to the server whether "tls://" is TLS, unless it is told to insist. */
    const bool has_ca = wanted->ca && wanted->ca[0];
    if (s == NATS_OK && (has_ca || strncmp(wanted->servers, "tls://", 6) == 0))
        s = natsOptions_SetSecure(o, true);
    if (s == NATS_OK && has_ca)
        s = natsOptions_LoadCATrustedCertificates(o, wanted->ca);
    if (s == NATS_OK && wanted->credentials && wanted->credentials[0])
        s = natsOptions_SetUserCredentialsFromFiles(o, wanted->credentials, NULL);
    return s;
}

static enum jobs_answer fail_connect(struct jobs_wire *w, natsStatus s, struct err *e)
{
    const char *words = nats_GetLastError(NULL);
    if (s == NATS_CONNECTION_AUTH_FAILED)
        err_fail(e, ERR_IO, w->shown,
                 "the NATS server refuses the credentials (%s): see \"nats_credentials\", or the "
                 "name and password, or the token, in \"nats\"",
                 words && *words ? words : natsStatus_GetText(s));
    else if (s == NATS_NO_SERVER)
        err_fail(e, ERR_IO, w->shown, "no NATS server answers there");
    else
        err_fail(e, ERR_IO, w->shown, "cannot connect to NATS: %s",
                 words && *words ? words : natsStatus_GetText(s));
    return JOBS_AWAY;
}

/* *w is the caller's throughout, whether or not the connection lasts until this returns. */
static enum jobs_answer connect_to(struct jobs_wire *w, const struct jobs_wire_options *wanted,
                                   struct err *e)
{
    natsOptions *o = NULL;
    natsInbox *inbox = NULL;
    char subject[sizeof w->inbox + 2];
    natsStatus s = natsOptions_Create(&o);
    if (s == NATS_OK)
        s = set_options(o, w, wanted);
    jobs_wire_hold(w); /* for on_closed, which may come before the connection is ours to see */
    if (s == NATS_OK)
        s = natsConnection_Connect(&w->nc, o);
    natsOptions_Destroy(o);
    if (s != NATS_OK) {
        jobs_wire_release(w); /* it is not called for what was never connected */
        return fail_connect(w, s, e);
    }
    s = natsConnection_JetStream(&w->js, w->nc, NULL);
    if (s == NATS_OK)
        s = natsInbox_Create(&inbox);
    if (s == NATS_OK) {
        snprintf(w->inbox, sizeof w->inbox, "%s", inbox);
        snprintf(subject, sizeof subject, "%s.*", inbox);
        s = natsConnection_SubscribeSync(&w->answers, w->nc, subject);
    }
    natsInbox_Destroy(inbox);
    return s == NATS_OK ? JOBS_DONE : fail_connect(w, s, e);
}

/* ---- streams ---- */

const char *jobs_wire_stream(enum jobs_wire_what what)
{
    return what == JOBS_WIRE_RECORDS   ? JOBS_WIRE_RECORDS_STREAM
           : what == JOBS_WIRE_RESULTS ? JOBS_WIRE_RESULTS_STREAM
                                       : JOBS_WIRE_REPORTS_STREAM;
}

static void configure(jsStreamConfig *c, const char *name, const char **subject, int replicas)
{
    jsStreamConfig_Init(c);
    c->Name = name;
    c->Description = "jobs of pfgmd, version 1";
    c->Subjects = subject;
    c->SubjectsLen = 1;
    c->Replicas = replicas;
    c->Discard = js_DiscardNew;
    c->AllowDirect = true;
    if (strcmp(name, JOBS_WIRE_WORK_STREAM) == 0) {
        c->Retention = js_WorkQueuePolicy;
        return;
    }
    c->MaxMsgsPerSubject = 1;
    if (strcmp(name, JOBS_WIRE_RECORDS_STREAM) != 0) {
        c->DiscardNewPerSubject = true;
    } else {
        c->AllowRollup = true;
        c->DenyDelete = true;
    }
}

/* Whether a stream that is there will do. What its operator chose otherwise is left as it is. */
static enum jobs_answer check_stream(struct jobs_wire *w, const jsStreamConfig *wanted,
                                     jsStreamInfo *info, struct err *e)
{
    const char *words = info->Config->Description;
    unsigned version = 0;
    jsErrCode code = 0;
    const bool ours = words && sscanf(words, "jobs of pfgmd, version %u", &version) == 1;
    if (ours && version > 1) {
        err_fail(e, ERR_UNSUPPORTED, w->shown,
                 "the jobs there are of a newer pfgmd (version %u, this one knows 1)", version);
        return JOBS_AWAY;
    }
    if (!ours || info->Config->Retention != wanted->Retention ||
        (info->Config->MaxMsgsPerSubject == 1) != (wanted->MaxMsgsPerSubject == 1) ||
        info->Config->DiscardNewPerSubject != wanted->DiscardNewPerSubject) {
        err_fail(e, ERR_UNSUPPORTED, w->shown,
                 "the stream %s of the NATS server is another program's, or the server is older "
                 "than 2.9",
                 wanted->Name);
        return JOBS_AWAY;
    }
    if (info->Config->Replicas == wanted->Replicas)
        return JOBS_DONE;
    info->Config->Replicas = wanted->Replicas;
    natsStatus s = js_UpdateStream(NULL, w->js, info->Config, NULL, &code);
    return s == NATS_OK ? JOBS_DONE : jobs_wire_fail(w, s, code, e);
}

static enum jobs_answer fail_streams(struct jobs_wire *w, natsStatus s, int code, struct err *e)
{
    const bool off = code == JSNotEnabledErr || code == JSNotEnabledForAccountErr ||
                     (code == 0 && s == NATS_NO_RESPONDERS);
    if (off)
        err_fail(e, ERR_IO, w->shown,
                 "the NATS server has no JetStream: start it with -js, or with \"jetstream {}\" in "
                 "its configuration and the account");
    else if (code == JSStreamReplicasNotSupportedErr)
        err_fail(e, ERR_IO, w->shown,
                 "the NATS server is no cluster, so \"nats_replicas\" must be 1");
    else
        jobs_wire_fail(w, s, code, e);
    return JOBS_AWAY;
}

static enum jobs_answer make_streams(struct jobs_wire *w, int replicas, struct err *e)
{
    static const char *const streams[][2] = {{JOBS_WIRE_RECORDS_STREAM, JOBS_WIRE_KEYS ">"},
                                             {JOBS_WIRE_RESULTS_STREAM, "pfgm.result.>"},
                                             {JOBS_WIRE_REPORTS_STREAM, JOBS_WIRE_DONE ">"},
                                             {JOBS_WIRE_WORK_STREAM, "pfgm.work.>"}};
    enum jobs_answer answer = JOBS_DONE;
    for (size_t i = 0; answer == JOBS_DONE && i < sizeof streams / sizeof *streams; i++) {
        const char *subject = streams[i][1];
        jsStreamConfig wanted;
        jsStreamInfo *info = NULL;
        jsErrCode code = 0;
        configure(&wanted, streams[i][0], &subject, replicas);
        natsStatus s = js_GetStreamInfo(&info, w->js, wanted.Name, NULL, &code);
        if (s != NATS_OK && (s == NATS_NOT_FOUND || code == JSStreamNotFoundErr)) {
            code = 0;
            s = js_AddStream(&info, w->js, &wanted, NULL, &code);
        }
        answer = s == NATS_OK ? check_stream(w, &wanted, info, e) : fail_streams(w, s, code, e);
        jsStreamInfo_Destroy(info);
    }
    return answer;
}

enum jobs_answer jobs_wire_connect(const struct jobs_wire_options *o, struct jobs_wire **out,
                                   struct err *e)
{
    struct jobs_wire *w = calloc(1, sizeof *w);
    if (!w) {
        err_fail_memory(e, sizeof *w);
        return JOBS_AWAY;
    }
    w->references = 1;
    lock_init(&w->publishing);
    lock_init(&w->lock);
    jobs_wire_show(o->servers, w->shown);
    w->replicas = o->replicas;
    enum jobs_answer answer = connect_to(w, o, e);
    if (answer == JOBS_DONE)
        answer = make_streams(w, o->replicas, e);
    if (answer == JOBS_DONE) {
        *out = w;
        return JOBS_DONE;
    }
    jobs_wire_close(w);
    jobs_wire_release(w);
    return JOBS_AWAY;
}

enum jobs_answer jobs_wire_size(struct jobs_wire *w, uint64_t *out, struct err *e)
{
    static const char *const streams[] = {JOBS_WIRE_RECORDS_STREAM, JOBS_WIRE_RESULTS_STREAM,
                                          JOBS_WIRE_REPORTS_STREAM, JOBS_WIRE_WORK_STREAM};
    *out = 0;
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        jsStreamInfo *info = NULL;
        jsErrCode code = 0;
        natsStatus s = js_GetStreamInfo(&info, w->js, streams[i], NULL, &code);
        if (s != NATS_OK)
            return jobs_wire_fail(w, s, code, e);
        *out += info->State.Bytes;
        jsStreamInfo_Destroy(info);
    }
    return JOBS_DONE;
}
