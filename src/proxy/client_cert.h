#pragma once
/* The field x-forwarded-client-cert: what a proxy says of the certificate that its client has
 * shown. By default whatever the client sends under that name is dropped (forward.c). */

#include <envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h>

#include "base/arena.h"
#include "codec/http_head.h"
#include "net/tls.h"

enum client_cert_mode { /* Envoy's numbers */
                        CLIENT_CERT_SANITIZE,
                        CLIENT_CERT_FORWARD_ONLY,
                        CLIENT_CERT_APPEND_FORWARD,
                        CLIENT_CERT_SANITIZE_SET,
                        CLIENT_CERT_ALWAYS_FORWARD_ONLY,
};

struct client_cert_config {
    uint8_t mode; /* enum client_cert_mode */
    bool subject, cert, dns, uri;
};

void client_cert_compile(
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *m,
    struct client_cert_config *ret);
/* The value to go on with, in the arena or the head; .p NULL: none. `s` NULL: a plain connection.
 */
struct str client_cert_value(const struct client_cert_config *c, const struct http_head *h,
                             struct tls_session *s, struct arena *a);
