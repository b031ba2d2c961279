/* Teams: every unit is done once and by whoever is free, an image's bits do not depend on who
 * helped, and helpers leave when they are told to or when the network is another. */
#include "nn_layers.h"
#include "nn_team.h"
#include "nn_team_work.h"
#include "nn_test.h"
#include "base_cpu.h"
#include <pthread.h>
#include <stdatomic.h>

#define HELPERS 3
#define UNITS 1000
#define PATIENCE_NS 120000000000 /* after which a test that waits for others fails */

static const struct nn_arch bundled = {.image_size = 28,
                                       .channels = 1,
                                       .nf = 24,
                                       .levels = 3,
                                       .ch_mult = {1, 2, 2},
                                       .num_res_blocks = 1,
                                       .attn_count = 1,
                                       .attn_resolutions = {7}};
static const struct nn_arch filtered = {.image_size = 16,
                                        .channels = 3,
                                        .nf = 32,
                                        .levels = 2,
                                        .ch_mult = {1, 2},
                                        .num_res_blocks = 1,
                                        .attn_count = 1,
                                        .attn_resolutions = {16},
                                        .fir = true,
                                        .pyramid = NN_PYRAMID_RESIDUAL,
                                        .embedding = NN_EMBEDDING_FOURIER};

/* ---- helpers ---- */

struct helper {
    pthread_t thread;
    struct nn_team *team;
    struct nn_workspace *ws;
    atomic_bool end;    /* do not come back */
    atomic_int returns; /* how often it was sent away */
};

/* Comes back whenever it is sent away, as an engine's worker does. */
static void *help(void *context)
{
    struct helper *h = context;
    for (;;) {
        unsigned call = nn_team_call(h->team);
        if (atomic_load(&h->end))
            return NULL;
        nn_team_help(h->team, h->ws, call);
        atomic_fetch_add(&h->returns, 1);
    }
}

static struct nn_team *helpers_start(struct helper *helpers, int count, const struct nn_net *net)
{
    struct err e = {0};
    struct nn_team *team = nn_team_new(&e);
    assert_non_null(team);
    for (int i = 0; i < count; i++) {
        helpers[i].team = team;
        helpers[i].ws = test_workspace_of(net, 1);
        atomic_init(&helpers[i].end, false);
        atomic_init(&helpers[i].returns, 0);
        assert_int_equal(pthread_create(&helpers[i].thread, NULL, help, &helpers[i]), 0);
    }
    return team;
}

static void helpers_end(struct helper *helpers, int count, struct nn_team *team)
{
    for (int i = 0; i < count; i++)
        atomic_store(&helpers[i].end, true);
    nn_team_dismiss(team);
    for (int i = 0; i < count; i++) {
        assert_int_equal(pthread_join(helpers[i].thread, NULL), 0);
        nn_workspace_free(helpers[i].ws);
    }
    assert_int_equal(nn_team_helpers(team), 0);
    nn_team_free(team);
}

static void wait_for_count(const struct nn_team *team, int count)
{
    int64_t begin = clock_ns();
    while (nn_team_helpers(team) != count)
        assert_true(clock_ns() - begin < PATIENCE_NS);
}

/* ---- units ---- */

struct counting {
    size_t units, together; /* threads that must have met before a unit ends */
    atomic_int met;
    atomic_int done[UNITS];
};

static size_t counting_units(const void *op)
{
    return ((const struct counting *)op)->units;
}

static _Thread_local const void *met_in;

static void counting_run(const void *op, struct nn_share *share)
{
    struct counting *c = (struct counting *)(uintptr_t)op;
    int64_t begin = clock_ns();
    if (met_in != op)
        atomic_fetch_add(&c->met, 1);
    met_in = op;
    while (atomic_load(&c->met) < (int)c->together && clock_ns() - begin < PATIENCE_NS)
        ;
    for (size_t unit = share->first; unit < share->last; unit++)
        atomic_fetch_add(&c->done[unit], 1);
}

/* With every number of units, each is done once, and all helpers take part where they can. */
static void test_units_are_done_once(void **state)
{
    (void)state;
    static const size_t units[] = {0, 1, 2, 4, 31, 32, 33, 64, 999, UNITS};
    static struct counting counts[COUNT(units)];
    const struct nn_sharing how = {counting_units, counting_run};
    struct helper helpers[HELPERS];
    struct nn_net *net = test_net_of(&test_archs[3].arch, NN_KERNEL_C);
    struct nn_team *team = helpers_start(helpers, HELPERS, net);
    wait_for_count(team, HELPERS);
    for (size_t i = 0; i < COUNT(units); i++) {
        struct counting *c = &counts[i];
        c->units = units[i];
        c->together = units[i] < 1 + HELPERS ? 1 : 1 + HELPERS;
        nn_team_run(team, net, &how, c, NULL);
        for (size_t unit = 0; unit < UNITS; unit++)
            assert_int_equal(c->done[unit], unit < units[i]);
        assert_true((size_t)c->met >= (units[i] ? c->together : 0));
    }
    helpers_end(helpers, HELPERS, team);
    nn_net_free(net);
}

