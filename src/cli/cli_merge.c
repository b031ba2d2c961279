/* `pfgm merge`: the shards of a run of `pfgm sample` become what one run would have written, byte
 * for byte. Everything is compared before anything is written: that all shards are there, each
 * once, that they are of one run, and that each image has the digest which its manifest names. */
#include "cli.h"
#include "cli_npz.h"
#include "cli_output.h"
#include "cli_shard.h"
#include "cli_stream.h"

#include "base_file.h"
#include "base_size.h"
#include "image_png_read.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINES_BYTES_MAX ((size_t)8 << 30)
#define IMAGE_BYTES_MAX ((size_t)1 << 30)
#define NAMED_MAX 8 /* shards that are missing */

/* A shard that was found: its manifest, and where its images are. */
struct part {
    struct cli_manifest m;
    char *path; /* of its .npz, or of its folder, with "/" behind */
    bool is_file;
};

struct merge {
    const char *output;
    char *const *inputs;
    int count;
    struct part *parts; /* [shards]; one without a path is missing */
    uint64_t shards;
    size_t seen;
};

static const struct cli_manifest *any(const struct merge *g)
{
    for (uint64_t i = 0; i < g->shards; i++)
        if (g->parts[i].path)
            return &g->parts[i].m;
    return NULL;
}

static void merge_clear(struct merge *g)
{
    for (uint64_t i = 0; i < g->shards; i++) {
        cli_manifest_clear(&g->parts[i].m);
        free(g->parts[i].path);
    }
    free(g->parts);
}

/* ---- finding ---- */

/* Takes the manifest over. `name` is its file, `path` where its images are. */
static int add(struct merge *g, struct cli_manifest *m, const char *name, const char *path,
               bool is_file, struct err *e)
{
    int result = 0;
    if (!g->parts) {
        g->parts = calloc((size_t)m->range.shards, sizeof *g->parts);
        g->shards = g->parts ? m->range.shards : 0;
        if (!g->parts)
            result = err_fail_memory(e, (size_t)m->range.shards * sizeof *g->parts);
    } else {
        result = cli_manifest_compare(m, any(g), false, name, e);
    }
    struct part *part = result == 0 ? &g->parts[m->range.shard - 1] : NULL;
    if (part && part->path)
        result = err_fail(e, ERR_INPUT, name,
                          "is shard %" PRIu64 "/%" PRIu64 ", and so is what is in %s",
                          m->range.shard, m->range.shards, part->path);
    if (result == 0 && cli_manifest_missing(m) > 0)
        result = err_fail(e, ERR_INPUT, name,
                          "is torn: %zu of its %zu images have no line; make shard %" PRIu64
                          "/%" PRIu64 " again with --resume",
                          cli_manifest_missing(m), m->count, m->range.shard, m->range.shards);
    if (result == 0) {
        *part = (struct part){.m = *m, .path = strdup(path), .is_file = is_file};
        g->seen++;
        return part->path ? 0 : err_fail_memory(e, strlen(path) + 1);
    }
    cli_manifest_clear(m);
    return -1;
}

static int add_manifest(struct merge *g, const char *folder, const char *name, struct err *e)
{
    struct cli_manifest m;
    struct buf path, text;
    buf_init(&path, 65536);
    buf_init(&text, LINES_BYTES_MAX);
    int result = buf_format(&path, e, "%s%s", folder, name);
    const char *file = (const char *)path.data;
    if (result == 0)
        result = file_read(file, &text, e);
    if (result == 0)
        result = cli_manifest_read((const char *)text.data, text.length, file, &m, e);
    if (result == 0)
        result = add(g, &m, file, folder, false, e);
    buf_clear(&text);
    buf_clear(&path);
    return result;
}

static int add_folder(struct merge *g, const char *input, struct err *e)
{
    struct buf folder;
    int found = 0, journals = 0;
    DIR *d = opendir(input);
    if (!d)
        return err_fail_errno(e, errno, input, "open the folder");
    buf_init(&folder, 65536);
    int result = buf_format(&folder, e, "%s%s", input, file_name_ends(input, "/") ? "" : "/");
    for (const struct dirent *entry; result == 0 && (entry = readdir(d)) != NULL;) {
        journals += cli_shard_is_journal(entry->d_name);
        if (!cli_shard_is_manifest(entry->d_name))
            continue;
        found++;
        result = add_manifest(g, (const char *)folder.data, entry->d_name, e);
    }
    closedir(d);
    buf_clear(&folder);
    if (result == 0 && found == 0)
        result = err_fail(e, ERR_INPUT, input, "has no shard that is whole%s",
                          journals ? ", only unfinished ones" : "");
    return result;
}

