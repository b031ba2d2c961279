/* Gathering images into a set: crop, resize, the one shape, labels, and what is skipped. */
#include "base_log.h"
#include "base_size.h"
#include "data_source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- resizing ---- */

/* One axis: `lines` lines of `length` numbers, `step` floats apart within a line and `stride`
 * between lines' beginnings, in groups of `channels`. */
struct axis {
    size_t lines, length, out_length, channels;
};

static double triangle(double x)
{
    x = x < 0 ? -x : x;
    return x < 1 ? 1 - x : 0;
}

/* in [lines][length][channels] to out [lines][out_length][channels]. */
static void resize_axis(const struct axis *a, const float *in, float *out)
{
    double scale = (double)a->length / (double)a->out_length, wide = scale > 1 ? scale : 1;
    for (size_t o = 0; o < a->out_length; o++) {
        double center = ((double)o + 0.5) * scale;
        double low = center - wide, high = center + wide;
        size_t first = low > 0 ? (size_t)low : 0;
        size_t last = high < (double)a->length ? (size_t)high + 1 : a->length;
        double total = 0;
        last = last > a->length ? a->length : last;
        for (size_t i = first; i < last; i++)
            total += triangle(((double)i + 0.5 - center) / wide);
        for (size_t l = 0; l < a->lines; l++)
            for (size_t c = 0; c < a->channels; c++) {
                double sum = 0;
                for (size_t i = first; i < last; i++)
                    sum += triangle(((double)i + 0.5 - center) / wide) *
                           (double)in[(l * a->length + i) * a->channels + c];
                out[(l * a->out_length + o) * a->channels + c] = (float)(sum / total);
            }
    }
}

int data_resize(const uint8_t *pixels, int channels, int height, int width, int out_height,
                int out_width, uint8_t *out, struct err *e)
{
    size_t c = (size_t)channels, h = (size_t)height, w = (size_t)width;
    size_t oh = (size_t)out_height, ow = (size_t)out_width;
    float *whole = calloc(h * w * c, sizeof *whole), *narrow = calloc(h * ow * c, sizeof *narrow);
    float *small = calloc(oh * ow * c, sizeof *small);
    int result = 0;
    if (!whole || !narrow || !small) {
        result = err_fail_memory(e, (h * w + h * ow + oh * ow) * c * sizeof *whole);
    } else {
        const struct axis across = {h, w, ow, c}, down = {1, h, oh, ow * c};
        for (size_t i = 0; i < h * w * c; i++)
            whole[i] = pixels[i];
        resize_axis(&across, whole, narrow);
        resize_axis(&down, narrow, small);
        for (size_t i = 0; i < oh * ow * c; i++)
            out[i] = (uint8_t)(small[i] + 0.5f);
    }
    free(whole);
    free(narrow);
    free(small);
    return result;
}

/* ---- adding ---- */

static int make_room(struct data_draft *set, size_t size, struct err *e)
{
    struct data_set *d = &set->data;
    if (d->count < set->capacity)
        return 0;
    const size_t limit = set->bytes_max ? set->bytes_max : DATA_BYTES_MAX, most = limit / size;
    set->full = d->count >= most;
    if (set->full)
        return err_fail(e, ERR_LIMIT, set->options->path,
                        "more than %zu images of this size do not fit: at most %zu GB of pixels; "
                        "make them smaller (--resize), or give fewer",
                        most, DATA_BYTES_MAX >> 30);
    size_t capacity = set->capacity == 0 ? 64 : set->capacity < most / 2 ? 2 * set->capacity : most;
    capacity = capacity < most ? capacity : most;
    const size_t bytes = capacity * size;
    uint8_t *pixels = realloc(d->pixels, bytes);
    if (pixels)
        d->pixels = pixels;
    int32_t *label = realloc(d->label, capacity * sizeof *label);
    if (label)
        d->label = label;
    if (!pixels || !label)
        return err_fail_memory(e, bytes);
    set->capacity = capacity;
    return 0;
}

/* The middle `*height` × `*width` of an image to `out` [h,w,C]. */
static void crop(const uint8_t *pixels, int channels, int height, int width, int h, int w,
                 uint8_t *out)
{
    size_t row = (size_t)w * (size_t)channels;
    for (int y = 0; y < h; y++)
        memcpy(out + (size_t)y * row,
               pixels +
                   ((size_t)(y + (height - h) / 2) * (size_t)width + (size_t)((width - w) / 2)) *
                       (size_t)channels,
               row);
}

