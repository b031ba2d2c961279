/* Writing samples. The engine has made PNGs, pixels or float samples; here they become files, each
 * written beside its name and renamed, so that an interrupted run leaves no half file.
 *
 * A .npy is streamed; .npz and .safetensors need their array in one piece, which is copied. */
#include "cli_output.h"
#include "cli_npz.h"
#include "cli_shard.h"
#include "cli_stream.h"
#include "base_file.h"
#include "base_size.h"
#include "base_text.h"
#include "archive_npy.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NPY_HEADER_MAX 4096

static const struct {
    const char *ending;
    enum cli_output_kind kind;
} endings[] = {{".png", CLI_OUTPUT_PNG},
               {"/", CLI_OUTPUT_FOLDER},
               {".npy", CLI_OUTPUT_NPY},
               {".npz", CLI_OUTPUT_NPZ},
               {".safetensors", CLI_OUTPUT_SAFETENSORS}};

int cli_output_kind_parse(const char *path, enum cli_output_kind *out, struct err *e)
{
    *out = CLI_OUTPUT_PNG;
    if (cli_stream_is_standard(path))
        return 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (file_name_ends(path, endings[i].ending)) {
            *out = endings[i].kind;
            return 0;
        }
    }
    return err_fail(e, ERR_INPUT, "--output",
                    "\"%s\" must end in .png, .npy, .npz, .safetensors, or / for a folder, or be - "
                    "for standard output",
                    path);
}

int cli_output_choose(const struct cli_output_options *o, const struct model *m,
                      enum cli_output_kind *out, struct err *e)
{
    if (cli_output_kind_parse(o->path, out, e) != 0)
        return -1;
    if (cli_stream_is_standard(o->path) && o->dtype_given)
        *out = CLI_OUTPUT_NPY;
    if (*out != CLI_OUTPUT_PNG && (o->columns || o->scale))
        return err_fail(e, ERR_INPUT, o->columns ? "--columns" : "--scale",
                        "is for a .png only, the output is %s", o->path);
    if (o->dtype_given && *out != CLI_OUTPUT_NPY)
        return err_fail(e, ERR_INPUT, "--dtype", "is for a .npy only, the output is %s", o->path);
    if (*out == CLI_OUTPUT_NPY && (o->float32 || (model_vectors(m) && !o->dtype_given)))
        *out = CLI_OUTPUT_NPY_F32;
    return 0;
}

int cli_output_take_dtype(struct cli_output_options *o, const char *word, struct err *e)
{
    o->float32 = strcmp(word, "float32") == 0;
    o->dtype_given = true;
    return o->float32 || strcmp(word, "uint8") == 0
               ? 0
               : err_fail(e, ERR_INPUT, "--dtype", "is uint8 or float32, not \"%s\"", word);
}

struct image_grid cli_output_grid(const struct cli_output_options *o, size_t n)
{
    return (struct image_grid){.columns = o->columns ? (int)o->columns : image_grid_columns(n),
                               .scale = o->scale ? (int)o->scale : 1,
                               .gap = IMAGE_GRID_GAP};
}

/* The folder of what the first `length` bytes of the path name, to be freed; NULL without memory.
 */
static char *folder_of(const char *path, size_t length)
{
    while (length > 0 && path[length - 1] != '/')
        length--;
    return length > 0 ? strndup(path, length) : strdup(".");
}

/* ---- the output is no input ---- */

/* `path` is neither the input nor, as a picture, one of an input folder. */
static int check_input(const char *path, const char *input, struct err *e)
{
    bool there, within = false;
    struct stat st;
    if (file_apart(input, path, e) != 0)
        return -1;
    if (!file_name_ends(path, ".png"))
        return 0;
    if (file_look(path, true, &there, &st, e) != 0 ||
        (there && file_within(path, input, &within, e) != 0))
        return -1;
    return within ? err_fail(e, ERR_INPUT, path,
                             "is a picture of the input %s; name another output", input)
                  : 0;
}

static int check_inputs(const char *path, const struct cli_output_guard *guard, struct err *e)
{
    for (size_t i = 0; guard && i < CLI_OUTPUT_INPUTS_MAX; i++)
        if (guard->inputs[i] && !cli_stream_is_standard(guard->inputs[i]) &&
            check_input(path, guard->inputs[i], e) != 0)
            return -1;
    return 0;
}

