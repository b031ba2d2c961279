/* Parsing and checking of safetensors headers.
 *
 * Work is done in this order so that each complaint is about the first thing that is wrong: where
 * the object ends (padding), the JSON itself, the metadata, each tensor alone, the tensors
 * together. Byte ranges are compared after sorting them, so overlap and holes cost n log n. */
#include "ckpt_header.h"

#include "base_size.h"
#include "ckpt_dtype.h"
#include <stdlib.h>
#include <string.h>

/* Called for each key of the outermost object while scanning, with its text and quotes. */
typedef void (*key_visitor)(void *context, const char *key, size_t length);

/* The length of the object that starts `text`: up to and with the bracket that closes it, or
 * `length` if none does. Whether what is inside is JSON is for the parser to say. */
static size_t object_scan(const char *text, size_t length, key_visitor visit, void *context)
{
    size_t depth = 0;
    bool key_next = false; /* a string that begins here is a key of the outermost object */
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '"') {
            size_t begin = i;
            for (i++; i < length && text[i] != '"'; i++)
                if (text[i] == '\\')
                    i++;
            if (key_next && visit && i < length)
                visit(context, text + begin, i + 1 - begin);
            key_next = false;
        } else if (c == '{' || c == '[') {
            key_next = ++depth == 1 && c == '{';
        } else if (c == '}' || c == ']') {
            if (depth <= 1)
                return i + 1;
            depth--;
        } else if (c == ',') {
            key_next = depth == 1;
        }
    }
    return length;
}

struct duplicate_search {
    json_t *seen;
    char *first; /* the first name found twice */
};

static void duplicate_visit(void *context, const char *key, size_t length)
{
    struct duplicate_search *search = context;
    if (search->first)
        return;
    /* decoded, because "\u0077" and "w" are one name */
    json_t *name = json_parse(key, length, "", NULL);
    const char *text = json_string_value(name);
    if (text && json_object_get(search->seen, text))
        search->first = strdup(text);
    else if (text)
        json_object_set_new(search->seen, text, json_true());
    json_decref(name);
}

/* A header that the parser refused: if a tensor name occurs twice, that is what the user is told.
 */
static void duplicate_report(const char *text, size_t length, const char *path, struct err *e)
{
    struct duplicate_search search = {json_object(), NULL};
    object_scan(text, length, duplicate_visit, &search);
    if (search.first)
        err_fail(e, ERR_INPUT, path, "duplicate tensor name \"%.200s\"", search.first);
    free(search.first);
    json_decref(search.seen);
}

/* Where the first integer beyond 63 bits ends, 0 when there is none. */
static size_t overflow_find(const char *text, size_t length)
{
    static const char digits[] = "0123456789", most[] = "9223372036854775807";
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"') {
            for (i++; i < length && text[i] != '"'; i++)
                if (text[i] == '\\')
                    i++;
        } else if (text[i] >= '0' && text[i] <= '9') {
            size_t begin = i;
            while (i < length && memchr(digits, text[i], 10))
                i++;
            size_t count = i - begin;
            bool real = i < length && (text[i] == '.' || text[i] == 'e' || text[i] == 'E');
            if (!real && (count > 19 || (count == 19 && memcmp(text + begin, most, 19) > 0)))
                return i;
            i--;
        }
    }
    return 0;
}

static void last_visit(void *context, const char *key, size_t length)
{
    json_t **last = context;
    json_decref(*last);
    *last = json_parse(key, length, "", NULL);
}

/* The same for a number that no 63 bits hold: which tensor has it. */
static void overflow_report(const char *text, size_t length, const char *path, struct err *e)
{
    size_t end = overflow_find(text, length);
    json_t *last = NULL;
    if (end > 0) {
        object_scan(text, end, last_visit, &last);
        err_fail(e, ERR_INPUT, path,
                 "tensor \"%.200s\": a number of its shape or data_offsets is 2^63 or more",
                 last ? json_string_value(last) : "");
    }
    json_decref(last);
}

/* What a header of that length can hold: no tensor is told in fewer than 48 bytes, and then it is
 * an object, a type, a shape and two offsets. */
static struct json_bound header_bound(size_t length)
{
    const size_t most = length / 48 < IMPORT_TENSORS_MAX ? length / 48 : IMPORT_TENSORS_MAX;
    const size_t tensors = most + 64; /* a few more, so that the right limit is named */
    return (struct json_bound){tensors * (8 + CKPT_RANK_MAX) + json_bound_usual.values,
                               tensors * 3};
}

