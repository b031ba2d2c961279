/* The table of the solver's fields, its readers and its writers. */
#include "model_choice.h"

#include "base_text.h"
#include "field_prior.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define AT(member) offsetof(struct model_solver, member)

/* It picks its own steps, by tolerances. */
static bool adapts(enum ode_method method)
{
    return !ode_method_is_fixed_step(method);
}

static const struct model_choice_field fields[] = {
    [MODEL_CHOICE_METHOD] = {.name = "method",
                             .option = "solver",
                             .value = "METHOD",
                             .kind = MODEL_CHOICE_IS_METHOD,
                             .offset = AT(ode.method),
                             .help =
                                 "the model's own (default), rk45, euler, improved-euler, heun, "
                                 "multistep2, multistep3, ipndm4, unipc3"},
    [MODEL_CHOICE_STEPS] = {.name = "steps",
                            .option = "steps",
                            .value = "N",
                            .kind = MODEL_CHOICE_IS_INT,
                            .takes = ode_method_is_fixed_step,
                            .offset = AT(ode.steps),
                            .min = 1,
                            .max = ODE_STEPS_MAX,
                            .help = "number of steps, for every method but rk45"},
    [MODEL_CHOICE_SCHEDULE] = {.name = "schedule",
                               .option = "schedule",
                               .value = "GRID",
                               .kind = MODEL_CHOICE_IS_SCHEDULE,
                               .takes = ode_method_is_fixed_step,
                               .offset = AT(ode.schedule),
                               .help = "where the steps lie: log, power, rho, or tuned, if the "
                                       "model has schedules that pfgm tune found"},
    [MODEL_CHOICE_RTOL] = {.name = "rtol",
                           .option = "rtol",
                           .value = "R",
                           .kind = MODEL_CHOICE_IS_REAL,
                           .takes = adapts,
                           .offset = AT(ode.rtol),
                           .min = ODE_RTOL_MIN,
                           .max = 1.0,
                           .help =
                               "relative tolerance of rk45; asks for rk45 if no --solver is given"},
    [MODEL_CHOICE_ATOL] = {.name = "atol",
                           .option = "atol",
                           .value = "A",
                           .kind = MODEL_CHOICE_IS_REAL,
                           .takes = adapts,
                           .offset = AT(ode.atol),
                           .max = 1e6,
                           .help = "absolute tolerance of rk45; asks for rk45 too"},
    [MODEL_CHOICE_T_MAX] = {.name = "t_max",
                            .option = "t-max",
                            .value = "T",
                            .kind = MODEL_CHOICE_IS_REAL,
                            .offset = AT(t_max),
                            .min = MODEL_T_MIN,
                            .max = FIELD_T_MAX,
                            .help =
                                "t of the latents' plane, where a path down begins (the model's)"},
    [MODEL_CHOICE_T_MIN] = {.name = "t_min",
                            .option = "t-min",
                            .value = "T",
                            .kind = MODEL_CHOICE_IS_REAL,
                            .offset = AT(t_min),
                            .min = MODEL_T_MIN,
                            .max = FIELD_T_MAX,
                            .help = "t of the images' plane, where a path down ends (the model's)"},
    [MODEL_CHOICE_MAX_NFE] = {.name = "max_nfe",
                              .option = "max-nfe",
                              .value = "N",
                              .kind = MODEL_CHOICE_IS_INT64,
                              .offset = AT(ode.max_nfe),
                              .min = 1,
                              .max = ODE_NFE_MAX,
                              .help = "evaluations per image after which it fails"},
    [MODEL_CHOICE_EXPONENT] = {.name = "exponent",
                               .kind = MODEL_CHOICE_IS_REAL,
                               .takes = ode_method_is_fixed_step,
                               .offset = AT(ode.exponent),
                               .quiet = true,
                               .hidden = true},
    [MODEL_CHOICE_CHURN] =
        {.name = "churn",
         .option = "churn",
         .value = "S",
         .kind = MODEL_CHOICE_IS_REAL,
         .takes = ode_method_churns,
         .offset = AT(ode.churn.amount),
         .max = ODE_CHURN_MAX,
         .quiet = true,
         .help = "makes the sampler stochastic: noise before each step of euler, improved-euler "
                 "and heun; t grows by the factor 1 + min(S/N, 0.41)"},
    {.name = "churn_t_min",
     .option = "churn-t-min",
     .value = "T",
     .kind = MODEL_CHOICE_IS_REAL,
     .takes = ode_method_churns,
     .offset = AT(ode.churn.t_min),
     .max = FIELD_T_MAX,
     .needs = MODEL_CHOICE_CHURN,
     .help = "least t with noise (0)"},
    {.name = "churn_t_max",
     .option = "churn-t-max",
     .value = "T",
     .kind = MODEL_CHOICE_IS_REAL,
     .takes = ode_method_churns,
     .offset = AT(ode.churn.t_max),
     .max = FIELD_T_MAX,
     .needs = MODEL_CHOICE_CHURN,
     .otherwise = INFINITY,
     .help = "greatest t with noise (none)"},
    {.name = "churn_noise",
     .option = "churn-noise",
     .value = "F",
     .kind = MODEL_CHOICE_IS_REAL,
     .takes = ode_method_churns,
     .offset = AT(ode.churn.noise),
     .max = 10.0,
     .needs = MODEL_CHOICE_CHURN,
     .otherwise = 1.0,
     .help = "factor on the noise (1)"},
    {.name = "t_break",
     .kind = MODEL_CHOICE_IS_REAL,
     .takes = ode_method_is_fixed_step,
     .offset = AT(ode.t_break),
     .quiet = true,
     .hidden = true},
    {.name = "order_cap",
     .option = "order-cap",
     .value = "K",
     .kind = MODEL_CHOICE_IS_INT,
     .takes = ode_method_remembers,
     .offset = AT(ode.order_cap),
     .min = 1,
     .max = ODE_ORDER_MAX,
     .quiet = true,
     .help = "highest order of multistep2, multistep3, ipndm4 and unipc3, 1 to the "
             "method's own (its own)"},
    [MODEL_CHOICE_GUIDANCE] =
        {.name = "guidance",
         .option = "guidance",
         .value = "G",
         .kind = MODEL_CHOICE_IS_REAL,
         .offset = AT(ode.guidance.scale),
         .max = ODE_GUIDANCE_MAX,
         .neutral = 1.0,
         .quiet = true,
         .help = "goes G times from the slope of no class to that of the class, for models that "
                 "were trained with labels left out; takes two evaluations in place of one (1: "
                 "none)"},
    {.name = "guidance_t_min",
     .option = "guidance-t-min",
     .value = "T",
     .kind = MODEL_CHOICE_IS_REAL,
     .offset = AT(ode.guidance.t_min),
     .max = FIELD_T_MAX,
     .needs = MODEL_CHOICE_GUIDANCE,
     .help = "least t with guidance (0)"},
    {.name = "guidance_t_max",
     .option = "guidance-t-max",
     .value = "T",
     .kind = MODEL_CHOICE_IS_REAL,
     .offset = AT(ode.guidance.t_max),
     .max = FIELD_T_MAX,
     .needs = MODEL_CHOICE_GUIDANCE,
     .otherwise = INFINITY,
     .help = "greatest t with guidance (none)"},
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)
_Static_assert(FIELD_COUNT <= 32, "a row has no bit in struct model_choice");