/* An input may have the name of an image that goes into its folder. */
static int check_image_names(const char *folder, const struct engine_order *order,
                             const struct cli_output_guard *guard, struct err *e)
{
    struct buf name;
    int result = 0;
    buf_init(&name, 65536);
    for (size_t i = 0; i < CLI_OUTPUT_INPUTS_MAX && result == 0; i++) {
        const char *input = guard->inputs[i], *slash = input ? strrchr(input, '/') : NULL;
        const char *own = slash ? slash + 1 : input;
        char digits[32] = "";
        uint64_t index;
        if (!input || !file_name_ends(own, ".png") || strlen(own) - 4 >= sizeof digits)
            continue;
        memcpy(digits, own, strlen(own) - 4);
        if (!text_digits(digits, &index) || index < order->first_index ||
            index - order->first_index >= order->n)
            continue;
        buf_reset(&name);
        result = cli_shard_image_name(folder, index, ".png", &name, e);
        if (result == 0)
            result = file_apart(input, (const char *)name.data, e);
    }
    buf_clear(&name);
    return result;
}

/* ---- the place is there ---- */

static int check_folder(const char *path, struct err *e)
{
    struct stat st = {0};
    if (stat(path, &st) != 0 && errno != ENOTDIR) /* which means FILE/ */
        return err_fail_errno(e, errno, path, "look at the folder");
    if (!S_ISDIR(st.st_mode))
        return err_fail(e, ERR_INPUT, path, "exists and is not a folder; name another");
    if (access(path, W_OK | X_OK) != 0)
        return err_fail_errno(e, errno, path, "write into the folder");
    return 0;
}

/* The folder is there already, or can be made. */
int cli_output_prepare_folder(const char *path, const struct cli_output_guard *guard, struct err *e)
{
    struct stat st;
    if (stat(path, &st) == 0 || errno != ENOENT)
        return check_folder(path, e) != 0 || check_inputs(path, guard, e) != 0 ||
                       (!guard->shards && cli_shard_check_none(path, e) != 0)
                   ? -1
                   : 0;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    char *folder = folder_of(path, length);
    if (!folder)
        return err_fail_memory(e, length + 1);
    const int result =
        access(folder, W_OK | X_OK) == 0 ? 0 : err_fail_errno(e, errno, path, "make the folder");
    free(folder);
    return result;
}

int cli_output_make_folder(enum cli_output_kind kind, const char *path,
                           const struct engine_order *order, const struct cli_output_guard *guard,
                           struct err *e)
{
    if (kind != CLI_OUTPUT_FOLDER)
        return 0;
    if (check_image_names(path, order, guard, e) != 0)
        return -1;
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return err_fail_errno(e, errno, path, "make the folder");
    return check_folder(path, e);
}

int cli_output_prepare_file(const char *path, const struct cli_output_guard *guard, struct err *e)
{
    char *folder = folder_of(path, strlen(path));
    struct stat st;
    int result = 0;
    if (!folder)
        return err_fail_memory(e, strlen(path) + 1);
    bool there = false;
    if (access(folder, W_OK | X_OK) != 0)
        result = err_fail_errno(e, errno, path, "write into its folder");
    else
        result = file_look(path, true, &there, &st, e);
    if (there && !S_ISREG(st.st_mode))
        result = err_fail(e, ERR_INPUT, path, "exists and is not a regular file; name another");
    free(folder);
    return result == 0 ? check_inputs(path, guard, e) : -1;
}

int cli_output_prepare(enum cli_output_kind kind, const char *path, struct image_shape shape,
                       const struct cli_output_guard *guard, struct err *e)
{
    bool png = kind == CLI_OUTPUT_PNG || kind == CLI_OUTPUT_FOLDER;
    if (png && shape.channels != 1 && shape.channels != 3)
        return err_fail(e, ERR_UNSUPPORTED, "--output",
                        "images of %d channels cannot be PNG; write .npy, .npz or .safetensors",
                        shape.channels);
    if (cli_stream_is_standard(path))
        return cli_stream_check(path, e);
    return kind == CLI_OUTPUT_FOLDER ? cli_output_prepare_folder(path, guard, e)
                                     : cli_output_prepare_file(path, guard, e);
}

enum engine_output cli_output_engine(enum cli_output_kind kind, bool sheet)
{
    switch (kind) {
    case CLI_OUTPUT_PNG:
        return sheet ? ENGINE_OUTPUT_SHEET : ENGINE_OUTPUT_PNG;
    case CLI_OUTPUT_FOLDER:
        return ENGINE_OUTPUT_PNG;
    case CLI_OUTPUT_NPY:
    case CLI_OUTPUT_NPZ:
        return ENGINE_OUTPUT_PIXELS;
    case CLI_OUTPUT_NPY_F32:
    case CLI_OUTPUT_SAFETENSORS:
        break;
    }
    return ENGINE_OUTPUT_SAMPLE;
}

