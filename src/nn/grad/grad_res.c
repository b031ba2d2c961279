/* The residual block in training (net_res.c). Kept: the bordered input of Conv_0, Conv_0's output,
 * the bordered input of Conv_1 (after dropout), which elements dropout kept, the resampled
 * shortcut. Borders are zero from the start and only insides are written.
 *
 * Transposed resampling is resampling the other way, times 4 or 1/4: BOX_UP repeats what BOX_DOWN
 * averages, and the filters are the same up to their gain. */
#include "grad_layer.h"
#include "grad_products.h"
#include <string.h>

static void lay(struct grad_layout *l, const struct nn_step *s, struct nn_grad_layer *y)
{
    const struct nn_grad *g = l->g;
    size_t first = (size_t)s->channels_in, channels = first + (size_t)s->channels_skip;
    size_t in = nn_lanes(first) + nn_lanes((size_t)s->channels_skip);
    size_t count = (size_t)s->channels_out, out = nn_lanes(count);
    grad_lay_norm(l, y, 0, s->channels_in, s->channels_skip);
    grad_lay_dense(l, &y->dense[0], 9, (size_t)s->side_out, in, out, true);
    grad_add_piece(l, NN_PIECE_MATRIX, y->dense[0].at, y->dense[0].at, out, channels, first, in);
    grad_add_vector(l, g->conv_bias + s->time_first, g->time.bias + s->time_first, NN_NOWHERE);
    grad_add_time(l, s);
    grad_lay_norm(l, y, 1, s->channels_out, 0);
    grad_lay_dense(l, &y->dense[1], 9, (size_t)s->side_out, out, out, true);
    grad_add_conv(l, &y->dense[1], count, count);
    if (s->shortcut) {
        grad_lay_dense(l, &y->dense[2], 1, (size_t)s->side_out, in, out, true);
        grad_add_conv(l, &y->dense[2], channels, first);
    }
}

static void keep(const struct nn_grad *g, int step, struct nn_grad_saved *kept, struct arena *a)
{
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    size_t side = (size_t)s->side_out, pixels = NN_GRAD_MICRO * side * side;
    size_t border = nn_bordered_pixels(NN_GRAD_MICRO, side),
           out = nn_lanes((size_t)s->channels_out);
    grad_keep_norm(y, 0, kept, a);
    grad_keep_norm(y, 1, kept, a);
    kept->input = grad_keep(a, border * y->norm[0].lanes);
    kept->middle = grad_keep(a, pixels * out);
    kept->second = grad_keep(a, border * out);
    if (s->resampling != NN_RESAMPLE_NONE)
        kept->shortcut = grad_keep(a, pixels * y->norm[0].lanes);
    if (g->options.dropout > 0)
        kept->keep = arena_take(a, pixels * out, 1);
}

static void needs(const struct nn_grad *g, const struct nn_step *s, struct grad_needs *k)
{
    size_t in = nn_lanes((size_t)s->channels_in) + nn_lanes((size_t)s->channels_skip);
    size_t out = nn_lanes((size_t)s->channels_out), side = (size_t)s->side_out;
    grad_need_images(k, side > (size_t)s->side_in ? side : (size_t)s->side_in, in > out ? in : out);
    grad_need(&k->outer, g->grad->conv_outer_scratch(in, out, NN_GRAD_MICRO, side));
    grad_need(&k->outer, g->grad->conv_outer_scratch(out, out, NN_GRAD_MICRO, side));
}

static void forward(const struct nn_grad_pass *p, int step, const float *in, const float *other,
                    float *out)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    struct nn_grad_saved *kept = &p->w->saved[step];
    size_t side = (size_t)s->side_out, lanes = y->norm[1].lanes, lanes_in = y->norm[0].lanes;
    struct nn_target target = nn_bordered_target(kept->input, side, lanes_in);
    bool resampled = s->resampling != NN_RESAMPLE_NONE;
    if (resampled) {
        struct nn_target plain = nn_plain_target(p->w->plain[0], (size_t)s->side_in, lanes_in);
        struct nn_resample r = {nn_step_resampling(&g->net.arch, s), plain.out, p->n,
                                (size_t)s->side_in, target};
        grad_norm(p, step, 0, in, NULL, (size_t)s->side_in, true, plain);
        g->kernels->resample(&r);
        r.src = in;
        r.target = nn_plain_target(kept->shortcut, side, lanes_in);
        g->kernels->resample(&r);
        in = kept->shortcut;
    } else {
        grad_norm(p, step, 0, in, other, side, true, target);
    }
    struct nn_product c = grad_conv(p, &y->dense[0].shape, y->dense[0].packed, kept->input, side,
                                    lanes_in, kept->middle);
    c.bias = p->w->time + s->time_first;
    c.bias_step = g->time.shape.outputs;
    g->kernels->product(&c);
    target = nn_bordered_target(kept->second, side, lanes);
    grad_norm(p, step, 1, kept->middle, NULL, side, true, target);
    if (kept->keep && p->batch->training) {
        grad_dropout_draw(p, step, side * side * lanes, kept->keep);
        grad_dropout_apply(p, kept->keep, side, &target);
    }
    if (s->shortcut) {
        size_t more = other ? nn_lanes((size_t)s->channels_skip) : 0;
        c = grad_point(p, &y->dense[2].shape, y->dense[2].packed, in, side * side, lanes_in - more,
                       out);
        c.bias = g->canonical + y->dense[2].bias;
        if (other)
            c.segment[c.segments++] = (struct nn_segment){other, more, more};
        g->kernels->product(&c);
    }
    c = grad_conv(p, &y->dense[1].shape, y->dense[1].packed, kept->second, side, lanes, out);
    c.bias = g->canonical + y->dense[1].bias;
    c.residual = s->shortcut ? out : in;
    c.scale = NN_HALF_ROOT;
    g->kernels->product(&c);
}

