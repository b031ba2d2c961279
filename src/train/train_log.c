/* The log file and its lines in memory, which the curve is drawn from. One thread. */
#include "train_log.h"
#include "base_file.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER "step,loss,gradient_norm,learning_rate,images_per_second\n"
#define LOG_BYTES_MAX ((size_t)256 << 20)

static int remember(struct train_log *log, struct train_log_line line, struct err *e)
{
    if (log->count == log->capacity) {
        size_t capacity = log->capacity ? 2 * log->capacity : 256;
        struct train_log_line *grown = reallocarray(log->lines, capacity, sizeof *grown);
        if (!grown)
            return err_fail_memory(e, capacity * sizeof *grown);
        log->lines = grown;
        log->capacity = capacity;
    }
    log->lines[log->count++] = line;
    return 0;
}

/* Lines that are not whole (the machine may have stopped in the middle of one) end the reading. */
static int read_lines(struct train_log *log, char *text, int64_t keep_until, struct err *e)
{
    char *line = strchr(text, '\n');
    while (line && *++line) {
        struct train_log_line l;
        char *end = strchr(line, '\n');
        if (!end || sscanf(line, "%" SCNd64 ",%lf,%lf,%lf,%lf\n", &l.step, &l.loss, &l.norm,
                           &l.rate, &l.speed) != 5)
            break;
        if (l.step <= keep_until && remember(log, l, e) != 0)
            return -1;
        line = end;
    }
    return 0;
}

static int print_line(FILE *f, const struct train_log_line *l)
{
    return fprintf(f, "%" PRId64 ",%.6g,%.6g,%.6g,%.1f\n", l->step, l->loss, l->norm, l->rate,
                   l->speed);
}

static int rewrite(const struct train_log *log, struct err *e)
{
    struct file_writer w;
    if (file_writer_open(&w, log->path, e) != 0)
        return -1;
    fputs(HEADER, w.stream);
    for (size_t i = 0; i < log->count; i++)
        print_line(w.stream, &log->lines[i]);
    return file_writer_commit(&w, e);
}

int train_log_open(struct train_log *log, const char *path, int64_t keep_until, struct err *e)
{
    struct buf text;
    int result = 0;
    *log = (struct train_log){.path = strdup(path)};
    if (!log->path)
        return err_fail_memory(e, strlen(path) + 1);
    buf_init(&text, LOG_BYTES_MAX);
    /* One that is there and cannot be read is not replaced: its lines are in no other file. */
    if (keep_until >= 0 && access(path, F_OK) == 0)
        result = file_read(path, &text, e);
    if (result == 0 && text.data)
        result = read_lines(log, (char *)text.data, keep_until, e);
    buf_clear(&text);
    if (result == 0)
        result = rewrite(log, e);
    if (result == 0) {
        log->file = fopen(path, "a");
        if (!log->file)
            result = err_fail_errno(e, errno, path, "open");
    }
    if (result)
        train_log_close(log);
    return result;
}

int train_log_add(struct train_log *log, struct train_log_line line, struct err *e)
{
    if (remember(log, line, e) != 0)
        return -1;
    if (print_line(log->file, &line) < 0 || fflush(log->file) != 0)
        return err_fail_errno(e, errno, log->path, "write");
    return 0;
}

void train_log_close(struct train_log *log)
{
    if (log->file)
        fclose(log->file);
    free(log->lines);
    free(log->path);
    *log = (struct train_log){0};
}