/* `work` holds the image [height,width,C] and, behind it, room for the result. */
static int shape_image(const struct data_options *o, uint8_t *work, size_t bytes, int channels,
                       int *height, int *width, const uint8_t **result, const char *what,
                       struct err *e)
{
    uint8_t *out = work + bytes;
    *result = work;
    if (o->center_crop > 0) {
        if (*height < o->center_crop || *width < o->center_crop)
            return err_fail(e, ERR_INPUT, what, "is %d×%d, too small to crop %d×%d from its middle",
                            *width, *height, o->center_crop, o->center_crop);
        crop(work, channels, *height, *width, o->center_crop, o->center_crop, out);
        memcpy(work, out, (size_t)o->center_crop * (size_t)o->center_crop * (size_t)channels);
        *height = *width = o->center_crop;
    }
    if (o->resize > 0 && *height != *width)
        return err_fail(e, ERR_INPUT, what, "is %d×%d, not square: crop it first (--center-crop)",
                        *width, *height);
    if (o->resize > 0 && *height != o->resize) {
        if (data_resize(work, channels, *height, *width, o->resize, o->resize, out, e) != 0)
            return -1;
        *height = *width = o->resize;
        *result = out;
    }
    if (*height != *width)
        return err_fail(e, ERR_INPUT, what,
                        "is %d×%d, not square: use --center-crop or --resize after it", *width,
                        *height);
    return 0;
}

static int add_shaped(struct data_draft *set, const uint8_t *pixels, int channels, int side,
                      int32_t label, const char *what, struct err *e)
{
    struct data_set *d = &set->data;
    size_t c = (size_t)channels, area = (size_t)side * (size_t)side;
    if (d->count == 0) {
        d->channels = channels;
        d->side = side;
    } else if (d->channels != channels || d->side != side) {
        return err_fail(e, ERR_INPUT, what,
                        "is %d×%d with %d channels, the images before it are %d×%d with %d: make "
                        "all alike (--resize, --center-crop)",
                        side, side, channels, d->side, d->side, d->channels);
    }
    if (make_room(set, c * area, e) != 0)
        return -1;
    uint8_t *to = d->pixels + d->count * c * area;
    for (size_t i = 0; i < area; i++)
        for (size_t k = 0; k < c; k++)
            to[k * area + i] = pixels[i * c + k];
    d->label[d->count++] = label;
    return 0;
}

int data_draft_add(struct data_draft *set, const uint8_t *pixels, int channels, int height,
                   int width, int32_t label, const char *what, struct err *e)
{
    const struct data_options *o = set->options;
    size_t bytes, room = (size_t)(o->resize > 0 ? o->resize : 0);
    if (height < 1 || width < 1 ||
        !size_mul((size_t)height * (size_t)width, (size_t)channels, &bytes))
        return err_fail(e, ERR_INPUT, what, "has no pixels");
    if (o->center_crop == 0 && o->resize == 0) {
        if (height != width)
            return err_fail(e, ERR_INPUT, what,
                            "is %d×%d, not square: use --center-crop, then --resize", width,
                            height);
        return add_shaped(set, pixels, channels, height, label, what, e);
    }
    room = room * room * (size_t)channels + bytes;
    uint8_t *work = malloc(bytes + room);
    const uint8_t *shaped;
    if (!work)
        return err_fail_memory(e, bytes + room);
    memcpy(work, pixels, bytes);
    int result = shape_image(o, work, bytes, channels, &height, &width, &shaped, what, e);
    if (result == 0)
        result = add_shaped(set, shaped, channels, height, label, what, e);
    free(work);
    return result;
}

int data_draft_number_classes(struct data_draft *set, int count, struct err *e)
{
    struct data_set *d = &set->data;
    d->names = calloc((size_t)count, sizeof *d->names);
    if (!d->names)
        return err_fail_memory(e, (size_t)count * sizeof *d->names);
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        d->names[i] = strdup(name);
        if (!d->names[i])
            return err_fail_memory(e, sizeof name);
        d->classes++;
    }
    return 0;
}

int data_draft_skip(struct data_draft *set, const struct err *why, struct err *e)
{
    char line[1100];
    bool forgiven =
        why->code == ERR_INPUT || why->code == ERR_UNSUPPORTED || why->code == ERR_LIMIT;
    if (set->options->strict || !forgiven || set->full)
        return err_pass(e, why);
    log_line(LOG_WARN, "skipped %s", err_line(why, line, sizeof line));
    set->data.skipped++;
    return 0;
}

const char *data_kind_of(const void *data, size_t length)
{
    static const struct {
        const char *bytes;
        size_t length;
        const char *kind;
    } kinds[] = {
        {"\x89PNG\r\n\x1a\n", 8, "a PNG file"},
        {"\xff\xd8\xff", 3, "a JPEG file"},
        {"GIF8", 4, "a GIF file"},
        {"RIFF", 4, "a RIFF file, such as WebP"},
        {"BM", 2, "a BMP file"},
        {"\x93NUMPY", 6, "a NPY file"},
        {"PK\x03\x04", 4, "a ZIP archive"},
        {"\x1f\x8b", 2, "a gzip file"},
        {"%PDF", 4, "a PDF file"},
        {"II*", 3, "a TIFF file"},
        {"MM", 2, "a TIFF file"},
        {"version https://git-lfs", 23, "a git-lfs pointer"},
        {"\x00\x05\x16\x07", 4, "an AppleDouble file"},
    };
    if (length == 0)
        return "nothing: the file is empty";
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (length >= kinds[i].length && memcmp(data, kinds[i].bytes, kinds[i].length) == 0)
            return kinds[i].kind;
    return "bytes of no known kind";
}
