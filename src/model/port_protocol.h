#pragma once
/* What is spoken at a port of a Service: its appProtocol, else the beginning of its name up to the
 * first '-' (Istio's protocol selection; KEP 1422 and 3726 for kubernetes.io/...). Letter case does
 * not matter. Pure. */

#include "kube/types.h"

enum port_protocol {
    PORT_SNIFFED, /* it does not say: whoever carries it looks at the first bytes */
    PORT_HTTP,
    PORT_HTTP2, /* without TLS; gRPC, too */
    PORT_TLS,   /* carried as it is */
    PORT_TCP,
    PORT_OTHER, /* not TCP: not carried */
};

enum port_protocol port_protocol(const struct service_port *p);
const char *port_protocol_word(enum port_protocol p); /* "http" */
