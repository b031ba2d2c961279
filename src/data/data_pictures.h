/* Inside the room: a list of PNG files by name, in a folder or in a ZIP archive, made into a set.
 *
 * What is listed are names below the folder or within the archive, with '/' between folders. From
 * them follow the order of the set and the classes, so that a folder and its archive are the same
 * set. */
#ifndef DATA_PICTURES_H
#define DATA_PICTURES_H

#include "archive_zip.h"
#include "data_source.h"

struct data_picture {
    char *name;
    size_t member; /* of the archive */
    int32_t label;
    bool out; /* cannot be used, and was named */
};

struct data_listing {
    const struct data_options *options;
    struct data_draft *set;
    struct archive_zip *zip; /* or NULL: files below the folder options->path */
    struct data_picture *pictures;
    size_t count, capacity;
    char **names; /* of classes; given to the set at the end */
    int classes;
    char **folders; /* the visible ones, whatever is in them, in any order and more than once */
    size_t folder_count;
    size_t others; /* files of other names */
};

/* Adds a picture; the name is copied. */
int data_listing_add(struct data_listing *l, const char *name, size_t member, struct err *e);
/* Notes a subfolder, by the first `length` bytes of the name: where another one holds pictures it
 * is a class, and one without an image is missed. */
int data_listing_folder(struct data_listing *l, const char *name, size_t length, struct err *e);
/* A file whose name is not that of a picture: passed over with a count, or skipped where it is one
 * all the same, by its ending or its first `length` bytes. */
int data_listing_pass(struct data_listing *l, const char *name, const void *head, size_t length,
                      struct err *e);
/* "PATH/NAME", to be freed. */
char *data_listing_path(const struct data_listing *l, const char *name, struct err *e);

/* What dataset.json (of `length` bytes) says of classes, as the tools of EDM and StyleGAN write it:
 * {"labels": [["00000/img00000000.png", 6], …]} or {"labels": null}. Pictures that it does not name
 * are out. *listed is false when it has no member "labels". */
int data_listing_label(struct data_listing *l, const void *json, size_t length, bool *listed,
                       struct err *e);

/* Sorts, finds the classes (`labelled`: they are known already; else each folder is one), and reads
 * all pictures into the set. */
int data_listing_read(struct data_listing *l, bool labelled, struct err *e);
void data_listing_clear(struct data_listing *l);

/* The order of folders' names as classes: numbers by their value, before all other names by their
 * bytes. */
int data_class_order(const char *a, const char *b);

#endif
