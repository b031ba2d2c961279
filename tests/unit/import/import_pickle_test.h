/* A pickle machine under test, and running literals on it. */
#ifndef IMPORT_PICKLE_TEST_H
#define IMPORT_PICKLE_TEST_H

#include "ckpt_test.h"

#include "import_pickle.h"

/* Runs a literal; NULL and the error, or the value, which lives until the machine is freed. */
static inline const struct import_value *run(struct import_pickle *p, const void *pickle,
                                             size_t length, struct err *e)
{
    size_t used = 0;
    const struct import_value *value = import_pickle_run(p, pickle, length, &used, e);
    if (value)
        assert_int_equal(used, length);
    return value;
}

static inline struct import_pickle *machine(void)
{
    struct err e = {0};
    struct import_pickle *p = import_pickle_new("m.pth", &e);
    assert_non_null(p);
    return p;
}

#define RUN(p, literal, e) run(p, literal, sizeof(literal) - 1, e)

#endif
