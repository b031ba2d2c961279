/* The rules of a run of a given time. The figures are from trials with a few hundred pictures of 28
 * to 32 pixels in two to ten classes, with the objective pfgmpp, which a short run needs: its loss
 * needs no large batch, and after minutes it is far ahead of PFGM's own (docs/field.md). */
#include "train_plan.h"
#include "train_config.h"
#include <math.h>
#include <string.h>

/* A network is worth its size when it sees `images`, counted with repetition. */
static const struct network {
    int nf, blocks;
    double images;
} networks[TRAIN_PLAN_NETWORKS] = {{16, 1, 20e3},  {24, 1, 60e3},  {32, 1, 150e3},
                                   {32, 2, 400e3}, {64, 2, 1.2e6}, {96, 2, 5e6}};

/* Of pfgmpp, above the rule's mean of ln σ, −1.2 for a deviation of 0.5. Shapes and classes are
 * settled at larger noise than that one dwells on: after 15,000 images of two classes 16 of 16
 * samples are of the class that was asked for, and 10 of 16 with the rule's. */
#define MORE_NOISE 0.9

#define BATCH_MAX 64
#define BATCH_MIN 8
#define VECTORS_BATCH 128
#define STEPS_WANTED 2000 /* of smaller batches, if there is no time for large ones */
#define SHEETS 4
#define SHEETS_SHARE 0.05 /* of the time; where they take more there is one, at the end, */
#define SHEET_SHARE 0.1   /* for which no more than this is kept */
#define SAVES 20
#define LINES 100
#define TOLERANCE 0.02

/* Shares of the time at which the clock looks. The last two end a run that has none left. */
static const double looks[] = {0.06, 0.12, 0.25, 0.4, 0.55, 0.7, 0.8, 0.88, 0.94, 0.97, 1, 1.03};
#define LOOK_COUNT (int)(sizeof looks / sizeof looks[0])

/* Sets what is not there. */
static int add(json_t *object, const char *key, json_t *value)
{
    if (!json_object_get(object, key))
        return json_object_set_new(object, key, value);
    json_decref(value);
    return 0;
}

int train_plan_check(const json_t *given, const char *what, struct err *e)
{
    return json_object_get(given, "steps")
               ? err_fail(e, ERR_INPUT, what,
                          "\"steps\" and --minutes both say when the run ends: leave one of them "
                          "out")
               : 0;
}

double train_plan_noise_mean(double sigma_data)
{
    return train_config_noise_mean(sigma_data) + MORE_NOISE;
}

static const char *objective_of(const json_t *root)
{
    const char *word = json_string_value(json_object_get(root, "objective"));
    return word ? word : "";
}

bool train_plan_network_given(const json_t *given, bool vectors)
{
    const json_t *network = json_object_get(given, "network");
    return vectors || json_object_get(network, "nf") || json_object_get(network, "num_res_blocks");
}

json_t *train_plan_candidate(const struct train_plan *p, const json_t *given, bool vectors,
                             int network, int64_t batch, struct err *e)
{
    json_t *root = json_deep_copy(given);
    json_t *shape = root ? json_object_get(root, "network") : NULL;
    int result = !root || add(root, "batch", json_integer((json_int_t)batch));
    if (result == 0 && !vectors)
        result = add(root, "objective", json_string("pfgmpp"));
    if (result == 0 && !vectors && strcmp(objective_of(root), "pfgmpp") == 0)
        result = add(root, "log_sigma_mean", json_real(p->log_sigma_mean));
    if (result == 0 && network >= 0) {
        if (!shape)
            result = json_object_set_new(root, "network", shape = json_object());
        result = result || add(shape, "nf", json_integer(networks[network].nf)) ||
                 add(shape, "num_res_blocks", json_integer(networks[network].blocks));
    }
    if (result == 0)
        return root;
    json_decref(root);
    err_fail_memory(e, 4096);
    return NULL;
}

static double images_in(const struct train_plan *p, int network)
{
    return p->seconds / p->image_seconds[network];
}

bool train_plan_goes_on(const struct train_plan *p)
{
    const int last = p->measured - 1;
    return !p->given && p->measured < TRAIN_PLAN_NETWORKS &&
           (last < 0 || images_in(p, last) >= networks[last].images);
}

