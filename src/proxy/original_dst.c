/* Endpoints by original destination. */
#include "proxy/original_dst.h"

#include <stdio.h>

struct target {
    struct upstream *upstream;
    bool asked; /* since the last look */
};

struct original_dst {
    struct loop *loop;
    unsigned worker;
    struct cluster *cluster;
    struct map targets; /* ADDRESS:PORT -> struct target */
    struct loop_timer *cleanup;
};

static void on_cleanup(void *user)
{
    struct original_dst *o = user;
    struct str name;
    void *value;
    for (size_t at = 0; map_next(&o->targets, &at, &name, &value);) {
        struct target *t = value;
        bool old = !t->asked && !upstream_is_used(t->upstream);
        t->asked = false;
        if (!old)
            continue;
        map_remove(&o->targets, name);
        upstream_retire(t->upstream);
        free(t);
    }
    if (o->targets.used)
        loop_timer_start(o->cleanup, o->cluster->original->cleanup_ms);
}

struct original_dst *original_dst_new(struct loop *l, unsigned worker, struct cluster *c)
{
    struct original_dst *o = NEW(struct original_dst);
    o->loop = l;
    o->worker = worker;
    o->cluster = c;
    o->cleanup = loop_timer_new(l, on_cleanup, o);
    return o;
}

void original_dst_free(struct original_dst *o, void (*end)(struct upstream *u))
{
    void *value;
    if (!o)
        return;
    for (size_t at = 0; map_next(&o->targets, &at, NULL, &value);) {
        struct target *t = value;
        end(t->upstream);
        free(t);
    }
    map_done(&o->targets);
    loop_timer_free(o->cleanup);
    free(o);
}

/* "10.0.0.1:80", "[::1]:80"; false: neither. */
static bool read_address(struct str text, struct ip *ret, uint16_t *ret_port)
{
    const char *colon = text.n ? memrchr(text.p, ':', text.n) : NULL;
    uint64_t port;
    if (!colon)
        return false;
    size_t n = (size_t)(colon - text.p);
    struct str ip = str_sub(text, 0, n);
    bool bracketed = n > 2 && ip.p[0] == '[' && ip.p[n - 1] == ']';
    if (bracketed)
        ip = str_sub(ip, 1, n - 1);
    if (str_to_u64(str_sub(text, n + 1, text.n), &port) < 0 || !port || port > UINT16_MAX ||
        ip_parse(ip, ret) < 0 || (ret->family == AF_INET6) != bracketed)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

static bool find_address(const struct original_dst_config *c, const struct lb_request *q,
                         struct ip *ret, uint16_t *ret_port)
{
    if (c->header && q->head) {
        const struct http_field *f = http_head_find_text(q->head, str_from(c->header));
        if (f)
            return read_address(http_field_value(f), ret, ret_port);
    }
    /* The socket's own address would lead back to us. */
    return q->client && conn_is_redirected(q->client) &&
           conn_local_addr(q->client, ret, ret_port) == 0;
}

/* Versions of HTTP are apart: a byte behind the address tells them. */
static struct target *target_get(struct original_dst *o, const struct ip *ip, uint16_t port,
                                 unsigned version)
{
    struct endpoint *e = endpoint_new(ip, port);
    char key[ENDPOINT_TEXT_BYTES + 3];
    snprintf(key, sizeof(key), "%s%s", e->text, version == 2 ? " 2" : "");
    struct target *t = map_find_cstr(&o->targets, key);
    if (!t && o->targets.used < ORIGINAL_DST_MAX) {
        t = NEW(struct target);
        t->upstream = upstream_new(o->loop, o->worker, o->cluster, e, version);
        map_put_cstr(&o->targets, key, t);
        if (!loop_timer_is_started(o->cleanup))
            loop_timer_start(o->cleanup, o->cluster->original->cleanup_ms);
    }
    endpoint_unref(e);
    return t;
}

struct upstream *original_dst_choose(struct original_dst *o, const struct lb_request *q)
{
    const struct original_dst_config *c = o->cluster->original;
    struct ip ip;
    uint16_t port;
    if (!find_address(c, q, &ip, &port))
        return NULL;
    ip = ip_unmapped(&ip);
    struct target *t = target_get(o, &ip, c->port ? c->port : port, q->version);
    if (!t)
        return NULL;
    t->asked = true;
    return t->upstream;
}
