/* Adding to the list; names are the reference's. */
#include "net_param_list.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void net_param_named(struct net_param_list *l, const char *name, int rank, const int *shape)
{
    if (l->counting) {
        l->count++;
        return;
    }
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 64;
        struct nn_param *grown = reallocarray(l->params, capacity, sizeof *grown);
        if (!grown) {
            l->failed = true;
            return;
        }
        l->params = grown;
        l->capacity = capacity;
    }
    struct nn_param *p = &l->params[l->count++];
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", name);
    p->rank = rank;
    p->count = 1;
    p->trainable = true;
    for (int i = 0; i < rank; i++) {
        p->shape[i] = (size_t)shape[i];
        p->count *= p->shape[i]; /* at most 4096 · 8192 · 9 */
    }
}

void net_param_fixed(struct net_param_list *l)
{
    if (!l->counting && !l->failed)
        l->params[l->count - 1].trainable = false;
}

void net_param(struct net_param_list *l, const char *tensor, int rank, const int *shape)
{
    char name[NN_NAME_MAX];
    if (l->counting) {
        l->count++;
        return;
    }
    snprintf(name, sizeof name, "all_modules.%d.%s", l->module, tensor);
    net_param_named(l, name, rank, shape);
}

/* "layer.weight" and "layer.bias", or without the dot when the module is the layer itself. */
static void add_pair(struct net_param_list *l, const char *layer, int rank, const int *shape,
                     int bias)
{
    char name[48];
    if (l->counting) {
        l->count += 2;
        return;
    }
    const char *dot = *layer ? "." : "";
    snprintf(name, sizeof name, "%s%sweight", layer, dot);
    net_param(l, name, rank, shape);
    snprintf(name, sizeof name, "%s%sbias", layer, dot);
    net_param(l, name, 1, &bias);
}

void net_param_norm(struct net_param_list *l, const char *layer, int channels)
{
    add_pair(l, layer, 1, &channels, channels);
}

void net_param_conv(struct net_param_list *l, const char *layer, int in, int out, int kernel)
{
    const int shape[4] = {out, in, kernel, kernel};
    add_pair(l, layer, 4, shape, out);
}

void net_param_linear(struct net_param_list *l, const char *layer, int in, int out)
{
    const int shape[2] = {out, in};
    add_pair(l, layer, 2, shape, out);
}
