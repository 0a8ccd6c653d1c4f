/* /clusters and /listeners, as lines and as JSON. */
#include "codec/json.h"
#include "codec/url.h"
#include "proxy/admin_priv.h"

static const char *const priorities[BREAKER_PRIORITIES] = {"default", "high"};

/* ---- health ---- */

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

static json_t *health_json(const struct endpoint_entry *e)
{
    static const char *const words[] = {[ENDPOINT_HEALTHY] = "HEALTHY",
                                        [ENDPOINT_DEGRADED] = "DEGRADED",
                                        [ENDPOINT_UNHEALTHY] = "UNHEALTHY",
                                        [ENDPOINT_DRAINING] = "DRAINING"};
    unsigned flags = atomic_load_explicit(&e->endpoint->flags, memory_order_relaxed);
    json_t *j = json_pack("{s:s}", "eds_health_status", words[e->status]);
    if (flags & (ENDPOINT_FAILED_CHECK | ENDPOINT_PENDING_CHECK))
        json_object_set_new(j, "failed_active_health_check", json_true());
    if (flags & ENDPOINT_EJECTED)
        json_object_set_new(j, "failed_outlier_check", json_true());
    return j;
}

/* ---- lines ---- */

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
    struct lb_plan *plan = cluster_plan(c);
    buf_addf(b, "%s::observability_name::%s\n", c->name, c->stats->name);
    for (unsigned i = 0; i < BREAKER_PRIORITIES; i++) {
        const struct breaker_of *of = &c->breakers.of[i];
        const char *p = priorities[i];
        buf_addf(b,
                 "%s::%s_priority::max_connections::%u\n%s::%s_priority::max_pending_requests::%u\n"
                 "%s::%s_priority::max_requests::%u\n%s::%s_priority::max_retries::%u\n",
                 c->name, p, of->connections.max, c->name, p, of->pending.max, c->name, p,
                 of->requests.max, c->name, p, of->retries.max);
    }
    buf_addf(b, "%s::added_via_api::%s\n", c->name, c->added_via_api ? "true" : "false");
    VEC_FOREACH (e, &plan->set->entries)
        if (e->endpoint)
            add_entry(c, plan->set, e, b);
    lb_plan_unref(plan);
}

/* ---- JSON ---- */

static json_t *address_json(const struct ip *ip, uint16_t port, const char *path)
{
    char text[IP_TEXT_BYTES];
    if (path)
        return json_pack("{s:{s:o}}", "pipe", "path", json_text(str_from(path)));
    return json_pack("{s:{s:s, s:i}}", "socket_address", "address", ip_format(ip, text),
                     "port_value", (int)port);
}

static json_t *entry_json(const struct endpoint_set *s, const struct endpoint_entry *e)
{
    const struct endpoint_locality *l = &s->localities.v[e->locality];
    char active[16];
    struct ip ip;
    uint16_t port = 0;
    bool has_ip = ip_from_sockaddr((const struct sockaddr *)&e->endpoint->address, &ip, &port) == 0;
    snprintf(active, sizeof(active), "%u", endpoint_active(e->endpoint));
    json_t *j =
        json_pack("{s:o, s:[{s:s, s:s, s:s}], s:o, s:i, s:i}", "address",
                  address_json(&ip, port, has_ip ? NULL : e->endpoint->text), "stats", "name",
                  "rq_active", "type", "GAUGE", "value", active, "health_status", health_json(e),
                  "weight", (int)MIN(e->weight, (uint32_t)INT32_MAX), "priority", (int)l->priority);
    if (e->hostname)
        json_object_set_new(j, "hostname", json_text(str_from(e->hostname)));
    json_object_set_new(j, "locality",
                        json_pack("{s:o, s:o, s:o}", "region",
                                  json_text(str_from(l->region ? l->region : "")), "zone",
                                  json_text(str_from(l->zone ? l->zone : "")), "sub_zone",
                                  json_text(str_from(l->sub_zone ? l->sub_zone : ""))));
    return j;
}

