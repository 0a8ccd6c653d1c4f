#include "model/mesh_explain.h"

#include <ctype.h>

#include "model/authorization_explain.h"
#include "model/port_protocol.h"
#include "model/sidecar_scope.h"

struct making {
    const struct mesh_snapshot *s;
    const json_t *objects;
    const struct mesh_explain_call *c;
    struct mesh_client client;
    char *principal;
    struct findings findings;
    json_t *out;
};

/* ---- whom it is for ---- */

static bool is_there(const struct making *m, const char *key)
{
    const struct joined_service *s = service_join_find(m->s->join, key);
    return s && s->object;
}

static char *by_address(const struct making *m, const struct ip *ip)
{
    struct joined_service *s;
    for (size_t at = 0; service_join_next(m->s->join, &at, &s);)
        for (uint16_t i = 0; s->object && i < s->object->n_cluster_ips; i++)
            if (ip_eq(&s->object->cluster_ips[i], ip))
                return xstrdup(s->key);
    return NULL;
}

/* The key of a Service or of an entry's host; NULL: it is nobody's. */
static char *resolve(const struct making *m)
{
    AUTO_CHARS char *own = str_dup(m->c->q.host);
    struct ip ip;
    for (char *p = own; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    struct str ns, name = str_cut(str_from(own), '.', &ns);
    if (ip_parse(m->c->q.host, &ip) == 0)
        return by_address(m, &ip);
    char *key = ns.p ? istio_host_service(own) : NULL;
    if (!key && str_ends(str_from(own), STR(".svc"))) {
        AUTO_CHARS char *full = xasprintf("%s.cluster.local", own);
        key = istio_host_service(full);
    }
    if (!key)
        key = ns.p ? xasprintf(STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(name))
                   : xasprintf(STR_FMT "/%s", STR_ARG(m->client.ns), own);
    if (is_there(m, key))
        return key;
    free(key);
    return service_entries_resolve(m->s->entries, own, m->c->port, m->client.ns);
}

static const struct service_port *port_of(const struct making *m, const char *key, uint16_t port)
{
    const struct joined_service *s = service_join_find(m->s->join, key);
    for (uint16_t i = 0; s && s->object && i < s->object->n_ports; i++)
        if (s->object->ports[i].port == port)
            return &s->object->ports[i];
    return NULL;
}

/* ---- who serves it ---- */

static const json_t *object_of(const struct making *m, const char *kind, const char *key)
{
    json_t *o;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)m->objects, i, o)
    {
        AUTO_CHARS char *of = xasprintf("%s/%s", json_at_str(o, "metadata.namespace"),
                                        json_at_str(o, "metadata.name"));
        if (streq(json_key_str(o, "kind"), kind) && streq(of, key))
            return o;
    }
    return NULL;
}

static uint16_t named_port(const json_t *pod, const char *name)
{
    json_t *container, *port;
    size_t i, k;
    json_array_foreach(json_at(pod, "spec.containers"), i, container)
        json_array_foreach(json_object_get(container, "ports"), k,
                           port) if (streq(json_key_str(port, "name"), name)) return (uint16_t)
            json_integer_value(json_object_get(port, "containerPort"));
    return 0;
}

/* At which port of the workload. */
static uint16_t target_of(const struct making *m, const json_t *service, uint16_t port,
                          const char *pod)
{
    json_t *p;
    size_t i;
    json_array_foreach(json_at(service, "spec.ports"), i, p)
    {
        const json_t *target = json_object_get(p, "targetPort");
        if (json_integer_value(json_object_get(p, "port")) != port)
            continue;
        if (json_is_integer(target))
            return (uint16_t)json_integer_value(target);
        if (json_is_string(target))
            return named_port(object_of(m, "Pod", pod), json_string_value(target));
    }
    return port;
}

/* Of the same Deployment, or what has made it, once. */
static bool is_first_of_owner(const struct making *m, const struct workload *w, const json_t *a,
                              const json_t *b, size_t *ret_pods)
{
    struct str owner = workload_owner(m->s->pods, w);
    const struct workload *other;
    bool first = true;
    *ret_pods = 0;
    for (size_t at = 0; workloads_next(m->s->pods, &at, &other);)
        if (str_eq(workload_namespace(other), workload_namespace(w)) &&
            str_eq(workload_owner(m->s->pods, other), owner) &&
            workload_has_labels(m->s->pods, other, a) &&
            workload_has_labels(m->s->pods, other, b)) {
            ++*ret_pods;
            first = first && strcmp(w->key, other->key) <= 0;
        }
    return first;
}

/* ---- over what, and whether it may ---- */

/* What a template makes has no address yet; it is taken to be of the mesh. */
static bool is_of_mesh(const struct making *m, const struct workload *w)
{
    return !w->n_ips || streq(workload_label(m->s->pods, w, "security.istio.io/tlsMode"), "istio");
}

static const char *const modes[] = {[MTLS_UNSET] = "PERMISSIVE",
                                    [MTLS_DISABLE] = "DISABLE",
                                    [MTLS_PERMISSIVE] = "PERMISSIVE",
                                    [MTLS_STRICT] = "STRICT"};

