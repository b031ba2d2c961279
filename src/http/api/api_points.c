/* Reading points. The problem's pointer says which of a request's images it was, so the readers'
 * own names of what they read are left empty. */
#include "api_points.h"

#include "base_crypto.h"

/* What a reader said, under the pointer; what is not the client's fault stays ours. */
static int refuse(const struct err *e, const char *pointer, struct http_problem *p)
{
    if (e->code == ERR_MEMORY || e->code == ERR_INTERNAL)
        http_problem_set(p, HTTP_PROBLEM_INTERNAL, "%s", e->text);
    else
        http_problem_point(p, pointer, "%s", e->text);
    return -1;
}

int api_points_array(const void *data, size_t length, size_t n_max, const char *pointer,
                     struct archive_npy *out, size_t *n, struct http_problem *p)
{
    struct err e = {0};
    if (archive_npy_read(data, length, length, "", out, &e) != 0)
        return refuse(&e, pointer, p);
    if (model_points_count(out, n_max, "", n, &e) == 0)
        return 0;
    p->limit = (int64_t)n_max;
    return refuse(&e, pointer, p);
}

int api_points_values(const struct model *m, const struct archive_npy *a, size_t n,
                      const struct model_scale *scale, const char *pointer, double *out,
                      struct http_problem *p)
{
    struct err e = {0};
    int result = scale ? model_points_images(m, a, n, *scale, "", out, &e)
                       : model_points_latents(m, a, n, "", out, &e);
    return result != 0 ? refuse(&e, pointer, p) : 0;
}

int api_points_png(const struct model *m, const void *data, size_t length, size_t i,
                   struct model_scale scale, const char *pointer, double *out,
                   struct http_problem *p)
{
    struct err e = {0};
    return model_points_png(m, data, length, i, scale, "", out, &e) != 0 ? refuse(&e, pointer, p)
                                                                         : 0;
}

/* The bytes that a JSON string stands for, in `out`, which was initialised. */
static int read_text(const json_t *text, const char *pointer, struct buf *out,
                     struct http_problem *p)
{
    struct err e = {0};
    if (!json_is_string(text)) {
        http_problem_point(p, pointer, "must be a string of base64");
        return -1;
    }
    if (base64_read(out, json_string_value(text), json_string_length(text), &e) != 0)
        return refuse(&e, pointer, p);
    return 0;
}

int api_points_png_text(const struct model *m, const json_t *text, size_t i,
                        struct model_scale scale, const char *pointer, double *out,
                        struct http_problem *p)
{
    struct buf bytes;
    buf_init(&bytes, json_string_length(text));
    int result = read_text(text, pointer, &bytes, p) != 0 ||
                 api_points_png(m, bytes.data, bytes.length, i, scale, pointer, out, p) != 0;
    buf_clear(&bytes);
    return result != 0 ? -1 : 0;
}

int api_points_latent_text(const struct model *m, const json_t *text, const char *pointer,
                           double *out, struct http_problem *p)
{
    struct buf bytes;
    struct archive_npy a;
    size_t n;
    buf_init(&bytes, json_string_length(text));
    int result = read_text(text, pointer, &bytes, p) != 0 ||
                 api_points_array(bytes.data, bytes.length, 1, pointer, &a, &n, p) != 0 ||
                 api_points_values(m, &a, n, NULL, pointer, out, p) != 0;
    buf_clear(&bytes);
    return result != 0 ? -1 : 0;
}

int api_points_cut(const struct model *m, const void *data, size_t length, const char *pointer,
                   double *out, uint8_t *kept, bool *cut, struct http_problem *p)
{
    struct err e = {0};
    return model_points_cut(m, data, length, "", out, kept, cut, &e) != 0 ? refuse(&e, pointer, p)
                                                                          : 0;
}

int api_points_mask(const struct model *m, const void *data, size_t length, bool alpha_only,
                    const char *pointer, uint8_t *kept, struct http_problem *p)
{
    struct err e = {0};
    return model_points_mask(m, data, length, alpha_only, "", kept, &e) != 0
               ? refuse(&e, pointer, p)
               : 0;
}

int api_points_mask_text(const struct model *m, const json_t *text, const char *pointer,
                         uint8_t *kept, struct http_problem *p)
{
    struct buf bytes;
    buf_init(&bytes, json_string_length(text));
    int result = read_text(text, pointer, &bytes, p) != 0 ||
                 api_points_mask(m, bytes.data, bytes.length, false, pointer, kept, p) != 0;
    buf_clear(&bytes);
    return result != 0 ? -1 : 0;
}
