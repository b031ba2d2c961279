/* Pictures and arrays of strangers: PNG as a client or a folder brings it, data sets in one file.
 */
#include "fuzz.h"

#include "archive_npy_read.h"
#include "data.h"
#include "image_png_read.h"

#include <stdlib.h>
#include <string.h>

#define SIDE 128 /* the most that a picture may have */

static void png_run(const uint8_t *data, size_t length)
{
    static uint8_t pixels[SIDE * SIDE * 3], set[SIDE * SIDE];
    struct err e = {0};
    struct image_png png = {0};
    struct image_shape shape = {1, 4, 4};
    if (image_png_read(data, length, SIDE, "png", &png, &e) == 0) {
        shape = png.shape;
        FUZZ_CHECK(shape.channels >= 1 && shape.channels <= 4);
        FUZZ_CHECK(shape.height >= 1 && shape.height <= SIDE);
        FUZZ_CHECK(shape.width >= 1 && shape.width <= SIDE);
        volatile uint8_t last = png.pixels[image_shape_count(shape) - 1];
        (void)last;
        free(png.pixels);
    } else {
        fuzz_check_error(&e);
        FUZZ_CHECK(!png.pixels);
    }
    for (int channels = 1; channels <= 3; channels += 2) {
        shape.channels = channels;
        if (image_png_read_as(data, length, shape, "png", pixels, &e) != 0)
            fuzz_check_error(&e);
        if (image_png_read_cut(data, length, shape, "png", pixels, set, &e) != 0)
            fuzz_check_error(&e);
        if (image_png_read_mask(data, length, shape, channels == 1, "png", set, &e) != 0)
            fuzz_check_error(&e);
    }
}

/* The picture, what libpng keeps to unpack it, and no more. */
const struct fuzz_target fuzz_png = {
    .name = "png", .memory = 1 << 20, .memory_factor = 4, .run = png_run};

static void open_set(const struct data_options *o)
{
    struct err e = {0};
    struct data_set set;
    if (data_open(o, &set, &e) != 0) {
        fuzz_check_error(&e);
        return;
    }
    size_t values = (size_t)set.channels * (size_t)set.side * (size_t)set.side;
    FUZZ_CHECK(set.count > 0 && values > 0);
    float *image = malloc(values * sizeof *image);
    FUZZ_CHECK(image);
    data_image(&set, 0, (struct data_view){0}, image);
    const int moved = set.values ? 0 : set.side - 1;
    data_image(&set, set.count - 1,
               (struct data_view){.flip = !set.values, .right = moved, .down = -moved}, image);
    for (size_t i = 0; set.label && i < set.count; i++)
        FUZZ_CHECK(set.label[i] >= -1 && set.label[i] < (set.classes ? set.classes : 1));
    free(image);
    data_clear(&set);
}

/* The first byte says whether to crop and to resize. */
static void dataset_run(const uint8_t *data, size_t length)
{
    struct err e = {0};
    struct archive_npy array;
    if (length == 0)
        return;
    if (archive_npy_read(data + 1, length - 1, length, "npy", &array, &e) != 0) {
        fuzz_check_error(&e);
    } else {
        FUZZ_CHECK(array.count * array.width < length);
        for (size_t i = 0; i < array.count && array.width >= 4; i += 7)
            archive_npy_real(&array, i);
    }
    open_set(&(struct data_options){.path = fuzz_file(0, data + 1, length - 1),
                                    .strict = data[0] & 1,
                                    .center_crop = data[0] & 2 ? 4 : 0,
                                    .resize = data[0] & 4 ? 3 : 0});
}

const struct fuzz_target fuzz_dataset = {.name = "dataset",
                                         .memory = 64 << 20,
                                         .memory_factor = 4096, /* deflate's best, and copies */
                                         .run = dataset_run};

/* Two files: the first two bytes are the length of the one of images. */
static void idx_run(const uint8_t *data, size_t length)
{
    if (length < 3)
        return;
    size_t images = (size_t)data[0] << 8 | data[1];
    const uint8_t option = data[2];
    data += 3;
    length -= 3;
    images = images < length ? images : length;
    open_set(&(struct data_options){.path = fuzz_file(0, data, images),
                                    .labels = fuzz_file(1, data + images, length - images),
                                    .strict = option & 1,
                                    .center_crop = option & 2 ? 4 : 0,
                                    .resize = option & 4 ? 3 : 0});
}

const struct fuzz_target fuzz_idx = {
    .name = "idx", .memory = 16 << 20, .memory_factor = 4096, .run = idx_run};
