/* fuzz-layer: proxy
 * A ClusterLoadAssignment from a management server, and a second one after it: each is refused with
 * a reason or becomes a set; a plan of it chooses an endpoint of the set, or none. */
#include <stdlib.h>

#include "codec/pb_msg.h"
#include "proxy/lb.h"

enum { MEMORY_MAX = 4 << 20, CHOICES = 300 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void choose(struct endpoint_set *s, const struct lb_config *config)
{
    struct lb_plan *p = lb_plan_new(s, config);
    if (!p)
        return; /* no memory */
    uint32_t *cursors = xcalloc(lb_plan_cursors(p) + 1, sizeof(*cursors)), sum = 0;
    for (uint64_t i = 0; i < CHOICES; i++) {
        struct lb_request q = {
            .random = i * 0x9e3779b97f4a7c15, .hash = i << 56, .has_hash = i & 1};
        uint32_t chosen = lb_choose(p, cursors, &q);
        if (chosen == LB_NONE ? !p->empty && config->panic_percent : chosen >= s->entries.n)
            abort();
    }
    for (uint32_t i = 0; i < p->n_priorities; i++)
        sum += p->priorities[i].healthy_load + p->priorities[i].degraded_load;
    if (p->n_priorities && sum != 100)
        abort();
    free(cursors);
    lb_plan_unref(p);
}

static struct endpoint_set *take(const uint8_t *data, size_t size,
                                 const struct endpoint_set *before)
{
    AUTO(arena) struct arena *a = arena_new(MEMORY_MAX);
    ProtobufCMessage *m = NULL;
    struct endpoint_set *s = NULL;
    struct err err = {0};
    struct pb_path path = {.n = 0};
    if (pb_unpack(&envoy__config__endpoint__v3__cluster_load_assignment__descriptor,
                  str_of(data, size), a, &m, &err) < 0)
        return NULL;
    if (endpoint_set_compile((const void *)m, before, &path, &s, &err) < 0 && !err.msg[0])
        abort();
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct lb_config configs[] = {
        {.policy = LB_ROUND_ROBIN, .panic_percent = 50, .locality_weighted = true},
        {.policy = LB_ROUND_ROBIN, .panic_percent = 0},
        {.policy = LB_LEAST_REQUEST, .panic_percent = 100, .choices = 3},
        {.policy = LB_RANDOM, .panic_percent = 50, .locality_weighted = true},
        {.policy = LB_RING_HASH, .panic_percent = 50, .ring_min = 1, .ring_max = 64},
        {.policy = LB_RING_HASH,
         .panic_percent = 50,
         .ring_min = 16,
         .ring_max = 256,
         .locality_weighted = true},
    };
    size_t half = size ? data[0] : 0;
    if (size < 1 || half > size - 1)
        return 0;
    struct endpoint_set *first = take(data + 1, half, NULL);
    struct endpoint_set *second = take(data + 1 + half, size - 1 - half, first);
    for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
        if (first)
            choose(first, &configs[i]);
        if (second)
            choose(second, &configs[i]);
    }
    endpoint_set_unref(first);
    endpoint_set_unref(second);
    return 0;
}
