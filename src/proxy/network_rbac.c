/* Connections by RBAC. A connection has no fields and no path: rules that ask for them would never
 * match, which a policy that denies must not say in silence, and so they are refused. */
#include "proxy/network_rbac.h"

#include <envoy/extensions/filters/network/rbac/v3/rbac.pb-c.h>
#include <errno.h>

#include "base/mem.h"
#include "proxy/rbac_rules.h"

typedef Envoy__Extensions__Filters__Network__Rbac__V3__RBAC pb_filter;

struct network_rbac {
    struct arena *arena;
    struct rbac_rules *rules; /* NULL: everybody may */
};

void network_rbac_free(struct network_rbac *f)
{
    if (!f)
        return;
    arena_free(f->arena);
    free(f);
}

static int compile_rules(struct compile *c, const pb_filter *m, struct network_rbac *f)
{
    if (!m->rules)
        return 0;
    size_t mark = pb_path_field(&c->path, "rules");
    int r = rbac_rules_compile(m->rules, f->arena, &c->path, &f->rules, c->err);
    if (r == 0 && rbac_rules_need_head(f->rules))
        r = COMPILE_FAIL(c, "a connection has no headers and no path to ask for");
    if (r == 0)
        pb_path_back(&c->path, mark);
    return r;
}

int network_rbac_compile(struct compile *c, struct str packed, struct network_rbac **ret)
{
    ProtobufCMessage *message;
    int r = pb_unpack(&envoy__extensions__filters__network__rbac__v3__rbac__descriptor, packed,
                      c->scratch, &message, c->err);
    if (r < 0)
        return r;
    struct network_rbac *f = NEW(struct network_rbac);
    f->arena = arena_new(0);
    r = compile_rules(c, (const void *)message, f);
    if (r < 0) {
        network_rbac_free(f);
        return r == -ENOMEM ? COMPILE_FAIL(c, "no memory") : r;
    }
    *ret = f;
    return 0;
}

bool network_rbac_allows(const struct network_rbac *f, const struct conn *client,
                         struct str server_name)
{
    struct rbac_request q = {.tls = conn_tls(client), .server_name = server_name};
    struct str policy;
    uint16_t port;
    if (!f->rules)
        return true;
    /* What has no address (a Unix socket) is in no prefix. */
    if (conn_peer_addr(client, &q.client, &port) == 0)
        q.client = ip_unmapped(&q.client);
    if (conn_direct_peer_addr(client, &q.peer, &port) == 0)
        q.peer = ip_unmapped(&q.peer);
    if (conn_local_addr(client, &q.local, &q.local_port) == 0)
        q.local = ip_unmapped(&q.local);
    return rbac_rules_allow(f->rules, &q, &policy);
}
