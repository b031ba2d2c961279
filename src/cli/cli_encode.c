/* `pfgm encode`: images up to the latents that pfgm decode brings back.
 *
 * Latents are written in single precision: a network reads no more, and one that was rounded comes
 * back as the same picture. */
#include "cli_flow.h"

#include "cli_json.h"
#include "cli_stream.h"
#include "base_size.h"
#include "archive_npy.h"

#include <inttypes.h>
#include <stdlib.h>

#define NPY_HEADER_MAX 4096

static const struct cli_term forms[] = {{"NAME.npy", "the array"},
                                        {"NAME.safetensors", "the tensor x"},
                                        {"-", "standard output: a .npy"},
                                        {0}};

static const struct cli_option options[] = {
    {"input", 'i', 0, "IMAGES", CLI_VALUES_FILES,
     "NAME.png; a folder of .png, in the order of their names; NAME.npy, uint8 [n,H,W,C] or floats "
     "[n,C,H,W] in data scale; NAME.safetensors with the tensor x or likelihood.x in data scale; "
     "of "
     "vectors floats [n,d]; -: a PNG or a .npy on standard input"},
    CLI_OPTION_CLASS(CLI_FLOW_CLASS, "default"),
    CLI_FLOW_OPTIONS,
    {"output", 'o', 0, "OUT", CLI_VALUES_FILES, "where the latents go"},
    {0}};

static bool is_npy(const char *path)
{
    return file_name_ends(path, ".npy") || cli_stream_is_standard(path);
}

/* ---- output ---- */

static int latents_shape(const struct model *m, size_t n, uint64_t shape[4])
{
    const struct image_shape s = model_shape(m);
    const bool vectors = model_vectors(m);
    shape[0] = n;
    shape[1] = vectors ? model_dimension(m) : (uint64_t)s.channels;
    shape[2] = (uint64_t)s.height;
    shape[3] = (uint64_t)s.width;
    return vectors ? 2 : 4;
}

static int write_npy(const struct model *m, const float *latents, size_t n, const char *path,
                     struct err *e)
{
    const size_t bytes = n * model_dimension(m) * sizeof *latents;
    uint64_t shape[4];
    int rank = latents_shape(m, n, shape), result;
    struct buf out;
    buf_init(&out, bytes + NPY_HEADER_MAX);
    result = archive_npy_header(ARCHIVE_NPY_F32, rank, shape, &out, e);
    if (result == 0)
        result = buf_append(&out, latents, bytes, e);
    if (result == 0)
        result = cli_sink_write(path, out.data, out.length, e);
    buf_clear(&out);
    return result;
}

static int write_tensor(const struct model *m, const float *latents, size_t n, const char *path,
                        struct err *e)
{
    struct ckpt_output tensor = {.name = "x", .dtype = CKPT_F32, .data = latents};
    json_t *metadata =
        json_pack("{s:s, s:s}", "model", model_sha256(m), "kernel", model_kernel_id(m));
    if (!metadata)
        return err_fail_memory(e, 512);
    tensor.rank = latents_shape(m, n, tensor.shape);
    int result = ckpt_file_write(path, &tensor, 1, metadata, e);
    json_decref(metadata);
    return result;
}

static int write_latents(const struct engine_request *request, const char *path, struct err *e)
{
    const struct engine_order *order = engine_request_order(request);
    const struct model *m = engine_model_get(order->model);
    const size_t d = model_dimension(m);
    float *latents = calloc(order->n, d * sizeof *latents); /* the images were twice as large */
    if (!latents)
        return err_fail_memory(e, order->n * d * sizeof *latents);
    for (size_t i = 0; i < order->n; i++)
        for (size_t j = 0; j < d; j++)
            latents[i * d + j] = (float)engine_request_image(request, i)->state[j];
    int result = is_npy(path) ? write_npy(m, latents, order->n, path, e)
                              : write_tensor(m, latents, order->n, path, e);
    free(latents);
    return result;
}

static void print_report(const struct engine_request *request, const struct cli_flow_options *o,
                         double seconds)
{
    const size_t n = engine_request_order(request)->n;
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += engine_request_image(request, i)->counts.nfe;
    char shown[CLI_SHOWN_MAX];
    fprintf(cli_stream_report(o->output.path), "%zu latent%s, nfe mean %.2f, %.2f s, %s\n", n,
            n == 1 ? "" : "s", (double)sum / (double)n, seconds, cli_shown(o->output.path, shown));
}

