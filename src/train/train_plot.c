/* The curve of the loss: a small picture of its own, with a frame, decades as grey lines, the
 * curve, and figures in a 3×5 dot font. */
#include "base_file.h"
#include "image.h"
#include "train_log.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 640
#define HEIGHT 360
#define LEFT 70
#define RIGHT 20
#define TOP 20
#define BOTTOM 40
#define DOT 2 /* pixels of a dot of the font */

struct canvas {
    uint8_t *pixels; /* [HEIGHT][WIDTH], grey */
};

/* Rows of three dots from the top, for the characters of numbers. */
static const struct {
    char character;
    uint16_t dots;
} font[] = {{'0', 075557}, {'1', 026227}, {'2', 071747}, {'3', 071717}, {'4', 055711},
            {'5', 074717}, {'6', 074757}, {'7', 071111}, {'8', 075757}, {'9', 075717},
            {'.', 000002}, {'-', 000700}, {'e', 007567}, {'+', 002720}, {' ', 0}};

static void put(struct canvas *c, int x, int y, uint8_t shade)
{
    if (x >= 0 && y >= 0 && x < WIDTH && y < HEIGHT)
        c->pixels[y * WIDTH + x] = shade;
}

static void put_text(struct canvas *c, int x, int y, const char *text)
{
    for (; *text; text++, x += 4 * DOT)
        for (size_t k = 0; k < sizeof font / sizeof font[0]; k++)
            for (int i = 0; i < 15 && font[k].character == *text; i++)
                for (int j = 0; j < DOT * DOT && (font[k].dots >> (14 - i) & 1); j++)
                    put(c, x + i % 3 * DOT + j % DOT, y + i / 3 * DOT + j / DOT, 0);
}

/* A line of single dots, two high so that it shows. */
static void put_line(struct canvas *c, double x0, double y0, double x1, double y1)
{
    int steps = (int)fmax(fabs(x1 - x0), fabs(y1 - y0)) + 1;
    for (int i = 0; i <= steps; i++) {
        int x = (int)lrint(x0 + (x1 - x0) * i / steps), y = (int)lrint(y0 + (y1 - y0) * i / steps);
        put(c, x, y, 0);
        put(c, x, y + 1, 0);
    }
}

struct scale {
    double first, last, low, high; /* steps; logarithms of losses */
};

static double place_x(const struct scale *s, double step)
{
    return LEFT + (step - s->first) / (s->last - s->first) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct scale *s, double log_loss)
{
    return TOP + (s->high - log_loss) / (s->high - s->low) * (HEIGHT - TOP - BOTTOM);
}

static void draw_axes(struct canvas *c, const struct scale *s)
{
    char text[32];
    for (int x = LEFT; x <= WIDTH - RIGHT; x++) {
        put(c, x, TOP, 0);
        put(c, x, HEIGHT - BOTTOM, 0);
    }
    for (int y = TOP; y <= HEIGHT - BOTTOM; y++) {
        put(c, LEFT, y, 0);
        put(c, WIDTH - RIGHT, y, 0);
    }
    for (int i = 0; i <= 4; i++) {
        double at = s->low + (s->high - s->low) * i / 4;
        int y = (int)lrint(place_y(s, at));
        for (int x = LEFT + 1; x < WIDTH - RIGHT && i > 0 && i < 4; x += 3)
            put(c, x, y, 160);
        snprintf(text, sizeof text, "%.3g", exp(at));
        put_text(c, LEFT - 6 - (int)strlen(text) * 4 * DOT, y - 5, text);
    }
    for (int i = 0; i <= 4; i++) {
        double step = s->first + (s->last - s->first) * i / 4;
        snprintf(text, sizeof text, "%.0f", step);
        put_text(c, (int)place_x(s, step) - (int)strlen(text) * 2 * DOT, HEIGHT - BOTTOM + 8, text);
    }
}

/* The logarithm of a line's loss; a loss of zero is drawn as a very small one. */
static double log_of(const struct train_log_line *l)
{
    return log(l->loss > 1e-12 ? l->loss : 1e-12);
}

static void draw_curve(struct canvas *c, const struct train_log *log)
{
    struct scale s = {.first = (double)log->lines[0].step,
                      .last = (double)log->lines[log->count - 1].step,
                      .low = log_of(&log->lines[0]),
                      .high = log_of(&log->lines[0])};
    for (size_t i = 0; i < log->count; i++) {
        s.low = fmin(s.low, log_of(&log->lines[i]));
        s.high = fmax(s.high, log_of(&log->lines[i]));
    }
    s.low -= 0.02;
    s.high += 0.02;
    draw_axes(c, &s);
    for (size_t i = 1; i < log->count; i++)
        put_line(c, place_x(&s, (double)log->lines[i - 1].step),
                 place_y(&s, log_of(&log->lines[i - 1])), place_x(&s, (double)log->lines[i].step),
                 place_y(&s, log_of(&log->lines[i])));
}

int train_log_plot(const struct train_log *log, const char *path, struct err *e)
{
    const struct image_shape shape = {1, HEIGHT, WIDTH};
    struct buf png;
    if (log->count < 2)
        return 0;
    struct canvas c = {malloc(WIDTH * HEIGHT)};
    if (!c.pixels)
        return err_fail_memory(e, WIDTH * HEIGHT);
    memset(c.pixels, 255, WIDTH * HEIGHT);
    draw_curve(&c, log);
    buf_init(&png, IMAGE_PIXELS_MAX);
    int result = image_png_encode(c.pixels, shape, NULL, NULL, &png, e);
    if (result == 0)
        result = file_write_atomic(path, png.data, png.length, e);
    buf_free(&png);
    free(c.pixels);
    return result;
}
