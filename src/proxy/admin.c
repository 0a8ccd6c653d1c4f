/* The admin interface. It reads the snapshot in force and what endpoints are known to be; the one
 * thing it does is to end the program. Nobody but this machine reaches it. */
#include "proxy/admin.h"

#include <errno.h>
#include <malloc.h>

#include "base/time.h"
#include "proxy/admin_priv.h"

static const char *const state_words[] = {
    [ADMIN_LIVE] = "LIVE", [ADMIN_INITIALIZING] = "INITIALIZING", [ADMIN_DRAINING] = "DRAINING"};

static void show_ready(struct admin *a, struct admin_page *p)
{
    struct buf *b = &p->body;
    buf_addf(b, "%s\n", state_words[a->ops->state(a->user)]);
    if (a->ops->state(a->user) != ADMIN_LIVE)
        p->status = 503;
}

static void show_info(struct admin *a, struct admin_page *p)
{
    struct buf *b = &p->body;
    buf_addf(b,
             "{\n \"version\": \"fairlead/%s\",\n \"state\": \"%s\",\n"
             " \"uptime_current_epoch\": \"%llus\",\n"
             " \"command_line_options\": {\n  \"concurrency\": %u\n }\n}\n",
             FAIRLEAD_VERSION, state_words[a->ops->state(a->user)],
             (unsigned long long)((time_mono_us() - a->begin_us) / 1000000), endpoint_workers());
}

static void show_listeners(struct admin *a, struct admin_page *p)
{
    struct buf *b = &p->body;
    VEC_FOREACH (l, &admin_config(a)->listeners)
        VEC_FOREACH (at, &(*l)->addresses) {
            char text[IP_TEXT_BYTES];
            if (at->path)
                buf_addf(b, "%s::%s\n", (*l)->name, at->path);
            else
                buf_addf(b, at->ip.family == AF_INET6 ? "%s::[%s]:%u\n" : "%s::%s:%u\n", (*l)->name,
                         ip_format(&at->ip, text), at->port);
        }
}

/* As Envoy joins them. */
static void add_flags(const struct endpoint_entry *e, struct buf *b)
{
    static const char *const status[] = {[ENDPOINT_DEGRADED] = "/degraded_eds_health",
                                         [ENDPOINT_UNHEALTHY] = "/failed_eds_health",
                                         [ENDPOINT_DRAINING] = "/eds_status_draining"};
    unsigned flags = atomic_load_explicit(&e->endpoint->flags, memory_order_relaxed);
    if (e->status == ENDPOINT_HEALTHY && !flags)
        buf_add_cstr(b, "healthy");
    if (flags & (ENDPOINT_FAILED_CHECK | ENDPOINT_PENDING_CHECK))
        buf_add_cstr(b, "/failed_active_hc");
    if (flags & ENDPOINT_EJECTED)
        buf_add_cstr(b, "/failed_outlier_check");
    if (e->status != ENDPOINT_HEALTHY)
        buf_add_cstr(b, status[e->status]);
}

static void add_entry(const struct cluster *c, const struct endpoint_set *s,
                      const struct endpoint_entry *e, struct buf *b)
{
    const struct endpoint_locality *l = &s->localities.v[e->locality];
    const char *at = e->endpoint->text;
    buf_addf(b, "%s::%s::rq_active::%u\n", c->name, at, endpoint_active(e->endpoint));
    buf_addf(b, "%s::%s::hostname::%s\n", c->name, at, e->hostname ? e->hostname : "");
    buf_addf(b, "%s::%s::health_flags::", c->name, at);
    add_flags(e, b);
    buf_addf(b,
             "\n%s::%s::weight::%u\n%s::%s::region::%s\n%s::%s::zone::%s\n%s::%s::sub_zone::%s\n",
             c->name, at, e->weight, c->name, at, l->region ? l->region : "", c->name, at,
             l->zone ? l->zone : "", c->name, at, l->sub_zone ? l->sub_zone : "");
    buf_addf(b, "%s::%s::priority::%u\n", c->name, at, l->priority);
}

static void add_cluster(struct cluster *c, struct buf *b)
{
    static const char *const priorities[BREAKER_PRIORITIES] = {"default", "high"};
    struct lb_plan *plan = cluster_plan(c);
    buf_addf(b, "%s::observability_name::%s\n", c->name, c->name);
    for (unsigned i = 0; i < BREAKER_PRIORITIES; i++) {
        const struct breaker_of *of = &c->breakers.of[i];
        const char *p = priorities[i];
        buf_addf(b,
                 "%s::%s_priority::max_connections::%u\n%s::%s_priority::max_pending_requests::%u\n"
                 "%s::%s_priority::max_requests::%u\n%s::%s_priority::max_retries::%u\n",
                 c->name, p, of->connections.max, c->name, p, of->pending.max, c->name, p,
                 of->requests.max, c->name, p, of->retries.max);
    }
    VEC_FOREACH (e, &plan->set->entries)
        if (e->endpoint)
            add_entry(c, plan->set, e, b);
    lb_plan_unref(plan);
}

