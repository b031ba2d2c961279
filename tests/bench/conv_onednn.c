/* oneDNN's 3×3 convolution as the yardstick for single layers: f32, direct and Winograd, in
 * whatever memory format oneDNN likes best, weights and input reordered beforehand and warm in the
 * cache, as they are for `pfgm bench ops`, which it is compared with.
 *
 *     conv_onednn SECONDS IMAGES SIDE IN OUT [SIDE IN OUT]…
 *
 * prints one JSON line a size: {"side", "in", "out", "images", "direct", "winograd"}, GFLOP/s of
 * direct convolution's operations at the median time, null where oneDNN has no such kernel. Threads
 * are OpenMP's (OMP_NUM_THREADS). Written for oneDNN 2 (dnnl.h with operation descriptors); one
 * process, one engine, one stream; whatever fails ends it, since there is nothing to save. */
#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SAMPLES_MAX 10000

struct shape {
    dnnl_dim_t images, side, in, out;
};

/* A convolution ready to run; memory is oneDNN's own. */
struct conv {
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[4]; /* source, weights, bias, destination */
};

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void check(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success)
        return;
    fprintf(stderr, "conv_onednn: %s failed with status %d\n", what, (int)status);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static dnnl_memory_desc_t any_format(int rank, const dnnl_dims_t dims)
{
    dnnl_memory_desc_t d;
    check(dnnl_memory_desc_init_by_tag(&d, rank, dims, dnnl_f32, dnnl_format_tag_any), "a format");
    return d;
}

/* Memory of the primitive's own format, filled with small numbers. In a padded format the padding
 * should be zero, but neither speed nor kernel depends on it. */
static dnnl_memory_t make_memory(const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    const dnnl_memory_desc_t *d = dnnl_primitive_desc_query_md(pd, what, 0);
    dnnl_memory_t memory;
    void *data;
    check(dnnl_memory_create(&memory, d, engine, DNNL_MEMORY_ALLOCATE), "memory");
    check(dnnl_memory_get_data_handle(memory, &data), "its address");
    float *values = data;
    for (size_t i = 0; i < dnnl_memory_desc_get_size(d) / sizeof *values; i++)
        values[i] = (float)(i * 2654435761u % 1000) * 1e-3f - 0.5f;
    return memory;
}

/* 0, or -1 where oneDNN has no kernel of that algorithm for this size. */
static int conv_open(struct conv *c, const struct shape *s, dnnl_alg_kind_t algorithm)
{
    const dnnl_dims_t source = {s->images, s->in, s->side, s->side},
                      weights = {s->out, s->in, 3, 3};
    const dnnl_dims_t bias = {s->out}, result = {s->images, s->out, s->side, s->side};
    const dnnl_dims_t one = {1, 1};
    dnnl_memory_desc_t md[4] = {any_format(4, source), any_format(4, weights), any_format(1, bias),
                                any_format(4, result)};
    const dnnl_query_t queries[4] = {dnnl_query_src_md, dnnl_query_weights_md,
                                     dnnl_query_weights_md, dnnl_query_dst_md};
    dnnl_convolution_desc_t d;
    dnnl_primitive_desc_t pd;
    check(dnnl_convolution_forward_desc_init(&d, dnnl_forward_inference, algorithm, &md[0], &md[1],
                                             &md[2], &md[3], one, one, one),
          "describing a convolution");
    if (dnnl_primitive_desc_create(&pd, &d, NULL, engine, NULL) != dnnl_success)
        return -1;
    check(dnnl_primitive_create(&c->primitive, pd), "making a convolution");
    for (int i = 0; i < 4; i++) {
        if (i != 2) {
            c->memory[i] = make_memory(pd, queries[i]);
            continue;
        }
        check(dnnl_memory_desc_init_by_tag(&md[2], 1, bias, dnnl_f32, dnnl_a), "the bias");
        check(dnnl_memory_create(&c->memory[2], &md[2], engine, DNNL_MEMORY_ALLOCATE), "the bias");
    }
    check(dnnl_primitive_desc_destroy(pd), "freeing a description");
    return 0;
}

static void conv_run(const struct conv *c)
{
    const dnnl_exec_arg_t arguments[4] = {{DNNL_ARG_SRC, c->memory[0]},
                                          {DNNL_ARG_WEIGHTS, c->memory[1]},
                                          {DNNL_ARG_BIAS, c->memory[2]},
                                          {DNNL_ARG_DST, c->memory[3]}};
    check(dnnl_primitive_execute(c->primitive, stream, 4, arguments), "a convolution");
    check(dnnl_stream_wait(stream), "waiting");
}

static void conv_close(struct conv *c)
{
    for (int i = 0; i < 4; i++)
        check(dnnl_memory_destroy(c->memory[i]), "freeing memory");
    check(dnnl_primitive_destroy(c->primitive), "freeing a convolution");
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* GFLOP/s, or a negative number without such a kernel. */
static double measure(const struct shape *s, dnnl_alg_kind_t algorithm, double seconds)
{
    static double samples[SAMPLES_MAX];
    struct conv c;
    if (conv_open(&c, s, algorithm) < 0)
        return -1;
    conv_run(&c);
    int count = 0;
    double end = now() + seconds;
    do {
        double begin = now();
        conv_run(&c);
        samples[count++] = now() - begin;
    } while (count < SAMPLES_MAX && now() < end);
    conv_close(&c);
    qsort(samples, (size_t)count, sizeof *samples, compare_doubles);
    double flop = 18.0 * (double)(s->images * s->side * s->side * s->in * s->out);
    return flop / samples[count / 2] * 1e-9;
}

static void print_rate(const char *name, double rate)
{
    if (rate > 0)
        printf(", \"%s\": %.3f", name, rate);
    else
        printf(", \"%s\": null", name);
}

/* The whole word as a number from 1 to 4096. */
static dnnl_dim_t parse_size(const char *word)
{
    char *end;
    long value = strtol(word, &end, 10);
    if (*end || value < 1 || value > 4096) {
        fprintf(stderr, "conv_onednn: \"%s\" is no size from 1 to 4096\n", word);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0;
    if (argc < 6 || (argc - 3) % 3 != 0 || !(seconds > 0)) {
        fputs("usage: conv_onednn SECONDS IMAGES SIDE IN OUT [SIDE IN OUT]...\n", stderr);
        return 2;
    }
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "the engine");
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "the stream");
    for (int i = 3; i < argc; i += 3) {
        const struct shape s = {parse_size(argv[2]), parse_size(argv[i]), parse_size(argv[i + 1]),
                                parse_size(argv[i + 2])};
        printf("{\"side\": %ld, \"in\": %ld, \"out\": %ld, \"images\": %ld", s.side, s.in, s.out,
               s.images);
        print_rate("direct", measure(&s, dnnl_convolution_direct, seconds));
        print_rate("winograd", measure(&s, dnnl_convolution_winograd, seconds));
        puts("}");
    }
    check(dnnl_stream_destroy(stream), "freeing the stream");
    check(dnnl_engine_destroy(engine), "freeing the engine");
    return 0;
}
