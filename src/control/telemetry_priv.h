#pragma once
/* telemetry.c hears proxies, telemetry_tap.c lets people watch. */

#include "base/list.h"
#include "base/vec.h"
#include "control/telemetry.h"

struct callers_check;

struct telemetry {
    struct kube_client *client;
    struct control *control;
    struct traffic_sink *sink;
    struct trace_store *traces;
    struct list_node streams, taps;
    uint64_t last_tap;
    struct telemetry_stats stats;
};

struct telemetry_stream {
    struct list_node node;
    struct telemetry *telemetry;
    struct grpc_server_call *call;
    struct callers_check *check; /* NULL: it is known */
    char *account;
    char *pod, *workload, *ns; /* "NAMESPACE/NAME"; NULL: it has not said who it is */
    struct buf early;          /* before it was known */
    uint64_t second, bytes;    /* in which so many came */
};

/* Who watches it begins to. */
void telemetry_tap_join(struct telemetry_stream *s);
void telemetry_tap_request(struct telemetry_stream *s, const Fairlead__Telemetry__V1__Request *m);
void telemetry_tap_dropped(struct telemetry_stream *s, uint64_t n);
void telemetry_tap_answer(struct telemetry *t, struct http_exchange *x);
