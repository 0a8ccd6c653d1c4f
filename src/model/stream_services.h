#pragma once
/* Services that are reached by a port of the gateways alone: ConfigMaps as ingress-nginx has them
 * ("9000": "namespace/service:port[:PROXY][:PROXY]"). */

#include "codec/json.h"
#include "model/finding.h"
#include "model/service_join.h"

enum { STREAM_SERVICES_MAX = 1000 };

struct stream_service {
    uint16_t listen;
    char *service; /* namespace/name */
    char *port;    /* a name or a number */
    bool proxied;  /* clients speak the PROXY protocol */
    bool told;     /* that it is not there: for whoever tells */
};

struct stream_services {
    struct stream_service *v;
    size_t n; /* by listen */
};

/* data: of the ConfigMap, NULL: none; key: its namespace/name, for the findings. taken: ports of
 * the gateways' own, of which there are n. What cannot be served is left out and told. */
void stream_services_read(const char *key, const json_t *data, const uint16_t *taken, size_t n,
                          struct stream_services *ret, struct findings *f);
/* The same of a ConfigMap of UDP services, of which none can be served: each is told. */
void stream_services_refuse_udp(const char *key, const json_t *data, struct findings *f);
void stream_services_done(struct stream_services *s);
/* The number of the Service's port; 0: it is not there. */
uint16_t stream_service_port(const struct stream_service *s, const struct service_join *join);
