/* JSON by jansson under stricter rules. Depth and number of values are counted before the parser
 * runs, because it descends by recursion and worker threads have small stacks, and because what it
 * makes of a text can be eighty times as large. */
#include "base_json.h"

#include "base_text.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct extent {
    size_t deepest, values, groups;
    size_t longest; /* bytes of a string or a number, with a key before it, at most */
};

/* What brackets and commas outside strings say. Whether the text is JSON is the parser's affair. */
static struct extent measure(const unsigned char *text, size_t length)
{
    struct extent x = {.values = 1};
    size_t depth = 0, begin = 0; /* of the token */
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        if (in_string) {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '"')
                in_string = false;
            continue;
        }
        if (text[i] == '"') {
            in_string = true;
        } else if (text[i] == '[' || text[i] == '{') {
            x.groups++;
            x.values++; /* the first within */
            if (++depth > x.deepest)
                x.deepest = depth;
        } else if (text[i] == ',') {
            x.values++;
        } else if (text[i] == ']' || text[i] == '}') {
            depth -= depth > 0;
        } else {
            continue;
        }
        x.longest = i - begin > x.longest ? i - begin : x.longest;
        begin = i;
    }
    x.longest = length - begin > x.longest ? length - begin : x.longest;
    return x;
}

static int check_extent(struct extent x, struct json_bound bound, const char *what, struct err *e)
{
    if (x.deepest > JSON_DEPTH_MAX)
        return err_fail(e, ERR_INPUT, what, "JSON is nested deeper than %d levels", JSON_DEPTH_MAX);
    if (x.values > bound.values)
        return err_fail(e, ERR_LIMIT, what, "JSON holds %zu values, the limit is %zu here",
                        x.values, bound.values);
    if (x.groups > bound.groups)
        return err_fail(e, ERR_LIMIT, what,
                        "JSON holds %zu arrays and objects, the limit is %zu here", x.groups,
                        bound.groups);
    return 0;
}

json_t *json_parse(const void *data, size_t length, const char *what, struct err *e)
{
    return json_parse_bounded(data, length, json_bound_usual, what, e);
}

/* jansson calls a failed allocation many things ("not JSON", an absent value), so each that fails
 * leaves a note with its thread. While a text is read one thing more is needed: its buffer of the
 * token passes over a failure and is then taken for whole, up to an assertion that ends the
 * process. So reading has a reserve, from which it gets what it asks for once an allocation has
 * failed; it gets no more text then, and what it made of the rest is dropped. */
static _Thread_local bool memory_failed;
static _Thread_local struct {
    unsigned char *data;
    size_t size, used;
} reserve;

/* The token's buffer doubles once or twice until the text ends; a kilobyte of small values. */
#define RESERVE(longest) (4 * (longest) + ((size_t)256 << 10))

/* jansson's before ours: malloc and free, or those of a host program that loads libpfgm. */
static json_malloc_t next_malloc;
static json_free_t next_free;

static void *noted_malloc(size_t size)
{
    void *data = next_malloc(size);
    if (data)
        return data;
    memory_failed = true;
    size = (size + 15) & ~(size_t)15;
    if (size > reserve.size - reserve.used)
        return NULL;
    reserve.used += size;
    return reserve.data + reserve.used - size;
}

static void give_back(void *data)
{
    if ((uintptr_t)data - (uintptr_t)reserve.data >= reserve.size)
        next_free(data);
}

/* Before main, as jansson must not change its functions between an allocation and its end. In a
 * library that is loaded later there may be values already: their end is left to the functions that
 * made them. */
__attribute__((constructor)) static void note_failures(void)
{
    json_get_alloc_funcs(&next_malloc, &next_free);
    json_set_alloc_funcs(noted_malloc, give_back);
}

struct text {
    const unsigned char *data;
    size_t length, at;
};

static size_t text_next(void *out, size_t room, void *context)
{
    struct text *t = context;
    size_t count = t->length - t->at < room ? t->length - t->at : room;
    if (memory_failed)
        return 0;
    memcpy(out, t->data + t->at, count);
    t->at += count;
    return count;
}

/* The value, or NULL with jansson's error or with memory_failed. */
static json_t *load(const void *data, size_t length, size_t longest, json_error_t *error)
{
    struct text text = {.data = data, .length = length};
    memory_failed = false;
    /* Pages of its own, which take no memory until they are written to: within the heap it would
     * part what the parser lets go of and asks for again. */
    void *pages =
        mmap(NULL, RESERVE(longest), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        memory_failed = true;
        return NULL;
    }
    reserve.data = pages;
    reserve.size = RESERVE(longest);
    json_t *value =
        json_load_callback(text_next, &text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, error);
    if (memory_failed) {
        json_decref(value);
        value = NULL;
    }
    munmap(pages, reserve.size);
    memset(&reserve, 0, sizeof reserve);
    return value;
}

