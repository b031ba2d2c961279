/* The fields by which a request, a command line or a program chooses its solver: one table.
 *
 * A row says all that there is to say of a field: its names, where it lies in a struct
 * model_solver, its range, which methods take it, and what it does in words. JSON bodies, queries,
 * KServe's parameters, the command line and the C library read through it; capabilities, `--help`
 * and the solver in answers are written from it. A new field is a row here, a member of struct
 * ode_options, and what src/ode does with it.
 *
 * Constant data and pure functions; nothing here knows a model. */
#ifndef MODEL_CHOICE_H
#define MODEL_CHOICE_H

#include "base_json.h"
#include "ode_solver.h"

/* How to go from t = t_max to t = t_min, and, where ode.to_zero says so, in one step to t = 0. A
 * family that ends on its data prediction (exact fields, PFGM++) has to_zero in its default. */
#define MODEL_T_MIN 1e-6 /* where a flow may end at the lowest */
struct model_solver {
    struct ode_options ode;
    double t_max, t_min;
};

/* The rows that code asks for by number; the others follow them. */
enum model_choice_row {
    MODEL_CHOICE_METHOD,
    MODEL_CHOICE_STEPS,
    MODEL_CHOICE_SCHEDULE,
    MODEL_CHOICE_RTOL,
    MODEL_CHOICE_ATOL,
    MODEL_CHOICE_T_MAX,
    MODEL_CHOICE_T_MIN,
    MODEL_CHOICE_MAX_NFE,
    MODEL_CHOICE_EXPONENT,
    MODEL_CHOICE_CHURN,
    MODEL_CHOICE_GUIDANCE = MODEL_CHOICE_CHURN + 6, /* behind others of its kind */
    MODEL_CHOICE_OTHERS
};

/* What a request says of its solver: the values of the rows whose bit is in `given`. The rest is
 * the model's to choose. */
struct model_choice {
    uint32_t given;
    struct model_solver value;
};
#define MODEL_GIVEN(row) (UINT32_C(1) << MODEL_CHOICE_##row)

enum model_choice_kind {
    MODEL_CHOICE_IS_METHOD,   /* enum ode_method, by its word */
    MODEL_CHOICE_IS_SCHEDULE, /* enum ode_schedule, by its word */
    MODEL_CHOICE_IS_INT,
    MODEL_CHOICE_IS_INT64,
    MODEL_CHOICE_IS_REAL
};

struct model_choice_field {
    const char *name;   /* in JSON, queries and the C library */
    const char *option; /* on the command line, without "--" */
    const char *value;  /* what stands for its value in a help text */
    enum model_choice_kind kind;
    bool (*takes)(enum ode_method method); /* the methods that have it; NULL: all */
    size_t offset;                         /* in struct model_solver */
    double min, max; /* of numbers, both included; integers are exact in a double */
    double neutral;  /* the value that is as good as none: 0 unless the row says another */
    /* The row without which it says nothing (0: none), and its value where that row is given and
     * not neutral and it is not. */
    enum model_choice_row needs;
    double otherwise;
    bool quiet;       /* left out of answers while it is neutral */
    bool hidden;      /* the family's to set: in answers, and not to be chosen */
    const char *help; /* in words; where lines break is the printer's business */
};

/* Row i of the table, hidden ones included; NULL beyond the last. */
const struct model_choice_field *model_choice_field(size_t i);
/* The row of a field that can be chosen, or NULL. */
const struct model_choice_field *model_choice_find(const char *name);
bool model_choice_takes(const struct model_choice_field *field, enum ode_method method);

/* Whether a command line offers it; `adaptive`: one whose method is rk45 in any case. */
bool model_choice_offered(const struct model_choice_field *field, bool adaptive);

bool model_choice_given(const struct model_choice *c, const struct model_choice_field *field);

/* Each puts a value into the choice. ERR_INPUT, `at` the field's name and the text fit to follow
 * it, when it is of another kind or out of range; the choice then counts as given all the same. A
 * word is the value in characters: a method, or digits that mean the same in every locale. */
int model_choice_read_json(struct model_choice *c, const struct model_choice_field *field,
                           const json_t *value, struct err *e);
int model_choice_read_word(struct model_choice *c, const struct model_choice_field *field,
                           const char *word, struct err *e);

/* Copies what is given into the solver, and with it what its rows imply. ERR_INPUT, `at` the
 * field's name, where one says nothing without another that is absent. */
int model_choice_apply(const struct model_choice *c, struct model_solver *out, struct err *e);

/* What is given, as model_choice_read_json reads it: a new reference or NULL. */
json_t *model_choice_json(const struct model_choice *c);

/* The solver's fields that mean something, {"method", "steps" | "rtol" …, "t_max", "t_min",
 * "max_nfe"}: a new reference or NULL. The budget decides whether there is an image and not which,
 * so that a text that names an image goes without it. */
json_t *model_solver_json(const struct model_solver *solver, bool with_budget);

#endif
