/* Health and metrics over HTTP, rows 42 to 44. Reads the agent's figures on the loop; owns its two
 * listeners. */
#include "agent/status_server.h"

#include <errno.h>

#include "base/log.h"
#include "base/time.h"
#include "net/http_server.h"

struct status_server {
    const struct agent *agent;
    struct http_server *healthz, *metrics;
    uint64_t healthz_200, healthz_503, livez_200, livez_503;
};

static void reply(struct http_exchange *x, int status, const char *type, struct buf *body)
{
    const struct http_header h[] = {{STR("Content-Type"), str_from(type)},
                                    {STR("X-Content-Type-Options"), STR("nosniff")}};
    http_exchange_reply(x, status, h, ARRAY_LEN(h), buf_str(body));
    buf_done(body);
}

static void health(struct status_server *s, struct http_exchange *x, bool with_node)
{
    struct agent_stats st;
    struct buf b = {0};
    char now[28], updated[28];
    agent_get_stats(s->agent, &st);
    bool kernel = st.synced && st.healthy, ok = kernel && (!with_node || st.node_eligible);
    int64_t real = time_real_us();
    int64_t age = st.last_sync_us ? (int64_t)(time_mono_us() - st.last_sync_us) : 0;
    time_format_rfc3339_micro(real, now);
    time_format_rfc3339_micro(kernel ? real : real - age, updated);
    buf_addf(&b, "{\"lastUpdated\":\"%s\",\"currentTime\":\"%s\",", updated, now);
    if (with_node)
        buf_addf(&b, "\"nodeEligible\":%s,", st.node_eligible ? "true" : "false");
    buf_addf(&b, "\"healthy\":%s,\"status\":{", ok ? "true" : "false");
    buf_addf(&b, "\"IPv4\":{\"lastUpdated\":\"%s\",\"healthy\":%s},", updated,
             kernel ? "true" : "false");
    buf_addf(&b, "\"IPv6\":{\"lastUpdated\":\"%s\",\"healthy\":%s}}}", updated,
             kernel ? "true" : "false");
    if (with_node)
        *(ok ? &s->healthz_200 : &s->healthz_503) += 1;
    else
        *(ok ? &s->livez_200 : &s->livez_503) += 1;
    reply(x, ok ? 200 : 503, "application/json", &b);
}

static void metric(struct buf *b, const char *type, const char *name, const char *labels,
                   uint64_t v)
{
    buf_addf(b, "# TYPE %s %s\n%s%s %llu\n", name, type, name, labels, (unsigned long long)v);
}

static void add_sync_histogram(struct buf *b, const struct agent_stats *st)
{
    uint64_t sum = 0;
    double limit = 0.001;
    buf_add_cstr(b, "# TYPE kubeproxy_sync_proxy_rules_duration_seconds histogram\n");
    for (size_t i = 0; i < ARRAY_LEN(st->sync_buckets) - 1; i++, limit *= 2) {
        sum += st->sync_buckets[i];
        buf_addf(b, "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"%g\"} %llu\n", limit,
                 (unsigned long long)sum);
    }
    buf_addf(b, "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"+Inf\"} %llu\n",
             (unsigned long long)st->syncs);
    buf_addf(b, "kubeproxy_sync_proxy_rules_duration_seconds_sum %g\n",
             (double)st->sync_us_total / 1e6);
    buf_addf(b, "kubeproxy_sync_proxy_rules_duration_seconds_count %llu\n",
             (unsigned long long)st->syncs);
}

