/* Ingress as v1beta1 had it, of networking.k8s.io and of extensions: one form is kept, v1. */
#include "kube/kind_rules.h"

static void backend_to_v1(json_t *owner, const char *from, const char *to)
{
    AUTO_JSON json_t *old = json_incref(json_object_get(owner, from));
    if (!json_is_object(old))
        return;
    json_t *b = json_object(), *resource = json_object_get(old, "resource"),
           *port = json_object_get(old, "servicePort"), *name = json_object_get(old, "serviceName");
    if (resource)
        json_object_set(b, "resource", resource);
    if (name || port) {
        json_t *service = json_pack("{s:{}}", "port");
        if (name)
            json_object_set(service, "name", name);
        if (port && (json_is_integer(port) ? json_integer_value(port) != 0
                                           : !str_empty(json_string_value(port))))
            json_object_set(json_object_get(service, "port"),
                            json_is_integer(port) ? "number" : "name", port);
        json_object_set_new(b, "service", service);
    }
    json_object_del(owner, from);
    json_object_set_new(owner, to, b);
}

static void backend_to_v1beta1(json_t *owner, const char *from, const char *to)
{
    AUTO_JSON json_t *old = json_incref(json_object_get(owner, from));
    if (!json_is_object(old))
        return;
    json_t *b = json_object(), *resource = json_object_get(old, "resource"),
           *service = json_object_get(old, "service"), *name = json_object_get(service, "name"),
           *port = json_at(service, "port.name");
    if (!port)
        port = json_at(service, "port.number");
    if (name)
        json_object_set(b, "serviceName", name);
    if (port)
        json_object_set(b, "servicePort", port);
    if (resource)
        json_object_set(b, "resource", resource);
    json_object_del(owner, from);
    json_object_set_new(owner, to, b);
}

/* fn for the default backend and that of every path. */
static void for_backends(json_t *object, bool to_v1)
{
    json_t *spec = json_object_get(object, "spec"), *rule, *path;
    size_t r, p;
    void (*fn)(json_t *, const char *, const char *) = to_v1 ? backend_to_v1 : backend_to_v1beta1;
    if (json_is_object(spec))
        fn(spec, to_v1 ? "backend" : "defaultBackend", to_v1 ? "defaultBackend" : "backend");
    json_array_foreach(json_object_get(spec, "rules"), r, rule)
    {
        json_array_foreach(json_at(rule, "http.paths"), p, path)
        {
            fn(path, "backend", "backend");
            if (to_v1 && !json_object_get(path, "pathType"))
                json_put_str(path, "pathType", "ImplementationSpecific");
        }
    }
}

void ingress_to_v1(json_t *object)
{
    for_backends(object, true);
    json_put_str(object, "apiVersion", "networking.k8s.io/v1");
}

void ingress_to_v1beta1(json_t *object)
{
    for_backends(object, false);
    json_put_str(object, "apiVersion", "networking.k8s.io/v1beta1");
}

void ingress_to_extensions(json_t *object)
{
    for_backends(object, false);
    json_put_str(object, "apiVersion", "extensions/v1beta1");
}
