/* PNG, written by libpng into memory.
 *
 * The seed rule promises equal bytes for equal images, and a client's digest is of the whole file.
 * So everything that libpng may choose is fixed here: no filter, deflate level 6 with the default
 * strategy, memory level and window; no time, no software name, no physical size, no gamma.
 * Samples of a generator have hardly any structure that filters would find, and small pictures are
 * what is served; "no filter" is also the setting that no libpng version has ever varied.
 *
 * libpng reports failure by longjmp. Between setjmp and the jump there are only libpng's frames and
 * encode_guarded's, which owns nothing: what must be freed belongs to image_png_encode. Warnings
 * count as failures, because libpng warns when it leaves something out.
 *
 * No state is kept; any thread may call it. */
#include "image.h"

#include "base_text.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define PNG_TEXT_MAX (64u << 10)
#define PNG_KEY_MAX 79 /* PNG specification, 11.3.4.3 */

struct encode {
    const uint8_t *pixels;
    struct image_shape shape;
    const char *text_key, *text;
    bool utf8; /* the text does not fit ASCII and goes into iTXt */
    struct buf *out;
    struct err failure; /* the first one; code ERR_NONE while all is well */
    png_structp png;
    png_infop info;
};

/* libpng's words for a failed allocation are of many kinds, "too many text chunks" among them. */
static png_voidp on_malloc(png_structp png, png_alloc_size_t size)
{
    struct encode *en = png_get_mem_ptr(png);
    void *data = malloc(size);
    if (!data && en->failure.code == ERR_NONE)
        err_fail_memory(&en->failure, size);
    return data;
}

static void on_free(png_structp png, png_voidp data)
{
    (void)png;
    free(data);
}

