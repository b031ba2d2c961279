/* pfgm inspect: what is in a model file or in a checkpoint of the references, without loading
 * weights.
 *
 * Both kinds are brought into one JSON object; the text for people is printed from it, so the two
 * cannot differ. A safetensors file that holds no model (golden data, latents) is shown too; one
 * whose description is there but wrong is an error. */
#include "import_convert.h"
#include "import_torch.h"
#include "cli.h"
#include "cli_json.h"
#include "cli_stream.h"
#include "base_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct inspect_options {
    const char *path;
    const char *shown; /* the path as the report has it: the text may show one that is not UTF-8 */
    bool json, tensors;
};

static int take_option(void *context, int id, const char *word, struct err *e)
{
    struct inspect_options *o = context;
    (void)word;
    (void)e;
    *(id == 'j' ? &o->json : &o->tensors) = true;
    return 0;
}

/* ---- the JSON object ---- */

/* The tensors so far, and their totals. */
struct inventory {
    json_t *tensors;
    uint64_t elements, bytes;
    bool failed; /* a name is not UTF-8, or memory was short */
};

/* Appends one tensor with its logical size. */
static void tensor_add(struct inventory *all, const char *name, enum ckpt_dtype dtype, int rank,
                       const uint64_t *shape, uint64_t count)
{
    uint64_t size = 0;
    json_t *extents = json_array();
    /* views may repeat elements (stride 0), so that a logical size can be beyond any file */
    if (__builtin_mul_overflow(count, (uint64_t)ckpt_dtype_size(dtype), &size))
        size = UINT64_MAX;
    if (__builtin_add_overflow(all->bytes, size, &all->bytes))
        all->bytes = UINT64_MAX;
    if (__builtin_add_overflow(all->elements, count, &all->elements))
        all->elements = UINT64_MAX;
    for (int i = 0; i < rank; i++)
        all->failed |= json_array_append_new(extents, json_u64(shape[i])) != 0;
    json_t *tensor = json_pack("{s:s, s:s, s:o, s:o}", "name", name, "dtype",
                               ckpt_dtype_name(dtype), "shape", extents, "bytes", json_u64(size));
    all->failed |= json_array_append_new(all->tensors, tensor) != 0;
}

/* The members that both kinds of file have, `path` as it is shown. Takes over the inventory's
 * tensors and `description`.
 */
static json_t *report_build(const char *path, const char *format, uint64_t file_bytes,
                            const char *sha256, json_t *description, struct inventory *all,
                            struct err *e)
{
    size_t count = json_array_size(all->tensors);
    json_t *root =
        json_pack("{s:s, s:s, s:o, s:s, s:o, s:I, s:o, s:o, s:o}", "path", path, "format", format,
                  "bytes", json_u64(file_bytes), "sha256", sha256, "description", description,
                  "tensor_count", (json_int_t)count, "elements", json_u64(all->elements),
                  "tensor_bytes", json_u64(all->bytes), "tensors", all->tensors);
    if (root && !all->failed)
        return root;
    json_decref(root);
    json_fail(e, ERR_INPUT, path, "a name in it is not UTF-8 and cannot be shown");
    return NULL;
}

static json_t *description_get(const struct ckpt_file *f, struct err *e)
{
    struct ckpt_description d;
    json_t *description;
    if (!ckpt_file_metadata(f, CKPT_DESCRIPTION_KEY))
        return json_null();
    if (ckpt_description_read(f, &d, e) != 0)
        return NULL;
    description = ckpt_description_json(&d, e);
    ckpt_description_clear(&d);
    return description;
}

