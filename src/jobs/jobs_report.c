/* A line is "INDEX LENGTH CLASS NFE REJECTED SHA256", so that a report can be read by eye. */
#include "jobs_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void jobs_report_write_note(const struct jobs_result *r, char out[JOBS_NOTE_SIZE])
{
    snprintf(out, JOBS_NOTE_SIZE, "%" PRId32 " %" PRId64 " %" PRId64 " %s", r->label, r->nfe,
             r->steps_rejected, r->sha256);
}

int jobs_report_read_note(const char *note, struct jobs_result *out)
{
    return sscanf(note, "%" SCNd32 " %" SCNd64 " %" SCNd64 " %64[0-9a-f]", &out->label, &out->nfe,
                  &out->steps_rejected, out->sha256) == 4 &&
                   strlen(out->sha256) == 64
               ? 0
               : -1;
}

static uint32_t cut(int64_t value)
{
    return value < 0 ? 0 : value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

/* By hand: a million images have 64 million of them. */
static unsigned digit_value(char digit)
{
    return digit >= 'a' ? (unsigned)(digit - 'a') + 10 : (unsigned)(digit - '0');
}

void jobs_report_keep(const struct jobs_result *r, struct jobs_tallied *out)
{
    *out = (struct jobs_tallied){
        (uint32_t)r->index,      cut(r->nfe), cut(r->steps_rejected),
        cut((int64_t)r->length), r->label,    {0},
    };
    for (size_t i = 0; i < sizeof out->sha256; i++)
        out->sha256[i] =
            (unsigned char)(digit_value(r->sha256[2 * i]) << 4 | digit_value(r->sha256[2 * i + 1]));
}

struct jobs_result jobs_report_result(const struct jobs_tallied *one, uint64_t sequence)
{
    struct jobs_result out = {.index = one->index,
                              .sequence = sequence,
                              .label = one->label,
                              .nfe = one->nfe,
                              .steps_rejected = one->steps_rejected,
                              .length = one->length};
    for (size_t k = 0; k < sizeof one->sha256; k++)
        snprintf(&out.sha256[2 * k], 3, "%02x", one->sha256[k]);
    return out;
}

int jobs_report_write(const struct jobs_tallied *one, struct buf *out, struct err *e)
{
    char note[JOBS_NOTE_SIZE];
    const struct jobs_result r = jobs_report_result(one, 0);
    jobs_report_write_note(&r, note);
    return buf_format(out, e, "%" PRIu32 " %" PRIu32 " %s\n", one->index, one->length, note);
}

int jobs_report_read(const char **at, const char *end, struct jobs_tallied *out)
{
    struct jobs_result r = {.index = 0};
    uint32_t index, length;
    char line[JOBS_NOTE_SIZE + 32];
    int used = 0;
    if (*at == end)
        return 0;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    if (!stop || (size_t)(stop - *at) >= sizeof line)
        return -1;
    snprintf(line, sizeof line, "%.*s", (int)(stop - *at), *at);
    if (sscanf(line, "%" SCNu32 " %" SCNu32 " %n", &index, &length, &used) != 2 || used == 0 ||
        jobs_report_read_note(line + used, &r) != 0)
        return -1;
    r.index = index;
    r.length = length;
    jobs_report_keep(&r, out);
    *at = stop + 1;
    return 1;
}
