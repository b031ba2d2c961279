/* PNG, read by libpng from memory.
 *
 * The header is parsed here first, so that a picture that declares absurd sizes is refused before
 * libpng sees it. The chunks are walked here too, and libpng gets those alone that pixels come
 * from: it takes the memory that a chunk declares before it looks for the bytes, also beyond the
 * limit that it can be given, and it unpacks texts and profiles that nobody reads. Its
 * transformations are used without its simplified interface and without gamma, whose handling has
 * had faults; palettes are applied here, because libpng makes black of an index without colour.
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

#define SIGNATURE_BYTES 8
#define HEADER_BYTES 33  /* signature and IHDR */
#define CHUNK_HEAD 8     /* length and name before a chunk's data */
#define CHUNK_TAIL 4     /* the checksum behind them */
#define SURPLUS_MAX 4096 /* bytes of image data that no pixel comes from */

struct read {
    const unsigned char *data;
    size_t length, at;
    size_t chunk_end; /* of the chunk that libpng is reading */
    bool last_row;    /* it is being read, with all that is behind it */
    size_t surplus;   /* bytes that were read since then */
    size_t row_max;   /* bytes of one row before they are packed, at most */
    const char *what;
    struct err failure; /* the first one; code ERR_NONE while all is well */
    png_structp png;
    png_infop info;
    uint8_t *pixels;
    int passes;   /* more than one: interlaced */
    bool indexed; /* the pixels are indices into: */
    png_color colours[PNG_MAX_PALETTE_LENGTH];
    png_byte alphas[PNG_MAX_PALETTE_LENGTH];
    int colour_count, alpha_count;
};

/* libpng's words for a failed allocation are like those for damage. */
static png_voidp on_malloc(png_structp png, png_alloc_size_t size)
{
    struct read *r = png_get_mem_ptr(png);
    void *data = malloc(size);
    if (!data && r->failure.code == ERR_NONE)
        err_fail_memory(&r->failure, size);
    return data;
}

static void on_free(png_structp png, png_voidp data)
{
    (void)png;
    free(data);
}

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

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What pixels come from. Ancillary chunks (a small first letter) may be left out; a critical one
 * that is not known changes the pixels in a manner that is not known. */
