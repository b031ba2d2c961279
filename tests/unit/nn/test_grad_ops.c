/* The gradients of single operations, over the operands of nn_case.h, by every kernel that this
 * machine runs. What is linear in its parameters obeys an identity, Σ slope · output = Σ parameter
 * · gradient; the rest is compared with differences; and vector kernels with the portable one. */
#include "nn_grad_kernels.h"
#include "nn_work.h"

#define TOLERANCE 2e-5
#define DIFFERENCE_STEP 4e-3f
#define DIFFERENCE_TOLERANCE 2e-3

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* Σ |a · b|, which a sum's rounding is measured by. */
static double size_of(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)a[i] * b[i]);
    return sum;
}

static float *slopes(uint64_t stream, size_t pixels, size_t channels)
{
    size_t lanes = nn_lanes(channels);
    float *out = zeros(pixels * lanes);
    for (size_t i = 0; i < pixels; i++)
        nn_case_uniforms(stream << 20 | i, channels, out + i * lanes);
    return out;
}

/* ---- weights of products ---- */

static const struct nn_case_shape products[] = {
    {NN_CASE_CONV, 7, 24, 0, 16, 2, 0},   {NN_CASE_CONV, 8, 3, 0, 24, 2, NN_CASE_UNPADDED},
    {NN_CASE_CONV, 4, 48, 0, 72, 3, 0},   {NN_CASE_CONV_STRIDE_2, 9, 24, 0, 40, 2, 0},
    {NN_CASE_POINT, 6, 20, 12, 24, 2, 0}, {NN_CASE_POINT, 4, 48, 0, 144, 3, NN_CASE_ROW},
    {NN_CASE_LINEAR, 1, 96, 0, 40, 5, 0},
};

/* The gradient of the weights; the caller frees it. */
static float *weights_gradient(const struct nn_case *c, const struct nn_grad_kernels *k,
                               float *slope)
{
    const struct nn_product *p = &c->product;
    float *sum = zeros(p->shape.inputs * c->lanes_out);
    size_t width = p->width, height = p->height;
    const struct nn_target at = {slope, 0, width, width * height, c->lanes_out};
    struct nn_outer o = {.segments = p->segments,
                         .in_image = p->in_image,
                         .in_row = p->in_row,
                         .in_step = p->in_step,
                         .images = p->images,
                         .height = height,
                         .width = width,
                         .slope = at,
                         .sum = sum};
    memcpy(o.segment, p->segment, sizeof o.segment);
    k->outer(&o);
    return sum;
}

/* The same for a convolution over padded pixels, by the kernel's own way. */
static float *conv_gradient(const struct nn_case *c, const struct nn_grad_kernels *k, float *slope)
{
    size_t side = c->shape.side, images = c->shape.images;
    float *sum = zeros(9 * c->lanes_in * c->lanes_out);
    float *scratch = zeros(k->conv_outer_scratch(c->lanes_in, c->lanes_out, images, side));
    const struct nn_conv_outer o = {
        c->in, c->lanes_in, nn_plain_target(slope, side, c->lanes_out), images, side, sum, scratch};
    k->conv_outer(&o);
    free(scratch);
    return sum;
}

static void check_identity(const struct nn_case *c, const float *sum, double along, double size)
{
    size_t count = c->product.shape.inputs * c->lanes_out;
    double found = dot(c->weights, sum, count);
    if (!(fabs(found - along) <= TOLERANCE * size))
        fail_msg("operation %d, side %zu: %g instead of %g", (int)c->shape.op, c->shape.side, found,
                 along);
}

static void check_product(const struct nn_case_shape *s)
{
    struct nn_case c;
    case_open(&c, s);
    size_t count = c.product.shape.inputs * c.lanes_out;
    float *slope = slopes(20, c.count / c.lanes_out, s->out), *out = zeros(c.count);
    case_run(&c, &nn_kernels_c, NULL, 0, out);
    for (size_t i = 0; i < c.count; i++)
        out[i] -= c.bias[i % c.lanes_out];
    double along = dot(slope, out, c.count), size = size_of(slope, out, c.count);
    float *oracle = weights_gradient(&c, &nn_grad_kernels_c, slope);
    for (int k = NN_KERNEL_C; k <= LAST_KERNEL; k++) {
        if (!nn_kernel_available((enum nn_kernel)k))
            continue;
        const struct nn_grad_kernels *grad = nn_grad_kernels_get((enum nn_kernel)k);
        float *sum = weights_gradient(&c, grad, slope);
        check_identity(&c, sum, along, size);
        assert_true(test_distance(sum, oracle, count) <= TOLERANCE);
        free(sum);
        if (s->op != NN_CASE_CONV || s->option & NN_CASE_UNPADDED)
            continue;
        sum = conv_gradient(&c, grad, slope);
        check_identity(&c, sum, along, size);
        assert_true(test_distance(sum, oracle, count) <= TOLERANCE);
        free(sum);
    }
    free(oracle);
    free(slope);
    free(out);
    nn_case_clear(&c);
}

static void nn_grad_weights_of_products(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(products); i++)
        check_product(&products[i]);
}

/* ---- group norm ---- */

static const struct nn_case_shape norms[] = {
    {NN_CASE_NORM, 7, 24, 0, 0, 2, 0},
    {NN_CASE_NORM, 7, 24, 0, 0, 2, NN_CASE_SILU},
    {NN_CASE_NORM, 5, 20, 20, 0, 1, NN_CASE_SILU},
    {NN_CASE_NORM, 4, 48, 24, 0, 2, 0},
    {NN_CASE_NORM, 3, 128, 0, 0, 1, NN_CASE_SILU},
};

