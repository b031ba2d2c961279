/* When the store refuses, the jobs' thread leaves it in peace for a while, each time longer, and
 * whoever asks is told why. The work that is finished waits in the engine's requests meanwhile. */
#include "jobs_pause.h"

#include "base_cpu.h"
#include "base_log.h"

#include <string.h>

#define PAUSE_MIN_NS 250000000LL /* doubled each time */
#define PAUSE_MAX_NS 2000000000LL

/* The store has refused. */
static void pause_work(struct jobs *j, enum jobs_answer answer, const struct err *e)
{
    char line[sizeof e->at + sizeof e->text];
    j->is_full = answer == JOBS_FULL;
    lock_take(&j->lock);
    const bool is_news = strcmp(j->trouble.text, e->text) != 0;
    j->trouble = *e;
    lock_drop(&j->lock);
    if (is_news)
        log_line(LOG_ERROR, "jobs wait: %s", err_line(e, line, sizeof line));
    j->pause_ns = j->pause_ns == 0 ? PAUSE_MIN_NS : 2 * j->pause_ns;
    if (j->pause_ns > PAUSE_MAX_NS)
        j->pause_ns = PAUSE_MAX_NS;
    j->paused_until_ns = clock_ns() + j->pause_ns;
}

/* The store has taken something. */
static void end_pause(struct jobs *j)
{
    lock_take(&j->lock);
    const bool is_news = j->trouble.code != ERR_NONE;
    j->trouble = (struct err){.code = ERR_NONE};
    lock_drop(&j->lock);
    j->pause_ns = j->paused_until_ns = 0;
    j->is_full = false;
    if (is_news)
        log_line(LOG_INFO, "jobs go on: the store is written again");
}

bool jobs_note_read(struct jobs *j, enum jobs_answer answer, const struct err *e)
{
    if (answer == JOBS_AWAY) {
        j->paused_until_ns = clock_ns() + PAUSE_MIN_NS;
        return false;
    }
    if (answer != JOBS_FULL && answer != JOBS_BROKEN)
        return true;
    pause_work(j, answer, e);
    return false;
}

bool jobs_note_write(struct jobs *j, enum jobs_answer answer, const struct err *e)
{
    if (answer == JOBS_DONE && j->is_making_room)
        j->has_made_room = true;
    else if (answer == JOBS_DONE)
        end_pause(j);
    return jobs_note_read(j, answer, e);
}

bool jobs_paused(const struct jobs *j)
{
    return j->paused_until_ns > clock_ns();
}

void jobs_begin_room(struct jobs *j)
{
    j->is_making_room = true;
    j->has_made_room = false;
}

void jobs_end_room(struct jobs *j)
{
    j->is_making_room = false;
    j->paused_until_ns = 0;
    lock_take(&j->lock);
    const bool waits = j->unkept > 0;
    lock_drop(&j->lock);
    if (j->has_made_room && !waits) /* nothing is left that would find out */
        end_pause(j);
}