/* From the gradient at a block's resampled pixels to that at its input's, times *gain. */
static void resample_back(const struct nn_grad_pass *p, const struct nn_step *s, const float *slope,
                          size_t lanes, float *out, float *gain)
{
    static const enum nn_resample_kind opposite[] = {[NN_BOX_UP] = NN_BOX_DOWN,
                                                     [NN_BOX_DOWN] = NN_BOX_UP,
                                                     [NN_FIR_UP] = NN_FIR_DOWN,
                                                     [NN_FIR_DOWN] = NN_FIR_UP};
    const struct nn_resample r = {opposite[nn_step_resampling(&p->g->net.arch, s)], slope, p->n,
                                  (size_t)s->side_out,
                                  nn_plain_target(out, (size_t)s->side_in, lanes)};
    p->g->kernels->resample(&r);
    *gain = s->resampling == NN_RESAMPLE_UP ? 4.0f : 0.25f;
}

/* From the block's output to the bordered gradient at Conv_0's output, in the workspace; on the
 * way plain[1] gets the shortcut's gradient if there is a Conv_2. */
static struct nn_target res_upper_back(const struct nn_grad_pass *p, int step, const float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t side = (size_t)s->side_out, lanes = y->norm[1].lanes;
    size_t more = nn_lanes((size_t)s->channels_skip);
    struct nn_target bordered = grad_border(p, side, lanes);
    g->grad->place(slope, NN_HALF_ROOT, p->n, side, &bordered);
    grad_sum_bias(p, &bordered, side, y->dense[1].bias);
    grad_conv_weights_back(p, &y->dense[1], kept->second, side, lanes, &bordered);
    if (s->shortcut) {
        const float *in = kept->shortcut ? kept->shortcut : nn_grad_value(p, s->in);
        for (size_t b = 0; b < p->n && p->sum; b++)
            g->grad->add(p->w->sums + b * lanes, 1.0f, lanes, p->sum + y->dense[2].bias);
        grad_point_weights_back(p, &y->dense[2], in, y->norm[0].lanes - more,
                                more ? nn_grad_value(p, s->other) : NULL, more, side, &bordered);
        grad_point_back(p, &y->dense[2], side, &bordered, p->w->plain[1]);
    }
    grad_conv_back(p, &y->dense[1], side, p->w->plain[0]);
    if (kept->keep && p->batch->training) {
        struct nn_target plain = nn_plain_target(p->w->plain[0], side, lanes);
        grad_dropout_apply(p, kept->keep, side, &plain);
    }
    struct nn_norm_back n = grad_norm_back(p, step, 1, side, p->w->plain[0]);
    n.part[0] = (struct nn_norm_part){kept->middle, lanes};
    n.in[0] = bordered;
    g->grad->norm_back(&n);
    return bordered;
}

static void backward(const struct nn_grad_pass *p, int step, float *slope)
{
    const struct nn_grad *g = p->g;
    const struct nn_step *s = &g->net.plan.steps[step];
    const struct nn_grad_layer *y = &g->layers[step];
    const struct nn_grad_saved *kept = &p->w->saved[step];
    size_t side = (size_t)s->side_out, lanes = y->norm[1].lanes, lanes_in = y->norm[0].lanes;
    size_t more = nn_lanes((size_t)s->channels_skip);
    struct nn_target bordered = res_upper_back(p, step, slope);
    float *inner = p->w->plain[0], *plus = p->w->plain[1], gain;
    grad_sum_bias(p, &bordered, side, g->time.bias + s->time_first);
    for (size_t b = 0; b < p->n && p->sum; b++)
        memcpy(p->w->time_slope + b * g->time.shape.outputs + s->time_first, p->w->sums + b * lanes,
               lanes * sizeof(float));
    grad_conv_weights_back(p, &y->dense[0], kept->input, side, lanes_in, &bordered);
    grad_conv_back(p, &y->dense[0], side, inner);
    struct nn_norm_back n = grad_norm_back(p, step, 0, (size_t)s->side_in, inner);
    n.plus = s->shortcut ? plus : slope;
    n.plus_scale = s->shortcut ? 1.0f : NN_HALF_ROOT;
    if (s->resampling != NN_RESAMPLE_NONE) {
        struct nn_target wide = nn_plain_target(p->w->plain[2], (size_t)s->side_in, lanes_in);
        resample_back(p, s, inner, lanes_in, wide.out, &gain);
        g->grad->place(wide.out, gain, p->n, (size_t)s->side_in, &wide);
        n.slope = wide.out;
        resample_back(p, s, plus, lanes_in, inner, &n.plus_scale);
        n.plus = inner;
    }
    grad_norm_part(p, &n, 0, s->in, lanes_in - more);
    if (more) {
        n.parts = 2;
        grad_norm_part(p, &n, 1, s->other, more);
    }
    g->grad->norm_back(&n);
}

const struct grad_layer_ops grad_res = {lay, keep, needs, forward, backward};
