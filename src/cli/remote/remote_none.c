/* In the place of remote_curl.c where the build has no libcurl: nothing can be opened. */
#include "remote.h"

struct remote *remote_open(const struct remote_options *o, struct err *e)
{
    (void)o;
    err_fail(e, ERR_UNSUPPORTED, "",
             "this pfgm was built without libcurl, so it cannot ask a server; clients/ in the "
             "source has clients that can");
    return NULL;
}

void remote_close(struct remote *r)
{
    (void)r;
}

int64_t remote_patience_s(const struct remote *r)
{
    (void)r;
    return 0;
}

int remote_ask(struct remote *r, const struct remote_call *call, struct remote_answer *a,
               struct err *e)
{
    (void)r, (void)call, (void)a;
    return err_fail(e, ERR_INTERNAL, "", "nobody can be asked without libcurl");
}
