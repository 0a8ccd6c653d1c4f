/* Everything that is watched goes into the allocator; nothing is given before all of it is known,
 * and by nobody but the leader, who begins with what status says. What is to be written waits by
 * the key of its Service, the last word of each; some are written at a time. A write that fails is
 * said again 5 s later. */
#include "control/balancer_addresses.h"

#include "base/log.h"
#include "base/map.h"
#include "control/status_writes.h"
#include "kube/event_recorder.h"
#include "kube/informer.h"

enum { RETRY_MS = 5 * 1000 };

struct balancer_addresses {
    struct kube_client *client;
    const struct balancer_addresses_options *options;
    struct address_allocator *allocator;
    struct event_recorder *events;
    struct informer *pools, *namespaces, *services;
    struct loop_call look;
    struct loop_timer *timer;
    struct map pending; /* key of a Service -> its patch (json_t) */
    struct map failed;  /* keys */
    struct status_writes *writes;
    bool leads, pools_changed;
    struct balancer_addresses_stats stats;
};

static void look_soon(struct balancer_addresses *b)
{
    loop_defer(kube_client_loop(b->client), &b->look);
}

/* ---- writing ---- */

static void on_written(const char *key, const struct kube_result *r, void *user)
{
    struct balancer_addresses *b = user;
    b->stats.writes++;
    if (!kube_ok(r) && r->status != 404) {
        b->stats.failed_writes++;
        log_warn("the address of a Service was not written", kv_s("service", key),
                 kv_s("cause", r->message));
        map_put_cstr(&b->failed, key, b);
        if (!loop_timer_is_started(b->timer))
            loop_timer_start(b->timer, RETRY_MS);
    }
    look_soon(b);
}

static void write_patch(struct balancer_addresses *b, struct str key, const json_t *patch)
{
    struct str name, ns = str_cut(key, '/', &name);
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/" STR_FMT "/services/" STR_FMT "/status",
                                      STR_ARG(ns), STR_ARG(name));
    status_writes_patch(b->writes, key, path, patch);
}

static void write_some(struct balancer_addresses *b)
{
    struct str key;
    void *patch;
    for (size_t at = 0;
         status_writes_have_room(b->writes) && map_next(&b->pending, &at, &key, &patch);) {
        if (status_writes_have(b->writes, key))
            continue;
        write_patch(b, key, patch);
        map_remove(&b->pending, key);
        json_decref(patch);
    }
}

/* ---- what follows from what is known ---- */

static json_t *patch_of(const struct address_verdict *v)
{
    json_t *patch = json_object(), *ingress = json_array(), *annotations = json_object();
    char text[IP_TEXT_BYTES];
    for (size_t i = 0; i < v->n_ips; i++)
        json_array_append_new(ingress, json_pack("{s:s}", "ip", ip_format(&v->ips[i], text)));
    json_object_set_new(annotations, POOL_ANNOTATION, v->pool ? json_string(v->pool) : json_null());
    json_put(patch, "metadata.annotations", annotations);
    if (!v->n_ips) {
        json_decref(ingress);
        ingress = json_null();
    }
    json_put(patch, "status.loadBalancer.ingress", ingress);
    return patch;
}

static void on_verdict(const struct address_verdict *v, void *user)
{
    struct balancer_addresses *b = user;
    const struct balanced_service *s = v->service;
    if (v->write)
        json_decref(map_put_cstr(&b->pending, s->key, patch_of(v)));
    if (!v->reason)
        return;
    AUTO_JSON json_t *object = json_pack("{s:{s:s,s:s,s:s}}", "metadata", "namespace", s->ns,
                                         "name", s->name, "uid", s->uid);
    event_record(b->events, object, "Service", "v1", v->warning ? "Warning" : "Normal", v->reason,
                 "%s", v->message);
}

static void tell_pools(struct balancer_addresses *b)
{
    const struct address_pool *p;
    uint64_t in_use[2];
    for (size_t at = 0; address_allocator_next_pool(b->allocator, &at, &p, in_use);) {
        AUTO_JSON json_t *object =
            json_pack("{s:{s:s,s:s,s:s}}", "metadata", "namespace", b->options->namespace_, "name",
                      p->name, "uid", p->uid);
        VEC_FOREACH (f, &p->findings) {
            log_warn("an IPAddressPool is not used", kv_s("pool", p->key), kv_s("field", f->field),
                     kv_s("cause", f->message));
            event_record(b->events, object, "IPAddressPool", "metallb.io/v1beta1", "Warning", f->id,
                         "%s: %s%s%s", f->field, f->message, f->hint ? "; " : "",
                         f->hint ? f->hint : "");
        }
    }
}

static bool is_synced(const struct balancer_addresses *b)
{
    return informer_synced(b->pools) && informer_synced(b->namespaces) &&
           informer_synced(b->services);
}

static void on_look(void *user)
{
    struct balancer_addresses *b = user;
    if (!b->leads || !is_synced(b))
        return;
    address_allocator_work(b->allocator, on_verdict, b);
    if (b->pools_changed)
        tell_pools(b);
    b->pools_changed = false;
    write_some(b);
}

static void on_timer(void *user)
{
    struct balancer_addresses *b = user;
    struct str key;
    for (size_t at = 0; map_next(&b->failed, &at, &key, NULL);)
        address_allocator_mark(b->allocator, key);
    map_done(&b->failed);
    look_soon(b);
}

