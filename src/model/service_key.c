#include "model/service_key.h"

#include "base/mem.h"

bool service_key_is_entry(const char *key)
{
    const char *slash = strchr(key, '/');
    return slash && slash[1] == '.';
}

struct str service_key_namespace(const char *key)
{
    struct str rest;
    return str_cut(str_from(key), '/', &rest);
}

struct str service_key_name(const char *key)
{
    struct str name, host;
    str_cut(str_from(key), '/', &name);
    return service_key_is_entry(key) ? str_cut(str_sub(name, 1, name.n), '/', &host) : name;
}

char *service_key_of_entry(const char *ns, const char *entry, const char *host)
{
    return xasprintf("%s/.%s/%s", ns, entry, host);
}

char *service_key_host(const char *key)
{
    struct str name, host, ns = str_cut(str_from(key), '/', &name);
    if (!service_key_is_entry(key))
        return xasprintf(STR_FMT "." STR_FMT ".svc.cluster.local", STR_ARG(name), STR_ARG(ns));
    str_cut(name, '/', &host);
    return str_dup(host);
}
