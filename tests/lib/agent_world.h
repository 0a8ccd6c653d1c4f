#pragma once
/* An agent between an API server of the test's own and the fake backend: objects to put, frontends
 * to expect, its pages to ask for. */

#include <errno.h>
#include <stdio.h>

#include "agent/agent.h"
#include "agent/status_server.h"
#include "api_world.h"
#include "base/time.h"
#include "dataplane/fake.h"

enum { TURNS_MAX = 500 }; /* of 20 ms each, when nothing happens */
#define SERVICES "/api/v1/services"
#define SLICES   "/apis/discovery.k8s.io/v1/endpointslices"
#define NODES    "/api/v1/nodes"
#define CIDRS    "/apis/networking.k8s.io/v1/servicecidrs"

struct world {
    struct loop *loop;
    struct api_world api;
    struct kube_client *client;
    struct dataplane *backend;
    struct agent *agent;
    struct status_server *status;
    struct http_client *http[2];     /* healthz, metrics */
    const struct prefix *node_ports; /* where they answer; NULL: everywhere */
    bool node_cidr, service_cidrs;   /* networks that are watched */
    struct buf observed;             /* what an observer is told, with is_observed */
    bool is_observed;
};

/* ---- objects ---- */

/* spec without braces; ports are given by the caller. */
static inline void put_service(struct world *w, const char *name, const char *labels,
                               const char *spec)
{
    AUTO_CHARS char *text = xasprintf(
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"ns\",\"labels\":{%s}},\"spec\":{%s}}", name,
        labels, spec);
    api_change(&w->api, SERVICES, name, text);
}

#define CLUSTER_IP(ip) "\"clusterIP\":\"" ip "\",\"clusterIPs\":[\"" ip "\"]"
#define PORT80         "\"ports\":[{\"name\":\"p\",\"port\":80}]"

static inline void put_slice(struct world *w, const char *service, const char *name,
                             const char *labels, const char *endpoints)
{
    AUTO_CHARS char *text =
        xasprintf("{\"metadata\":{\"name\":\"%s\",\"namespace\":\"ns\",\"labels\":{"
                  "\"kubernetes.io/service-name\":\"%s\"%s%s}},\"addressType\":\"IPv4\","
                  "\"endpoints\":[%s],\"ports\":[{\"name\":\"p\",\"port\":8080}]}",
                  name, service, *labels ? "," : "", labels, endpoints);
    api_change(&w->api, SLICES, name, text);
}

#define EP(ip) "{\"addresses\":[\"" ip "\"],\"nodeName\":\"n2\"}"
#define EP_ZONE(ip, zone)                                                                          \
    "{\"addresses\":[\"" ip "\"],\"hints\":{\"forZones\":[{\"name\":\"" zone "\"}]}}"

static inline void put_node(struct world *w, const char *zone, const char *rest)
{
    AUTO_CHARS char *text = xasprintf(
        "{\"metadata\":{\"name\":\"n1\",\"labels\":{\"topology.kubernetes.io/zone\":\"%s\"}%s",
        zone, rest);
    api_change(&w->api, NODES, "n1", text);
}

#define ALIVE "}}"

/* ---- world ---- */

static inline void world_begin(struct world *w)
{
    *w = (struct world){0};
    assert_ok(loop_new(&w->loop, NULL));
    api_up(&w->api, w->loop);
    put_node(w, "z1", ALIVE);
    api_change(&w->api, NODES, "n2", "{\"metadata\":{\"name\":\"n2\",\"labels\":{}}}");
}

static const struct prefix first_pods = {{AF_INET, {10, 1}}, 24};

static inline void observe_service(const struct joined_service *s, void *user)
{
    struct world *w = user;
    buf_addf(&w->observed, "%s%s ", s->object ? "" : "-", s->key);
}

static inline void observe_applied(bool ok, void *user)
{
    struct world *w = user;
    buf_add_cstr(&w->observed, ok ? "ok " : "failed ");
}

