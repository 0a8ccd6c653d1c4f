#pragma once
/* A collector of spans. */

#include <stdatomic.h>

#include "codec/http_head.h"

enum { TRACE_COLLECTOR_FIELDS_MAX = 16 };

/* Where spans go to, and in which form; shared by reference, unchanging. */
struct trace_collector {
    atomic_uint refs;
    bool zipkin; /* Zipkin v2 JSON; else OTLP, protobuf */
    char *cluster, *host, *path;
    char *service; /* who tells */
    uint64_t timeout_ms;
    struct http_header fields[TRACE_COLLECTOR_FIELDS_MAX]; /* owned */
    size_t n_fields;
};

struct trace_collector *trace_collector_new(void);
struct trace_collector *trace_collector_ref(struct trace_collector *c);
void trace_collector_unref(struct trace_collector *c); /* NULL is allowed */
