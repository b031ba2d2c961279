/* Inside the room: what the readers of the kinds of data share. */
#ifndef DATA_SOURCE_H
#define DATA_SOURCE_H

#include "archive_zip.h"
#include "data.h"

/* A set that grows image by image. */
struct data_draft {
    const struct data_options *options;
    struct data_set data;
    size_t capacity;    /* images */
    size_t label_count; /* of data.label */
    size_t bytes_max;   /* of pixels; 0: DATA_BYTES_MAX */
    bool full;          /* an image did not fit: nothing is skipped any more */
};

/* Adds an image of bytes [H,W,C], cropped and resized as the options ask, with its label (-1 for
 * none). All must come out square and of one shape: another is ERR_INPUT, naming `what` and both.
 * ERR_LIMIT when the set is full. */
int data_draft_add(struct data_draft *set, const uint8_t *pixels, int channels, int height,
                   int width, int32_t label, const char *what, struct err *e);
/* Class names 0 … count − 1 as decimal numbers. */
int data_draft_number_classes(struct data_draft *set, int count, struct err *e);
/* With `strict` the error `why` stands; else it becomes a warning and is counted, and the result is
 * 0. Only errors of the input are forgiven, and none of a set that is full. */
int data_draft_skip(struct data_draft *set, const struct err *why, struct err *e);

/* "a JPEG file", "an empty file", … for errors. */
const char *data_kind_of(const void *data, size_t length);

int data_folder_read(const struct data_options *o, struct data_draft *set, struct err *e);
/* Whether the archive holds PNG files, and reading those as data_folder_read does a folder's. */
bool data_archive_is(const struct archive_zip *z);
int data_archive_read(const struct data_options *o, struct archive_zip *z, struct data_draft *set,
                      struct err *e);
bool data_idx_is(const void *data, size_t length);
int data_idx_read(const struct data_options *o, struct data_draft *set, struct err *e);
bool data_npy_is(const void *data, size_t length);
int data_npy_read(const struct data_options *o, const void *data, size_t length,
                  struct data_draft *set, struct err *e);

/* pixels [H,W,C] to out [h,w,C] by a triangle filter as wide as the scale (antialiased bilinear).
 */
int data_resize(const uint8_t *pixels, int channels, int height, int width, int out_height,
                int out_width, uint8_t *out, struct err *e);

#endif
