/* Every k-th failure in `ckpt` and `import`: files written, opened, verified, described, read; and
 * what PyTorch saved, taken apart and converted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kth.h"

#include "base_file.h"
#include "ckpt_arch.h"
#include "import_convert.h"
#include "import_torch.h"

#include <stdlib.h>
#include <unistd.h>

#define BUNDLED MODELS_DIR "/fashion10.safetensors"
#define PKL GOLDEN_DIR "/pfgmpp_ncsnpp_rgb16_d128.pkl"

static char folder[] = "/tmp/pfgm-kth-XXXXXX", file[64], made[64];
static struct ckpt_description bundled; /* of a network with classes, and schedules of our own */
static double nodes[2][4] = {{10, 1, 0}, {10, 3, 1, 0}};
static struct ckpt_tuned tuned[2] = {{ODE_EULER, 2, nodes[0], false},
                                     {ODE_HEUN, 3, nodes[1], true}};
static const float values[6] = {0, 1, 2, 3, 4, 5};
static const struct ckpt_output tensors[2] = {
    {.name = "first", .dtype = CKPT_F32, .rank = 2, .shape = {2, 3}, .data = values},
    {.name = "second", .dtype = CKPT_F32, .rank = 1, .shape = {2}, .data = values}};

/* ---- our own files ---- */

static int write_to(const char *path, struct err *e)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    json_t *description = ckpt_description_json(&bundled, e), *metadata = NULL;
    int result = description ? json_append(&text, description, 0, e) : -1;
    if (result == 0) {
        metadata =
            json_with(json_object(), CKPT_DESCRIPTION_KEY, json_string((const char *)text.data));
        result = metadata ? ckpt_file_write(path, tensors, 2, metadata, e)
                          : json_fail(e, ERR_INTERNAL, "", "no metadata, and memory is not why");
    }
    json_decref(description);
    json_decref(metadata);
    buf_clear(&text);
    return result;
}

static int writing(struct err *e)
{
    return write_to(made, e);
}

/* Either nothing is there, or a whole file. */
static int written(struct err *e, bool ran)
{
    struct ckpt_file *f;
    if (access(made, F_OK) != 0)
        return ran ? kth_fail(e, "nothing was written") : 0;
    f = ckpt_file_open(made, e);
    int result = f ? ckpt_file_verify(f, e) : -1;
    ckpt_file_close(f);
    unlink(made);
    return result;
}

static int described(const struct ckpt_file *f, struct err *e)
{
    struct ckpt_description d = {0};
    int result = ckpt_description_read(f, &d, e);
    if (result == 0 && (d.label_count != bundled.label_count || d.tuned_count != 2 ||
                        d.tuned[1].nodes[1] != nodes[1][1]))
        result = kth_fail(e, "another description");
    ckpt_description_clear(&d);
    return result;
}

static int read_values(const struct ckpt_file *f, struct err *e)
{
    float single[6];
    double wide[6];
    if (ckpt_tensor_to_f32(ckpt_file_find(f, "first"), single, e) != 0 ||
        ckpt_tensor_to_f64(ckpt_file_find(f, "first"), wide, e) != 0)
        return -1;
    return memcmp(single, values, sizeof single) == 0 && wide[5] == 5 ? 0
                                                                      : kth_fail(e, "other values");
}

static int taken_whole(const struct ckpt_file *f, struct err *e)
{
    void *data = NULL;
    struct ckpt_output *all = ckpt_file_outputs(f, 1, &data, e);
    if (!all)
        return -1;
    const int result =
        strcmp(all[1].name, "second") == 0 && memcmp(all[1].data, values, 2 * sizeof *values) == 0
            ? 0
            : kth_fail(e, "other tensors");
    free(all);
    free(data);
    return result;
}

static int reading(struct err *e)
{
    struct ckpt_file *f = ckpt_file_open(file, e);
    if (!f)
        return -1;
    int result = ckpt_file_verify(f, e);
    if (result == 0)
        result = described(f, e);
    if (result == 0)
        result = read_values(f, e);
    if (result == 0)
        result = taken_whole(f, e);
    if (result == 0 && !ckpt_file_sha256(f, e))
        result = -1;
    if (result == 0)
        result = ckpt_file_check(f, e);
    ckpt_file_close(f);
    return result;
}

/* ---- PyTorch's ---- */

static int describing(struct err *e)
{
    struct ckpt_description d = {0};
    struct import_torch *t = import_torch_open(PKL, e);
    if (!t)
        return -1;
    int result = import_torch_describe(t, &d, e);
    if (result == 0 && d.added != 128)
        result = kth_fail(e, "another description");
    ckpt_description_clear(&d);
    import_torch_close(t);
    return result;
}

static int converting(struct err *e)
{
    struct ckpt_description d = {0};
    struct import_census census = {0};
    int result = import_convert(PKL, made, &d, IMPORT_WEIGHTS_EMA, NULL, NULL, &census, e);
    ckpt_description_clear(&d);
    return result;
}

/* A file with a description of our own and weights of the references, which are safetensors. */
static int converting_plain(struct err *e)
{
    struct ckpt_description d = {0};
    struct import_census census = {0};
    int result = import_convert(GOLDEN_DIR "/pfgmpp_ncsnpp_rgb16_d128.golden.safetensors", made, &d,
                                IMPORT_WEIGHTS_EMA, NULL, NULL, &census, e);
    ckpt_description_clear(&d);
    return result;
}

static const struct kth_case cases[] = {
    {"write", KTH_WRITES | KTH(THREAD), 0, writing, written, true},
    {"read", KTH_READS | KTH(THREAD), 0, reading, NULL, true},
    {"describe what PyTorch saved", KTH_READS | KTH(MAP), 25, describing, NULL, true},
    {"convert", KTH_READS | KTH_WRITES | KTH(MAP) | KTH(THREAD), 12, converting, written, true},
    {"convert plain weights", KTH_READS | KTH_WRITES | KTH(MAP) | KTH(THREAD), 12, converting_plain,
     written, true},
};

static void each_failure_is_named_and_undone(void **state)
{
    (void)state;
    kth_check_all(cases, sizeof cases / sizeof *cases);
}

static int set_up(void **state)
{
    (void)state;
    struct err e = {0};
    struct ckpt_file *f = ckpt_file_open(BUNDLED, &e);
    if (!f || !mkdtemp(folder) || ckpt_description_read(f, &bundled, &e) != 0)
        return -1;
    ckpt_file_close(f);
    for (int i = 0; i < bundled.tuned_count; i++)
        free(bundled.tuned[i].nodes);
    free(bundled.tuned);
    bundled.tuned = tuned;
    bundled.tuned_count = 2;
    nodes[0][2] = nodes[1][3] = bundled.t_min;
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(made, sizeof made, "%s/made", folder);
    if (write_to(file, &e) != 0)
        fail_msg("%s: %s", e.at, e.text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bundled.tuned = NULL;
    bundled.tuned_count = 0;
    ckpt_description_clear(&bundled);
    unlink(file);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_failure_is_named_and_undone)};
    return cmocka_run_group_tests_name("kth ckpt", tests, set_up, tear_down);
}
