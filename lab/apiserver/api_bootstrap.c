/* What an API server makes by itself and keeps up: the first namespaces, the Service "kubernetes"
 * and its endpoints, the ServiceCIDR "kubernetes". Without them no program in the lab finds the
 * server, so whatever part of them somebody deletes or edits is put back.
 *
 * Owns the wanted states and the timer that settles them. Writes past admission and validation, as
 * the only one; leaves alone what it has no opinion of (labels, annotations of others). An object
 * that is being deleted serves until it is gone, however long finalizers hold it, and is made anew
 * then; only a Namespace on its way is let go. */
#include <stdio.h>

#include "base/log.h"
#include "base/rand.h"
#include "base/time.h"
#include "lab/apiserver/api_priv.h"

enum { SETTLE_MS = 200 }; /* who edits without end is answered five times a second */

static const char *const namespaces[] = {"default", "kube-system", "kube-public",
                                         "kube-node-lease"};

/* Namespace and name of those that are no Namespaces, whatever the kind. */
static const char home[] = "default", own_name[] = "kubernetes";

/* metadata of a wanted state: labels are merged, the rest identifies. */
static json_t *metadata(const char *ns, const char *name, const char *label, const char *value)
{
    json_t *m = json_pack("{s:s,s:{s:s}}", "name", name, "labels", label, value);
    if (ns)
        json_put_str(m, "namespace", ns);
    return m;
}

static const char *family_of(const struct ip *ip)
{
    return ip->family == AF_INET6 ? "IPv6" : "IPv4";
}

struct ip api_own_cluster_ip(const struct api_server *s)
{
    struct ip first = {0};
    int r = prefix_nth(&s->config.service_cidrs[0], 1, &first);
    ASSERT(r == 0); /* ranges of less than 16 are refused at the start */
    return first;
}

bool api_is_own_service(const json_t *service)
{
    return streq(json_at_str(service, "metadata.namespace"), home) &&
           streq(json_at_str(service, "metadata.name"), own_name);
}

static json_t *wanted_namespace(const char *name)
{
    return json_pack("{s:o,s:{s:[s]},s:{s:s}}", "metadata",
                     metadata(NULL, name, "kubernetes.io/metadata.name", name), "spec",
                     "finalizers", "kubernetes", "status", "phase", "Active");
}

static json_t *wanted_service(const struct api_server *s)
{
    char address[IP_TEXT_BYTES];
    struct ip ip = api_own_cluster_ip(s);
    json_t *m = metadata(home, own_name, "component", "apiserver");
    ip_format(&ip, address);
    json_put_str(m, "labels.provider", own_name);
    return json_pack("{s:o,s:{s:[{s:s,s:s,s:i,s:i}],s:s,s:[s],s:s,s:s,s:[s],s:s,s:s},s:{s:{}}}",
                     "metadata", m, "spec", "ports", "name", "https", "protocol", "TCP", "port",
                     443, "targetPort", s->config.port, "clusterIP", address, "clusterIPs", address,
                     "type", "ClusterIP", "sessionAffinity", "None", "ipFamilies", family_of(&ip),
                     "ipFamilyPolicy", "SingleStack", "internalTrafficPolicy", "Cluster", "status",
                     "loadBalancer");
}

static json_t *wanted_endpoints(const struct api_server *s)
{
    char ip[IP_TEXT_BYTES];
    return json_pack("{s:o,s:[{s:[{s:s}],s:[{s:s,s:i,s:s}]}]}", "metadata",
                     metadata(home, own_name, "endpointslice.kubernetes.io/skip-mirror", "true"),
                     "subsets", "addresses", "ip", ip_format(&s->config.advertise_ip, ip), "ports",
                     "name", "https", "port", s->config.port, "protocol", "TCP");
}

static json_t *wanted_slice(const struct api_server *s)
{
    char ip[IP_TEXT_BYTES];
    return json_pack("{s:o,s:s,s:[{s:[s],s:{s:b}}],s:[{s:s,s:i,s:s}]}", "metadata",
                     metadata(home, own_name, "kubernetes.io/service-name", own_name),
                     "addressType", family_of(&s->config.advertise_ip), "endpoints", "addresses",
                     ip_format(&s->config.advertise_ip, ip), "conditions", "ready", 1, "ports",
                     "name", "https", "port", s->config.port, "protocol", "TCP");
}

/* The flags decide where addresses come from; the object tells it. Others that people make say
 * something to agents, not to this server. */
static json_t *wanted_service_cidr(const struct api_server *s)
{
    char now[21], text[PREFIX_TEXT_BYTES];
    json_t *cidrs = json_array();
    for (size_t i = 0; i < s->config.n_service_cidrs; i++)
        json_array_append_new(cidrs, json_string(prefix_format(&s->config.service_cidrs[i], text)));
    time_format_rfc3339(time_real_s(), now);
    return json_pack("{s:{s:s},s:{s:o},s:{s:[{s:s,s:s,s:s,s:s,s:s}]}}", "metadata", "name",
                     own_name, "spec", "cidrs", cidrs, "status", "conditions", "type", "Ready",
                     "status", "True", "lastTransitionTime", now, "reason", "", "message",
                     "Kubernetes default Service CIDR is ready");
}

