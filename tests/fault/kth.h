/* Every k of the k-th call that fails, within this process: a case is a function that does
 * something from beginning to end, and here it is done again and again while one call after the
 * other fails, once and with all that follow it. Each time it must give its result or fail for the
 * reason that there was, and keep no memory; and at the end it must give its result once more. So
 * each branch that looks after a failure is taken, in milliseconds where a process of its own takes
 * minutes.
 *
 * The shim (fault_shim.c) is linked, before the C library. A case's function asserts nothing, since
 * it runs while calls fail; what is wrong with its result it returns as ERR_INTERNAL. Include after
 * <cmocka.h>. */
#ifndef KTH_H
#define KTH_H

#include "base_err.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault_control.h"

#define KTH(kind) (1u << (kind))
/* Of what reads a file, and of what replaces one. */
#define KTH_READS                                                                                  \
    (KTH(ALLOC) | KTH(OPEN) | KTH(READ) | KTH(STATUS) | KTH(CLOSE) | KTH(INTERRUPT) | KTH(SHORT))
#define KTH_WRITES                                                                                 \
    (KTH(ALLOC) | KTH(OPEN) | KTH(WRITE) | KTH(SYNC) | KTH(RENAME) | KTH(STATUS) | KTH(SIZE) |     \
     KTH(CLOSE) | KTH(INTERRUPT) | KTH(SHORT))

struct kth_case {
    const char *name;
    unsigned kinds;
    size_t most;               /* about how many k of a kind, evenly; 0: every one; at night more */
    int (*run)(struct err *e); /* 0 and the right result, or -1 and the error */
    int (*after)(struct err *e, bool ran); /* undisturbed, after each run; NULL: nothing to do */
    bool keeps;                            /* GnuTLS does not free a hash that it could not begin */
};

static size_t kth_tried, kth_failed, kth_wrong;

/* For a case's function whose result is wrong. */
static inline int kth_fail(struct err *e, const char *what)
{
    return err_fail(e, ERR_INTERNAL, "", "%s", what);
}

static inline void kth_find(const struct kth_case *c, int kind, int64_t k, const char *what,
                            const struct err *e)
{
    struct control *control = fault_control();
    if (kth_wrong++ >= 10) /* one fault is many */
        return;
    print_error("%s, call %lld of kind %d%s: %s: code %d \"%s: %s\"\n%.*s", c->name, (long long)k,
                kind, control->always ? " and all after it" : "", what, (int)e->code, e->at,
                e->text, (int)control->traced, control->trace);
}

/* One run; what it returned, with `after` done. */
static inline int kth_run(const struct kth_case *c, struct err *e)
{
    struct err why = {0};
    *e = (struct err){0};
    int result = c->run(e);
    fault_control()->kinds = 0;
    if (c->after && c->after(&why, result == 0) != 0) {
        *e = why;
        result = 1;
    }
    return result;
}

static inline int kth_run_failing(const struct kth_case *c, int kind, int64_t k, bool always,
                                  struct err *e)
{
    struct control *control = fault_control();
    control->count = control->failed = control->traced = 0;
    control->k = k;
    control->always = always;
    control->kinds = INT64_C(1) << kind;
    return kth_run(c, e);
}

/* What the error of such a failure says. Of a full disk several words are in use; and a stream
 * forgets which error it had. */
static inline const char *const *kth_words(int kind)
{
    static const char *const memory[] = {"memory", NULL},
                             *const open[] = {"Too many open files", "too many files", NULL},
                             *const disk[] = {"Input/output error", NULL},
                             *const full[] = {"space left", "full", "Input/output error", NULL},
                             *const thread[] = {"Resource temporarily unavailable", NULL},
                             *const none[] = {NULL};
    switch (kind) {
    case ALLOC:
    case MAP:
        return memory;
    case OPEN:
        return open;
    case WRITE:
    case SIZE:
        return full;
    case THREAD:
        return thread;
    case INTERRUPT:
    case SHORT:
        return none;
    default:
        return disk;
    }
}

/* Whether the error is the one that such a failure has. */
static inline bool kth_is_named(int kind, const struct err *e)
{
    const bool memory = kind == ALLOC || kind == MAP;
    if (memory ? e->code != ERR_MEMORY : e->code != ERR_IO && e->code != ERR_LIMIT)
        return false;
    for (const char *const *word = kth_words(kind); *word; word++)
        if (strstr(e->text, *word))
            return true;
    return false;
}

static inline void kth_try(const struct kth_case *c, int kind, int64_t k, bool always)
{
    struct control *control = fault_control();
    struct err e;
    const int64_t before = control->live;
    int result = kth_run_failing(c, kind, k, always, &e);
    if (control->failed == 0)
        return;
    kth_tried++;
    kth_failed += result != 0;
    if (result > 0 || (result < 0 && !kth_is_named(kind, &e)))
        kth_find(c, kind, k, result > 0 ? "wrong afterwards" : "another reason is given", &e);
    const int64_t once = control->live;
    if (once > before && !c->keeps) { /* what a library keeps, it keeps once */
        kth_run_failing(c, kind, k, always, &e);
        if (control->live > once)
            kth_find(c, kind, k, "memory is kept", &e);
    }
}

static inline void kth_check(const struct kth_case *c)
{
    struct control *control = fault_control();
    const char *tries = getenv("FAULT_TRIES"); /* at night */
    const int64_t most = c->most && tries ? atoll(tries) : (int64_t)c->most;
    struct err e;
    for (int i = 0; i < 2; i++) /* what is made once is made */
        if (kth_run(c, &e) != 0)
            kth_find(c, -1, 0, "fails by itself", &e);
    for (int kind = 0; kind <= SHORT; kind++) {
        if (!(c->kinds >> kind & 1))
            continue;
        const int64_t before = control->counts[kind], live = control->live;
        if (kth_run(c, &e) != 0 || control->live > live)
            kth_find(c, -1, 0, "fails by itself, or keeps memory", &e);
        const int64_t calls = control->counts[kind] - before;
        const int64_t step = most && calls > most ? calls / most : 1;
        for (int64_t k = 1; k <= calls; k += step)
            for (int always = 0; always < (*kth_words(kind) ? 2 : 1); always++)
                kth_try(c, kind, k, always);
    }
    if (kth_run(c, &e) != 0)
        kth_find(c, -1, 0, "fails after all", &e);
}

/* All cases. Says how many failures there were, so that nobody takes none for all. */
static inline void kth_check_all(const struct kth_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        kth_check(&cases[i]);
    printf("%zu failures of the k-th call tried, %zu ended with an error, %zu findings\n",
           kth_tried, kth_failed, kth_wrong);
    assert_true(kth_failed > 0);
    assert_int_equal(kth_wrong, 0);
}

#endif
