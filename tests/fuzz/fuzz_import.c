/* What PyTorch wrote, or says that it did: the pickle machine alone, and the whole file. */
#include "fuzz.h"

#include "import_convert.h"
#include "import_pickle.h"
#include "import_torch.h"

#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 65536 /* of a tensor that is read; a view may repeat elements without end */

static void pickle_run(const uint8_t *data, size_t length)
{
    struct err e = {0};
    size_t used = 0, storages = 0;
    struct import_pickle *p = import_pickle_new("pickle", &e);
    FUZZ_CHECK(p);
    const struct import_value *value = import_pickle_run(p, data, length, &used, &e);
    if (value) {
        FUZZ_CHECK(used >= 1 && used <= length);
        import_value_get(value, "model");
    } else {
        fuzz_check_error(&e);
    }
    import_pickle_storages(p, &storages);
    import_pickle_free(p);
}

const struct fuzz_target fuzz_pickle = {.name = "pickle",
                                        .memory = IMPORT_PICKLE_MEMORY + (64 << 20),
                                        .memory_factor = 16,
                                        .run = pickle_run};

static void read_values(struct import_torch *t, const struct import_torch_tensor *tensor, size_t i,
                        int (*read)(struct import_torch *t, size_t i, float *out, struct err *e))
{
    struct err e = {0};
    if (tensor->count > VALUES_MAX)
        return;
    float *out = malloc((size_t)tensor->count * sizeof *out + 1);
    FUZZ_CHECK(out);
    if (read(t, i, out, &e) != 0)
        fuzz_check_error(&e);
    free(out);
}

static void torch_run(const uint8_t *data, size_t length)
{
    struct err e = {0};
    const char *path = fuzz_file(0, data, length);
    import_torch_is(path);
    struct import_torch *t = import_torch_open(path, &e);
    if (!t) {
        fuzz_check_error(&e);
        return;
    }
    for (size_t i = 0; i < import_torch_count(t); i++) {
        const struct import_torch_tensor *tensor = import_torch_tensor(t, i);
        FUZZ_CHECK(import_torch_find(t, tensor->name) == (int64_t)i);
        read_values(t, tensor, i, import_torch_read);
    }
    for (size_t i = 0; i < import_torch_ema_count(t); i++)
        read_values(t, import_torch_ema_tensor(t, i), i, import_torch_ema_read);
    if (import_torch_is_whole(t)) {
        struct ckpt_description d = {0};
        if (import_torch_describe(t, &d, &e) != 0)
            fuzz_check_error(&e);
        ckpt_description_clear(&d);
    }
    import_torch_close(t);
}

const struct fuzz_target fuzz_torch = {.name = "torch",
                                       .memory = IMPORT_PICKLE_MEMORY + (64 << 20),
                                       .memory_factor = 1200, /* deflate's best */
                                       .run = torch_run};