static void show_clusters(struct admin *a, struct admin_page *p)
{
    struct buf *b = &p->body;
    void *c;
    for (size_t at = 0; map_next(&admin_config(a)->clusters->by_name, &at, NULL, &c);)
        add_cluster(c, b);
}

static void show_memory(struct admin *a, struct admin_page *p)
{
    struct buf *b = &p->body;
    struct mallinfo2 m = mallinfo2();
    (void)a;
    buf_addf(b, "{\n \"allocated\": \"%zu\",\n \"heap_size\": \"%zu\"\n}\n", m.uordblks, m.arena);
}

static void show_quit(struct admin *a, struct admin_page *p)
{
    struct buf *b = &p->body;
    buf_add_cstr(b, "OK\n");
    a->ops->quit(a->user);
}

static const struct command {
    const char *path;
    void (*fn)(struct admin *a, struct admin_page *p);
    const char *type;
    bool post; /* it changes something */
    const char *help;
} commands[] = {
    {"/clusters", show_clusters, ADMIN_TEXT, false, "upstream cluster status"},
    {"/listeners", show_listeners, ADMIN_TEXT, false, "print listener info"},
    {"/memory", show_memory, ADMIN_JSON, false, "print current allocation/heap usage"},
    {"/quitquitquit", show_quit, ADMIN_TEXT, true, "exit the server"},
    {"/ready", show_ready, ADMIN_TEXT, false,
     "print server state, return 200 if LIVE, otherwise return 503"},
    {"/reset_counters", admin_reset_counters, ADMIN_TEXT, true, "reset all counters to zero"},
    {"/server_info", show_info, ADMIN_JSON, false, "print server version/status"},
    {"/stats", admin_stats, ADMIN_TEXT, false,
     "print server stats: ?usedonly, ?filter=REGEX, ?format=text|json|prometheus, ?type=TYPE"},
    {"/stats/prometheus", admin_prometheus, ADMIN_TEXT, false,
     "print server stats in prometheus format: ?usedonly, ?filter=REGEX"},
};

static const struct command *find_command(struct str path)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (str_is(path, commands[i].path))
            return &commands[i];
    return NULL;
}

static void fill_page(struct admin *a, struct admin_page *p)
{
    struct str method = http_exchange_method(p->x);
    const struct command *c = find_command(http_exchange_path(p->x));
    if (!c) {
        p->status = 404;
        buf_add_cstr(&p->body, "invalid path. admin commands are:\n");
        for (size_t i = 0; i < ARRAY_LEN(commands); i++)
            buf_addf(&p->body, "  %s%s: %s\n", commands[i].path, commands[i].post ? " (POST)" : "",
                     commands[i].help);
    } else if (c->post && !str_is(method, "POST")) {
        p->status = 405;
        buf_addf(&p->body, "Method " STR_FMT " not allowed, POST required.", STR_ARG(method));
    } else {
        p->type = c->type;
        c->fn(a, p);
    }
}

static void on_request(struct http_exchange *x, void *user)
{
    struct admin_page p = {
        .x = x, .query = http_exchange_query(x), .status = 200, .type = ADMIN_TEXT};
    fill_page(user, &p);
    admin_page_end(&p);
}

int admin_read_address(const Envoy__Config__Bootstrap__V3__Admin *m, struct ip *ret_ip,
                       uint16_t *ret_port, struct err *reterr)
{
    const Envoy__Config__Core__V3__Address *a = m->address;
    if (!a || a->address_case != ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS ||
        ip_parse(str_from(a->socket_address->address), ret_ip) < 0)
        return err_set(reterr, -EINVAL, "admin.address", "expected a socket_address with an IP");
    bool loopback = ret_ip->family == AF_INET ? ret_ip->bytes[0] == 127
                                              : str_is(STR("::1"), a->socket_address->address);
    if (!loopback)
        return err_set(reterr, -EINVAL, "admin.address",
                       "%s would let others end the proxy: use 127.0.0.1 or ::1",
                       a->socket_address->address);
    *ret_port = (uint16_t)a->socket_address->port_value;
    return 0;
}

int admin_new(struct loop *l, const struct ip *ip, uint16_t port, const struct admin_ops *ops,
              void *user, struct admin **ret, struct err *reterr)
{
    static const struct http_server_config config = {.connections_max = 64};
    static const struct http_server_ops server_ops = {.on_request = on_request};
    struct admin *a = NEW(struct admin);
    a->ops = ops;
    a->user = user;
    a->loop = l;
    a->begin_us = time_mono_us();
    int r = http_server_new(l, ip, port, &config, &server_ops, a, &a->server, reterr);
    if (r < 0) {
        free(a);
        return r;
    }
    *ret = a;
    return 0;
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    http_server_free(a->server);
    free(a);
}
