#pragma once
/* What a Service of type LoadBalancer asks for, and what its status says that it has: for who gives
 * addresses. Names and meanings of the annotations are MetalLB's, the old ones
 * (metallb.universe.tf) where the new ones (metallb.io) are absent. */

#include "base/addr.h"
#include "codec/json.h"

enum { BALANCED_IPS_MAX = 8, BALANCED_PORTS_MAX = 1000 };

#define POOL_ANNOTATION "metallb.io/ip-allocated-from-pool"

struct balanced_port {
    uint8_t proto;
    uint16_t port;
};

struct balanced_service {
    char *key, *ns, *name, *uid, *created;
    bool balanced;    /* of type LoadBalancer and of the class asked for */
    bool left;        /* of another type by now, and annotated still */
    bool families[2]; /* of its cluster IPs: IPv4, IPv6 */
    bool v6_first;
    bool prefers_two, requires_two; /* ipFamilyPolicy */
    char *pool;                     /* it wants an address of this one; NULL */
    char *sharing;                  /* who says the same may share; NULL: nobody may */
    char *backend; /* externalTrafficPolicy Local: its selector, as text; "": any may share */
    char *error;   /* what it wants cannot be read; NULL */
    struct ip wanted[2], has[BALANCED_IPS_MAX];
    size_t n_wanted, n_has;
    bool has_others; /* status has a host name, or an address that cannot be read */
    bool annotated;  /* status is of who writes POOL_ANNOTATION */
    char *annotated_pool;
    struct balanced_port *ports;
    size_t n_ports;
    json_t *labels; /* NULL: none */
};

/* class_ NULL: Services without one. NULL: no Service. */
struct balanced_service *balanced_service_decode(const json_t *j, const char *class_);
void balanced_service_free(struct balanced_service *s);
DEFINE_AUTO(balanced_service);
/* May both have one address? why (may be NULL) says why not, in a sentence. */
bool balanced_services_share(const struct balanced_service *one,
                             const struct balanced_service *other, struct buf *why);
