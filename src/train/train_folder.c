/* A folder of PNGs, class by subfolder.
 *
 * Rules. Names that begin with a dot are passed over. Other names that do not end in .png (in any
 * case) are passed over with a count, for folders hold lists and licences. A subfolder that holds
 * usable pictures is a class, named as the folder, classes in the order of their names; pictures
 * beside the subfolders have no class. Deeper folders are named and skipped.
 *
 * All pictures become grey if all of them are, else RGB (grey is repeated). Alpha is blended onto
 * black. So the set depends on names and contents only; entries are sorted by their bytes. */
#include "base_file.h"
#include "base_log.h"
#include "image_png_read.h"
#include "train_source.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define PNG_SIDE_MAX 8192

struct entry {
    char *path;
    int32_t label;
};

struct listing {
    struct train_set *set;
    struct entry *files;
    size_t count, capacity;
    char **names; /* of classes */
    int classes;
    size_t others; /* files of other names */
};

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static bool is_png_name(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcasecmp(name + n - 4, ".png") == 0;
}

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", name) < 0
               ? NULL
               : path;
}

/* Takes the path. */
static int add_file(struct listing *l, char *path, int32_t label, struct err *e)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 256;
        struct entry *grown = reallocarray(l->files, capacity, sizeof *grown);
        if (!grown) {
            free(path);
            return err_fail_memory(e, capacity * sizeof *grown);
        }
        l->files = grown;
        l->capacity = capacity;
    }
    l->files[l->count++] = (struct entry){path, label};
    return 0;
}

static int add_class(struct listing *l, const char *name, struct err *e)
{
    char **grown = reallocarray(l->names, (size_t)l->classes + 1, sizeof *grown);
    if (grown) {
        l->names = grown;
        grown[l->classes] = strdup(name);
    }
    if (!grown || !grown[l->classes])
        return err_fail_memory(e, strlen(name) + 1);
    l->classes++;
    return 0;
}

static int list_folder(struct listing *l, const char *folder, bool top, struct err *e);

static int list_entry(struct listing *l, const char *folder, const char *name, bool top,
                      struct err *e)
{
    struct stat st;
    struct err why = {0};
    char *path = join(folder, name);
    int result = 0;
    if (!path)
        return err_fail_memory(e, strlen(folder) + strlen(name) + 2);
    if (stat(path, &st) != 0) {
        err_fail(&why, ERR_INPUT, path, "%s", strerror(errno));
        result = train_set_skip(l->set, &why, e);
    } else if (S_ISDIR(st.st_mode) && top && !is_png_name(name)) {
        size_t before = l->count;
        result = list_folder(l, path, false, e);
        if (result == 0 && l->count > before)
            result = add_class(l, name, e);
    } else if (S_ISDIR(st.st_mode)) {
        err_fail(&why, ERR_INPUT, path, "is a folder");
        result = train_set_skip(l->set, &why, e);
    } else if (is_png_name(name)) {
        return add_file(l, path, top ? -1 : l->classes, e);
    } else {
        l->others++;
    }
    free(path);
    return result;
}

static int list_folder(struct listing *l, const char *folder, bool top, struct err *e)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, not_hidden, compare_names), result = 0;
    if (count < 0)
        return err_fail_errno(e, errno, folder, "list");
    for (int i = 0; i < count; i++) {
        if (result == 0)
            result = list_entry(l, folder, entries[i]->d_name, top, e);
        free(entries[i]);
    }
    free(entries);
    return result;
}

/* ---- pictures ---- */

static int read_picture(const char *path, struct image_png *out, struct err *e)
{
    struct file_map m;
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return err_fail(e, ERR_INPUT, path, "is not a regular file");
    if (file_map_open(&m, path, e))
        return -1;
    const char *kind = train_kind_of(m.data, m.length);
    int result = strcmp(kind, "a PNG file") == 0
                     ? image_png_read(m.data, m.length, PNG_SIDE_MAX, path, out, e)
                     : err_fail(e, ERR_INPUT, path, "is not a PNG file: it holds %s", kind);
    file_map_close(&m);
    return result;
}

/* Alpha away, onto black; then `channels` of 1 or 3, in place (the result is never larger, except
 * from grey to RGB, for which `wide` is the memory). */
static const uint8_t *to_channels(const struct image_png *png, int channels, uint8_t *wide)
{
    size_t pixels = (size_t)png->shape.height * (size_t)png->shape.width;
    size_t stored = (size_t)png->shape.channels, colours = stored <= 2 ? 1 : 3;
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *from = png->pixels + i * stored;
        unsigned alpha = stored % 2 == 0 ? from[stored - 1] : 255;
        for (size_t c = 0; c < (size_t)channels; c++) {
            unsigned value = from[colours == 1 ? 0 : c];
            wide[i * (size_t)channels + c] = (uint8_t)((value * alpha + 127) / 255);
        }
    }
    return wide;
}

/* The number of colour channels that the set needs; unusable files lose their path here. */
static int survey(struct listing *l, int *channels, struct err *e)
{
    *channels = 1;
    for (size_t i = 0; i < l->count; i++) {
        struct image_png png;
        struct err why = {0};
        if (read_picture(l->files[i].path, &png, &why)) {
            if (train_set_skip(l->set, &why, e))
                return -1;
            free(l->files[i].path);
            l->files[i].path = NULL;
            continue;
        }
        if (png.shape.channels >= 3)
            *channels = 3;
        free(png.pixels);
    }
    return 0;
}

static int keep_picture(struct listing *l, const struct entry *file, int channels, struct err *e)
{
    struct image_png png;
    struct err why = {0};
    if (read_picture(file->path, &png, e))
        return -1;
    size_t pixels = (size_t)png.shape.height * (size_t)png.shape.width;
    uint8_t *wide = malloc(pixels * (size_t)channels);
    int result = wide ? 0 : err_fail_memory(e, pixels * (size_t)channels);
    if (result == 0 &&
        train_set_add(l->set, to_channels(&png, channels, wide), channels, png.shape.height,
                      png.shape.width, file->label, file->path, &why))
        result = train_set_skip(l->set, &why, e);
    free(wide);
    free(png.pixels);
    return result;
}

int train_folder_read(const struct train_data_options *o, struct train_set *set, struct err *e)
{
    struct listing l = {.set = set};
    int channels, result = list_folder(&l, o->path, true, e);
    if (result == 0)
        result = survey(&l, &channels, e);
    for (size_t i = 0; i < l.count && result == 0; i++)
        if (l.files[i].path)
            result = keep_picture(&l, &l.files[i], channels, e);
    if (result == 0 && l.others > 0)
        log_line(LOG_INFO, "%s: %zu files whose names do not end in .png were passed over", o->path,
                 l.others);
    for (size_t i = 0; i < l.count; i++)
        free(l.files[i].path);
    free(l.files);
    set->data.names = l.names;
    set->data.classes = l.classes;
    return result;
}
