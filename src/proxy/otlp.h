#pragma once
/* OpenTelemetry's spans as protobuf (opentelemetry/proto/trace/v1), as much of them as is written
 * here: encoded by hand, since nothing is ever read. */

#include "base/buf.h"

enum otlp_kind {
    OTLP_SERVER = 2,
    OTLP_CLIENT = 3,
};

struct otlp_span {
    const uint8_t *trace_id, *span_id; /* 16 and 8 bytes */
    const uint8_t *parent_id;          /* NULL: it is a root */
    struct str name, state;            /* state: the tracestate; may be empty */
    enum otlp_kind kind;
    uint64_t begin_ns, end_ns; /* Unix */
    bool error;
    struct str attributes; /* by otlp_attribute() */
};

/* One attribute of a span, with a text. */
void otlp_attribute(struct buf *to, struct str name, struct str value);
/* A span as one of those that a report holds. */
void otlp_span(struct buf *to, const struct otlp_span *s);
/* The body of a request to /v1/traces: spans, joined. */
void otlp_report(struct buf *to, struct str service, struct str spans);
