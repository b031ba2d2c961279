/* The digest in pieces. Which thread takes which piece changes nothing; of several failures the one
 * of the earliest piece is told. */
#include "ckpt_digest.h"

#include "base_cpu.h"
#include "base_pool.h"
#include <stdlib.h>
#include <string.h>

#define PIECE ((size_t)1 << 20)
#define DIGEST 32

struct digest {
    size_t length;
    ckpt_digest_read *read;
    void *context;
    unsigned char *pieces; /* their digests */
    unsigned char **rooms; /* of each thread: a piece */
    struct err *failures;  /* of each thread; */
    size_t *failed;        /* and of which piece */
};

static void piece_task(void *context, size_t task, int thread)
{
    struct digest *d = context;
    struct err *e = &d->failures[thread];
    size_t at = task * PIECE, length = d->length - at < PIECE ? d->length - at : PIECE;
    if (e->code != ERR_NONE)
        return;
    if (!d->rooms[thread] && !(d->rooms[thread] = malloc(PIECE)))
        err_fail_memory(e, PIECE);
    else if (d->read(d->context, at, length, d->rooms[thread], e) == 0)
        sha256(d->rooms[thread], length, d->pieces + task * DIGEST, e);
    if (e->code != ERR_NONE)
        d->failed[thread] = task;
}

/* The pieces on all threads that can be had. */
static int pieces_take(struct digest *d, size_t count, int threads, struct err *e)
{
    struct pool *pool = threads > 1 ? pool_new(threads, NULL) : NULL;
    const struct err *first = NULL;
    size_t earliest = SIZE_MAX;
    if (pool)
        pool_run(pool, count, piece_task, d);
    else
        for (size_t i = 0; i < count; i++)
            piece_task(d, i, 0);
    pool_free(pool);
    for (int i = 0; i < threads; i++) {
        if (d->failures[i].code == ERR_NONE || d->failed[i] >= earliest)
            continue;
        earliest = d->failed[i];
        first = &d->failures[i];
    }
    return first ? err_pass(e, first) : 0;
}

int ckpt_digest(size_t length, ckpt_digest_read *read, void *context, char out[CKPT_DIGEST_SIZE],
                struct err *e)
{
    struct digest d = {.length = length, .read = read, .context = context};
    size_t count = (length + PIECE - 1) / PIECE;
    int most = cpu_worker_count(), threads = count < (size_t)most ? (int)count : most;
    int result;
    threads = threads ? threads : 1;
    d.pieces = malloc(count * DIGEST + 1);
    d.rooms = calloc((size_t)threads, sizeof *d.rooms);
    d.failures = calloc((size_t)threads, sizeof *d.failures);
    d.failed = calloc((size_t)threads, sizeof *d.failed);
    if (d.pieces && d.rooms && d.failures && d.failed)
        result = pieces_take(&d, count, threads, e);
    else
        result = err_fail_memory(e, count * DIGEST);
    memcpy(out, CKPT_DIGEST_KIND, sizeof CKPT_DIGEST_KIND - 1);
    if (result == 0)
        result = sha256_hex(d.pieces, count * DIGEST, out + sizeof CKPT_DIGEST_KIND - 1, e);
    for (int i = 0; d.rooms && i < threads; i++)
        free(d.rooms[i]);
    free(d.pieces);
    free(d.rooms);
    free(d.failures);
    free(d.failed);
    return result;
}
