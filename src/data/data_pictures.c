/* From a list of names to a set of pictures.
 *
 * Rules. Where a folder holds pictures, each folder is a class, named as the folder, numbers in the
 * order of their values; pictures beside the folders have no class; where dataset.json lists the
 * classes, folders count for nothing. All pictures become grey if all of them are, else RGB (grey
 * is repeated). Alpha is blended onto black. So the set depends on names and contents only. */
#include "data_pictures.h"
#include "base_file.h"
#include "base_json.h"
#include "base_log.h"
#include "image_png_read.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define PNG_SIDE_MAX 8192
#define PNG_BYTES_MAX ((uint64_t)1 << 30) /* of a member of an archive */

bool data_picture_named(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcasecmp(name + n - 4, ".png") == 0;
}

char *data_listing_path(const struct data_listing *l, const char *name, struct err *e)
{
    const char *folder = l->options->path;
    char *path = NULL;
    if (asprintf(&path, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", name) >= 0)
        return path;
    err_fail_memory(e, strlen(folder) + strlen(name) + 2);
    return NULL;
}

int data_listing_add(struct data_listing *l, const char *name, size_t member, struct err *e)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 256;
        struct data_picture *grown = reallocarray(l->pictures, capacity, sizeof *grown);
        if (!grown)
            return err_fail_memory(e, capacity * sizeof *grown);
        l->pictures = grown;
        l->capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy)
        return err_fail_memory(e, strlen(name) + 1);
    l->pictures[l->count++] = (struct data_picture){.name = copy, .member = member, .label = -1};
    return 0;
}

int data_listing_folder(struct data_listing *l, const char *name, size_t length, struct err *e)
{
    const char *last = l->folder_count > 0 ? l->folders[l->folder_count - 1] : NULL;
    if (last && strncmp(last, name, length) == 0 && !last[length])
        return 0;
    char **grown = reallocarray(l->folders, l->folder_count + 1, sizeof *grown);
    if (!grown)
        return err_fail_memory(e, (l->folder_count + 1) * sizeof *grown);
    l->folders = grown;
    grown[l->folder_count] = strndup(name, length);
    return grown[l->folder_count++] ? 0 : err_fail_memory(e, length + 1);
}

/* Whether it is a picture by its ending, which here is none of ours. */
static bool ends_as_picture(const char *name)
{
    static const char *const endings[] = {"jpg",  "jpeg", "jpe", "jfif", "gif",
                                          "webp", "bmp",  "tif", "tiff", "avif",
                                          "heic", "jxl",  "jp2", "ppm",  "pgm"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot + 1, endings[i]) == 0)
            return true;
    return false;
}

int data_listing_pass(struct data_listing *l, const char *name, const void *head, size_t length,
                      struct err *e)
{
    const bool png = length >= 8 && memcmp(head, "\x89PNG\r\n\x1a\n", 8) == 0;
    const bool other = (length >= 3 && memcmp(head, "\xff\xd8\xff", 3) == 0) ||
                       (length >= 4 && memcmp(head, "GIF8", 4) == 0) ||
                       (length >= 12 && memcmp((const char *)head + 8, "WEBP", 4) == 0);
    struct err why = {0};
    if (!png && !other && !ends_as_picture(name)) {
        l->others++;
        return 0;
    }
    char *path = data_listing_path(l, name, e);
    if (!path)
        return -1;
    err_fail(&why, ERR_UNSUPPORTED, path,
             png ? "is a PNG file whose name does not end in .png: rename it"
                 : "is a picture and no PNG file: convert it");
    free(path);
    return data_draft_skip(l->set, &why, e);
}

static int skip(struct data_listing *l, struct data_picture *p, struct err *why, struct err *e)
{
    p->out = true;
    return data_draft_skip(l->set, why, e);
}

/* ---- dataset.json ---- */