/* What a norm in training keeps and writes. */
struct normed {
    size_t pixels, lanes;
    float *out, *mean, *inverse, *gamma, *beta, *in[2];
    double *scratch;
};

static struct normed normed_new(const struct nn_case *c)
{
    const struct nn_case_shape *s = &c->shape;
    struct normed n = {.pixels = s->images * s->side * s->side, .lanes = c->norm_weights.lanes};
    n.out = zeros(n.pixels * n.lanes);
    n.mean = zeros(s->images * n.lanes);
    n.inverse = zeros(s->images * n.lanes);
    n.gamma = zeros(n.lanes);
    n.beta = zeros(n.lanes);
    n.in[0] = zeros(n.pixels * c->lanes_in);
    n.in[1] = zeros(n.pixels * c->lanes_skip);
    n.scratch = calloc(nn_norm_train_scratch(n.lanes), sizeof *n.scratch);
    assert_non_null(n.scratch);
    return n;
}

static void normed_free(struct normed *n)
{
    float *all[] = {n->out, n->mean, n->inverse, n->gamma, n->beta, n->in[0], n->in[1]};
    for (size_t i = 0; i < COUNT(all); i++)
        free(all[i]);
    free(n->scratch);
}

/* Forward, with `in` instead of the case's first input. */
static void norm_forward(const struct nn_case *c, const struct nn_grad_kernels *k, const float *in,
                         const struct normed *n)
{
    const struct nn_norm_train p = {.weights = &c->norm_weights,
                                    .parts = c->norm.parts,
                                    .part = {{in, c->lanes_in}, c->norm.part[1]},
                                    .images = c->shape.images,
                                    .side = c->shape.side,
                                    .silu = c->norm.silu,
                                    .target = nn_plain_target(n->out, c->shape.side, n->lanes),
                                    .mean = n->mean,
                                    .inverse = n->inverse,
                                    .scratch = n->scratch};
    k->norm(&p);
}

static void norm_back(const struct nn_case *c, const struct nn_grad_kernels *k, const float *slope,
                      const struct normed *n)
{
    float *own = zeros(n->pixels * n->lanes); /* it is overwritten */
    memcpy(own, slope, n->pixels * n->lanes * sizeof *own);
    const struct nn_norm_back p = {.weights = &c->norm_weights,
                                   .parts = c->norm.parts,
                                   .part = {c->norm.part[0], c->norm.part[1]},
                                   .images = c->shape.images,
                                   .side = c->shape.side,
                                   .silu = c->norm.silu,
                                   .mean = n->mean,
                                   .inverse = n->inverse,
                                   .slope = own,
                                   .in = {nn_plain_target(n->in[0], c->shape.side, c->lanes_in),
                                          nn_plain_target(n->in[1], c->shape.side, c->lanes_skip)},
                                   .gamma = n->gamma,
                                   .beta = n->beta,
                                   .scratch = n->scratch};
    k->norm_back(&p);
    free(own);
}

/* The slope of Σ slope · output along `direction` of the first input, by central differences. */
static double norm_difference(const struct nn_case *c, const struct nn_grad_kernels *k,
                              const float *slope, const float *direction, size_t count)
{
    double value[2];
    struct normed n = normed_new(c);
    float *in = zeros(count);
    for (int sign = 0; sign < 2; sign++) {
        for (size_t i = 0; i < count; i++)
            in[i] = c->in[i] + (sign ? DIFFERENCE_STEP : -DIFFERENCE_STEP) * direction[i];
        norm_forward(c, k, in, &n);
        value[sign] = dot(slope, n.out, n.pixels * n.lanes);
    }
    free(in);
    normed_free(&n);
    return (value[1] - value[0]) / (2 * (double)DIFFERENCE_STEP);
}

static void check_norm(const struct nn_case_shape *s, enum nn_kernel kernel)
{
    const struct nn_grad_kernels *k = nn_grad_kernels_get(kernel);
    struct nn_case c;
    case_open(&c, s);
    struct normed n = normed_new(&c);
    float *direction = slopes(21, n.pixels, s->in), *slope = zeros(n.pixels * n.lanes);
    size_t count = n.pixels * c.lanes_in;
    for (size_t i = 0; i < n.pixels * n.lanes; i++)
        if (c.norm_weights.group[i % n.lanes] >= 0)
            nn_case_uniforms((uint64_t)22 << 20 | i, 1, &slope[i]);
    norm_forward(&c, k, c.in, &n);
    norm_back(&c, k, slope, &n);
    double along = norm_difference(&c, k, slope, direction, count);
    double apart = fabs(dot(n.in[0], direction, count) - along);
    if (!(apart <= DIFFERENCE_TOLERANCE * sqrt(dot(n.in[0], n.in[0], count) * (double)count)))
        fail_msg("norm of side %zu: the gradient at its input is off by %g", s->side, apart);
    if (!c.norm.silu) {
        double found =
            dot(n.gamma, c.norm_weights.gamma, n.lanes) + dot(n.beta, c.norm_weights.beta, n.lanes);
        double size = size_of(slope, n.out, n.pixels * n.lanes);
        assert_true(fabs(found - dot(slope, n.out, n.pixels * n.lanes)) <= TOLERANCE * size);
    }
    free(direction);
    free(slope);
    normed_free(&n);
    nn_case_clear(&c);
}

static void nn_grad_of_norms(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(norms); i++)
        for (int k = NN_KERNEL_C; k <= LAST_KERNEL; k++)
            if (nn_kernel_available((enum nn_kernel)k))
                check_norm(&norms[i], (enum nn_kernel)k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nn_grad_weights_of_products),
                                       cmocka_unit_test(nn_grad_of_norms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
