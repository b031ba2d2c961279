/* Inside the room: a list of PNG files by name, in a folder or in a ZIP archive, made into a set.
 *
 * What is listed are names below the folder or within the archive, with '/' between folders. From
 * them follow the order of the set and the classes, so that a folder and its archive are the same
 * set. */
#ifndef TRAIN_PICTURES_H
#define TRAIN_PICTURES_H

#include "image_zip.h"
#include "train_source.h"

struct train_picture {
    char *name;
    size_t member; /* of the archive */
    int32_t label;
    bool out; /* cannot be used, and was named */
};

struct train_listing {
    const struct train_data_options *options;
    struct train_set *set;
    struct image_zip *zip; /* or NULL: files below the folder options->path */
    struct train_picture *pictures;
    size_t count, capacity;
    char **names; /* of classes; given to the set at the end */
    int classes;
    size_t others; /* files of other names */
};

bool train_picture_named(const char *name); /* whether it ends in .png, in any case */
/* Adds a picture; the name is copied. */
int train_listing_add(struct train_listing *l, const char *name, size_t member, struct err *e);
/* "PATH/NAME", to be freed. */
char *train_listing_path(const struct train_listing *l, const char *name, struct err *e);

/* What dataset.json (of `length` bytes) says of classes, as the tools of EDM and StyleGAN write it:
 * {"labels": [["00000/img00000000.png", 6], …]} or {"labels": null}. Pictures that it does not name
 * are out. *told is false when it has no member "labels". */
int train_listing_label(struct train_listing *l, const void *json, size_t length, bool *told,
                        struct err *e);

/* Sorts, finds the classes (`labelled`: they are known already; else each folder is one), and reads
 * all pictures into the set. */
int train_listing_read(struct train_listing *l, bool labelled, struct err *e);
void train_listing_clear(struct train_listing *l);

/* The order of folders' names as classes: numbers by their value, before all other names by their
 * bytes. */
int train_class_order(const char *a, const char *b);

#endif
