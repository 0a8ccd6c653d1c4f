/* Reports of proxies: whatever comes, numbers, traces and their limits hold, and what is told of
 * them is JSON.
 * fuzz-layer: control */
#include <stdlib.h>

#include "codec/pb_msg.h"
#include "control/trace_store.h"
#include "control/traffic_sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(json_t *j)
{
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_JSON json_t *again = NULL;
    json_write(&text, j);
    if (!text.failed && json_parse(buf_str(&text), 0, NULL, &again, NULL) < 0)
        abort();
    json_decref(j);
}

static void hear(const Fairlead__Telemetry__V1__Report *m)
{
    const struct traffic_reporter who = {"web", "shop"};
    struct traffic_sink *sink = traffic_sink_new();
    struct trace_store *traces = trace_store_new();
    for (size_t i = 0; i < m->n_traffic; i++)
        traffic_sink_add(sink, 1000 * (i + 1), &who, m->traffic[i]);
    for (size_t i = 0; i < m->n_spans; i++)
        trace_store_add(traces, str_of(m->spans[i].data, m->spans[i].len), "web.shop");
    for (size_t i = 0; i < m->n_requests; i++)
        if (m->requests[i]->pair)
            check(traffic_side_json(&who, m->requests[i]->pair, true));
    check(traffic_sink_edges(sink, NULL, 1000 * (m->n_traffic + 1)));
    AUTO_JSON json_t *list = trace_store_list(traces, 10);
    json_t *one;
    size_t i;
    json_array_foreach(list, i, one)
    {
        json_t *spans = trace_store_find(traces, str_from(json_key_str(one, "traceId")));
        if (!json_array_size(spans))
            abort();
        check(spans);
    }
    struct trace_store_stats st = trace_store_get_stats(traces);
    if (st.traces > TRACES_MAX || st.bytes > TRACE_STORE_BYTES)
        abort();
    traffic_sink_free(sink);
    trace_store_free(traces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena) struct arena *a = arena_new(16 << 20);
    ProtobufCMessage *m;
    if (pb_unpack(&fairlead__telemetry__v1__report__descriptor, str_of(data, size), a, &m, NULL) ==
        0)
        hear((const void *)m);
    return 0;
}
