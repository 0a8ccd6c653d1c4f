#pragma once
/* The last traces, as sidecars' spans make them up (Zipkin's v2 JSON). Pure.
 *
 * Limits: TRACES_MAX traces, TRACE_STORE_BYTES of spans: the oldest goes; TRACE_SPANS_MAX spans of
 * one, SPAN_BYTES_MAX of a span: what is more is dropped and counted. Foreign texts stay texts. */

#include "base/str.h"
#include "codec/json.h"

enum {
    TRACES_MAX = 2000,
    TRACE_SPANS_MAX = 256,
    TRACE_SPAN_BYTES = 8 * 1024,
    TRACE_REPORT_BYTES = 1 << 20,
    TRACE_STORE_BYTES = 16 << 20,
};

struct trace_store;

struct trace_store *trace_store_new(void);
void trace_store_free(struct trace_store *s); /* NULL is allowed */
/* A list of spans; they are of that service, whatever they say. What cannot be read is dropped. */
void trace_store_add(struct trace_store *s, struct str spans, const char *service);
/* Its spans, by when they began; id as hex of 16 or 32 digits. NULL: not known. */
json_t *trace_store_find(const struct trace_store *s, struct str id);
/* [{traceId, service, name, timestamp, duration, spans, error}], the newest first, max of them. */
json_t *trace_store_list(const struct trace_store *s, size_t max);

struct trace_store_stats {
    size_t traces, bytes;
    uint64_t spans, dropped;
};
struct trace_store_stats trace_store_get_stats(const struct trace_store *s);