static int print_json(const struct engine_request *request, const struct cli_flow_options *o,
                      double seconds, struct err *e)
{
    const struct engine_order *order = engine_request_order(request);
    const struct model *m = engine_model_get(order->model);
    json_t *images = json_array();
    int result = images ? 0 : -1;
    for (size_t i = 0; i < order->n && result == 0; i++) {
        const struct engine_image *image = engine_request_image(request, i);
        result = json_array_append_new(images,
                                       json_pack("{s:I, s:f}", "nfe", (json_int_t)image->counts.nfe,
                                                 "norm", model_prior_distance(m, image->state)));
    }
    json_t *all = result != 0
                      ? NULL
                      : json_pack("{s:o, s:O, s:{s:s, s:s}, s:s, s:o, s:f, s:s}", "n",
                                  json_u64(order->n), "images", images, "model", "path", o->model,
                                  "sha256", model_sha256(m), "kernel", model_kernel_id(m), "solver",
                                  model_solver_json(&order->solver, true), "seconds", seconds,
                                  "output", o->output.path);
    json_decref(images);
    result = cli_json_print(all, e);
    json_decref(all);
    return result;
}

/* ---- the run ---- */

static int encode_points(struct cli_run *run, const struct cli_flow_options *o,
                         const struct cli_points *images, struct err *e)
{
    const struct model *m = engine_model_get(run->model);
    struct engine_order order = {
        .model = run->model,
        .n = images->n,
        .task = ENGINE_TASK_ENCODE,
        .points = images->values,
    };
    const struct model_solver up = model_solver_forward_default(m);
    if (cli_run_class(m, o->class, &order.class, e) != 0 ||
        cli_solver_choose(m, &up, o->steps, &o->solver, &order.solver, e) != 0)
        return -1;
    struct engine_request *request = cli_run_order(run, &order, e);
    int result = request ? write_latents(request, o->output.path, e) : -1;
    if (result == 0 && o->json)
        result = print_json(request, o, run->seconds, e);
    else if (result == 0)
        print_report(request, o, run->seconds);
    engine_request_free(request);
    return result;
}

static int encode(const struct cli_flow_options *o, struct err *e)
{
    struct model *m = cli_model_load(o->model, o->kernel, o->precision, e);
    const struct cli_output_guard guard = cli_flow_guard(o);
    struct cli_points images = {0};
    struct cli_run run = {0};
    int result = -1;
    if (m &&
        cli_output_prepare(CLI_OUTPUT_SAFETENSORS, o->output.path, model_shape(m), &guard, e) ==
            0 &&
        cli_points_images(m, o->input, (struct model_scale){0}, &images, e) == 0) {
        result = cli_run_open(&run, m, o->workers, images.n, e);
        m = NULL; /* the run has it */
    }
    if (result == 0)
        result = encode_points(&run, o, &images, e);
    cli_flow_clear(&run, &images, m);
    return result;
}

static const char *missing(const struct cli_flow_options *o)
{
    if (!o->input)
        return "--input IMAGES is needed";
    if (!o->output.path)
        return "-o LATENTS is needed";
    return is_npy(o->output.path) || file_name_ends(o->output.path, ".safetensors")
               ? NULL
               : "the output must end in .npy or .safetensors, or be - for standard output";
}

static int encode_main(int argc, char **argv)
{
    static const struct cli_flow_command flow = {&cli_encode_command, missing, encode};
    return cli_flow_main(&flow, argc, argv);
}

const struct cli_command cli_encode_command = {
    .name = "encode",
    .summary = "turn images into latents, from which decode makes them again",
    .synopsis = "encode MODEL --input IMAGES [options] -o LATENTS",
    .about = "Follows the flow from images at t_min up to t = T. The results are the latents from "
             "which pfgm decode makes the images again. Writes float32 [n,C,H,W], for vectors "
             "[n,d]. The name's ending chooses the format:",
    .terms = forms,
    .options = options,
    .solver = {.title =
                   "The solver of the path up, rk45 over ln t with tolerances 1e-5 unless chosen:",
               .method = "rk45 (default), or with a --schedule other than tuned euler, "
                         "improved-euler, heun, multistep2, multistep3, ipndm4, unipc3"},
    .words = CLI_VALUES_FILES,
    .take = cli_flow_take,
    .run = encode_main};
