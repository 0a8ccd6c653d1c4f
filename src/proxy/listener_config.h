#pragma once
/* What a listener does: where it listens, and what serves its connections. Immutable, shared by
 * reference. */

#include <envoy/config/listener/v3/listener.pb-c.h>

#include <stdatomic.h>

#include "base/addr.h"
#include "proxy/compile.h"
#include "proxy/http_config.h"

struct listener_config {
    atomic_uint refs;
    char *name;
    struct ip ip;
    uint16_t port;
    struct http_config *http;
    VEC(struct http_config *) https; /* all there are in it, borrowed */
};

/* c->path stands at the message. -EINVAL with the path of what is wrong. */
int listener_config_compile(struct compile *c, const Envoy__Config__Listener__V3__Listener *m,
                            struct listener_config **ret) NODISCARD;
struct listener_config *listener_config_ref(struct listener_config *l);
void listener_config_unref(struct listener_config *l); /* NULL is allowed */
