/* Names, namespaces and hosts of Istio's objects. */
#include "model/istio_object.h"

#include "base/addr.h"
#include "base/time.h"

#define DOMAIN ".svc.cluster.local"

bool istio_object_decode(const json_t *j, struct istio_object *ret)
{
    const char *name = json_at_str(j, "metadata.name"), *ns = json_at_str(j, "metadata.namespace"),
               *created = json_at_str(j, "metadata.creationTimestamp"),
               *uid = json_at_str(j, "metadata.uid");
    int64_t created_us = 0;
    *ret = (struct istio_object){0};
    if (str_empty(name) || str_empty(ns))
        return false;
    ret->key = xasprintf("%s/%s", ns, name);
    ret->ns = xstrdup(ns);
    ret->name = xstrdup(name);
    ret->uid = xstrdup(uid ? uid : "");
    if (created && time_parse_rfc3339(str_from(created), &created_us) == 0)
        ret->created_s = created_us / 1000000;
    ret->spec = json_incref(json_at(j, "spec"));
    return true;
}

void istio_object_done(struct istio_object *o)
{
    for (size_t i = 0; i < o->n_seen_by; i++)
        free(o->seen_by[i]);
    free(o->seen_by);
    free(o->key);
    free(o->ns);
    free(o->name);
    free(o->uid);
    json_decref(o->spec);
    findings_done(&o->findings);
}

void istio_object_read_export(struct istio_object *o, struct object_reader *r)
{
    const json_t *list = json_object_get(o->spec, "exportTo");
    size_t n = json_array_size(list);
    o->for_all = n == 0;
    o->seen_by = xcalloc(n + 1, sizeof(*o->seen_by));
    for (size_t i = 0; i < n; i++) {
        const char *to = json_string_value(json_array_get(list, i));
        size_t mark = reader_enter_item(r, "exportTo", i);
        if (streq(to, "*"))
            o->for_all = true;
        else if (streq(to, ".") || (to && str_is_dns1123_label(str_from(to))))
            o->seen_by[o->n_seen_by++] = xstrdup(*to == '.' ? o->ns : to);
        else if (!streq(to, "~")) /* nobody */
            reader_error(r, NULL, "write *, . or a namespace", "is no namespace");
        reader_leave(r, mark);
    }
}

bool istio_object_is_seen(const struct istio_object *o, struct str ns)
{
    for (size_t i = 0; i < o->n_seen_by && !o->for_all; i++)
        if (str_is(ns, o->seen_by[i]))
            return true;
    return o->for_all;
}

int istio_object_compare(const struct istio_object *a, const struct istio_object *b)
{
    if (a->created_s != b->created_s)
        return a->created_s < b->created_s ? -1 : 1;
    int by_name = strcmp(a->name, b->name);
    return by_name ? by_name : strcmp(a->ns, b->ns);
}

char *istio_host(const char *host, const char *ns)
{
    char *full = strchr(host, '.') || streq(host, "*") || !*host
                     ? xstrdup(host)
                     : xasprintf("%s.%s" DOMAIN, host, ns);
    for (char *c = full; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 32);
    return full;
}

char *istio_host_service(const char *host)
{
    struct str whole = str_from(host), domain = STR(DOMAIN), ns, name;
    if (!str_ends(whole, domain))
        return NULL;
    name = str_cut(str_sub(whole, 0, whole.n - domain.n), '.', &ns);
    if (!str_is_dns1123_label(name) || !str_is_dns1123_label(ns))
        return NULL;
    return xasprintf(STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(name));
}

bool istio_host_covers(const char *host, const char *name)
{
    if (*host != '*')
        return streq(host, name);
    struct str rest = str_from(host + 1), whole = str_from(name);
    return !rest.n || (whole.n > rest.n && str_ends(whole, rest));
}

bool istio_host_is_valid(const char *host)
{
    struct str s = str_from(host);
    struct ip ip;
    if (ip_parse(s, &ip) == 0 || streq(host, "*"))
        return true;
    if (str_starts(s, STR("*.")))
        s = str_sub(s, 2, s.n);
    return str_is_dns1123_subdomain(s);
}

bool mesh_client_has_labels(const struct mesh_client *c, const json_t *wanted)
{
    return !json_object_size(wanted) || (c->pod && workload_has_labels(c->pods, c->pod, wanted));
}
