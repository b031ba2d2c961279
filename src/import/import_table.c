/* Tables of tensors and the checks of one tensor. Names are unique, so that a search finds what was
 * meant; every refusal says which tensor of which file, and for which parameter it was wanted. */
#include "import_table.h"

#include "ckpt_dtype.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int import_table_allocate(struct import_table *table, size_t n, const char *what, struct err *e)
{
    if (n > IMPORT_TENSORS_MAX)
        return err_fail(e, ERR_LIMIT, what, "%zu tensors, the limit is %d", n, IMPORT_TENSORS_MAX);
    table->tensors = calloc(n + 1, sizeof *table->tensors);
    table->by_name = calloc(n + 1, sizeof *table->by_name);
    if (!table->tensors || !table->by_name)
        return err_fail_memory(e, (n + 1) * sizeof *table->tensors);
    return 0;
}

void import_table_clear(struct import_table *table)
{
    free(table->tensors);
    free(table->by_name);
    *table = (struct import_table){0};
}

static int compare_names(const void *a, const void *b, void *context)
{
    const struct import_torch_tensor *tensors = context;
    return strcmp(tensors[*(const size_t *)a].name, tensors[*(const size_t *)b].name);
}

int import_table_index(struct import_table *table, const char *what, struct err *e)
{
    for (size_t i = 0; i < table->count; i++)
        table->by_name[i] = i;
    qsort_r(table->by_name, table->count, sizeof *table->by_name, compare_names, table->tensors);
    for (size_t i = 1; i < table->count; i++) {
        const char *name = table->tensors[table->by_name[i]].name;
        if (strcmp(name, table->tensors[table->by_name[i - 1]].name) == 0)
            return err_fail(e, ERR_INPUT, what, "duplicate tensor name \"%.200s\"", name);
    }
    return 0;
}

int64_t import_table_find(const struct import_table *table, const char *name)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, table->tensors[table->by_name[middle]].name);
        if (order == 0)
            return (int64_t)table->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

int import_source_check(const struct import_source *source, const struct import_torch_tensor *found,
                        int rank, const size_t *shape, const char *param, struct err *e)
{
    uint64_t wanted[CKPT_RANK_MAX] = {0};
    char expected[CKPT_SHAPE_TEXT], given[CKPT_SHAPE_TEXT], alias[128] = "";
    bool same = found->rank == rank;
    for (int i = 0; i < rank; i++) {
        wanted[i] = shape[i];
        same = same && found->shape[i] == wanted[i];
    }
    if (strcmp(found->name, param) != 0)
        snprintf(alias, sizeof alias, " (for \"%s\")", param);
    if (!same)
        return err_fail(e, ERR_INPUT, source->path,
                        "tensor \"%.120s\"%s: shape %s expected, %s found", found->name, alias,
                        ckpt_shape_text(rank, wanted, expected),
                        ckpt_shape_text(found->rank, found->shape, given));
    if (!ckpt_dtype_is_float(found->dtype))
        return err_fail(e, ERR_INPUT, source->path,
                        "tensor \"%.120s\"%s: dtype %s where a float type is needed", found->name,
                        alias, ckpt_dtype_name(found->dtype));
    return 0;
}

int64_t import_source_take(const struct import_source *source, const char *name, int rank,
                           const size_t *shape, const char *param, struct err *e)
{
    int64_t at = import_table_find(source->table, name);
    if (at < 0)
        return err_fail(e, ERR_INPUT, source->path, "tensor \"%s\" is missing from \"%s\"", name,
                        source->word);
    return import_source_check(source, &source->table->tensors[at], rank, shape, param, e) != 0
               ? -1
               : at;
}
