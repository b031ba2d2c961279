/* The structures of the store that many replicas of pfgmd share, by NATS. Inside the room only.
 *
 *     jobs.ID.record   the record (key-value bucket), changed by compare-and-set
 *     jobs.ID.handed   how far it was handed out, changed likewise
 *     keys.DIGEST      the record as it was first filed under an owner's key
 *     pfgm.work.…      shards that nobody has finished yet
 *     pfgm.result.ID.I image I
 *     pfgm.done.ID.…   which images are stored, a shard at a time (jobs_fleet_report.c)
 *     pfgm.replicas    each replica says every other second what it can work on
 *
 * Nobody owns a job. Records are mirrored in memory by each replica; what is stored of a job is
 * tallied by those that are asked about it. One thread (jobs_fleet_keep.c) connects,
 * keeps shards from being handed out twice, and looks after jobs that do not go on. */
#ifndef JOBS_FLEET_H
#define JOBS_FLEET_H

#include "jobs_mirror.h"
#include "jobs_report.h"
#include "jobs_store.h"
#include "jobs_wire.h"

#include "base_lock.h"

#include <stdatomic.h>

#define JOBS_OFFERS_MAX 64
#define JOBS_STUCK_NS 30000000000LL
#define JOBS_ANYWAY_NS 600000000000LL

/* The results of one job in the order in which they were reported. [the fleet's lock] */
struct jobs_tally {
    struct jobs_tally *next;
    struct jobs_fleet *fleet;
    struct jobs_wire_tail *tail;
    char id[JOBS_ID_SIZE];
    uint64_t n;
    uint64_t present;        /* reports when it was begun: it is whole once so many are read */
    uint64_t read, sequence; /* of the message read last */
    struct jobs_tallied *results;
    size_t count, capacity;
    unsigned char *bits; /* which images are there */
    uint64_t bytes;
    int64_t asked_ns;
    bool is_short; /* memory was out, or a message could not be read */
};
/* A tally that was looked for and is not there. */
#define JOBS_SOUGHT_MAX 128
struct jobs_sought {
    char id[JOBS_ID_SIZE];
    uint64_t n;
};
/* A shard that was taken; its images that are missing are handed out in parts. */
struct jobs_held {
    struct jobs_held *next;
    char id[JOBS_ID_SIZE];
    uint64_t first, round;
    size_t count;
    char work[JOBS_WORK_SIZE], reply[JOBS_WIRE_SUBJECT];
    uint64_t sequence; /* of the message that the reply is to */
    struct jobs_range_part {
        uint64_t first;
        size_t count;
        bool is_out;
    } parts[JOBS_SHARD_IMAGES / 2 + 1];
    size_t part_count, ended;
    bool again;
    bool is_fresh; /* nobody was at work on it before */
    struct jobs_tallied images[JOBS_SHARD_IMAGES];
    uint64_t stored, told; /* a bit for each image: its bytes are stored; that was reported */
    bool is_reported;      /* as whole */
};
struct jobs_replica {
    struct jobs_replica *next;
    char name[JOBS_ID_SIZE];
    int64_t heard_ns;
    char (*work)[JOBS_WORK_SIZE];
    size_t work_count;
};

struct jobs_fleet {
    struct jobs_store store;
    struct jobs_wire_options wanted;
    char servers[1024], credentials[256], ca[256];
    char shown[JOBS_WIRE_SHOWN];
    char name[JOBS_ID_SIZE]; /* of this replica */
    pthread_t thread;
    struct jobs_wire_tail *records, *calls; /* of that thread */

    struct lock lock;
    pthread_cond_t changed;
    /* [lock] from here on */
    struct jobs_wire *wire;
    bool is_ready; /* the mirror is whole */
    bool was_tried, stopping, say_now;
    struct err trouble; /* while it is not ready */
    struct jobs_mirror mirror;
    uint64_t mirror_present, mirror_read;
    struct jobs_tally *tallies;
    struct jobs_sought sought[JOBS_SOUGHT_MAX];
    size_t sought_count;
    int64_t sought_from_ns; /* until then none is begun */
    struct jobs_held *held;
    struct jobs_replica *replicas;
    char offers[JOBS_OFFERS_MAX][JOBS_WORK_SIZE];
    size_t offer_count;
    uint64_t turn, file_bytes;
    int64_t stuck_ns, anyway_ns; /* after which a job is looked after: jobs_fleet_revive */
    int64_t empty_until_ns;      /* there was no work a moment ago, and nobody has said otherwise */
};

/* Whether there is work to do for it. */
static inline bool jobs_fleet_is_open(const struct jobs_entry *entry)
{
    return entry->state == JOBS_QUEUED || entry->state == JOBS_RUNNING;
}
/* How many shards a job of n images has. */
static inline uint64_t jobs_fleet_shards(uint64_t n)
{
    return (n + JOBS_SHARD_IMAGES - 1) / JOBS_SHARD_IMAGES;
}
/* The connection, held; NULL: there is none, and the error says why. */
struct jobs_wire *jobs_fleet_wire(struct jobs_fleet *f, struct err *e);
/* Something has changed of the job: there may be work. */
void jobs_fleet_tell(struct jobs_fleet *f, const char *id);

#endif
