/* The jobs' thread. Inside the room only. */
#ifndef JOBS_FEED_H
#define JOBS_FEED_H

#include "jobs_internal.h"

void *jobs_feed_main(void *jobs);

#endif
