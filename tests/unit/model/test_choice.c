/* The table of the solver's fields against all that describes it by hand: the OpenAPI document, the
 * reference of the interface and the JavaScript types. A row that is missing in one of them is
 * named, with the place. And its readers against bad values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base_file.h"
#include "model_choice.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int faults;

#define MISSING(...)                                                                               \
    do {                                                                                           \
        faults++;                                                                                  \
        print_error(__VA_ARGS__);                                                                  \
    } while (0)

static char *read_source(const char *name)
{
    char path[1024];
    struct buf text;
    struct err e = {0};
    snprintf(path, sizeof path, SOURCE_DIR "/%s", name);
    buf_init(&text, 1 << 24);
    if (file_read(path, &text, &e) != 0 || buf_append(&text, "", 1, &e) != 0)
        fail_msg("%s: %s", e.at, e.text);
    return (char *)buf_take(&text, NULL);
}

static json_t *read_openapi(void)
{
    struct err e = {0};
    char *text = read_source("src/http/api/openapi.json");
    json_t *all = json_parse(text, strlen(text), "openapi.json", &e);
    if (!all)
        fail_msg("%s: %s", e.at, e.text);
    free(text);
    return all;
}

static const json_t *properties(const json_t *openapi, const char *schema)
{
    const json_t *all = json_object_get(json_object_get(openapi, "components"), "schemas");
    return json_object_get(json_object_get(all, schema), "properties");
}

static double number_in(const json_t *property, const char *key)
{
    const json_t *value = json_object_get(property, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static bool has_range(const json_t *property, const struct model_choice_field *f)
{
    const char *type = json_string_value(json_object_get(property, "type"));
    if (f->kind == MODEL_CHOICE_IS_METHOD || f->kind == MODEL_CHOICE_IS_SCHEDULE)
        return json_array_size(json_object_get(property, "enum")) ==
               (f->kind == MODEL_CHOICE_IS_METHOD ? ODE_METHODS : ODE_SCHEDULES);
    return type && strcmp(type, f->kind == MODEL_CHOICE_IS_REAL ? "number" : "integer") == 0 &&
           number_in(property, "minimum") == f->min &&
           (number_in(property, "maximum") == f->max ||
            number_in(property, "exclusiveMaximum") == f->max);
}

/* Each list of parameters that names the method names all fields, with their range where it has one
 * of its own. */
static void walk_parameters(const json_t *value, const char *where)
{
    const struct model_choice_field *f;
    json_t *item;
    const char *key;
    size_t at;
    bool listed[32] = {false};
    json_array_foreach((json_t *)(uintptr_t)value, at, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        const json_t *schema = json_object_get(item, "schema");
        for (size_t i = 0; name && (f = model_choice_field(i)) != NULL; i++)
            listed[i] |= strcmp(f->name, name) == 0;
        f = name && schema && !json_object_get(schema, "$ref") ? model_choice_find(name) : NULL;
        if (f && !has_range(schema, f))
            MISSING("openapi.json, parameters of %s: \"%s\" has another type or range\n", where,
                    name);
        walk_parameters(item, where);
    }
    for (size_t i = 0; listed[MODEL_CHOICE_METHOD] && (f = model_choice_field(i)) != NULL; i++)
        if (!f->hidden && !listed[i])
            MISSING("openapi.json, parameters of %s: \"%s\" is missing\n", where, f->name);
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
        walk_parameters(item, *key == '/' ? key : where);
}

