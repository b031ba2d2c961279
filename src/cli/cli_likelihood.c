/* `pfgm likelihood`: how probable a model finds images. The engine follows the flow up from each
 * image and adds up its divergence (model.h says the formula); here the images are read, and the
 * figures printed. */
#include "cli_flow.h"

#include "cli_json.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct cli_option options[] = {
    {"input", 'i', 0, "IMAGES", CLI_VALUES_FILES,
     "NAME.png; a folder of .png, in the order of their names; NAME.npy, uint8 [n,H,W,C] or floats "
     "[n,C,H,W] in data scale; NAME.safetensors with the tensor x or likelihood.x in data scale; "
     "of "
     "vectors floats [n,d]; -: a PNG or a .npy on standard input. Bytes get uniform noise by the "
     "seed; floats are taken unchanged"},
    {"probes", 0, CLI_FLOW_PROBES, "K", NULL, "probes per image, 1 to 1000 (1)"},
    {"exact-trace", 0, CLI_FLOW_EXACT_TRACE, NULL, NULL,
     "no probes: the divergence itself, by d products per evaluation, d <= 64"},
    {"epsilon", 0, CLI_FLOW_EPSILON, "FILE", CLI_VALUES_FILES,
     "the probes: floats [n,C,H,W], or [n,K,C,H,W], in a .npy, or as the tensor epsilon or "
     "likelihood.epsilon of a safetensors file"},
    {"seed", 0, CLI_FLOW_SEED, "S", NULL,
     "of the probes and of the noise on bytes, 0 to 2^64-1 (0)"},
    {"constant", 0, CLI_FLOW_CONSTANT, "C", "exact reference",
     "of the prior's density: exact (default), or reference, as in the reference's code"},
    {"time", 0, CLI_FLOW_TIME, "T", "log linear",
     "what rk45 steps in: log (default), or linear, as in the reference"},
    CLI_OPTION_CLASS(CLI_FLOW_CLASS, "default"),
    CLI_FLOW_OPTIONS,
    {0}};

static double mean_bits(const struct engine_request *request)
{
    const size_t n = engine_request_order(request)->n;
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += engine_request_image(request, i)->bits_per_dimension;
    return sum / (double)n;
}

static void print_report(const struct engine_request *request, double seconds)
{
    const struct engine_order *order = engine_request_order(request);
    for (size_t i = 0; i < order->n; i++) {
        const struct engine_image *image = engine_request_image(request, i);
        printf("image %zu: %.4f bits per dimension, log-likelihood %.4f, nfe %" PRId64 "\n", i,
               image->bits_per_dimension, image->log_likelihood, image->counts.nfe);
    }
    printf("%zu image%s: %.4f bits per dimension, %.2f s\n", order->n, order->n == 1 ? "" : "s",
           mean_bits(request), seconds);
}

static json_t *images_json(const struct engine_request *request)
{
    json_t *images = json_array();
    for (size_t i = 0; images && i < engine_request_order(request)->n; i++) {
        const struct engine_image *image = engine_request_image(request, i);
        json_t *one = json_pack("{s:f, s:f, s:I}", "bits_per_dimension", image->bits_per_dimension,
                                "log_likelihood", image->log_likelihood, "nfe",
                                (json_int_t)image->counts.nfe);
        if (json_array_append_new(images, one) != 0) {
            json_decref(images);
            return NULL;
        }
    }
    return images;
}

static int print_json(const struct engine_request *request, const struct cli_flow_options *o,
                      double seconds, struct err *e)
{
    const struct engine_order *order = engine_request_order(request);
    const struct model *m = engine_model_get(order->model);
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, order->seed);
    json_t *all = json_pack(
        "{s:o, s:f, s:{s:s, s:s}, s:s, s:i, s:b, s:s, s:s, s:s, s:o, s:f}", "images",
        images_json(request), "mean_bits_per_dimension", mean_bits(request), "model", "path",
        o->model, "sha256", model_sha256(m), "kernel", model_kernel_id(m), "probes",
        order->likelihood.probes, "exact_trace", order->likelihood.probes == 0, "seed", seed,
        "constant", order->likelihood.reference_constant ? "reference" : "exact", "time",
        order->solver.ode.clock == ODE_CLOCK_LINEAR ? "linear" : "log", "solver",
        model_solver_json(&order->solver, true), "seconds", seconds);
    int result = cli_json_print(all, e);
    json_decref(all);
    return result;
}