/* One entry, [name, label], into the object of labels by name. */
static int take_entry(json_t *by_name, const json_t *entry, size_t number, int *classes,
                      const char *what, struct err *e)
{
    const char *name = json_string_value(json_array_get(entry, 0));
    const json_t *label = json_array_get(entry, 1);
    if (!name || json_array_size(entry) != 2)
        return err_fail(e, ERR_INPUT, what,
                        "\"labels\" element %zu is no pair of a name and a label", number);
    if (!json_is_integer(label) || json_integer_value(label) < 0 ||
        json_integer_value(label) >= DATA_CLASSES_MAX)
        return err_fail(
            e, ERR_UNSUPPORTED, what,
            "\"labels\" element %zu: the label of %.200s is no number of a class from 0 "
            "to %d",
            number, name, DATA_CLASSES_MAX - 1);
    if (json_integer_value(label) >= *classes)
        *classes = (int)json_integer_value(label) + 1;
    char *slashed = strdup(name);
    if (!slashed)
        return err_fail_memory(e, strlen(name) + 1);
    for (char *c = slashed; *c; c++)
        if (*c == '\\') /* written on Windows */
            *c = '/';
    int result = json_object_set_new(by_name, slashed, json_integer(json_integer_value(label)));
    free(slashed);
    return result != 0 ? err_fail_memory(e, 256) : 0;
}

static int apply_labels(struct data_listing *l, const json_t *by_name, const char *what,
                        struct err *e)
{
    for (size_t i = 0; i < l->count; i++) {
        struct data_picture *p = &l->pictures[i];
        const json_t *label = json_object_get(by_name, p->name);
        struct err why = {0};
        p->label = label ? (int32_t)json_integer_value(label) : -1;
        if (label)
            continue;
        char *path = data_listing_path(l, p->name, e);
        if (!path)
            return -1;
        err_fail(&why, ERR_INPUT, path, "has no label in %s", what);
        free(path);
        if (skip(l, p, &why, e) != 0)
            return -1;
    }
    return 0;
}

static int read_labels(struct data_listing *l, const json_t *labels, const char *what,
                       struct err *e)
{
    json_t *by_name = json_object();
    int classes = 0, result = by_name ? 0 : err_fail_memory(e, 256);
    if (result == 0 && !json_is_array(labels))
        result = err_fail(e, ERR_INPUT, what, "\"labels\" must be an array or null");
    for (size_t i = 0; i < json_array_size(labels) && result == 0; i++)
        result = take_entry(by_name, json_array_get(labels, i), i, &classes, what, e);
    if (result == 0)
        result = apply_labels(l, by_name, what, e);
    if (result == 0 && classes > 0)
        result = data_draft_number_classes(l->set, classes, e);
    json_decref(by_name);
    return result;
}

int data_listing_label(struct data_listing *l, const void *json, size_t length, bool *listed,
                       struct err *e)
{
    char *what = data_listing_path(l, "dataset.json", e);
    /* a pair, of three values, takes some thirty bytes */
    const struct json_bound bound = {4096 + length / 5, 1024 + length / 16};
    json_t *root = what ? json_parse_bounded(json, length, bound, what, e) : NULL;
    const json_t *labels = json_object_get(root, "labels");
    int result = root ? 0 : -1;
    *listed = labels != NULL;
    if (root && !labels)
        log_line(LOG_WARN, "%s has no member \"labels\" and is passed over", what);
    if (labels && !json_is_null(labels))
        result = read_labels(l, labels, what, e);
    json_decref(root);
    free(what);
    return result;
}

/* ---- order and classes ---- */

/* By folders first, then names, byte by byte: '/' comes before all other bytes. */
static int compare_pictures(const void *a, const void *b)
{
    const unsigned char *x = (const unsigned char *)((const struct data_picture *)a)->name;
    const unsigned char *y = (const unsigned char *)((const struct data_picture *)b)->name;
    for (; *x && *x == *y; x++)
        y++;
    int p = *x == '/' ? 1 : *x ? *x + 1 : 0, q = *y == '/' ? 1 : *y ? *y + 1 : 0;
    return (p > q) - (p < q);
}

