/* The sheet: making, saving, colours, words, and what is drawn into panels. */
#include "plot_internal.h"

#include "base_file.h"

#include <cairo-svg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIXELS_A_POINT 2.0
#define BYTES_MAX ((size_t)256 << 20)
#define SIDE_MAX 10000.0
#define FONT "DejaVu Sans"

static cairo_status_t take_bytes(void *context, const unsigned char *data, unsigned length)
{
    struct plot *p = context;
    return buf_append(&p->bytes, data, length, &p->lost) == 0 ? CAIRO_STATUS_SUCCESS
                                                              : CAIRO_STATUS_WRITE_ERROR;
}

int plot_name_check(const char *path, struct err *e)
{
    return file_name_ends(path, ".svg") || file_name_ends(path, ".png")
               ? 0
               : err_fail(e, ERR_INPUT, path, "a figure's name must end in .png or .svg");
}

struct plot *plot_new(const char *path, double width, double height, struct err *e)
{
    struct plot *p;
    bool svg = file_name_ends(path, ".svg");
    if (plot_name_check(path, e) != 0)
        return NULL;
    if (!(width >= 1.0 && width <= SIDE_MAX && height >= 1.0 && height <= SIDE_MAX)) {
        err_fail(e, ERR_LIMIT, path, "a figure of %g by %g points cannot be drawn", width, height);
        return NULL;
    }
    p = calloc(1, sizeof *p);
    if (p)
        p->path = strdup(path);
    if (!p || !p->path) {
        free(p);
        err_fail_memory(e, sizeof *p);
        return NULL;
    }
    p->svg = svg;
    buf_init(&p->bytes, BYTES_MAX);
    p->surface = svg ? cairo_svg_surface_create_for_stream(take_bytes, p, width, height)
                     : cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(width * PIXELS_A_POINT),
                                                  (int)(height * PIXELS_A_POINT));
    p->cairo = cairo_create(p->surface);
    if (cairo_status(p->cairo) != CAIRO_STATUS_SUCCESS) {
        err_fail(e, cairo_status(p->cairo) == CAIRO_STATUS_NO_MEMORY ? ERR_MEMORY : ERR_IO, path,
                 "cannot begin to draw: %s", cairo_status_to_string(cairo_status(p->cairo)));
        plot_free(p);
        return NULL;
    }
    if (!svg)
        cairo_scale(p->cairo, PIXELS_A_POINT, PIXELS_A_POINT);
    cairo_set_source_rgb(p->cairo, 1, 1, 1);
    cairo_paint(p->cairo);
    cairo_set_line_join(p->cairo, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_cap(p->cairo, CAIRO_LINE_CAP_ROUND);
    cairo_select_font_face(p->cairo, FONT, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    return p;
}

void plot_free(struct plot *p)
{
    if (!p)
        return;
    cairo_destroy(p->cairo);
    cairo_surface_finish(p->surface); /* the SVG's last bytes come now */
    cairo_surface_destroy(p->surface);
    buf_clear(&p->bytes);
    free(p->path);
    free(p);
}

int plot_save(struct plot *p, struct err *e)
{
    cairo_status_t status = cairo_status(p->cairo);
    int result = -1;
    if (status == CAIRO_STATUS_SUCCESS && p->svg) {
        cairo_surface_finish(p->surface);
        status = cairo_surface_status(p->surface);
    } else if (status == CAIRO_STATUS_SUCCESS) {
        status = cairo_surface_write_to_png_stream(p->surface, take_bytes, p);
    }
    if (status == CAIRO_STATUS_PNG_ERROR) /* of bytes in memory, which nothing else can stop */
        status = CAIRO_STATUS_NO_MEMORY;
    if (p->lost.code == ERR_LIMIT)
        err_fail(e, ERR_LIMIT, p->path, "the figure has more than %zu bytes", BYTES_MAX);
    else if (p->lost.code != ERR_NONE)
        err_rename(e, &p->lost, p->path);
    else if (status != CAIRO_STATUS_SUCCESS)
        err_fail(e, status == CAIRO_STATUS_NO_MEMORY ? ERR_MEMORY : ERR_IO, p->path,
                 "cannot draw: %s", cairo_status_to_string(status));
    else
        result = file_write_atomic(p->path, p->bytes.data, p->bytes.length, e);
    plot_free(p);
    return result;
}

/* ---- colours and words ---- */

struct plot_colour plot_colour(int i)
{
    static const struct plot_colour colours[PLOT_COLOURS] = {
        {0.00, 0.45, 0.70, 1}, {0.84, 0.37, 0.00, 1}, {0.00, 0.62, 0.45, 1}, {0.80, 0.47, 0.65, 1},
        {0.90, 0.62, 0.00, 1}, {0.34, 0.71, 0.91, 1}, {0.55, 0.45, 0.20, 1}, {0.30, 0.30, 0.30, 1}};
    return colours[(unsigned)i % PLOT_COLOURS];
}

struct plot_colour plot_grey(double lightness)
{
    return (struct plot_colour){lightness, lightness, lightness, 1};
}

struct plot_colour plot_fade(struct plot_colour c, double alpha)
{
    c.alpha *= alpha;
    return c;
}

void plot_ink(struct plot *p, struct plot_colour c)
{
    cairo_set_source_rgba(p->cairo, c.red, c.green, c.blue, c.alpha);
}

void plot_words(struct plot *p, double x, double y, double size, enum plot_align align,
                struct plot_colour colour, const char *text)
{
    cairo_text_extents_t extents;
    cairo_set_font_size(p->cairo, size);
    cairo_text_extents(p->cairo, text, &extents);
    if (align != PLOT_LEFT)
        x -= align == PLOT_CENTRE ? extents.x_advance / 2 : extents.x_advance;
    plot_ink(p, colour);
    cairo_move_to(p->cairo, x, y);
    cairo_show_text(p->cairo, text);
}

/* ---- in panels ---- */

static void begin_clip(struct plot *p, const struct plot_panel *panel)
{
    cairo_save(p->cairo);
    cairo_rectangle(p->cairo, panel->x, panel->y, panel->width, panel->height);
    cairo_clip(p->cairo);
}

void plot_curve(struct plot *p, const struct plot_panel *panel, const double *x, const double *y,
                size_t n, double width, bool dashed, struct plot_colour colour)
{
    const double dash[2] = {4 * width, 3 * width};
    bool pen_down = false;
    begin_clip(p, panel);
    for (size_t i = 0; i < n; i++) {
        double across, up;
        if (!plot_place_across(panel, x[i], &across) || !plot_place_up(panel, y[i], &up)) {
            pen_down = false;
            continue;
        }
        if (pen_down)
            cairo_line_to(p->cairo, across, up);
        else
            cairo_move_to(p->cairo, across, up);
        pen_down = true;
    }
    plot_ink(p, colour);
    cairo_set_line_width(p->cairo, width);
    if (dashed)
        cairo_set_dash(p->cairo, dash, 2, 0);
    cairo_stroke(p->cairo);
    cairo_restore(p->cairo);
}

void plot_point(struct plot *p, const struct plot_panel *panel, double x, double y, double radius,
                struct plot_colour colour)
{
    double across, up;
    if (!plot_place_across(panel, x, &across) || !plot_place_up(panel, y, &up))
        return;
    begin_clip(p, panel);
    cairo_arc(p->cairo, across, up, radius, 0, 2 * 3.14159265358979323846);
    plot_ink(p, colour);
    cairo_fill(p->cairo);
    cairo_restore(p->cairo);
}

void plot_arrow(struct plot *p, const struct plot_panel *panel, double x, double y, double dx,
                double dy, double length, struct plot_colour colour)
{
    double across, up, to_across, to_up;
    if (!plot_place_across(panel, x, &across) || !plot_place_up(panel, y, &up) ||
        !plot_place_across(panel, x + dx, &to_across) || !plot_place_up(panel, y + dy, &to_up))
        return;
    double distance = hypot(to_across - across, to_up - up);
    if (!(distance > 0.0))
        return;
    double ux = (to_across - across) / distance, uy = (to_up - up) / distance;
    begin_clip(p, panel);
    cairo_move_to(p->cairo, across + 0.6 * length * ux, up + 0.6 * length * uy);
    cairo_line_to(p->cairo, across - 0.4 * length * ux - 0.38 * length * uy,
                  up - 0.4 * length * uy + 0.38 * length * ux);
    cairo_line_to(p->cairo, across - 0.4 * length * ux + 0.38 * length * uy,
                  up - 0.4 * length * uy - 0.38 * length * ux);
    cairo_close_path(p->cairo);
    plot_ink(p, colour);
    cairo_fill(p->cairo);
    cairo_restore(p->cairo);
}

void plot_area(struct plot *p, const struct plot_panel *panel, const double *x, const double *low,
               const double *high, size_t n, struct plot_colour colour)
{
    begin_clip(p, panel);
    for (size_t i = 0; i < 2 * n; i++) {
        size_t at = i < n ? i : 2 * n - 1 - i;
        double across, up;
        if (plot_place_across(panel, x[at], &across) &&
            plot_place_up(panel, i < n ? low[at] : high[at], &up))
            cairo_line_to(p->cairo, across, up);
    }
    cairo_close_path(p->cairo);
    plot_ink(p, colour);
    cairo_fill(p->cairo);
    cairo_restore(p->cairo);
}

void plot_picture(struct plot *p, const struct plot_panel *panel, double left, double top,
                  double right, double bottom, const uint8_t *pixels, int channels, int height,
                  int width)
{
    double x0, y0, x1, y1;
    if (!plot_place_across(panel, left, &x0) || !plot_place_across(panel, right, &x1) ||
        !plot_place_up(panel, top, &y0) || !plot_place_up(panel, bottom, &y1))
        return;
    cairo_surface_t *picture = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    unsigned char *data = cairo_image_surface_get_data(picture);
    int stride = cairo_image_surface_get_stride(picture);
    for (int y = 0; data && y < height; y++)
        for (int x = 0; x < width; x++) {
            const uint8_t *pixel =
                pixels + ((size_t)y * (size_t)width + (size_t)x) * (size_t)channels;
            uint32_t value = (uint32_t)pixel[0] << 16 | (uint32_t)pixel[channels > 2 ? 1 : 0] << 8 |
                             (uint32_t)pixel[channels > 2 ? 2 : 0];
            memcpy(data + y * stride + 4 * x, &value, sizeof value);
        }
    cairo_surface_mark_dirty(picture);
    begin_clip(p, panel);
    cairo_translate(p->cairo, x0, y0);
    cairo_scale(p->cairo, (x1 - x0) / width, (y1 - y0) / height);
    cairo_set_source_surface(p->cairo, picture, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(p->cairo), CAIRO_FILTER_NEAREST);
    cairo_paint(p->cairo);
    cairo_restore(p->cairo);
    cairo_surface_destroy(picture);
}
