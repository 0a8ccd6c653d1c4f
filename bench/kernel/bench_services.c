/* Loads Services into the kernel through the nftables backend and measures: cold load, one change,
 * a count of endpoints not seen before, mixed counts, restart. Runs in a network namespace of its
 * own (unshare), so the machine's rules are not touched. One line of JSON per figure; run.py makes
 * the table. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "base/time.h"
#include "dataplane/dataplane.h"

struct load {
    VEC(struct frontend) frontends;
    VEC(struct address_change) ips;
    struct dataplane_endpoint *endpoints;
};

static void load_fill(struct load *l, uint32_t services, uint32_t count, bool mixed)
{
    size_t total = 0, at = 0;
    for (uint32_t i = 0; i < services; i++)
        total += mixed ? 1 + i % 300 : count;
    l->endpoints = xcalloc(total, sizeof(*l->endpoints));
    for (uint32_t i = 0; i < services; i++) {
        uint32_t n = mixed ? 1 + i % 300 : count, ip = htonl(0x0a600000u + i);
        struct frontend f = {.key = {.family = AF_INET, .proto = IPPROTO_TCP, .port = 80},
                             .policy = DATAPLANE_CLUSTER,
                             .endpoints = l->endpoints + at,
                             .n_endpoints = n};
        struct address_change a = {.list = DATAPLANE_CLUSTER_IPS, .ip = {.family = AF_INET}};
        memcpy(f.key.ip, &ip, 4);
        memcpy(a.ip.bytes, &ip, 4);
        for (uint32_t k = 0; k < n; k++, at++) {
            uint32_t ep = htonl(0x0b000000u + (uint32_t)at);
            memcpy(l->endpoints[at].ip, &ep, 4);
            l->endpoints[at].port = 8080;
        }
        vec_push(&l->frontends, f);
        vec_push(&l->ips, a);
    }
}

static void load_done(struct load *l)
{
    vec_done(&l->frontends);
    vec_done(&l->ips);
    free(l->endpoints);
}

static void die(const struct err *e)
{
    fprintf(stderr, "bench: %s\n", err_text(e));
    exit(1);
}

static uint64_t apply(struct dataplane *d, const struct dataplane_delta *delta)
{
    struct err e = {0};
    uint64_t start = time_mono_us();
    if (d->ops->apply(d, delta, &e) < 0)
        die(&e);
    return time_mono_us() - start;
}

static int u64_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print_spread(const char *what, uint64_t *us, size_t n)
{
    qsort(us, n, sizeof(*us), u64_cmp);
    printf("{\"what\":\"%s\",\"n\":%zu,\"p50_us\":%llu,\"p99_us\":%llu,\"max_us\":%llu}\n", what, n,
           (unsigned long long)us[n / 2], (unsigned long long)us[n * 99 / 100],
           (unsigned long long)us[n - 1]);
}

/* One endpoint replaced, the Service's count unchanged. */
static void measure_replace(struct dataplane *d, struct load *l)
{
    uint64_t us[200];
    for (uint32_t i = 0; i < ARRAY_LEN(us); i++) {
        struct frontend *f = &l->frontends.v[(i * 7919u) % l->frontends.n];
        struct dataplane_endpoint *e =
            &l->endpoints[f->endpoints - l->endpoints + (ptrdiff_t)(i % f->n_endpoints)];
        struct dataplane_delta delta = {.frontends = f, .n_frontends = 1};
        e->port = (uint16_t)(9000 + i);
        us[i] = apply(d, &delta);
    }
    print_spread("replace one endpoint", us, ARRAY_LEN(us));
}