static json_t *safetensors_report(const struct inspect_options *o, struct err *e)
{
    struct ckpt_file *f = ckpt_file_open(o->path, e);
    json_t *description = f ? description_get(f, e) : NULL;
    const char *sha256 = description && ckpt_file_verify(f, e) == 0 ? ckpt_file_sha256(f, e) : NULL;
    struct inventory all = {0};
    json_t *root = NULL;
    if (sha256) {
        all.tensors = json_array();
        for (size_t i = 0; i < ckpt_file_count(f); i++) {
            const struct ckpt_tensor *t = ckpt_file_tensor(f, i);
            tensor_add(&all, t->name, t->dtype, t->rank, t->shape, t->count);
        }
        root =
            report_build(o->shown, "safetensors", ckpt_file_bytes(f), sha256, description, &all, e);
    } else {
        json_decref(description);
    }
    ckpt_file_close(f);
    return root;
}

static int torch_extras_add(json_t *root, const struct import_torch *t)
{
    static const char *const kinds[] = {
        [IMPORT_TORCH_EMA_NONE] = "none",
        [IMPORT_TORCH_EMA_LIST] = "list",
        [IMPORT_TORCH_EMA_NAMED] = "named",
    };
    int64_t step = import_torch_step(t);
    return json_object_set_new(root, "container", json_string(import_torch_container(t))) != 0 ||
           json_object_set_new(root, "step", step < 0 ? json_null() : json_integer(step)) != 0 ||
           json_object_set_new(root, "ema", json_string(kinds[import_torch_ema_kind(t)])) != 0 ||
           json_object_set_new(root, "ema_tensor_count",
                               json_integer((json_int_t)import_torch_ema_count(t))) != 0;
}

static json_t *torch_description_get(struct import_torch *t, struct err *e)
{
    struct ckpt_description d = {0};
    json_t *description = NULL;
    if (!import_torch_is_whole(t))
        return json_null();
    if (import_torch_describe(t, &d, e) == 0)
        description = ckpt_description_json(&d, e);
    ckpt_description_clear(&d);
    return description;
}

/* The raw weights; of a file that has only averaged ones, those. */
static void torch_tensors_add(struct inventory *all, const struct import_torch *t)
{
    bool raw = import_torch_count(t) > 0;
    size_t count = raw ? import_torch_count(t) : import_torch_ema_count(t);
    all->tensors = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct import_torch_tensor *one =
            raw ? import_torch_tensor(t, i) : import_torch_ema_tensor(t, i);
        tensor_add(all, one->name, one->dtype, one->rank, one->shape, one->count);
    }
}

static json_t *torch_report(const struct inspect_options *o, struct err *e)
{
    struct import_torch *t = import_torch_open(o->path, e);
    json_t *description = t ? torch_description_get(t, e) : NULL;
    const char *sha256 = description ? import_torch_sha256(t, e) : NULL;
    struct inventory all = {0};
    json_t *root = NULL;
    if (sha256) {
        torch_tensors_add(&all, t);
        root =
            report_build(o->shown, "pytorch", import_torch_bytes(t), sha256, description, &all, e);
    } else {
        json_decref(description);
    }
    if (root && torch_extras_add(root, t) != 0) {
        err_fail_memory(e, 256);
        json_decref(root);
        root = NULL;
    }
    import_torch_close(t);
    return root;
}

/* ---- the text ---- */

/* Prints a line whose bytes may come from the file: a terminal must not obey them. */
static void line_print(struct buf *line)
{
    text_make_printable((char *)line->data);
    printf("%s\n", (const char *)line->data);
}

/* A value as compact JSON, strings without quotes. */
static int value_print(const char *label, const json_t *value, struct err *e)
{
    struct buf line;
    int result;
    buf_init(&line, 1 << 20);
    result = buf_format(&line, e, "  %-18s ", label);
    if (!result && json_is_string(value))
        result = buf_string(&line, json_string_value(value), e);
    else if (!result)
        result = json_append(&line, value, JSON_COMPACT, e);
    if (!result)
        line_print(&line);
    buf_clear(&line);
    return result;
}

