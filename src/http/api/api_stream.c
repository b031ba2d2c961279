/* Arrays go out in the order of their indices, because their form leaves no choice; members of
 * archives in the order in which images finish, with a manifest at the end. A request that fails
 * midway ends without the last piece, so that no reader can take the part for the whole. */
#include "api_stream.h"

#include "base_size.h"
#include "api_answer.h"
#include "archive_npy.h"
#include "archive_tar.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_NAME "arr_0.npy" /* what evaluators of generative models look for */

static bool is_array(const struct api_stream *s)
{
    return s->call->format == HTTP_FORMAT_NPY || s->call->format == HTTP_FORMAT_NPZ;
}

static const struct engine_order *order_of(const struct api_stream *s)
{
    return engine_request_order(s->call->ticket->request);
}

static size_t value_size(const struct api_stream *s)
{
    return s->call->order.float32 ? sizeof(float) : 1;
}

static size_t image_bytes(const struct api_stream *s)
{
    return image_shape_count(model_shape(engine_model_get(order_of(s)->model))) * value_size(s);
}

static int array_header(const struct api_stream *s, struct buf *out)
{
    const struct engine_order *o = order_of(s);
    const struct image_shape shape = model_shape(engine_model_get(o->model));
    const uint64_t c = (uint64_t)shape.channels, h = (uint64_t)shape.height,
                   w = (uint64_t)shape.width;
    const uint64_t hwc[] = {o->n, h, w, c}, chw[] = {o->n, c, h, w};
    return archive_npy_header(s->call->order.float32 ? ARCHIVE_NPY_F32 : ARCHIVE_NPY_U8, 4,
                              s->call->order.chw ? chw : hwc, out, NULL);
}

static int fill(struct api_stream *s, const struct http_look *look, int64_t *wake_ns);
static const struct api_stream_ops of_images = {.fill = fill};

struct api_stream *api_stream_make(struct http_app *app, const struct http_request *q,
                                   struct api_call *call, const struct api_stream_ops *ops,
                                   void *own)
{
    struct api_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->ops = ops;
    s->own = own;
    s->app = app;
    s->request = q;
    s->call = call;
    s->length = UINT64_MAX;
    buf_init(&s->out, HTTP_REPLY_BODY_MAX);
    return s;
}

struct api_stream *api_stream_new(struct http_app *app, const struct http_request *q,
                                  struct api_call *call)
{
    struct api_stream *s = api_stream_make(app, q, call, &of_images, NULL);
    if (!s)
        return NULL;
    bool bad = false;
    if (is_array(s)) {
        s->ready = calloc(order_of(s)->n, 1);
        bad = !s->ready;
    }
    if (call->format == HTTP_FORMAT_ZIP || call->format == HTTP_FORMAT_NPZ) {
        s->zip = archive_zip_stream_new(NULL);
        bad = bad || !s->zip;
    }
    struct buf header;
    buf_init(&header, 4096);
    if (is_array(s) && !bad)
        bad = array_header(s, &header) != 0;
    if (call->format == HTTP_FORMAT_NPY && !bad)
        bad = buf_append(&s->out, header.data, header.length, NULL) != 0;
    if (call->format == HTTP_FORMAT_NPZ && !bad)
        bad = archive_zip_stream_begin(s->zip, ARRAY_NAME,
                                       header.length + order_of(s)->n * image_bytes(s), &s->out,
                                       NULL) != 0 ||
              archive_zip_stream_piece(s->zip, header.data, header.length, &s->out, NULL) != 0;
    buf_clear(&header);
    size_t total;
    if (call->format == HTTP_FORMAT_NPY && size_mul(order_of(s)->n, image_bytes(s), &total))
        s->length = s->out.length + total;
    if (!bad)
        return s;
    api_stream_free(s);
    return NULL;
}

void api_stream_free(struct api_stream *s)
{
    if (!s)
        return;
    if (s->ops->free)
        s->ops->free(s->own);
    buf_clear(&s->out);
    archive_zip_stream_free(s->zip);
    free(s->ready);
    free(s);
}

