/* Trajectories as files: every image's film is made in turn on the caller's thread, its states laid
 * into sheets. */
#include "cli_trajectory.h"

#include "cli_stream.h"
#include "base_size.h"
#include "figures_film.h"
#include "image_apng.h"

#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)1 << 30)
#define FRAME_MS 80
#define LAST_MS 1500

struct sheets {
    struct image_grid grid;
    struct image_shape one, shape;
    int count; /* sheets: 1 of a strip, K of a moving picture */
    uint8_t *pixels;
};

static bool moves(const char *path)
{
    return file_name_ends(path, ".apng");
}

int cli_trajectory_check(const char *path, struct err *e)
{
    return file_name_ends(path, ".png") || moves(path) || cli_stream_is_standard(path)
               ? 0
               : err_fail(e, ERR_INPUT, "--output",
                          "\"%s\" must end in .png (a strip) or .apng (a moving sheet)", path);
}

static int sheets_new(struct sheets *s, const struct engine_order *o, int frames, int scale,
                      bool moving, struct err *e)
{
    size_t cells = moving ? o->n : o->n * (size_t)frames, bytes;
    s->one = model_shape(engine_model_get(o->model));
    s->grid = (struct image_grid){.columns = moving ? image_grid_columns(o->n) : frames,
                                  .scale = scale,
                                  .gap = IMAGE_GRID_GAP};
    s->count = moving ? frames : 1;
    if (image_grid_shape(s->grid, s->one, cells, &s->shape, e) != 0)
        return -1;
    if (!size_mul(image_shape_count(s->shape), (size_t)s->count, &bytes) || bytes > FILE_BYTES_MAX)
        return err_fail(e, ERR_LIMIT, "--trajectory", "%d frames of %d by %d pixels are too many",
                        frames, s->shape.width, s->shape.height);
    s->pixels = calloc(1, bytes);
    return s->pixels ? 0 : err_fail_memory(e, bytes);
}

/* Image i's states into their places; a shorter path stands still at its end. */
static int place_film(struct sheets *s, const struct model *m, const struct figures_film *film,
                      size_t i, int frames, uint8_t *pixels, struct err *e)
{
    const size_t d = model_dimension(m), sheet = image_shape_count(s->shape);
    for (int k = 0; k < frames; k++) {
        int state = k < film->frames ? k : film->frames - 1;
        if (model_state_pixels(m, film->states + (size_t)state * d, pixels, e) != 0)
            return -1;
        bool moving = s->count > 1;
        image_grid_place(s->grid, s->one, s->shape, moving ? i : i * (size_t)frames + (size_t)k,
                         pixels, s->pixels + (moving ? (size_t)k * sheet : 0));
    }
    return 0;
}

static int fill_sheets(struct sheets *s, const struct engine_order *o, int frames, struct err *e)
{
    const struct model *m = engine_model_get(o->model);
    uint8_t *pixels = malloc(model_dimension(m));
    int result = pixels ? 0 : err_fail_memory(e, model_dimension(m));
    for (size_t i = 0; i < o->n && result == 0; i++) {
        const uint64_t index = o->first_index + i;
        const struct figures_film_start start = {o->seed, index, engine_order_label(o, index),
                                                 o->temperature};
        struct figures_film film;
        result = figures_film_make(m, &o->solver, &start, frames, &film, e);
        if (result == 0)
            result = place_film(s, m, &film, i, frames, pixels, e);
        figures_film_clear(&film);
    }
    free(pixels);
    return result;
}

int cli_trajectory_write(const struct engine_order *o, int frames, int scale, const char *path,
                         struct err *e)
{
    const bool moving = moves(path);
    struct sheets s = {0};
    struct buf out;
    int result = sheets_new(&s, o, frames, scale, moving, e);
    buf_init(&out, FILE_BYTES_MAX);
    if (result == 0)
        result = fill_sheets(&s, o, frames, e);
    if (result == 0)
        result = moving ? image_apng_encode(s.pixels, s.count, s.shape, FRAME_MS, LAST_MS, &out, e)
                        : image_png_encode(s.pixels, s.shape, NULL, NULL, &out, e);
    if (result == 0)
        result = cli_sink_write(path, out.data, out.length, e);
    buf_clear(&out);
    free(s.pixels);
    return result;
}
