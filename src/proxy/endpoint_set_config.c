/* From a ClusterLoadAssignment to a set of endpoints. */
#include <errno.h>

#include "proxy/endpoint_set.h"
#include "proxy/metadata.h"
#include "proxy/socket_match.h"

typedef Envoy__Config__Endpoint__V3__ClusterLoadAssignment pb_assignment;
typedef Envoy__Config__Endpoint__V3__LocalityLbEndpoints pb_locality;
typedef Envoy__Config__Endpoint__V3__LbEndpoint pb_endpoint;

struct making {
    struct endpoint_maker maker;
    struct pb_path *path;
    struct err *err;
    bool names; /* are addresses, too */
};

#define FAIL(c, ...) pb_path_fail((c)->path, (c)->err, -EINVAL, __VA_ARGS__)

static uint8_t status_of(const pb_endpoint *m)
{
    static const uint8_t known[] = {
        [ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__UNKNOWN] = ENDPOINT_HEALTHY,
        [ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__HEALTHY] = ENDPOINT_HEALTHY,
        [ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__UNHEALTHY] = ENDPOINT_UNHEALTHY,
        [ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__DRAINING] = ENDPOINT_DRAINING,
        [ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__TIMEOUT] = ENDPOINT_UNHEALTHY,
        [ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__DEGRADED] = ENDPOINT_DEGRADED,
    };
    return (unsigned)m->health_status < ARRAY_LEN(known) ? known[m->health_status]
                                                         : ENDPOINT_HEALTHY;
}

static int parse_port(struct making *c, const Envoy__Config__Core__V3__Address *a, uint16_t *ret)
{
    if (!a || a->address_case != ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS ||
        a->socket_address->port_specifier_case ==
            ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_NAMED_PORT)
        return FAIL(c, "expected a socket_address with port_value, or a pipe");
    if (a->socket_address->port_value > UINT16_MAX)
        return FAIL(c, "port_value: must be at most %d", UINT16_MAX);
    *ret = (uint16_t)a->socket_address->port_value;
    return 0;
}

static int parse_address(struct making *c, const Envoy__Config__Core__V3__Address *a,
                         struct ip *ret, uint16_t *ret_port)
{
    int r = parse_port(c, a, ret_port);
    if (r == 0 && ip_parse(str_from(a->socket_address->address), ret) < 0)
        r = FAIL(c,
                 "malformed IP address: %s. Consider setting resolver_name or setting cluster "
                 "type to 'STRICT_DNS' or 'LOGICAL_DNS'",
                 a->socket_address->address);
    return r;
}

/* The entry of the message's address; *ret NULL: the set has it already. */
static int add_entry(struct making *c, const Envoy__Config__Core__V3__Address *a, struct str labels,
                     struct endpoint_entry **ret)
{
    struct ip ip;
    uint16_t port;
    if (a && a->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE)
        return endpoint_maker_add_unix(&c->maker, str_from(a->pipe->path), labels, ret) < 0
                   ? FAIL(c, "pipe: the path is empty or too long")
                   : 0;
    int r = parse_port(c, a, &port);
    if (r < 0)
        return r;
    const char *name = a->socket_address->address;
    if (c->names && *name && ip_parse(str_from(name), &ip) < 0) {
        if (strlen(name) > ENDPOINT_NAME_MAX || strpbrk(name, " \t\r\n/"))
            return FAIL(c, "'%s' is no host name", name);
        *ret = endpoint_maker_add_name(&c->maker, name, port, labels);
        return 0;
    }
    r = parse_address(c, a, &ip, &port);
    if (r == 0)
        *ret = endpoint_maker_add(&c->maker, &ip, port, labels);
    return r;
}

static int compile_check(struct making *c,
                         const Envoy__Config__Endpoint__V3__Endpoint__HealthCheckConfig *m,
                         struct endpoint_entry *e)
{
    if (!m)
        return 0;
    e->unchecked = m->disable_active_health_check;
    e->check.port = (uint16_t)m->port_value;
    if (m->hostname && *m->hostname)
        e->check.hostname = xstrdup(m->hostname);
    if (!m->address)
        return 0;
    if (m->port_value)
        return FAIL(c, "health_check_config: either port_value or address, not both");
    e->check.other_address = true;
    return parse_address(c, m->address, &e->check.ip, &e->check.port);
}

