/* What every part of the fleet's store begins with. */
#include "jobs_fleet.h"

struct jobs_wire *jobs_fleet_wire(struct jobs_fleet *f, struct err *e)
{
    struct jobs_wire *w = NULL;
    lock_take(&f->lock);
    if (f->is_ready && jobs_wire_is_open(f->wire))
        w = jobs_wire_hold(f->wire);
    else if (f->is_ready)
        jobs_wire_trouble(f->wire, e);
    else if (f->trouble.code != ERR_NONE && e)
        *e = f->trouble;
    else
        err_fail(e, ERR_IO, f->shown, "is being connected to");
    lock_drop(&f->lock);
    return w;
}

void jobs_fleet_tell(struct jobs_fleet *f, const char *id)
{
    lock_take(&f->lock);
    f->empty_until_ns = 0;
    lock_drop(&f->lock);
    if (f->store.changed)
        f->store.changed(f->store.context, id);
}