static bool is_mutual(const struct making *m, const struct workload *w,
                      const struct traffic_policy *policy, enum mtls_mode mode)
{
    bool wanted = policy->tls.mode == TRAFFIC_TLS_ISTIO_MUTUAL ||
                  (policy->tls.mode == TRAFFIC_TLS_AUTO && mode != MTLS_DISABLE);
    return wanted && is_of_mesh(m, w) && is_of_mesh(m, m->c->from);
}

static json_t *verdict(const struct making *m, const struct workload *w, bool mutual, bool http,
                       uint16_t target)
{
    static const char *const results[] = {"allowed", "forbidden", "open"};
    struct authorization_list list = {0};
    const struct authorization_call call = {
        .principal = mutual ? m->principal : NULL,
        .from = m->c->from->n_ips ? m->c->from->ips[0] : (struct ip){.family = 0},
        .http = http,
        .q = &m->c->q,
        .port = target,
    };
    json_t *steps = json_array();
    AUTO_CHARS char *by = NULL;
    authorization_policies_find(m->s->authorizations, workload_namespace(w), m->s->pods, w, &list);
    enum authorization_result r = authorization_explain(&list, &call, steps, &by);
    vec_done(&list.v);
    return json_pack("{s:s,s:s,s:o}", "verdict", results[r], "by", by, "policies", steps);
}

static json_t *workload_json(const struct making *m, const struct workload *w, size_t pods,
                             const struct traffic_policy *policy, bool http, uint16_t target)
{
    struct mtls_policy mtls;
    struct str ns = workload_namespace(w), owner = workload_owner(m->s->pods, w);
    AUTO_CHARS char *name = xasprintf(STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(owner));
    peer_authentications_find(m->s->authentications, ns, m->s->pods, w, &mtls);
    enum mtls_mode mode = mtls_policy_of(&mtls, target);
    bool mutual = is_mutual(m, w, policy, mode);
    json_t *j =
        json_pack("{s:s,s:I,s:s,s:s,s:i}", "name", name, "pods", (json_int_t)pods, "tls",
                  mutual ? "mutual TLS" : "plain text", "mode", modes[mode], "port", (int)target);
    if (!mutual && mode == MTLS_STRICT && is_of_mesh(m, w)) {
        json_object_set_new(j, "verdict", json_string("refused"));
        json_object_set_new(j, "by", json_string("a PeerAuthentication that is STRICT"));
        return j;
    }
    AUTO_JSON json_t *more = verdict(m, w, mutual, http, target);
    json_object_update(j, more);
    return j;
}

static const char *const balances[] = {[TRAFFIC_LEAST_REQUEST] = "LEAST_REQUEST",
                                       [TRAFFIC_ROUND_ROBIN] = "ROUND_ROBIN",
                                       [TRAFFIC_RANDOM] = "RANDOM",
                                       [TRAFFIC_PASSTHROUGH] = "PASSTHROUGH",
                                       [TRAFFIC_RING_HASH] = "ring hash",
                                       [TRAFFIC_MAGLEV] = "Maglev"};
static const char *const tls_words[] = {[TRAFFIC_TLS_AUTO] = "as the endpoint can",
                                        [TRAFFIC_TLS_DISABLE] = "DISABLE",
                                        [TRAFFIC_TLS_SIMPLE] = "SIMPLE",
                                        [TRAFFIC_TLS_MUTUAL] = "MUTUAL",
                                        [TRAFFIC_TLS_ISTIO_MUTUAL] = "ISTIO_MUTUAL",
                                        [TRAFFIC_TLS_CLOSED] = "closed: 503"};

/* Where a route leads. */
static void add_destination(struct making *m, const char *key, const char *subset, uint16_t port,
                            uint32_t weight, bool http)
{
    const json_t *service = object_of(m, "Service", key),
                 *selector = json_at(service, "spec.selector");
    struct destination d = {.policy = NULL};
    struct traffic_policy policy;
    json_t *workloads = json_array(), *j;
    const struct workload *w;
    mesh_rules_destination(m->s->rules, &m->client, key, &d);
    const struct destination_subset *of = subset ? destination_find(&d, subset) : NULL;
    destination_policy(&d, of, port, &policy);
    for (size_t at = 0; selector && workloads_next(m->s->pods, &at, &w);) {
        size_t pods;
        const json_t *labels = of ? of->labels : NULL;
        if (str_eq(workload_namespace(w), service_key_namespace(key)) &&
            workload_has_labels(m->s->pods, w, selector) &&
            workload_has_labels(m->s->pods, w, labels) &&
            is_first_of_owner(m, w, selector, labels, &pods))
            json_array_append_new(workloads, workload_json(m, w, pods, &policy, http,
                                                           target_of(m, service, port, w->key)));
    }
    AUTO_CHARS char *host = service_key_host(key);
    j = json_pack("{s:s,s:s*,s:i,s:I,s:s,s:s,s:o}", "host", host, "subset", subset, "port",
                  (int)port, "weight", (json_int_t)weight, "balance", balances[policy.balance],
                  "tls", tls_words[policy.tls.mode], "workloads", workloads);
    json_array_append_new(json_object_get(m->out, "destinations"), j);
    traffic_policy_done(&policy);
    destination_done(&d);
}

