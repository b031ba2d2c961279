/* A network that several threads load, and one that several threads use: the same bits as alone,
 * and the same error. */
#include "nn_images.h"
#include <pthread.h>

/* Each parameter from some module on is bad: the first of them is named, whoever comes across which
 * first. */
static int read_spoiled_from(void *context, const struct nn_param *p, float *out, struct err *e)
{
    test_weights_read(NULL, p, out, e);
    if (strtol(p->name + strlen("all_modules."), NULL, 10) >= *(const int *)context)
        out[0] = NAN;
    return 0;
}

static void test_loading_threads_change_nothing(void **state)
{
    (void)state;
    const struct nn_arch *arch = &test_archs[1].arch;
    for (int threads = 2; threads <= 5; threads++) {
        struct err e = {0};
        struct images a, b;
        struct nn_net *one = test_net_of(arch, NN_KERNEL_AUTO);
        struct nn_net *all =
            nn_net_new_threads(arch, &test_weights, NN_KERNEL_AUTO, NN_PRECISION_F32, threads, &e);
        assert_non_null(all);
        struct nn_workspace *ws_one = test_workspace_of(one, 1),
                            *ws_all = test_workspace_of(all, 1);
        images_new(&a, arch);
        images_new(&b, arch);
        evaluate_alone(one, ws_one, &a);
        evaluate_alone(all, ws_all, &b);
        for (size_t i = 0; i < IMAGES; i++)
            assert_memory_equal(a.v_x[i], b.v_x[i], a.n * sizeof(float));
        assert_memory_equal(a.v_t, b.v_t, sizeof a.v_t);
        images_free(&a);
        images_free(&b);
        nn_workspace_free(ws_one);
        nn_workspace_free(ws_all);
        nn_net_free(one);
        nn_net_free(all);
        for (int first = 1; first <= 7; first += 3) {
            const struct nn_weights bad = {read_spoiled_from, &first};
            struct err alone = {0};
            assert_null(nn_net_new(arch, &bad, NN_KERNEL_AUTO, &alone));
            assert_null(
                nn_net_new_threads(arch, &bad, NN_KERNEL_AUTO, NN_PRECISION_F32, threads, &e));
            assert_int_equal(e.code, ERR_INPUT);
            assert_string_equal(e.at, alone.at);
            assert_string_equal(e.text, alone.text);
        }
    }
}

struct thread {
    pthread_t id;
    const struct nn_net *net;
    struct nn_workspace *ws;
    struct images im;
};

static void *evaluate_in_thread(void *context)
{
    struct thread *thread = context;
    for (int i = 0; i < 3; i++)
        evaluate_alone(thread->net, thread->ws, &thread->im);
    return NULL;
}

/* One net, a workspace a thread: the same bits in each. */
static void test_threads_share_a_net(void **state)
{
    (void)state;
    enum { THREADS = 3 };
    const struct nn_arch *arch = &test_archs[1].arch;
    struct thread threads[THREADS];
    struct nn_net *net = test_net_of(arch, NN_KERNEL_AUTO);
    for (size_t i = 0; i < THREADS; i++) {
        images_new(&threads[i].im, arch);
        threads[i].net = net;
        threads[i].ws = test_workspace_of(net, 1);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i].id, NULL, evaluate_in_thread, &threads[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i].id, NULL), 0);
    for (size_t i = 0; i < THREADS; i++) {
        const struct images *a = &threads[0].im, *b = &threads[i].im;
        for (size_t k = 0; k < IMAGES; k++)
            assert_memory_equal(a->v_x[k], b->v_x[k], a->n * sizeof(float));
        assert_memory_equal(a->v_t, b->v_t, sizeof a->v_t);
    }
    for (size_t i = 0; i < THREADS; i++) {
        images_free(&threads[i].im);
        nn_workspace_free(threads[i].ws);
    }
    nn_net_free(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loading_threads_change_nothing),
        cmocka_unit_test(test_threads_share_a_net),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
