/* The table of routes. Raw paths are compared byte by byte: no dots are
 * resolved, no slashes merged, nothing is decoded but the variable segments. */
#include "api_route.h"

#include "api_kserve.h"
#include "api_openai.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define READ "GET, HEAD, OPTIONS"
#define BOTH (HTTP_PUBLIC | HTTP_ADMIN)

static const struct api_route routes[] = {
    {"/v1/images", "/v1/images", "POST, OPTIONS", HTTP_PUBLIC, .work = true, .has_body = true,
     .dialect = &api_native},
    {"/v1/images/generations", "/v1/images/generations", "POST, OPTIONS", HTTP_PUBLIC, .work = true,
     .has_body = true, .dialect = &api_openai},
    {"/v1/images/edits", "/v1/images/edits", "POST, OPTIONS", HTTP_PUBLIC, .work = true,
     .has_body = true, .dialect = &api_openai_edits},
    {"/v1/images/variations", "/v1/images/variations", "POST, OPTIONS", HTTP_PUBLIC, .work = true,
     .has_body = true, .dialect = &api_openai_variations},
    {"/v1/images/*/*", "/v1/images/{seed}/{index}", READ, HTTP_PUBLIC, .work = true, .linked = true,
     .dialect = &api_link},
    {"/v1/encode", "/v1/encode", "POST, OPTIONS", HTTP_PUBLIC, .work = true, .has_body = true,
     .dialect = &api_encode},
    {"/v1/decode", "/v1/decode", "POST, OPTIONS", HTTP_PUBLIC, .work = true, .has_body = true,
     .dialect = &api_decode},
    {"/v1/interpolate", "/v1/interpolate", "POST, OPTIONS", HTTP_PUBLIC, .work = true,
     .has_body = true, .dialect = &api_interpolate},
    {"/v1/edit", "/v1/edit", "POST, OPTIONS", HTTP_PUBLIC, .work = true, .has_body = true,
     .dialect = &api_edit},
    {"/v1/likelihood", "/v1/likelihood", "POST, OPTIONS", HTTP_PUBLIC, .work = true,
     .has_body = true, .dialect = &api_likelihood},
    {"/v1/jobs", "/v1/jobs", "GET, HEAD, POST, OPTIONS", HTTP_PUBLIC, .work = true,
     .has_body = true, .dialect = &api_jobs_dialect, .method = "POST"},
    {"/v1/jobs", "/v1/jobs", "GET, HEAD, POST, OPTIONS", HTTP_PUBLIC, .polled = true,
     .wait = api_jobs_list_waits, .answer = api_jobs_list},
    {"/v1/jobs/*", "/v1/jobs/{id}", "GET, HEAD, PUT, DELETE, OPTIONS", HTTP_PUBLIC, .work = true,
     .has_body = true, .dialect = &api_jobs_dialect, .method = "PUT"},
    {"/v1/jobs/*", "/v1/jobs/{id}", "GET, HEAD, PUT, DELETE, OPTIONS", HTTP_PUBLIC, .writes = true,
     .answer = api_jobs_remove, .method = "DELETE"},
    {"/v1/jobs/*", "/v1/jobs/{id}", "GET, HEAD, PUT, DELETE, OPTIONS", HTTP_PUBLIC, .polled = true,
     .wait = api_jobs_waits, .answer = api_jobs_show},
    {"/v1/jobs/*/archive", "/v1/jobs/{id}/archive", READ, HTTP_PUBLIC, .stream = api_jobs_archive},
    {"/v1/jobs/*/events", "/v1/jobs/{id}/events", READ, HTTP_PUBLIC, .stream = api_jobs_events},
    {"/v1/jobs/*/images/*", "/v1/jobs/{id}/images/{index}", READ, HTTP_PUBLIC,
     .answer = api_jobs_image},
    {"/v1/models", "/v1/models", READ, HTTP_PUBLIC, .answer = api_info_models},
    {"/v1/models/*", "/v1/models/{name}", READ, HTTP_PUBLIC, .answer = api_info_model},
    {"/v1/capabilities", "/v1/capabilities", READ, HTTP_PUBLIC, .answer = api_info_capabilities},
    {"/v2", "/v2", READ, HTTP_PUBLIC, .free = true, .dialect = &api_kserve,
     .answer = api_kserve_server},
    {"/v2/health/live", "/v2/health/live", READ, HTTP_PUBLIC, .free = true, .polled = true,
     .dialect = &api_kserve, .answer = api_kserve_live},
    {"/v2/health/ready", "/v2/health/ready", READ, HTTP_PUBLIC, .free = true, .polled = true,
     .dialect = &api_kserve, .answer = api_kserve_ready},
    {"/v2/models/stats", "/v2/models/stats", READ, HTTP_PUBLIC, .dialect = &api_kserve,
     .answer = api_kserve_statistics},
    {"/v2/models/*", "/v2/models/{name}", READ, HTTP_PUBLIC, .dialect = &api_kserve,
     .answer = api_kserve_model},
    {"/v2/models/*/ready", "/v2/models/{name}/ready", READ, HTTP_PUBLIC, .polled = true,
     .dialect = &api_kserve, .answer = api_kserve_model_ready},
    {"/v2/repository/index", "/v2/repository/index", "POST, OPTIONS", HTTP_PUBLIC, .has_body = true,
     .dialect = &api_kserve, .answer = api_kserve_index},
    {"/v2/models/*/stats", "/v2/models/{name}/stats", READ, HTTP_PUBLIC, .dialect = &api_kserve,
     .answer = api_kserve_statistics},
    {"/v2/models/*/infer", "/v2/models/{name}/infer", "POST, OPTIONS", HTTP_PUBLIC, .work = true,
     .has_body = true, .dialect = &api_kserve},
    {"/", "/", READ, HTTP_PUBLIC, .free = true, .answer = api_page_answer},
    {"/livez", "/livez", READ, BOTH, .free = true, .polled = true, .answer = api_info_live},
    {"/healthz", "/healthz", READ, BOTH, .free = true, .polled = true, .answer = api_info_live},
    {"/health", "/health", READ, BOTH, .free = true, .polled = true, .answer = api_info_health},
    {"/readyz", "/readyz", READ, BOTH, .free = true, .polled = true, .answer = api_info_ready},
    {"/version", "/version", READ, BOTH, .free = true, .answer = api_info_version},
    {"/metrics", "/metrics", READ, BOTH, .free = true, .polled = true, .answer = api_info_metrics},
    {"/openapi.json", "/openapi.json", READ, BOTH, .free = true, .answer = api_info_openapi},
    {"/debug/slots", "/debug/slots", READ, HTTP_ADMIN, .answer = api_admin_slots},
    {"/admin/v1/models/*/reload", "/admin/v1/models/{name}/reload", "POST, OPTIONS", HTTP_ADMIN,
     .answer = api_admin_reload},
    {"/admin/v1/drain", "/admin/v1/drain", "POST, OPTIONS", HTTP_ADMIN, .answer = api_admin_drain},
    {"/admin/v1/log-level", "/admin/v1/log-level", "PUT, OPTIONS", HTTP_ADMIN, .has_body = true,
     .answer = api_admin_log_level},
};
#define ROUTES (sizeof routes / sizeof *routes)
_Static_assert(ROUTES < HTTP_ROUTES_MAX, "the metrics have a place for every route and for none");

