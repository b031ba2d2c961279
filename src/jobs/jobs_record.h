/* What is kept of a job, and the rules of its states. Plain data and pure functions: nothing here
 * knows how a record is stored or who works on it. */
#ifndef JOBS_RECORD_H
#define JOBS_RECORD_H

#include "base_crypto.h"
#include "base_err.h"

#include <stdbool.h>
#include <stdint.h>

#define JOBS_ID_SIZE 37 /* a UUID in lower-case letters and a NUL */
#define JOBS_NAME_MAX 64
#define JOBS_OWNER_MAX 64
#define JOBS_LABEL_MAX 128
#define JOBS_PARAMETERS_MAX 4096
#define JOBS_IMAGES_MAX 1000000
#define JOBS_SHARD_IMAGES 64 /* images that are handed out at a time */

/* How a call to the store ended. 0 is success; whatever else there is, the error says in words. */
enum jobs_answer {
    JOBS_DONE,
    JOBS_ABSENT,   /* there is none (for this owner) */
    JOBS_GONE,     /* there was one, and it has expired */
    JOBS_CONFLICT, /* another one has its place, or somebody was faster */
    JOBS_CHANGED,  /* it is not any more as it was seen */
    JOBS_MANY,     /* the owner has as many live jobs as it may */
    JOBS_FULL,     /* no room in the store at present; what was there before is as it was */
    JOBS_AWAY,     /* the store cannot be reached at present, and is tried again */
    JOBS_UNSURE,   /* the same in the midst of a filing: it may be done all the same */
    JOBS_BROKEN    /* anything else */
};

enum jobs_state {
    JOBS_QUEUED,     /* nothing of it was begun */
    JOBS_RUNNING,    /* some of it was */
    JOBS_CANCELLING, /* to be cancelled once its images in flight have stopped */
    JOBS_SUCCEEDED,
    JOBS_FAILED,
    JOBS_CANCELLED,
    JOBS_EXPIRED, /* a tombstone: its images are gone, or will be */
    JOBS_STATES
};
#define JOBS_BIT(state) (1u << (state))
#define JOBS_LIVE (JOBS_BIT(JOBS_QUEUED) | JOBS_BIT(JOBS_RUNNING) | JOBS_BIT(JOBS_CANCELLING))
#define JOBS_FINISHED (JOBS_BIT(JOBS_SUCCEEDED) | JOBS_BIT(JOBS_FAILED) | JOBS_BIT(JOBS_CANCELLED))

/* What it takes to make images of a job: those of the seed rule's inputs that come with a loaded
 * model. `model` is the name that was asked for; another name will do. */
struct jobs_needs {
    char model[JOBS_NAME_MAX + 1];
    char sha256[SHA256_HEX_SIZE];
    char kernel[64], precision[16];
};

struct jobs_record {
    char id[JOBS_ID_SIZE];
    char owner[JOBS_OWNER_MAX + 1]; /* who alone sees it; "" where nobody is asked for a key */
    char key[SHA256_HEX_SIZE];      /* digest of the owner's Idempotency-Key, or "" */
    char body[SHA256_HEX_SIZE];     /* digest of what was asked for: the same again, or something
                                       else under the same name */
    char label[JOBS_LABEL_MAX + 1];
    struct jobs_needs needs;
    uint64_t n;                           /* images 0 to n − 1 */
    char parameters[JOBS_PARAMETERS_MAX]; /* jobs_order.h */

    /* Of the store: in the order of creation, from 1; and how often the record was changed. */
    uint64_t number, revision;
    enum jobs_state state;
    int64_t submitted_ms, started_ms; /* milliseconds since 1970; 0: not yet */
    int64_t finished_ms;              /* of a tombstone, since when it is one */
    uint64_t images_done, bytes;      /* results that are stored */
    bool is_counting;                 /* those are what was counted so far: the rest comes soon */
    struct err error;                 /* of a job that failed; "/images/i" in `at` */
};

/* "queued", "running", … as the interface has them. */
const char *jobs_state_word(enum jobs_state state);
/* 0, or -1 for a word that is none. */
int jobs_state_parse(const char *word, enum jobs_state *out);
/* Whether a job may go from one state to the other. */
bool jobs_state_may(enum jobs_state from, enum jobs_state to);

/* A random UUID (version 4). */
int jobs_id_draw(char out[JOBS_ID_SIZE], struct err *e);
/* Any UUID in the usual 36 characters, capital letters or not; -1 for anything else. */
int jobs_id_parse(const char *text, char out[JOBS_ID_SIZE]);

/* Milliseconds since 1970. */
int64_t jobs_now_ms(void);

/* One image of a job. */
struct jobs_result {
    uint64_t index;    /* of the job's images, from 0 */
    uint64_t sequence; /* in which order it was stored, from 1 and without gaps */
    int32_t label;     /* its class, or MODEL_CLASS_NONE */
    int64_t nfe, steps_rejected;
    char sha256[SHA256_HEX_SIZE]; /* of the bytes */
    const void *bytes;            /* a PNG, or float [C,H,W]: what the parameters say */
    size_t length;
};

#endif
