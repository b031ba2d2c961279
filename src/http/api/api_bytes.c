/* What a call takes of memory from its begin until its answer has been read: what the engine keeps
 * of its images, and the answer in its format. It is an estimate from above of what the images may
 * be at the worst, since it is wanted before there is any. */
#include "api_dialect.h"

/* Around an image in JSON: its names and numbers, its link, and the same again as a tree. */
#define JSON_AROUND 3072

/* A PNG of n images of d values on one sheet of so many bytes. Pixels that are repeated are hardly
 * more of them down the sheet, and along its rows take less than once more each. */
static size_t sheet_png(size_t values, size_t sheet, int scale)
{
    const size_t most = values * (size_t)scale + sheet / 64;
    return most < sheet ? most : sheet;
}

/* A picture, whose PNG has so many bytes, in an answer: as it is; or in base64, which stands in the
 * tree of the JSON and in its text. What is sent in pieces holds one at a time. */
static size_t picture_bytes(enum http_format format, size_t png)
{
    switch (format) {
    case HTTP_FORMAT_JSON:
        return 3 * png + JSON_AROUND;
    case HTTP_FORMAT_PNG:
        return png;
    case HTTP_FORMAT_APNG:
        return 2 * png; /* all pixels once more while they are encoded */
    default:
        return JSON_AROUND / 8; /* in the manifest */
    }
}

/* The answer to one image of d values. */
static size_t answer_bytes(const struct api_call *call, size_t d)
{
    return call->dialect->bytes ? call->dialect->bytes(call, d) : picture_bytes(call->format, d);
}

size_t api_call_bytes(const struct api_call *call, size_t queue, size_t *most)
{
    const struct engine_order *first = &call->asked;
    *most = 0;
    if (!first->model || call->dialect->take)
        return 0;
    struct engine_order last = call->next ? *call->next : *first;
    last.model = first->model;
    const struct image_shape one = model_shape(engine_model_get(first->model));
    const size_t d = image_shape_count(one);
    struct image_shape sheet = {0};
    const bool is_sheet = last.output == ENGINE_OUTPUT_SHEET &&
                          image_grid_shape(last.grid, one, last.n, &sheet, NULL) == 0;
    /* What follows begins with points of the call's, and both requests are there for a moment. */
    const size_t before =
        call->next ? first->n * engine_order_bytes(first) + last.n * d * sizeof(double) : 0;
    const size_t kept = engine_order_bytes(&last), each = kept + answer_bytes(call, d);
    *most = 2 * queue * each;
    if (!is_sheet)
        return before + last.n * each;
    const size_t pixels = image_shape_count(sheet),
                 png = sheet_png(last.n * d, pixels, last.grid.scale),
                 answer = picture_bytes(call->format, png);
    return before + last.n * kept + png + (pixels > answer ? pixels : answer);
}
