/* From a TcpProxy message to what the proxying of bytes needs. */
#include "proxy/tcp_config.h"
#include "proxy/duration.h"

typedef Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy pb_tcp;

enum { IDLE_TIMEOUT_MS = 3600 * 1000, TCP_CLUSTERS_MAX = 1000 };

void tcp_config_free(struct tcp_config *t)
{
    if (!t)
        return;
    VEC_FOREACH (c, &t->clusters)
        free(c->name);
    vec_done(&t->clusters);
    access_logs_done(&t->logs);
    free(t->stat_prefix);
    stats_unref(t->stats);
    free(t);
}

static void add_cluster(struct tcp_config *t, const char *name, uint32_t weight)
{
    vec_push(&t->clusters, (struct tcp_cluster){xstrdup(name), weight});
    t->weights += weight;
}

static int add_clusters(struct compile *c, const pb_tcp *m, struct tcp_config *t)
{
    switch ((int)m->cluster_specifier_case) {
    case ENVOY__EXTENSIONS__FILTERS__NETWORK__TCP_PROXY__V3__TCP_PROXY__CLUSTER_SPECIFIER_CLUSTER:
        add_cluster(t, m->cluster, 1);
        return 0;
    case ENVOY__EXTENSIONS__FILTERS__NETWORK__TCP_PROXY__V3__TCP_PROXY__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS:
        if (m->weighted_clusters->n_clusters > TCP_CLUSTERS_MAX)
            return COMPILE_FAIL(c, "more than %d clusters", TCP_CLUSTERS_MAX);
        for (size_t i = 0; i < m->weighted_clusters->n_clusters; i++)
            add_cluster(t, m->weighted_clusters->clusters[i]->name,
                        m->weighted_clusters->clusters[i]->weight);
        return t->weights ? 0 : COMPILE_FAIL(c, "weighted_clusters: the weights must not be 0");
    default:
        return COMPILE_FAIL(c, "one of cluster and weighted_clusters must be set");
    }
}

static int compile(struct compile *c, const pb_tcp *m, struct tcp_config *t)
{
    t->stat_prefix = xstrdup(m->stat_prefix);
    t->stats = stats_get(STATS_TCP, str_from(m->stat_prefix), STR(""));
    t->idle_timeout_ms = duration_ms(m->idle_timeout, IDLE_TIMEOUT_MS);
    t->duration_max_ms = duration_ms(m->max_downstream_connection_duration, 0);
    t->attempts_max = m->max_connect_attempts ? m->max_connect_attempts->value : 1;
    if (!t->attempts_max)
        return COMPILE_FAIL(c, "max_connect_attempts must be at least 1");
    int r = access_logs_compile(m->access_log, m->n_access_log, &c->path, &t->logs, c->err);
    if (r < 0)
        return r;
    return add_clusters(c, m, t);
}

int tcp_config_compile(struct compile *c, const pb_tcp *m, struct tcp_config **ret)
{
    struct tcp_config *t = NEW(struct tcp_config);
    int r = compile(c, m, t);
    if (r < 0) {
        tcp_config_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

struct str tcp_config_cluster(const struct tcp_config *t, uint64_t random)
{
    uint64_t at = random % t->weights;
    VEC_FOREACH (c, &t->clusters) {
        if (at < c->weight)
            return str_from(c->name);
        at -= c->weight;
    }
    return (struct str){NULL, 0};
}