int data_class_order(const char *a, const char *b)
{
    size_t m = strspn(a, "0123456789"), n = strspn(b, "0123456789");
    bool p = m > 0 && !a[m], q = n > 0 && !b[n];
    if (p != q)
        return p ? -1 : 1;
    if (!p)
        return strcmp(a, b);
    const char *x = a + strspn(a, "0"), *y = b + strspn(b, "0");
    if (strlen(x) != strlen(y))
        return strlen(x) < strlen(y) ? -1 : 1;
    int order = strcmp(x, y);
    return order ? order : strcmp(a, b);
}

static int compare_names(const void *a, const void *b)
{
    return data_class_order(*(char *const *)a, *(char *const *)b);
}

/* The number of the class called name[0 … length), or -1. */
static int find_class(const struct data_listing *l, const char *name, size_t length)
{
    for (int i = 0; i < l->classes; i++)
        if (strncmp(l->names[i], name, length) == 0 && !l->names[i][length])
            return i;
    return -1;
}

/* The pictures are sorted, so those of a folder follow one another. */
static int collect_classes(struct data_listing *l, struct err *e)
{
    for (size_t i = 0; i < l->count; i++) {
        const char *name = l->pictures[i].name, *slash = strchr(name, '/');
        size_t length = slash ? (size_t)(slash - name) : 0;
        const char *last = l->classes > 0 ? l->names[l->classes - 1] : NULL;
        if (!slash || (last && strncmp(last, name, length) == 0 && !last[length]))
            continue;
        char **grown = reallocarray(l->names, (size_t)l->classes + 1, sizeof *grown);
        if (grown) {
            l->names = grown;
            grown[l->classes] = strndup(name, length);
        }
        if (!grown || !grown[l->classes])
            return err_fail_memory(e, length + 1);
        l->classes++;
    }
    if (l->classes > 0)
        qsort(l->names, (size_t)l->classes, sizeof *l->names, compare_names);
    return 0;
}

/* Folders beside the classes that were found are classes too, without an image. Where no folder
 * holds a picture, none is a class. */
static int collect_empty(struct data_listing *l, struct err *e)
{
    const size_t found = (size_t)l->classes;
    if (found == 0 || l->folder_count == 0)
        return 0;
    qsort(l->folders, l->folder_count, sizeof *l->folders, compare_names);
    for (size_t i = 0; i < l->folder_count; i++) {
        const char *name = l->folders[i];
        if ((i > 0 && strcmp(name, l->folders[i - 1]) == 0) ||
            bsearch(&name, l->names, found, sizeof *l->names, compare_names))
            continue;
        char **grown = reallocarray(l->names, (size_t)l->classes + 1, sizeof *grown);
        if (!grown)
            return err_fail_memory(e, ((size_t)l->classes + 1) * sizeof *grown);
        l->names = grown;
        grown[l->classes] = strdup(name);
        if (!grown[l->classes])
            return err_fail_memory(e, strlen(name) + 1);
        l->classes++;
    }
    qsort(l->names, (size_t)l->classes, sizeof *l->names, compare_names);
    return 0;
}

static int classes_of_folders(struct data_listing *l, struct err *e)
{
    int32_t label = -1;
    if (collect_classes(l, e) != 0 || collect_empty(l, e) != 0)
        return -1;
    for (size_t i = 0; i < l->count; i++) {
        const char *name = l->pictures[i].name, *slash = strchr(name, '/');
        const size_t length = slash ? (size_t)(slash - name) : 0;
        if (slash &&
            (label < 0 || strncmp(l->names[label], name, length) != 0 || l->names[label][length]))
            label = find_class(l, name, length);
        l->pictures[i].label = slash ? label : -1;
    }
    l->set->data.names = l->names;
    l->set->data.classes = l->classes;
    l->names = NULL;
    return 0;
}

/* ---- pictures ---- */

static int read_bytes(const void *data, size_t length, const char *path, struct image_png *out,
                      struct err *e)
{
    const char *kind = data_kind_of(data, length);
    return strcmp(kind, "a PNG file") == 0
               ? image_png_read(data, length, PNG_SIDE_MAX, path, out, e)
               : err_fail(e, ERR_INPUT, path, "is not a PNG file: it holds %s", kind);
}

