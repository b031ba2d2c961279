/* Taking a network's profile; see nn_profile.h. */
#include "nn_profile_work.h"
#include "base_cpu.h"

const char *nn_profile_name(enum nn_profile_kind kind)
{
    static const char *const names[NN_PROFILE_KINDS] = {
        "winograd products", "input transforms", "output transforms", "other products",
        "norm + SiLU",       "attention",        "resampling",        "rest"};
    return names[kind];
}

void nn_workspace_profile(struct nn_workspace *ws, struct nn_profile *profile)
{
    ws->profile = profile;
}

int64_t nn_profile_begin(const struct nn_workspace *ws)
{
    return ws->profile ? clock_thread_ns() : 0;
}

static void add(struct nn_profile *profile, enum nn_profile_kind kind, double seconds, double flop,
                double bytes)
{
    struct nn_profile_row *row = &profile->row[kind];
    row->seconds += seconds;
    row->flop += flop;
    row->bytes += bytes;
}

static double seconds_since(int64_t begin)
{
    return (double)(clock_thread_ns() - begin) * 1e-9;
}

void nn_profile_add(const struct nn_workspace *ws, int64_t begin, enum nn_profile_kind kind,
                    double flop, double bytes)
{
    if (ws->profile)
        add(ws->profile, kind, seconds_since(begin), flop, bytes);
}

void nn_profile_evaluation(const struct nn_workspace *ws, int64_t begin)
{
    struct nn_profile *profile = ws->profile;
    if (!profile)
        return;
    profile->total += seconds_since(begin);
    profile->evaluations++;
    profile->row[NN_PROFILE_REST].seconds = profile->total;
    for (int kind = 0; kind < NN_PROFILE_REST; kind++)
        profile->row[NN_PROFILE_REST].seconds -= profile->row[kind].seconds;
}

/* ---- products ---- */

/* Bytes of the planes of one side: 6×6 numbers for 4×4 pixels. */
static double plane_bytes(double pixels, double channels)
{
    return 4.0 * 36 / 16 * pixels * channels;
}

/* Processor time by the shares of the stages. */
static void add_stages(struct nn_profile *profile, const struct nn_product *p,
                       const struct nn_stages *s, double seconds)
{
    double pixels = (double)(p->images * p->height * p->width), all = 0;
    double inputs = (double)(p->shape.inputs / 9), outputs = (double)p->shape.outputs;
    for (int i = 0; i < NN_STAGE_COUNT; i++)
        all += (double)s->ns[i];
    double in = 4.0 * pixels * inputs + plane_bytes(pixels, inputs);
    double out = plane_bytes(pixels, outputs) + (p->residual ? 8.0 : 4.0) * pixels * outputs;
    add(profile, NN_PROFILE_WINOGRAD, seconds * (double)s->ns[NN_STAGE_PRODUCTS] / all,
        2.0 * (double)s->macs, 0);
    add(profile, NN_PROFILE_INPUTS, seconds * (double)s->ns[NN_STAGE_INPUTS] / all, 0, in);
    add(profile, NN_PROFILE_OUTPUTS, seconds * (double)s->ns[NN_STAGE_OUTPUTS] / all, 0, out);
}

void nn_profile_product(const struct nn_workspace *ws, const struct nn_product *p)
{
    const struct nn_net *net = ws->net;
    struct nn_stages stages = {0};
    struct nn_product product = *p;
    double macs = (double)(p->images * p->height * p->width) * (double)p->shape.inputs *
                  (double)p->shape.outputs;
    int64_t begin = nn_profile_begin(ws);
    product.stages = &stages;
    if (p->terms)
        nn_tile_product(net->tiles, &product);
    else
        net->kernels->product(&product);
    if (stages.macs > 0)
        add_stages(ws->profile, p, &stages, seconds_since(begin));
    else
        nn_profile_add(ws, begin, NN_PROFILE_PRODUCT, 2.0 * macs * (p->terms ? p->terms : 1), 0);
}
