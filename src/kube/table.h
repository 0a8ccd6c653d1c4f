#pragma once
/* Printer columns: what kubectl get shows of each kind (meta.k8s.io Table). */

#include "codec/json.h"

struct table_column {
    const char *name;
    const char *type; /* string, integer; date: the cell is RFC 3339 text, shown as an age;
                         restarts: [count, time of the last or null]; span: [from, to or null], or
                         null */
    int priority;     /* above 0: with -o wide only */
    const char *path; /* where the value stands, or: */
    json_t *(*cell)(const json_t *object); /* a new reference */
    const char *description;
};

struct table {
    const struct table_column *columns;
    size_t n;
};

extern const struct table table_plain, table_pod, table_service, table_node, table_namespace,
    table_endpoints, table_configmap, table_secret, table_serviceaccount, table_event,
    table_deployment, table_replicaset, table_daemonset, table_job, table_endpointslice,
    table_lease, table_ingress, table_ingress_class, table_service_cidr, table_role, table_webhooks,
    table_role_binding, table_crd;

/* One row's cells, as the types above say; independent of the clock. A new array. */
json_t *table_cells(const struct table *t, const json_t *object);

/* A cell as the client sees it: ages are relative to now_s. Appends JSON. */
void table_write_cell(struct buf *b, const struct table_column *c, const json_t *cell,
                      int64_t now_s);

/* The STATUS of a pod: CrashLoopBackOff, Init:0/1, Completed, Terminating, … */
void table_pod_status(const json_t *pod, struct buf *ret);
