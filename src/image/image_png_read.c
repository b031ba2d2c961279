/* PNG, read by libpng from memory.
 *
 * The header is parsed here first, so that a picture that declares absurd sizes is refused before
 * libpng sees it; libpng gets limits of its own for everything else (chunks of text and profiles).
 * Its transformations are used without its simplified interface and without gamma, whose handling
 * has had faults.
 *
 * libpng reports failure by longjmp. Between setjmp and the jump there are only libpng's frames and
 * read_guarded's, which owns nothing. Warnings are not failures: strangers' files have odd chunks.
 * No state is kept; any thread may call it. */
#include "image_png_read.h"
#include "base_size.h"
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES_MAX (1u << 20) /* of text, profiles and the like */
#define CHUNKS_MAX 128
#define HEADER_BYTES 33 /* signature and IHDR */

struct read {
    const unsigned char *data;
    size_t length, at;
    const char *what;
    struct err failure; /* the first one; code ERR_NONE while all is well */
    png_structp png;
    png_infop info;
    uint8_t *pixels;
    png_bytep *rows;
};

static void on_error(png_structp png, png_const_charp message)
{
    struct read *r = png_get_error_ptr(png);
    if (r->failure.code == ERR_NONE)
        err_fail(&r->failure, ERR_INPUT, r->what, "is a damaged PNG file: %s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_read(png_structp png, png_bytep out, size_t length)
{
    struct read *r = png_get_io_ptr(png);
    if (length > r->length - r->at)
        png_error(png, "it ends too early");
    memcpy(out, r->data + r->at, length);
    r->at += length;
}

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int check_header(const struct read *r, int side_max, struct err *e)
{
    static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (r->length < HEADER_BYTES || memcmp(r->data, signature, sizeof signature) != 0 ||
        memcmp(r->data + 12, "IHDR", 4) != 0)
        return err_fail(e, ERR_INPUT, r->what, "is not a PNG file, or ends within its header");
    uint32_t width = big_endian(r->data + 16), height = big_endian(r->data + 20);
    if (width == 0 || height == 0)
        return err_fail(e, ERR_INPUT, r->what, "declares no pixels");
    if (width > (uint32_t)side_max || height > (uint32_t)side_max)
        return err_fail(e, ERR_LIMIT, r->what, "declares %u×%u pixels, the limit is %d a side",
                        width, height, side_max);
    return 0;
}

/* Everything to 8 bits a channel without a palette. */
static void set_transformations(struct read *r)
{
    png_set_user_limits(r->png, 0x7fffffff, 0x7fffffff); /* the header has been checked */
    png_set_scale_16(r->png);
    png_set_expand(r->png);
    png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
}

/* What libpng may jump out of. 0 when all pixels are there. */
static int read_guarded(struct read *r, struct image_png *out)
{
    size_t row, bytes;
    if (setjmp(png_jmpbuf(r->png)))
        return -1;
    png_set_read_fn(r->png, r, on_read);
    png_set_chunk_malloc_max(r->png, CHUNK_BYTES_MAX);
    png_set_chunk_cache_max(r->png, CHUNKS_MAX);
    png_read_info(r->png, r->info);
    set_transformations(r);
    out->shape.channels = png_get_channels(r->png, r->info);
    out->shape.width = (int)png_get_image_width(r->png, r->info);
    out->shape.height = (int)png_get_image_height(r->png, r->info);
    row = png_get_rowbytes(r->png, r->info);
    if (row != (size_t)out->shape.width * (size_t)out->shape.channels)
        png_error(r->png, "its rows have another size than its header says");
    if (!size_mul(row, (size_t)out->shape.height, &bytes))
        png_error(r->png, "its size overflows");
    r->pixels = calloc(bytes, 1);
    r->rows = calloc((size_t)out->shape.height, sizeof *r->rows);
    if (!r->pixels || !r->rows) {
        err_fail_memory(&r->failure, bytes);
        png_error(r->png, "no memory");
    }
    for (int y = 0; y < out->shape.height; y++)
        r->rows[y] = r->pixels + (size_t)y * row;
    png_read_image(r->png, r->rows);
    png_read_end(r->png, NULL);
    return 0;
}

int image_png_read(const void *data, size_t length, int side_max, const char *what,
                   struct image_png *out, struct err *e)
{
    struct read r = {.data = data, .length = length, .what = what};
    *out = (struct image_png){0};
    if (check_header(&r, side_max, e))
        return -1;
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    if (!r.info) {
        png_destroy_read_struct(&r.png, NULL, NULL);
        return err_fail_memory(e, 1024);
    }
    int result = read_guarded(&r, out);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    free(r.rows);
    if (result) {
        free(r.pixels);
        *out = (struct image_png){0};
        return err_fail(e, r.failure.code, r.failure.at, "%s", r.failure.text);
    }
    out->pixels = r.pixels;
    return 0;
}

/* One pixel of `from` channels to `to` channels; false when that would lose something. */
static bool fit_pixel(const uint8_t *pixel, int from, int to, uint8_t *out)
{
    const bool grey = from <= 2, opaque = from % 2 == 1 || pixel[from - 1] == 255;
    for (int c = 0; c < to; c++)
        out[c] = pixel[grey ? 0 : c];
    return opaque && (grey || to == 3 || (pixel[1] == pixel[0] && pixel[2] == pixel[0]));
}

int image_png_read_as(const void *data, size_t length, struct image_shape shape, const char *what,
                      uint8_t *pixels, struct err *e)
{
    struct image_png png;
    int bad = image_png_read(data, length, shape.width > shape.height ? shape.width : shape.height,
                             what, &png, e);
    if (bad)
        return -1;
    const int from = png.shape.channels, to = shape.channels;
    const size_t plane = (size_t)shape.width * (size_t)shape.height;
    if (png.shape.width != shape.width || png.shape.height != shape.height)
        bad = err_fail(e, ERR_INPUT, what, "has %d×%d pixels, %d×%d are needed", png.shape.width,
                       png.shape.height, shape.width, shape.height);
    for (size_t i = 0; i < plane && !bad; i++)
        if (!fit_pixel(png.pixels + i * (size_t)from, from, to, pixels + i * (size_t)to))
            bad = err_fail(e, ERR_INPUT, what, "%s at column %zu, row %zu: save it %s",
                           from % 2 == 0 && png.pixels[i * (size_t)from + (size_t)from - 1] != 255
                               ? "is transparent"
                               : "has colour",
                           i % (size_t)shape.width, i / (size_t)shape.width,
                           to == 1 ? "as opaque grey" : "as opaque RGB");
    free(png.pixels);
    return bad;
}
