#pragma once
/* Bytes between a client and an endpoint, as they are. */

#include "proxy/conn_values.h"
#include "proxy/tcp_config.h"

struct tcp_proxy;

struct tcp_proxy_ops {
    /* Both connections are gone; so is the proxying when this returns. Never from inside a call. */
    void (*on_over)(void *user);
};

/* Takes the client's connection, which is open, and what `log` holds. `config` and `who` outlive
 * it.
 */
struct tcp_proxy *tcp_proxy_new(struct worker *w, const struct tcp_config *config,
                                size_t buffer_bytes, struct conn *client,
                                const struct mesh_client *who, struct conn_log *log,
                                const struct tcp_proxy_ops *ops, void *user);
/* At once; on_over does not come. */
void tcp_proxy_free(struct tcp_proxy *t);
