#pragma once
/* Gateway (networking.istio.io): which hosts gateways take at which of their two ports, checked
 * when it comes. A server that cannot be read, or asks for what is not done, is left out and told;
 * the others stay. Immutable. */

#include "model/clusters.h"
#include "model/istio_object.h"

enum gateway_tls {
    GATEWAY_PLAIN,
    GATEWAY_SIMPLE,
    GATEWAY_MUTUAL, /* clients show a certificate */
    GATEWAY_PASSTHROUGH,
    GATEWAY_AUTO_PASSTHROUGH, /* the TLS of the mesh goes on to whom its clients name */
};

/* "ns/host": of VirtualServices of that namespace alone. */
struct gateway_host {
    char *ns; /* NULL: of any */
    char *host;
};

struct gateway_server {
    uint16_t port;
    enum gateway_tls tls;
    bool https_redirect;
    char *credential; /* the Secret with the certificate; NULL: none */
    char *ca;         /* with whom clients' are verified by */
    struct gateway_host *hosts;
    size_t n_hosts;
};

enum { GATEWAY_HOSTS_MAX = 1000 }; /* of all its servers together */

struct istio_gateway {
    struct istio_object o;
    struct gateway_server *servers; /* those that can be served */
    size_t n_servers;
};

struct istio_gateway *istio_gateway_decode(const json_t *j); /* NULL: it has no name */
void istio_gateway_free(struct istio_gateway *g);            /* NULL is allowed */
DEFINE_AUTO(istio_gateway);
/* Gateways with these labels ({"istio": "ingressgateway"}) are among those it is for. */
bool istio_gateway_selects(const struct istio_gateway *g, const json_t *labels);
/* What of a VirtualService's host a server takes: the narrower of both, borrowed from either; NULL:
 * nothing. ns: the VirtualService's. */
const char *gateway_host_meet(const struct gateway_host *h, const char *ns, const char *host);
