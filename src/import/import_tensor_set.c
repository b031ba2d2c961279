/* A state dict or EMA as a table of tensors, while the pickle's value is walked through. */
#include "import_torch_internal.h"

#include <stdlib.h>
#include <string.h>

void import_tensor_set_clear(struct import_tensor_set *set)
{
    import_table_clear(&set->table);
    free(set->views);
    free(set->viewed);
    *set = (struct import_tensor_set){0};
}

int import_tensor_set_allocate(struct import_tensor_set *set, size_t n, const char *path,
                               struct err *e)
{
    if (import_table_allocate(&set->table, n, path, e) != 0)
        return -1;
    set->views = calloc(n + 1, sizeof *set->views);
    return set->views ? 0 : err_fail_memory(e, (n + 1) * sizeof *set->views);
}

int import_tensor_set_measure(struct import_torch *t, struct import_tensor_set *set, struct err *e)
{
    if (!t->zip)
        return 0;
    set->viewed = calloc(t->places.count + 1, sizeof *set->viewed);
    if (!set->viewed)
        return err_fail_memory(e, (t->places.count + 1) * sizeof *set->viewed);
    for (size_t i = 0; i < set->table.count; i++) {
        const struct import_view *view = set->views[i];
        uint64_t *viewed = &set->viewed[view->storage->place], numel = view->storage->numel;
        *viewed = view->count < numel - *viewed ? *viewed + view->count : numel;
    }
    return 0;
}

/* The name must live as long as the set. */
void import_tensor_set_append(struct import_tensor_set *set, const char *name,
                              const struct import_view *view)
{
    struct import_torch_tensor *tensor = &set->table.tensors[set->table.count];
    tensor->name = name;
    tensor->dtype = view->storage->dtype;
    tensor->rank = view->rank;
    memcpy(tensor->shape, view->shape, sizeof tensor->shape);
    tensor->count = view->count;
    set->views[set->table.count++] = view;
}

int import_tensor_set_add(struct import_torch *t, struct import_tensor_set *set, const char *name,
                          const struct import_view *view, struct err *e)
{
    char *copy = import_pickle_take(t->pickle, strlen(name) + 1, e);
    if (!copy)
        return -1;
    strcpy(copy, name);
    import_tensor_set_append(set, copy, view);
    return 0;
}
