#pragma once
/* Connections whose version of HTTP is chosen when they are open: by what ALPN agreed on ("h2",
 * "http/1.1"), else a server by the first bytes (the preface of HTTP/2), a client is HTTP/1. The
 * http_conn stays the same; http_conn_version() tells. */

#include "net/http_stream.h"

struct http_conn *http_auto_conn_new_server(struct conn *c, const struct http_conn_config *config,
                                            const struct http_conn_ops *ops, void *user);
/* on_open comes when the choice is made. */
struct http_conn *http_auto_conn_new_client(struct conn *c, const struct http_conn_config *config,
                                            const struct http_conn_ops *ops, void *user);
