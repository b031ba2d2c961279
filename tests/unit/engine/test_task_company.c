/* Encoding and likelihood in company: the seed rule, and cancellation between products. */
#include "base_cpu.h"
#include "base_rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "task_test.h"

/* What an image's bits are, by task and probes. */
struct result {
    double state[D], log_likelihood;
    int64_t nfe;
};

static void keep(const struct engine_request *r, size_t i, struct result *out)
{
    const struct engine_image *image = engine_request_image(r, i);
    memcpy(out->state, image->state, sizeof out->state);
    out->log_likelihood = image->log_likelihood;
    out->nfe = image->counts.nfe;
}

static const struct task_case {
    const char *name;
    enum engine_task task;
    int probes;
} task_cases[] = {{"encode", ENGINE_TASK_ENCODE, 0},
                  {"likelihood, a probe", ENGINE_TASK_LIKELIHOOD, 1},
                  {"likelihood, three probes", ENGINE_TASK_LIKELIHOOD, 3}};

static struct engine_order short_order(struct engine *g, const struct task_case *c, size_t first,
                                       size_t n)
{
    struct engine_order order = order_of(g, c->task, first, n);
    order.likelihood.probes = c->probes;
    order.solver.ode.rtol = order.solver.ode.atol = 1e-2;
    order.solver.t_min = 0.8; /* across the substitution's threshold */
    order.solver.t_max = 1.5;
    return order;
}

/* Neighbours of every kind at once: sampling, encoding, likelihoods with other numbers of probes.
 */
static void neighbours_submit(struct engine *g, struct engine_request *others[4])
{
    const struct task_case crowd = {"", ENGINE_TASK_LIKELIHOOD, 2};
    struct engine_order order = short_order(g, &task_cases[0], 1, 3);
    others[0] = submit(g, &order);
    order = short_order(g, &task_cases[2], 0, 3);
    order.seed = 5;
    others[1] = submit(g, &order);
    order = short_order(g, &crowd, 2, 2);
    others[2] = submit(g, &order);
    struct engine_order sample = {.model = order.model,
                                  .n = 5,
                                  .solver = model_solver_default(engine_model_get(order.model)),
                                  .output = ENGINE_OUTPUT_SAMPLE};
    others[3] = submit(g, &sample);
}

static void same_seed_same_bits_in_any_company(void **state)
{
    (void)state;
    const int workers[] = {1, 3}, batches[] = {3, 8};
    for (size_t c = 0; c < sizeof task_cases / sizeof *task_cases; c++) {
        struct result expected[IMAGES] = {0}, got = {0};
        int compared = 0;
        for (int w = 0; w < 2; w++) {
            struct engine *g = new_engine(workers[w], batches[w], NN_KERNEL_AUTO);
            struct engine_request *others[4];
            neighbours_submit(g, others);
            for (size_t n = 1; n <= IMAGES; n += 2)
                for (size_t first = 0; first + n <= IMAGES; first += n) {
                    struct engine_order order = short_order(g, &task_cases[c], first, n);
                    struct engine_request *r = finished(g, &order);
                    for (size_t i = 0; i < n; i++) {
                        bool known = expected[first + i].nfe > 0;
                        keep(r, i, known ? &got : &expected[first + i]);
                        if (known)
                            assert_memory_equal(&got, &expected[first + i], sizeof got);
                        compared += known;
                    }
                    engine_request_free(r);
                }
            for (int i = 0; i < 4; i++) {
                wait_success(others[i]);
                engine_request_free(others[i]);
            }
            engine_free(g);
        }
        printf("%s: %d images, each as it was at first\n", task_cases[c].name, compared);
    }
}

/* Probes come from the seed and the index: others give another estimate, given ones take their
 * place. */
static void probes_are_of_seed_and_index(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 4, NN_KERNEL_AUTO);
    struct engine_order order = short_order(g, &task_cases[2], 0, 1);
    double signs[3 * D];
    float epsilon[3 * D];
    struct engine_request *drawn = finished(g, &order);
    rng_signs(order.seed, order.first_index, RNG_LIKELIHOOD_PROBE, 0, 3 * D, signs);
    for (int j = 0; j < 3 * D; j++) {
        assert_true(signs[j] == 1.0 || signs[j] == -1.0);
        epsilon[j] = (float)signs[j];
    }
    order.epsilon = epsilon;
    struct engine_request *given = finished(g, &order);
    order.epsilon = NULL;
    order.seed++;
    struct engine_request *other = finished(g, &order);
    double first = engine_request_image(drawn, 0)->log_likelihood;
    assert_true(first == engine_request_image(given, 0)->log_likelihood);
    assert_true(first != engine_request_image(other, 0)->log_likelihood);
    engine_request_free(drawn);
    engine_request_free(given);
    engine_request_free(other);
    engine_free(g);
}

/* Far more products than anybody waits for: the cancellation is seen between two of them. */
static void cancelling_does_not_wait_for_all_products(void **state)
{
    (void)state;
    struct engine *g = new_engine(2, 2, NN_KERNEL_AUTO);
    struct engine_order order = order_of(g, ENGINE_TASK_LIKELIHOOD, 0, IMAGES);
    order.likelihood.probes = MODEL_PROBES_MAX;
    struct engine_request *r = submit(g, &order);
    usleep(20000);
    engine_request_cancel(r);
    assert_true(engine_request_wait(r, 600000));
    assert_int_equal(engine_request_error(r)->code, ERR_CANCELLED);
    engine_request_free(r);
    order = order_of(g, ENGINE_TASK_ENCODE, 0, 1);
    engine_request_free(finished(g, &order)); /* and the engine goes on */
    engine_free(g);
}

/* One worker, and a likelihood that would keep it for minutes: a sample beside it is soon done, and
 * its own deadline ends it. */
static void many_products_hold_up_neither_neighbours_nor_deadlines(void **state)
{
    (void)state;
    struct engine *g = new_engine(1, 2, NN_KERNEL_AUTO);
    struct engine_order order = order_of(g, ENGINE_TASK_LIKELIHOOD, 0, 1);
    order.likelihood.probes = MODEL_PROBES_MAX;
    order.deadline_ns = clock_ns() + 1500000000;
    struct engine_request *slow = submit(g, &order);
    struct engine_order sample = {.model = order.model,
                                  .n = 1,
                                  .solver = model_solver_default(engine_model_get(order.model)),
                                  .output = ENGINE_OUTPUT_SAMPLE};
    engine_request_free(finished(g, &sample));
    assert_true(engine_request_wait(slow, 600000));
    assert_non_null(engine_request_error(slow));
    assert_int_equal(engine_request_cause(slow), ENGINE_CAUSE_DEADLINE);
    assert_true(engine_request_progress(slow).fraction < 0.5);
    engine_request_free(slow);
    engine_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_bits_in_any_company),
        cmocka_unit_test(probes_are_of_seed_and_index),
        cmocka_unit_test(cancelling_does_not_wait_for_all_products),
        cmocka_unit_test(many_products_hold_up_neither_neighbours_nor_deadlines),
    };
    return cmocka_run_group_tests_name("tasks in company", tests, read_golden, NULL);
}