static int write_png(const struct engine_request *r, const char *path, struct err *e)
{
    const struct engine_image *image = engine_request_order(r)->output == ENGINE_OUTPUT_SHEET
                                           ? engine_request_sheet(r)
                                           : engine_request_image(r, 0);
    return cli_sink_write(path, image->png.data, image->png.length, e);
}

static int write_folder(const struct engine_request *r, const char *path, struct err *e)
{
    struct buf name;
    int result = 0;
    buf_init(&name, 65536);
    for (size_t i = 0; result == 0 && i < engine_request_order(r)->n; i++) {
        const struct engine_image *image = engine_request_image(r, i);
        buf_reset(&name);
        result = cli_shard_image_name(path, image->index, ".png", &name, e);
        if (result == 0)
            result =
                file_write_atomic((const char *)name.data, image->png.data, image->png.length, e);
    }
    buf_clear(&name);
    return result;
}

static struct image_shape request_shape(const struct engine_request *r)
{
    return model_shape(engine_model_get(engine_request_order(r)->model));
}

static void pixels_shape(const struct engine_request *r, uint64_t shape[4])
{
    struct image_shape s = request_shape(r);
    shape[0] = engine_request_order(r)->n;
    shape[1] = (uint64_t)s.height;
    shape[2] = (uint64_t)s.width;
    shape[3] = (uint64_t)s.channels;
}

static int npy_header(const struct engine_request *r, struct buf *out, struct err *e)
{
    const struct engine_order *order = engine_request_order(r);
    struct image_shape s = request_shape(r);
    uint64_t shape[4];
    if (order->output == ENGINE_OUTPUT_PIXELS) {
        pixels_shape(r, shape);
        return archive_npy_header(ARCHIVE_NPY_U8, 4, shape, out, e);
    }
    shape[0] = order->n;
    if (model_vectors(engine_model_get(order->model))) {
        shape[1] = image_shape_count(s);
        return archive_npy_header(ARCHIVE_NPY_F32, 2, shape, out, e);
    }
    shape[1] = (uint64_t)s.channels;
    shape[2] = (uint64_t)s.height;
    shape[3] = (uint64_t)s.width;
    return archive_npy_header(ARCHIVE_NPY_F32, 4, shape, out, e);
}

static int write_npy(const struct engine_request *r, const char *path, struct err *e)
{
    bool pixels = engine_request_order(r)->output == ENGINE_OUTPUT_PIXELS;
    size_t bytes = image_shape_count(request_shape(r)) * (pixels ? 1 : sizeof(float));
    struct cli_sink sink = {0};
    struct buf header;
    int result;
    buf_init(&header, NPY_HEADER_MAX);
    result = npy_header(r, &header, e);
    if (result == 0)
        result = cli_sink_open(&sink, path, e);
    if (result == 0)
        result = cli_sink_put(&sink, header.data, header.length, e);
    for (size_t i = 0; result == 0 && i < engine_request_order(r)->n; i++) {
        const struct engine_image *image = engine_request_image(r, i);
        const void *values = pixels ? (const void *)image->pixels : (const void *)image->sample;
        result = cli_sink_put(&sink, values, bytes, e);
    }
    if (result == 0)
        result = cli_sink_commit(&sink, e);
    cli_sink_close(&sink);
    buf_clear(&header);
    return result;
}

/* Whether the model knows classes: each image has one then, MODEL_CLASS_NONE among them. */
static bool has_classes(const struct engine_request *r)
{
    return engine_request_image(r, 0)->label_count > 0;
}

/* All images' values, one after another; to be freed. */
static void *gather(const struct engine_request *r, size_t value_size, struct err *e)
{
    const struct engine_order *order = engine_request_order(r);
    bool pixels = order->output == ENGINE_OUTPUT_PIXELS;
    size_t one, all;
    unsigned char *out;
    if (!size_mul(image_shape_count(request_shape(r)), value_size, &one) ||
        !size_mul(one, order->n, &all)) {
        err_fail(e, ERR_LIMIT, "-n", "%zu images are too many for one file", order->n);
        return NULL;
    }
    out = malloc(all);
    if (!out) {
        err_fail_memory(e, all);
        return NULL;
    }
    for (size_t i = 0; i < order->n; i++) {
        const struct engine_image *image = engine_request_image(r, i);
        memcpy(out + i * one, pixels ? (const void *)image->pixels : (const void *)image->sample,
               one);
    }
    return out;
}

