/* A process that works on a job is killed at some moment, again and again: what was stored stays,
 * and the rest is made once more and is the same. */
#include "jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs_test.h"

#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 8
#define IMAGES 200
#define STEPS 8

static const char id[] = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

/* A byte for each change, so that whoever kills knows that there was one. */
static void tell(void *context, const char *of)
{
    (void)of;
    if (write(*(int *)context, "", 1) != 1)
        _exit(3);
}

/* Files the job, or finds it, and works until it is done. */
static int work(const char *folder, int told)
{
    struct err e = {0};
    const struct jobs_options options = {.folder = folder, .news = tell, .context = &told};
    struct engine *g = digits_engine(1, 8);
    struct jobs *j = jobs_open(g, &options, &e);
    if (!j)
        return 4;
    const struct engine_order order = digits_order(g, IMAGES, STEPS);
    file_job(j, id, &order);
    wait_state(j, id, JOBS_BIT(JOBS_SUCCEEDED));
    jobs_close(j);
    engine_free(g);
    return 0;
}

/* A process that works, and is killed some time after so many changes. */
static void work_and_kill(const char *folder, int changes, unsigned later_us)
{
    int ends[2], status;
    char byte;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        _exit(work(folder, ends[1]));
    }
    close(ends[1]);
    while (changes-- > 0 && read(ends[0], &byte, 1) == 1)
        ;
    usleep(later_us);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    close(ends[0]);
}

/* How many images are stored. */
static uint64_t stored(const char *folder)
{
    struct jobs_store *s = open_store(folder);
    struct jobs_record r = {.is_counting = true};
    struct err e = {0};
    enum jobs_answer answer = JOBS_DONE;
    while (answer == JOBS_DONE && r.is_counting)
        answer = s->ops->get(s, id, &r, &e);
    assert_true(answer == JOBS_DONE || answer == JOBS_ABSENT);
    s->ops->close(s);
    return r.images_done;
}

static void nothing_is_lost_and_nothing_made_twice(void **state)
{
    (void)state;
    char folder[64];
    uint64_t before = 0;
    make_folder(folder, sizeof folder);
    srand(7);
    unsigned most_us = 30000;
    for (int round = 0; round < ROUNDS || before == 0; round++) {
        if (round >= ROUNDS) /* a slow machine, on which no image was stored so soon */
            most_us *= 2;
        work_and_kill(folder, rand() % 3, (unsigned)rand() % most_us);
        const uint64_t now = stored(folder);
        print_message("round %d: %llu of %d images are stored\n", round, (unsigned long long)now,
                      IMAGES);
        assert_true(now >= before);
        before = now;
    }
    struct engine *g = digits_engine(2, 8);
    struct jobs *j = open_jobs(g, folder);
    const struct engine_order order = digits_order(g, IMAGES, STEPS);
    file_job(j, id, &order);
    wait_state(j, id, JOBS_BIT(JOBS_SUCCEEDED));
    assert_int_equal(engine_stats_get(g).images_ok, IMAGES - before);
    assert_images(j, g, id, &order);
    jobs_close(j);
    engine_free(g);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_lost_and_nothing_made_twice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
