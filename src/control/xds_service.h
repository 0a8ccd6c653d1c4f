#pragma once
/* The xDS service: streams of proxies over gRPC, each with its view of a set of resources. Two
 * doors: a plain one, for this machine and for what is no secret; and one over TLS, where every
 * stream says with a token who it is. */

#include "control/callers.h"
#include "net/grpc_server.h"
#include "xds/xds_stream.h"

struct xds_service;

/* Who asks. */
struct xds_caller {
    bool secrets;        /* its stream may carry them */
    const char *account; /* over TLS: its user, as the API server says; NULL: the plain door */
};

struct xds_service_ops {
    /* Which set a node is given; NULL with reterr (-EACCES: it may not). *ret_part: what on_end()
     * is told; NULL: it need not be. */
    struct xds_set *(*on_node)(const Envoy__Config__Core__V3__Node *node,
                               const struct xds_caller *caller, void **ret_part, void *user,
                               struct err *reterr);
    void (*on_end)(void *part, void *user); /* nobody looks at its set any more */
    /* Istio's agents tell whether the workload is well. */
    void (*on_health)(void *part, bool healthy, const char *message, void *user);
    /* Over TLS: a stream of that account begins, or ends. May it have that secret? NULL: each. */
    void (*on_account)(const char *account, bool begins, void *user);
    enum xds_may (*may_have)(const char *account, struct str secret, void *user);
};

struct xds_service_options {
    struct kube_client *client; /* asked about tokens */
    bool plain_secrets; /* private keys go to plain streams, too, which say not who they are */
    /* Other calls of gRPC over TLS: true: it is taken. NULL: there are none. */
    bool (*on_other)(struct grpc_server_call *call, void *user);
    void *other;
};

struct xds_service_stats {
    size_t streams;
    uint64_t streams_ever, sent, acked, refused, unknown; /* unknown: callers turned away */
};

int xds_service_new(struct loop *l, const struct ip *ip, uint16_t port,
                    const struct xds_service_options *o, const struct xds_service_ops *ops,
                    void *user, struct xds_service **ret, struct err *reterr) NODISCARD;
/* The door over TLS opens, or from now on has another certificate. */
int xds_service_serve_tls(struct xds_service *s, const struct ip *ip, uint16_t port,
                          struct tls_context *tls, struct err *reterr) NODISCARD;
void xds_service_free(struct xds_service *s); /* NULL is allowed */
uint16_t xds_service_port(const struct xds_service *s);
uint16_t xds_service_tls_port(const struct xds_service *s); /* 0: it is not open */
/* Sets have changed: what may go goes. */
void xds_service_push(struct xds_service *s);
/* Of that account: what secrets it may have may be something else now. */
void xds_service_secrets_changed(struct xds_service *s, const char *account);
void xds_service_get_stats(const struct xds_service *s, struct xds_service_stats *ret);
/* Who is at the other end, as it says. */
struct xds_client_node {
    char *id, *cluster, *version; /* NULL: not known (yet) */
    char *account;                /* over TLS: whom its token makes it; NULL: over the plain door */
};
/* Each stream. */
void xds_service_visit(const struct xds_service *s,
                       void (*fn)(const struct xds_client_node *node,
                                  const struct xds_stream *stream, void *user),
                       void *user);
