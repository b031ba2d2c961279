/* Bodies of POST /v1/images: what each field takes, and the pointer of what it does not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http_body.h"
#include "api_order.h"

#include <string.h>

#define N_MAX 64

/* Parses and reads `text`: 0, or the status; *pointers gets the errors' pointers, comma-separated.
 */
static unsigned read_text(const char *text, struct api_order *order, char pointers[512])
{
    struct http_problem p;
    struct buf body;
    unsigned status = 0;
    http_problem_init(&p);
    buf_init(&body, 1 << 20);
    assert_int_equal(buf_string(&body, text, NULL), 0);
    json_t *value = http_body_parse(&body, http_body_fields(64), &p);
    if (!value || api_order_parse(value, N_MAX, order, &p) != 0)
        status = http_problem_status(p.code);
    pointers[0] = '\0';
    for (size_t i = 0; i < json_array_size(p.errors); i++) {
        const json_t *entry = json_array_get(p.errors, i);
        assert_non_null(json_string_value(json_object_get(entry, "detail")));
        if (i)
            strcat(pointers, ",");
        strcat(pointers, json_string_value(json_object_get(entry, "pointer")));
    }
    json_decref(value);
    buf_clear(&body);
    http_problem_clear(&p);
    return status;
}

static void defaults(void **state)
{
    (void)state;
    struct api_order o;
    char pointers[512];
    assert_int_equal(read_text("{}", &o, pointers), 0);
    assert_int_equal(o.n, 1);
    assert_false(o.seed_given);
    assert_int_equal(o.first_index, 0);
    assert_string_equal(o.model, "");
    assert_false(o.grid_given);
    assert_true(o.embed_metadata);
}

static void every_field(void **state)
{
    (void)state;
    struct api_order o;
    char pointers[512];
    assert_int_equal(
        read_text(
            "{\"model\":\"digits8\",\"n\":64,\"seed\":\"18446744073709551615\","
            "\"first_index\":9223372036854775807,\"solver\":{\"method\":\"improved-euler\","
            "\"steps\":20,\"schedule\":\"rho\",\"t_max\":30.5,\"t_min\":0.01,\"max_nfe\":500},"
            "\"grid\":{\"columns\":8,\"scale\":4},\"embed_metadata\":false}",
            &o, pointers),
        0);
    assert_string_equal(o.model, "digits8");
    assert_int_equal(o.n, 64);
    assert_true(o.seed_given);
    assert_true(o.seed == UINT64_MAX);
    assert_true(o.first_index == INT64_MAX);
    assert_true(o.solver.given & MODEL_GIVEN(METHOD));
    assert_int_equal(o.solver.value.ode.method, ODE_IMPROVED_EULER);
    assert_int_equal(o.solver.value.ode.steps, 20);
    assert_true(o.solver.given & MODEL_GIVEN(SCHEDULE));
    assert_int_equal(o.solver.value.ode.schedule, ODE_SCHEDULE_RHO);
    assert_true(o.solver.value.t_max == 30.5 && o.solver.value.t_min == 0.01);
    assert_int_equal(o.solver.value.ode.max_nfe, 500);
    assert_true(o.grid_given);
    assert_int_equal(o.columns, 8);
    assert_int_equal(o.scale, 4);
    assert_false(o.embed_metadata);
}

static void how_it_is_answered_and_when(void **state)
{
    (void)state;
    struct api_order o;
    char pointers[512];
    assert_int_equal(read_text("{\"format\":\"tar\",\"dtype\":\"float32\",\"layout\":\"chw\","
                               "\"preview_every\":7,\"timeout_s\":2.5,\"priority\":\"batch\","
                               "\"label\":\"a label\"}",
                               &o, pointers),
                     0);
    assert_true(o.format_given && o.format == HTTP_FORMAT_TAR);
    assert_true(o.float32 && o.chw);
    assert_int_equal(o.preview_every, 7);
    assert_true(o.timeout_s == 2.5);
    assert_int_equal(o.priority, ENGINE_PRIORITY_BATCH);
    assert_string_equal(o.label, "a label");
    static const struct {
        const char *text, *pointer;
    } rows[] = {
        {"{\"format\":\"gif\"}", "/format"},
        {"{\"format\":1}", "/format"},
        {"{\"dtype\":\"float64\"}", "/dtype"},
        {"{\"layout\":\"HWC\"}", "/layout"},
        {"{\"preview_every\":-1}", "/preview_every"},
        {"{\"preview_every\":100001}", "/preview_every"},
        {"{\"timeout_s\":0}", "/timeout_s"},
        {"{\"timeout_s\":86401}", "/timeout_s"},
        {"{\"timeout_s\":\"1\"}", "/timeout_s"},
        {"{\"priority\":\"high\"}", "/priority"},
        {"{\"priority\":null}", "/priority"},
        {"{\"label\":5}", "/label"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(read_text(rows[i].text, &o, pointers), 422);
        assert_string_equal(pointers, rows[i].pointer);
    }
}

static void seeds_keep_every_digit_shifthackz_569(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t seed;
    } rows[] = {
        {"{\"seed\":0}", 0},
        {"{\"seed\":9007199254740993}", 9007199254740993u},
        {"{\"seed\":6687881544318117707}", 6687881544318117707u},
        {"{\"seed\":6687881544318117708}", 6687881544318117708u},
        {"{\"seed\":9223372036854775807}", INT64_MAX},
        {"{\"seed\":\"0\"}", 0},
        {"{\"seed\":\"5\"}", 5},
        {"{\"seed\":\"9223372036854775808\"}", (uint64_t)INT64_MAX + 1},
        {"{\"seed\":\"18446744073709551615\"}", UINT64_MAX},
    };
    struct api_order o;
    char pointers[512];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(read_text(rows[i].text, &o, pointers), 0);
        assert_true(o.seed_given && o.seed == rows[i].seed);
    }
}

