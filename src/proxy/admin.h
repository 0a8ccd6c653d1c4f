#pragma once
/* What probes and people ask a running proxy over HTTP, on loopback (bootstrap admin.address): the
 * paths and words are Envoy's. Main thread. */

#include <envoy/config/bootstrap/v3/bootstrap.pb-c.h>

#include "net/loop.h"
#include "proxy/config.h"
#include "proxy/stats_values.h"

struct admin;

enum admin_state {
    ADMIN_LIVE,
    ADMIN_INITIALIZING, /* something that was asked for at the start has not come */
    ADMIN_DRAINING,
};

struct admin_ops {
    enum admin_state (*state)(void *user);
    struct proxy_config *(*config)(void *user); /* in force; borrowed */
    void (*program)(struct stats_program *ret, void *user);
    void (*quit)(void *user);
};

/* The address that the message names: -EINVAL if it is no loopback address. */
int admin_read_address(const Envoy__Config__Bootstrap__V3__Admin *m, struct ip *ret_ip,
                       uint16_t *ret_port, struct err *reterr) NODISCARD;
int admin_new(struct loop *l, const struct ip *ip, uint16_t port, const struct admin_ops *ops,
              void *user, struct admin **ret, struct err *reterr) NODISCARD;
void admin_free(struct admin *a); /* NULL is allowed */
