/* Contact sheets: where a picture lies in a sheet, and how large the sheet is.
 *
 * The shape is computed apart from the placing, so that a request for a sheet can be refused before
 * any image is computed, and images can be placed in whatever order they come. Pictures occupy
 * disjoint places: two threads may place two different pictures into one sheet at a time. */
#include "base_size.h"
#include "image.h"
#include <string.h>

/* (count · side + (count − 1) · gap) · scale, count ≥ 1; or false beyond IMAGE_SIDE_MAX. */
static bool sheet_side(size_t count, int side, int gap, int scale, size_t *out)
{
    size_t pitch, all;
    if (!size_add((size_t)side, (size_t)gap, &pitch) || !size_mul(count, pitch, &all) ||
        !size_mul(all - (size_t)gap, (size_t)scale, &all) || all > IMAGE_SIDE_MAX)
        return false;
    *out = all;
    return true;
}

static int check_grid(struct image_grid grid, struct image_shape one, size_t n, struct err *e)
{
    if (grid.columns < 1)
        return err_fail(e, ERR_INPUT, "columns", "is %d and must be at least 1", grid.columns);
    if (grid.scale < 1)
        return err_fail(e, ERR_INPUT, "scale", "is %d and must be at least 1", grid.scale);
    if (grid.gap < 0)
        return err_fail(e, ERR_INPUT, "gap", "is %d and must be at least 0", grid.gap);
    if (n < 1)
        return err_fail(e, ERR_INPUT, "n", "a sheet needs at least one image");
    if (one.channels < 1 || one.height < 1 || one.width < 1)
        return err_fail(e, ERR_INPUT, "", "an image of %d×%d pixels and %d channels makes no sheet",
                        one.width, one.height, one.channels);
    return 0;
}

int image_grid_shape(struct image_grid grid, struct image_shape one, size_t n,
                     struct image_shape *sheet, struct err *e)
{
    size_t columns, rows, width, height, bytes;
    if (check_grid(grid, one, n, e) != 0)
        return -1;
    columns = (size_t)grid.columns;
    rows = n / columns + (n % columns != 0);
    if (!sheet_side(columns, one.width, grid.gap, grid.scale, &width) ||
        !sheet_side(rows, one.height, grid.gap, grid.scale, &height))
        return err_fail(e, ERR_LIMIT, "",
                        "a sheet of %zu × %zu images at scale %d has a side over %d pixels; take "
                        "fewer images, fewer columns or a smaller scale",
                        columns, rows, grid.scale, IMAGE_SIDE_MAX);
    if (!size_mul(width, height, &bytes) || !size_mul(bytes, (size_t)one.channels, &bytes) ||
        bytes > IMAGE_PIXELS_MAX)
        return err_fail(
            e, ERR_LIMIT, "",
            "a sheet of %zu × %zu pixels and %d channels is over the limit of %u bytes; "
            "take fewer images or a smaller scale",
            width, height, one.channels, IMAGE_PIXELS_MAX);
    *sheet = (struct image_shape){one.channels, (int)height, (int)width};
    return 0;
}

/* One row of the picture, each pixel repeated `scale` times. */
static void enlarge_row(const uint8_t *from, struct image_shape one, int scale, uint8_t *to)
{
    size_t channels = (size_t)one.channels;
    for (size_t x = 0; x < (size_t)one.width; x++) {
        for (int s = 0; s < scale; s++, to += channels)
            memcpy(to, from + x * channels, channels);
    }
}

void image_grid_place(struct image_grid grid, struct image_shape one, struct image_shape sheet,
                      size_t k, const uint8_t *pixels, uint8_t *sheet_pixels)
{
    size_t channels = (size_t)one.channels, scale = (size_t)grid.scale, gap = (size_t)grid.gap;
    size_t columns = (size_t)grid.columns;
    size_t stride = (size_t)sheet.width * channels, row = (size_t)one.width * channels;
    size_t left = k % columns * ((size_t)one.width + gap) * scale;
    size_t top = k / columns * ((size_t)one.height + gap) * scale;
    for (size_t y = 0; y < (size_t)one.height; y++) {
        uint8_t *to = sheet_pixels + (top + y * scale) * stride + left * channels;
        enlarge_row(pixels + y * row, one, grid.scale, to);
        for (size_t s = 1; s < scale; s++)
            memcpy(to + s * stride, to, row * scale);
    }
}

int image_grid_columns(size_t n)
{
    int columns = 1;
    while ((size_t)columns * (size_t)columns < n && columns < IMAGE_SIDE_MAX)
        columns++;
    return columns;
}
