/* From a Cluster message to a cluster. */
#include <errno.h>

#include "proxy/cluster.h"

typedef Envoy__Config__Cluster__V3__Cluster pb_cluster;
typedef Envoy__Config__Endpoint__V3__ClusterLoadAssignment pb_assignment;

static int add_endpoint(struct cluster *c, const Envoy__Config__Endpoint__V3__LbEndpoint *m,
                        struct pb_path *path, struct err *reterr)
{
    struct ip ip;
    struct endpoint *e;
    if (m->host_identifier_case ==
            ENVOY__CONFIG__ENDPOINT__V3__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT &&
        m->endpoint->address &&
        m->endpoint->address->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE) {
        if (endpoint_new_unix(str_from(m->endpoint->address->pipe->path), &e) < 0)
            return pb_path_fail(path, reterr, -EINVAL, "pipe: the path is too long");
        vec_push(&c->endpoints, e);
        return 0;
    }
    if (m->host_identifier_case !=
            ENVOY__CONFIG__ENDPOINT__V3__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT ||
        !m->endpoint->address ||
        m->endpoint->address->address_case !=
            ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS)
        return pb_path_fail(path, reterr, -EINVAL, "expected a socket_address or a pipe");
    const Envoy__Config__Core__V3__SocketAddress *a = m->endpoint->address->socket_address;
    if (ip_parse(str_from(a->address), &ip) < 0)
        return pb_path_fail(path, reterr, -EINVAL, "malformed IP address: %s", a->address);
    vec_push(&c->endpoints, endpoint_new(&ip, (uint16_t)a->port_value));
    return 0;
}

static int add_assignment(struct cluster *c, const pb_assignment *m, struct pb_path *path,
                          struct err *reterr)
{
    size_t mark = pb_path_field(path, "load_assignment");
    for (size_t i = 0; i < m->n_endpoints; i++)
        for (size_t k = 0; k < m->endpoints[i]->n_lb_endpoints; k++) {
            size_t at = pb_path_field(path, "endpoints");
            pb_path_index(path, i);
            pb_path_field(path, "lb_endpoints");
            pb_path_index(path, k);
            int r = add_endpoint(c, m->endpoints[i]->lb_endpoints[k], path, reterr);
            if (r < 0)
                return r;
            pb_path_back(path, at);
        }
    pb_path_back(path, mark);
    return 0;
}

int cluster_compile(struct compile *compile, const pb_cluster *m, struct cluster **ret)
{
    struct pb_path *path = &compile->path;
    struct err *reterr = compile->err;
    if (m->cluster_discovery_type_case ==
            ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE &&
        m->type != ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STATIC)
        return pb_path_fail(path, reterr, -EINVAL, "type: only STATIC is implemented yet");
    struct cluster *c = cluster_new(str_from(m->name));
    if (m->connect_timeout)
        c->connect_timeout_ms = (uint64_t)m->connect_timeout->seconds * 1000 +
                                (uint64_t)m->connect_timeout->nanos / 1000000;
    int r = m->load_assignment ? add_assignment(c, m->load_assignment, path, reterr) : 0;
    if (r == 0 && m->transport_socket) {
        size_t mark = pb_path_field(path, "transport_socket");
        r = upstream_tls_compile(compile, m->transport_socket, &c->tls);
        if (r == 0)
            pb_path_back(path, mark);
    }
    if (r < 0) {
        cluster_unref(c);
        return r;
    }
    *ret = c;
    return 0;
}
