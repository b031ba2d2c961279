/* Borders, and the resampling filters that all kernels share. */
#include "nn_pixels.h"
#include <string.h>

void nn_bordered_zero(float *out, size_t n, size_t side, size_t lanes)
{
    size_t pitch = side + 1;
    for (size_t b = 0; b < n; b++) {
        float *image = out + b * pitch * pitch * lanes;
        memset(image, 0, pitch * lanes * sizeof *out);
        for (size_t y = 1; y <= side; y++)
            memset(image + y * pitch * lanes, 0, lanes * sizeof *out);
    }
    memset(out + n * pitch * pitch * lanes, 0, (pitch + 1) * lanes * sizeof *out);
}

int nn_resample_taps(enum nn_resample_kind kind, size_t at, long *start, float weight[4])
{
    static const float down[4] = {0.125f, 0.375f, 0.375f, 0.125f};
    long o = (long)at;
    switch (kind) {
    case NN_BOX_UP:
        *start = o / 2;
        weight[0] = 1.0f;
        return 1;
    case NN_BOX_DOWN:
        *start = 2 * o;
        weight[0] = weight[1] = 0.5f;
        return 2;
    case NN_FIR_UP: /* of 0,x,0,x,… only every second number counts */
        *start = o % 2 ? o / 2 : o / 2 - 1;
        weight[0] = o % 2 ? 0.75f : 0.25f;
        weight[1] = o % 2 ? 0.25f : 0.75f;
        return 2;
    case NN_FIR_DOWN:
    case NN_FIR_BLUR:
        break;
    }
    *start = kind == NN_FIR_DOWN ? 2 * o - 1 : o - 2;
    memcpy(weight, down, sizeof down);
    return 4;
}
