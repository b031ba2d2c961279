/* The bar is one line of at most 79 columns on standard error, drawn over itself. It waits two
 * seconds, so that short runs stay quiet, and never appears in a file or a pipe. The time left is
 * the time gone, stretched by the solvers' own progress: steps of an adaptive solver are not alike,
 * so it is an estimate. */
#include "cli_progress.h"
#include "base_cpu.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define QUIET_NS 2000000000
#define BAR_WIDTH 20

void cli_progress_begin(struct cli_progress *p)
{
    *p = (struct cli_progress){.terminal = isatty(STDERR_FILENO) == 1, .begun_ns = clock_ns()};
}

static void time_left(double seconds, char *out, size_t size)
{
    int64_t s = seconds < 1e8 ? (int64_t)(seconds + 0.5) : 100000000;
    if (s < 60)
        snprintf(out, size, "%" PRId64 " s", s);
    else if (s < 3600)
        snprintf(out, size, "%" PRId64 " min %02" PRId64 " s", s / 60, s % 60);
    else
        snprintf(out, size, "%" PRId64 " h %02" PRId64 " min", s / 3600, s % 3600 / 60);
}

static void draw_bar(double fraction, char bar[BAR_WIDTH + 1])
{
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '#', (size_t)(fraction * BAR_WIDTH));
    bar[BAR_WIDTH] = '\0';
}

static double clamp(double fraction)
{
    return fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
}

void cli_progress_draw(struct cli_progress *p, const struct engine_progress *now)
{
    int64_t gone = clock_ns() - p->begun_ns;
    double fraction = clamp(now->fraction);
    char bar[BAR_WIDTH + 1], left[32] = "?";
    if (!p->terminal || gone < QUIET_NS)
        return;
    draw_bar(fraction, bar);
    if (fraction > 0)
        time_left((double)gone * 1e-9 * (1 - fraction) / fraction, left, sizeof left);
    fprintf(stderr, "\r\033[K[%s] %zu/%zu images, %" PRId64 " steps, nfe %" PRId64 ", %s left", bar,
            now->images_done, now->images_total, now->steps, now->nfe, left);
    fflush(stderr);
    p->drawn = true;
}

void cli_progress_draw_job(struct cli_progress *p, const struct cli_progress_job *now)
{
    char bar[BAR_WIDTH + 1], left[32] = "?", rate[40] = "";
    if (!p->terminal || clock_ns() - p->begun_ns < QUIET_NS)
        return;
    draw_bar(clamp(now->fraction), bar);
    if (now->left_s >= 0)
        time_left(now->left_s, left, sizeof left);
    if (now->rate >= 0)
        snprintf(rate, sizeof rate, now->rate < 10 ? ", %.2f images/s" : ", %.0f images/s",
                 now->rate < 1e9 ? now->rate : 1e9);
    fprintf(stderr, "\r\033[K[%s] %" PRIu64 "/%" PRIu64 " images%s, %s left", bar, now->done,
            now->total, rate, left);
    fflush(stderr);
    p->drawn = true;
}

void cli_progress_end(struct cli_progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
