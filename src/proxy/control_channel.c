#include "proxy/control_channel.h"

#include <errno.h>
#include <fcntl.h>

#include "base/log.h"
#include "base/rand.h"
#include "codec/http_head.h"
#include "proxy/lb.h"

enum { TOKEN_BYTES_MAX = 16384 };

/* Any endpoint of the cluster that may be used. False: there is none. */
static bool choose_endpoint(struct cluster *c, struct grpc_channel_config *ret)
{
    struct lb_plan *plan = cluster_plan(c);
    VEC(uint32_t) cursors = {0};
    for (uint32_t i = lb_plan_cursors(plan); i > 0; i--)
        vec_push(&cursors, (uint32_t)(rand_u64() >> 33));
    uint32_t at = lb_choose(plan, cursors.v, &(struct lb_request){.random = rand_u64()});
    if (at != LB_NONE) {
        const struct endpoint *e = plan->set->entries.v[at].endpoint;
        ret->to = e->address;
        ret->to_bytes = e->address_bytes;
    }
    vec_done(&cursors);
    lb_plan_unref(plan);
    return at != LB_NONE;
}

struct grpc_channel *control_channel_new(struct loop *l, const struct store *s, const char *cluster,
                                         const char *authority, const struct grpc_channel_ops *ops,
                                         void *user, const char **ret_why)
{
    struct cluster *c = store_find_cluster(s, cluster);
    struct grpc_channel_config to = {.authority = authority};
    struct tls_session_options names = {0};
    if (!c || !choose_endpoint(c, &to)) {
        *ret_why = "the control plane's cluster has no endpoint";
        return NULL;
    }
    if (c->tls) {
        names = upstream_tls_options(c->tls, 0);
        to.tls = tls_slot_context(c->tls->slot);
        to.tls_options = &names;
    }
    to.connect_timeout_ms = c->connect_timeout_ms;
    struct grpc_channel *channel = c->tls && !to.tls ? NULL : grpc_channel_new(l, &to, ops, user);
    tls_context_unref(to.tls);
    if (!channel)
        *ret_why = "a secret of the control plane's cluster has not come";
    return channel;
}

bool control_token_read(const char *file, struct grpc_metadata *ret, struct buf *value)
{
    char text[TOKEN_BYTES_MAX];
    AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    const char *why = n < 0 ? strerror(errno) : n == 0 ? "it is empty" : NULL;
    while (n > 0 && strchr(" \t\r\n", text[n - 1])) /* an editor's last line */
        n--;
    buf_add_cstr(value, "Bearer ");
    buf_add(value, text, (size_t)MAX(n, (ssize_t)0));
    if (!why && !http_is_value(buf_str(value)))
        why = "it is no token";
    if (why) {
        log_warn("the token for the control plane cannot be read", kv_s("file", file),
                 kv_s("error", why));
        return false;
    }
    *ret = (struct grpc_metadata){STR("authorization"), buf_str(value)};
    return true;
}