static void forget_pending(struct balancer_addresses *b)
{
    void *patch;
    for (size_t at = 0; map_next(&b->pending, &at, NULL, &patch);)
        json_decref(patch);
    map_done(&b->pending);
}

void balancer_addresses_set_leads(struct balancer_addresses *b, bool leads)
{
    b->leads = leads;
    b->pools_changed = true;
    forget_pending(b);
    address_allocator_forget(b->allocator);
    look_soon(b);
}

/* ---- what is watched ---- */

static void on_pool(json_t *object, void *user)
{
    struct balancer_addresses *b = user;
    address_allocator_put_pool(b->allocator, object);
    b->pools_changed = true;
    look_soon(b);
}

static void on_pool_gone(struct str key, json_t *object, void *user)
{
    struct balancer_addresses *b = user;
    (void)object;
    address_allocator_remove_pool(b->allocator, key);
    b->pools_changed = true;
    look_soon(b);
}

static void on_namespace(json_t *object, void *user)
{
    struct balancer_addresses *b = user;
    address_allocator_put_namespace(b->allocator, object);
    look_soon(b);
}

static void on_namespace_gone(struct str key, json_t *object, void *user)
{
    struct balancer_addresses *b = user;
    (void)object;
    address_allocator_remove_namespace(b->allocator, key);
}

static void on_service(json_t *object, void *user)
{
    struct balancer_addresses *b = user;
    address_allocator_put_service(b->allocator, object);
    look_soon(b);
}

static void on_service_gone(struct str key, json_t *object, void *user)
{
    struct balancer_addresses *b = user;
    (void)object;
    json_decref(map_remove(&b->pending, key));
    address_allocator_remove_service(b->allocator, key);
    look_soon(b);
}

static void on_synced(void *user)
{
    look_soon(user);
}

static void on_error(const char *text, void *user)
{
    (void)user;
    log_warn("address pools, namespaces or Services cannot be watched; what was given stays",
             kv_s("cause", text));
}

struct balancer_addresses *balancer_addresses_new(struct kube_client *c,
                                                  const struct balancer_addresses_options *o)
{
    static const struct informer_ops pool_ops = {on_pool, on_pool_gone, on_synced, on_error};
    static const struct informer_ops namespace_ops = {on_namespace, on_namespace_gone, on_synced,
                                                      on_error};
    static const struct informer_ops service_ops = {on_service, on_service_gone, on_synced,
                                                    on_error};
    struct balancer_addresses *b = NEW(struct balancer_addresses);
    AUTO_CHARS char *path =
        xasprintf("/apis/metallb.io/v1beta1/namespaces/%s/ipaddresspools", o->namespace_);
    b->client = c;
    b->options = o;
    b->allocator = address_allocator_new(o->class_);
    b->events = event_recorder_new(c, "fairlead.dev/control", o->host);
    b->writes = status_writes_new(c, on_written, b);
    loop_call_init(&b->look, on_look, b);
    b->timer = loop_timer_new(kube_client_loop(c), on_timer, b);
    b->pools = informer_start(c,
                              &(struct informer_options){
                                  .path = path, .lean = true, .optional = true, .no_refusal = true},
                              &pool_ops, b);
    b->namespaces =
        informer_start(c, &(struct informer_options){.path = "/api/v1/namespaces", .lean = true},
                       &namespace_ops, b);
    b->services = informer_start(
        c, &(struct informer_options){.path = "/api/v1/services", .lean = true}, &service_ops, b);
    return b;
}

void balancer_addresses_free(struct balancer_addresses *b)
{
    if (!b)
        return;
    loop_call_cancel(&b->look);
    loop_timer_free(b->timer);
    informer_free(b->pools);
    informer_free(b->namespaces);
    informer_free(b->services);
    status_writes_free(b->writes);
    forget_pending(b);
    map_done(&b->failed);
    address_allocator_free(b->allocator);
    event_recorder_free(b->events);
    free(b);
}

void balancer_addresses_metrics(struct balancer_addresses *b, struct buf *out)
{
    const struct address_pool *p;
    uint64_t in_use[2];
    address_allocator_count(b->allocator);
    for (int used = 0; used < 2; used++) {
        const char *name =
            used ? "metallb_allocator_addresses_in_use_total" : "metallb_allocator_addresses_total";
        buf_addf(out, "# TYPE %s gauge\n", name);
        for (size_t at = 0; address_allocator_next_pool(b->allocator, &at, &p, in_use);)
            buf_addf(out, "%s{pool=\"%s\"} %llu\n", name, p->name,
                     (unsigned long long)(used ? in_use[0] + in_use[1]
                                               : address_pool_size(p, AF_INET) +
                                                     address_pool_size(p, AF_INET6)));
    }
    buf_addf(out,
             "# TYPE fairlead_control_balancer_writes_total counter\n"
             "fairlead_control_balancer_writes_total %llu\n"
             "# TYPE fairlead_control_balancer_failed_writes_total counter\n"
             "fairlead_control_balancer_failed_writes_total %llu\n"
             "# TYPE fairlead_control_balancer_waiting gauge\n"
             "fairlead_control_balancer_waiting %zu\n",
             (unsigned long long)b->stats.writes, (unsigned long long)b->stats.failed_writes,
             b->pending.used);
}