static void the_openapi_document_has_every_row(void **state)
{
    (void)state;
    json_t *openapi = read_openapi();
    const json_t *request = properties(openapi, "Solver"),
                 *answer = properties(openapi, "ResolvedSolver"),
                 *kserve = json_object_get(
                     json_object_get(properties(openapi, "KServeRequest"), "parameters"),
                     "properties");
    const struct model_choice_field *f;
    const char *key;
    json_t *value;
    faults = 0;
    for (size_t i = 0; (f = model_choice_field(i)) != NULL; i++) {
        if (!json_object_get(answer, f->name))
            MISSING("openapi.json, ResolvedSolver: \"%s\" is missing\n", f->name);
        if (f->hidden)
            continue;
        if (!json_object_get(request, f->name))
            MISSING("openapi.json, Solver: \"%s\" is missing\n", f->name);
        else if (!has_range(json_object_get(request, f->name), f))
            MISSING("openapi.json, Solver: \"%s\" has another type or range\n", f->name);
        if (!json_object_get(kserve, f->name))
            MISSING("openapi.json, KServeRequest: \"%s\" is missing\n", f->name);
    }
    json_object_foreach((json_t *)(uintptr_t)request, key, value) if (!model_choice_find(key))
        MISSING("openapi.json, Solver: \"%s\" is not a field\n", key);
    walk_parameters(json_object_get(openapi, "paths"), "");
    json_decref(openapi);
    assert_int_equal(faults, 0);
}

static void the_reference_and_the_client_types_have_every_row(void **state)
{
    (void)state;
    char *api = read_source("docs/api.md"), *types = read_source("clients/js/index.d.ts");
    const struct model_choice_field *f;
    faults = 0;
    for (size_t i = 0; (f = model_choice_field(i)) != NULL; i++) {
        char code[64], member[64];
        snprintf(code, sizeof code, "`solver.%s`", f->name);
        snprintf(member, sizeof member, "%s?:", f->name);
        if (!f->hidden && !strstr(api, code))
            MISSING("docs/api.md: %s is missing\n", code);
        if (!f->hidden && !strstr(types, member))
            MISSING("clients/js/index.d.ts: \"%s\" is missing\n", f->name);
    }
    free(api);
    free(types);
    assert_int_equal(faults, 0);
}

/* ---- readers ---- */

static void refused(const char *name, const char *word)
{
    struct model_choice c = {0};
    struct err e = {0};
    const struct model_choice_field *f = model_choice_find(name);
    assert_non_null(f);
    if (model_choice_read_word(&c, f, word, &e) == 0 || strcmp(e.at, name) != 0)
        fail_msg("%s=%s: at \"%s\"", name, word, e.at);
}

static void words_are_read_and_bad_ones_refused(void **state)
{
    (void)state;
    struct model_choice c = {0};
    struct model_solver s = {0};
    static const char *const words[][2] = {{"method", "heun"},  {"steps", "12"},
                                           {"t_max", "9.5"},    {"max_nfe", "10000000"},
                                           {"schedule", "rho"}, {"churn", "2"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_int_equal(
            model_choice_read_word(&c, model_choice_find(words[i][0]), words[i][1], NULL), 0);
    assert_int_equal(model_choice_apply(&c, &s, NULL), 0);
    assert_true(s.ode.method == ODE_HEUN && s.ode.steps == 12 && s.t_max == 9.5 && s.t_min == 0 &&
                s.ode.max_nfe == 10000000 && s.ode.schedule == ODE_SCHEDULE_RHO);
    assert_true(s.ode.churn.amount == 2 && s.ode.churn.t_min == 0 && isinf(s.ode.churn.t_max) &&
                s.ode.churn.noise == 1);
    refused("method", "Heun");
    refused("steps", "0");
    refused("steps", "1.5");
    refused("steps", "100001");
    refused("steps", "99999999999999999999");
    refused("steps", "");
    refused("t_max", "nan");
    refused("t_max", "0x10");
    refused("t_max", "-1");
    refused("t_min", "1e-7");
    refused("rtol", "1.5");
    refused("churn_noise", "11");
    refused("schedule", "linear");
    refused("guidance", "-0.1");
    refused("guidance", "101");
    refused("guidance_t_max", "nan");
}

static void fields_that_say_nothing_alone_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"churn_t_min", "churn_t_max", "churn_noise",
                                        "guidance_t_min", "guidance_t_max"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct model_choice c = {0};
        struct model_solver s = {0};
        struct err e = {0};
        assert_int_equal(model_choice_read_word(&c, model_choice_find(names[i]), "1", &e), 0);
        assert_int_equal(model_choice_apply(&c, &s, &e), -1);
        assert_string_equal(e.at, names[i]);
        assert_string_equal(e.text,
                            i < 3 ? "says nothing without churn" : "says nothing without guidance");
    }
}

