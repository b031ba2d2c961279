/* A labelled network from training to serving: a run of three steps, its export opened as a model,
 * and the model's slopes beside the training network's own forward pass; and checkpoints whose
 * labels and tensors contradict each other. */
#include "base_file.h"
#include "base_rng.h"
#include "field_flow.h"
#include "model.h"
#include "nn_grad.h"
#include "train.h"
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

#define SIDE 8
#define COUNT 30
#define D (SIDE * SIDE)
#define CLASSES 3
#define POINTS (CLASSES + 1)

static char folder[] = "/tmp/pfgm-labels-XXXXXX";
static char checkpoint[64];

static const char *in_folder(const char *name, char out[64])
{
    snprintf(out, 64, "%s/%s", folder, name);
    return out;
}

static void write_file(const char *name, const void *data, size_t length)
{
    char path[64];
    assert_int_equal(file_write_atomic(in_folder(name, path), data, length, NULL), 0);
}

/* Random pictures, as an IDX pair. */
static void write_data(void)
{
    static unsigned char images[16 + COUNT * D] = {0, 0, 8, 3,    0, 0, 0, COUNT,
                                                   0, 0, 0, SIDE, 0, 0, 0, SIDE};
    static unsigned char labels[8 + COUNT] = {0, 0, 8, 1, 0, 0, 0, COUNT};
    static double uniform[COUNT * D];
    rng_uniforms(1, 0, RNG_TEST, COUNT * D, uniform);
    for (size_t i = 0; i < COUNT * D; i++)
        images[16 + i] = (unsigned char)(uniform[i] * 256);
    for (size_t i = 0; i < COUNT; i++)
        labels[8 + i] = (unsigned char)(i % CLASSES);
    write_file("train-images-idx3-ubyte", images, sizeof images);
    write_file("train-labels-idx1-ubyte", labels, sizeof labels);
}

static int train_three_steps(void **state)
{
    static const char config[] =
        "{\"network\": {\"nf\": 12, \"ch_mult\": [1, 2], \"num_res_blocks\": 1}, "
        "\"conditional\": true, \"batch\": 8, \"large_batch\": 16, \"learning_rate\": 0.01, "
        "\"warmup\": 0, \"steps\": 3, \"sheet_every\": 3, \"labels\": [\"a\", \"b\", \"c\"]}";
    char data[64], path[64], run[64];
    struct train_result result;
    struct err e = {0};
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    write_data();
    write_file("config.json", config, sizeof config - 1);
    const struct train_options options = {.data.path = in_folder("train-images-idx3-ubyte", data),
                                          .run = in_folder("run", run),
                                          .config = in_folder("config.json", path),
                                          .steps = -1,
                                          .threads = 2,
                                          .export_dtype = CKPT_F32};
    in_folder("run/model.safetensors", checkpoint);
    if (train_run(&options, &result, &e))
        fail_msg("%s: %s", e.at, e.text);
    return 0;
}

