/* Row 44: the names, labels and buckets of kube-proxy 1.37 for what it has too, fairlead_agent_…
 * for the rest. Pure text; what is counted, and where, is others' business. */
#include "agent/metrics.h"

#include <string.h> /* basename of GNU: leaves the text alone */

#include "base/assert.h"

static const char *const families[2] = {"IPv4", "IPv6"};

static void type(struct buf *b, const char *what, const char *name)
{
    buf_addf(b, "# TYPE %s %s\n", name, what);
}

static void plain(struct buf *b, const char *what, const char *name, uint64_t v)
{
    type(b, what, name);
    buf_addf(b, "%s %llu\n", name, (unsigned long long)v);
}

static void of_family(struct buf *b, const char *name, unsigned family, uint64_t v)
{
    buf_addf(b, "%s{ip_family=\"%s\"} %llu\n", name, families[family], (unsigned long long)v);
}

static void histogram(struct buf *b, const char *name, const struct durations *const d[2])
{
    type(b, "histogram", name);
    for (unsigned f = 0; f < 2; f++) {
        uint64_t sum = 0;
        double limit = 0.001;
        for (size_t i = 0; i < DURATION_BUCKETS - 1; i++, limit *= 2) {
            sum += d[f]->buckets[i];
            buf_addf(b, "%s_bucket{ip_family=\"%s\",le=\"%g\"} %llu\n", name, families[f], limit,
                     (unsigned long long)sum);
        }
        buf_addf(b, "%s_bucket{ip_family=\"%s\",le=\"+Inf\"} %llu\n", name, families[f],
                 (unsigned long long)d[f]->n);
        buf_addf(b, "%s_sum{ip_family=\"%s\"} %g\n", name, families[f], (double)d[f]->sum_us / 1e6);
        buf_addf(b, "%s_count{ip_family=\"%s\"} %llu\n", name, families[f],
                 (unsigned long long)d[f]->n);
    }
}

static void timestamps(struct buf *b, const char *name, int64_t v4_us, int64_t v6_us)
{
    const int64_t us[2] = {v4_us, v6_us};
    type(b, "gauge", name);
    for (unsigned f = 0; f < 2; f++)
        buf_addf(b, "%s{ip_family=\"%s\"} %.6f\n", name, families[f], (double)us[f] / 1e6);
}

static void answers(struct buf *b, const char *name, const uint64_t counts[2])
{
    type(b, "counter", name);
    for (int i = 0; i < 2; i++)
        buf_addf(b, "%s{code=\"%d\"} %llu\n", name, i ? 503 : 200, (unsigned long long)counts[i]);
}

static void add_syncs(struct buf *b, const struct agent_stats *st)
{
    const struct agent_family_stats *v = st->families;
    histogram(b, "kubeproxy_sync_proxy_rules_duration_seconds",
              (const struct durations *const[2]){&v[0].syncs, &v[1].syncs});
    histogram(b, "kubeproxy_sync_full_proxy_rules_duration_seconds",
              (const struct durations *const[2]){&v[0].full_syncs, &v[1].full_syncs});
    histogram(b, "kubeproxy_sync_partial_proxy_rules_duration_seconds",
              (const struct durations *const[2]){&v[0].partial_syncs, &v[1].partial_syncs});
    timestamps(b, "kubeproxy_sync_proxy_rules_last_timestamp_seconds", v[0].last_sync_real_us,
               v[1].last_sync_real_us);
    timestamps(b, "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
               v[0].last_queued_real_us, v[1].last_queued_real_us);
    type(b, "counter", "kubeproxy_sync_proxy_rules_nftables_sync_failures_total");
    for (unsigned f = 0; f < 2; f++)
        of_family(b, "kubeproxy_sync_proxy_rules_nftables_sync_failures_total", f,
                  v[f].sync_failures);
    type(b, "gauge", "kubeproxy_sync_proxy_rules_no_local_endpoints_total");
    for (unsigned f = 0; f < 2; f++)
        for (int external = 1; external >= 0; external--)
            buf_addf(b,
                     "kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family=\"%s\","
                     "traffic_policy=\"%s\"} %u\n",
                     families[f], external ? "external" : "internal", v[f].no_local[external]);
}

static void add_cleanup_failures(struct buf *b, const struct agent_stats *st)
{
    type(b, "counter", "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total");
    for (unsigned f = 0; f < 2; f++)
        of_family(b, "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total", f,
                  st->dataplane.cleanup_failures);
}

static void add_changes(struct buf *b, const struct agent_stats *st)
{
    plain(b, "counter", "kubeproxy_sync_proxy_rules_service_changes_total", st->service_changes);
    plain(b, "gauge", "kubeproxy_sync_proxy_rules_service_changes_pending",
          st->service_changes_pending);
    plain(b, "counter", "kubeproxy_sync_proxy_rules_endpoint_changes_total", st->endpoint_changes);
    plain(b, "gauge", "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
          st->endpoint_changes_pending);
}