static bool is_read(const struct read *r, const unsigned char *name)
{
    static const char known[][5] = {"IHDR", "PLTE", "tRNS", "IDAT", "IEND"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (memcmp(name, known[i], 4) == 0)
            return true;
    for (size_t i = 0; i < 4; i++)
        if ((name[i] | 32) < 'a' || (name[i] | 32) > 'z')
            png_error(r->png, "a chunk has a name that is not four letters");
    if (name[0] < 'a')
        png_error(r->png, "it has a critical chunk that is not known");
    return false;
}

/* Goes to the next chunk for libpng. Every length is held against what is left. */
static void next_chunk(struct read *r)
{
    for (;;) {
        const size_t left = r->length - r->at;
        if (left < CHUNK_HEAD)
            png_error(r->png, "it ends too early");
        const unsigned char *head = r->data + r->at;
        const uint32_t declared = big_endian(head);
        const bool read = is_read(r, head + 4);
        if (left < CHUNK_HEAD + CHUNK_TAIL || declared > left - CHUNK_HEAD - CHUNK_TAIL) {
            err_fail(&r->failure, ERR_INPUT, r->what,
                     "is a damaged PNG file: its chunk %.4s declares %u bytes, and the file ends "
                     "before",
                     (const char *)head + 4, declared);
            png_error(r->png, "chunk too long");
        }
        r->chunk_end = r->at + CHUNK_HEAD + declared + CHUNK_TAIL;
        if (read)
            return;
        r->at = r->chunk_end;
    }
}

/* libpng asks for a chunk's head, data and checksum one by one, never beyond a chunk's end. */
static void on_read(png_structp png, png_bytep out, size_t length)
{
    struct read *r = png_get_io_ptr(png);
    if (r->at == r->chunk_end)
        next_chunk(r);
    if (length > r->chunk_end - r->at)
        png_error(png, "it ends too early");
    r->surplus += r->last_row ? length : 0;
    if (r->surplus > SURPLUS_MAX + 2 * r->row_max)
        png_error(png, "more data follow than its pixels need");
    memcpy(out, r->data + r->at, length);
    r->at += length;
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

/* Everything to 8 bits a channel; palettes, which libpng frees with the rest, are kept. */
static void set_transformations(struct read *r)
{
    png_colorp colours = NULL;
    png_bytep alphas = NULL;
    r->indexed = png_get_color_type(r->png, r->info) == PNG_COLOR_TYPE_PALETTE;
    if (r->indexed) {
        png_set_packing(r->png);
        png_get_PLTE(r->png, r->info, &colours, &r->colour_count);
        png_get_tRNS(r->png, r->info, &alphas, &r->alpha_count, NULL);
        memcpy(r->colours, colours, (size_t)r->colour_count * sizeof *colours);
        memset(r->alphas, 255, sizeof r->alphas);
        if (alphas)
            memcpy(r->alphas, alphas, (size_t)r->alpha_count);
    } else {
        png_set_scale_16(r->png);
        png_set_expand(r->png);
    }
    r->passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
}

/* With the last row libpng unpacks all image data that are left, however much that makes; so from
 * there on no more are given than a row can need. */
static void read_rows(struct read *r, size_t row, int height)
{
    r->row_max = 8 * (size_t)png_get_image_width(r->png, r->info); /* four channels of 16 bits */
    for (int pass = 0; pass < r->passes; pass++)
        for (int y = 0; y < height; y++) {
            r->last_row = pass == r->passes - 1 && y == height - 1;
            png_read_row(r->png, r->pixels + (size_t)y * row, NULL);
        }
}

/* What libpng may jump out of. 0 when all pixels are there. */
static int read_guarded(struct read *r, struct image_png *out)
{
    size_t row, bytes;
    if (setjmp(png_jmpbuf(r->png)))
        return -1;
    png_set_read_fn(r->png, r, on_read);
    png_set_user_limits(r->png, 0x7fffffff, 0x7fffffff); /* the header has been checked */
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
    if (!r->pixels) {
        err_fail_memory(&r->failure, bytes);
        png_error(r->png, "no memory");
    }
    read_rows(r, row, out->shape.height);
    png_read_end(r->png, NULL);
    return 0;
}

/* The colours of a palette in the place of its indices. */
static int apply_palette(struct read *r, struct image_png *out, struct err *e)
{
    const size_t width = (size_t)out->shape.width, pixels = width * (size_t)out->shape.height,
                 channels = r->alpha_count > 0 ? 4 : 3;
    size_t bytes;
    uint8_t *wide = size_mul(pixels, channels, &bytes) ? malloc(bytes) : NULL;
    if (!wide)
        return err_fail_memory(e, pixels * channels);
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t index = r->pixels[i];
        if (index >= r->colour_count) {
            free(wide);
            return err_fail(e, ERR_INPUT, r->what,
                            "is a damaged PNG file: colour %d at column %zu, row %zu, of a palette "
                            "that has %d",
                            index, i % width, i / width, r->colour_count);
        }
        const png_color *c = &r->colours[index];
        const uint8_t pixel[4] = {c->red, c->green, c->blue, r->alphas[index]};
        memcpy(wide + i * channels, pixel, channels);
    }
    free(r->pixels);
    r->pixels = wide;
    out->shape.channels = (int)channels;
    return 0;
}

int image_png_read(const void *data, size_t length, int side_max, const char *what,
                   struct image_png *out, struct err *e)
{
    struct read r = {.data = data, .length = length, .what = what, .chunk_end = SIGNATURE_BYTES};
    *out = (struct image_png){0};
    if (check_header(&r, side_max, e) != 0)
        return -1;
    r.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning, &r, on_malloc,
                                     on_free);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    if (!r.info) {
        png_destroy_read_struct(&r.png, NULL, NULL);
        return err_fail_memory(e, 1024);
    }
    int result = read_guarded(&r, out);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    if (result == 0 && r.failure.code != ERR_NONE) /* an allocation that libpng can do without */
        result = -1;
    if (result == 0 && r.indexed)
        result = apply_palette(&r, out, &r.failure);
    if (result != 0) {
        free(r.pixels);
        *out = (struct image_png){0};
        return err_pass(e, &r.failure);
    }
    out->pixels = r.pixels;
    return 0;
}