/* Each body with the status and the pointers it must give. */
static void wrong_fields_are_named_llama_cpp_7089(void **state)
{
    (void)state;
    static const struct {
        const char *text, *pointers;
    } rows[] = {
        {"[]", ""},
        {"\"x\"", ""},
        {"null", ""},
        {"3", ""},
        {"true", ""},
        {"99999999999999999999", ""},
        {"{\"n\":0}", "/n"},
        {"{\"n\":-1}", "/n"},
        {"{\"n\":65}", "/n"},
        {"{\"n\":5000000}", "/n"},
        {"{\"n\":2147483649}", "/n"},
        {"{\"n\":18446744073709551616}", "/n"},
        {"{\"n\":[1]}", "/n"},
        {"{\"n\":\"1\"}", "/n"},
        {"{\"n\":1.0}", "/n"},
        {"{\"n\":1e0}", "/n"},
        {"{\"n\":null}", "/n"},
        {"{\"n\":true}", "/n"},
        {"{\"seed\":-1}", "/seed"},
        {"{\"seed\":9223372036854775808}", "/seed"},
        {"{\"seed\":18446744073709551615}", "/seed"},
        {"{\"seed\":18446744073709551616}", "/seed"},
        {"{\"seed\":-9223372036854775809}", "/seed"},
        {"{\"seed\":\"18446744073709551616\"}", "/seed"},
        {"{\"seed\":\"99999999999999999999999\"}", "/seed"},
        {"{\"seed\":\"-1\"}", "/seed"},
        {"{\"seed\":\"+1\"}", "/seed"},
        {"{\"seed\":\"1 \"}", "/seed"},
        {"{\"seed\":\"01\"}", "/seed"},
        {"{\"seed\":\"0x1\"}", "/seed"},
        {"{\"seed\":\"\"}", "/seed"},
        {"{\"seed\":1.5}", "/seed"},
        {"{\"seed\":1e3}", "/seed"},
        {"{\"seed\":1e999}", "/seed"},
        {"{\"seed\":null}", "/seed"},
        {"{\"seed\":{}}", "/seed"},
        {"{\"first_index\":-1}", "/first_index"},
        {"{\"first_index\":18446744073709551616}", "/first_index"},
        {"{\"n\":2,\"first_index\":\"18446744073709551615\"}", "/first_index"},
        {"{\"model\":3}", "/model"},
        {"{\"model\":\"\"}", "/model"},
        {"{\"solver\":3}", "/solver"},
        {"{\"solver\":\"rk45\"}", "/solver"},
        {"{\"solver\":{\"method\":\"rk4\"}}", "/solver/method"},
        {"{\"solver\":{\"method\":45}}", "/solver/method"},
        {"{\"solver\":{\"schedule\":\"even\"}}", "/solver/schedule"},
        {"{\"solver\":{\"schedule\":7}}", "/solver/schedule"},
        {"{\"solver\":{\"steps\":0}}", "/solver/steps"},
        {"{\"solver\":{\"steps\":-5}}", "/solver/steps"},
        {"{\"solver\":{\"steps\":true}}", "/solver/steps"},
        {"{\"solver\":{\"steps\":100001}}", "/solver/steps"},
        {"{\"solver\":{\"rtol\":-1}}", "/solver/rtol"},
        {"{\"solver\":{\"rtol\":0}}", "/solver/rtol"},
        {"{\"solver\":{\"rtol\":1e-14}}", "/solver/rtol"},
        {"{\"solver\":{\"rtol\":\"1e-4\"}}", "/solver/rtol"},
        {"{\"solver\":{\"atol\":-1}}", "/solver/atol"},
        {"{\"solver\":{\"t_max\":1e308}}", "/solver/t_max"},
        {"{\"solver\":{\"t_max\":1e999}}", "/solver/t_max"},
        {"{\"solver\":{\"t_min\":0}}", "/solver/t_min"},
        {"{\"solver\":{\"max_nfe\":0}}", "/solver/max_nfe"},
        {"{\"solver\":{\"bar\":1}}", "/solver/bar"},
        {"{\"grid\":4}", "/grid"},
        {"{\"grid\":{\"columns\":0}}", "/grid/columns"},
        {"{\"grid\":{\"scale\":17}}", "/grid/scale"},
        {"{\"grid\":{\"gap\":1}}", "/grid/gap"},
        {"{\"embed_metadata\":1}", "/embed_metadata"},
        {"{\"foo\":1}", "/foo"},
        {"{\"a/b~c\":1}", "/a~1b~0c"},
        {"{\"\":1}", "/"},
        {"{\"steps\":true}", "/steps"},
        {"{\"n\":0,\"seed\":-1,\"solver\":{\"steps\":0,\"x\":1}}",
         "/n,/seed,/solver/steps,/solver/x"},
    };
    struct api_order o;
    char pointers[512];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned status = read_text(rows[i].text, &o, pointers);
        if (status != 422 || strcmp(pointers, rows[i].pointers) != 0)
            fail_msg("%s gave %u at \"%s\"", rows[i].text, status, pointers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(every_field),
        cmocka_unit_test(how_it_is_answered_and_when),
        cmocka_unit_test(seeds_keep_every_digit_shifthackz_569),
        cmocka_unit_test(wrong_fields_are_named_llama_cpp_7089),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