static int read_file(const char *path, struct image_png *out, struct err *e)
{
    struct file_map m;
    struct stat st;
    bool there;
    if (file_look(path, true, &there, &st, e) != 0)
        return -1;
    if (!there || !S_ISREG(st.st_mode))
        return err_fail(e, ERR_INPUT, path, "is not a regular file");
    if (file_map_open(&m, path, e) != 0)
        return -1;
    int result = read_bytes(m.data, m.length, path, out, e);
    file_map_close(&m);
    return result;
}

static int read_member(struct archive_zip *z, size_t member, const char *path,
                       struct image_png *out, struct err *e)
{
    uint64_t size = archive_zip_size(z, member);
    if (size > PNG_BYTES_MAX)
        return err_fail(e, ERR_LIMIT, path, "has %llu bytes", (unsigned long long)size);
    unsigned char *data = malloc((size_t)size + 1);
    if (!data)
        return err_fail_memory(e, (size_t)size);
    int result = archive_zip_read(z, member, data, (size_t)size, e);
    if (result == 0)
        result = read_bytes(data, (size_t)size, path, out, e);
    free(data);
    return result;
}

static int read_picture(const struct data_listing *l, const struct data_picture *p,
                        struct image_png *out, struct err *e)
{
    char *path = data_listing_path(l, p->name, e);
    if (!path)
        return -1;
    int result = l->zip ? read_member(l->zip, p->member, path, out, e) : read_file(path, out, e);
    free(path);
    return result;
}

/* Alpha away, onto black; then `channels` of 1 or 3, into `wide`. */
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

/* The number of colour channels that the set needs; what cannot be read is out from here on. */
static int survey(struct data_listing *l, int *channels, struct err *e)
{
    *channels = 1;
    for (size_t i = 0; i < l->count; i++) {
        struct image_png png;
        struct err why = {0};
        if (l->pictures[i].out)
            continue;
        if (read_picture(l, &l->pictures[i], &png, &why) != 0) {
            if (skip(l, &l->pictures[i], &why, e) != 0)
                return -1;
            continue;
        }
        if (png.shape.channels >= 3)
            *channels = 3;
        free(png.pixels);
    }
    return 0;
}

static int keep_picture(struct data_listing *l, struct data_picture *p, int channels, struct err *e)
{
    struct image_png png;
    struct err why = {0};
    if (read_picture(l, p, &png, e) != 0)
        return -1;
    size_t pixels = (size_t)png.shape.height * (size_t)png.shape.width;
    uint8_t *wide = malloc(pixels * (size_t)channels);
    char *path = data_listing_path(l, p->name, e);
    int result = wide && path ? 0 : err_fail_memory(e, pixels * (size_t)channels);
    if (result == 0 && data_draft_add(l->set, to_channels(&png, channels, wide), channels,
                                      png.shape.height, png.shape.width, p->label, path, &why) != 0)
        result = skip(l, p, &why, e);
    free(path);
    free(wide);
    free(png.pixels);
    return result;
}

int data_listing_read(struct data_listing *l, bool labelled, struct err *e)
{
    int channels = 1, result = 0;
    if (l->count > 0)
        qsort(l->pictures, l->count, sizeof *l->pictures, compare_pictures);
    if (!labelled)
        result = classes_of_folders(l, e);
    if (result == 0)
        result = survey(l, &channels, e);
    for (size_t i = 0; i < l->count && result == 0; i++)
        if (!l->pictures[i].out)
            result = keep_picture(l, &l->pictures[i], channels, e);
    if (result == 0 && l->others > 0)
        log_line(LOG_INFO, "%s: %zu files whose names do not end in .png were passed over",
                 l->options->path, l->others);
    return result;
}

void data_listing_clear(struct data_listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->pictures[i].name);
    for (size_t i = 0; i < l->folder_count; i++)
        free(l->folders[i]);
    free(l->folders);
    for (int i = 0; l->names && i < l->classes; i++)
        free(l->names[i]);
    free(l->names);
    free(l->pictures);
    *l = (struct data_listing){0};
}
