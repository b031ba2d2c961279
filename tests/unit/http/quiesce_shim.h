/* What quiesce_shim.c shares with its test. */
#ifndef QUIESCE_SHIM_H
#define QUIESCE_SHIM_H

#include <stdatomic.h>

extern atomic_int quiesce_shim_fd;   /* the socket that is always gone */
extern atomic_int quiesce_shim_lost; /* how often it was */

#endif