static inline void world_start(struct world *w)
{
    static const struct agent_observer observer = {observe_service, observe_applied};
    struct kube_config kc = {.host = (char *)(uintptr_t) "127.0.0.1"};
    static json_t *options;
    struct agent_options o = {.node_name = "n1",
                              .external_ips = true,
                              .cluster_cidrs = w->node_cidr ? &first_pods : NULL,
                              .n_cluster_cidrs = w->node_cidr,
                              .node_cidr = w->node_cidr,
                              .service_cidrs = w->service_cidrs,
                              .node_port_addresses = w->node_ports,
                              .n_node_port_addresses = w->node_ports != NULL,
                              .observer = w->is_observed ? &observer : NULL,
                              .observer_user = w};
    struct ip ip;
    kc.port = http_server_port(w->api.server);
    assert_ok(kube_client_new(w->loop, &kc, "test", &w->client, NULL));
    w->backend = fake_dataplane_new();
    assert_ok(agent_new(w->client, w->backend, &o, &w->agent, NULL));
    if (!options)
        options = json_pack("{s:s,s:b}", "node-name", "n1", "external-ips", true);
    static json_t *config;
    if (!config)
        config = json_pack("{s:s}", "mode", "nftables");
    const struct status_options so = {.agent = w->agent,
                                      .healthz_address = "127.0.0.1:0",
                                      .metrics_address = "127.0.0.1:0",
                                      .probe_address = "127.0.0.1:0",
                                      .flags = options,
                                      .config = config};
    assert_ok(status_server_new(w->loop, &so, &w->status, NULL));
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    for (int i = 0; i < 2; i++) {
        struct http_client_config c = {.ip = ip,
                                       .host = "127.0.0.1",
                                       .port = i ? status_server_metrics_port(w->status)
                                                 : status_server_healthz_port(w->status)};
        w->http[i] = http_client_new(w->loop, &c);
    }
}

static inline void world_end(struct world *w)
{
    buf_done(&w->observed);
    http_client_free(w->http[0]);
    http_client_free(w->http[1]);
    status_server_free(w->status);
    agent_free(w->agent);
    kube_client_free(w->client);
    api_down(&w->api);
    loop_turn(w->loop, 0);
    loop_free(w->loop);
}

static inline void assert_frontends(struct world *w, const char *want)
{
    AUTO_DONE(buf) struct buf b = {0};
    for (int turns = 0; turns < TURNS_MAX && (!turns || !streq(buf_cstr(&b), want)); turns++) {
        loop_turn(w->loop, 20);
        buf_clear(&b);
        w->backend->ops->dump(w->backend, &b);
    }
    assert_string_equal(buf_cstr(&b), want);
}

static inline struct agent_stats stats(struct world *w)
{
    struct agent_stats s;
    agent_get_stats(w->agent, &s);
    return s;
}

static inline uint64_t transactions(struct world *w)
{
    struct dataplane_counters c;
    w->backend->ops->counters(w->backend, &c);
    return c.transactions;
}

/* Turns until the condition holds; a macro, so that a failure names it. */
#define assert_until(w, condition)                                                                 \
    do {                                                                                           \
        for (int turns_ = 0; !(condition) && turns_ < TURNS_MAX; turns_++)                         \
            loop_turn((w)->loop, 20);                                                              \
        assert_true(condition);                                                                    \
    } while (0)

struct answer {
    bool done;
    int status;
    struct buf body;
};

static inline void on_answer(struct http_call *call, int code, const char *text, void *user)
{
    struct answer *a = user;
    (void)text;
    a->done = true;
    a->status = code < 0 ? code : http_call_status(call);
    buf_add_str(&a->body, http_call_body(call));
}

static inline int ask(struct world *w, bool metrics, const char *path, struct buf *ret)
{
    static const struct http_call_ops ops = {.on_done = on_answer};
    struct http_request r = {.method = "GET", .target = path};
    struct answer a = {0};
    http_call_start(w->http[metrics], &r, &ops, &a);
    assert_until(w, a.done);
    buf_clear(ret);
    buf_add_str(ret, buf_str(&a.body));
    buf_done(&a.body);
    return a.status;
}

static inline bool says(const struct buf *b, const char *words)
{
    return strstr(buf_cstr((struct buf *)(uintptr_t)b), words);
}

#define LINE(ip, ep) "2 " ip " 6/80 policy 1: " ep " 8080\n"
