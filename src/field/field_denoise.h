/* What surrounds a PFGM++ network: D(x, σ) = skip·x + out·F(in·x, time), with
 *
 *     skip = s²/(σ² + s²),  out = σ s/√(σ² + s²),  in = 1/√(σ² + s²),  time = ln σ / 4,
 *
 * s = sigma_data, the deviation of the data (Karras et al. 2022, table 1; the same for every D).
 * The network for vectors brings its own and gives a field: D = x − σ v_x / v_t. Pure functions. */
#ifndef FIELD_DENOISE_H
#define FIELD_DENOISE_H

#include <stdbool.h>

struct field_denoise {
    double skip, in, time;
    double out; /* of a field: −σ, to be divided by v_t */
    bool field;
};

/* At σ > 0, sigma_data > 0; `field`: around the network for vectors. */
struct field_denoise field_denoise_at(double sigma, double sigma_data, bool field);
/* The factor of F, or of v_x, for an image whose network gave v_t (of a field alone). */
double field_denoise_factor(const struct field_denoise *c, double v_t);

#endif