json_t *json_parse_bounded(const void *data, size_t length, struct json_bound bound,
                           const char *what, struct err *e)
{
    if (length == 0) {
        err_fail(e, ERR_INPUT, what, "is empty where JSON was expected");
        return NULL;
    }
    const struct extent x = measure(data, length);
    if (check_extent(x, bound, what, e) != 0)
        return NULL;
    json_error_t error = {0};
    json_t *value = load(data, length, x.longest, &error);
    if (value)
        return value;
    enum json_error_code code = json_error_code(&error);
    if (memory_failed || code == json_error_out_of_memory)
        err_fail_memory(e, length);
    else if (code == json_error_duplicate_key)
        err_fail(e, ERR_INPUT, what, "not accepted as JSON: %s (line %d, column %d)", error.text,
                 error.line, error.column);
    else
        err_fail(e, ERR_INPUT, what, "not JSON: %s (line %d, column %d)", error.text, error.line,
                 error.column);
    return NULL;
}

int json_fail(struct err *e, enum err_code code, const char *at, const char *format, ...)
{
    char text[768];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bool memory = memory_failed;
    memory_failed = false;
    return memory ? err_fail_memory(e, 64) : err_fail(e, code, at, "%s", text);
}

json_t *json_u64(uint64_t value)
{
    char digits[24];
    if (value <= INT64_MAX)
        return json_integer((json_int_t)value);
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    return json_string(digits);
}

bool json_u64_read(const json_t *value, uint64_t *out)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return true;
    }
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    return (text[0] != '0' || !text[1]) && text_digits(text, out);
}

json_t *json_text(const char *text)
{
    json_t *value = json_string(text);
    if (value)
        return value;
    char *copy = strdup(text);
    if (!copy) {
        memory_failed = true;
        return NULL;
    }
    for (unsigned char *c = (unsigned char *)copy; *c; c++)
        if (*c >= 0x80)
            *c = '?';
    value = json_string(copy);
    free(copy);
    return value;
}

json_t *json_with(json_t *object, const char *key, json_t *value)
{
    if (object && value && json_object_set_new(object, key, value) == 0)
        return object;
    if (!object)
        json_decref(value); /* else the setter has let go of it, also where it failed */
    json_decref(object);
    return NULL;
}

json_t *json_plus(json_t *array, json_t *item)
{
    if (array && item && json_array_append_new(array, item) == 0)
        return array;
    if (!array)
        json_decref(item);
    json_decref(array);
    return NULL;
}

char *json_dumped(const json_t *value, size_t flags, struct err *e)
{
    memory_failed = false;
    char *text = json_dumps(value, flags);
    char *copy = text && !memory_failed ? strdup(text) : NULL; /* for free, whose ever `text` is */
    give_back(text);
    if (!copy)
        err_fail_memory(e, 64);
    return copy;
}

struct writer {
    struct buf *out;
    size_t flags;
    struct err *e;
};

static int write_piece(const char *data, size_t length, void *context)
{
    struct writer *w = context;
    return buf_append(w->out, data, length, w->e);
}

static int append_scalar(struct writer *w, const json_t *value)
{
    if (!json_is_real(value)) {
        size_t flags = JSON_ENCODE_ANY | JSON_COMPACT;
        memory_failed = false;
        if (json_dump_callback(value, write_piece, w, flags) == 0)
            return 0;
        if (w->e && w->e->code)
            return -1;
        return memory_failed ? err_fail_memory(w->e, 64)
                             : err_fail(w->e, ERR_INTERNAL, "", "cannot write JSON");
    }
    double x = json_real_value(value);
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    /* A host program may have set a locale; JSON has one decimal sign. */
    for (char *c = text; *c; c++)
        if (*c == ',')
            *c = '.';
    if (!strpbrk(text, ".e"))
        strcat(text, ".0");
    return buf_string(w->out, text, w->e);
}

static int new_line(struct writer *w, int depth)
{
    size_t indent = w->flags & JSON_MAX_INDENT;
    if (!indent)
        return 0;
    if (buf_append(w->out, "\n", 1, w->e) != 0)
        return -1;
    for (size_t i = 0; i < indent * (size_t)depth; i++)
        if (buf_append(w->out, " ", 1, w->e) != 0)
            return -1;
    return 0;
}

static int append_value(struct writer *w, const json_t *value, int depth);

static int append_object(struct writer *w, const json_t *object, int depth)
{
    int result = buf_string(w->out, "{", w->e);
    bool first = true;
    for (void *at = json_object_iter((json_t *)(uintptr_t)object); at && result == 0;
         at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        result |= first ? 0 : buf_string(w->out, ",", w->e);
        result |= new_line(w, depth + 1);
        json_t *key = json_string(json_object_iter_key(at));
        result |= key ? append_scalar(w, key) : err_fail_memory(w->e, 64);
        json_decref(key);
        result |= buf_string(w->out, w->flags & JSON_MAX_INDENT ? ": " : ":", w->e);
        result |= append_value(w, json_object_iter_value(at), depth + 1);
        first = false;
    }
    result |= first ? 0 : new_line(w, depth);
    return result | buf_string(w->out, "}", w->e);
}

