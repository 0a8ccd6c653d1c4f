/* Reading Services, as far as their addresses are concerned, and the rule of sharing. */
#include "model/balanced_service.h"

#include <netinet/in.h>

#include "base/vec.h"

static char *text_of(const json_t *j, const char *path)
{
    const char *text = json_at_str(j, path);
    return xstrdup(text ? text : "");
}

/* By its new name or the old one; NULL: neither is there. */
static const char *annotation(const json_t *annotations, const char *name)
{
    AUTO_CHARS char *now = xasprintf("metallb.io/%s", name);
    AUTO_CHARS char *before = xasprintf("metallb.universe.tf/%s", name);
    const char *value = json_key_str(annotations, now);
    return value ? value : json_key_str(annotations, before);
}

static char *annotation_text(const json_t *annotations, const char *name)
{
    const char *value = annotation(annotations, name);
    return str_empty(value) ? NULL : xstrdup(value);
}

static void read_families(struct balanced_service *s, const json_t *spec)
{
    size_t i;
    json_t *item;
    json_t *list = json_object_get(spec, "clusterIPs");
    const char *one = json_key_str(spec, "clusterIP"),
               *policy = json_key_str(spec, "ipFamilyPolicy");
    struct ip ip;
    if (!json_array_size(list) && one && ip_parse(str_from(one), &ip) == 0)
        s->families[ip.family == AF_INET6] = true;
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        if (!text || ip_parse(str_from(text), &ip) < 0)
            continue;
        s->v6_first = s->v6_first || (ip.family == AF_INET6 && !s->families[0]);
        s->families[ip.family == AF_INET6] = true;
    }
    s->prefers_two = streq(policy, "PreferDualStack");
    s->requires_two = streq(policy, "RequireDualStack");
}

/* One or two addresses, of different families. */
static void read_wanted(struct balanced_service *s, const json_t *annotations, const json_t *spec)
{
    const char *listed = annotation(annotations, "loadBalancerIPs"),
               *field = json_key_str(spec, "loadBalancerIP");
    if (str_empty(listed) && str_empty(field))
        return;
    if (!str_empty(listed) && !str_empty(field)) {
        s->error = xstrdup("both metallb.io/loadBalancerIPs and spec.loadBalancerIP are given; "
                           "leave one out");
        return;
    }
    struct str rest = str_from(str_empty(listed) ? field : listed);
    const char *what =
        str_empty(listed) ? "spec.loadBalancerIP" : "annotation metallb.io/loadBalancerIPs";
    while (rest.p && !s->error) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        struct ip ip;
        if (ip_parse(one, &ip) < 0)
            s->error =
                xasprintf("%s: \"%.60s\" is no address", what, str_empty(listed) ? field : listed);
        else if (s->n_wanted == 2 || (s->n_wanted && s->wanted[0].family == ip.family))
            s->error = xasprintf("%s: at most one address of each family", what);
        else
            s->wanted[s->n_wanted++] = ip;
    }
}

static void read_status(struct balanced_service *s, const json_t *list)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        struct ip ip;
        const char *text = json_key_str(item, "ip");
        if (!text || ip_parse(str_from(text), &ip) < 0 || s->n_has == BALANCED_IPS_MAX)
            s->has_others = true;
        else
            s->has[s->n_has++] = ip;
    }
}

static uint8_t proto_of(const char *text)
{
    return streq(text, "UDP") ? IPPROTO_UDP : streq(text, "SCTP") ? IPPROTO_SCTP : IPPROTO_TCP;
}

static void read_ports(struct balanced_service *s, const json_t *list)
{
    size_t i;
    json_t *item;
    s->ports =
        xcalloc(MIN(json_array_size(list), (size_t)BALANCED_PORTS_MAX) + 1, sizeof(*s->ports));
    json_array_foreach(list, i, item)
    {
        int64_t port = json_at_int(item, "port", 0);
        if (port > 0 && port <= UINT16_MAX && s->n_ports < BALANCED_PORTS_MAX)
            s->ports[s->n_ports++] =
                (struct balanced_port){proto_of(json_key_str(item, "protocol")), (uint16_t)port};
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The selector as text, in one order. */
static char *selector_text(const json_t *selector)
{
    AUTO_DONE(buf) struct buf b = {0};
    VEC(char *) parts = {0};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)selector, key, value)
        vec_push(&parts, xasprintf("%s=%s", key, json_string_value(value)));
    if (parts.n)
        qsort(parts.v, parts.n, sizeof(*parts.v), by_text);
    VEC_FOREACH (p, &parts) {
        buf_addf(&b, "%s%s", b.n ? "," : "", *p);
        free(*p);
    }
    vec_done(&parts);
    return xstrdup(buf_cstr(&b));
}

