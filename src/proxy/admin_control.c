/* What changes the running program: its health as it tells it, its listeners, its log. */
#include "base/log.h"
#include "codec/url.h"
#include "proxy/admin_priv.h"

void admin_fail(struct admin *a, struct admin_page *p)
{
    a->ops->fail(true, a->user);
    buf_add_cstr(&p->body, "OK\n");
}

void admin_pass(struct admin *a, struct admin_page *p)
{
    a->ops->fail(false, a->user);
    buf_add_cstr(&p->body, "OK\n");
}

static bool has_param(const struct admin_page *p, const char *name)
{
    char *value = url_param(p->query, name);
    free(value);
    return value != NULL;
}

void admin_drain_listeners(struct admin *a, struct admin_page *p)
{
    const struct admin_drain d = {.inbound_only = has_param(p, "inboundonly"),
                                  .graceful = has_param(p, "graceful"),
                                  .stay_open = has_param(p, "skip_exit")};
    if (d.stay_open && !d.graceful) {
        admin_refuse(p, 400, "skip_exit requires graceful");
        return;
    }
    if (d.graceful && d.inbound_only) {
        admin_refuse(p, 400, "graceful and inboundonly together are not implemented");
        return;
    }
    a->ops->drain_listeners(&d, a->user);
    buf_add_cstr(&p->body, "OK\n");
}

/* Envoy's words, as far as there is something of the kind. */
static const struct {
    const char *word;
    enum log_level level;
} levels[] = {{"trace", LOG_LEVEL_DEBUG},   {"debug", LOG_LEVEL_DEBUG}, {"info", LOG_LEVEL_INFO},
              {"warning", LOG_LEVEL_WARN},  {"warn", LOG_LEVEL_WARN},   {"error", LOG_LEVEL_ERROR},
              {"critical", LOG_LEVEL_ERROR}};

void admin_logging(struct admin *a, struct admin_page *p)
{
    static const char *const names[] = {[LOG_LEVEL_DEBUG] = "debug",
                                        [LOG_LEVEL_INFO] = "info",
                                        [LOG_LEVEL_WARN] = "warning",
                                        [LOG_LEVEL_ERROR] = "error"};
    char *wanted = url_param(p->query, "level");
    bool good = !p->query.n;
    (void)a;
    for (size_t i = 0; wanted && i < ARRAY_LEN(levels); i++)
        if (streq(levels[i].word, wanted)) {
            log_set_level(levels[i].level);
            good = true;
        }
    free(wanted);
    if (!good) {
        admin_refuse(p, 400,
                     "usage: /logging?level=<level> (change the level of all)\n"
                     "usage: /logging (see the level)\n"
                     "levels: trace debug info warning error critical; there is one logger");
        return;
    }
    buf_addf(&p->body, "active loggers:\n  fairlead-proxy: %s\n", names[log_level()]);
}
