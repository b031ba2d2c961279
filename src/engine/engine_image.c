/* From a solved state to what the order keeps of it: quantised pixels, a PNG with the seed rule's
 * inputs, a sheet. Runs on the worker that solved the image. */
#include "engine_image.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* More than any PNG of IMAGE_PIXELS_MAX pixels can take. */
#define PNG_BYTES_MAX ((size_t)2 * IMAGE_PIXELS_MAX)

static int encode_png(struct engine_request *r, const uint8_t *pixels, struct image_shape shape,
                      uint64_t index, const struct image_grid *grid, struct engine_image *out,
                      struct err *e)
{
    struct buf text;
    buf_init(&text, 4096);
    buf_init(&out->png, PNG_BYTES_MAX);
    bool with_text = !r->order.no_metadata;
    int result = with_text ? engine_seed_text(&r->order, index, grid, &text, e) : 0;
    if (result == 0)
        result = image_png_encode(pixels, shape, with_text ? "pfgm" : NULL,
                                  with_text ? (const char *)text.data : NULL, &out->png, e);
    if (result == 0)
        result = sha256_hex(out->png.data, out->png.length, out->sha256, e);
    buf_clear(&text);
    return result;
}

static int keep_sample(struct engine_image *out, const double *state, size_t d, struct err *e)
{
    for (size_t i = 0; i < d; i++)
        if (!(fabs(state[i]) <= (double)FLT_MAX))
            return err_fail(e, ERR_NUMERIC, "", "value %zu of the sample is not finite", i);
    out->sample = malloc(d * sizeof *out->sample);
    if (!out->sample)
        return err_fail_memory(e, d * sizeof *out->sample);
    for (size_t i = 0; i < d; i++)
        out->sample[i] = (float)state[i];
    return 0;
}

int engine_image_finish(struct engine_request *r, size_t image, const double *state, struct err *e)
{
    const struct model *m = r->order.model->model;
    const struct image_shape shape = model_shape(m);
    const size_t d = image_shape_count(shape);
    struct engine_image *out = &r->images[image];
    const bool arrays = r->order.output == ENGINE_OUTPUT_ARRAYS;
    if (r->order.output == ENGINE_OUTPUT_SAMPLE)
        return keep_sample(out, state, d, e);
    if (arrays && keep_sample(out, state, d, e) != 0)
        return -1;
    bool sheet = r->order.output == ENGINE_OUTPUT_SHEET;
    uint8_t *pixels = sheet ? r->sheet_pixels + image * d : malloc(d);
    if (!pixels)
        return err_fail_memory(e, d);
    int result = image_quantise(state, shape, model_rounding(m), pixels, e);
    if (result == 0 && r->order.output == ENGINE_OUTPUT_PNG)
        result = encode_png(r, pixels, shape, out->index, NULL, out, e);
    if (result == 0 && (arrays || r->order.output == ENGINE_OUTPUT_PIXELS))
        out->pixels = pixels;
    else if (!sheet)
        free(pixels);
    return result;
}

int engine_image_preview(const struct model *m, const double *state, struct buf *out, struct err *e)
{
    const struct image_shape shape = model_shape(m);
    const size_t d = image_shape_count(shape);
    uint8_t *pixels = malloc(d);
    int result = pixels ? model_state_pixels(m, state, pixels, e) : err_fail_memory(e, d);
    if (result == 0)
        result = image_png_encode(pixels, shape, NULL, NULL, out, e);
    free(pixels);
    return result;
}

int engine_image_make_sheet(struct engine_request *r, struct err *e)
{
    const struct engine_order *o = &r->order;
    const struct image_shape one = model_shape(o->model->model);
    const size_t d = image_shape_count(one);
    struct image_shape shape;
    if (image_grid_shape(o->grid, one, o->n, &shape, e) != 0)
        return -1;
    uint8_t *pixels = calloc(1, image_shape_count(shape));
    if (!pixels)
        return err_fail_memory(e, image_shape_count(shape));
    r->sheet.index = o->first_index;
    for (size_t i = 0; i < o->n; i++) {
        image_grid_place(o->grid, one, shape, i, r->sheet_pixels + i * d, pixels);
        r->sheet.counts.nfe += r->images[i].counts.nfe;
        r->sheet.counts.accepted += r->images[i].counts.accepted;
        r->sheet.counts.rejected += r->images[i].counts.rejected;
    }
    int result = encode_png(r, pixels, shape, o->first_index, &o->grid, &r->sheet, e);
    free(pixels);
    return result;
}
