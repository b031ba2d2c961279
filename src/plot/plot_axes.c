/* Panels as they are drawn: frames, ticks with their numbers, labels, legends. */
#include "plot_internal.h"

#include <math.h>
#include <string.h>

#define NUMBER_SIZE 9.0
#define LABEL_SIZE 10.0
#define TITLE_SIZE 11.0

static void draw_ticks(struct plot *p, const struct plot_panel *panel, bool upright)
{
    const struct plot_axis *a = upright ? &panel->up : &panel->across;
    const double bottom = panel->y + panel->height;
    struct plot_ticks t;
    if (a->bare)
        return;
    plot_ticks_find(a, &t);
    for (int i = 0; i < t.count; i++) {
        char number[32];
        double place = 0.0, length = t.named[i] ? 4.0 : 2.5;
        if (!(upright ? plot_place_up(panel, t.at[i], &place)
                      : plot_place_across(panel, t.at[i], &place)))
            continue;
        cairo_move_to(p->cairo, upright ? panel->x : place, upright ? place : bottom);
        cairo_rel_line_to(p->cairo, upright ? -length : 0, upright ? 0 : length);
        plot_ink(p, plot_grey(0.3));
        cairo_set_line_width(p->cairo, 0.8);
        cairo_stroke(p->cairo);
        if (!t.named[i])
            continue;
        plot_tick_number(t.at[i], t.powers, number);
        if (upright)
            plot_words(p, panel->x - 6, place + 3, NUMBER_SIZE, PLOT_RIGHT, plot_grey(0.2), number);
        else
            plot_words(p, place, bottom + 14, NUMBER_SIZE, PLOT_CENTRE, plot_grey(0.2), number);
    }
}

/* Shrinks the frame, centred, until one unit is as long across as up. */
static void make_square(struct plot_panel *panel)
{
    double across = panel->across.high - panel->across.low, up = panel->up.high - panel->up.low;
    double scale = fmin(panel->width / across, panel->height / up);
    panel->x += (panel->width - scale * across) / 2;
    panel->y += (panel->height - scale * up) / 2;
    panel->width = scale * across;
    panel->height = scale * up;
}

void plot_panel_draw(struct plot *p, struct plot_panel *panel)
{
    if (panel->square)
        make_square(panel);
    cairo_rectangle(p->cairo, panel->x, panel->y, panel->width, panel->height);
    plot_ink(p, plot_grey(0.3));
    cairo_set_line_width(p->cairo, 0.8);
    cairo_stroke(p->cairo);
    draw_ticks(p, panel, false);
    draw_ticks(p, panel, true);
    if (panel->title)
        plot_words(p, panel->x + panel->width / 2, panel->y - 8, TITLE_SIZE, PLOT_CENTRE,
                   plot_grey(0), panel->title);
    if (panel->across.label)
        plot_words(p, panel->x + panel->width / 2,
                   panel->y + panel->height + (panel->across.bare ? 16 : 30), LABEL_SIZE,
                   PLOT_CENTRE, plot_grey(0), panel->across.label);
    if (panel->up.label) {
        cairo_save(p->cairo);
        cairo_translate(p->cairo, panel->x - (panel->up.bare ? 10 : 38),
                        panel->y + panel->height / 2);
        cairo_rotate(p->cairo, -3.14159265358979323846 / 2);
        plot_words(p, 0, 0, LABEL_SIZE, PLOT_CENTRE, plot_grey(0), panel->up.label);
        cairo_restore(p->cairo);
    }
}

void plot_legend(struct plot *p, const struct plot_panel *panel, const struct plot_series *series,
                 size_t n, bool left)
{
    const double line = 14.0, mark = 22.0, margin = 8.0;
    double widest = 0.0;
    cairo_set_font_size(p->cairo, NUMBER_SIZE);
    for (size_t i = 0; i < n; i++) {
        cairo_text_extents_t extents;
        cairo_text_extents(p->cairo, series[i].name, &extents);
        widest = fmax(widest, extents.x_advance);
    }
    double width = widest + mark + 3 * margin, height = line * (double)n + margin;
    double x = left ? panel->x + margin : panel->x + panel->width - width - margin;
    double y = panel->y + margin;
    cairo_rectangle(p->cairo, x, y, width, height);
    plot_ink(p, plot_fade(plot_grey(1), 0.85));
    cairo_fill(p->cairo);
    for (size_t i = 0; i < n; i++) {
        const double dash[2] = {6, 4}, at = y + line * (double)i + margin / 2 + 7;
        cairo_save(p->cairo);
        if (series[i].dashed)
            cairo_set_dash(p->cairo, dash, 2, 0);
        cairo_move_to(p->cairo, x + margin, at);
        cairo_rel_line_to(p->cairo, mark, 0);
        plot_ink(p, series[i].colour);
        cairo_set_line_width(p->cairo, 2);
        cairo_stroke(p->cairo);
        cairo_restore(p->cairo);
        plot_words(p, x + 2 * margin + mark, at + 3, NUMBER_SIZE, PLOT_LEFT, plot_grey(0.1),
                   series[i].name);
    }
}
