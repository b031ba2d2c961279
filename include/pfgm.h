/* pfgm: sample images from a Poisson flow checkpoint, in process.
 *
 *     struct pfgm_error error;
 *     struct pfgm_model *model = pfgm_model_open("fashion28.safetensors", NULL, &error);
 *     struct pfgm_sample_options options;
 *     pfgm_sample_options_default(model, &options);
 *     options.n = 16;
 *     options.seed = 7;
 *     uint8_t *pixels = malloc(16 * pfgm_model_image_bytes(model));
 *     if (pfgm_sample(model, &options, pixels, &error) != 0)
 *         fprintf(stderr, "%s\n", error.text);
 *     free(pixels);
 *     pfgm_model_close(model);
 *
 * Same checkpoint, kernel, solver, class, temperature, seed and index: same bytes, whatever n,
 * threads or load; the same as pfgmd and `pfgm sample` give. Functions that can fail return -1 or
 * NULL and fill `error` (which may be NULL). Nothing here ends the process, prints, or changes
 * signals or the locale. A program with allocation functions of its own for jansson sets them
 * (json_set_alloc_funcs) before it loads this library, which hands on to them. */
#ifndef PFGM_H
#define PFGM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PFGM_API __attribute__((visibility("default")))
#else
#define PFGM_API
#endif

enum pfgm_code {
    PFGM_OK = 0,
    PFGM_BAD_INPUT = 1,  /* a file or an option is wrong: `text` says which and what to do */
    PFGM_FAILED = 2,     /* the system refused: no memory, no thread, a failed read */
    PFGM_NON_FINITE = 3, /* a value that is not finite, or a solver that cannot go on */
    PFGM_CANCELLED = 4
};

struct pfgm_error {
    enum pfgm_code code;
    char text[1024];
};

struct pfgm_model;

struct pfgm_open_options {
    int workers;        /* threads; 0: one a core */
    int batch;          /* images a thread evaluates at once; 0: 8 */
    const char *kernel; /* "auto", "c", "openblas", "lanes8", …, as of --kernel; NULL: "auto" */
};

/* "MAJOR.MINOR.PATCH" of the library. */
PFGM_API const char *pfgm_version(void);

/* Opens a safetensors checkpoint made by `pfgm convert` and starts the threads. options may be
 * NULL. NULL on failure. */
PFGM_API struct pfgm_model *pfgm_model_open(const char *path,
                                            const struct pfgm_open_options *options,
                                            struct pfgm_error *error);
/* Ends the threads and frees everything. NULL is allowed. */
PFGM_API void pfgm_model_close(struct pfgm_model *model);

PFGM_API int pfgm_model_channels(const struct pfgm_model *model);
PFGM_API int pfgm_model_height(const struct pfgm_model *model);
PFGM_API int pfgm_model_width(const struct pfgm_model *model);
/* channels · height · width: bytes of one image's pixels, and values of one latent. */
PFGM_API size_t pfgm_model_image_bytes(const struct pfgm_model *model);
/* Hexadecimal digest of the checkpoint file, and the id of the kernel in use; owned by the model.
 */
PFGM_API const char *pfgm_model_sha256(const struct pfgm_model *model);
PFGM_API const char *pfgm_model_kernel(const struct pfgm_model *model);

/* The classes that an image can be asked of, 0 for a model that knows none; and their names, owned
 * by the model, NULL beyond the last. */
PFGM_API int pfgm_model_label_count(const struct pfgm_model *model);
PFGM_API const char *pfgm_model_label(const struct pfgm_model *model, int i);

struct pfgm_sample_options {
    size_t n;
    uint64_t seed, first_index; /* image i is (seed, first_index + i) */
    const char *method;         /* a method of pfgmd's, "rk45", "heun" … */
    int steps;                  /* of the fixed-step methods */
    double rtol, atol;          /* of rk45 */
    int64_t max_nfe;            /* evaluations per image after which the solver gives up */
    /* A class by its name or, where none is called so, its number in digits; "none": of all data;
     * "each": the image's index modulo the number of classes. NULL: drawn by seed and index, where
     * the model knows classes. */
    const char *label;
    double temperature; /* factor on the distance from which images start, 0.001 to 10 */
    const double
        *latents; /* NULL, or starts [n][channels,height,width] on t = T, taken as they are */
};
/* n = 1, seed 0, the model's own solver, a class that is drawn, temperature 1. */
PFGM_API void pfgm_sample_options_default(const struct pfgm_model *model,
                                          struct pfgm_sample_options *options);

/* n images as pixels [n][height,width,channels], uint8. Blocks. May be called from several threads
 * at once. On failure the pixels are unspecified. */
