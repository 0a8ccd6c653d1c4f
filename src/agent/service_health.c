/* Health of Services, one HTTP server per healthCheckNodePort (row 41). Owns the servers; answers
 * any path and method. It answers where node ports do: on all addresses but loopback, or on the
 * configured ones. Connections to others are closed: the addresses of a node come and go, so the
 * sockets listen on all. A port that somebody else has is told once and tried each second. */
#include "agent/service_health.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/log.h"
#include "base/map.h"
#include "net/http_server.h"

enum {
    CONNECTIONS_MAX = 64, /* of one port */
    RETRY_MS = 1000       /* a port that is taken: by a kube-proxy that is about to go, for one */
};

struct service_health {
    struct loop *loop;
    struct service_health_config config;
    struct map checks; /* key -> struct check */
};

struct check {
    struct service_health *health;
    struct http_server *server; /* NULL: the port could not be opened yet */
    struct loop_timer *retry;   /* NULL: it was open at once */
    char *key;
    uint16_t port;
    uint32_t local_ready;
};

static void check_free(struct check *c)
{
    loop_timer_free(c->retry);
    if (c->server)
        http_server_free(c->server);
    free(c->key);
    free(c);
}

struct service_health *service_health_new(struct loop *l, const struct service_health_config *c)
{
    struct service_health *h = NEW(struct service_health);
    h->loop = l;
    h->config = *c;
    return h;
}

void service_health_free(struct service_health *h)
{
    void *value;
    if (!h)
        return;
    for (size_t at = 0; map_next(&h->checks, &at, NULL, &value);)
        check_free(value);
    map_done(&h->checks);
    free(h);
}

static bool may_answer(const struct service_health *h, struct http_exchange *x)
{
    struct ip ip;
    uint16_t port;
    if (conn_local_addr(http_exchange_conn(x), &ip, &port) < 0)
        return false;
    ip = ip_unmapped(&ip); /* IPv4 arrives at the IPv6 socket in mapped form */
    if (h->config.n_addresses == 0)
        return !ip_is_loopback(&ip);
    for (size_t i = 0; i < h->config.n_addresses; i++)
        if (prefix_contains(&h->config.addresses[i], &ip))
            return true;
    return false;
}

static void on_request(struct http_exchange *x, void *user)
{
    struct check *c = user;
    AUTO_DONE(buf) struct buf body = {0};
    char weight[16];
    struct str name, ns = str_cut(str_from(c->key), '/', &name);
    if (!may_answer(c->health, x)) {
        http_exchange_abort(x);
        return;
    }
    bool healthy = c->health->config.is_healthy(c->health->config.user);
    snprintf(weight, sizeof(weight), "%u", c->local_ready);
    buf_addf(&body,
             "{\n\t\"service\": {\n\t\t\"namespace\": \"" STR_FMT "\",\n\t\t\"name\": \"" STR_FMT
             "\"\n\t},\n\t\"localEndpoints\": %u,\n\t\"serviceProxyHealthy\": %s\n}",
             STR_ARG(ns), STR_ARG(name), c->local_ready, healthy ? "true" : "false");
    const struct http_header h[] = {{STR("Content-Type"), STR("application/json")},
                                    {STR("X-Content-Type-Options"), STR("nosniff")},
                                    {STR("X-Load-Balancing-Endpoint-Weight"), str_from(weight)}};
    http_exchange_reply(x, c->local_ready && healthy ? 200 : 503, h, ARRAY_LEN(h), buf_str(&body));
}

/* Both families by one socket; a host without IPv6 gets the other one. */
static int listen_everywhere(struct check *c, struct err *reterr)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    static const struct http_server_config config = {.connections_max = CONNECTIONS_MAX};
    struct ip any = {.family = AF_INET6};
    int r = http_server_new(c->health->loop, &any, c->port, &config, &ops, c, &c->server, reterr);
    any.family = AF_INET;
    if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)
        r = http_server_new(c->health->loop, &any, c->port, &config, &ops, c, &c->server, reterr);
    return r;
}

static void on_retry(void *user)
{
    struct check *c = user;
    if (listen_everywhere(c, NULL) < 0)
        loop_timer_start(c->retry, RETRY_MS);
    else
        log_info("listening for health checks", kv_s("service", c->key), kv_i("port", c->port));
}

/* Told once, tried until it is ours. */
static void open_check(struct check *c, const char *uid)
{
    struct service_health *h = c->health;
    struct err err = {0};
    if (listen_everywhere(c, &err) == 0)
        return;
    h->config.on_failed(c->key, uid, err_text(&err), h->config.user);
    c->retry = loop_timer_new(h->loop, on_retry, c);
    loop_timer_start(c->retry, RETRY_MS);
}

void service_health_set(struct service_health *h, const char *key, const char *uid, uint16_t port,
                        uint32_t local_ready)
{
    struct check *c = map_find_cstr(&h->checks, key);
    if (c && c->port != port) {
        map_remove_cstr(&h->checks, key);
        check_free(c);
        c = NULL;
    }
    if (!port)
        return;
    if (!c) {
        c = NEW(struct check);
        *c = (struct check){.health = h, .key = xstrdup(key), .port = port};
        map_put_cstr(&h->checks, key, c);
        open_check(c, uid);
    }
    c->local_ready = local_ready;
}