const struct model_choice_field *model_choice_field(size_t i)
{
    return i < FIELD_COUNT ? &fields[i] : NULL;
}

const struct model_choice_field *model_choice_find(const char *name)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (!fields[i].hidden && strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

bool model_choice_takes(const struct model_choice_field *field, enum ode_method method)
{
    return !field->takes || field->takes(method);
}

bool model_choice_offered(const struct model_choice_field *field, bool adaptive)
{
    return !field->hidden && (!adaptive || model_choice_takes(field, ODE_RK45));
}

static uint32_t bit_of(const struct model_choice_field *field)
{
    return UINT32_C(1) << (field - fields);
}

bool model_choice_given(const struct model_choice *c, const struct model_choice_field *field)
{
    return (c->given & bit_of(field)) != 0;
}

/* ---- values ---- */

static void *place(struct model_solver *s, const struct model_choice_field *f)
{
    return (unsigned char *)s + f->offset;
}

/* As a number; words by their number, integers exactly. */
static double value_of(const struct model_solver *s, const struct model_choice_field *f)
{
    const void *at = (const unsigned char *)s + f->offset;
    switch (f->kind) {
    case MODEL_CHOICE_IS_METHOD:
        return (double)*(const enum ode_method *)at;
    case MODEL_CHOICE_IS_SCHEDULE:
        return (double)*(const enum ode_schedule *)at;
    case MODEL_CHOICE_IS_INT:
        return (double)*(const int *)at;
    case MODEL_CHOICE_IS_INT64:
        return (double)*(const int64_t *)at;
    default:
        return *(const double *)at;
    }
}

static void copy(struct model_solver *to, const struct model_solver *from,
                 const struct model_choice_field *f)
{
    static const size_t sizes[] = {[MODEL_CHOICE_IS_METHOD] = sizeof(enum ode_method),
                                   [MODEL_CHOICE_IS_SCHEDULE] = sizeof(enum ode_schedule),
                                   [MODEL_CHOICE_IS_INT] = sizeof(int),
                                   [MODEL_CHOICE_IS_INT64] = sizeof(int64_t),
                                   [MODEL_CHOICE_IS_REAL] = sizeof(double)};
    memcpy(place(to, f), (const unsigned char *)from + f->offset, sizes[f->kind]);
}

static bool is_integer(const struct model_choice_field *f)
{
    return f->kind == MODEL_CHOICE_IS_INT || f->kind == MODEL_CHOICE_IS_INT64;
}

static bool put_integer(struct model_choice *c, const struct model_choice_field *f, int64_t n)
{
    if (n < (int64_t)f->min || n > (int64_t)f->max)
        return false;
    if (f->kind == MODEL_CHOICE_IS_INT)
        *(int *)place(&c->value, f) = (int)n;
    else
        *(int64_t *)place(&c->value, f) = n;
    return true;
}

static bool put_real(struct model_choice *c, const struct model_choice_field *f, double x)
{
    if (!isfinite(x) || x < f->min || x > f->max)
        return false;
    *(double *)place(&c->value, f) = x;
    return true;
}

static bool put_word(struct model_choice *c, const struct model_choice_field *f, const char *word)
{
    return f->kind == MODEL_CHOICE_IS_METHOD ? ode_method_parse(word, place(&c->value, f)) == 0
                                             : ode_schedule_parse(word, place(&c->value, f)) == 0;
}

int model_choice_read_json(struct model_choice *c, const struct model_choice_field *f,
                           const json_t *value, struct err *e)
{
    c->given |= bit_of(f);
    if (is_integer(f))
        return json_is_integer(value) && put_integer(c, f, json_integer_value(value))
                   ? 0
                   : err_fail(e, ERR_INPUT, f->name,
                              "must be an integer from %" PRId64 " to %" PRId64, (int64_t)f->min,
                              (int64_t)f->max);
    if (f->kind == MODEL_CHOICE_IS_REAL)
        return json_is_number(value) && put_real(c, f, json_number_value(value))
                   ? 0
                   : err_fail(e, ERR_INPUT, f->name, "must be a number from %g to %g", f->min,
                              f->max);
    return json_is_string(value) && put_word(c, f, json_string_value(value))
               ? 0
               : err_fail(e, ERR_INPUT, f->name, "must be one of %s",
                          f->kind == MODEL_CHOICE_IS_METHOD ? ODE_METHOD_WORDS
                                                            : ODE_SCHEDULE_WORDS);
}

int model_choice_read_word(struct model_choice *c, const struct model_choice_field *f,
                           const char *word, struct err *e)
{
    int64_t n = 0;
    double x = 0.0;
    c->given |= bit_of(f);
    if (is_integer(f))
        return text_integer(word, &n) && put_integer(c, f, n)
                   ? 0
                   : err_fail(e, ERR_INPUT, f->name,
                              "\"%s\" is not a whole number from %" PRId64 " to %" PRId64, word,
                              (int64_t)f->min, (int64_t)f->max);
    if (f->kind == MODEL_CHOICE_IS_REAL)
        return text_real(word, &x) && put_real(c, f, x)
                   ? 0
                   : err_fail(e, ERR_INPUT, f->name, "\"%s\" is not a number from %g to %g", word,
                              f->min, f->max);
    return put_word(c, f, word)
               ? 0
               : err_fail(e, ERR_INPUT, f->name, "\"%s\" is not a %s: use %s", word, f->name,
                          f->kind == MODEL_CHOICE_IS_METHOD ? ODE_METHOD_WORDS
                                                            : ODE_SCHEDULE_WORDS);
}

int model_choice_apply(const struct model_choice *c, struct model_solver *out, struct err *e)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct model_choice_field *f = &fields[i], *needs = f->needs ? fields + f->needs : f;
        if (model_choice_given(c, f) && !model_choice_given(c, needs))
            return err_fail(e, ERR_INPUT, f->name, "says nothing without %s", needs->name);
        if (!model_choice_given(c, needs) ||
            (f->needs && value_of(&c->value, needs) == needs->neutral))
            continue;
        if (model_choice_given(c, f))
            copy(out, &c->value, f);
        else
            *(double *)place(out, f) = f->otherwise;
    }
    return 0;
}