/* ---- routes ---- */

static json_t *origin_json(const struct route *r)
{
    return json_pack("{s:s,s:s,s:s}", "kind", r->origin.kind ? r->origin.kind : "Service", "object",
                     r->origin.object ? r->origin.object : "", "field",
                     r->origin.field ? r->origin.field : "");
}

static void add_backends(struct making *m, const struct route *r)
{
    for (uint32_t i = 0; r->action == ROUTE_FORWARD && i < r->n_backends; i++)
        if (r->backends[i].service)
            add_destination(m, r->backends[i].service, r->backends[i].subset, r->backends[i].port,
                            r->n_backends > 1 ? r->backends[i].weight : 0, true);
}

static void explain_http(struct making *m, const char *key)
{
    struct route_host *h =
        mesh_rules_routes(m->s->rules, &m->client, key, m->c->port, &m->findings);
    struct explanation e;
    explain_route(h, &m->c->q, &e);
    for (size_t i = 0; i < e.n; i++) {
        AUTO_DONE(buf) struct buf match = {0};
        explain_match_text(e.v[i].route, &match);
        json_array_append_new(json_object_get(m->out, "steps"),
                              json_pack("{s:s,s:b,s:s,s:o}", "match", buf_cstr(&match), "matches",
                                        e.v[i].matches, "why", e.v[i].why, "origin",
                                        origin_json(e.v[i].route)));
    }
    if (e.decided) {
        AUTO_DONE(buf) struct buf action = {0};
        explain_action_text(e.decided, &action);
        json_object_set_new(m->out, "action", json_string(buf_cstr(&action)));
        json_object_set_new(m->out, "decided", origin_json(e.decided));
        add_backends(m, e.decided);
    } else {
        json_object_set_new(m->out, "action", json_string("404: nothing matches"));
    }
    explanation_done(&e);
    route_host_unref(h);
}

static void explain_bytes(struct making *m, const char *key)
{
    json_object_set_new(m->out, "action", json_string("on as bytes"));
    add_destination(m, key, NULL, m->c->port, 0, false);
}

/* ---- the whole ---- */

/* Why it is not what it seems to be; NULL: it is. */
static char *why_nobody(const struct making *m, const char *key)
{
    const struct sidecar_scope *scope =
        sidecar_scopes_find(m->s->sidecars, m->client.ns, m->s->pods, m->c->from);
    if (!key)
        return xasprintf("no Service and no ServiceEntry is called so: it goes on as it is, or "
                         "nowhere (outboundTrafficPolicy)");
    if (scope && !mesh_rules_is_known(m->s->rules, scope, m->client.ns, key))
        return xasprintf("Sidecar %s does not let it be known", scope->o.key);
    if (!port_of(m, key, m->c->port))
        return xasprintf("it has no port %u", m->c->port);
    return NULL;
}

static void explain_to(struct making *m, const char *key)
{
    const struct service_port *port = port_of(m, key, m->c->port);
    enum port_protocol protocol = port_protocol(port);
    AUTO_CHARS char *host = service_key_host(key);
    json_object_set_new(m->out, "to",
                        json_pack("{s:s,s:s,s:i,s:s}", "host", host, "kind",
                                  service_key_is_entry(key) ? "ServiceEntry" : "Service", "port",
                                  (int)m->c->port, "protocol", port_protocol_word(protocol)));
    if (protocol == PORT_HTTP || protocol == PORT_HTTP2 || protocol == PORT_SNIFFED)
        explain_http(m, key);
    else
        explain_bytes(m, key);
}

json_t *mesh_explain(const struct mesh_snapshot *s, const json_t *objects,
                     const struct mesh_explain_call *c)
{
    struct making m = {.s = s, .objects = objects, .c = c};
    struct str ns = workload_namespace(c->from), account = workload_account(s->pods, c->from);
    m.client = (struct mesh_client){
        .ns = ns, .pods = s->pods, .pod = c->from, .locality = workload_locality(s->pods, c->from)};
    m.principal =
        xasprintf("%s/ns/" STR_FMT "/sa/" STR_FMT, c->trust_domain, STR_ARG(ns), STR_ARG(account));
    m.out = json_pack("{s:s,s:s,s:[],s:[],s:[]}", "from", c->from->key, "principal", m.principal,
                      "steps", "destinations", "findings");
    AUTO_CHARS char *key = resolve(&m), *why = why_nobody(&m, key);
    if (why)
        json_object_set_new(m.out, "nobody", json_string(why));
    else
        explain_to(&m, key);
    for (size_t i = 0; i < m.findings.n; i++)
        json_array_append_new(json_object_get(m.out, "findings"),
                              json_pack("{s:s,s:s,s:s,s:s}", "id", m.findings.v[i].id, "object",
                                        m.findings.v[i].object, "field", m.findings.v[i].field,
                                        "message", m.findings.v[i].message));
    findings_done(&m.findings);
    free(m.principal);
    return m.out;
}
