#pragma once
/* Telemetries (telemetry.istio.io/v1): what a workload tells of the requests that it makes and
 * serves: traces, metrics, access logs. That of the root namespace holds for the mesh, that of the
 * namespace over it, that of the workload over both, each part by part; of two of the same width
 * the older. Pure. One that cannot be read is told; its last good form holds, and without one it is
 * as if it were not there. */

#include "model/log_expression.h"
#include "model/mesh_config.h"
#include "model/selected_objects.h"

enum telemetry_side { TELEMETRY_CLIENT, TELEMETRY_SERVER, _TELEMETRY_SIDES };

enum telemetry_metric {
    TELEMETRY_REQUEST_COUNT,
    TELEMETRY_REQUEST_DURATION,
    TELEMETRY_REQUEST_SIZE,
    TELEMETRY_RESPONSE_SIZE,
    TELEMETRY_TCP_OPENED,
    TELEMETRY_TCP_CLOSED,
    TELEMETRY_TCP_SENT,
    TELEMETRY_TCP_RECEIVED,
    TELEMETRY_GRPC_REQUESTS,
    TELEMETRY_GRPC_RESPONSES,
    _TELEMETRY_METRICS
};

/* An item of spec.tracing, spec.metrics, spec.accessLogging, checked. */
struct telemetry_part {
    const json_t *j;
    bool sides[_TELEMETRY_SIDES];  /* match.mode */
    struct log_expression *filter; /* of a log; NULL: all */
};

struct telemetry_policy {
    struct istio_object o;
    const json_t *labels;
    bool nobodys, broken;
    struct telemetry_parts {
        VEC(struct telemetry_part) v;
    } tracing, metrics, logging;
};

/* NULL: no object. */
struct telemetry_policy *telemetry_policy_decode(const json_t *j);
void telemetry_policy_free(struct telemetry_policy *t); /* NULL is allowed */
struct selected_objects *telemetry_policies_new(const char *root_namespace);

/* What holds for a side of a workload; what it names is of the table and of the config. */
struct telemetry_tracing {
    bool off;
    bool is_default;                      /* nobody has named a provider: the control plane */
    const struct mesh_provider *provider; /* NULL where is_default, or off */
    double sampling;                      /* percent */
    const json_t *tags;                   /* customTags; NULL: none */
};
struct telemetry_log {
    const struct mesh_provider *provider; /* of MESH_PROVIDER_FILE_LOG */
    const struct log_expression *filter;  /* NULL: all */
};
struct telemetry_metrics {
    bool off; /* none of them */
    bool dropped[_TELEMETRY_METRICS];
    /* name -> an expression, or null: without it. Owned; NULL: as they are. */
    json_t *tags[_TELEMETRY_METRICS];
};
struct telemetry_view {
    struct telemetry_tracing tracing;
    struct telemetry_metrics metrics;
    bool legacy_logs; /* nobody has said a word: as accessLogFile of the mesh config says */
    VEC(struct telemetry_log) logs;
};

/* pod: NULL: whatever is of the namespace; ns "": of the mesh. */
void telemetry_find(const struct selected_objects *t, const struct mesh_config *c, struct str ns,
                    const struct workloads *pods, const struct workload *pod,
                    enum telemetry_side side, struct telemetry_view *ret);
void telemetry_view_done(struct telemetry_view *v);
/* What of it names providers that are not there, or are of another kind, as findings of it. */
void telemetry_policy_check(struct telemetry_policy *t, const struct mesh_config *c);