static json_t *header_load(const char *text, size_t length, const char *path, struct err *e)
{
    if (length == 0 || text[0] != '{') {
        err_fail(e, ERR_INPUT, path, "not a safetensors file: the header is no JSON object");
        return NULL;
    }
    size_t end = object_scan(text, length, NULL, NULL);
    for (size_t i = end; i < length; i++) {
        if (text[i] != ' ') {
            err_fail(
                e, ERR_INPUT, path,
                "trailing bytes after header JSON: byte 0x%02x at %zu (only spaces may follow)",
                (unsigned char)text[i], i);
            return NULL;
        }
    }
    struct err reason = {0};
    json_t *root = json_parse_bounded(text, end, header_bound(end), path, &reason);
    if (!root) {
        if (e)
            *e = reason;
        if (reason.code == ERR_INPUT) {
            overflow_report(text, end, path, e);
            duplicate_report(text, end, path, e);
        }
    }
    return root;
}

static int metadata_check(const json_t *metadata, const char *path, struct err *e)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return err_fail(e, ERR_INPUT, path, "__metadata__ must be an object of strings");
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value)
    {
        if (!json_is_string(value))
            return err_fail(e, ERR_INPUT, path, "__metadata__ key \"%.200s\" must be a string",
                            key);
    }
    return 0;
}

/* Reads rank, shape and count; the element count cannot overflow afterwards. */
static int tensor_shape_read(const json_t *shape, struct ckpt_tensor *t, const char *path,
                             struct err *e)
{
    if (!json_is_array(shape))
        return err_fail(e, ERR_INPUT, path, "tensor \"%.200s\": shape must be an array", t->name);
    if (json_array_size(shape) > CKPT_RANK_MAX)
        return err_fail(e, ERR_LIMIT, path, "tensor \"%.200s\": %zu dimensions, the limit is %d",
                        t->name, json_array_size(shape), CKPT_RANK_MAX);
    t->rank = (int)json_array_size(shape);
    size_t count = 1;
    for (int i = 0; i < t->rank; i++) {
        const json_t *extent = json_array_get(shape, (size_t)i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return err_fail(e, ERR_INPUT, path,
                            "tensor \"%.200s\": shape must hold integers from 0 up", t->name);
        t->shape[i] = (uint64_t)json_integer_value(extent);
        if (!size_mul(count, t->shape[i], &count))
            return err_fail(e, ERR_INPUT, path, "tensor \"%.200s\": the shape's product overflows",
                            t->name);
    }
    t->count = count;
    return 0;
}

/* Checks the range against the data and the shape, and sets where it begins. */
static int tensor_range_read(const json_t *offsets, struct ckpt_tensor *t, size_t data_length,
                             const char *path, struct err *e)
{
    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to) ||
        json_integer_value(from) < 0 || json_integer_value(to) < json_integer_value(from))
        return err_fail(e, ERR_INPUT, path,
                        "tensor \"%.200s\": data_offsets must be two integers, 0 ≤ begin ≤ end",
                        t->name);
    size_t begin = (size_t)json_integer_value(from), end = (size_t)json_integer_value(to);
    size_t expected;
    if (!size_mul((size_t)t->count, ckpt_dtype_size(t->dtype), &expected))
        return err_fail(e, ERR_INPUT, path, "tensor \"%.200s\": the size in bytes overflows",
                        t->name);
    if (end - begin != expected)
        return err_fail(e, ERR_INPUT, path,
                        "tensor \"%.200s\": %zu bytes expected, %zu declared (dtype and shape "
                        "disagree with data_offsets)",
                        t->name, expected, end - begin);
    if (end > data_length)
        return err_fail(e, ERR_INPUT, path,
                        "tensor \"%.200s\": its data end at byte %zu, but the file holds %zu "
                        "(truncated?)",
                        t->name, end, data_length);
    t->begin = begin;
    return 0;
}

