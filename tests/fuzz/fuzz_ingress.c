/* fuzz-layer: control
 * Objects as JSON, one behind another, to what gateways are given: whatever Ingresses say, every
 * resource made of them passes the table of what the proxy takes, and nothing is left when they
 * have gone. */
#include <errno.h>
#include <stdlib.h>

#include "control/gateway.h"
#include "model/ingress_routes.h"
#include "xds/xds_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void fuzz_without_faults(void);

/* The control plane ends for want of memory: proxies keep what they have. */
void fuzz_without_faults(void)
{
}

struct world {
    struct service_join *join;
    struct ingress_routes *routes;
    struct gateway *gateway;
    struct ingress_settings *settings;
    struct stream_services streams;
    VEC(char *) keys;
};

static void settle(struct world *w)
{
    struct joined_service *s;
    const char *name;
    struct route_host *h;
    while ((s = service_join_take_dirty(w->join))) {
        gateway_service_changed(w->gateway, s->key);
        ingress_routes_service_changed(w->routes, str_from(s->key));
        service_join_settle(w->join, s);
    }
    while (ingress_routes_take_dirty(w->routes, &name, &h))
        route_host_unref(gateway_put_host(w->gateway, name, h));
    gateway_put_streams(w->gateway, &w->streams);
    gateway_flush(w->gateway);
}

static void check(const struct xds_set *set)
{
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        struct xds_entry *e;
        for (struct xds_iter i = {0}; xds_set_next(set, type, &i, &e);) {
            AUTO(arena) struct arena *a = arena_new(0);
            struct xds_report report = {0};
            ProtobufCMessage *m;
            int r = xds_resource_unpack(type, e->message, a, &m, &report, NULL);
            bool bad = report.refused || (r < 0 && r != -ENOMEM);
            xds_report_done(&report);
            if (bad)
                abort();
        }
    }
}

/* One ConfigMap for all that they say. */
static void configure(struct world *w, const json_t *data)
{
    static const uint16_t taken[] = {8080, 8443};
    static const struct route_fields none;
    struct findings f = {0};
    struct ingress_settings *before = w->settings;
    struct stream_services streams = w->streams;
    w->settings = data ? ingress_settings_new("ns/config", data, &f) : NULL;
    stream_services_read("ns/config", data, taken, ARRAY_LEN(taken), &w->streams, &f);
    stream_services_refuse_udp("ns/config", data, &f);
    ingress_routes_set_settings(w->routes, w->settings);
    gateway_set_config(w->gateway, w->settings, &none, &none);
    ingress_settings_free(before);
    stream_services_done(&streams);
    findings_done(&f);
}

static void add(struct world *w, const json_t *object)
{
    const char *kind = json_key_str(object, "kind");
    if (streq(kind, "ConfigMap") && !json_at_str(object, "metadata.name")) {
        configure(w, json_at(object, "data"));
        return;
    }
    if (streq(kind, "IngressClass")) {
        struct ingress_class *c = ingress_class_decode(object);
        if (c)
            ingress_routes_add_class(w->routes, c);
    } else if (streq(kind, "Service")) {
        struct service_object *s = service_object_decode(object);
        if (s)
            service_join_add_service(w->join, &s);
    } else if (streq(kind, "Secret") || streq(kind, "ConfigMap")) {
        AUTO_DONE(buf) struct buf wrong = {0};
        AUTO_CHARS char *key = xasprintf("%s/%s", json_at_str(object, "metadata.namespace"),
                                         json_at_str(object, "metadata.name"));
        AUTO_CHARS char *named = xasprintf("%s:%s", kind, key);
        struct auth_objects *all = gateway_auth_objects(w->gateway);
        if (streq(kind, "Secret")) {
            auth_objects_put_secret(all, key, object, &wrong);
            gateway_named_changed(w->gateway, key);
        } else {
            auth_objects_put_config_map(all, key, object, &wrong);
        }
        ingress_routes_service_changed(w->routes, str_from(named));
    } else if (streq(kind, "EndpointSlice")) {
        const struct slice_decoding decoding = {.topologies = &w->join->topologies};
        struct slice_object *s = slice_object_decode(object, &decoding);
        if (s)
            service_join_add_slice(w->join, &s);
    } else {
        struct ingress_object *i = ingress_object_decode(object);
        if (!i)
            return;
        vec_push(&w->keys, xstrdup(i->key));
        ingress_routes_add(w->routes, i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const controllers[] = {"fairlead.dev/ingress", INGRESS_CONTROLLER_NGINX,
                                              NULL};
    static const struct ingress_options options = {
        .controllers = controllers, .class_name = "nginx", .without_class = true};
    static const struct gateway_options where = {"0.0.0.0", 8080, 8443};
    struct world w = {.join = service_join_new()};
    struct str rest = str_of(data, size);
    if (gateway_new(&where, w.join, &w.gateway, NULL) < 0)
        return 0;
    w.routes = ingress_routes_new(&options, w.join);
    while (rest.n) {
        AUTO_JSON json_t *object = NULL;
        struct str one = str_cut(rest, '\n', &rest);
        if (json_parse(one, 1 << 20, NULL, &object, NULL) < 0 || !json_is_object(object))
            continue;
        add(&w, object);
        settle(&w);
        check(gateway_set(w.gateway, TRANSLATE_OURS));
    }
    VEC_FOREACH (key, &w.keys) {
        ingress_routes_remove(w.routes, str_from(*key));
        free(*key);
    }
    vec_done(&w.keys);
    configure(&w, NULL);
    settle(&w);
    if (gateway_hosts(w.gateway) ||
        xds_set_count(gateway_set(w.gateway, TRANSLATE_OURS), XDS_CLUSTER))
        abort();
    ingress_routes_free(w.routes);
    gateway_free(w.gateway);
    service_join_free(w.join);
    return 0;
}
