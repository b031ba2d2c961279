/* What the objectives have of their own. A key of another one would decide nothing, and whoever
 * gives it expects that it does. */
#include "base_log.h"
#include "train_config.h"

bool train_config_denoises(const struct train_config *c)
{
    return c->objective == TRAIN_OBJECTIVE_PFGMPP || c->objective == TRAIN_OBJECTIVE_DISTILL;
}

int train_config_own(const struct train_config *c, bool begun, const char *what, struct err *e)
{
    const bool student = c->objective != TRAIN_OBJECTIVE_DISTILL && c->student_key;
    const char *key = student ? c->student_key : train_config_denoises(c) ? NULL : c->denoiser_key;
    const char *owner = student ? "pfgm distill" : "the objective pfgmpp";
    if (!key)
        return 0;
    if (begun) {
        log_line(LOG_WARN, "%s: \"%s\" is of %s alone and is passed over", what, key, owner);
        return 0;
    }
    return err_fail(e, ERR_INPUT, what, "\"%s\" is of %s alone: %s", key, owner,
                    student ? "leave it out" : "add \"objective\": \"pfgmpp\", or leave it out");
}
