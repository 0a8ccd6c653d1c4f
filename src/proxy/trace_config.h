#pragma once
/* What a connection manager does about traces (HttpConnectionManager.Tracing). Immutable. */

#include <envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h>

#include "proxy/compile.h"
#include "proxy/fraction.h"
#include "proxy/header_ops.h"
#include "proxy/trace_collector.h"

enum { TRACE_TAGS_MAX = 64, TRACE_PATH_BYTES = 256 };

struct trace_tag {
    struct str name;
    struct str value;          /* or what stands for a field that is not there; .p NULL: nothing */
    struct header_name header; /* .text.p NULL: the value it is */
};

struct trace_config {
    struct arena *arena;
    struct trace_collector *collector;
    struct fraction client, random, overall;
    bool w3c, b3;  /* which fields are written; both are read, one's own first */
    bool wide;     /* trace ids of 128 bits */
    bool outbound; /* its listener's: spans are a client's */
    uint32_t path_bytes;
    struct trace_tag *tags;
    size_t n_tags;
};

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager__Tracing
    pb_tracing;

/* Who tells, where the configuration does not say: once, before the first is compiled. Borrowed. */
void trace_config_set_service(const char *name);
/* c->path stands at the message. -EINVAL with the path of what is wrong. */
int trace_config_compile(struct compile *c, const pb_tracing *m, struct trace_config **ret)
    NODISCARD;
void trace_config_free(struct trace_config *t); /* NULL is allowed */
