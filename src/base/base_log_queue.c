/* A ring of bytes: each line behind its length. The thread takes one line at a time out of it and
 * writes it with one write(2), which keeps lines whole beside other writers to the same pipe.
 *
 * Standard error may be a pipe that nobody reads, a terminal that was stopped by Ctrl-S, or a file
 * on a disk that is gone. Asking poll(2) first would not do: between its answer and the write
 * another process may fill the pipe, and a file is always "ready". So only the thread waits. */
#include "base_log_queue.h"

#include "base_wait.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define RING_BYTES ((size_t)256 << 10)
#define LINE_BYTES_MAX ((size_t)64 << 10)

enum queue_state { QUEUE_NONE, QUEUE_RUNS, QUEUE_ENDS, QUEUE_STUCK };

static struct log_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum queue_state state;
    bool writing; /* a line is out of the ring and not written yet */
    size_t first, used;
    uint64_t dropped, told; /* `told` of them are in a line of the log */
    void (*lost)(uint64_t count);
    pthread_t thread;
    unsigned char ring[RING_BYTES];
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void ring_put(const void *data, size_t length)
{
    const size_t at = (queue.first + queue.used) % RING_BYTES;
    const size_t head = length < RING_BYTES - at ? length : RING_BYTES - at;
    memcpy(queue.ring + at, data, head);
    memcpy(queue.ring, (const unsigned char *)data + head, length - head);
    queue.used += length;
}

static void ring_take(void *out, size_t length)
{
    const size_t head = length < RING_BYTES - queue.first ? length : RING_BYTES - queue.first;
    memcpy(out, queue.ring + queue.first, head);
    memcpy((unsigned char *)out + head, queue.ring, length - head);
    queue.first = (queue.first + length) % RING_BYTES;
    queue.used -= length;
}

/* False when standard error takes no more: its reader is gone, the disk is full. */
static bool write_whole(const unsigned char *line, size_t length)
{
    while (length) {
        ssize_t n = write(STDERR_FILENO, line, length);
        if (n >= 0) {
            line += n;
            length -= (size_t)n;
            continue;
        }
        struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
        if (errno == EAGAIN ? poll(&ready, 1, -1) < 0 && errno != EINTR : errno != EINTR)
            return false;
    }
    return true;
}

/* Whether a line that says how many were dropped is due: when what waited before them has for the
 * most part been written, so that the line itself finds room and the next few do as well. */
static bool flows_again(void)
{
    return queue.dropped > queue.told && queue.used < RING_BYTES / 2;
}

static void write_next(unsigned char *line)
{
    size_t length;
    ring_take(&length, sizeof length);
    ring_take(line, length);
    queue.writing = true;
    pthread_mutex_unlock(&queue.lock);
    bool written = write_whole(line, length);
    pthread_mutex_lock(&queue.lock);
    queue.dropped += !written;
    if (written && flows_again()) {
        const uint64_t count = queue.dropped - queue.told;
        queue.told = queue.dropped;
        pthread_mutex_unlock(&queue.lock);
        queue.lost(count);
        pthread_mutex_lock(&queue.lock);
    }
    queue.writing = false; /* not before: the line that says so is waited for as well */
}

static void *write_lines(void *unused)
{
    static unsigned char line[LINE_BYTES_MAX];
    (void)unused;
    pthread_mutex_lock(&queue.lock);
    while (queue.used || queue.state == QUEUE_RUNS) {
        if (queue.used)
            write_next(line);
        else
            pthread_cond_wait(&queue.changed, &queue.lock);
        if (!queue.used)
            pthread_cond_broadcast(&queue.changed); /* log_queue_stop waits for that */
    }
    pthread_mutex_unlock(&queue.lock);
    return NULL;
}

int log_queue_start(void (*lost)(uint64_t count), struct err *e)
{
    wait_init(&queue.changed);
    queue.lost = lost;
    queue.state = QUEUE_RUNS;
    int code = pthread_create(&queue.thread, NULL, write_lines, NULL);
    if (code == 0)
        return 0;
    queue.state = QUEUE_NONE;
    return err_fail_errno(e, code, "log", "start a thread");
}

void log_queue_stop(int timeout_ms)
{
    const int64_t end_ns = wait_end_ns(timeout_ms);
    bool in_time = true;
    pthread_mutex_lock(&queue.lock);
    if (queue.state != QUEUE_RUNS) {
        pthread_mutex_unlock(&queue.lock);
        return;
    }
    while (in_time && (queue.used || queue.writing))
        in_time = wait_until(&queue.changed, &queue.lock, end_ns);
    const bool empty = !queue.used && !queue.writing;
    queue.state = empty ? QUEUE_ENDS : QUEUE_STUCK;
    queue.used = 0;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
    if (!empty) {
        pthread_detach(queue.thread); /* it hangs in a write that nobody can end */
        return;
    }
    pthread_join(queue.thread, NULL);
    pthread_mutex_lock(&queue.lock);
    queue.state = QUEUE_NONE;
    pthread_mutex_unlock(&queue.lock);
}

void log_queue_put(const void *line, size_t length)
{
    pthread_mutex_lock(&queue.lock);
    const enum queue_state state = queue.state;
    const size_t room = RING_BYTES - queue.used;
    if (state == QUEUE_RUNS && length <= LINE_BYTES_MAX && sizeof length + length <= room) {
        ring_put(&length, sizeof length);
        ring_put(line, length);
        pthread_cond_broadcast(&queue.changed);
    } else if (state != QUEUE_NONE) {
        queue.dropped++;
    }
    pthread_mutex_unlock(&queue.lock);
    if (state == QUEUE_NONE)
        write_whole(line, length); /* one that cannot be written has nowhere to say so */
}

uint64_t log_queue_dropped(void)
{
    pthread_mutex_lock(&queue.lock);
    uint64_t count = queue.dropped;
    pthread_mutex_unlock(&queue.lock);
    return count;
}