static void add_conntrack(struct buf *b, const struct dataplane_counters *c)
{
    histogram(b, "kubeproxy_conntrack_reconciler_sync_duration_seconds",
              (const struct durations *const[2]){&c->conntrack[0], &c->conntrack[1]});
    type(b, "counter", "kubeproxy_conntrack_reconciler_deleted_entries_total");
    for (unsigned f = 0; f < 2; f++)
        of_family(b, "kubeproxy_conntrack_reconciler_deleted_entries_total", f,
                  c->conntrack_removed[f]);
}

/* As kube-proxy: only where its gate is on. */
static void add_localhost(struct buf *b, const struct agent_stats *st)
{
    static const char *const protocols[] = {"TCP", "UDP", "SCTP"};
    static const char rejected[] = "kubeproxy_nftables_localhost_nodeport_rejected_packets_total";
    if (!st->localhost)
        return;
    type(b, "gauge", "kubeproxy_nftables_localhost_nodeport_listeners");
    for (unsigned f = 0; f < 2; f++)
        of_family(b, "kubeproxy_nftables_localhost_nodeport_listeners", f, st->relay.listeners[f]);
    type(b, "counter", "kubeproxy_nftables_localhost_nodeport_listener_creation_failures_total");
    for (unsigned f = 0; f < 2; f++)
        of_family(b, "kubeproxy_nftables_localhost_nodeport_listener_creation_failures_total", f,
                  st->relay.failures[f]);
    type(b, "counter", rejected);
    for (unsigned f = 0; f < 2; f++)
        for (unsigned p = 0; p < DATAPLANE_PROTOCOLS; p++)
            buf_addf(b, "%s{ip_family=\"%s\",protocol=\"%s\"} %llu\n", rejected, families[f],
                     protocols[p], (unsigned long long)st->dataplane.localhost_rejected[f][p]);
    plain(b, "counter", "fairlead_agent_localhost_connections_total", st->relay.connections);
    plain(b, "counter", "fairlead_agent_localhost_connections_refused_total", st->relay.refused);
    plain(b, "counter", "fairlead_agent_localhost_endpoints_unreachable_total",
          st->relay.unreachable);
}

static void add_own(struct buf *b, const struct agent_stats *st)
{
    const struct dataplane_counters *c = &st->dataplane;
    plain(b, "gauge", "fairlead_agent_services", st->services);
    plain(b, "gauge", "fairlead_agent_endpointslices", st->slices);
    plain(b, "gauge", "fairlead_agent_frontends", c->frontends);
    plain(b, "gauge", "fairlead_agent_classes", c->classes);
    plain(b, "counter", "fairlead_agent_transactions_total", c->transactions);
    plain(b, "counter", "fairlead_agent_elements_added_total", c->elements_added);
    plain(b, "counter", "fairlead_agent_elements_removed_total", c->elements_removed);
    plain(b, "counter", "fairlead_agent_repairs_total", c->repairs);
    type(b, "counter", "fairlead_agent_foreign_changes_total");
    for (size_t i = 0; i < DATAPLANE_FOREIGN_KINDS; i++)
        buf_addf(b, "fairlead_agent_foreign_changes_total{kind=\"%s\"} %llu\n",
                 dataplane_foreign_words[i], (unsigned long long)c->foreign[i]);
    type(b, "counter", "fairlead_agent_affinity_clients_forgotten_total");
    for (unsigned f = 0; f < 2; f++)
        of_family(b, "fairlead_agent_affinity_clients_forgotten_total", f, c->clients_forgotten[f]);
    plain(b, "gauge", "fairlead_agent_event_to_kernel_last_us", st->last_latency_us);
    plain(b, "gauge", "fairlead_agent_event_to_kernel_max_us", st->latency_max_us);
}

/* What COUNT_IF saw, wherever in the program. */
static void add_odd(struct buf *b)
{
    const char *name = "fairlead_agent_odd_total";
    type(b, "counter", name);
    for (const struct odd_counter *c = odd_counter_list(); c; c = c->next)
        buf_addf(b, "%s{what=\"%s\",at=\"%s:%d\"} %lu\n", name, c->text, basename(c->file), c->line,
                 c->count);
}

void metrics_format(const struct agent_stats *st, const struct health_counts *h, struct buf *out)
{
    add_syncs(out, st);
    add_cleanup_failures(out, st);
    add_changes(out, st);
    programming_latency_format(st->programming, out);
    add_conntrack(out, &st->dataplane);
    answers(out, "kubeproxy_proxy_healthz_total", h->healthz);
    answers(out, "kubeproxy_proxy_livez_total", h->livez);
    add_localhost(out, st);
    add_own(out, st);
    add_odd(out);
}