/* ---- whole networks ---- */

struct images {
    size_t n, floats;
    float *x[3], *v_x[3];
    float t[3], v_t[3];
};

static struct images images_new(const struct nn_arch *arch)
{
    struct images im = {.n = COUNT(im.x),
                        .floats = (size_t)(arch->image_size * arch->image_size * arch->channels)};
    for (size_t i = 0; i < im.n; i++) {
        im.x[i] = calloc(im.floats, sizeof(float));
        im.v_x[i] = calloc(im.floats, sizeof(float));
        assert_true(im.x[i] && im.v_x[i]);
        test_uniforms(70 + i, im.floats, im.x[i]);
        im.t[i] = 0.5f + (float)i;
    }
    return im;
}

static void images_free(struct images *im)
{
    for (size_t i = 0; i < im->n; i++) {
        free(im->x[i]);
        free(im->v_x[i]);
    }
}

static void evaluate(const struct nn_net *net, struct nn_workspace *ws, size_t n, struct images *im)
{
    const float *x[COUNT(im->x)];
    for (size_t i = 0; i < im->n; i++)
        x[i] = im->x[i];
    nn_net_forward(net, ws, (int)n, x, im->t, NULL, im->v_x, im->v_t);
}

static void check_network(const struct nn_arch *arch, const struct test_variant *variant)
{
    struct helper helpers[HELPERS];
    struct nn_net *net = test_net_by(arch, variant);
    struct nn_workspace *alone = test_workspace_of(net, 3), *ws = test_workspace_of(net, 3);
    struct nn_team *team = helpers_start(helpers, HELPERS, net);
    struct images expected = images_new(arch), im = images_new(arch);
    evaluate(net, alone, expected.n, &expected);
    nn_workspace_team(ws, team);
    for (size_t round = 0; round < 12; round++) {
        size_t n = 1 + round % im.n;
        if (round % 4 == 3)
            nn_team_dismiss(team); /* they come back in the middle of what follows */
        else
            wait_for_count(team, HELPERS);
        memset(ws->scratch, 0xff, 64);
        evaluate(net, ws, n, &im);
        for (size_t i = 0; i < n; i++)
            assert_memory_equal(im.v_x[i], expected.v_x[i], im.floats * sizeof(float));
        assert_memory_equal(im.v_t, expected.v_t, n * sizeof(float));
    }
    nn_workspace_team(ws, NULL);
    helpers_end(helpers, HELPERS, team);
    nn_workspace_free(alone);
    nn_workspace_free(ws);
    images_free(&expected);
    images_free(&im);
    nn_net_free(net);
}

static void test_bits_do_not_depend_on_the_team(void **state)
{
    (void)state;
    for (const struct test_variant *w = test_variants; w < test_variants + COUNT(test_variants);
         w++) {
        if (test_variant_is_slow(w) || !test_variant_runs(w))
            continue;
        check_network(&filtered, w);
        if (w->kernel != NN_KERNEL_C && w->precision != NN_PRECISION_BF16X3)
            check_network(&bundled, w);
    }
}

/* A helper whose workspace belongs to another network goes away without touching anything. */
static void test_another_network(void **state)
{
    (void)state;
    struct helper helper;
    struct nn_net *net = test_net_of(&bundled, NN_KERNEL_AUTO);
    struct nn_net *other = test_net_of(&test_archs[3].arch, NN_KERNEL_AUTO);
    struct nn_team *team = helpers_start(&helper, 1, other);
    static struct counting counts;
    const struct nn_sharing how = {counting_units, counting_run};
    int64_t begin = clock_ns();
    counts.units = UNITS;
    for (int runs = 1; atomic_load(&helper.returns) == 0; runs++) {
        assert_true(clock_ns() - begin < PATIENCE_NS);
        nn_team_run(team, net, &how, &counts, NULL);
        assert_int_equal(counts.met, 1);
        assert_int_equal(counts.done[UNITS - 1], runs);
    }
    helpers_end(&helper, 1, team);
    nn_net_free(net);
    nn_net_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units_are_done_once),
        cmocka_unit_test(test_bits_do_not_depend_on_the_team),
        cmocka_unit_test(test_another_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
