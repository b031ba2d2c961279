/* The post processor's lines of a part's head must fit into its buffer, so no head is longer. What
 * it says is wrong has no words; what our own bounds refuse has. */
#include "http_multipart.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BUFFER 16384

struct http_multipart {
    struct MHD_PostProcessor *processor;
    struct http_form *form;
    size_t max;
    struct err error;
};

/* Bytes that were not sent as they are would be taken for others. */
static bool is_plain(const char *encoding)
{
    return !encoding || strcasecmp(encoding, "binary") == 0 || strcasecmp(encoding, "8bit") == 0 ||
           strcasecmp(encoding, "7bit") == 0;
}

static enum MHD_Result take_piece(void *context, enum MHD_ValueKind kind, const char *key,
                                  const char *file, const char *type, const char *encoding,
                                  const char *data, uint64_t offset, size_t length)
{
    struct http_multipart *m = context;
    (void)kind;
    (void)type;
    if (!is_plain(encoding))
        err_fail(&m->error, ERR_INPUT, "",
                 "a part of the form has a Content-Transfer-Encoding; send its bytes as they are");
    else if (http_form_add(m->form, key, file != NULL, offset, data, length, m->max, &m->error) ==
             0)
        return MHD_YES;
    return MHD_NO;
}

struct http_multipart *http_multipart_new(struct MHD_Connection *mhd, struct http_form *form,
                                          size_t max)
{
    struct http_multipart *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->form = form;
    m->max = max;
    m->processor = MHD_create_post_processor(mhd, BUFFER, take_piece, m);
    if (m->processor)
        return m;
    free(m);
    return NULL;
}

static int refuse(const struct http_multipart *m, struct http_problem *p)
{
    const struct err *e = &m->error;
    if (e->code == ERR_LIMIT) {
        http_problem_set(p, HTTP_PROBLEM_CONTENT_TOO_LARGE, "%s", e->text);
        p->limit = HTTP_FORM_PARTS_MAX;
    } else if (e->code == ERR_MEMORY) {
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "%s", e->text);
    } else {
        http_problem_set(p, HTTP_PROBLEM_BAD_REQUEST, "%s",
                         e->code != ERR_NONE ? e->text
                                             : "the body is not the form that its Content-Type "
                                               "declares: a boundary is missing, or the head of a "
                                               "part is too long or damaged");
    }
    return -1;
}

int http_multipart_feed(struct http_multipart *m, const char *data, size_t length,
                        struct http_problem *p)
{
    if (data)
        return MHD_post_process(m->processor, data, length) == MHD_YES ? 0 : refuse(m, p);
    const enum MHD_Result whole = MHD_destroy_post_processor(m->processor);
    m->processor = NULL;
    return whole == MHD_YES ? 0 : refuse(m, p);
}

void http_multipart_free(struct http_multipart *m)
{
    if (m && m->processor)
        MHD_destroy_post_processor(m->processor);
    free(m);
}