static void metrics(struct status_server *s, struct http_exchange *x)
{
    struct agent_stats st;
    struct buf b = {0};
    agent_get_stats(s->agent, &st);
    add_sync_histogram(&b, &st);
    metric(&b, "counter", "kubeproxy_sync_proxy_rules_service_changes_total", "",
           st.service_changes);
    metric(&b, "counter", "kubeproxy_sync_proxy_rules_endpoint_changes_total", "",
           st.endpoint_changes);
    metric(&b, "gauge", "kubeproxy_sync_proxy_rules_service_changes_pending", "", st.pending);
    metric(&b, "counter", "kubeproxy_sync_proxy_rules_nftables_sync_failures_total", "",
           st.sync_failures);
    metric(&b, "counter", "kubeproxy_conntrack_reconciler_deleted_entries_total", "",
           st.dataplane.conntrack_removed);
    metric(&b, "counter", "kubeproxy_proxy_healthz_total", "{code=\"200\"}", s->healthz_200);
    buf_addf(&b, "kubeproxy_proxy_healthz_total{code=\"503\"} %llu\n",
             (unsigned long long)s->healthz_503);
    metric(&b, "counter", "kubeproxy_proxy_livez_total", "{code=\"200\"}", s->livez_200);
    buf_addf(&b, "kubeproxy_proxy_livez_total{code=\"503\"} %llu\n",
             (unsigned long long)s->livez_503);
    metric(&b, "gauge", "fairlead_agent_services", "", st.services);
    metric(&b, "gauge", "fairlead_agent_endpointslices", "", st.slices);
    metric(&b, "gauge", "fairlead_agent_frontends", "", st.dataplane.frontends);
    metric(&b, "gauge", "fairlead_agent_classes", "", st.dataplane.classes);
    metric(&b, "counter", "fairlead_agent_transactions_total", "", st.dataplane.transactions);
    metric(&b, "counter", "fairlead_agent_elements_added_total", "", st.dataplane.elements_added);
    metric(&b, "counter", "fairlead_agent_elements_removed_total", "",
           st.dataplane.elements_removed);
    metric(&b, "counter", "fairlead_agent_repairs_total", "", st.dataplane.repairs);
    metric(&b, "gauge", "fairlead_agent_event_to_kernel_last_us", "", st.last_latency_us);
    metric(&b, "gauge", "fairlead_agent_event_to_kernel_max_us", "", st.latency_max_us);
    reply(x, 200, "text/plain; version=0.0.4", &b);
}

static void on_healthz(struct http_exchange *x, void *user)
{
    struct str path = http_exchange_path(x);
    if (str_is(path, "/healthz") || str_is(path, "/livez")) {
        health(user, x, str_is(path, "/healthz"));
        return;
    }
    struct buf b = {0};
    buf_add_cstr(&b, "not found: /healthz or /livez\n");
    reply(x, 404, "text/plain", &b);
}

static void on_metrics(struct http_exchange *x, void *user)
{
    struct str path = http_exchange_path(x);
    struct buf b = {0};
    if (str_is(path, "/metrics")) {
        metrics(user, x);
    } else if (str_is(path, "/healthz")) {
        health(user, x, true);
    } else if (str_is(path, "/proxyMode")) {
        buf_add_cstr(&b, "nftables");
        reply(x, 200, "text/plain", &b);
    } else {
        buf_add_cstr(&b, "not found: /metrics, /proxyMode or /healthz\n");
        reply(x, 404, "text/plain", &b);
    }
}

static int parse_address(const char *text, struct ip *ip, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    uint64_t n;
    if (!colon || str_to_u64(str_from(colon + 1), &n) < 0 || n > UINT16_MAX)
        return -EINVAL;
    *port = (uint16_t)n;
    return ip_parse(str_of(text, (size_t)(colon - text)), ip);
}

static int serve(struct loop *l, struct status_server *s, const char *address,
                 const struct http_server_ops *ops, struct http_server **ret, struct err *reterr)
{
    const struct http_server_config c = {.connections_max = 64};
    struct ip ip;
    uint16_t port;
    struct err err = {0};
    if (str_empty(address))
        return 0;
    if (parse_address(address, &ip, &port) < 0)
        return err_set(reterr, -EINVAL, NULL, "\"%s\" is not IP:PORT", address);
    if (http_server_new(l, &ip, port, &c, ops, s, ret, &err) < 0)
        log_warn("not listening", kv_s("address", address), kv_s("cause", err_text(&err)));
    return 0;
}

int status_server_new(struct loop *l, const struct agent *a, const char *healthz,
                      const char *metrics_address, struct status_server **ret, struct err *reterr)
{
    static const struct http_server_ops health_ops = {on_healthz, NULL};
    static const struct http_server_ops metrics_ops = {on_metrics, NULL};
    struct status_server *s = NEW(struct status_server);
    s->agent = a;
    int r = serve(l, s, healthz, &health_ops, &s->healthz, reterr);
    if (r == 0)
        r = serve(l, s, metrics_address, &metrics_ops, &s->metrics, reterr);
    if (r < 0) {
        status_server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void status_server_free(struct status_server *s)
{
    if (!s)
        return;
    if (s->healthz)
        http_server_free(s->healthz);
    if (s->metrics)
        http_server_free(s->metrics);
    free(s);
}

uint16_t status_server_healthz_port(const struct status_server *s)
{
    return s->healthz ? http_server_port(s->healthz) : 0;
}

uint16_t status_server_metrics_port(const struct status_server *s)
{
    return s->metrics ? http_server_port(s->metrics) : 0;
}
