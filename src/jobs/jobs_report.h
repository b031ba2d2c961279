/* What is said of images that are stored: a note that goes with the bytes of each, and reports,
 * which have a line for each of several. Plain data and pure functions. Inside the room only. */
#ifndef JOBS_REPORT_H
#define JOBS_REPORT_H

#include "base_buf.h"
#include "jobs_record.h"

#define JOBS_NOTE_SIZE 192

/* What is kept of one image without its bytes; of a million it is 52 MB. */
struct jobs_tallied {
    uint32_t index, nfe, steps_rejected, length;
    int32_t label;
    unsigned char sha256[32];
};

void jobs_report_write_note(const struct jobs_result *r, char out[JOBS_NOTE_SIZE]);
/* -1: it cannot be read. */
int jobs_report_read_note(const char *note, struct jobs_result *out);

/* Both directions; a result that comes from there has no bytes. */
void jobs_report_keep(const struct jobs_result *r, struct jobs_tallied *out);
struct jobs_result jobs_report_result(const struct jobs_tallied *one, uint64_t sequence);

/* Appends the line of an image. */
int jobs_report_write(const struct jobs_tallied *one, struct buf *out, struct err *e);
/* The line at *at, which then is at the next one. 1: read; 0: it was the last; -1: this is no
 * report. */
int jobs_report_read(const char **at, const char *end, struct jobs_tallied *out);

#endif