/* A new Service whose count of endpoints nobody has had: a class chain is made too. */
static void measure_new_count(struct dataplane *d)
{
    uint64_t us[50];
    struct dataplane_endpoint *e = xcalloc(1100, sizeof(*e));
    for (uint32_t i = 0; i < 1100; i++) {
        uint32_t ip = htonl(0x0c000000u + i);
        memcpy(e[i].ip, &ip, 4);
        e[i].port = 8080;
    }
    for (uint32_t i = 0; i < ARRAY_LEN(us); i++) {
        struct frontend f = {.key = {.family = AF_INET,
                                     .proto = IPPROTO_TCP,
                                     .port = 80,
                                     .ip = {10, 200, 0, (uint8_t)i}},
                             .policy = DATAPLANE_CLUSTER,
                             .endpoints = e,
                             .n_endpoints = 2 + i};
        struct dataplane_delta delta = {.frontends = &f, .n_frontends = 1};
        apply(d, &delta);
        f.n_endpoints = 1001 + i; /* grown to a size never seen: the elements are not the point */
        apply(d, &delta);
        f.n_endpoints = 501 + i; /* never seen either */
        uint64_t shrink = apply(d, &delta);
        f.n_endpoints = 500 + i;
        uint64_t one = apply(d, &delta);
        (void)shrink;
        f.n_endpoints = 400 + i + 0u;
        apply(d, &delta);
        f.n_endpoints = 401 + i;
        us[i] = MAX(one, apply(d, &delta));
    }
    print_spread("one endpoint more or less, count not seen before", us, ARRAY_LEN(us));
    free(e);
}

static void measure_add_remove(struct dataplane *d)
{
    uint64_t us[200];
    struct dataplane_endpoint e = {.ip = {12, 0, 0, 1}, .port = 1};
    for (uint32_t i = 0; i < ARRAY_LEN(us); i++) {
        struct frontend f = {
            .key = {.family = AF_INET, .proto = IPPROTO_TCP, .port = 81, .ip = {10, 201, 0, 1}},
            .removed = i % 2,
            .policy = DATAPLANE_CLUSTER,
            .endpoints = &e,
            .n_endpoints = 1};
        struct dataplane_delta delta = {.frontends = &f, .n_frontends = 1};
        us[i] = apply(d, &delta);
    }
    print_spread("add or remove one service", us, ARRAY_LEN(us));
}

/* Restricted addresses with four networks each, one network of one of them replaced. */
static void measure_source_ranges(struct dataplane *d, uint32_t frontends, const char *what)
{
    enum { FRONTENDS = 2000, NETWORKS = 4 };
    static struct prefix p[FRONTENDS][NETWORKS];
    struct dataplane_endpoint e = {.ip = {12, 0, 0, 1}, .port = 1};
    VEC(struct frontend) f = {0};
    uint64_t us[200];
    for (uint32_t i = 0; i < frontends; i++) {
        for (uint32_t k = 0; k < NETWORKS; k++)
            p[i][k] =
                (struct prefix){{AF_INET, {(uint8_t)(20 + k), (uint8_t)(i / 256), (uint8_t)i}}, 24};
        vec_push(&f, ((struct frontend){.key = {.family = AF_INET,
                                                .proto = IPPROTO_TCP,
                                                .port = 80,
                                                .ip = {10, 202, (uint8_t)(i / 256), (uint8_t)i}},
                                        .policy = DATAPLANE_EXTERNAL,
                                        .endpoints = &e,
                                        .n_endpoints = 1,
                                        .restricted = true,
                                        .sources = p[i],
                                        .n_sources = NETWORKS}));
    }
    struct dataplane_delta all = {.frontends = f.v, .n_frontends = f.n};
    apply(d, &all);
    for (uint32_t i = 0; i < ARRAY_LEN(us); i++) {
        struct dataplane_delta one = {.frontends = &f.v[i], .n_frontends = 1};
        p[i][0].ip.bytes[0] = 40;
        us[i] = apply(d, &one);
    }
    print_spread(what, us, ARRAY_LEN(us));
    VEC_FOREACH (x, &f)
        x->removed = true;
    apply(d, &all);
    vec_done(&f);
}

