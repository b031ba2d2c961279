/* What the tests of encoding and likelihood share: the golden file's images, an engine of the
 * bundled digits8, which the file was made with, and orders. Include after <cmocka.h>. */
#ifndef TASK_TEST_H
#define TASK_TEST_H

#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS MODELS_DIR "/digits8.safetensors"
#define GOLDEN GOLDEN_DIR "/pfgm_digits8.golden.safetensors"
#define D 64
#define IMAGES 4 /* of the golden file */

struct golden {
    double x[IMAGES * D];
    float epsilon[IMAGES * D], bits[IMAGES], latent[IMAGES * D];
};
static struct golden golden;

static inline void read_tensor(const struct ckpt_file *f, const char *name, size_t count,
                               float *out)
{
    const struct ckpt_tensor *t = ckpt_file_find(f, name);
    struct err e = {0};
    assert_non_null(t);
    assert_int_equal(t->count, count);
    if (ckpt_tensor_to_f32(t, out, &e) != 0)
        fail_msg("%s: %s", e.at, e.text);
}

static inline int read_golden(void **state)
{
    struct err e = {0};
    float x[IMAGES * D];
    struct ckpt_file *f = ckpt_file_open(GOLDEN, &e);
    (void)state;
    if (!f)
        fail_msg("%s: %s", e.at, e.text);
    read_tensor(f, "likelihood.x", IMAGES * D, x);
    read_tensor(f, "likelihood.epsilon", IMAGES * D, golden.epsilon);
    read_tensor(f, "likelihood.bpd_reference", IMAGES, golden.bits);
    read_tensor(f, "likelihood.latent", IMAGES * D, golden.latent);
    for (size_t j = 0; j < IMAGES * D; j++)
        golden.x[j] = (double)x[j];
    ckpt_file_close(f);
    return 0;
}

static inline struct engine *new_engine(int workers, int batch, enum nn_kernel kernel)
{
    struct err e = {0};
    const struct engine_options options = {workers, batch, 0};
    const struct model_options model_options = {kernel, NN_PRECISION_AUTO};
    struct engine *g = engine_new(&options, &e);
    assert_non_null(g);
    struct model *m = model_load(DIGITS, &model_options, &e);
    if (!m || !engine_model_add(g, "digits8", m, &e))
        fail_msg("%s: %s", e.at, e.text);
    return g;
}

/* Of the golden images from `first` on. */
static inline struct engine_order order_of(struct engine *g, enum engine_task task, size_t first,
                                           size_t n)
{
    struct engine_model *em = engine_model_find(g, NULL);
    const struct model *m = engine_model_get(em);
    struct engine_order order = {
        .model = em,
        .seed = 11,
        .first_index = first,
        .n = n,
        .task = task,
        .points = golden.x + first * D,
        .likelihood = {.probes = task == ENGINE_TASK_LIKELIHOOD ? 1 : 0},
        .solver = task == ENGINE_TASK_ENCODE ? model_solver_forward_default(m)
                                             : model_solver_likelihood_default(m),
    };
    return order;
}

static inline struct engine_request *submit(struct engine *g, const struct engine_order *order)
{
    struct engine_request *r = NULL;
    struct err e = {0};
    if (engine_submit(g, order, &r, &e) != 0)
        fail_msg("%s: %s", e.at, e.text);
    return r;
}

static inline void wait_success(struct engine_request *r)
{
    assert_true(engine_request_wait(r, 600000));
    const struct err *e = engine_request_error(r);
    if (e)
        fail_msg("%s: %s", e->at, e->text);
}

static inline struct engine_request *finished(struct engine *g, const struct engine_order *order)
{
    struct engine_request *r = submit(g, order);
    wait_success(r);
    return r;
}

#endif