/* 1 is none whatever its bounds are; else both bounds are there. */
static void guidance_of_one_is_as_good_as_none(void **state)
{
    (void)state;
    static const char *const given[] = {"1", "0", "2.5"};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        struct model_choice c = {0};
        struct model_solver s = {.ode.guidance = {1, 0, INFINITY}};
        assert_int_equal(model_choice_read_word(&c, model_choice_find("guidance"), given[i], NULL),
                         0);
        assert_int_equal(model_choice_read_word(&c, model_choice_find("guidance_t_min"), "3", NULL),
                         0);
        assert_int_equal(model_choice_apply(&c, &s, NULL), 0);
        json_t *o = model_solver_json(&s, false);
        const bool guided = i > 0;
        assert_true(ode_options_guided(&s.ode) == guided);
        assert_true(s.ode.guidance.t_min == (guided ? 3 : 0) && isinf(s.ode.guidance.t_max));
        assert_true((json_object_get(o, "guidance") != NULL) == guided);
        assert_true((json_object_get(o, "guidance_t_min") != NULL) == guided);
        assert_null(json_object_get(o, "guidance_t_max"));
        json_decref(o);
    }
}

static void hidden_rows_cannot_be_chosen(void **state)
{
    (void)state;
    assert_null(model_choice_find("exponent"));
    assert_null(model_choice_find("t_break"));
    assert_null(model_choice_find(""));
}

/* The text that PNGs and entity tags hold: names, order and spelling must not change. */
static void the_solver_is_written_as_ever(void **state)
{
    (void)state;
    static const struct {
        struct model_solver solver;
        const char *text;
    } rows[] = {
        {{.ode = {.method = ODE_HEUN,
                  .steps = 18,
                  .schedule = ODE_SCHEDULE_RHO,
                  .exponent = 7,
                  .t_break = 1.5,
                  .max_nfe = 100,
                  .churn = {2, 0, INFINITY, 1},
                  .guidance = {1, 0, INFINITY}},
          .t_max = 80,
          .t_min = 0.5},
         "{\"method\":\"heun\",\"steps\":18,\"schedule\":\"rho\",\"exponent\":7.0,\"churn\":2.0,"
         "\"churn_t_min\":0.0,\"churn_noise\":1.0,\"t_break\":1.5,\"t_max\":80.0,\"t_min\":0.5}"},
        {{.ode = {.method = ODE_RK45, .rtol = 0.5, .atol = 0, .steps = 9, .guidance = {1, 0, 0}},
          .t_max = 40,
          .t_min = 1},
         "{\"method\":\"rk45\",\"rtol\":0.5,\"atol\":0.0,\"t_max\":40.0,\"t_min\":1.0}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf text;
        json_t *o = model_solver_json(&rows[i].solver, false);
        assert_non_null(o);
        buf_init(&text, 4096);
        assert_int_equal(json_append(&text, o, 0, NULL), 0);
        assert_int_equal(buf_append(&text, "", 1, NULL), 0);
        assert_string_equal((const char *)text.data, rows[i].text);
        buf_clear(&text);
        json_decref(o);
    }
    json_t *o = model_solver_json(&rows[1].solver, true);
    assert_int_equal(json_integer_value(json_object_get(o, "max_nfe")), ODE_NFE_MAX);
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_openapi_document_has_every_row),
        cmocka_unit_test(the_reference_and_the_client_types_have_every_row),
        cmocka_unit_test(words_are_read_and_bad_ones_refused),
        cmocka_unit_test(fields_that_say_nothing_alone_are_refused),
        cmocka_unit_test(guidance_of_one_is_as_good_as_none),
        cmocka_unit_test(hidden_rows_cannot_be_chosen),
        cmocka_unit_test(the_solver_is_written_as_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
