/* The table of routes, and whether work is taken. Raw paths are compared byte by byte: no dots are
 * resolved, no slashes merged, nothing is decoded but the {name}. */
#include "http_app.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct http_route routes[] = {
    {"/v1/images", .post = true, .work = true}, {"/v1/models", .get = http_info_models},
    {"/v1/models/", .get = http_info_model},    {"/v1/capabilities", .get = http_info_capabilities},
    {"/livez", .get = http_info_live},          {"/healthz", .get = http_info_live},
    {"/readyz", .get = http_info_ready},        {"/version", .get = http_info_version},
};

const struct http_route *http_route_find(const char *path, char *name)
{
    name[0] = '\0';
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        size_t length = strlen(routes[i].path);
        if (strcmp(path, routes[i].path) == 0 && path[length - 1] != '/')
            return &routes[i];
        if (routes[i].path[length - 1] != '/' || strncmp(path, routes[i].path, length) != 0)
            continue;
        const char *rest = path + length;
        if (*rest && !strchr(rest, '/') &&
            http_percent_decode(rest, strlen(rest), name, HTTP_PATH_MAX))
            return &routes[i];
    }
    return NULL;
}

const char *http_route_allow(const struct http_route *route)
{
    if (!route) /* the server as a whole, "OPTIONS *" */
        return "GET, HEAD, POST, OPTIONS";
    return route->post ? "POST, OPTIONS" : "GET, HEAD, OPTIONS";
}

int http_route_method(const struct http_route *route, const char *method, bool *options,
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
    bool fits = route->post ? strcmp(method, "POST") == 0
                            : strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (fits)
        return 0;
    snprintf(p->allow, sizeof p->allow, "%s", http_route_allow(route));
    http_problem_set(p, HTTP_PROBLEM_METHOD_NOT_ALLOWED, "%s takes %s", route->path, p->allow);
    return -1;
}

int http_app_retry_after(struct http_app *app)
{
    struct engine_stats stats = engine_stats_get(app->engine);
    double slots = stats.slots ? (double)stats.slots : 1.0;
    double seconds = ceil((double)stats.queued_images / slots * stats.recent_image_s);
    if (!(seconds >= 1.0))
        return 1;
    return seconds > 60.0 ? 60 : (int)seconds;
}

int http_app_ready(struct http_app *app, struct http_problem *p)
{
    switch ((enum http_state)atomic_load(&app->state)) {
    case HTTP_STATE_READY:
        return 0;
    case HTTP_STATE_LOADING:
        pthread_mutex_lock(&app->loading_lock);
        http_problem_set(p, HTTP_PROBLEM_LOADING, "loading %s", app->loading_what);
        pthread_mutex_unlock(&app->loading_lock);
        p->retry_after_s = 1;
        return -1;
    case HTTP_STATE_DRAINING:
        break;
    }
    http_problem_set(p, HTTP_PROBLEM_DRAINING,
                     "the server is stopping and takes no new work; another one may");
    p->retry_after_s = 5;
    p->close = true;
    return -1;
}
