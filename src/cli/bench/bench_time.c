/* The team and the series; see bench_time.h. */
#include "bench_time.h"
#include "base_cpu.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- series ---- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_series_median(struct bench_series *s)
{
    size_t half = s->count / 2;
    qsort(s->value, s->count, sizeof s->value[0], compare_doubles);
    return s->count % 2 ? s->value[half] : 0.5 * (s->value[half - 1] + s->value[half]);
}

double bench_series_best(const struct bench_series *s)
{
    double best = s->value[0];
    for (size_t i = 1; i < s->count; i++)
        best = s->value[i] < best ? s->value[i] : best;
    return best;
}

/* ---- team ---- */

struct member {
    struct bench_team *team;
    pthread_t thread;
    int index;
    /* Of the last round, and of all; written before the lock is taken again. */
    int64_t start_ns, end_ns;
    double cpu, cpu_total;
};

struct bench_team {
    void (*work)(void *context, int worker);
    void *context;
    pthread_mutex_t lock; /* guards what follows, down to `stop` */
    pthread_cond_t begin, end;
    uint64_t round;
    int running;
    bool stop;
    int count; /* threads that exist */
    struct member members[BENCH_WORKERS_MAX];
};

static void member_work(struct member *m)
{
    int64_t cpu = clock_thread_ns();
    m->start_ns = clock_ns();
    m->team->work(m->team->context, m->index);
    m->end_ns = clock_ns();
    m->cpu = (double)(clock_thread_ns() - cpu) * 1e-9;
    m->cpu_total += m->cpu;
}

static void *member_run(void *argument)
{
    struct member *m = argument;
    struct bench_team *t = m->team;
    uint64_t seen = 0;
    pthread_mutex_lock(&t->lock);
    for (;;) {
        while (t->round == seen && !t->stop)
            pthread_cond_wait(&t->begin, &t->lock);
        if (t->stop)
            break;
        seen = t->round;
        pthread_mutex_unlock(&t->lock);
        member_work(m);
        pthread_mutex_lock(&t->lock);
        if (--t->running == 0)
            pthread_cond_signal(&t->end);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

struct bench_team *bench_team_new(int workers, void (*work)(void *context, int worker),
                                  void *context, struct err *e)
{
    struct bench_team *t = calloc(1, sizeof *t);
    if (!t) {
        err_fail_memory(e, sizeof *t);
        return NULL;
    }
    t->work = work;
    t->context = context;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->begin, NULL);
    pthread_cond_init(&t->end, NULL);
    for (; t->count < workers; t->count++) {
        struct member *m = &t->members[t->count];
        m->team = t;
        m->index = t->count;
        int result = pthread_create(&m->thread, NULL, member_run, m);
        if (result != 0) {
            err_fail_errno(e, result, "workers", "start a thread");
            bench_team_free(t);
            return NULL;
        }
    }
    return t;
}

void bench_team_free(struct bench_team *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_broadcast(&t->begin);
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; i < t->count; i++)
        pthread_join(t->members[i].thread, NULL);
    pthread_cond_destroy(&t->begin);
    pthread_cond_destroy(&t->end);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

double bench_team_run(struct bench_team *t)
{
    pthread_mutex_lock(&t->lock);
    t->running = t->count;
    t->round++;
    pthread_cond_broadcast(&t->begin);
    while (t->running > 0)
        pthread_cond_wait(&t->end, &t->lock);
    int64_t start = t->members[0].start_ns, end = t->members[0].end_ns;
    for (int i = 1; i < t->count; i++) {
        const struct member *m = &t->members[i];
        start = m->start_ns < start ? m->start_ns : start;
        end = m->end_ns > end ? m->end_ns : end;
    }
    pthread_mutex_unlock(&t->lock);
    return (double)(end - start) * 1e-9;
}

double bench_team_cpu(const struct bench_team *t, int i)
{
    return t->members[i].cpu;
}

double bench_team_cpu_total(const struct bench_team *t)
{
    double sum = 0;
    for (int i = 0; i < t->count; i++)
        sum += t->members[i].cpu_total;
    return sum;
}

void bench_team_measure(struct bench_team *t, double seconds, size_t rounds_min,
                        struct bench_series *out)
{
    int64_t begin = clock_ns(), budget = (int64_t)(seconds * 1e9);
    out->count = 0;
    while (out->count < BENCH_SERIES_MAX &&
           (out->count < rounds_min || clock_ns() - begin < budget))
        out->value[out->count++] = bench_team_run(t);
}
