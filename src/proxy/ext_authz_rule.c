/* What both ways to ask another server have in common. */
#include "proxy/ext_authz_priv.h"

bool ext_authz_is_among(const struct names *names, struct str name)
{
    for (size_t i = 0; i < names->n; i++)
        if (string_matches(&names->v[i], name))
            return true;
    return false;
}

enum filter_result ext_authz_on_error(struct filter_call *c)
{
    const struct authz *z = c->config;
    stats_inc(c->stats, HTTP_STAT_AUTHZ_ERROR);
    if (z->failure_allows)
        stats_inc(c->stats, HTTP_STAT_AUTHZ_FAILURE_ALLOWED);
    if (!z->failure_allows) {
        c->answer.reason = REASON_AUTHZ_ERROR;
        c->answer.status = z->status_on_error;
        return FILTER_ANSWERED;
    }
    static const struct str name = STR("x-envoy-auth-failure-mode-allowed");
    if (z->failure_tells)
        IGNORE_RESULT(head_add(c->head, http_stream_arena(c->down),
                               (struct header_name){HTTP_NAME_OTHER, name}, STR("true")));
    return FILTER_CONTINUE;
}