static int write_npz(const struct engine_request *r, const char *path, struct err *e)
{
    const struct engine_order *order = engine_request_order(r);
    void *pixels = gather(r, 1, e);
    int64_t *classes = pixels ? calloc(order->n, sizeof *classes) : NULL;
    int result = -1;
    if (pixels && !classes)
        err_fail_memory(e, order->n * sizeof *classes);
    if (classes) {
        struct cli_npz z = {.shape = request_shape(r),
                            .n = order->n,
                            .seed = order->seed,
                            .first_index = order->first_index,
                            .pixels = pixels,
                            .classes = has_classes(r) ? classes : NULL};
        for (size_t i = 0; z.classes && i < order->n; i++)
            classes[i] = engine_request_image(r, i)->labels[0];
        result = cli_npz_write(path, &z, e);
    }
    free(classes);
    free(pixels);
    return result;
}

/* {"seed_rule": the inputs of the first sample as text, "n": how many follow one another}. Where
 * the model knows classes the others' are in the tensor "class". */
static json_t *samples_metadata(const struct engine_order *order, struct err *e)
{
    struct buf text;
    json_t *metadata = NULL;
    char n[24];
    buf_init(&text, 4096);
    snprintf(n, sizeof n, "%zu", order->n);
    if (engine_seed_text(order, order->first_index, NULL, &text, e) == 0) {
        metadata = json_pack("{s:s, s:s}", "seed_rule", (const char *)text.data, "n", n);
        if (!metadata)
            err_fail_memory(e, text.length);
    }
    buf_clear(&text);
    return metadata;
}

static int write_safetensors(const struct engine_request *r, const char *path, struct err *e)
{
    const struct engine_order *order = engine_request_order(r);
    struct image_shape s = request_shape(r);
    struct ckpt_output tensors[] = {
        {.name = "samples",
         .dtype = CKPT_F32,
         .rank = 4,
         .shape = {order->n, (uint64_t)s.channels, (uint64_t)s.height, (uint64_t)s.width}},
        {.name = "class", .dtype = CKPT_I32, .rank = 1, .shape = {order->n}}};
    json_t *metadata = samples_metadata(order, e);
    void *values = metadata ? gather(r, sizeof(float), e) : NULL;
    int result = -1;
    tensors[0].data = values;
    tensors[1].data = engine_request_image(r, 0)->labels; /* of all: one array */
    if (values)
        result = ckpt_file_write(path, tensors, has_classes(r) ? 2 : 1, metadata, e);
    free(values);
    json_decref(metadata);
    return result;
}

int cli_output_write(enum cli_output_kind kind, const char *path,
                     const struct engine_request *request, struct err *e)
{
    switch (kind) {
    case CLI_OUTPUT_PNG:
        return write_png(request, path, e);
    case CLI_OUTPUT_FOLDER:
        return write_folder(request, path, e);
    case CLI_OUTPUT_NPY:
    case CLI_OUTPUT_NPY_F32:
        return write_npy(request, path, e);
    case CLI_OUTPUT_NPZ:
        return write_npz(request, path, e);
    case CLI_OUTPUT_SAFETENSORS:
        return write_safetensors(request, path, e);
    }
    return err_fail(e, ERR_INTERNAL, path, "unknown kind of output %d", (int)kind);
}

int cli_output_digest(const struct engine_request *request, size_t i, char out[SHA256_HEX_SIZE],
                      struct err *e)
{
    const struct engine_image *image = engine_request_image(request, i);
    size_t values = image_shape_count(request_shape(request));
    switch (engine_request_order(request)->output) {
    case ENGINE_OUTPUT_PNG:
        memcpy(out, image->sha256, SHA256_HEX_SIZE);
        return 0;
    case ENGINE_OUTPUT_PIXELS:
        return sha256_hex(image->pixels, values, out, e);
    case ENGINE_OUTPUT_SAMPLE:
        return sha256_hex(image->sample, values * sizeof(float), out, e);
    case ENGINE_OUTPUT_SHEET:
    case ENGINE_OUTPUT_ARRAYS: /* no kind of output asks for both */
        break;
    }
    out[0] = '\0';
    return 0;
}