static int append_array(struct writer *w, const json_t *array, int depth)
{
    /* Rows of numbers stay on one line. */
    bool flat = true;
    for (size_t i = 0; i < json_array_size(array); i++)
        flat = flat && !json_is_object(json_array_get(array, i)) &&
               !json_is_array(json_array_get(array, i));
    int result = buf_string(w->out, "[", w->e);
    for (size_t i = 0; i < json_array_size(array) && result == 0; i++) {
        if (i)
            result |= buf_string(w->out, flat && w->flags & JSON_MAX_INDENT ? ", " : ",", w->e);
        result |= flat ? 0 : new_line(w, depth + 1);
        result |= append_value(w, json_array_get(array, i), depth + 1);
    }
    result |= flat ? 0 : new_line(w, depth);
    return result | buf_string(w->out, "]", w->e);
}

static int append_value(struct writer *w, const json_t *value, int depth)
{
    if (depth > JSON_DEPTH_MAX)
        return err_fail(w->e, ERR_INTERNAL, "", "JSON to write is nested too deep");
    if (json_is_object(value))
        return append_object(w, value, depth) != 0 ? -1 : 0;
    if (json_is_array(value))
        return append_array(w, value, depth) != 0 ? -1 : 0;
    return append_scalar(w, value);
}

int json_append(struct buf *out, const json_t *value, size_t flags, struct err *e)
{
    struct err why = {0};
    struct writer w = {out, flags, &why};
    size_t before = out->length;
    if (append_value(&w, value, 0) == 0)
        return 0;
    out->length = before;
    if (e)
        *e = why;
    return -1;
}

/* 1 when the member is there, 0 when it may be absent and is, -1 when it must not be. */
static int find(const json_t *object, const char *key, bool required, const json_t **value,
                const char *what, struct err *e)
{
    *value = json_object_get(object, key);
    if (*value)
        return 1;
    return required ? err_fail(e, ERR_INPUT, what, "\"%s\" is missing", key) : 0;
}

int json_get_int(const json_t *object, const char *key, bool required, int64_t min, int64_t max,
                 int64_t *out, const char *what, struct err *e)
{
    const json_t *value;
    int found = find(object, key, required, &value, what, e);
    if (found <= 0)
        return found;
    if (!json_is_integer(value))
        return err_fail(e, ERR_INPUT, what, "\"%s\" must be an integer", key);
    int64_t n = json_integer_value(value);
    if (n < min || n > max)
        return err_fail(e, ERR_INPUT, what, "\"%s\" is %lld; it must lie from %lld to %lld", key,
                        (long long)n, (long long)min, (long long)max);
    *out = n;
    return 0;
}

int json_get_real(const json_t *object, const char *key, bool required, double min, double max,
                  double *out, const char *what, struct err *e)
{
    const json_t *value;
    int found = find(object, key, required, &value, what, e);
    if (found <= 0)
        return found;
    if (!json_is_number(value))
        return err_fail(e, ERR_INPUT, what, "\"%s\" must be a number", key);
    double x = json_number_value(value);
    if (!isfinite(x) || x < min || x > max)
        return err_fail(e, ERR_INPUT, what, "\"%s\" is %g; it must lie from %g to %g", key, x, min,
                        max);
    *out = x;
    return 0;
}

int json_get_bool(const json_t *object, const char *key, bool required, bool *out, const char *what,
                  struct err *e)
{
    const json_t *value;
    int found = find(object, key, required, &value, what, e);
    if (found <= 0)
        return found;
    if (!json_is_boolean(value))
        return err_fail(e, ERR_INPUT, what, "\"%s\" must be true or false", key);
    *out = json_is_true(value);
    return 0;
}

int json_get_string(const json_t *object, const char *key, bool required, const char **out,
                    const char *what, struct err *e)
{
    const json_t *value;
    int found = find(object, key, required, &value, what, e);
    if (found <= 0)
        return found;
    if (!json_is_string(value))
        return err_fail(e, ERR_INPUT, what, "\"%s\" must be a string", key);
    *out = json_string_value(value);
    return 0;
}

int json_only_keys(const json_t *object, const char *const *keys, size_t n, const char *what,
                   struct err *e)
{
    for (void *at = json_object_iter((json_t *)(uintptr_t)object); at;
         at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        const char *key = json_object_iter_key(at);
        bool known = false;
        for (size_t i = 0; i < n && !known; i++)
            known = strcmp(key, keys[i]) == 0;
        if (!known)
            return err_fail(e, ERR_INPUT, what, "unknown key \"%s\"", key);
    }
    return 0;
}
