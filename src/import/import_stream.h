/* The older stream of torch.save, and the table of storages that both containers and it need.
 * Internal to the room.
 *
 * A stream is a file of its own (pre-1.6), or lies as bytes inside a plain pickle, one for each
 * storage. Pure functions over memory that must outlive what they return. */
#ifndef IMPORT_STREAM_H
#define IMPORT_STREAM_H

#include "import_pickle.h"

/* Where the bytes of a storage are. One place per key; import_storage.place is its index. */
struct import_place {
    const struct import_storage *storage; /* one of those that name it */
    size_t bytes;                         /* numel · element size */
    size_t member;                        /* zip: index of the archive's member */
    const unsigned char *data;            /* in memory; NULL in a zip */
};

struct import_places {
    struct import_place *at; /* sorted by key; whoever holds the table frees it */
    size_t count;
};

/* Unites the storages that the machine's pickles named: equal keys must agree in type and size. The
 * embedded ones have their data, the others not yet. */
int import_places_unite(struct import_places *places, struct import_pickle *pickle,
                        const char *what, struct err *e);

/* Reads a file that begins with a pickle: a stream with its storages, or a plain pickle that is the
 * whole file (*plain), whose storages are embedded. Returns what was saved; places have their data.
 */
const struct import_value *import_stream_read(struct import_pickle *pickle,
                                              const unsigned char *data, size_t length,
                                              const char *what, struct import_places *places,
                                              bool *plain, struct err *e);

/* A stream that holds one storage and nothing else: fills type, size and data; the key is left
 * alone. */
int import_stream_storage(const unsigned char *data, size_t length, const char *what,
                          struct import_storage *out, struct err *e);

#endif