static int add_file(struct merge *g, const char *input, struct err *e)
{
    struct cli_manifest m;
    uint8_t *pixels;
    bool torn;
    if (cli_shard_read(input, &m, &pixels, &torn, e) != 0)
        return -1;
    free(pixels);
    return add(g, &m, input, input, true, e);
}

static int find(struct merge *g, struct err *e)
{
    for (int i = 0; i < g->count; i++) {
        struct stat st;
        const char *input = g->inputs[i];
        bool there;
        if (file_look(input, true, &there, &st, e) != 0)
            return -1;
        if (!there)
            return err_fail(e, ERR_INPUT, input, "is not there");
        if ((S_ISDIR(st.st_mode) ? add_folder : add_file)(g, input, e) != 0)
            return -1;
    }
    return 0;
}

static int check_all(const struct merge *g, struct err *e)
{
    char names[NAMED_MAX * 24] = "";
    const uint64_t missing = g->shards - g->seen;
    uint64_t named = 0;
    for (uint64_t i = 0; i < g->shards && named < NAMED_MAX; i++)
        if (!g->parts[i].path)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%" PRIu64,
                     named++ ? ", " : "", i + 1);
    return missing == 0
               ? 0
               : err_fail(e, ERR_INPUT, "", "of %" PRIu64 " shards %" PRIu64 " %s missing: %s%s",
                          g->shards, missing, missing == 1 ? "is" : "are", names,
                          missing > named ? ", …" : "");
}

/* ---- joining ---- */

/* The pixels [H,W,C] of each image of a part into `out`. */
static int part_pixels(const struct part *p, uint8_t *out, struct err *e)
{
    const size_t one = image_shape_count(p->m.shape);
    if (p->is_file) {
        struct cli_manifest again;
        uint8_t *pixels;
        bool torn;
        if (cli_shard_read(p->path, &again, &pixels, &torn, e) != 0)
            return -1;
        const int same = cli_manifest_compare(&again, &p->m, true, p->path, e);
        if (same == 0)
            memcpy(out, pixels, one * p->m.count);
        free(pixels);
        cli_manifest_clear(&again);
        return same;
    }
    struct buf png;
    int result = 0;
    buf_init(&png, IMAGE_BYTES_MAX);
    for (size_t k = 0; result == 0 && k < p->m.count; k++) {
        result = cli_shard_image(p->path, &p->m, k, &png, e);
        if (result == 0)
            result = image_png_read_as(png.data, png.length, p->m.shape, p->path, out + k * one, e);
    }
    buf_clear(&png);
    return result;
}

static int join_file(const struct merge *g, struct err *e)
{
    const struct cli_manifest *m = any(g);
    const size_t n = (size_t)m->range.n, one = image_shape_count(m->shape);
    size_t all;
    uint8_t *pixels = size_mul(one, n, &all) ? malloc(all) : NULL;
    int64_t *classes = calloc(n, sizeof *classes);
    int result = pixels && classes ? 0 : err_fail_memory(e, one * n);
    for (uint64_t i = 0; result == 0 && i < g->shards; i++) {
        const struct part *p = &g->parts[i];
        const size_t begin = (size_t)cli_range_begin(p->m.range);
        result = part_pixels(p, pixels + begin * one, e);
        for (size_t k = 0; k < p->m.count; k++)
            classes[begin + k] = p->m.images[k].label;
    }
    const struct cli_npz z = {.shape = m->shape,
                              .n = n,
                              .seed = m->seed,
                              .first_index = m->first_index,
                              .pixels = pixels,
                              .classes = m->classes ? classes : NULL};
    if (result == 0)
        result = cli_npz_write(g->output, &z, e);
    free(classes);
    free(pixels);
    return result;
}

static int encode(const struct part *p, size_t k, const uint8_t *pixels, struct buf *png,
                  struct err *e)
{
    struct buf rule;
    buf_init(&rule, 65536);
    buf_reset(png);
    int result = cli_manifest_rule(&p->m, k, &rule, e);
    if (result == 0)
        result = image_png_encode(pixels + k * image_shape_count(p->m.shape), p->m.shape, "pfgm",
                                  (const char *)rule.data, png, e);
    buf_clear(&rule);
    return result;
}

