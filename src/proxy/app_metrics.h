#pragma once
/* One page for who scrapes the pod: the proxy's own metrics, and behind them those of the app,
 * which the proxy asks for from inside the pod (15020 /stats/prometheus). An app that does not
 * answer is left out, and told of. Main thread. */

#include "base/addr.h"
#include "base/err.h"
#include "net/http_server.h"

enum {
    APP_METRICS_BYTES_MAX = 16 << 20, /* of an app */
    APP_METRICS_SCRAPES_MAX = 4,      /* at a time; further ones: 503 */
    APP_METRICS_TIMEOUT_MS = 5000,
};

struct app_metrics_target {
    uint16_t port; /* 0: the app has none */
    char *path;
};

/* Istio's ISTIO_PROMETHEUS_ANNOTATIONS: {"scrape": "true", "port": "8080", "path": "/metrics"}.
 * -EINVAL with the entry. */
int app_metrics_parse(struct str json, struct app_metrics_target *ret, struct err *reterr)
    NODISCARD;
void app_metrics_target_done(struct app_metrics_target *t);

struct app_metrics;

struct app_metrics_config {
    struct ip pod, from;              /* where the app is; whence it is asked */
    uint16_t own_port;                /* of 127.0.0.1: our own /stats/prometheus */
    struct app_metrics_target target; /* taken */
};
struct app_metrics *app_metrics_new(struct loop *l, const struct app_metrics_config *c);
void app_metrics_free(struct app_metrics *m); /* NULL is allowed; scrapes end without an answer */
void app_metrics_serve(struct app_metrics *m, struct http_exchange *x);
