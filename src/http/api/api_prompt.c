/* A prompt has at most API_PROMPT_MAX bytes and a model at most a thousand labels, so comparing at
 * every word's beginning is fast enough. */
#include "api_prompt.h"

#include "base_unicode.h"

#include <stdlib.h>
#include <string.h>

#define NOWHERE SIZE_MAX

/* Of what the prompt names so far. */
struct choice {
    int label;
    size_t length; /* of the alternative, without blanks */
    size_t at;     /* in the prompt */
};

/* The prompt, and at which of its places [length + 1] a word may begin or end. */
struct prompt {
    struct unicode_text text;
    bool *edges;
};

static int mark_edges(struct prompt *prompt, struct err *e)
{
    const struct unicode_text *text = &prompt->text;
    prompt->edges = malloc((text->length + 1) * sizeof *prompt->edges);
    if (!prompt->edges)
        return err_fail_memory(e, text->length + 1);
    for (size_t at = 0; at <= text->length; at++)
        prompt->edges[at] = at == 0 || at == text->length ||
                            unicode_word_ends(text->points[at - 1], text->points[at]);
    return 0;
}

/* Where the prompt goes on after `n` points of a label that begin at `at`; a blank of the label may
 * be missing. */
static size_t follow(const struct prompt *prompt, size_t at, const uint32_t label[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (at < prompt->text.length && prompt->text.points[at] == label[i])
            at++;
        else if (label[i] != ' ')
            return NOWHERE;
    }
    return at;
}

static bool is_ascii_letter(uint32_t point)
{
    return point >= 'a' && point <= 'z'; /* of a folded text */
}

/* Whether a word ends after what follows there. */
static bool ends_with(const struct prompt *prompt, size_t at, const char *ending)
{
    for (; *ending && at != NOWHERE; ending++, at++)
        if (at >= prompt->text.length || prompt->text.points[at] != (uint32_t)*ending)
            return false;
    return at != NOWHERE && prompt->edges[at];
}

/* Whether the alternative, as it is or in another number, stands there as words of its own. */
static bool stands_at(const struct prompt *prompt, size_t at, const uint32_t label[], size_t n)
{
    const uint32_t last = label[n - 1];
    const size_t stem = follow(prompt, at, label, n - 1);
    if (stem == NOWHERE)
        return false;
    const size_t end = follow(prompt, stem, &last, 1);
    if (ends_with(prompt, end, "") ||
        (is_ascii_letter(last) && (ends_with(prompt, end, "s") || ends_with(prompt, end, "es"))))
        return true;
    if (last == 'y')
        return ends_with(prompt, stem, "ies");
    return n > 3 && last == 's' && label[n - 2] != 's' && ends_with(prompt, stem, "");
}

static void consider(const struct prompt *prompt, int label, const uint32_t words[], size_t n,
                     struct choice *best)
{
    size_t length = 0;
    while (n > 0 && words[0] == ' ')
        words++, n--;
    while (n > 0 && words[n - 1] == ' ')
        n--;
    for (size_t i = 0; i < n; i++)
        length += words[i] != ' ';
    if (length == 0 || length < best->length)
        return;
    for (size_t at = 0; at < prompt->text.length; at++) {
        if (length == best->length && at >= best->at)
            return;
        if (prompt->edges[at] && prompt->text.points[at] == words[0] &&
            stands_at(prompt, at, words, n)) {
            *best = (struct choice){label, length, at};
            return;
        }
    }
}

/* The label as a whole, and each of its alternatives. */
static void consider_all(const struct prompt *prompt, int label, const struct unicode_text *text,
                         struct choice *best)
{
    size_t begin = 0;
    consider(prompt, label, text->points, text->length, best);
    for (size_t i = 0; i <= text->length; i++)
        if (i == text->length || text->points[i] == '/') {
            consider(prompt, label, text->points + begin, i - begin, best);
            begin = i + 1;
        }
}

int api_prompt_find(const char *prompt, char *const labels[], int n, int *best, bool *blank,
                    struct err *e)
{
    struct prompt text = {0};
    struct choice choice = {-1, 0, NOWHERE};
    int result = unicode_fold(prompt, &text.text, e) != 0 || mark_edges(&text, e) != 0;
    for (int i = 0; i < n && result == 0; i++) {
        struct unicode_text label;
        result = unicode_fold(labels[i], &label, e);
        if (result == 0)
            consider_all(&text, i, &label, &choice);
        unicode_clear(&label);
    }
    *best = choice.label;
    *blank = text.text.length == 0;
    free(text.edges);
    unicode_clear(&text.text);
    return result != 0 ? -1 : 0;
}