static int tensor_read(const char *name, const json_t *entry, struct ckpt_tensor *t,
                       size_t data_length, const char *path, struct err *e)
{
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    char what[256];
    const char *dtype;
    t->name = name;
    if (!json_is_object(entry))
        return err_fail(e, ERR_INPUT, path, "tensor \"%.200s\" must be described by an object",
                        name);
    snprintf(what, sizeof what, "%.120s: tensor \"%.120s\"", path, name);
    if (json_only_keys(entry, keys, 3, what, e) != 0 ||
        json_get_string(entry, "dtype", true, &dtype, what, e) != 0)
        return -1;
    if (!ckpt_dtype_parse(dtype, &t->dtype))
        return err_fail(e, ERR_UNSUPPORTED, path, "tensor \"%.200s\": unknown dtype \"%.40s\"",
                        name, dtype);
    if (tensor_shape_read(json_object_get(entry, "shape"), t, path, e) != 0 ||
        tensor_range_read(json_object_get(entry, "data_offsets"), t, data_length, path, e) != 0)
        return -1;
    return 0;
}

static int compare_places(const void *a, const void *b)
{
    const struct ckpt_tensor *s = a, *t = b;
    if (s->begin != t->begin)
        return s->begin < t->begin ? -1 : 1;
    if (ckpt_tensor_bytes(s) != ckpt_tensor_bytes(t))
        return ckpt_tensor_bytes(s) < ckpt_tensor_bytes(t) ? -1 : 1;
    return strcmp(s->name, t->name);
}

static int compare_names(const void *a, const void *b, void *context)
{
    const struct ckpt_tensor *tensors = context;
    return strcmp(tensors[*(const size_t *)a].name, tensors[*(const size_t *)b].name);
}

/* The sorted ranges must cover the data exactly. */
static int cover_check(const struct ckpt_header *h, size_t data_length, const char *path,
                       struct err *e)
{
    size_t covered = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct ckpt_tensor *t = &h->tensors[i];
        size_t begin = (size_t)t->begin;
        if (begin < covered)
            return err_fail(e, ERR_INPUT, path, "tensors \"%.200s\" and \"%.200s\" overlap",
                            h->tensors[i - 1].name, t->name);
        if (begin > covered)
            return err_fail(e, ERR_INPUT, path,
                            "bytes %zu to %zu of the data, before tensor \"%.200s\", belong to no "
                            "tensor",
                            covered, begin, t->name);
        covered = begin + ckpt_tensor_bytes(t);
    }
    if (covered != data_length)
        return err_fail(e, ERR_INPUT, path, "%zu bytes of data are left over after the last tensor",
                        data_length - covered);
    return 0;
}

static int tensors_read(struct ckpt_header *h, size_t data_length, const char *path, struct err *e)
{
    size_t n = json_object_size(h->root) - (h->metadata ? 1 : 0);
    const char *name;
    json_t *entry;
    if (n > IMPORT_TENSORS_MAX)
        return err_fail(e, ERR_LIMIT, path, "the header names %zu tensors, the limit is %d", n,
                        IMPORT_TENSORS_MAX);
    h->tensors = calloc(n + 1, sizeof *h->tensors);
    h->by_name = calloc(n + 1, sizeof *h->by_name);
    if (!h->tensors || !h->by_name)
        return err_fail_memory(e, (n + 1) * sizeof *h->tensors);
    json_object_foreach(h->root, name, entry)
    {
        if (entry == h->metadata)
            continue;
        if (tensor_read(name, entry, &h->tensors[h->count], data_length, path, e) != 0)
            return -1;
        h->count++;
    }
    qsort(h->tensors, h->count, sizeof *h->tensors, compare_places);
    for (size_t i = 0; i < h->count; i++)
        h->by_name[i] = i;
    qsort_r(h->by_name, h->count, sizeof *h->by_name, compare_names, h->tensors);
    return cover_check(h, data_length, path, e);
}

int ckpt_header_parse(struct ckpt_header *out, const char *text, size_t length, size_t data_length,
                      const char *path, struct err *e)
{
    *out = (struct ckpt_header){0};
    out->root = header_load(text, length, path, e);
    if (!out->root)
        return -1;
    out->metadata = json_object_get(out->root, "__metadata__");
    if ((out->metadata && metadata_check(out->metadata, path, e) != 0) ||
        tensors_read(out, data_length, path, e) != 0) {
        ckpt_header_clear(out);
        return -1;
    }
    return 0;
}

void ckpt_header_clear(struct ckpt_header *header)
{
    json_decref(header->root);
    free(header->tensors);
    free(header->by_name);
    *header = (struct ckpt_header){0};
}
