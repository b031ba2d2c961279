/* Every k-th failure in `model` and `engine`: an engine begun and ended, and one order of each kind
 * in one that goes on. Its model is of four points in the plane. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kth.h"

#include "engine.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/pfgm-kth-XXXXXX";
static struct engine *engine;
static struct engine_model *model;

/* ---- an engine ---- */

static int beginning(struct err *e)
{
    struct engine *g = engine_new(&(struct engine_options){2, 2, 4}, e);
    if (!g)
        return -1;
    struct model *m = model_load(path, &(struct model_options){0}, e);
    int result = m && engine_model_add(g, "points", m, e) ? 0 : -1;
    if (result == 0) {
        m = model_load(path, &(struct model_options){0}, e);
        struct engine_model *second = m ? engine_model_replace(g, "points", m, e) : NULL;
        result = second ? 0 : -1;
    }
    engine_free(g);
    return result;
}

/* ---- orders ---- */

static struct engine_order plain(size_t n)
{
    struct engine_order order = {.model = model,
                                 .seed = 7,
                                 .n = n,
                                 .solver = model_solver_default(engine_model_get(model)),
                                 .output = ENGINE_OUTPUT_PNG};
    order.solver.ode.method = ODE_EULER;
    order.solver.ode.steps = 3;
    return order;
}

/* The request after its end, or NULL and what it ended with. */
static struct engine_request *ended(const struct engine_order *order, struct err *e)
{
    struct engine_request *r = NULL;
    if (engine_submit(engine, order, &r, e) != 0)
        return NULL;
    engine_request_wait(r, -1);
    const struct err *why = engine_request_error(r);
    if (!why)
        return r;
    err_pass(e, why);
    engine_request_free(r);
    return NULL;
}

static int pictures(struct err *e)
{
    const struct engine_order order = plain(2);
    struct engine_request *r = ended(&order, e);
    if (!r)
        return -1;
    const int result =
        strlen(engine_request_image(r, 1)->sha256) == 64 ? 0 : kth_fail(e, "no image");
    engine_request_free(r);
    return result;
}

static int sheet(struct err *e)
{
    struct engine_order order = plain(3);
    order.output = ENGINE_OUTPUT_SHEET;
    order.grid = (struct image_grid){.columns = 2, .scale = 3};
    struct engine_request *r = ended(&order, e);
    if (!r)
        return -1;
    const int result = engine_request_sheet(r)->png.length > 60 ? 0 : kth_fail(e, "no sheet");
    engine_request_free(r);
    return result;
}

static int arrays(struct err *e)
{
    const double latents[24] = {30, 1, -30, 2, 3, 30, 4, -30};
    const int32_t labels[2] = {1, MODEL_CLASS_NONE};
    struct engine_order order = plain(2);
    order.output = ENGINE_OUTPUT_ARRAYS;
    order.latents = latents;
    order.class.rule = ENGINE_CLASS_LISTED;
    order.labels = labels;
    struct engine_request *r = ended(&order, e);
    if (!r)
        return -1;
    const struct engine_image *image = engine_request_image(r, 0);
    const int result = image->pixels && image->sample ? 0 : kth_fail(e, "no arrays");
    engine_request_free(r);
    return result;
}

static int seeds_of_their_own(struct err *e)
{
    const uint64_t seeds[2] = {1, 2}, indices[2] = {3, 4};
    struct engine_order order = plain(2);
    order.output = ENGINE_OUTPUT_SAMPLE;
    order.seeds = seeds;
    order.indices = indices;
    struct engine_request *r = ended(&order, e);
    if (!r)
        return -1;
    engine_request_free(r);
    return 0;
}

static int edit(struct err *e)
{
    const double image[12] = {1, 1, 1, 1, 0, 0, 0, 0, -1, -1, -1, -1};
    const uint8_t kept[12] = {1};
    struct engine_order order = plain(1);
    order.edit = (struct engine_edit){image, kept, 1};
    struct engine_request *r = ended(&order, e);
    if (!r)
        return -1;
    engine_request_free(r);
    return 0;
}

static void look(struct engine_request *r, size_t i, int64_t step, const struct buf *png,
                 void *context)
{
    (void)r, (void)i, (void)step;
    *(_Atomic size_t *)context += png->length > 0;
}

