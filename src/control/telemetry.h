#pragma once
/* What sidecars tell of their traffic (fairlead.telemetry.v1), beside the xDS streams: numbers,
 * spans, and requests that somebody watches. Who tells shows the token that xDS asks for, and is
 * heard as the pod that it is, never as another one.
 *
 * Limits: as many calls as xDS has streams; 1 MiB a message, 4 MiB in a second of one proxy, what
 * is more is dropped and counted; TELEMETRY_TAPS_MAX who watch, each of 64 names of pods, for ten
 * minutes at most; who does not read misses requests. */

#include "control/control.h"
#include "control/trace_store.h"
#include "control/traffic_sink.h"
#include "net/grpc_server.h"
#include "net/http_server.h"

enum { TELEMETRY_TAPS_MAX = 16, TELEMETRY_PODS_MAX = 64, TELEMETRY_TAP_SECONDS = 600 };

struct telemetry;

/* Both are borrowed. */
struct telemetry *telemetry_new(struct kube_client *client, struct control *control);
void telemetry_free(struct telemetry *t); /* NULL is allowed; calls and watchers are over */
/* False: the call is for something else, and untouched. */
bool telemetry_take(struct telemetry *t, struct grpc_server_call *call);
/* Answers /debug/edges, /debug/tap, /debug/traces, /debug/traces/ID. False: it is another path. */
bool telemetry_answer(struct telemetry *t, struct http_exchange *x);

struct telemetry_stats {
    size_t streams, taps;
    uint64_t refused; /* calls turned away */
    uint64_t dropped; /* messages that cannot be read, or are too much */
    struct traffic_sink_stats edges;
    struct trace_store_stats traces;
};
struct telemetry_stats telemetry_get_stats(const struct telemetry *t);