static int join_part(const struct merge *g, const struct part *p, struct err *e)
{
    uint8_t *pixels = NULL;
    struct cli_manifest again = {0};
    struct buf name, png;
    bool torn;
    int result = p->is_file ? cli_shard_read(p->path, &again, &pixels, &torn, e) : 0;
    if (p->is_file && result == 0)
        result = cli_manifest_compare(&again, &p->m, true, p->path, e);
    buf_init(&name, 65536);
    buf_init(&png, IMAGE_BYTES_MAX);
    for (size_t k = 0; result == 0 && k < p->m.count; k++) {
        buf_reset(&name);
        result = cli_shard_image_name(g->output, cli_manifest_index(&p->m, k), ".png", &name, e);
        if (result == 0)
            result = p->is_file ? encode(p, k, pixels, &png, e)
                                : cli_shard_image(p->path, &p->m, k, &png, e);
        if (result == 0)
            result = file_write_atomic((const char *)name.data, png.data, png.length, e);
    }
    buf_clear(&png);
    buf_clear(&name);
    free(pixels);
    cli_manifest_clear(&again);
    return result;
}

/* Those of an .npz were compared when it was found. */
static int check_images(const struct part *p, struct err *e)
{
    struct buf png;
    int result = 0;
    buf_init(&png, IMAGE_BYTES_MAX);
    for (size_t k = 0; result == 0 && !p->is_file && k < p->m.count; k++)
        result = cli_shard_image(p->path, &p->m, k, &png, e);
    buf_clear(&png);
    return result;
}

static int join_folder(const struct merge *g, struct err *e)
{
    for (uint64_t i = 0; i < g->shards; i++)
        if (check_images(&g->parts[i], e) != 0)
            return -1;
    if (mkdir(g->output, 0777) != 0 && errno != EEXIST)
        return err_fail_errno(e, errno, g->output, "make the folder");
    for (uint64_t i = 0; i < g->shards; i++)
        if (join_part(g, &g->parts[i], e) != 0)
            return -1;
    return 0;
}

/* A folder of shards may be joined where it is: its images stay as they are. */
static int prepare(const struct merge *g, bool is_folder, struct err *e)
{
    struct cli_output_guard guard = {0};
    for (int i = 0; i < g->count; i++) {
        const int apart = file_apart(g->inputs[i], g->output, is_folder ? NULL : e);
        if (apart != 0 && !is_folder)
            return -1;
        guard.shards |= apart != 0;
    }
    return is_folder ? cli_output_prepare_folder(g->output, &guard, e)
                     : cli_output_prepare_file(g->output, &guard, e);
}

static int run(struct merge *g, struct err *e)
{
    const bool is_folder = file_name_ends(g->output, "/");
    if (prepare(g, is_folder, e) != 0 || find(g, e) != 0 || check_all(g, e) != 0 ||
        (!is_folder && cli_npz_check(g->output, any(g)->shape, any(g)->range.n, e) != 0) ||
        (is_folder ? join_folder(g, e) : join_file(g, e)) != 0)
        return -1;
    char shown[CLI_SHOWN_MAX];
    printf("%" PRIu64 " images of %" PRIu64 " shard%s, seed %" PRIu64 ", %s\n", any(g)->range.n,
           g->shards, g->shards == 1 ? "" : "s", any(g)->seed, cli_shown(g->output, shown));
    return 0;
}

static int take_option(void *context, int c, const char *word, struct err *e)
{
    struct merge *g = context;
    if (c != 'o')
        return err_fail(e, ERR_INTERNAL, "", "an option without a meaning");
    g->output = word;
    return 0;
}

static const struct cli_option options[] = {
    {"output", 'o', 0, "OUT", CLI_VALUES_FILES, "NAME.npz or DIR/, as pfgm sample writes them"},
    {0}};

static int merge_main(int argc, char **argv)
{
    struct merge g = {0};
    struct err e = {0};
    int code = cli_options_take(&cli_merge_command, NULL, argc, argv, &g);
    if (code >= 0)
        return code;
    if (optind == argc)
        return cli_usage_error("merge", "a folder or files of shards are needed");
    if (!g.output || !(file_name_ends(g.output, "/") || file_name_ends(g.output, ".npz")))
        return cli_usage_error("merge", "-o NAME.npz or -o DIR/ is needed");
    g.inputs = argv + optind;
    g.count = argc - optind;
    code = run(&g, &e) == 0 ? CLI_EXIT_OK : cli_fail("merge", &e);
    merge_clear(&g);
    return code;
}

const struct cli_command cli_merge_command = {
    .name = "merge",
    .summary = "join the shards of a run",
    .synopsis = "merge DIR|FILE.npz... -o OUT",
    .about = "Joins the shards that pfgm sample --shard I/N has written. All must be there, of one "
             "run, and each image must be the one that its manifest names. The images, and an "
             ".npz as a whole, are byte for byte those of one pfgm sample.",
    .options = options,
    .words = CLI_VALUES_FILES,
    .take = take_option,
    .run = merge_main};
