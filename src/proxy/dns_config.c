/* From a Cluster message of type STRICT_DNS or LOGICAL_DNS to what is to be asked for. */
#include <errno.h>

#include "proxy/dns.h"
#include "proxy/duration.h"

typedef Envoy__Config__Cluster__V3__Cluster pb_cluster;

struct making {
    struct dns_config *config;
    struct pb_path *path;
    struct err *err;
};

#define FAIL(c, ...) pb_path_fail((c)->path, (c)->err, -EINVAL, __VA_ARGS__)

static int compile_family(struct making *c, const pb_cluster *m)
{
    switch ((unsigned)m->dns_lookup_family) {
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__AUTO:
        c->config->prefer = AF_INET6;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__V4_PREFERRED:
        c->config->prefer = AF_INET;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__V4_ONLY:
        c->config->family = AF_INET;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__V6_ONLY:
        c->config->family = AF_INET6;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__ALL:
        return 0;
    default:
        return FAIL(c, "dns_lookup_family: is none");
    }
}

static int compile_server(struct making *c, const pb_cluster *m)
{
    if (!m->n_dns_resolvers)
        return 0;
    const Envoy__Config__Core__V3__Address *a = m->dns_resolvers[0];
    if (m->n_dns_resolvers > 1 ||
        a->address_case != ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS ||
        ip_parse(str_from(a->socket_address->address), &c->config->server) < 0 ||
        a->socket_address->port_value > UINT16_MAX)
        return FAIL(c, "dns_resolvers: one socket_address with an IP address");
    c->config->has_server = true;
    c->config->server_port =
        a->socket_address->port_value ? (uint16_t)a->socket_address->port_value : 53;
    return 0;
}

static int compile_names(struct making *c, const pb_cluster *m)
{
    const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *a = m->load_assignment;
    if (!a)
        return FAIL(c, "load_assignment: is required");
    if (c->config->logical && (a->n_endpoints != 1 || a->endpoints[0]->n_lb_endpoints != 1))
        return FAIL(c, "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single "
                       "lb_endpoint");
    size_t mark = pb_path_field(c->path, "load_assignment");
    int r = endpoint_set_compile_names(a, c->path, &c->config->names, c->err);
    if (r == 0)
        pb_path_back(c->path, mark);
    return r;
}

int dns_compile(const pb_cluster *m, struct pb_path *path, struct dns_config **ret,
                struct err *reterr)
{
    struct dns_config *d = NEW(struct dns_config);
    struct making c = {d, path, reterr};
    d->logical = m->type == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__LOGICAL_DNS;
    d->refresh_ms = interval_ms(m->dns_refresh_rate, 5000);
    d->respect_ttl = m->respect_dns_ttl;
    d->failure_ms = d->failure_max_ms = d->refresh_ms;
    int r = 0;
    if (m->dns_failure_refresh_rate) {
        d->failure_ms = interval_ms(m->dns_failure_refresh_rate->base_interval, d->refresh_ms);
        d->failure_max_ms =
            interval_ms(m->dns_failure_refresh_rate->max_interval, 10 * d->failure_ms);
        if (d->failure_max_ms < d->failure_ms)
            r = FAIL(&c, "dns_failure_refresh_rate: max_interval must be at least base_interval");
    }
    if (r == 0)
        r = compile_family(&c, m);
    if (r == 0)
        r = compile_server(&c, m);
    if (r == 0)
        r = compile_names(&c, m);
    if (r < 0) {
        dns_config_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

void dns_config_free(struct dns_config *c)
{
    if (!c)
        return;
    endpoint_set_unref(c->names);
    free(c);
}
