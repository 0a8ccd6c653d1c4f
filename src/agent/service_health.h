#pragma once
/* healthCheckNodePort: per Service with externalTrafficPolicy Local, a port where its load balancer
 * asks whether this node has endpoints of it. */

#include "base/addr.h"
#include "net/loop.h"

struct service_health;

struct service_health_config {
    const struct prefix *addresses; /* where to answer; none = everywhere. Borrowed */
    size_t n_addresses;
    bool (*is_healthy)(void *user);
    /* A port could not be opened; the Service is served without. */
    void (*on_failed)(const char *key, const char *uid, const char *text, void *user);
    void *user;
};

struct service_health *service_health_new(struct loop *l, const struct service_health_config *c);
void service_health_free(struct service_health *h);
/* key: namespace/name; port 0: not any more. */
void service_health_set(struct service_health *h, const char *key, const char *uid, uint16_t port,
                        uint32_t local_ready);
