/* `pfgm sample --trajectory K`: images on their way, as a strip or as a moving picture. */
#ifndef CLI_TRAJECTORY_H
#define CLI_TRAJECTORY_H

#include "engine.h"

#define CLI_TRAJECTORY_MAX 1000

/* Whether a trajectory can be written to a file of that name. */
int cli_trajectory_check(const char *path, struct err *e);
/* K states of each image of the order (its latents are not looked at), evenly over its steps. To
 * NAME.png a row per image; to NAME.apng a sheet of all images that moves. 0 or -1. */
int cli_trajectory_write(const struct engine_order *order, int frames, int scale, const char *path,
                         struct err *e);

#endif
