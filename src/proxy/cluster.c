/* Clusters and endpoints: made by the main thread, shared by reference. */
#include "proxy/cluster.h"

#include <stdio.h>
#include <sys/un.h>

#include "base/assert.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    IDLE_TIMEOUT_MS = 3600 * 1000,
    CONNECTIONS_MAX = 1024,
    PENDING_MAX = 1024,
};

struct endpoint *endpoint_new(const struct ip *ip, uint16_t port)
{
    struct endpoint *e = NEW(struct endpoint);
    char ip_text[IP_TEXT_BYTES];
    e->refs = 1;
    e->address_bytes = ip_to_sockaddr(ip, port, &e->address);
    snprintf(e->text, sizeof(e->text), ip->family == AF_INET6 ? "[%s]:%u" : "%s:%u",
             ip_format(ip, ip_text), port);
    return e;
}

int endpoint_new_unix(struct str path, struct endpoint **ret)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (!path.n || path.n >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    struct endpoint *e = NEW(struct endpoint);
    memcpy(sa.sun_path, path.p, path.n);
    if (path.p[0] == '@')
        sa.sun_path[0] = 0;
    e->refs = 1;
    e->address_bytes =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + (path.p[0] != '@'));
    memcpy(&e->address, &sa, e->address_bytes);
    snprintf(e->text, sizeof(e->text), STR_FMT, STR_ARG(path));
    *ret = e;
    return 0;
}

struct endpoint *endpoint_ref(struct endpoint *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    return e;
}

void endpoint_unref(struct endpoint *e)
{
    if (e && atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
        free(e);
}

struct cluster *cluster_new(struct str name)
{
    static atomic_uint next_id;
    struct cluster *c = NEW(struct cluster);
    c->refs = 1;
    c->id = atomic_fetch_add(&next_id, 1);
    c->name = str_dup(name);
    c->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    c->idle_timeout_ms = IDLE_TIMEOUT_MS;
    c->connections_max = CONNECTIONS_MAX;
    c->pending_max = PENDING_MAX;
    return c;
}

struct cluster *cluster_ref(struct cluster *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void cluster_unref(struct cluster *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    VEC_FOREACH (e, &c->endpoints)
        endpoint_unref(*e);
    vec_done(&c->endpoints);
    upstream_tls_free(c->tls);
    free(c->name);
    free(c);
}
