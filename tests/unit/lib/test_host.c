/* A host program that has allocation functions of its own for jansson, loads libpfgm late and lets
 * go of it: jansson keeps the functions that libpfgm set, so what either made must find its way
 * back to who made it, before and after. */
#include "pfgm.h"

#include <dlfcn.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A block of the host's begins with a mark, so that free() of it, or the host's end of another's,
 * is noticed. */
#define MARK 0x70666d67686f7374u
struct block {
    uint64_t mark, unused; /* what follows is aligned as malloc's */
};
static long blocks;

static void *host_malloc(size_t size)
{
    struct block *b = malloc(sizeof *b + size);
    if (!b)
        return NULL;
    b->mark = MARK;
    blocks++;
    return b + 1;
}

static void host_free(void *data)
{
    if (!data)
        return;
    struct block *b = (struct block *)data - 1;
    if (b->mark != MARK)
        abort();
    b->mark = 0;
    blocks--;
    free(b);
}

#define FIND(name) __typeof__(&name) name##_ = (__typeof__(&name))dlsym(library, #name)

static void a_host_keeps_its_allocator(void **state)
{
    (void)state;
    json_set_alloc_funcs(host_malloc, host_free);
    json_t *before = json_pack("{s:s, s:[i,i]}", "model", "digits8", "shape", 8, 8);
    assert_non_null(before);

    void *library = dlopen(LIBPFGM, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    FIND(pfgm_model_open);
    FIND(pfgm_sample_options_default);
    FIND(pfgm_sample);
    FIND(pfgm_model_close);
    struct pfgm_error error = {0};
    struct pfgm_model *model = pfgm_model_open_(MODELS_DIR "/digits8.safetensors", NULL, &error);
    if (!model)
        fail_msg("%s", error.text);
    struct pfgm_sample_options options;
    uint8_t pixels[64];
    pfgm_sample_options_default_(model, &options);
    assert_int_equal(pfgm_sample_(model, &options, pixels, &error), 0);
    pfgm_model_close_(model);
    assert_null(pfgm_model_open_("/nonexistent.safetensors", NULL, &error));

    json_decref(before);
    assert_int_equal(blocks, 0);
    assert_int_equal(dlclose(library), 0);
    json_t *after = json_object();
    assert_non_null(after);
    assert_int_equal(json_object_set_new(after, "seed", json_integer(7)), 0);
    json_decref(after);
    assert_int_equal(blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_host_keeps_its_allocator)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
