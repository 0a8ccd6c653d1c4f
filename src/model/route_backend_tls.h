#pragma once
/* How the endpoints of a route are spoken to over TLS, where more than that is said: what they are
 * shown, and how it is made sure who they are. Immutable once it is on a route; routes of one
 * Ingress share it. */

#include "base/buf.h"

struct route_backend_tls {
    unsigned refs;
    char *secret; /* namespace/name: tls.crt and tls.key, which are shown; ca.crt; NULL: none */
    bool verify;  /* against ca.crt, by name; only with a secret */
    uint32_t depth;
    char *name;                /* lower case; NULL: the Service's, NAME.NAMESPACE.svc */
    bool server_name;          /* the name is sent, as SNI */
    unsigned tls_min, tls_max; /* 12, 13; 0: the default */
    char *ciphers;             /* of TLS 1.2, OpenSSL's names and ':'; NULL: the default */
};

struct route_backend_tls *route_backend_tls_new(void);
struct route_backend_tls *route_backend_tls_ref(struct route_backend_tls *t); /* NULL is allowed */
void route_backend_tls_unref(struct route_backend_tls *t);                    /* NULL is allowed */
/* The golden form, which tells apart what is not the same: names of clusters are made of it. */
void route_backend_tls_format(const struct route_backend_tls *t, struct buf *out);