static void on_error(png_structp png, png_const_charp message)
{
    struct encode *en = png_get_error_ptr(png);
    if (en->failure.code == ERR_NONE)
        err_fail(&en->failure, ERR_INTERNAL, "PNG", "libpng: %s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    struct encode *en = png_get_error_ptr(png);
    if (en->failure.code == ERR_NONE)
        err_fail(&en->failure, ERR_INTERNAL, "PNG", "libpng warns: %s", message);
}

static void on_write(png_structp png, png_bytep data, size_t length)
{
    struct encode *en = png_get_io_ptr(png);
    if (buf_append(en->out, data, length, &en->failure) != 0)
        png_error(png, "no room for the picture");
}

static void on_flush(png_structp png)
{
    (void)png; /* memory needs none */
}

static void put_text(struct encode *en)
{
    png_text text;
    memset(&text, 0, sizeof text);
    text.compression = en->utf8 ? PNG_ITXT_COMPRESSION_NONE : PNG_TEXT_COMPRESSION_NONE;
    /* libpng's struct wants char *, and copies both. */
    text.key = (png_charp)(uintptr_t)en->text_key;
    text.text = (png_charp)(uintptr_t)en->text;
    text.text_length = en->utf8 ? 0 : strlen(en->text);
    text.itxt_length = en->utf8 ? strlen(en->text) : 0;
    png_set_text(en->png, en->info, &text, 1);
}

static int encode_guarded(struct encode *en)
{
    size_t stride = (size_t)en->shape.width * (size_t)en->shape.channels;
    if (setjmp(png_jmpbuf(en->png)))
        return -1;
    png_set_write_fn(en->png, en, on_write, on_flush);
    png_set_IHDR(en->png, en->info, (png_uint_32)en->shape.width, (png_uint_32)en->shape.height, 8,
                 en->shape.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_BASE, PNG_FILTER_TYPE_BASE);
    png_set_filter(en->png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
    png_set_compression_level(en->png, 6);
    png_set_compression_strategy(en->png, 0); /* Z_DEFAULT_STRATEGY */
    png_set_compression_mem_level(en->png, 8);
    png_set_compression_window_bits(en->png, 15);
    png_set_compression_buffer_size(en->png, 8192); /* also the size of an IDAT chunk */
    if (en->text_key)
        put_text(en);
    png_write_info(en->png, en->info);
    for (int y = 0; y < en->shape.height; y++)
        png_write_row(en->png, en->pixels + (size_t)y * stride);
    png_write_end(en->png, NULL);
    return en->failure.code == ERR_NONE ? 0 : -1;
}

static int check_shape(struct image_shape s, struct err *e)
{
    if (s.channels != 1 && s.channels != 3)
        return err_fail(e, ERR_UNSUPPORTED, "PNG",
                        "an image of %d channels cannot be a PNG (1 or 3); write .npy instead",
                        s.channels);
    if (s.width < 1 || s.height < 1)
        return err_fail(e, ERR_INPUT, "PNG", "an image of %d×%d pixels is empty", s.width,
                        s.height);
    if (s.width > IMAGE_SIDE_MAX || s.height > IMAGE_SIDE_MAX ||
        image_shape_count(s) > IMAGE_PIXELS_MAX)
        return err_fail(
            e, ERR_LIMIT, "PNG",
            "an image of %d×%d pixels is over the limits of %d a side and %u bytes in all", s.width,
            s.height, IMAGE_SIDE_MAX, IMAGE_PIXELS_MAX);
    return 0;
}

/* A keyword is printable, without spaces at its ends or two in a row (we take ASCII only). */
static int check_key(const char *key, struct err *e)
{
    size_t length = strlen(key);
    if (length < 1 || length > PNG_KEY_MAX)
        return err_fail(e, ERR_INPUT, "PNG text", "a keyword has 1 to %d characters, this one %zu",
                        PNG_KEY_MAX, length);
    for (size_t i = 0; i < length; i++) {
        if (key[i] < 0x20 || key[i] > 0x7e)
            return err_fail(e, ERR_INPUT, "PNG text",
                            "the keyword holds byte 0x%02x, not a printable "
                            "ASCII character",
                            (unsigned)(unsigned char)key[i]);
        if (key[i] == ' ' && (i == 0 || i + 1 == length || key[i + 1] == ' '))
            return err_fail(e, ERR_INPUT, "PNG text",
                            "the keyword has a space at an end or two in a row");
    }
    return 0;
}

static int check_text(const char *text, bool *utf8, struct err *e)
{
    size_t length = strlen(text);
    if (length > PNG_TEXT_MAX)
        return err_fail(e, ERR_LIMIT, "PNG text", "the text has %zu bytes, the limit is %u", length,
                        PNG_TEXT_MAX);
    *utf8 = false;
    for (size_t i = 0; i < length;) {
        size_t step = text_sequence(text + i);
        if (step == 0 || (step == 1 && (text[i] < 0x20 || text[i] == 0x7f) && text[i] != '\n'))
            return err_fail(e, ERR_INPUT, "PNG text", "byte 0x%02x at %zu is not text in UTF-8",
                            (unsigned)(unsigned char)text[i], i);
        *utf8 |= step > 1;
        i += step;
    }
    return 0;
}

int image_png_encode(const uint8_t *pixels, struct image_shape shape, const char *text_key,
                     const char *text, struct buf *out, struct err *e)
{
    struct encode en = {.pixels = pixels, .shape = shape, .out = out};
    size_t before = out->length;
    int result = -1;
    if (check_shape(shape, e) != 0)
        return -1;
    if (text_key && text) {
        if (check_key(text_key, e) != 0 || check_text(text, &en.utf8, e) != 0)
            return -1;
        en.text_key = text_key;
        en.text = text;
    }
    en.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &en, on_error, on_warning, &en,
                                       on_malloc, on_free);
    if (en.png)
        en.info = png_create_info_struct(en.png);
    if (en.info)
        result = encode_guarded(&en);
    else if (en.failure.code == ERR_NONE)
        err_fail(&en.failure, ERR_MEMORY, "PNG", "no memory for libpng's state");
    png_destroy_write_struct(&en.png, &en.info);
    if (result != 0) {
        out->length = before;
        if (out->data)
            out->data[before] = '\0';
        if (e)
            *e = en.failure;
    }
    return result;
}
