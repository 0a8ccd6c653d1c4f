#pragma once
/* HTTP/2 (RFC 9113) on a connection, either role: many streams at a time. Over TLS the caller has
 * offered "h2" by ALPN; on plain text it is spoken from the first byte (prior knowledge). */

#include "net/http_stream.h"

/* As http1_conn_new_server and http1_conn_new_client. */
struct http_conn *http2_conn_new_server(struct conn *c, const struct http_conn_config *config,
                                        const struct http_conn_ops *ops, void *user);
struct http_conn *http2_conn_new_client(struct conn *c, const struct http_conn_config *config,
                                        const struct http_conn_ops *ops, void *user);
