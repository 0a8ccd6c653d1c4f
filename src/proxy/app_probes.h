#pragma once
/* The port of a sidecar that a kubelet asks instead of the app (15020): probes and hooks of the
 * pod's own containers, done from inside it, so that they need no way through the mesh. It is not
 * redirected. On it are also /healthz/ready, /stats/prometheus (app_metrics.h) and, for the pod
 * itself, /quitquitquit. */

#include "base/addr.h"
#include "base/err.h"
#include "base/vec.h"
#include "codec/http_head.h"
#include "net/loop.h"
#include "proxy/app_metrics.h"

enum {
    APP_PROBES_MAX = 256,
    APP_PROBE_HEADERS_MAX = 32,
    APP_PROBES_BYTES_MAX = 256 * 1024,
};

enum app_probe_kind { APP_PROBE_HTTP, APP_PROBE_TCP, APP_PROBE_GRPC };

struct app_probe {
    char *path; /* on our port */
    enum app_probe_kind kind;
    uint16_t port;
    uint64_t timeout_ms;
    char *target; /* HTTP: path and query */
    bool https;
    char *host;     /* HTTP: Host; NULL: the address */
    char **headers; /* HTTP: names and values in turn */
    size_t n_headers, cap_headers;
    char *service; /* gRPC; "" */
};

struct app_probe_table {
    struct app_probe *v;
    size_t n;
    size_t cap;
};

/* Istio's ISTIO_KUBE_APP_PROBERS: {"/app-health/NAME/readyz": {"httpGet": {…}, "timeoutSeconds":
 * 1}, …}; tcpSocket and grpc likewise, ports as numbers. -EINVAL with the entry. */
int app_probe_table_parse(struct str json, struct app_probe_table *ret, struct err *reterr)
    NODISCARD;
void app_probe_table_done(struct app_probe_table *t);

struct app_probes;

struct app_probes_ops {
    bool (*is_ready)(void *user);
    void (*quit)(void *user);
};

struct app_probes_config {
    uint16_t port;
    uint16_t stats_port;               /* of our own metrics */
    struct ip pod;                     /* where the app is */
    struct app_probe_table table;      /* taken */
    struct app_metrics_target metrics; /* taken */
};

int app_probes_new(struct loop *l, struct app_probes_config *c, const struct app_probes_ops *ops,
                   void *user, struct app_probes **ret, struct err *reterr) NODISCARD;
void app_probes_free(struct app_probes *p); /* NULL is allowed */
