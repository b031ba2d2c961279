/* Two images of a model as PGM or PPM files: example MODEL PREFIX writes PREFIX0 and PREFIX1.
 * Build it with: cc example.c -lpfgm. One call draws both; each is of its seed and index alone. */
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
    if (status)
        fprintf(stderr, "%s\n", pixels ? error.text : "no memory");
    free(pixels);
    pfgm_model_close(model);
    return status;
}
