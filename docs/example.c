/* Two images of a model as PGM or PPM files: example MODEL PREFIX writes PREFIX0 and PREFIX1, and
 * tells how probable the model finds each. Build it with: cc example.c -lpfgm. One call draws both;
 * each is of its seed and index alone. */
#include <pfgm.h>
#include <stdio.h>
#include <stdlib.h>

static int image_write(const char *prefix, size_t i, const struct pfgm_model *model,
                       const uint8_t *pixels)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s%zu", prefix, i);
    FILE *file = length < (int)sizeof path ? fopen(path, "wb") : NULL;
    if (!file)
        return -1;
    size_t bytes = pfgm_model_image_bytes(model);
    int bad = fprintf(file, "P%d\n%d %d\n255\n", pfgm_model_channels(model) == 1 ? 5 : 6,
                      pfgm_model_width(model), pfgm_model_height(model)) < 0;
    bad |= fwrite(pixels + i * bytes, 1, bytes, file) != bytes;
    bad |= fclose(file) != 0;
    return bad ? -1 : 0;
}

/* Bits per dimension, with the noise on the bytes that a density needs. */
static int image_judge(const char *prefix, size_t n, struct pfgm_model *model,
                       const uint8_t *pixels, struct pfgm_error *error)
{
    const uint64_t noise = 7;
    double *images = malloc(n * pfgm_model_image_bytes(model) * sizeof *images);
    double *bits = malloc(n * sizeof *bits);
    if (!images || !bits)
        snprintf(error->text, sizeof error->text, "no memory");
    struct pfgm_likelihood_options options;
    pfgm_likelihood_options_default(model, &options);
    options.encode.n = n;
    int bad = !images || !bits ||
              pfgm_images_from_pixels(model, n, pixels, &noise, 0, images, error) != 0 ||
              pfgm_likelihood(model, &options, images, NULL, bits, error) != 0;
    for (size_t i = 0; i < n && !bad; i++)
        printf("%s%zu: %.3f bits per dimension\n", prefix, i, bits[i]);
    free(images);
    free(bits);
    return bad ? -1 : 0;
}

int main(int argc, char **argv)
{
    struct pfgm_error error = {PFGM_BAD_INPUT, "usage: example MODEL PREFIX"};
    struct pfgm_model *model = argc == 3 ? pfgm_model_open(argv[1], NULL, &error) : NULL;
    if (!model)
        return fprintf(stderr, "%s\n", error.text), 1;
    struct pfgm_sample_options options;
    pfgm_sample_options_default(model, &options);
    options.n = 2;
    options.seed = 7;
    uint8_t *pixels = malloc(options.n * pfgm_model_image_bytes(model));
    int status = pixels && pfgm_sample(model, &options, pixels, &error) == 0 ? 0 : 1;
    for (size_t i = 0; status == 0 && i < options.n; i++)
        if (image_write(argv[2], i, model, pixels) != 0)
            status =
                (snprintf(error.text, sizeof error.text, "%s%zu: cannot write", argv[2], i), 1);
    if (status == 0 && image_judge(argv[2], options.n, model, pixels, &error) != 0)
        status = 1;
    if (status)
        fprintf(stderr, "%s\n", pixels ? error.text : "no memory");
    free(pixels);
    pfgm_model_close(model);
    return status;
}
