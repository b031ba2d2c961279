/* The curve of the loss over the steps, each line of the log a mean. The first steps lose a hundred
 * times what later ones do; the axis ends where the rest can be read. */
#include "plot.h"
#include "train_log.h"

#include <math.h>
#include <stdlib.h>

#define HIGHEST 4.0 /* of the least loss */

static void draw(struct plot *p, const struct train_log *lines, double *step, double *loss)
{
    double low = INFINITY, high = 0.0;
    for (size_t i = 0; i < lines->count; i++) {
        step[i] = (double)lines->lines[i].step;
        loss[i] = lines->lines[i].loss > 1e-12 ? lines->lines[i].loss : 1e-12;
        low = fmin(low, loss[i]);
        high = fmax(high, loss[i]);
    }
    struct plot_panel panel = {60,
                               30,
                               560,
                               300,
                               {step[0], step[lines->count - 1], false, "step", false},
                               {0.97 * low, 1.03 * fmin(high, HIGHEST * low), true, "loss", false},
                               NULL,
                               false};
    plot_panel_draw(p, &panel);
    plot_curve(p, &panel, step, loss, lines->count, 1.2, false, plot_colour(0));
}

int train_log_plot(const struct train_log *log, const char *path, struct err *e)
{
    double *values;
    struct plot *p;
    if (log->count < 2)
        return 0;
    values = calloc(2 * log->count, sizeof *values);
    if (!values)
        return err_fail_memory(e, 2 * log->count * sizeof *values);
    p = plot_new(path, 640, 380, e);
    if (p)
        draw(p, log, values, values + log->count);
    free(values);
    return p ? plot_save(p, e) : -1;
}
