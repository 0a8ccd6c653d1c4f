#pragma once
/* Transport sockets: TLS contexts from DownstreamTlsContext and UpstreamTlsContext, and the place
 * where the newest one of a configuration is found. A secret that changes exchanges the context
 * alone: connections that come later use the new one, nothing else is compiled anew. */

#include <envoy/config/core/v3/base.pb-c.h>

#include "net/tls.h"
#include "proxy/compile.h"

enum {
    TLS_SLOT_SECRETS_MAX = 64,
    TLS_HANDSHAKE_TIMEOUT_MS = 10 * 1000,
};

struct tls_slot; /* reference-counted, of all threads */

/* What a listener's connections speak; *ret NULL: plain. c->path stands at the transport socket. */
int tls_slot_compile_server(struct compile *c, const Envoy__Config__Core__V3__TransportSocket *m,
                            struct tls_slot **ret) NODISCARD;
void tls_slot_unref(struct tls_slot *s); /* NULL is allowed */
/* A reference to the newest context; NULL: a secret of it has not come. Any thread; once a
 * connection. */
struct tls_context *tls_slot_context(struct tls_slot *s);
/* Is it built from that secret? */
bool tls_slot_needs(const struct tls_slot *s, struct str secret);
/* Its secrets one after the other, borrowed; NULL: no more. The main thread. */
const char *tls_slot_secret(const struct tls_slot *s, size_t i);
bool tls_slot_is_ready(const struct tls_slot *s); /* there is a context. The main thread */
/* Builds it again from the secrets that c finds now. At an error the old context stays. The main
 * thread. */
int tls_slot_rebuild(struct tls_slot *s, struct compile *c) NODISCARD;

/* How a cluster's endpoints are spoken to. Part of the cluster. */
struct upstream_tls {
    struct tls_slot *slot;
    char *sni;     /* NULL: none is sent */
    bool has_alpn; /* it offers protocols */
    bool resume;   /* sessions are kept: max_session_keys is not 0 */
    bool in_mesh;  /* it offers "istio": requests of HTTP offer what tells them from bytes */
};

/* *ret NULL: plain. *ret_proxy: the version of the PROXY protocol that goes before it; 0: none. */
int upstream_tls_compile(struct compile *c, const Envoy__Config__Core__V3__TransportSocket *m,
                         struct upstream_tls **ret, uint8_t *ret_proxy) NODISCARD;
void upstream_tls_free(struct upstream_tls *t); /* NULL is allowed */
/* version: of HTTP that will be spoken, 1 or 2; 0: bytes, or what ALPN chooses. In a mesh a
 * request's connection offers istio-http/1.1 or istio-h2 before all else, which Istio's proxies
 * have a filter for (istio.alpn): by that the peer's sidecar knows what it gets. */
struct tls_session_options upstream_tls_options(const struct upstream_tls *t, unsigned version);