/* Compares segment by segment; a variable one goes to `names`. */
static bool matches(const char *pattern, const char *path,
                    char names[HTTP_NAMES_MAX][HTTP_PATH_MAX])
{
    for (int name = 0;;) {
        if (*pattern == '*') {
            size_t length = strcspn(path, "/");
            if (length == 0 || !http_percent_decode(path, length, names[name++], HTTP_PATH_MAX))
                return false;
            pattern++;
            path += length;
        }
        if (*pattern != *path)
            return false;
        if (!*pattern)
            return true;
        pattern++;
        path++;
    }
}

const struct api_route *api_route_find(unsigned where, const char *path,
                                       char names[HTTP_NAMES_MAX][HTTP_PATH_MAX])
{
    for (size_t i = 0; i < ROUTES; i++)
        if ((routes[i].where & where) && matches(routes[i].path, path, names))
            return &routes[i];
    for (int i = 0; i < HTTP_NAMES_MAX; i++)
        names[i][0] = '\0';
    return NULL;
}

const struct api_dialect *api_route_speaks(unsigned where, const char *target)
{
    for (size_t i = 0; i < ROUTES; i++) {
        const struct api_route *row = &routes[i];
        const size_t length = strlen(row->path);
        if ((row->where & where) && row->dialect && row->dialect->problem &&
            strncmp(target, row->path, length) == 0 && strchr("/?", target[length]))
            return row->dialect;
    }
    return NULL;
}