bool api_stream_complete(const struct api_stream *s)
{
    return s->length != UINT64_MAX ? s->sent == s->length : s->ended && s->at == s->out.length;
}

/* value [C,H,W] or [H,W,C] → the other one, element by element. */
static void transpose(const struct api_stream *s, const unsigned char *from, unsigned char *to,
                      bool to_chw)
{
    const struct image_shape shape = model_shape(engine_model_get(order_of(s)->model));
    const size_t c = (size_t)shape.channels, area = (size_t)shape.height * (size_t)shape.width,
                 size = value_size(s);
    for (size_t k = 0; k < c; k++)
        for (size_t p = 0; p < area; p++) {
            size_t planar = (k * area + p) * size, packed = (p * c + k) * size;
            memcpy(to + (to_chw ? planar : packed), from + (to_chw ? packed : planar), size);
        }
}

/* The values of one image in the layout that was asked for. */
static int array_piece(struct api_stream *s, const struct engine_image *image)
{
    const size_t bytes = image_bytes(s);
    const bool float32 = s->call->order.float32, chw = s->call->order.chw;
    const unsigned char *values =
        float32 ? (const unsigned char *)image->sample : (const unsigned char *)image->pixels;
    unsigned char *turned = NULL;
    if (float32 != chw) { /* samples are planar, pixels packed */
        turned = malloc(bytes);
        if (!turned)
            return -1;
        transpose(s, values, turned, chw);
        values = turned;
    }
    int result = s->zip ? archive_zip_stream_piece(s->zip, values, bytes, &s->out, NULL)
                        : buf_append(&s->out, values, bytes, NULL);
    free(turned);
    return result;
}

static void picture_name(const struct api_stream *s, const struct engine_image *image,
                         char name[80])
{
    snprintf(name, 80, "pfgm-%" PRIu64 "-%" PRIu64 ".png", order_of(s)->seed, image->index);
}

int api_stream_member(struct api_stream *s, const char *name, const void *data, size_t length)
{
    const struct archive_zip_member m = {.name = name, .data = data, .length = length};
    return s->zip ? archive_zip_stream_member(s->zip, &m, &s->out, NULL)
                  : archive_tar_member(name, data, length, &s->out, NULL);
}

static int picture(struct api_stream *s, const struct engine_image *image)
{
    char name[80];
    picture_name(s, image, name);
    return api_stream_member(s, name, image->png.data, image->png.length);
}

static int manifest(struct api_stream *s)
{
    const struct engine_request *done = s->call->ticket->request;
    const size_t count = api_answer_count(order_of(s));
    json_t *images = json_array();
    struct buf text;
    buf_init(&text, HTTP_REPLY_BODY_MAX);
    for (size_t i = 0; i < count && images; i++) {
        char name[80];
        const struct engine_image *image = api_answer_picture(done, i);
        picture_name(s, image, name);
        images = json_plus(images, api_answer_image(image, name));
    }
    json_t *o =
        api_answer_whole(api_answer_head(s->request->id, s->call, order_of(s)), images, s->call);
    const bool bad = !o || json_append(&text, o, 0, NULL) != 0 ||
                     buf_string(&text, "\n", NULL) != 0 ||
                     api_stream_member(s, "manifest.json", text.data, text.length) != 0;
    json_decref(o);
    buf_clear(&text);
    return bad ? -1 : 0;
}

static uint64_t seed_value(const struct api_stream *s, uint64_t i)
{
    (void)i;
    return order_of(s)->seed;
}

static uint64_t index_value(const struct api_stream *s, uint64_t i)
{
    return order_of(s)->first_index + i;
}

static uint64_t class_value(const struct api_stream *s, uint64_t i)
{
    return (uint64_t)(int64_t)engine_request_image(s->call->ticket->request, i)->labels[0];
}

