/* Load balancer addresses: gives each Service of type LoadBalancer an address of the lab's pool per
 * IP family and writes it to status; takes it back when the type changes. Honours
 * spec.loadBalancerIP and leaves classes of others alone. Nothing is stored: what is in use is read
 * from the Services themselves. */
#include <errno.h>
#include <stdio.h>

#include "base/addr.h"
#include "lab/controllers/controller.h"

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

/* The Service that has the address, or NULL. */
static const json_t *holder(struct sync *s, const char *ip)
{
    json_t *service, *ingress;
    size_t i;
    for (size_t at = 0;
         informer_next(controllers_informer(sync_set(s), WATCHED_SERVICE), &at, &service);)
        json_array_foreach(json_at(service, "status.loadBalancer.ingress"), i,
                           ingress) if (streq(json_key_str(ingress, "ip"), ip)) return service;
    return NULL;
}

static int parse_pool(const char *pool, struct ip *ret_first, struct ip *ret_last)
{
    struct str last, first = str_cut(str_from(pool), '-', &last);
    if (!last.p || ip_parse(first, ret_first) < 0 || ip_parse(last, ret_last) < 0 ||
        ret_first->family != ret_last->family)
        return -EINVAL;
    return 0;
}

static void ip_increment(struct ip *ip)
{
    for (size_t i = ip_bytes(ip); i-- > 0;)
        if (++ip->bytes[i])
            return;
}

/* The wanted address if it is free and in the pool, else the first free one; why says why there is
 * none. */
static bool choose(struct sync *s, const char *pool, const char *wanted, char ret[IP_TEXT_BYTES],
                   struct buf *why)
{
    struct ip ip, last, want;
    if (str_empty(pool) || parse_pool(pool, &ip, &last) < 0)
        return false;
    if (!str_empty(wanted) && ip_parse(str_from(wanted), &want) == 0 && want.family == ip.family) {
        const json_t *other = holder(s, ip_format(&want, ret));
        bool inside = ip_cmp(&ip, &want) <= 0 && ip_cmp(&want, &last) <= 0;
        if (!inside)
            buf_addf(why, "spec.loadBalancerIP %s is not in the lab's pool %s", ret, pool);
        else if (other)
            buf_addf(why, "spec.loadBalancerIP %s is taken by Service %s/%s", ret,
                     json_at_str(other, "metadata.namespace"), json_at_str(other, "metadata.name"));
        return inside && !other;
    }
    for (; ip_cmp(&ip, &last) <= 0; ip_increment(&ip))
        if (!holder(s, ip_format(&ip, ret)))
            return true;
    return false;
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
    const struct controllers_options *o = controllers_options_of(sync_set(s));
    json_t *service =
               informer_find(controllers_informer(sync_set(s), WATCHED_SERVICE), str_from(key)),
           *family;
    size_t i;
    if (!service || is_deleting(service))
        return;
    const char *class_ = json_at_str(service, "spec.loadBalancerClass");
    if (class_ && !streq(class_, LAB_CLASS))
        return;
    if (!wants_address(service)) {
        if (has_address(service))
            write_status(s, service, json_null());
        return;
    }
    if (has_address(service))
        return;
    AUTO_DONE(buf) struct buf why = {0};
    json_t *ingress = json_array();
    json_array_foreach(json_at(service, "spec.ipFamilies"), i, family)
    {
        char ip[IP_TEXT_BYTES];
        bool v6 = streq(json_string_value(family), "IPv6");
        if (choose(s, v6 ? o->lb_pool_v6 : o->lb_pool_v4,
                   json_at_str(service, "spec.loadBalancerIP"), ip, &why))
            json_array_append_new(ingress, json_pack("{s:s,s:s}", "ip", ip, "ipMode", "VIP"));
    }
    if (json_array_size(ingress)) {
        /* Until the write is answered the cache says so, lest another Service choose the same. */
        AUTO_JSON json_t *assumed = json_deep_copy(service);
        json_put(assumed, "status.loadBalancer.ingress", json_incref(ingress));
        write_status(s, service, ingress);
        informer_assume(controllers_informer(sync_set(s), WATCHED_SERVICE), assumed);
        return;
    }
    json_decref(ingress);
    event_record(controller_events(sync_controller(s)), service, "Service", "v1", "Warning",
                 "AllocationFailed", "%s",
                 why.n ? buf_cstr(&why) : "no address of the lab's load balancer pool is free");
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
