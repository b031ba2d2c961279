/* The public API, as a program that only includes pfgm.h uses it. */
#include "pfgm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void samples_and_repeats(void **state)
{
    (void)state;
    struct pfgm_error error = {0};
    struct pfgm_model *model = pfgm_model_open(MODELS_DIR "/digits8.safetensors", NULL, &error);
    if (!model)
        fail_msg("%s", error.text);
    assert_int_equal(pfgm_model_width(model), 8);
    assert_int_equal(pfgm_model_height(model), 8);
    assert_int_equal(pfgm_model_channels(model), 1);
    assert_int_equal(strlen(pfgm_model_sha256(model)), 64);
    assert_true(strlen(pfgm_model_kernel(model)) > 0);
    size_t bytes = pfgm_model_image_bytes(model);
    assert_int_equal(bytes, 64);
    struct pfgm_sample_options options;
    pfgm_sample_options_default(model, &options);
    options.n = 5;
    options.seed = 7;
    uint8_t five[5 * 64], one[64];
    float samples[64];
    assert_int_equal(pfgm_sample(model, &options, five, &error), 0);
    options.n = 1;
    options.first_index = 3;
    assert_int_equal(pfgm_sample(model, &options, one, &error), 0);
    assert_memory_equal(one, five + 3 * bytes, bytes);
    assert_int_equal(pfgm_model_label_count(model), 0);
    assert_null(pfgm_model_label(model, 0));
    options.temperature = 0.5;
    assert_int_equal(pfgm_sample(model, &options, one, &error), 0);
    assert_memory_not_equal(one, five + 3 * bytes, bytes);
    options.temperature = 1;
    assert_int_equal(pfgm_sample(model, &options, one, &error), 0);
    assert_int_equal(pfgm_sample_float(model, &options, samples, &error), 0);
    for (size_t i = 0; i < bytes; i++) {
        double scaled = ((double)samples[i] + 1.0) / 2.0 * 255.0;
        scaled = scaled < 0 ? 0 : scaled > 255 ? 255 : scaled;
        assert_in_range(one[i] + 1, (int)scaled, (int)scaled + 2);
    }
    pfgm_model_close(model);
}

/* Up and down again is the picture it was, and the likelihood is that of the noise's seed. */
static void encodes_and_judges(void **state)
{
    (void)state;
    struct pfgm_error error = {0};
    struct pfgm_model *model = pfgm_model_open(MODELS_DIR "/digits8.safetensors", NULL, &error);
    if (!model)
        fail_msg("%s", error.text);
    struct pfgm_sample_options options;
    pfgm_sample_options_default(model, &options);
    options.n = 2;
    uint8_t pixels[2 * 64], again[2 * 64];
    double images[2 * 64], latents[2 * 64], bits[2], twice[2], log_p[2];
    assert_int_equal(pfgm_sample(model, &options, pixels, &error), 0);
    assert_int_equal(pfgm_images_from_pixels(model, 2, pixels, NULL, 0, images, &error), 0);
    struct pfgm_encode_options up;
    pfgm_encode_options_default(model, &up);
    up.n = 2;
    assert_int_equal(pfgm_encode(model, &up, images, latents, &error), 0);
    options.latents = latents;
    options.method = "rk45";
    options.rtol = options.atol = 1e-5;
    assert_int_equal(pfgm_sample(model, &options, again, &error), 0);
    assert_memory_equal(pixels, again, sizeof pixels);
    struct pfgm_likelihood_options judge;
    pfgm_likelihood_options_default(model, &judge);
    judge.encode.n = 2;
    const uint64_t seed = 3;
    assert_int_equal(pfgm_images_from_pixels(model, 2, pixels, &seed, 0, images, &error), 0);
    assert_int_equal(pfgm_likelihood(model, &judge, images, log_p, bits, &error), 0);
    assert_int_equal(pfgm_likelihood(model, &judge, images, NULL, twice, &error), 0);
    assert_memory_equal(bits, twice, sizeof bits);
    for (int i = 0; i < 2; i++)
        assert_true(bits[i] > 2 && bits[i] < 8 && log_p[i] > 0); /* of digits, not of noise */
    judge.encode.label = "0";
    assert_int_equal(pfgm_likelihood(model, &judge, images, log_p, bits, &error), -1);
    assert_non_null(strstr(error.text, "knows no classes"));
    judge.encode.label = NULL;
    judge.probes = -1;
    assert_int_equal(pfgm_likelihood(model, &judge, images, log_p, bits, &error), -1);
    assert_non_null(strstr(error.text, "probes"));
    up.rtol = -1;
    assert_int_equal(pfgm_encode(model, &up, images, latents, &error), -1);
    assert_int_equal(error.code, PFGM_BAD_INPUT);
    pfgm_model_close(model);
}