/* The members of an object, those of objects within it after their own name. */
static int members_print(const json_t *object, struct err *e)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        int result = json_is_object(value) ? members_print(value, e) : value_print(key, value, e);
        if (result != 0)
            return -1;
    }
    return 0;
}

static int tensor_print(const json_t *tensor, struct err *e)
{
    const char *name = json_string_value(json_object_get(tensor, "name"));
    const char *dtype = json_string_value(json_object_get(tensor, "dtype"));
    struct buf line;
    int result;
    buf_init(&line, 1 << 20);
    result = buf_format(&line, e, "  %-5s %-44s ", dtype, name) != 0 ||
                     json_append(&line, json_object_get(tensor, "shape"), JSON_COMPACT, e) != 0 ||
                     buf_string(&line, "  ", e) != 0 ||
                     json_append(&line, json_object_get(tensor, "bytes"), JSON_COMPACT, e) != 0
                 ? -1
                 : 0;
    if (!result)
        line_print(&line);
    buf_clear(&line);
    return result;
}

static int tensors_print(const json_t *tensors, struct err *e)
{
    size_t i;
    json_t *tensor;
    printf("\n");
    json_array_foreach((json_t *)(uintptr_t)tensors, i, tensor)
    {
        if (tensor_print(tensor, e) != 0)
            return -1;
    }
    return 0;
}

static int text_print(const json_t *root, bool tensors, struct err *e)
{
    static const char *const keys[] = {"format",       "container",    "bytes",
                                       "sha256",       "tensor_count", "elements",
                                       "tensor_bytes", "step",         "ema"};
    const json_t *description = json_object_get(root, "description");
    if (value_print("path", json_object_get(root, "path"), e) != 0)
        return -1;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *value = json_object_get(root, keys[i]);
        if (value && value_print(keys[i], value, e) != 0)
            return -1;
    }
    if (json_is_object(description)) {
        printf("\n");
        if (members_print(description, e) != 0)
            return -1;
    } else if (!json_object_get(root, "container")) {
        printf("  %-18s none: not a model that pfgm convert made\n", "description");
    }
    return tensors ? tensors_print(json_object_get(root, "tensors"), e) : 0;
}

static int inspect_main(int argc, char **argv)
{
    struct inspect_options o = {0};
    struct err e = {0};
    int code = cli_options_take(&cli_inspect_command, NULL, argc, argv, &o);
    if (code >= 0)
        return code;
    if (optind + 1 != argc)
        return cli_usage_error("inspect", "exactly one file is needed");
    o.path = argv[optind];
    char shown[CLI_SHOWN_MAX];
    o.shown = o.json ? o.path : cli_shown(o.path, shown);
    if (o.json && cli_json_paths(o.path, NULL, &e) != 0)
        return cli_fail("inspect", &e);
    json_t *root = import_torch_is(o.path) ? torch_report(&o, &e) : safetensors_report(&o, &e);
    int result = root ? 0 : -1;
    if (result == 0)
        result = o.json ? cli_json_print(root, &e) : text_print(root, o.tensors, &e);
    json_decref(root);
    return result == 0 ? CLI_EXIT_OK : cli_fail("inspect", &e);
}

static const struct cli_option options[] = {
    {"json", 0, 'j', NULL, NULL, "print JSON, with all tensors"},
    {"tensors", 0, 't', NULL, NULL, "list the tensors in the text too"},
    {0}};

const struct cli_command cli_inspect_command = {
    .name = "inspect",
    .summary = "show what a model or a checkpoint holds",
    .synopsis = "inspect MODEL [--json] [--tensors]",
    .about =
        "Shows the description, the tensors, the sizes and the SHA-256 of a model (safetensors) "
        "or of a checkpoint of the reference codes (.pth, .pt, .pkl), which is read without "
        "executing anything in it. The description of a .pth is not in the file; that of .pt and "
        ".pkl is shown as pfgm convert would write it.",
    .options = options,
    .words = CLI_VALUES_FILES,
    .take = take_option,
    .run = inspect_main};
