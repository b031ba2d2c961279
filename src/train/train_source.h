/* Inside the room: what the readers of the kinds of data share. */
#ifndef TRAIN_SOURCE_H
#define TRAIN_SOURCE_H

#include "image_zip.h"
#include "train_data.h"

/* A set that grows image by image. */
struct train_set {
    const struct train_data_options *options;
    struct train_data data;
    size_t capacity;    /* images */
    size_t label_count; /* of data.label */
};

/* Adds an image of bytes [H,W,C], cropped and resized as the options ask, with its label (-1 for
 * none). All must come out square and of one shape: another is ERR_INPUT, naming `what` and both.
 */
int train_set_add(struct train_set *set, const uint8_t *pixels, int channels, int height, int width,
                  int32_t label, const char *what, struct err *e);
/* Class names 0 … count − 1 as decimal numbers. */
int train_set_number_classes(struct train_set *set, int count, struct err *e);
/* With `strict` the error `why` stands; else it becomes a warning and is counted, and the result is
 * 0. Only errors of the input are forgiven. */
int train_set_skip(struct train_set *set, const struct err *why, struct err *e);

/* "a JPEG file", "an empty file", … for errors. */
const char *train_kind_of(const void *data, size_t length);

int train_folder_read(const struct train_data_options *o, struct train_set *set, struct err *e);
/* Whether the archive holds PNG files, and reading those as train_folder_read does a folder's. */
bool train_archive_is(const struct image_zip *z);
int train_archive_read(const struct train_data_options *o, struct image_zip *z,
                       struct train_set *set, struct err *e);
bool train_idx_is(const void *data, size_t length);
int train_idx_read(const struct train_data_options *o, struct train_set *set, struct err *e);
bool train_npy_is(const void *data, size_t length);
int train_npy_read(const struct train_data_options *o, const void *data, size_t length,
                   struct train_set *set, struct err *e);

/* pixels [H,W,C] to out [h,w,C] by a triangle filter as wide as the scale (antialiased bilinear).
 */
int train_resize(const uint8_t *pixels, int channels, int height, int width, int out_height,
                 int out_width, uint8_t *out, struct err *e);

#endif
