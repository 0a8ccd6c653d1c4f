/* Service links: the variables that tell a container the Services of its namespace, in the two old
 * forms (NAME_SERVICE_HOST and the Docker links' NAME_PORT_80_TCP_ADDR). Those of
 * default/kubernetes are told to everyone. */
#include <ctype.h>
#include <stdio.h>

#include "lab/node/node_priv.h"

static char *variable_name(const char *text)
{
    char *name = xstrdup(text);
    for (char *p = name; *p; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    return name;
}

static void set(struct env *e, const char *name, const char *suffix, const char *value)
{
    AUTO_CHARS char *full = xasprintf("%s%s", name, suffix);
    env_set(e, full, value);
}

static void add_port(struct env *e, const char *name, const char *ip, const json_t *port)
{
    const char *protocol = json_key_str(port, "protocol");
    AUTO_CHARS char *upper = variable_name(protocol ? protocol : "TCP");
    AUTO_CHARS char *lower = xstrdup(upper);
    int64_t number = json_at_int(port, "port", 0);
    bool v6 = strchr(ip, ':') != NULL;
    for (char *p = lower; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    AUTO_CHARS char *text = xasprintf("%lld", (long long)number);
    AUTO_CHARS char *url =
        xasprintf("%s://%s%s%s:%s", lower, v6 ? "[" : "", ip, v6 ? "]" : "", text);
    AUTO_CHARS char *prefix = xasprintf("%s_PORT_%s_%s", name, text, upper);
    AUTO_CHARS char *first = xasprintf("%s_PORT", name);
    if (!env_get(e, first))
        env_set(e, first, url);
    set(e, prefix, "", url);
    set(e, prefix, "_PROTO", lower);
    set(e, prefix, "_PORT", text);
    set(e, prefix, "_ADDR", ip);
}

static void add_service(struct env *e, const json_t *service)
{
    const char *ip = json_at_str(service, "spec.clusterIP");
    json_t *ports = json_at(service, "spec.ports"), *port;
    size_t i;
    if (str_empty(ip) || streq(ip, "None") || !json_array_size(ports))
        return;
    AUTO_CHARS char *name = variable_name(json_at_str(service, "metadata.name"));
    set(e, name, "_SERVICE_HOST", ip);
    json_array_foreach(ports, i, port)
    {
        AUTO_CHARS char *text = xasprintf("%lld", (long long)json_at_int(port, "port", 0));
        const char *port_name = json_key_str(port, "name");
        if (i == 0)
            set(e, name, "_SERVICE_PORT", text);
        if (!str_empty(port_name)) {
            AUTO_CHARS char *upper = variable_name(port_name);
            AUTO_CHARS char *suffix = xasprintf("_SERVICE_PORT_%s", upper);
            set(e, name, suffix, text);
        }
        add_port(e, name, ip, port);
    }
}

void pod_services_env(const struct pod *p, const struct informer *services, struct env *e)
{
    json_t *service, *kubernetes = informer_find(services, STR("default/kubernetes"));
    if (kubernetes)
        add_service(e, kubernetes);
    if (!json_at_bool(p->object, "spec.enableServiceLinks", true))
        return;
    for (size_t at = 0; informer_next(services, &at, &service);)
        if (service != kubernetes && streq(json_at_str(service, "metadata.namespace"), p->ns))
            add_service(e, service);
}
