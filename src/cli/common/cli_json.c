/* The answer is built in memory first, so that an error leaves nothing half printed. */
#include "cli_json.h"

#include "base_text.h"

#include <stdio.h>

/* Of one answer; the largest is the list of the tensors of a checkpoint. */
#define ANSWER_BYTES_MAX ((size_t)256 << 20)

int cli_json_paths(const char *one, const char *other, struct err *e)
{
    const char *const paths[2] = {one, other};
    for (size_t i = 0; i < 2; i++)
        for (const char *at = paths[i]; at && *at;) {
            const size_t step = text_sequence(at);
            if (step == 0)
                return err_fail(e, ERR_INPUT, paths[i],
                                "is not UTF-8, so JSON cannot hold it: name the file by another "
                                "path, or leave out --json");
            at += step;
        }
    return 0;
}

int cli_json_print(const json_t *value, struct err *e)
{
    struct buf text;
    int result;
    if (!value)
        return json_fail(e, ERR_IO, "--json",
                         "cannot be made: out of memory, or a path is not UTF-8");
    buf_init(&text, ANSWER_BYTES_MAX);
    result = json_append(&text, value, JSON_INDENT(2), e) != 0 || buf_string(&text, "\n", e) != 0
                 ? -1
                 : 0;
    if (!result)
        fwrite(text.data, 1, text.length, stdout);
    buf_clear(&text);
    return result;
}