/* 1,000 service ports with affinity, 50 endpoints each; one endpoint of one of them replaced. */
static void measure_affinity(struct dataplane *d)
{
    enum { FRONTENDS = 1000, ENDPOINTS = 50 };
    static struct dataplane_endpoint e[FRONTENDS][ENDPOINTS];
    VEC(struct frontend) f = {0};
    uint64_t us[200];
    for (uint32_t i = 0; i < FRONTENDS; i++) {
        for (uint32_t k = 0; k < ENDPOINTS; k++)
            e[i][k] = (struct dataplane_endpoint){
                .ip = {13, (uint8_t)(i / 256), (uint8_t)i, (uint8_t)k}, .port = 80};
        struct frontend x = {.key = {.family = AF_INET,
                                     .proto = IPPROTO_TCP,
                                     .port = 80,
                                     .ip = {10, 203, (uint8_t)(i / 256), (uint8_t)i}},
                             .policy = DATAPLANE_CLUSTER,
                             .endpoints = e[i],
                             .n_endpoints = ENDPOINTS,
                             .affinity_s = 10800};
        x.affinity_group = x.key;
        vec_push(&f, x);
    }
    struct dataplane_delta all = {.frontends = f.v, .n_frontends = f.n};
    apply(d, &all);
    for (uint32_t i = 0; i < ARRAY_LEN(us); i++) {
        struct dataplane_delta one = {.frontends = &f.v[i], .n_frontends = 1};
        e[i][7].port = 81;
        us[i] = apply(d, &one);
    }
    print_spread("replace one endpoint of a service with affinity", us, ARRAY_LEN(us));
    VEC_FOREACH (x, &f)
        x->removed = true;
    apply(d, &all);
    vec_done(&f);
}

/* What others do, by nft(8), and what it takes to put it back. */
static void measure_mending(struct dataplane *d)
{
    static const struct {
        const char *what, *command;
    } acts[] = {{"mend: an element that others deleted",
                 "nft 'delete element ip fairlead endpoints { 10.96.0.9 . tcp . 80 . 0 }'"},
                {"mend: a chain that others flushed", "nft flush chain ip fairlead dispatch"},
                {"mend: all endpoints deleted by others", "nft flush map ip fairlead endpoints"},
                {"look: an element of another table",
                 "nft 'add table ip o; add set ip o s { type "
                 "ipv4_addr; }; add element ip o s { 1.2.3.4 }'"}};
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        struct err e = {0};
        if (system(acts[i].command) != 0)
            continue;
        uint64_t start = time_mono_us();
        if (d->ops->repair(d, &e) < 0)
            die(&e);
        printf("{\"what\":\"%s\",\"us\":%llu}\n", acts[i].what,
               (unsigned long long)(time_mono_us() - start));
    }
}

int main(int argc, char **argv)
{
    uint32_t services = argc > 1 ? (uint32_t)atoi(argv[1]) : 45000;
    bool mixed = argc > 2 && streq(argv[2], "mixed");
    uint32_t count = argc > 2 && !mixed ? (uint32_t)atoi(argv[2]) : 1;
    struct dataplane_config c = {0};
    struct dataplane *d;
    struct load l = {0};
    struct err e = {0};
    if (unshare(CLONE_NEWNET) < 0) {
        fprintf(stderr, "bench: needs root: %s\n", strerror(errno));
        return 77;
    }
    load_fill(&l, services, count, mixed);
    struct dataplane_delta full = {.full = true,
                                   .frontends = l.frontends.v,
                                   .n_frontends = l.frontends.n,
                                   .addresses = l.ips.v,
                                   .n_addresses = l.ips.n};
    uint64_t start = time_mono_us();
    if (nftables_open(&c, &d, &e) < 0)
        die(&e);
    apply(d, &full);
    printf("{\"what\":\"cold load\",\"us\":%llu}\n", (unsigned long long)(time_mono_us() - start));
    measure_add_remove(d);
    measure_replace(d, &l);
    measure_new_count(d);
    measure_source_ranges(d, 250, "replace one of 1,000 source ranges");
    measure_source_ranges(d, 2000, "replace one of 8,000 source ranges");
    measure_affinity(d);
    d->ops->settle(d);
    measure_mending(d);
    d->ops->free(d);
    start = time_mono_us();
    if (nftables_open(&c, &d, &e) < 0)
        die(&e);
    uint64_t opened = time_mono_us() - start;
    apply(d, &full);
    printf("{\"what\":\"restart: read back, send the difference\",\"us\":%llu,\"open_us\":%llu}\n",
           (unsigned long long)(time_mono_us() - start), (unsigned long long)opened);
    d->ops->free(d);
    load_done(&l);
    return 0;
}