/* Previews are a courtesy: without memory for one the image goes on. */
static int previews(struct err *e)
{
    _Atomic size_t seen = 0;
    struct engine_order order = plain(1);
    order.preview_every = 1;
    order.preview = look;
    order.context = &seen;
    struct engine_request *r = ended(&order, e);
    if (!r)
        return -1;
    engine_request_free(r);
    return 0;
}

static int up(enum engine_task task, struct err *e)
{
    const double points[24] = {0.5, -0.5, 0.25, 1};
    const float epsilon[24] = {1, -1, 1, 1, -1, 1, 1, 1, -1, -1, 1, 1,
                               1, -1, 1, 1, -1, 1, 1, 1, -1, -1, 1, 1};
    struct engine_order order = plain(2);
    const bool likely = task == ENGINE_TASK_LIKELIHOOD;
    order.task = task;
    order.output = ENGINE_OUTPUT_PNG;
    order.points = points;
    order.solver = likely ? model_solver_likelihood_default(engine_model_get(model))
                          : model_solver_forward_default(engine_model_get(model));
    order.solver.ode.rtol = order.solver.ode.atol = 1e-1;
    if (likely) {
        order.likelihood.probes = 1;
        order.epsilon = epsilon;
    }
    struct engine_request *r = ended(&order, e);
    if (!r)
        return -1;
    const int result =
        isfinite(engine_request_image(r, 1)->state[0]) ? 0 : kth_fail(e, "no latent");
    engine_request_free(r);
    return result;
}

static int encode(struct err *e)
{
    return up(ENGINE_TASK_ENCODE, e);
}

static int likelihood(struct err *e)
{
    return up(ENGINE_TASK_LIKELIHOOD, e);
}

static const struct kth_case cases[] = {
    {"begin", KTH_READS | KTH(THREAD), 400, beginning, NULL, true},
    {"pictures", KTH(ALLOC), 0, pictures, NULL, false},
    {"sheet", KTH(ALLOC), 0, sheet, NULL, false},
    {"arrays", KTH(ALLOC), 0, arrays, NULL, false},
    {"seeds", KTH(ALLOC), 0, seeds_of_their_own, NULL, false},
    {"edit", KTH(ALLOC), 0, edit, NULL, false},
    {"previews", KTH(ALLOC), 0, previews, NULL, false},
    {"encode", KTH(ALLOC), 0, encode, NULL, false},
    {"likelihood", KTH(ALLOC), 0, likelihood, NULL, false},
};

static void each_failure_is_named_and_undone(void **state)
{
    (void)state;
    kth_check_all(cases, sizeof cases / sizeof *cases);
}

static int set_up(void **state)
{
    (void)state;
    static const char description[] =
        "{\"version\":1,\"family\":\"exact\",\"shape\":[3,2,2],\"t_max\":30,\"t_min\":1e-3,"
        "\"labels\":[\"up\",\"down\"],\"provenance\":{\"source_sha256\":\"\",\"source_name\":\"\","
        "\"step\":null,\"weights\":\"raw\"}}";
    static const float sources[48] = {1, [13] = 1, [27] = -1, [40] = 0.5f};
    static const int32_t labels[4] = {0, 0, 1, -1};
    const struct ckpt_output out[2] = {
        {.name = "sources", .dtype = CKPT_F32, .rank = 2, .shape = {4, 12}, .data = sources},
        {.name = "labels", .dtype = CKPT_I32, .rank = 1, .shape = {4}, .data = labels}};
    struct err e = {0};
    int fd = mkstemp(path);
    json_t *metadata = json_pack("{s:s}", CKPT_DESCRIPTION_KEY, description);
    engine = engine_new(&(struct engine_options){1, 2, 64}, &e);
    if (fd < 0 || close(fd) != 0 || !engine || ckpt_file_write(path, out, 2, metadata, &e) != 0)
        return -1;
    json_decref(metadata);
    struct model *m = model_load(path, &(struct model_options){0}, &e);
    if (!m || !engine_model_add(engine, "points", m, &e))
        fail_msg("%s: %s", e.at, e.text);
    model = engine_model_find(engine, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    engine_free(engine);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_failure_is_named_and_undone)};
    return cmocka_run_group_tests_name("kth engine", tests, set_up, tear_down);
}