static int remove_folder(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static struct model *open_model(void)
{
    struct err e = {0};
    struct model *m = model_load(checkpoint, &(struct model_options){0}, &e);
    if (!m)
        fail_msg("%s: %s", e.at, e.text);
    return m;
}

/* A point of the prior's kind for each class and one for none, at several t. */
struct points {
    double x[POINTS][D], slope[POINTS][D], t[POINTS];
    float row[POINTS][D], time[POINTS], out[POINTS][D + 1];
    const float *rows[POINTS];
    int32_t label[POINTS];
};

static void fill_points(struct points *p)
{
    for (int i = 0; i < POINTS; i++) {
        p->t[i] = p->time[i] = 0.5f * (float)(i + 1);
        p->label[i] = i < CLASSES ? i : MODEL_CLASS_NONE;
        rng_normals(2, (uint64_t)i, RNG_TEST, D, p->x[i]);
        for (int j = 0; j < D; j++)
            p->x[i][j] = p->row[i][j] = (float)(3 * p->x[i][j]);
        p->rows[i] = p->row[i];
    }
}

static double keep_output(void *context, int image, const float *v_x, float v_t, float *v_x_slope,
                          float *v_t_slope)
{
    struct points *p = context;
    (void)v_x_slope;
    (void)v_t_slope;
    memcpy(p->out[image], v_x, D * sizeof *v_x);
    p->out[image][D] = v_t;
    return 0;
}

/* The training network with the exported weights, over the points. */
static void run_training_network(struct points *p)
{
    struct err e = {0};
    struct ckpt_description d;
    struct ckpt_file *f = ckpt_file_open(checkpoint, &e);
    assert_non_null(f);
    assert_int_equal(ckpt_description_read(f, &d, &e), 0);
    struct pool *pool = pool_new(1, &e);
    const struct nn_grad_options options = {.batch = POINTS};
    struct nn_grad *g = nn_grad_new(&d.arch, &options, pool, &e);
    assert_non_null(g);
    size_t count, at = 0;
    const struct nn_param *params = nn_grad_params(g, &count);
    float *weights = calloc(nn_grad_scalars(g), sizeof *weights);
    assert_non_null(weights);
    for (size_t i = 0; i < count; at += params[i++].count)
        assert_int_equal(ckpt_tensor_to_f32(ckpt_file_find(f, params[i].name), weights + at, &e),
                         0);
    nn_grad_weights_set(g, weights);
    double losses[POINTS];
    const struct nn_grad_batch batch = {.n = POINTS,
                                        .x = p->rows,
                                        .t = p->time,
                                        .label = p->label,
                                        .loss = keep_output,
                                        .context = p};
    nn_grad_run(g, &batch, losses, NULL);
    free(weights);
    nn_grad_free(g);
    pool_free(pool);
    ckpt_description_clear(&d);
    ckpt_file_close(f);
}

static void ask(const struct model *m, struct points *p, int first, int n)
{
    struct model_query queries[POINTS];
    struct model_workspace *ws = model_workspace_new(m, n, NULL);
    assert_non_null(ws);
    for (int i = 0; i < n; i++)
        queries[i] = (struct model_query){.x = p->x[first + i],
                                          .t = p->t[first + i],
                                          .form = ODE_SLOPE_DT,
                                          .label = p->label[first + i],
                                          .slope = p->slope[first + i]};
    model_slopes(m, ws, n, queries);
    model_workspace_free(ws);
}

static double distance(const double *a, const double *b)
{
    double square = 0, of = 0;
    for (int j = 0; j < D; j++) {
        square += (a[j] - b[j]) * (a[j] - b[j]);
        of += b[j] * b[j];
    }
    return sqrt(square / of);
}

static void a_served_label_is_the_trained_one(void **state)
{
    static struct points p;
    (void)state;
    struct model *m = open_model();
    const struct ckpt_description *d = model_description(m);
    const struct field_flow flow = {d->gamma, d->t_substitution, d->divisor_offset};
    assert_int_equal(model_class_count(m), CLASSES);
    assert_int_equal(d->arch.classes, CLASSES);
    fill_points(&p);
    run_training_network(&p);
    ask(m, &p, 0, POINTS);
    for (int i = 0; i < POINTS; i++) {
        double want[D], divisor = field_flow_divisor(&flow, p.out[i], D, p.out[i][D], p.t[i]);
        for (int j = 0; j < D; j++)
            want[j] = p.out[i][j] / divisor;
        double apart = distance(p.slope[i], want);
        if (!(apart < 1e-5))
            fail_msg("label %d: slopes are %g apart", p.label[i], apart);
    }
    model_free(m);
}

static void an_answer_depends_on_its_own_label_alone(void **state)
{
    static struct points together, alone;
    (void)state;
    struct model *m = open_model();
    fill_points(&together);
    fill_points(&alone);
    ask(m, &together, 0, POINTS);
    for (int i = 0; i < POINTS; i++)
        ask(m, &alone, i, 1);
    assert_memory_equal(together.slope, alone.slope, sizeof together.slope);
    for (int i = 1; i < POINTS; i++) { /* the same point under other labels */
        memcpy(alone.x[i], alone.x[0], sizeof alone.x[0]);
        alone.t[i] = alone.t[0];
    }
    ask(m, &alone, 0, POINTS);
    for (int i = 0; i < POINTS; i++)
        for (int k = 0; k < i; k++)
            assert_true(distance(alone.slope[i], alone.slope[k]) > 1e-6);
    model_free(m);
}

static void labels_are_found_by_name_and_number(void **state)
{
    static const struct {
        const char *word;
        int label;
    } words[] = {{"a", 0}, {"c", 2},   {"1", 1},  {"002", 2}, {"3", -1},
                 {"", -1}, {"-1", -1}, {"A", -1}, {"1a", -1}, {"18446744073709551617", -1}};
    (void)state;
    struct model *m = open_model();
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct err e = {0};
        int32_t label = -1;
        int result = model_class_find(m, words[i].word, &label, &e);
        assert_int_equal(result, words[i].label < 0 ? -1 : 0);
        assert_int_equal(label, words[i].label);
        if (result)
            assert_non_null(strstr(e.text, "0 a, 1 b, 2 c"));
    }
    model_free(m);
}

/* Writes the checkpoint again, without the label's tensor or without its labels, and opens it. */
static void write_without(const char *name, bool tensor, bool labels, const char *complaint)
{
    struct err e = {0};
    char path[64];
    struct ckpt_description d;
    struct ckpt_file *f = ckpt_file_open(checkpoint, &e);
    assert_non_null(f);
    assert_int_equal(ckpt_description_read(f, &d, &e), 0);
    void *data = NULL;
    struct ckpt_output *out = ckpt_file_outputs(f, 0, &data, &e);
    assert_non_null(out);
    size_t n = 0;
    for (size_t i = 0; i < ckpt_file_count(f); i++)
        if (!tensor || strcmp(out[i].name, NN_LABEL_EMBEDDING) != 0)
            out[n++] = out[i];
    json_t *root = ckpt_description_json(&d, &e);
    if (labels)
        json_object_del(root, "labels");
    char *text = json_dumps(root, 0);
    json_t *metadata = json_pack("{s:s}", CKPT_DESCRIPTION_KEY, text);
    assert_int_equal(ckpt_file_write(in_folder(name, path), out, n, metadata, &e), 0);
    assert_null(model_load(path, &(struct model_options){0}, &e));
    if (!strstr(e.text, NN_LABEL_EMBEDDING) || !strstr(e.text, complaint))
        fail_msg("%s: %s", e.at, e.text);
    json_decref(metadata);
    json_decref(root);
    free(text);
    free(out);
    free(data);
    ckpt_description_clear(&d);
    ckpt_file_close(f);
}

static void labels_and_tensor_belong_together(void **state)
{
    (void)state;
    write_without("no-tensor.safetensors", true, false, "missing");
    write_without("no-labels.safetensors", false, true, "does not belong");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_served_label_is_the_trained_one),
        cmocka_unit_test(an_answer_depends_on_its_own_label_alone),
        cmocka_unit_test(labels_are_found_by_name_and_number),
        cmocka_unit_test(labels_and_tensor_belong_together),
    };
    return cmocka_run_group_tests(tests, train_three_steps, remove_folder);
}