struct balanced_service *balanced_service_decode(const json_t *j, const char *class_)
{
    const char *name = json_at_str(j, "metadata.name"), *ns = json_at_str(j, "metadata.namespace");
    const json_t *spec = json_at(j, "spec"), *annotations = json_at(j, "metadata.annotations");
    if (str_empty(name) || !ns)
        return NULL;
    struct balanced_service *s = NEW(struct balanced_service);
    s->key = xasprintf("%s/%s", ns, name);
    s->ns = xstrdup(ns);
    s->name = xstrdup(name);
    s->uid = text_of(j, "metadata.uid");
    s->created = text_of(j, "metadata.creationTimestamp");
    bool of_type = streq(json_key_str(spec, "type"), "LoadBalancer");
    s->balanced = of_type && streq(json_key_str(spec, "loadBalancerClass"), class_);
    read_families(s, spec);
    s->pool = annotation_text(annotations, "address-pool");
    s->sharing = annotation_text(annotations, "allow-shared-ip");
    bool local = streq(json_key_str(spec, "externalTrafficPolicy"), "Local");
    s->backend = local ? selector_text(json_object_get(spec, "selector")) : xstrdup("");
    read_wanted(s, annotations, spec);
    read_status(s, json_at(j, "status.loadBalancer.ingress"));
    s->annotated_pool = annotation_text(annotations, "ip-allocated-from-pool");
    s->annotated = s->annotated_pool != NULL;
    s->left = !of_type && s->annotated;
    read_ports(s, json_object_get(spec, "ports"));
    json_t *labels = json_at(j, "metadata.labels");
    s->labels = labels ? json_incref(labels) : NULL;
    return s;
}

void balanced_service_free(struct balanced_service *s)
{
    if (!s)
        return;
    free(s->key);
    free(s->ns);
    free(s->name);
    free(s->uid);
    free(s->created);
    free(s->pool);
    free(s->sharing);
    free(s->backend);
    free(s->error);
    free(s->annotated_pool);
    free(s->ports);
    json_decref(s->labels);
    free(s);
}

static bool refuse(struct buf *why, const char *before, const char *key, const char *after)
{
    if (why && !why->n)
        buf_addf(why, "%s Service %s%s", before, key, after);
    return false;
}

static const char *proto_name(uint8_t proto)
{
    return proto == IPPROTO_UDP ? "UDP" : proto == IPPROTO_SCTP ? "SCTP" : "TCP";
}

bool balanced_services_share(const struct balanced_service *one,
                             const struct balanced_service *other, struct buf *why)
{
    if (!one->sharing)
        return refuse(why, "it is the address of", other->key,
                      ", and this one has no annotation metallb.io/allow-shared-ip");
    if (!other->sharing)
        return refuse(why, "it is the address of", other->key, ", which does not allow sharing");
    if (!streq(one->sharing, other->sharing))
        return refuse(why, "it is the address of", other->key,
                      ", which says something else in metallb.io/allow-shared-ip");
    if (!streq(one->backend, other->backend))
        return refuse(why, "it is the address of", other->key,
                      ": with externalTrafficPolicy Local, Services that share one have the same "
                      "selector and policy");
    for (size_t i = 0; i < one->n_ports; i++)
        for (size_t k = 0; k < other->n_ports; k++)
            if (one->ports[i].port == other->ports[k].port &&
                one->ports[i].proto == other->ports[k].proto) {
                if (why && !why->n)
                    buf_addf(why, "port %s/%u of it is Service %s's",
                             proto_name(one->ports[i].proto), one->ports[i].port, other->key);
                return false;
            }
    return true;
}
