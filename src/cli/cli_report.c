/* The report of a run, for people or for programs. 64-bit numbers keep all their digits: the seed
 * is always a string, an index becomes one above 2^63 − 1. */
#include "cli_report.h"
#include "cli.h"
#include "cli_json.h"
#include "cli_output.h"
#include "cli_stream.h"
#include <inttypes.h>
#include <string.h>

/* Whether somebody gave or drew the seed. Latents that are given take its place, unless it draws
 * classes or the noise of a stochastic solver too. */
static bool has_seed(const struct engine_order *order)
{
    return !order->latents || order->seed != 0 || order->solver.ode.churn.amount > 0 ||
           (order->class.rule == ENGINE_CLASS_DRAWN &&
            model_class_count(engine_model_get(order->model)) > 0);
}

void cli_report_print(const struct cli_report *r)
{
    const struct engine_order *order = engine_request_order(r->request);
    char shown[CLI_SHOWN_MAX], seed[32] = "";
    int64_t least = INT64_MAX, most = 0, sum = 0, rejected = 0;
    for (size_t i = 0; i < order->n; i++) {
        struct ode_counts counts = engine_request_image(r->request, i)->counts;
        sum += counts.nfe;
        rejected += counts.rejected;
        least = counts.nfe < least ? counts.nfe : least;
        most = counts.nfe > most ? counts.nfe : most;
    }
    if (has_seed(order))
        snprintf(seed, sizeof seed, "seed %" PRIu64 ", ", order->seed);
    fprintf(cli_stream_report(r->output),
            "%zu %s, %s%s, nfe mean %.2f min %" PRId64 " max %" PRId64 ", %" PRId64
            " steps rejected, %.2f s, %s\n",
            order->n, order->n == 1 ? "image" : "images", seed,
            ode_method_name(order->solver.ode.method), (double)sum / (double)order->n, least, most,
            rejected, r->seconds, cli_shown(r->output, shown));
}

static json_t *image_json(const struct engine_request *request, size_t i, struct err *e)
{
    const struct engine_image *image = engine_request_image(request, i);
    char digest[SHA256_HEX_SIZE];
    if (cli_output_digest(request, i, digest, e) != 0)
        return NULL;
    json_t *o = json_pack("{s:o, s:I, s:I, s:I, s:s?}", "index", json_u64(image->index), "nfe",
                          (json_int_t)image->counts.nfe, "steps_accepted",
                          (json_int_t)image->counts.accepted, "steps_rejected",
                          (json_int_t)image->counts.rejected, "sha256", digest[0] ? digest : NULL);
    if (o && image->label_count > 0 &&
        json_object_set_new(o, "class",
                            image->labels[0] == MODEL_CLASS_NONE
                                ? json_null()
                                : json_integer(image->labels[0])) != 0) {
        json_decref(o);
        o = NULL;
    }
    if (!o)
        err_fail_memory(e, 256);
    return o;
}

static json_t *images_json(const struct engine_request *request, struct err *e)
{
    json_t *images = json_array();
    if (!images) {
        err_fail_memory(e, 256);
        return NULL;
    }
    for (size_t i = 0; i < engine_request_order(request)->n; i++) {
        json_t *image = image_json(request, i, e);
        if (!image || json_array_append_new(images, image) != 0) {
            if (image)
                err_fail_memory(e, 256);
            json_decref(images);
            return NULL;
        }
    }
    return images;
}

static json_t *report_json(const struct cli_report *r, struct err *e)
{
    const struct engine_order *order = engine_request_order(r->request);
    const struct model *m = engine_model_get(order->model);
    json_t *images = images_json(r->request, e);
    char seed[24];
    if (!images)
        return NULL;
    snprintf(seed, sizeof seed, "%" PRIu64, order->seed);
    json_t *o = json_pack(
        "{s:o, s:s?, s:o, s:{s:s, s:s}, s:s, s:s, s:o, s:o, s:f, s:s}", "n", json_u64(order->n),
        "seed", has_seed(order) ? seed : NULL, "first_index", json_u64(order->first_index), "model",
        "path", r->model, "sha256", model_sha256(m), "kernel", model_kernel_id(m), "precision",
        model_precision_name(m), "solver", model_solver_json(&order->solver, true), "images",
        images, "seconds", r->seconds, "output", r->output);
    if (!o)
        json_fail(e, ERR_IO, "--json", "cannot be made: out of memory, or a path is not UTF-8");
    else if (order->output == ENGINE_OUTPUT_SHEET &&
             json_object_set_new(o, "sha256",
                                 json_string(engine_request_sheet(r->request)->sha256)) != 0) {
        err_fail_memory(e, SHA256_HEX_SIZE);
        json_decref(o);
        o = NULL;
    }
    return o;
}

int cli_report_print_json(const struct cli_report *r, struct err *e)
{
    json_t *o = report_json(r, e);
    int result = o ? cli_json_print(o, e) : -1;
    json_decref(o);
    return result;
}