/* A one-dimensional array of an NPZ. */
int api_stream_numbers(struct api_stream *s, const char *name, enum archive_npy_type type,
                       uint64_t (*value)(const struct api_stream *s, uint64_t i), uint64_t n)
{
    struct buf b;
    buf_init(&b, HTTP_REPLY_BODY_MAX);
    int result = archive_npy_header(type, 1, &n, &b, NULL);
    for (uint64_t i = 0; i < n && result == 0; i++) {
        unsigned char bytes[8];
        for (int k = 0; k < 8; k++)
            bytes[k] = (unsigned char)(value(s, i) >> (8 * k));
        result = buf_append(&b, bytes, sizeof bytes, NULL);
    }
    result = result != 0 || api_stream_member(s, name, b.data, b.length) != 0;
    buf_clear(&b);
    return result != 0 ? -1 : 0;
}

static int npz_tail(struct api_stream *s)
{
    const struct engine_order *o = order_of(s);
    const bool conditional = model_class_count(engine_model_get(o->model)) > 0;
    if (api_stream_numbers(s, "seed.npy", ARCHIVE_NPY_U64, seed_value, 1) != 0 ||
        api_stream_numbers(s, "index.npy", ARCHIVE_NPY_U64, index_value, o->n) != 0 ||
        (conditional &&
         api_stream_numbers(s, "class.npy", ARCHIVE_NPY_I64, class_value, o->n) != 0))
        return -1;
    return archive_zip_stream_finish(s->zip, &s->out, NULL);
}

/* What follows the last image. */
static int tail(struct api_stream *s)
{
    switch (s->call->format) {
    case HTTP_FORMAT_NPZ:
        return npz_tail(s);
    case HTTP_FORMAT_ZIP:
        return manifest(s) != 0 ? -1 : archive_zip_stream_finish(s->zip, &s->out, NULL);
    case HTTP_FORMAT_TAR:
        return manifest(s) != 0 ? -1 : archive_tar_finish(&s->out, NULL);
    default:
        return 0;
    }
}

/* The next image that may go out; NULL when it is not there yet. */
static const struct engine_image *next_image(struct api_stream *s, const struct http_look *look)
{
    const struct http_ticket *t = s->call->ticket;
    if (!is_array(s))
        return s->taken < look->images
                   ? engine_request_image(t->request, t->news.images[s->taken++])
                   : NULL;
    while (s->taken < look->images)
        s->ready[t->news.images[s->taken++]] = 1;
    return s->next < order_of(s)->n && s->ready[s->next]
               ? engine_request_image(t->request, s->next++)
               : NULL;
}

static int fill(struct api_stream *s, const struct http_look *look, int64_t *wake_ns)
{
    if (s->call->format == HTTP_FORMAT_EVENTS)
        return api_events_fill(s, look, wake_ns);
    const struct engine_image *image = next_image(s, look);
    if (image)
        return (is_array(s) ? array_piece(s, image) : picture(s, image)) == 0 ? 1
                                                                              : API_STREAM_BROKEN;
    if (!look->finished)
        return look->stopping ? API_STREAM_BROKEN : API_STREAM_WAIT;
    if (engine_request_error(s->call->ticket->request))
        return API_STREAM_BROKEN;
    s->ended = true;
    if (order_of(s)->output == ENGINE_OUTPUT_SHEET &&
        picture(s, engine_request_sheet(s->call->ticket->request)) != 0)
        return API_STREAM_BROKEN;
    return tail(s) == 0 ? 1 : API_STREAM_BROKEN;
}

ssize_t api_stream_read(struct api_stream *s, char *buffer, size_t max, int64_t *wake_ns)
{
    while (s->at == s->out.length) {
        buf_reset(&s->out);
        s->at = 0;
        if (s->ended)
            return API_STREAM_END;
        const struct http_look look = http_ticket_look(s->call->ticket);
        if (look.gone)
            return API_STREAM_BROKEN;
        *wake_ns = 0;
        int result = s->ops->fill(s, &look, wake_ns);
        if (result <= 0)
            return result;
    }
    size_t n = s->out.length - s->at < max ? s->out.length - s->at : max;
    memcpy(buffer, s->out.data + s->at, n);
    s->at += n;
    s->sent += n;
    return (ssize_t)n;
}
