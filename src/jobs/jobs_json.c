/* Records as JSON: one member for each of the struct's, with its words for states. */
#include "jobs_json.h"

#include "base_json.h"
#include "nn_kernel.h"

#include <stdio.h>
#include <string.h>

/* The members that are texts, with where they lie. */
static const struct text_member {
    const char *key;
    size_t offset, size;
} texts[] = {
#define AT(key, member)                                                                            \
    {                                                                                              \
        key, offsetof(struct jobs_record, member), sizeof((struct jobs_record *)0)->member         \
    }
    AT("id", id),
    AT("owner", owner),
    AT("key", key),
    AT("body", body),
    AT("label", label),
    AT("model", needs.model),
    AT("sha256", needs.sha256),
    AT("kernel", needs.kernel),
    AT("precision", needs.precision),
    AT("parameters", parameters),
    AT("error_at", error.at),
    AT("error_text", error.text),
#undef AT
};
/* Those that are numbers from 0 on, all of 64 bits. */
static const struct number_member {
    const char *key;
    size_t offset;
} numbers[] = {
#define AT(key, member)                                                                            \
    {                                                                                              \
        key, offsetof(struct jobs_record, member)                                                  \
    }
    AT("n", n),
    AT("number", number),
    AT("submitted_ms", submitted_ms),
    AT("started_ms", started_ms),
    AT("finished_ms", finished_ms),
    AT("images_done", images_done),
    AT("bytes", bytes),
#undef AT
};
#define COUNT(table) (sizeof table / sizeof *table)

int jobs_json_write(const struct jobs_record *r, struct buf *out, struct err *e)
{
    json_t *o = json_with(json_object(), "state", json_string(jobs_state_word(r->state)));
    o = json_with(o, "error_code", json_integer(r->error.code));
    for (size_t i = 0; i < COUNT(texts); i++)
        o = json_with(o, texts[i].key, json_text((const char *)r + texts[i].offset));
    for (size_t i = 0; i < COUNT(numbers); i++) {
        int64_t value;
        memcpy(&value, (const char *)r + numbers[i].offset, sizeof value);
        o = json_with(o, numbers[i].key, json_integer(value));
    }
    const int result = o ? json_append(out, o, 0, e) : err_fail_memory(e, JOBS_JSON_MAX);
    json_decref(o);
    return result;
}

static int read_members(const json_t *o, struct jobs_record *out, const char *where, struct err *e)
{
    const char *word = NULL;
    int64_t code = 0;
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (json_get_string(o, texts[i].key, true, &word, where, e) != 0)
            return -1;
        snprintf((char *)out + texts[i].offset, texts[i].size, "%s", word);
    }
    for (size_t i = 0; i < COUNT(numbers); i++) {
        int64_t value = 0;
        if (json_get_int(o, numbers[i].key, true, 0, INT64_MAX, &value, where, e) != 0)
            return -1;
        memcpy((char *)out + numbers[i].offset, &value, sizeof value);
    }
    if (json_get_string(o, "state", true, &word, where, e) != 0 ||
        json_get_int(o, "error_code", true, 0, ERR_INTERNAL, &code, where, e) != 0)
        return -1;
    out->error.code = (enum err_code)code;
    if (jobs_state_parse(word, &out->state) != 0)
        return err_fail(e, ERR_INPUT, where, "a job is in no state that this pfgmd knows");
    return out->n > 0 && out->n <= JOBS_IMAGES_MAX
               ? 0
               : err_fail(e, ERR_INPUT, where, "a job has no images, or too many");
}

int jobs_json_read(const void *text, size_t length, const char *where, struct jobs_record *out,
                   struct err *e)
{
    char kernel[sizeof out->needs.kernel];
    json_t *o = json_parse(text, length, where, e);
    memset(out, 0, sizeof *out);
    const int result = o ? read_members(o, out, where, e) : -1;
    json_decref(o);
    memcpy(kernel, out->needs.kernel, sizeof kernel);
    snprintf(out->needs.kernel, sizeof out->needs.kernel, "%s", nn_kernel_id_now(kernel));
    return result;
}