static int create(struct api_server *s, uint32_t kind, json_t *object, struct err *reterr)
{
    const struct api_kind *k = api_kind_at(kind);
    char uid[37], now[21];
    rand_uuid(uid);
    time_format_rfc3339(time_real_s(), now);
    json_put_str(object, "metadata.uid", uid);
    json_put_str(object, "metadata.creationTimestamp", now);
    if (k->counts_generation)
        json_put_int(object, "metadata.generation", 1);
    AUTO_JSON json_t *typed =
        json_pack("{s:s,s:s}", "kind", k->kind, "apiVersion", api_kind_group_version(k));
    json_object_update(typed, object);
    return store_put(s->store, kind, typed, NULL, reterr);
}

static bool put_back(json_t *into, const json_t *wanted, const char *member)
{
    json_t *want = json_object_get(wanted, member), *have = json_object_get(into, member);
    if (have && json_equal(have, want))
        return false;
    json_object_set(into, member, want);
    return true;
}

/* Each member of the wanted state and each of its labels; false: nothing was missing. */
static bool merge(json_t *object, const json_t *wanted)
{
    const char *name;
    json_t *value, *labels = json_at(object, "metadata.labels");
    bool changed = false;
    if (!labels) {
        labels = json_object();
        json_put(object, "metadata.labels", labels);
    }
    json_object_foreach(json_at(wanted, "metadata.labels"), name, value) changed =
        put_back(labels, json_at(wanted, "metadata.labels"), name) || changed;
    json_object_foreach((json_t *)(uintptr_t)wanted, name, value) if (!streq(name, "metadata"))
        changed = put_back(object, wanted, name) || changed;
    return changed;
}

/* Takes wanted. */
static int settle(struct api_server *s, const char *group, const char *plural, json_t *wanted_,
                  struct err *reterr)
{
    AUTO_JSON json_t *wanted = wanted_;
    uint32_t kind = (uint32_t)api_kind_find(str_from(group), STR("v1"), str_from(plural));
    const char *ns = json_at_str(wanted, "metadata.namespace");
    struct object *old =
        store_find(s->store, kind, ns ? ns : "", json_at_str(wanted, "metadata.name"));
    if (!old)
        return create(s, kind, wanted, reterr);
    AUTO_JSON json_t *object = object_tree(old);
    if (streq(api_kind_at(kind)->kind, "ServiceCIDR"))
        json_object_del(wanted, "status"); /* ready it was when it was made */
    bool ends = !ns && json_at_str(object, "metadata.deletionTimestamp"); /* a Namespace */
    if (ends || !merge(object, wanted))
        return 0;
    if (api_kind_at(kind)->counts_generation)
        json_put_int(object, "metadata.generation",
                     json_at_int(object, "metadata.generation", 0) + 1);
    return store_put(s->store, kind, object, NULL, reterr);
}

static int settle_all(struct api_server *s, struct err *reterr)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(namespaces); i++)
        r = settle(s, "", "namespaces", wanted_namespace(namespaces[i]), reterr);
    if (r == 0)
        r = settle(s, "", "services", wanted_service(s), reterr);
    if (r == 0)
        r = settle(s, "", "endpoints", wanted_endpoints(s), reterr);
    if (r == 0)
        r = settle(s, "networking.k8s.io", "servicecidrs", wanted_service_cidr(s), reterr);
    return r < 0 ? r : settle(s, "discovery.k8s.io", "endpointslices", wanted_slice(s), reterr);
}

static void on_settle(void *user)
{
    struct err err = {0};
    if (settle_all(user, &err) < 0)
        log_warn("what this server keeps up could not be put back", kv_s("error", err_text(&err)));
}

/* Put in their form at a start alone, as a real server does: what is edited later is meant. */
static int settle_roles(struct api_server *s, struct err *reterr)
{
    AUTO_JSON json_t *roles = NULL;
    json_t *role;
    size_t i;
    int r = json_parse(str_from(api_rbac_roles()), 0, NULL, &roles, reterr);
    json_array_foreach(roles, i, role)
    {
        bool binding = json_object_get(role, "roleRef");
        json_object_del(role, "kind");
        if (r == 0)
            r = settle(s, "rbac.authorization.k8s.io",
                       binding ? "clusterrolebindings" : "clusterroles", json_incref(role), reterr);
    }
    return r;
}

int api_bootstrap(struct api_server *s, struct err *reterr)
{
    s->bootstrap_timer = loop_timer_new(s->loop, on_settle, s);
    int r = settle_all(s, reterr);
    return r < 0 ? r : settle_roles(s, reterr);
}

void api_bootstrap_done(struct api_server *s)
{
    loop_timer_free(s->bootstrap_timer);
}

static bool is_ours(const struct object *o)
{
    const char *kind = api_kind_at(o->kind)->custom ? NULL : api_kind_at(o->kind)->kind;
    if (streq(kind, "Namespace")) {
        for (size_t i = 0; i < ARRAY_LEN(namespaces); i++)
            if (streq(o->name, namespaces[i]))
                return true;
        return false;
    }
    if (streq(kind, "ServiceCIDR"))
        return streq(o->name, own_name);
    return streq(o->ns, home) && streq(o->name, own_name) &&
           (streq(kind, "Service") || streq(kind, "Endpoints") || streq(kind, "EndpointSlice"));
}

void api_bootstrap_event(struct api_server *s, const struct store_event *e)
{
    if (s->bootstrap_timer && is_ours(e->object) && !loop_timer_is_started(s->bootstrap_timer))
        loop_timer_start(s->bootstrap_timer, SETTLE_MS);
}