static void add_cluster_json(struct cluster *c, struct buf *b)
{
    struct lb_plan *plan = cluster_plan(c);
    AUTO_JSON json_t *j = json_object();
    json_t *hosts = json_array(), *thresholds = json_array();
    for (unsigned i = 0; i < BREAKER_PRIORITIES; i++) {
        const struct breaker_of *of = &c->breakers.of[i];
        json_array_append_new(
            thresholds,
            json_pack("{s:s, s:I, s:I, s:I, s:I}", "priority", i ? "HIGH" : "DEFAULT",
                      "max_connections", (json_int_t)of->connections.max, "max_pending_requests",
                      (json_int_t)of->pending.max, "max_requests", (json_int_t)of->requests.max,
                      "max_retries", (json_int_t)of->retries.max));
    }
    VEC_FOREACH (e, &plan->set->entries)
        if (e->endpoint)
            json_array_append_new(hosts, entry_json(plan->set, e));
    json_object_set_new(j, "name", json_text(str_from(c->name)));
    json_object_set_new(j, "added_via_api", json_boolean(c->added_via_api));
    json_object_set_new(j, "observability_name", json_text(str_from(c->stats->name)));
    json_object_set_new(j, "circuit_breakers", json_pack("{s:o}", "thresholds", thresholds));
    json_object_set_new(j, "host_statuses", hosts);
    json_write(b, j);
    lb_plan_unref(plan);
}

/* ---- all of them ---- */

struct listing {
    VEC(struct cluster *) clusters; /* a reference each */
    size_t at;
    bool json;
};

static int by_name(const void *a, const void *b)
{
    const struct cluster *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static bool next_clusters(void *user, size_t bytes, struct buf *to)
{
    struct listing *l = user;
    if (l->json && !l->at)
        buf_add_cstr(to, "{\"cluster_statuses\":[");
    for (; l->at < l->clusters.n && to->n < bytes; l->at++) {
        if (l->json)
            buf_add_cstr(to, l->at ? ",\n" : "\n");
        (l->json ? add_cluster_json : add_cluster)(l->clusters.v[l->at], to);
    }
    if (l->at < l->clusters.n)
        return true;
    buf_add_cstr(to, l->json ? "]}\n" : "");
    return false;
}

static void listing_free(void *user)
{
    struct listing *l = user;
    VEC_FOREACH (c, &l->clusters)
        cluster_unref(*c);
    vec_done(&l->clusters);
    free(l);
}

/* False: it is refused. */
static bool read_format(struct admin_page *p, bool *ret_json)
{
    char *format = url_param(p->query, "format");
    bool good = !format || streq(format, "text") || streq(format, "json");
    *ret_json = format && streq(format, "json");
    free(format);
    if (!good)
        admin_refuse(p, 400, "format: text or json");
    return good;
}

void admin_clusters(struct admin *a, struct admin_page *p)
{
    static const struct admin_source source = {next_clusters, listing_free};
    struct listing *l = NEW(struct listing);
    void *c;
    if (!read_format(p, &l->json)) {
        free(l);
        return;
    }
    for (size_t at = 0; map_next(&admin_config(a)->clusters->by_name, &at, NULL, &c);)
        vec_push(&l->clusters, cluster_ref(c));
    if (l->clusters.n)
        qsort(l->clusters.v, l->clusters.n, sizeof(l->clusters.v[0]), by_name);
    p->type = l->json ? ADMIN_JSON : ADMIN_TEXT;
    admin_stream(a, p, &source, l);
}

void admin_listeners(struct admin *a, struct admin_page *p)
{
    AUTO_JSON json_t *all = json_array();
    struct buf *b = &p->body;
    bool json;
    if (!read_format(p, &json))
        return;
    VEC_FOREACH (l, &admin_config(a)->listeners)
        VEC_FOREACH (at, &(*l)->addresses) {
            char text[IP_TEXT_BYTES];
            if (json)
                json_array_append_new(
                    all, json_pack("{s:o, s:o}", "name", json_text(str_from((*l)->name)),
                                   "local_address", address_json(&at->ip, at->port, at->path)));
            else if (at->path)
                buf_addf(b, "%s::%s\n", (*l)->name, at->path);
            else
                buf_addf(b, at->ip.family == AF_INET6 ? "%s::[%s]:%u\n" : "%s::%s:%u\n", (*l)->name,
                         ip_format(&at->ip, text), at->port);
        }
    if (!json)
        return;
    p->type = ADMIN_JSON;
    buf_add_cstr(b, "{\"listener_statuses\":");
    json_write(b, all);
    buf_add_cstr(b, "}\n");
}
