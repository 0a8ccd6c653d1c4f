#pragma once
/* Printer columns: the cells of metav1.Table, as kubectl get shows them. */

#include "codec/json.h"

struct table_column {
    const char *name;
    const char *type;     /* string, integer */
    const char *format;   /* "name" or "" */
    int priority;         /* above 0: with -o wide only */
    const char *path;     /* where the value stands; or: */
    void (*cell)(const json_t *object, int64_t now_s, struct buf *ret);
    const char *description;
};

/* One row's cells. now_s: Age is relative to it. Takes a borrowed object in its served form. */
json_t *table_cells(const struct table_column *columns, size_t n, const json_t *object, int64_t now_s);
json_t *table_column_definitions(const struct table_column *columns, size_t n);

/* "5m", "<unknown>", "<invalid>": the time at RFC 3339 text (may be NULL) before now. */
void table_age(const char *time, int64_t now_s, struct buf *ret);

/* The STATUS column of a pod (CrashLoopBackOff, Init:0/1, Completed, Terminating, …). */
void table_pod_status(const json_t *pod, struct buf *ret);

extern const struct table_column columns_pod[], columns_service[], columns_node[], columns_namespace[], columns_endpoints[],
    columns_configmap[], columns_secret[], columns_serviceaccount[], columns_event[], columns_events_event[],
    columns_deployment[], columns_replicaset[], columns_endpointslice[], columns_lease[], columns_plain[];
extern const size_t n_columns_pod, n_columns_service, n_columns_node, n_columns_namespace, n_columns_endpoints,
    n_columns_configmap, n_columns_secret, n_columns_serviceaccount, n_columns_event, n_columns_events_event,
    n_columns_deployment, n_columns_replicaset, n_columns_endpointslice, n_columns_lease, n_columns_plain;