int train_plan_decide(struct train_plan *p, int64_t batch, struct err *e)
{
    p->network = 0;
    for (int i = 1; i < p->measured; i++)
        if (images_in(p, i) >= networks[i].images)
            p->network = i;
    const double images = images_in(p, p->network);
    for (p->batch = BATCH_MAX; p->batch > BATCH_MIN && images / (double)p->batch < STEPS_WANTED;)
        p->batch /= 2;
    if (batch > 0)
        p->batch = batch;
    const double each = p->image_seconds[p->network], step = (double)p->batch * each;
    p->steps =
        train_plan_steps(0, p->seconds - fmin(p->sheet * each, SHEET_SHARE * p->seconds), step);
    if (p->steps < 1)
        return err_fail(e, ERR_INPUT, "--minutes",
                        "no step fits into the %.1f s that are left: one of %lld images takes "
                        "%.2g s on this machine; give more minutes, or make the pictures smaller "
                        "with --resize",
                        p->seconds > 0 ? p->seconds : 0, (long long)p->batch, step);
    if (p->given)
        return 0;
    p->enough = networks[0].images * p->image_seconds[0];
    if (p->network + 1 < p->measured)
        p->more = networks[p->network + 1].images * p->image_seconds[p->network + 1];
    return 0;
}

/* How often something happens that shall happen `times`. */
static json_t *every(int64_t steps, int64_t times)
{
    return json_integer((json_int_t)(steps > times ? steps / times : 1));
}

static int add_rate(json_t *root, const struct train_plan *p, bool vectors)
{
    const double steps = (double)p->steps, ema = 1 - 20 / steps;
    const int nf = (int)json_integer_value(json_object_get(json_object_get(root, "network"), "nf"));
    double rate = vectors ? 3e-3 : nf > 32 ? 5e-4 : 1e-3;
    if (p->batch < 16)
        rate *= sqrt((double)p->batch / 16);
    return add(root, "learning_rate", json_real(rate)) ||
           add(root, "warmup", json_integer((json_int_t)fmin(steps / 20, 1000))) ||
           add(root, "decay", json_string("cosine")) ||
           add(root, "decay_steps", json_integer((json_int_t)(p->steps / 2))) ||
           add(root, "ema",
               json_real(ema < 0.5      ? 0.5
                         : ema > 0.9999 ? 0.9999
                                        : ema));
}

json_t *train_plan_config(const struct train_plan *p, const json_t *given, bool vectors,
                          struct err *e)
{
    json_t *root = train_plan_candidate(p, given, vectors, p->given ? -1 : p->network, p->batch, e);
    const double sheets = SHEETS * p->sheet / (double)(p->steps * p->batch);
    if (!root)
        return NULL;
    if (add_rate(root, p, vectors) == 0 &&
        add(root, "steps", json_integer((json_int_t)p->steps)) == 0 &&
        add(root, "log_every", every(p->steps, LINES)) == 0 &&
        add(root, "save_every", every(p->steps, SAVES)) == 0 &&
        add(root, "sheet_every", every(p->steps, sheets > SHEETS_SHARE ? 1 : SHEETS)) == 0)
        return root;
    json_decref(root);
    err_fail_memory(e, 4096);
    return NULL;
}

int64_t train_plan_steps(int64_t step, double seconds, double step_seconds)
{
    const double left = seconds > 0 && step_seconds > 0 ? floor(seconds / step_seconds) : 0;
    return left < (double)(TRAIN_STEPS_MAX - step) ? step + (int64_t)left : TRAIN_STEPS_MAX;
}

void train_clock_start(struct train_clock *c, int64_t now_ns, int64_t step, double sheet)
{
    c->mark_ns = now_ns;
    c->mark_step = step;
    c->sheet = sheet;
}

void train_clock_sheet(struct train_clock *c, double seconds)
{
    c->sheet = seconds;
    c->mark_ns += (int64_t)(seconds * 1e9);
}

bool train_clock_look(struct train_clock *c, int64_t now_ns, int64_t step, int64_t steps,
                      int64_t *wanted)
{
    const double gone = (double)(now_ns - c->begun_ns) * 1e-9;
    int looks_now = c->looks;
    while (looks_now < LOOK_COUNT && gone >= looks[looks_now] * c->total)
        looks_now++;
    /* What was slow for a while has shortened the run: its end, too soon, is the time to see that
     * the machine is fast again. */
    const bool due = looks_now > c->looks || step >= steps;
    if (c->total <= 0 || !due || step <= c->mark_step)
        return false;
    const double each = (double)(now_ns - c->mark_ns) * 1e-9 / (double)(step - c->mark_step);
    *wanted = train_plan_steps(step, c->total - gone - c->sheet, each);
    c->looks = looks_now;
    c->mark_ns = now_ns;
    c->mark_step = step;
    return fabs((double)(*wanted - steps)) * each > TOLERANCE * c->total;
}