PFGM_API int pfgm_sample(struct pfgm_model *model, const struct pfgm_sample_options *options,
                         uint8_t *pixels, struct pfgm_error *error);
/* The same before quantising: float [n][channels,height,width] in data scale, clean pixels in [-1,
 * 1]. */
PFGM_API int pfgm_sample_float(struct pfgm_model *model, const struct pfgm_sample_options *options,
                               float *samples, struct pfgm_error *error);

/* ---- the way up: from images to t = T ----
 *
 * Images are double [n][channels,height,width] in data scale. */

/* Pixels [n][height,width,channels] in data scale. With `noise` NULL each byte becomes the middle
 * of the values that are rounded to it; else, as a likelihood wants it, uniform noise of the seed
 * *noise fills its step, of image i as index first_index + i. -1 for a model of vectors. */
PFGM_API int pfgm_images_from_pixels(const struct pfgm_model *model, size_t n,
                                     const uint8_t *pixels, const uint64_t *noise,
                                     uint64_t first_index, double *images,
                                     struct pfgm_error *error);

struct pfgm_encode_options {
    size_t n;
    double rtol, atol; /* of rk45 over ln t */
    int64_t max_nfe;   /* evaluations per image after which the solver gives up */
    /* A class by its name or number, "none", or NULL, which is "none" here: what went up as of a
     * class comes down as of it. */
    const char *label;
};
/* n = 1, tolerances 1e-5. */
PFGM_API void pfgm_encode_options_default(const struct pfgm_model *model,
                                          struct pfgm_encode_options *options);
/* The latents [n][channels,height,width] of images: what pfgm_sample_options.latents takes to make
 * them again. Blocks. */
PFGM_API int pfgm_encode(struct pfgm_model *model, const struct pfgm_encode_options *options,
                         const double *images, double *latents, struct pfgm_error *error);

struct pfgm_likelihood_options {
    struct pfgm_encode_options encode;
    uint64_t seed, first_index; /* the probes of image i are those of (seed, first_index + i) */
    int probes;                 /* 0: the exact trace, for up to 64 dimensions */
    const float *epsilon;       /* NULL, or probes [n][probes][channels,height,width] */
    int reference_constant;     /* not 0: the prior's constant of the reference's code */
    int linear_time;            /* not 0: rk45 over t instead of ln t, as the reference's */
};
/* n = 1, tolerances 1e-4, seed 0, one probe. */
PFGM_API void pfgm_likelihood_options_default(const struct pfgm_model *model,
                                              struct pfgm_likelihood_options *options);
/* log p [n] of images, natural logarithms, and the same in bits per dimension [n], of 8-bit
 * pictures (of vectors in their own scale); either may be NULL. Blocks. */
PFGM_API int pfgm_likelihood(struct pfgm_model *model,
                             const struct pfgm_likelihood_options *options, const double *images,
                             double *log_likelihood, double *bits_per_dimension,
                             struct pfgm_error *error);

/* ---- all fields of a solver ----
 *
 * The three below are pfgm_sample, pfgm_encode and pfgm_likelihood with the solver chosen by fields
 * as pfgmd and the command line have them, in place of the method, steps, tolerances and max_nfe of
 * the options, which are not looked at. What no field says is the model's own.
 *
 *     const struct pfgm_field solver[] = {{"method", "heun"}, {"steps", "18"}, {"churn", "5"}};
 *     pfgm_sample_with(model, &options, solver, 3, pixels, NULL, &error); */

struct pfgm_field {
    const char *name;  /* as pfgm_field_name has it */
    const char *value; /* in characters: "heun", "18", "1e-4" */
};
/* The name and the meaning of field i; NULL beyond the last. */
PFGM_API const char *pfgm_field_name(int i);
PFGM_API const char *pfgm_field_help(int i);

/* One of pixels and samples is NULL. */
PFGM_API int pfgm_sample_with(struct pfgm_model *model, const struct pfgm_sample_options *options,
                              const struct pfgm_field *solver, size_t count, uint8_t *pixels,
                              float *samples, struct pfgm_error *error);
PFGM_API int pfgm_encode_with(struct pfgm_model *model, const struct pfgm_encode_options *options,
                              const struct pfgm_field *solver, size_t count, const double *images,
                              double *latents, struct pfgm_error *error);
PFGM_API int pfgm_likelihood_with(struct pfgm_model *model,
                                  const struct pfgm_likelihood_options *options,
                                  const struct pfgm_field *solver, size_t count,
                                  const double *images, double *log_likelihood,
                                  double *bits_per_dimension, struct pfgm_error *error);

#ifdef __cplusplus
}
#endif

#endif
