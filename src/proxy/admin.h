#pragma once
/* What probes and people ask a running proxy over HTTP, on loopback or a
 * Unix socket (bootstrap admin.address): the
 * paths and words are Envoy's. Main thread. */

#include <envoy/config/bootstrap/v3/bootstrap.pb-c.h>

#include "net/listener.h"
#include "proxy/config.h"
#include "proxy/stats_values.h"

struct admin;
struct config_dump;
struct config_dump_options;

enum admin_state {
    ADMIN_LIVE,
    ADMIN_INITIALIZING, /* something that was asked for at the start has not come */
    ADMIN_DRAINING,
};

enum { ADMIN_PIPE_MODE = 0600 }; /* of a Unix socket whose mode is not said */

struct admin_drain {
    bool inbound_only;
    bool graceful;  /* clients are told to go first */
    bool stay_open; /* and the listeners stay */
};

struct admin_ops {
    enum admin_state (*state)(void *user);
    struct proxy_config *(*config)(void *user); /* in force; borrowed */
    void (*program)(struct stats_program *ret, void *user);
    /* Takes what the options own. */
    struct config_dump *(*dump)(const struct config_dump_options *o, void *user);
    const char *(*node)(void *user);     /* as JSON; borrowed */
    void (*fail)(bool fail, void *user); /* what asks for its health is told so, and clients go */
    void (*drain_listeners)(const struct admin_drain *d, void *user);
    void (*quit)(void *user);
};

/* The address that the message names: -EINVAL if it is neither a loopback address nor a Unix
 * socket. ret->path is owned by the caller. */
int admin_read_address(const Envoy__Config__Bootstrap__V3__Admin *m, struct listener_address *ret,
                       struct err *reterr) NODISCARD;
int admin_new(struct loop *l, const struct listener_address *at, const struct admin_ops *ops,
              void *user, struct admin **ret, struct err *reterr) NODISCARD;
void admin_free(struct admin *a); /* NULL is allowed */
