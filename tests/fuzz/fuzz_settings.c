/* What an operator writes: the daemon's configuration, its file of keys, a training run's
 * configuration. */
#include "fuzz.h"

#include "daemon_config.h"
#include "http_keys.h"
#include "train_config.h"

#include <stdlib.h>
#include <string.h>

static void config_run(const uint8_t *data, size_t length)
{
    static struct daemon_config first, fresh;
    struct err e = {0};
    const char *path = fuzz_file(0, data, length);
    daemon_config_init(&first);
    daemon_config_init(&fresh);
    if (daemon_config_read(&first, path, &e) != 0 || daemon_config_finish(&first, &e) != 0) {
        fuzz_check_error(&e);
    } else {
        FUZZ_CHECK(first.model_count > 0 && first.n_max <= first.queue);
        FUZZ_CHECK(daemon_config_read(&fresh, path, &e) == 0 &&
                   daemon_config_finish(&fresh, &e) == 0);
        daemon_config_take(&first, &fresh);
    }
    daemon_config_clear(&first);
    daemon_config_clear(&fresh);
}

const struct fuzz_target fuzz_config = {
    .name = "config", .memory = 4 << 20, .memory_factor = 16, .run = config_run};

static void keys_run(const uint8_t *data, size_t length)
{
    struct err e = {0};
    struct http_keys keys;
    char name[HTTP_KEY_NAME_MAX + 1];
    http_keys_init(&keys);
    if (http_keys_read(&keys, fuzz_file(0, data, length), &e) != 0) {
        fuzz_check_error(&e);
    } else {
        struct http_problem p;
        http_problem_init(&p);
        if (http_keys_judge(&keys, "Bearer k", true, name, &p) == 0)
            http_keys_return(&keys, name, 1, 0);
        http_problem_clear(&p);
        FUZZ_CHECK(http_keys_required(&keys));
        FUZZ_CHECK(http_keys_read(&keys, fuzz_file(0, data, length), &e) == 0);
    }
    http_keys_clear(&keys);
}

const struct fuzz_target fuzz_keys = {
    .name = "keys", .memory = 4 << 20, .memory_factor = 64, .run = keys_run};

/* What was resolved is written into a run, and read when that goes on. */
static void training_run(const uint8_t *data, size_t length)
{
    struct err e = {0};
    struct train_config c, again;
    if (train_config_read((const char *)data, length, "config", &c, &e) != 0) {
        fuzz_check_error(&e);
        return;
    }
    json_t *json = train_config_json(&c, &e);
    FUZZ_CHECK(json);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    FUZZ_CHECK(text);
    if (train_config_read(text, strlen(text), "again", &again, &e) == 0)
        train_config_clear(&again);
    else
        fuzz_check_error(&e);
    if (train_config_change(&c, (const char *)data, length, 1, "changes", &e) != 0)
        fuzz_check_error(&e);
    free(text);
    train_config_clear(&c);
}

const struct fuzz_target fuzz_training = {
    .name = "training", .memory = 16 << 20, .memory_factor = 256, .run = training_run};
