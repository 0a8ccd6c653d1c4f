#pragma once
/* HTTP/1.1 (RFC 9112) on a connection, either role. */

#include "net/http_stream.h"

/* Takes over the connection, which may still be connecting or in its handshake. `config` is
 * borrowed and outlives it; NULL = all defaults. */
struct http_conn *http1_conn_new_server(struct conn *c, const struct http_conn_config *config,
                                        const struct http_conn_ops *ops, void *user);
struct http_conn *http1_conn_new_client(struct conn *c, const struct http_conn_config *config,
                                        const struct http_conn_ops *ops, void *user);
