/* What the files that talk to libnats share. The only header that includes libnats'; for
 * jobs_wire*.c alone. */
#ifndef JOBS_WIRE_INTERNAL_H
#define JOBS_WIRE_INTERNAL_H

#include "jobs_wire.h"

#include "base_lock.h"

#include <nats/nats.h>
#include <stdatomic.h>

#define JOBS_WIRE_ANSWER_MS 5000 /* a server that says nothing for so long is taken for lost */
#define JOBS_WIRE_NOTE "Pfgm-Image"
#define JOBS_WIRE_SECOND_NS 1000000000LL

/* The streams. */
#define JOBS_WIRE_RECORDS_STREAM "KV_pfgm-jobs"
#define JOBS_WIRE_RESULTS_STREAM "pfgm-results"
#define JOBS_WIRE_REPORTS_STREAM "pfgm-done"
#define JOBS_WIRE_WORK_STREAM "pfgm-work"
#define JOBS_WIRE_KEYS "$KV.pfgm-jobs."

/* Work of one subject, which has a consumer. */
struct jobs_wire_queue {
    struct jobs_wire_queue *next;
    char subject[JOBS_WIRE_SUBJECT], question[JOBS_WIRE_SUBJECT + 64], inbox[96];
    natsSubscription *answers; /* to every question, however late they come */
};

struct jobs_wire {
    atomic_int references;
    atomic_bool closed;
    char shown[JOBS_WIRE_SHOWN];
    int replicas; /* of each stream */
    natsConnection *nc;
    jsCtx *js;
    atomic_int_fast64_t late_until_ns; /* nobody in a hurry asks before; 0: it is not late */
    struct lock publishing;            /* one at a time has the inbox */
    natsSubscription *answers;
    char inbox[96];
    unsigned round;
    struct lock lock;
    struct err trouble;             /* [lock] */
    struct jobs_wire_queue *queues; /* [lock]; one that is there stays as it is */
};

/* The answer that a failed call of libnats' stands for, with its line. `code` is JetStream's, or 0;
 * the server that does not answer in time is left. */
enum jobs_answer jobs_wire_fail(struct jobs_wire *w, natsStatus s, int code, struct err *e);
const char *jobs_wire_stream(enum jobs_wire_what what);
/* What JetStream said in an answer of its own. */
enum jobs_answer jobs_wire_judge(struct jobs_wire *w, int code, const char *words, struct err *e);
/* For a call that may be in a hurry (jobs_wire_hurry). *ms: how long it waits, 0: as long as usual.
 * False: the server is late, and it is not to be asked now. Then what came of it. */
bool jobs_wire_may_ask(struct jobs_wire *w, int64_t *ms);
void jobs_wire_asked(struct jobs_wire *w, natsStatus s);
/* The numbers of "$JS.ACK.STREAM.CONSUMER.DELIVERIES.SEQUENCE.NUMBER.TIME.PENDING". */
bool jobs_wire_read_reply(const char *reply, uint64_t *deliveries, uint64_t *sequence,
                          uint64_t *number);

#endif