/* The fields choose what the options' own members choose, and what those have no word for. */
static void chooses_by_fields(void **state)
{
    (void)state;
    struct pfgm_error error = {0};
    struct pfgm_model *model = pfgm_model_open(MODELS_DIR "/digits8.safetensors", NULL, &error);
    if (!model)
        fail_msg("%s", error.text);
    struct pfgm_sample_options options;
    pfgm_sample_options_default(model, &options);
    uint8_t pixels[64], other[64];
    float samples[64];
    double images[64], latents[64], again[64], bits[2], log_p;
    const struct pfgm_field heun[] = {{"method", "heun"}, {"steps", "11"}, {"schedule", "rho"},
                                      {"t_max", "20"},    {"churn", "5"},  {"churn_noise", "1.01"}};
    options.method = "heun";
    options.steps = 11;
    assert_int_equal(pfgm_sample(model, &options, pixels, &error), 0);
    options.method = "not looked at";
    assert_int_equal(pfgm_sample_with(model, &options, heun, 2, other, NULL, &error), 0);
    assert_memory_equal(pixels, other, sizeof pixels);
    assert_int_equal(pfgm_sample_with(model, &options, heun, 6, other, NULL, &error), 0);
    assert_memory_not_equal(pixels, other, sizeof pixels);
    assert_int_equal(pfgm_sample_with(model, &options, NULL, 0, NULL, samples, &error), 0);
    assert_int_equal(pfgm_sample_with(model, &options, heun, 2, NULL, NULL, &error), -1);

    const struct pfgm_field loose[] = {{"rtol", "1e-3"}, {"atol", "1e-3"}, {"t_min", "0.01"}};
    struct pfgm_encode_options up;
    struct pfgm_likelihood_options judge;
    pfgm_encode_options_default(model, &up);
    pfgm_likelihood_options_default(model, &judge);
    up.rtol = up.atol = judge.encode.rtol = judge.encode.atol = 1e-3;
    assert_int_equal(pfgm_images_from_pixels(model, 1, pixels, NULL, 0, images, &error), 0);
    assert_int_equal(pfgm_encode(model, &up, images, latents, &error), 0);
    assert_int_equal(pfgm_encode_with(model, &up, loose, 2, images, again, &error), 0);
    assert_memory_equal(latents, again, sizeof latents);
    assert_int_equal(pfgm_encode_with(model, &up, loose, 3, images, again, &error), 0);
    assert_memory_not_equal(latents, again, sizeof latents);
    assert_int_equal(pfgm_likelihood(model, &judge, images, &log_p, bits, &error), 0);
    assert_int_equal(
        pfgm_likelihood_with(model, &judge, loose, 2, images, &log_p, bits + 1, &error), 0);
    assert_true(bits[0] == bits[1]);
    pfgm_model_close(model);
}

static void refuses_fields(void **state)
{
    (void)state;
    struct pfgm_error error = {0};
    struct pfgm_model *model = pfgm_model_open(MODELS_DIR "/digits8.safetensors", NULL, &error);
    if (!model)
        fail_msg("%s", error.text);
    static const struct {
        struct pfgm_field fields[2];
        size_t count;
        const char *text;
    } rows[] = {
        {{{"stepz", "1"}}, 1, "\"stepz\" is not a field"},
        {{{NULL, "1"}}, 1, "is not a field"},
        {{{"steps", NULL}}, 1, "steps: has no value"},
        {{{"steps", "1"}, {"steps", "2"}}, 2, "steps: occurs twice"},
        {{{"steps", "many"}}, 1, "steps: \"many\" is not a whole number"},
        {{{"exponent", "3"}}, 1, "\"exponent\" is not a field"},
        {{{"method", "rk45"}, {"steps", "2"}}, 2, "steps: does not apply to rk45"},
    };
    struct pfgm_sample_options options;
    pfgm_sample_options_default(model, &options);
    uint8_t pixels[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(
            pfgm_sample_with(model, &options, rows[i].fields, rows[i].count, pixels, NULL, &error),
            -1);
        assert_int_equal(error.code, PFGM_BAD_INPUT);
        if (!strstr(error.text, rows[i].text))
            fail_msg("\"%s\" does not say \"%s\"", error.text, rows[i].text);
    }
    int count = 0;
    while (pfgm_field_name(count))
        assert_true(strlen(pfgm_field_help(count++)) > 0);
    assert_true(count >= 12 && !pfgm_field_help(count) && !pfgm_field_name(-1));
    assert_string_equal(pfgm_field_name(0), "method");
    pfgm_model_close(model);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    struct pfgm_error error = {0};
    assert_null(pfgm_model_open("/nonexistent/model.safetensors", NULL, &error));
    assert_int_equal(error.code, PFGM_BAD_INPUT);
    assert_non_null(strstr(error.text, "/nonexistent/model.safetensors"));
    const struct pfgm_open_options bad_kernel = {.kernel = "gpu"};
    assert_null(pfgm_model_open(MODELS_DIR "/digits8.safetensors", &bad_kernel, &error));
    assert_int_equal(error.code, PFGM_BAD_INPUT);
    struct pfgm_model *model = pfgm_model_open(MODELS_DIR "/digits8.safetensors", NULL, NULL);
    assert_non_null(model);
    struct pfgm_sample_options options;
    pfgm_sample_options_default(model, &options);
    uint8_t pixels[64];
    options.temperature = 0.5;
    options.label = "0";
    assert_int_equal(pfgm_sample(model, &options, pixels, &error), -1);
    assert_non_null(strstr(error.text, "knows no classes"));
    options.label = NULL;
    options.temperature = 0;
    assert_int_equal(pfgm_sample(model, &options, pixels, &error), -1);
    options.temperature = 11;
    assert_int_equal(pfgm_sample(model, &options, pixels, &error), -1);
    assert_non_null(strstr(error.text, "temperature"));
    options.temperature = 1;
    options.method = "guess";
    assert_int_equal(pfgm_sample(model, &options, pixels, &error), -1);
    assert_int_equal(error.code, PFGM_BAD_INPUT);
    options.method = "rk45";
    options.max_nfe = 3;
    assert_int_equal(pfgm_sample(model, &options, pixels, &error), -1);
    options.n = 0;
    assert_int_equal(pfgm_sample(model, &options, pixels, &error), -1);
    pfgm_model_close(model);
    pfgm_model_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_and_repeats), cmocka_unit_test(encodes_and_judges),
        cmocka_unit_test(chooses_by_fields),   cmocka_unit_test(refuses_fields),
        cmocka_unit_test(says_what_is_wrong),
    };
    return cmocka_run_group_tests_name("lib", tests, NULL, NULL);
}
