#pragma once
/* Spans on their way to a collector: workers hand them over, the main thread gathers them for a
 * second and posts them. What waits is bounded: more is dropped and counted. A collector that is
 * slow or away costs no request anything. */

#include "proxy/stats.h"
#include "proxy/store.h"
#include "proxy/trace_collector.h"

enum {
    TRACE_SPANS_MAX = 4096, /* that wait, of all collectors */
    TRACE_REPORT_SPANS = 512,
};

/* From a worker: one span, encoded for the collector. stats: the worker's of the program. */
void trace_export(struct trace_collector *c, struct str span, struct stats_cell *stats);

/* The main thread. Before workers run, and when none does any more. Borrows both. */
void trace_export_start(struct loop *l, struct store *s);
/* What goes to that cluster, as Zipkin's JSON, is given to fn instead of being posted. Behind the
 * start, until the stop. fn returns false where it takes none. */
typedef bool trace_export_fn(struct str spans, void *user);
void trace_export_tell(const char *cluster, trace_export_fn *fn, void *user);
void trace_export_stop(void);