static int add_endpoint(struct making *c, const pb_endpoint *m)
{
    AUTO_DONE(buf) struct buf labels = {0};
    struct endpoint_entry *e = NULL;
    if (m->host_identifier_case !=
        ENVOY__CONFIG__ENDPOINT__V3__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT)
        return FAIL(c, "only an endpoint is implemented, not a name of one");
    if (m->load_balancing_weight && !m->load_balancing_weight->value)
        return FAIL(c, "load_balancing_weight: must be at least 1");
    if (socket_labels_read(m->metadata, &labels) < 0)
        return FAIL(c, "metadata: envoy.transport_socket_match is longer than %d bytes",
                    SOCKET_LABELS_BYTES_MAX);
    int r = add_entry(c, m->endpoint->address, buf_str(&labels), &e);
    if (r < 0)
        return r;
    if (!e)
        return 0; /* the same address again: one host */
    e->status = status_of(m);
    if (e->endpoint) /* it lives on through sets: there may be another workload now */
        atomic_store(&e->endpoint->peer, metadata_workload(m->metadata));
    if (m->load_balancing_weight)
        e->weight = m->load_balancing_weight->value;
    if (m->endpoint->hostname && *m->endpoint->hostname)
        e->hostname = xstrdup(m->endpoint->hostname);
    return compile_check(c, m->endpoint->health_check_config, e);
}

static int add_locality(struct making *c, const pb_locality *m)
{
    if (m->priority >= PRIORITIES_MAX)
        return FAIL(c, "priority: must be below %d", PRIORITIES_MAX);
    if (m->load_balancing_weight && !m->load_balancing_weight->value)
        return FAIL(c, "load_balancing_weight: must be at least 1");
    endpoint_maker_locality(&c->maker, m->priority,
                            m->load_balancing_weight ? m->load_balancing_weight->value : 0);
    struct endpoint_locality *l = &c->maker.set->localities.v[c->maker.set->localities.n - 1];
    if (m->locality) {
        l->region = xstrdup(m->locality->region);
        l->zone = xstrdup(m->locality->zone);
        l->sub_zone = xstrdup(m->locality->sub_zone);
    }
    for (size_t i = 0; i < m->n_lb_endpoints; i++) {
        size_t at = pb_path_field(c->path, "lb_endpoints");
        pb_path_index(c->path, i);
        if (c->maker.set->entries.n >= ENDPOINTS_MAX)
            return FAIL(c, "more than %d endpoints", ENDPOINTS_MAX);
        int r = add_endpoint(c, m->lb_endpoints[i]);
        if (r < 0)
            return r;
        pb_path_back(c->path, at);
    }
    return 0;
}

static int compile(struct making *c, const pb_assignment *m)
{
    for (size_t i = 0; i < m->n_endpoints; i++) {
        size_t at = pb_path_field(c->path, "endpoints");
        pb_path_index(c->path, i);
        int r = add_locality(c, m->endpoints[i]);
        if (r < 0)
            return r;
        pb_path_back(c->path, at);
    }
    if (!m->policy)
        return 0;
    pb_path_field(c->path, "policy");
    if (m->policy->overprovisioning_factor) {
        c->maker.set->overprovisioning_percent = m->policy->overprovisioning_factor->value;
        if (!c->maker.set->overprovisioning_percent)
            return FAIL(c, "overprovisioning_factor: must be above 0");
    }
    return 0;
}

static int compile_set(const pb_assignment *m, const struct endpoint_set *before, bool names,
                       struct pb_path *path, struct endpoint_set **ret, struct err *reterr)
{
    struct making c = {.path = path, .err = reterr, .names = names};
    size_t mark = path->n;
    endpoint_maker_init(&c.maker, before);
    int r = compile(&c, m);
    if (r == 0) {
        pb_path_back(path, mark);
        *ret = endpoint_maker_take(&c.maker);
    }
    endpoint_maker_done(&c.maker);
    return r;
}

int endpoint_set_compile(const pb_assignment *m, const struct endpoint_set *before,
                         struct pb_path *path, struct endpoint_set **ret, struct err *reterr)
{
    return compile_set(m, before, false, path, ret, reterr);
}

int endpoint_set_compile_names(const pb_assignment *m, struct pb_path *path,
                               struct endpoint_set **ret, struct err *reterr)
{
    return compile_set(m, NULL, true, path, ret, reterr);
}
