/* Inside the room: the folder of a run belongs to one process at a time.
 *
 * The lock is the system's (flock on RUN/.lock), so that it goes with the process, however it ends;
 * the file itself stays. What another run, or a person, has put there is never written over. */
#ifndef TRAIN_PLACE_H
#define TRAIN_PLACE_H

#include "base_err.h"

#define TRAIN_OTHER_MODEL "model-ema-" /* how the models of further averages begin */

struct train_place {
    int lock; /* descriptor, or -1 */
};
#define TRAIN_PLACE_NONE ((struct train_place){.lock = -1})

/* Takes the folder, which is there, for a run that begins (`resume` false: the folder must hold no
 * file of a run, but may hold `config`, the configuration that was asked for, or NULL) or goes on
 * (the state must be there), and removes unfinished files that a killed run has left. Does nothing
 * when the folder is held already. ERR_INPUT when another process holds it. */
int train_place_take(struct train_place *p, const char *folder, bool resume, const char *config,
                     struct err *e);
void train_place_leave(struct train_place *p);

#endif