/* One pixel of `from` channels to `to` channels; false when that would lose something beside its
 * alpha. */
static bool fit_pixel(const uint8_t *pixel, int from, int to, uint8_t *out)
{
    const bool grey = from <= 2;
    for (int c = 0; c < to; c++)
        out[c] = pixel[grey ? 0 : c];
    return grey || to == 3 || (pixel[1] == pixel[0] && pixel[2] == pixel[0]);
}

static uint8_t alpha_of(const struct image_png *png, size_t i)
{
    const size_t channels = (size_t)png->shape.channels;
    return channels % 2 == 1 ? 255 : png->pixels[i * channels + channels - 1];
}

/* A picture of the shape's sides and any channels. */
static int read_sized(const void *data, size_t length, struct image_shape shape, const char *what,
                      struct image_png *png, struct err *e)
{
    if (image_png_read(data, length, shape.width > shape.height ? shape.width : shape.height, what,
                       png, e) != 0)
        return -1;
    if (png->shape.width == shape.width && png->shape.height == shape.height)
        return 0;
    free(png->pixels);
    return err_fail(e, ERR_INPUT, what, "has %d×%d pixels, %d×%d are needed", png->shape.width,
                    png->shape.height, shape.width, shape.height);
}

int image_png_read_cut(const void *data, size_t length, struct image_shape shape, const char *what,
                       uint8_t *pixels, uint8_t *solid, struct err *e)
{
    struct image_png png;
    if (read_sized(data, length, shape, what, &png, e) != 0)
        return -1;
    const int from = png.shape.channels, to = shape.channels;
    const size_t plane = (size_t)shape.width * (size_t)shape.height;
    int result = 0;
    for (size_t i = 0; i < plane && result == 0; i++) {
        const uint8_t alpha = alpha_of(&png, i);
        const bool fits =
            fit_pixel(png.pixels + i * (size_t)from, from, to, pixels + i * (size_t)to);
        if (solid)
            solid[i] = alpha >= 128;
        if (!fits || (alpha != 255 && !solid))
            result = err_fail(e, ERR_INPUT, what, "%s at column %zu, row %zu: save it %s",
                              alpha != 255 && !solid ? "is transparent" : "has colour",
                              i % (size_t)shape.width, i / (size_t)shape.width,
                              to == 1 ? "as opaque grey" : "as opaque RGB");
    }
    free(png.pixels);
    return result;
}

int image_png_read_as(const void *data, size_t length, struct image_shape shape, const char *what,
                      uint8_t *pixels, struct err *e)
{
    return image_png_read_cut(data, length, shape, what, pixels, NULL, e);
}

int image_png_read_mask(const void *data, size_t length, struct image_shape shape, bool alpha_only,
                        const char *what, uint8_t *set, struct err *e)
{
    struct image_png png;
    if (read_sized(data, length, shape, what, &png, e) != 0)
        return -1;
    const size_t channels = (size_t)png.shape.channels,
                 plane = (size_t)shape.width * (size_t)shape.height;
    const bool has_alpha = channels % 2 == 0;
    for (size_t i = 0; i < plane; i++) {
        const uint8_t *pixel = png.pixels + i * channels;
        const int sum = channels <= 2 ? 3 * pixel[0] : pixel[0] + pixel[1] + pixel[2];
        set[i] = alpha_of(&png, i) >= 128 && (alpha_only || sum >= 3 * 128);
    }
    free(png.pixels);
    return has_alpha || !alpha_only
               ? 0
               : err_fail(e, ERR_INPUT, what,
                          "has no transparency, which says what is to be changed: save it with an "
                          "alpha channel");
}
