/* Eight images of a network's size at eight t, and what the network gives for them. */
#ifndef NN_IMAGES_H
#define NN_IMAGES_H

#include "nn_test.h"

#define IMAGES 8

struct images {
    size_t n; /* floats of one */
    float *x[IMAGES], *v_x[IMAGES];
    float t[IMAGES], v_t[IMAGES];
};

static inline void images_new(struct images *im, const struct nn_arch *arch)
{
    im->n = (size_t)(arch->image_size * arch->image_size * arch->channels);
    for (size_t i = 0; i < IMAGES; i++) {
        im->x[i] = calloc(im->n, sizeof(float));
        im->v_x[i] = calloc(im->n, sizeof(float));
        assert_true(im->x[i] && im->v_x[i]);
        test_uniforms(40 + i, im->n, im->x[i]);
        im->t[i] = 0.01f + 5 * (float)i;
        for (size_t k = 0; k < im->n; k++)
            im->x[i][k] *= 1 + im->t[i];
    }
}

static inline void images_free(struct images *im)
{
    for (size_t i = 0; i < IMAGES; i++) {
        free(im->x[i]);
        free(im->v_x[i]);
    }
}

/* Every image alone: what its bits are. */
static inline void evaluate_alone(const struct nn_net *net, struct nn_workspace *ws,
                                  struct images *im)
{
    for (size_t i = 0; i < IMAGES; i++) {
        const float *x = im->x[i];
        nn_net_forward(net, ws, 1, &x, &im->t[i], NULL, &im->v_x[i], &im->v_t[i]);
    }
}

#endif
