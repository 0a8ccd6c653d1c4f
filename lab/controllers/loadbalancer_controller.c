/* Load balancer addresses: gives each Service of type LoadBalancer an address of the lab's pool per
 * IP family and writes it to status; takes it back when the type changes. Whose wish is heeded, and
 * how, is model/address_allocator.h's business, as on a real cluster; the pool is the lab's own,
 * and Services of other classes are left alone. Nothing is stored: what is in use is read from the
 * Services themselves. */
#include <stdio.h>

#include "lab/controllers/controller.h"
#include "model/address_allocator.h"

#define LAB_CLASS "fairlead.dev/lab"

static bool wants_address(const json_t *service)
{
    return streq(json_at_str(service, "spec.type"), "LoadBalancer");
}

static bool has_address(const json_t *service)
{
    return json_array_size(json_at(service, "status.loadBalancer.ingress")) > 0;
}

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    if (kind == WATCHED_SERVICE && !deleted && (wants_address(object) || has_address(object)))
        controller_enqueue_object(c, object);
}

/* Those that found the pool empty ask again: an address may be free since. */
static void on_tick(struct controller *c)
{
    json_t *service;
    for (size_t at = 0;
         informer_next(controllers_informer(controller_set(c), WATCHED_SERVICE), &at, &service);)
        if (wants_address(service) && !has_address(service))
            controller_enqueue_object(c, service);
}

/* The lab's range as a pool. */
static void put_pool(struct address_allocator *a, const struct controllers_options *o)
{
    json_t *addresses = json_array();
    if (!str_empty(o->lb_pool_v4))
        json_array_append_new(addresses, json_string(o->lb_pool_v4));
    if (!str_empty(o->lb_pool_v6))
        json_array_append_new(addresses, json_string(o->lb_pool_v6));
    AUTO_JSON json_t *pool =
        json_pack("{s:{s:s},s:{s:o}}", "metadata", "name", "lab", "spec", "addresses", addresses);
    if (json_array_size(addresses))
        address_allocator_put_pool(a, pool);
}

static bool is_ours(const json_t *service)
{
    const char *class_ = json_at_str(service, "spec.loadBalancerClass");
    return !class_ || streq(class_, LAB_CLASS);
}

/* Ours and those of no class share the pool. */
static void put_service(struct address_allocator *a, const json_t *service)
{
    AUTO_JSON json_t *plain = json_deep_copy(service);
    json_del(plain, "spec.loadBalancerClass");
    address_allocator_put_service(a, plain);
}

/* What is to become of one of them. */
struct wanted {
    const char *key;
    bool write;
    json_t *ingress;
    char *warning; /* NULL: none */
};

static void on_verdict(const struct address_verdict *v, void *user)
{
    struct wanted *w = user;
    char ip[IP_TEXT_BYTES];
    bool same = v->n_ips == v->service->n_has;
    if (!streq(v->service->key, w->key))
        return;
    for (size_t i = 0; i < v->n_ips; i++) {
        same = same && ip_eq(&v->ips[i], &v->service->has[i]);
        json_array_append_new(
            w->ingress, json_pack("{s:s,s:s}", "ip", ip_format(&v->ips[i], ip), "ipMode", "VIP"));
    }
    w->write = v->write && !same;
    w->warning = v->warning ? xstrdup(v->message) : NULL;
}

static void write_status(struct sync *s, const json_t *service, json_t *ingress)
{
    char path[700];
    AUTO_JSON json_t *patch = json_object();
    json_put(patch, "status.loadBalancer.ingress", ingress);
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/services/%s/status",
             json_at_str(service, "metadata.namespace"), json_at_str(service, "metadata.name"));
    sync_call(s, WATCHED_SERVICE, "PATCH", path, MERGE_PATCH, patch);
}

static void sync_service(struct sync *s, const char *key)
{
    struct informer *services = controllers_informer(sync_set(s), WATCHED_SERVICE);
    json_t *service = informer_find(services, str_from(key)), *other;
    if (!service || is_deleting(service) || !is_ours(service))
        return;
    if (!wants_address(service)) {
        if (has_address(service))
            write_status(s, service, json_null());
        return;
    }
    struct address_allocator *a = address_allocator_new(NULL);
    struct wanted w = {.key = key, .ingress = json_array()};
    put_pool(a, controllers_options_of(sync_set(s)));
    for (size_t at = 0; informer_next(services, &at, &other);)
        if (wants_address(other) && is_ours(other))
            put_service(a, other);
    address_allocator_work(a, on_verdict, &w);
    address_allocator_free(a);
    if (w.write) {
        /* Until the write is answered the cache says so, lest another Service choose the same. */
        AUTO_JSON json_t *assumed = json_deep_copy(service);
        json_put(assumed, "status.loadBalancer.ingress", json_incref(w.ingress));
        write_status(s, service, json_incref(w.ingress));
        informer_assume(services, assumed);
    }
    if (w.warning)
        event_record(controller_events(sync_controller(s)), service, "Service", "v1", "Warning",
                     "AllocationFailed", "%s", w.warning);
    json_decref(w.ingress);
    free(w.warning);
}

/* The write did not happen: put the truth back, so that the address is free again. */
static void on_failed(struct controller *c, const char *key)
{
    struct str name, ns = str_cut(str_from(key), '/', &name);
    AUTO_CHARS char *path =
        xasprintf("/api/v1/namespaces/" STR_FMT "/services/" STR_FMT, STR_ARG(ns), STR_ARG(name));
    controller_refresh(c, WATCHED_SERVICE, path);
}

const struct controller_kind loadbalancer_controller = {"loadbalancer", on_change, sync_service,
                                                        on_tick, on_failed};