/* The first row of a path. */
static size_t first_of(size_t row)
{
    while (row > 0 && strcmp(routes[row - 1].path, routes[row].path) == 0)
        row--;
    return row;
}

const struct api_route *api_route_for(const struct api_route *route, const char *method)
{
    size_t row = route ? first_of((size_t)(route - routes)) : 0;
    while (route && routes[row].method && strcmp(routes[row].method, method) != 0)
        row++; /* the last row of a path is for all that is left */
    return route ? &routes[row] : NULL;
}

size_t api_route_number(const struct api_route *route)
{
    return route ? first_of((size_t)(route - routes)) : HTTP_ROUTES_MAX - 1;
}

static const char *labels[HTTP_ROUTES_MAX];

static void fill_labels(void)
{
    for (size_t i = 0; i < ROUTES; i++)
        labels[first_of(i)] = routes[i].label;
    labels[HTTP_ROUTES_MAX - 1] = "other";
}

const char *const *api_route_labels(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_labels);
    return labels;
}

const char *api_route_allow(const struct api_route *route)
{
    return route ? route->allow
                 : "GET, HEAD, POST, PUT, DELETE, OPTIONS"; /* the server as a whole */
}

/* Whether the method is a word of the route's list. */
static bool allows(const struct api_route *route, const char *method)
{
    const size_t length = strlen(method);
    for (const char *at = route->allow; *at; at += strspn(at, ", ")) {
        size_t word = strcspn(at, ",");
        if (word == length && strncmp(at, method, word) == 0)
            return true;
        at += word;
    }
    return false;
}

int api_route_method(const struct api_route *route, const char *method, bool *options,
                     struct http_problem *p)
{
    static const char *const known[] = {"GET",     "HEAD",  "POST",    "PUT",  "DELETE",
                                        "OPTIONS", "PATCH", "CONNECT", "TRACE"};
    bool is_known = false;
    for (size_t i = 0; i < sizeof known / sizeof *known && !is_known; i++)
        is_known = strcmp(method, known[i]) == 0;
    *options = strcmp(method, "OPTIONS") == 0;
    if (!is_known) {
        http_problem_set(p, HTTP_PROBLEM_NOT_IMPLEMENTED,
                         "the method is not one that this server knows (methods are upper-case)");
        return -1;
    }
    if (!route || *options)
        return 0;
    if (allows(route, method))
        return 0;
    snprintf(p->allow, sizeof p->allow, "%s", api_route_allow(route));
    http_problem_set(p, HTTP_PROBLEM_METHOD_NOT_ALLOWED, "%s takes %s", route->label, p->allow);
    return -1;
}

size_t api_route_body_max(const struct http_app *app, const struct api_route *route)
{
    const size_t plain = app->options->body_max;
    return route && route->dialect && route->dialect->large && plain < API_LARGE_BODY_MAX
               ? API_LARGE_BODY_MAX
               : plain;
}
