/* Routes that answer at once: they touch counters and lists only, and ask nothing of a worker. */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "http_app.h"
#include "http_reply.h"
#include "http_request.h"

typedef void api_handler(struct http_app *app, const struct http_request *q, struct http_reply *r);

/* Opens an answer in pieces and fills the reply's head; NULL: the reply is complete. The call is
 * the exchange's, with a ticket. */
struct api_call;
struct api_stream;
typedef struct api_stream *api_opener(struct http_app *app, const struct http_request *q,
                                      struct api_call *call, struct http_reply *r);
/* Whether the client asked to wait and there is nothing new for it; since when it waits, and when
 * to look again. */
typedef bool api_waiter(struct http_app *app, const struct http_request *q, int64_t since_ns,
                        int64_t *wake_ns);

/* api_info.c */
api_handler api_info_live, api_info_ready, api_info_models, api_info_model, api_info_capabilities,
    api_info_health, api_info_version, api_info_openapi, api_info_metrics;
/* api_jobs.c */
api_handler api_jobs_list, api_jobs_show, api_jobs_remove, api_jobs_image;
api_waiter api_jobs_waits, api_jobs_list_waits;
/* api_jobs_archive.c */
api_opener api_jobs_archive;
/* api_jobs_events.c */
api_opener api_jobs_events;
/* api_page.c */
api_handler api_page_answer;
/* api_admin.c */
api_handler api_admin_reload, api_admin_drain, api_admin_log_level, api_admin_slots;

#endif