/* How the divergence is had; the probes that were given in *epsilon. */
static int choose_probes(const struct cli_flow_options *o, const struct model *m, size_t n,
                         struct model_likelihood *l, float **epsilon, struct err *e)
{
    struct err why = {0};
    int given = 0;
    l->probes = o->exact_trace ? 0 : o->probes ? (int)o->probes : 1;
    if (o->epsilon) {
        if (cli_points_probes(m, o->epsilon, n, &given, epsilon, e) != 0)
            return -1;
        if (o->probes && o->probes != given)
            return err_fail(e, ERR_INPUT, o->epsilon, "holds %d probes per image, not %" PRId64,
                            given, o->probes);
        l->probes = given;
    }
    return model_likelihood_check(m, l, &why) == 0 ? 0
           : o->exact_trace                        ? err_rename(e, &why, "--exact-trace")
                                                   : cli_fail_field(&why, NULL, e);
}

static int judge(struct cli_run *run, const struct cli_flow_options *o,
                 const struct cli_points *images, const struct model_likelihood *l,
                 const float *epsilon, struct err *e)
{
    const struct model *m = engine_model_get(run->model);
    struct engine_order order = {
        .model = run->model,
        .seed = o->seed,
        .n = images->n,
        .task = ENGINE_TASK_LIKELIHOOD,
        .points = images->values,
        .likelihood = *l,
        .epsilon = epsilon,
    };
    const struct model_solver up = model_solver_likelihood_default(m);
    if (cli_solver_choose(m, &up, o->steps, &o->solver, &order.solver, e) != 0)
        return -1;
    order.solver.ode.clock = o->linear ? ODE_CLOCK_LINEAR : ODE_CLOCK_LOG;
    if (cli_run_class(m, o->class, &order.class, e) != 0)
        return -1;
    struct engine_request *request = cli_run_order(run, &order, e);
    int result = request ? 0 : -1;
    if (result == 0 && o->json)
        result = print_json(request, o, run->seconds, e);
    else if (result == 0)
        print_report(request, run->seconds);
    engine_request_free(request);
    return result;
}

static int likelihood(const struct cli_flow_options *o, struct err *e)
{
    struct model *m = cli_model_load(o->model, o->kernel, o->precision, e);
    const struct model_scale scale = {.noise = true, .seed = o->seed};
    struct model_likelihood l = o->likelihood;
    struct cli_points images = {0};
    struct cli_run run = {0};
    float *epsilon = NULL;
    int result = -1;
    if (m && cli_points_images(m, o->input, scale, &images, e) == 0 &&
        choose_probes(o, m, images.n, &l, &epsilon, e) == 0) {
        result = cli_run_open(&run, m, o->workers, images.n, e);
        m = NULL; /* the run has it */
    }
    if (result == 0)
        result = judge(&run, o, &images, &l, epsilon, e);
    free(epsilon);
    cli_flow_clear(&run, &images, m);
    return result;
}

static const char *missing(const struct cli_flow_options *o)
{
    if (o->exact_trace && (o->probes || o->epsilon))
        return o->probes ? "--exact-trace takes no probes: leave out --probes"
                         : "--exact-trace takes no probes: leave out --epsilon";
    return o->input ? NULL : "--input IMAGES is needed";
}

static int likelihood_main(int argc, char **argv)
{
    static const struct cli_flow_command flow = {&cli_likelihood_command, missing, likelihood};
    return cli_flow_main(&flow, argc, argv);
}

const struct cli_command cli_likelihood_command = {
    .name = "likelihood",
    .summary = "print how probable a model finds images",
    .synopsis = "likelihood MODEL --input IMAGES [options]",
    .about = "Prints the log-likelihood of images under the model, in natural logarithms and in "
             "bits per dimension. For 8-bit pictures these are -log p / (d ln 2) + 7; for vectors, "
             "which have a scale of their own, without the 7. The divergence of the flow is "
             "estimated by random "
             "probes.",
    .options = options,
    .solver = {.title = "The solver, which is rk45, with tolerances 1e-4 unless they are given:",
               .method = "rk45, which is the only one here",
               .adaptive = true},
    .words = CLI_VALUES_FILES,
    .take = cli_flow_take,
    .run = likelihood_main};