/* ---- writing ---- */

static json_t *value_json(const struct model_solver *s, const struct model_choice_field *f)
{
    const double x = value_of(s, f);
    if (f->kind == MODEL_CHOICE_IS_METHOD)
        return json_string(ode_method_name(s->ode.method));
    if (f->kind == MODEL_CHOICE_IS_SCHEDULE)
        return json_string(ode_schedule_name(s->ode.schedule));
    return is_integer(f) ? json_integer((json_int_t)x) : json_real(x);
}

json_t *model_choice_json(const struct model_choice *c)
{
    json_t *o = json_object();
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (model_choice_given(c, &fields[i]))
            o = json_with(o, fields[i].name, value_json(&c->value, &fields[i]));
    return o;
}

/* Whether an answer has the field; without an upper bound churn_t_max is left out. */
static bool is_shown(const struct model_solver *s, const struct model_choice_field *f)
{
    const struct model_choice_field *needs = f->needs ? fields + f->needs : f;
    return model_choice_takes(f, s->ode.method) && !isinf(value_of(s, f)) &&
           (!needs->quiet || value_of(s, needs) != needs->neutral);
}

/* The method, what some methods take, and what all take: PNGs and entity tags hold this text. */
json_t *model_solver_json(const struct model_solver *solver, bool with_budget)
{
    struct model_solver s = *solver;
    if (s.ode.max_nfe == 0)
        s.ode.max_nfe = ODE_NFE_MAX;
    json_t *o = json_with(json_object(), fields[0].name, value_json(&s, &fields[0]));
    for (int all = 0; all < 2; all++)
        for (size_t i = 1; i < FIELD_COUNT; i++)
            if ((fields[i].takes == NULL) == (all != 0) && is_shown(&s, &fields[i]) &&
                (with_budget || i != MODEL_CHOICE_MAX_NFE))
                o = json_with(o, fields[i].name, value_json(&s, &fields[i]));
    return o;
}
