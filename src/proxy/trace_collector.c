/* Collectors, shared by configurations, workers and the main thread. */
#include "proxy/trace_collector.h"

#include "base/mem.h"

struct trace_collector *trace_collector_new(void)
{
    struct trace_collector *c = NEW(struct trace_collector);
    c->refs = 1;
    return c;
}

struct trace_collector *trace_collector_ref(struct trace_collector *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void trace_collector_unref(struct trace_collector *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < c->n_fields; i++) {
        free((char *)(uintptr_t)c->fields[i].name.p);
        free((char *)(uintptr_t)c->fields[i].value.p);
    }
    free(c->cluster);
    free(c->host);
    free(c->path);
    free(c->service);
    free(c);
}
