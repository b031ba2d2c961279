/* The flow from the normalised field: dx/dt = v_x / v_t, v = √d · E / (‖E‖ + γ). */
#ifndef FIELD_FLOW_H
#define FIELD_FLOW_H

#include <stddef.h>

struct field_flow {
    double gamma;          /* γ ≥ 0 of the normalisation */
    double t_substitution; /* below this t v_t is not the network's; 0: never */
    double offset;         /* added to the divisor: 1e-5 in the reference */
};

/* What divides v_x [n]: v_t + offset, or near the data what v_t must be for the length of v_x.
 *
 * From a = ‖v_x‖/√d follows the unnormalised length e = γa/(1-a) of E_x, hence ‖E‖ = s = √(e² + t²)
 * if the data lie in the plane t = 0, and v_t = -√d·t/(s + γ). A network may overshoot a = 1, where
 * E would be infinite: a is held below. In double, sums in order. */
double field_flow_divisor(const struct field_flow *flow, const float *v_x, size_t n, double v_t,
                          double t);

/* The derivative of that divisor: by v_x it is the number `v_x` times v_x itself, by v_t `v_t`,
 * which is 1, or 0 where the substitution rules. Where a is held below its limit the divisor is
 * constant.
 */
struct field_flow_slope {
    double v_x, v_t;
};
struct field_flow_slope field_flow_divisor_slope(const struct field_flow *flow, const float *v_x,
                                                 size_t n, double t);

#endif
