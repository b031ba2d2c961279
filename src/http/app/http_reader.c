/* The queue of large bodies and its thread. */
#include "http_reader.h"

/* The next one, or NULL when the reader stops and none is left. */
static struct http_reading *take(struct http_reader *r, bool *stopping)
{
    pthread_mutex_lock(&r->lock);
    while (!r->first && !r->stopping)
        pthread_cond_wait(&r->changed, &r->lock);
    struct http_reading *reading = r->first;
    if (reading) {
        r->first = reading->next;
        if (!r->first)
            r->last = &r->first;
    }
    *stopping = r->stopping;
    pthread_mutex_unlock(&r->lock);
    return reading;
}

static void *read_all(void *context)
{
    struct http_reader *r = context;
    bool stopping = false;
    for (struct http_reading *reading; (reading = take(r, &stopping)) != NULL;)
        reading->run(reading->context, stopping); /* after that it may be gone */
    return NULL;
}

int http_reader_start(struct http_reader *r, struct err *e)
{
    *r = (struct http_reader){.last = &r->first};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    int code = pthread_create(&r->thread, NULL, read_all, r);
    if (code == 0)
        return 0;
    http_reader_clear(r);
    return err_fail_errno(e, code, "reader", "start a thread");
}

void http_reader_stop(struct http_reader *r)
{
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
}

void http_reader_clear(struct http_reader *r)
{
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->changed);
}

void http_reader_put(struct http_reader *r, struct http_reading *reading)
{
    reading->next = NULL;
    pthread_mutex_lock(&r->lock);
    const bool stopping = r->stopping;
    if (!stopping) {
        *r->last = reading;
        r->last = &reading->next;
        pthread_cond_signal(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    if (stopping)
        reading->run(reading->context, true);
}
