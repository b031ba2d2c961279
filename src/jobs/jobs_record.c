/* States and names of jobs. */
#include "jobs_record.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

static const char *const words[JOBS_STATES] = {"queued", "running",   "cancelling", "succeeded",
                                               "failed", "cancelled", "expired"};

const char *jobs_state_word(enum jobs_state state)
{
    return words[state];
}

int jobs_state_parse(const char *word, enum jobs_state *out)
{
    for (int i = 0; i < JOBS_STATES; i++)
        if (strcmp(word, words[i]) == 0) {
            *out = (enum jobs_state)i;
            return 0;
        }
    return -1;
}

bool jobs_state_may(enum jobs_state from, enum jobs_state to)
{
    static const unsigned next[JOBS_STATES] = {
        [JOBS_QUEUED] = JOBS_BIT(JOBS_RUNNING) | JOBS_BIT(JOBS_CANCELLING) | JOBS_BIT(JOBS_FAILED),
        [JOBS_RUNNING] =
            JOBS_BIT(JOBS_SUCCEEDED) | JOBS_BIT(JOBS_CANCELLING) | JOBS_BIT(JOBS_FAILED),
        [JOBS_CANCELLING] = JOBS_BIT(JOBS_CANCELLED),
        [JOBS_SUCCEEDED] = JOBS_BIT(JOBS_EXPIRED),
        [JOBS_FAILED] = JOBS_BIT(JOBS_EXPIRED),
        [JOBS_CANCELLED] = JOBS_BIT(JOBS_EXPIRED),
    };
    return (next[from] & JOBS_BIT(to)) != 0;
}

int jobs_id_draw(char out[JOBS_ID_SIZE], struct err *e)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[16];
    if (random_bytes(bytes, sizeof bytes, e) != 0)
        return -1;
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40); /* version 4, */
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    char *to = out;
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
    *to = '\0';
    return 0;
}

int jobs_id_parse(const char *text, char out[JOBS_ID_SIZE])
{
    if (strlen(text) != JOBS_ID_SIZE - 1)
        return -1;
    for (size_t i = 0; i < JOBS_ID_SIZE - 1; i++) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return -1;
        out[i] = (char)tolower((unsigned char)text[i]);
    }
    out[JOBS_ID_SIZE - 1] = '\0';
    return 0;
}

int64_t jobs_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
