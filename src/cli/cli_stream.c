/* Standard input is read whole, because what comes through a pipe cannot be mapped. */
#include "cli_stream.h"

#include "base_text.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define INPUT_BYTES_MAX ((size_t)4 << 30)
#define PIECE_BYTES 65536

bool cli_stream_is_standard(const char *path)
{
    return strcmp(path, "-") == 0;
}

const char *cli_shown(const char *path, char out[CLI_SHOWN_MAX])
{
    text_escape(out, CLI_SHOWN_MAX, path, false);
    return out;
}

FILE *cli_stream_report(const char *output)
{
    return cli_stream_is_standard(output) ? stderr : stdout;
}

int cli_stream_check(const char *output, struct err *e)
{
    return cli_stream_is_standard(output) && isatty(STDOUT_FILENO)
               ? err_fail(e, ERR_INPUT, "--output",
                          "standard output is a terminal: name a file, or pipe it to a program")
               : 0;
}

/* ---- input ---- */

static int read_standard(struct buf *out, struct err *e)
{
    char piece[PIECE_BYTES];
    for (;;) {
        ssize_t got = read(STDIN_FILENO, piece, sizeof piece);
        if (got == 0)
            return 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_fail_errno(e, errno, "standard input", "read it");
        if (buf_append(out, piece, (size_t)got, e) != 0)
            return -1;
    }
}

int cli_source_open(struct cli_source *s, const char *path, struct err *e)
{
    *s = (struct cli_source){.name = path};
    if (cli_stream_is_standard(path)) {
        s->name = "standard input";
        buf_init(&s->buf, INPUT_BYTES_MAX);
        if (read_standard(&s->buf, e) != 0) {
            buf_clear(&s->buf);
            return -1;
        }
        s->data = s->buf.data;
        s->length = s->buf.length;
        return 0;
    }
    if (file_map_open(&s->map, path, e) != 0)
        return -1;
    s->data = s->map.data;
    s->length = s->map.length;
    return 0;
}

void cli_source_close(struct cli_source *s)
{
    file_map_close(&s->map);
    buf_clear(&s->buf);
    *s = (struct cli_source){0};
}

/* ---- output ---- */

int cli_sink_open(struct cli_sink *s, const char *path, struct err *e)
{
    *s = (struct cli_sink){.stream = stdout, .path = path};
    if (cli_stream_is_standard(path))
        return 0;
    if (file_writer_open(&s->writer, path, e) != 0)
        return -1;
    s->stream = s->writer.stream;
    return 0;
}

int cli_sink_put(struct cli_sink *s, const void *data, size_t length, struct err *e)
{
    if (fwrite(data, 1, length, s->stream) == length)
        return 0;
    return cli_stream_is_standard(s->path)
               ? err_fail_errno(e, errno, "standard output", "write to it")
               : err_fail_errno(e, errno, s->path, "write the file");
}

int cli_sink_commit(struct cli_sink *s, struct err *e)
{
    if (!cli_stream_is_standard(s->path))
        return file_writer_commit(&s->writer, e);
    return fflush(stdout) == 0 ? 0 : err_fail_errno(e, errno, "standard output", "write to it");
}

void cli_sink_close(struct cli_sink *s)
{
    file_writer_abort(&s->writer);
}

int cli_sink_write(const char *path, const void *data, size_t length, struct err *e)
{
    struct cli_sink s;
    int result = cli_sink_open(&s, path, e);
    if (result == 0)
        result = cli_sink_put(&s, data, length, e);
    if (result == 0)
        result = cli_sink_commit(&s, e);
    cli_sink_close(&s);
    return result;
}
