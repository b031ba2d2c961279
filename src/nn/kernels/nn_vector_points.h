/* The arithmetic of Winograd's F(4×4, 3×3) along one side of a tile, for nn_vector_winograd.c,
 * compiled twice like it: interpolation points, the transforms of inputs and of products, and the
 * shorter ones for a tile of which the image holds only two or three outputs.
 *
 * The points are 0, ±A, ±B and ∞. A transform with fewer outputs needs fewer points, and any of
 * these will do: F(2, 3) takes 0, ±A, ∞ and F(3, 3) takes B in addition. The transformed weights at
 * a point differ from those of F(4, 3) by a factor alone, the ratio of the products of differences
 * from the other points, which the transform of the inputs takes on: so tiles at the edge use the
 * same weights as the others, and leave out the planes of the points that they do not need. */
#ifndef NN_VECTOR_POINTS_H
#define NN_VECTOR_POINTS_H

#include "nn_vector_tile.h"

/* The points ±A and ±B and what follows from them; all exact in single precision. */
#define A1 0.625f
#define B1 1.5f
#define A2 (A1 * A1)
#define B2 (B1 * B1)
#define A3 (A2 * A1)
#define B3 (B2 * B1)

#define TILE_SIDE 4
#define PATCH 6
#define PLANES (PATCH * PATCH)

/* How many outputs the last tile of a side is made for: 0 where all of its 4 lie in the image. A
 * single one is made as two. */
static inline int points_edge(size_t side)
{
    size_t left = side % TILE_SIDE;
    return left == 1 ? 2 : (int)left;
}

/* Whether tiles at an edge leave out point i. */
NN_INLINE bool points_skip(int edge, int i)
{
    return (edge == 2 && (i == 3 || i == 4)) || (edge == 3 && i == 4);
}

/* Bᵀ d: a row a point, the polynomial of the other points. */
NN_INLINE void points_input(const vec d[PATCH], vec out[PATCH])
{
    vec a = vec_set(A1), b = vec_set(B1), a2 = vec_set(A2), b2 = vec_set(B2);
    vec sum = vec_set(A2 + B2), product = vec_set(A2 * B2);
    vec even_a = vec_fnma(b2, d[2], d[4]), odd_a = vec_fnma(b2, d[1], d[3]);
    vec even_b = vec_fnma(a2, d[2], d[4]), odd_b = vec_fnma(a2, d[1], d[3]);
    out[0] = vec_fma(product, d[0], vec_fnma(sum, d[2], d[4]));
    out[1] = vec_fma(a, odd_a, even_a);
    out[2] = vec_fnma(a, odd_a, even_a);
    out[3] = vec_fma(b, odd_b, even_b);
    out[4] = vec_fnma(b, odd_b, even_b);
    out[5] = vec_fma(product, d[1], vec_fnma(sum, d[3], d[5]));
}

/* The same for `edge` outputs, 2 or 3, with the factors of F(4, 3)'s weights: at 0 -B² or B, at ±A
 * A² - B² or B ± A, at B 2 B. Points that are left out become 0. */
NN_INLINE void points_input_edge(int edge, const vec d[PATCH], vec out[PATCH])
{
    vec a2 = vec_set(A2), apart = vec_fnma(a2, d[1], d[3]);
    out[3] = out[4] = vec_zero();
    if (edge == 2) {
        vec even = vec_mul(vec_set(A2 - B2), d[2]), odd = vec_set((A2 - B2) * A1);
        out[0] = vec_fnma(vec_set(B2), d[2], vec_mul(vec_set(A2 * B2), d[0]));
        out[1] = vec_fma(odd, d[1], even);
        out[2] = vec_fnma(odd, d[1], even);
        out[5] = apart;
        return;
    }
    vec b = vec_set(B1), odd = vec_fnma(vec_set(B2), d[1], d[3]);
    vec even = vec_fma(b, apart, vec_mul(vec_set(A2 - B2), d[2]));
    out[0] = vec_fma(vec_set(A2 * B2), d[0], vec_fma(b, apart, vec_mul(vec_set(-B2), d[2])));
    out[1] = vec_fma(vec_set(A1), odd, even);
    out[2] = vec_fnma(vec_set(A1), odd, even);
    out[3] = vec_mul(vec_set(2 * B1), apart);
    out[5] = vec_fnma(b, apart, vec_fnma(a2, d[2], d[4]));
}

/* Aᵀ m */
NN_INLINE void points_output(const vec m[PATCH], vec out[TILE_SIDE])
{
    vec sum_a = vec_add(m[1], m[2]), apart_a = vec_sub(m[1], m[2]);
    vec sum_b = vec_add(m[3], m[4]), apart_b = vec_sub(m[3], m[4]);
    out[0] = vec_add(vec_add(m[0], sum_a), sum_b);
    out[1] = vec_fma(vec_set(B1), apart_b, vec_mul(vec_set(A1), apart_a));
    out[2] = vec_fma(vec_set(B2), sum_b, vec_mul(vec_set(A2), sum_a));
    out[3] = vec_fma(vec_set(B3), apart_b, vec_fma(vec_set(A3), apart_a, m[5]));
}

/* The same for `edge` outputs; the others become 0. */
NN_INLINE void points_output_edge(int edge, const vec m[PATCH], vec out[TILE_SIDE])
{
    vec sum = vec_add(m[1], m[2]), apart = vec_sub(m[1], m[2]);
    out[2] = out[3] = vec_zero();
    if (edge == 2) {
        out[0] = vec_add(m[0], sum);
        out[1] = vec_fma(vec_set(A1), apart, m[5]);
        return;
    }
    out[0] = vec_add(m[0], vec_add(sum, m[3]));
    out[1] = vec_fma(vec_set(B1), m[3], vec_mul(vec_set(A1), apart));
    out[2] = vec_fma(vec_set(B2), m[3], vec_fma(vec_set(A2), sum, m[5]));
}

#endif
