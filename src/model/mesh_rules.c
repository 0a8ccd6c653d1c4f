/* Two tables by name, two by host; hosts with an asterisk are few, and looked through. */
#include "model/mesh_rules.h"

#include "base/vec.h"
#include "model/sidecar_scope.h"

enum rule_kind { RULE_ROUTES, RULE_DESTINATION, RULE_KINDS };

struct rule_list {
    VEC(void *) v;
};

struct mesh_rules {
    struct service_join *join;
    struct service_entries *entries; /* NULL: none */
    struct map by_key[RULE_KINDS];
    struct map exact[RULE_KINDS], wild[RULE_KINDS]; /* host -> struct rule_list */
    struct map touched;                             /* keys of Services */
    mesh_rules_observer *observer;
    void *observer_user;
    bool marks_destinations;
    mesh_rules_credential_observer *credential_observer;
    void *credential_user;
    struct map senders; /* host -> struct rule_list: VirtualServices that send something there */
};

/* ---- lists ---- */

static void list_put(struct map *m, const char *host, void *rule)
{
    struct rule_list *l = map_find_cstr(m, host);
    if (!l) {
        l = NEW(struct rule_list);
        map_put_cstr(m, host, l);
    }
    for (size_t i = 0; i < l->v.n; i++)
        if (l->v.v[i] == rule)
            return;
    vec_push(&l->v, rule);
}

static void list_remove_rule(struct map *m, const char *host, const void *rule)
{
    struct rule_list *l = map_find_cstr(m, host);
    for (size_t i = 0; l && i < l->v.n; i++)
        if (l->v.v[i] == rule) {
            vec_remove(&l->v, i);
            break;
        }
    if (!l || l->v.n)
        return;
    map_remove_cstr(m, host);
    vec_done(&l->v);
    free(l);
}

static struct map *hosts_of(struct mesh_rules *m, enum rule_kind kind, const char *host)
{
    return *host == '*' ? &m->wild[kind] : &m->exact[kind];
}

/* for (size_t at = 0; (l = next_list(m, kind, name, &at, &host));) : all whose host covers it, the
 * exact one first. */
static const struct rule_list *next_list(const struct mesh_rules *m, enum rule_kind kind,
                                         const char *name, size_t *at)
{
    struct str host;
    void *l;
    if (*at == 0) {
        *at = 1;
        l = map_find_cstr(&m->exact[kind], name);
        if (l)
            return l;
    }
    for (size_t i = *at - 1; map_next(&m->wild[kind], &i, &host, &l); *at = i + 1) {
        AUTO_CHARS char *text = str_dup(host);
        if (istio_host_covers(text, name)) {
            *at = i + 1;
            return l;
        }
    }
    return NULL;
}

/* ---- what a rule touches ---- */

static void touch(struct mesh_rules *m, struct joined_service *s)
{
    map_put_cstr(&m->touched, s->key, m);
    service_join_mark(m->join, s);
}

bool mesh_rules_take_touched(struct mesh_rules *m, const char *service)
{
    return map_remove_cstr(&m->touched, service) != NULL;
}

void mesh_rules_set_touched(struct mesh_rules *m, const char *service)
{
    map_put_cstr(&m->touched, service, m);
}

static void touch_host(struct mesh_rules *m, const char *host)
{
    struct joined_service *s;
    char *key = istio_host_service(host);
    size_t next = 0;
    if (!key && m->entries)
        key = service_entries_next(m->entries, host, &next);
    for (; key; key = next ? service_entries_next(m->entries, host, &next) : NULL) {
        s = service_join_find(m->join, key);
        if (s)
            touch(m, s);
        free(key);
    }
    if (*host != '*')
        return;
    for (size_t at = 0; service_join_next(m->join, &at, &s);) {
        AUTO_CHARS char *name = service_key_host(s->key);
        if (istio_host_covers(host, name))
            touch(m, s);
    }
}

static bool delegates_to(const struct virtual_service *v, const struct virtual_service *d)
{
    const json_t *list = json_object_get(v->o.spec, "http");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *to = json_object_get(json_array_get(list, i), "delegate");
        const char *ns = json_key_str(to, "namespace");
        if (to && streq(json_key_str(to, "name"), d->o.name) &&
            streq(str_empty(ns) ? v->o.ns : ns, d->o.ns))
            return true;
    }
    return false;
}

static void touch_routes(struct mesh_rules *m, const struct virtual_service *v)
{
    void *other;
    if (v->n_hosts && m->observer)
        m->observer(v, m->observer_user);
    for (size_t i = 0; i < v->n_hosts; i++)
        touch_host(m, v->hosts[i]);
    for (size_t at = 0; !v->n_hosts && map_next(&m->by_key[RULE_ROUTES], &at, NULL, &other);) {
        const struct virtual_service *root = other;
        if (root->n_hosts && delegates_to(root, v))
            touch_routes(m, root);
    }
}

static void touch_senders(struct mesh_rules *m, const char *host)
{
    const struct rule_list *l = map_find_cstr(&m->senders, host);
    for (size_t i = 0; l && i < l->v.n; i++)
        touch_routes(m, l->v.v[i]);
}

static void touch_destination(struct mesh_rules *m, const char *host)
{
    struct str key;
    touch_host(m, host);
    if (*host != '*') {
        touch_senders(m, host);
        return;
    }
    for (size_t at = 0; map_next(&m->senders, &at, &key, NULL);) {
        AUTO_CHARS char *name = str_dup(key);
        if (istio_host_covers(host, name))
            touch_senders(m, name);
    }
}

void mesh_rules_mark_destinations(struct mesh_rules *m)
{
    m->marks_destinations = true;
}

static bool covers_known(const struct sidecar_scope *scope, const char *host)
{
    for (size_t i = 0; i < scope->n_hosts; i++)
        if (istio_host_covers(host, scope->hosts[i].name))
            return true;
    return false;
}

static bool leads_from_known(const struct mesh_rules *m, const struct virtual_service *v,
                             const struct sidecar_scope *scope, struct str own)
{
    void *root;
    for (size_t i = 0; i < v->n_hosts; i++) {
        AUTO_CHARS char *service = istio_host_service(v->hosts[i]);
        if (sidecar_scope_sees(scope, own, str_from(v->o.ns), v->hosts[i]) ||
            (service &&
             sidecar_scope_sees(scope, own, service_key_namespace(service), v->hosts[i])) ||
            covers_known(scope, v->hosts[i]))
            return true;
    }
    for (size_t at = 0; !v->n_hosts && map_next(&m->by_key[RULE_ROUTES], &at, NULL, &root);)
        if (((const struct virtual_service *)root)->n_hosts && delegates_to(root, v) &&
            leads_from_known(m, root, scope, own))
            return true;
    return false;
}

bool mesh_rules_is_known(const struct mesh_rules *m, const struct sidecar_scope *scope,
                         struct str own, const char *key)
{
    AUTO_CHARS char *host = service_key_host(key);
    if (sidecar_scope_sees(scope, own, service_key_namespace(key), host))
        return true;
    const struct rule_list *l = map_find_cstr(&m->senders, host);
    for (size_t i = 0; l && i < l->v.n; i++) {
        const struct virtual_service *v = l->v.v[i];
        if (istio_object_is_seen(&v->o, own) && leads_from_known(m, v, scope, own))
            return true;
    }
    return false;
}

void mesh_rules_destination_changed(struct mesh_rules *m, const char *service)
{
    AUTO_CHARS char *host = service_key_host(service);
    touch_senders(m, host);
}

/* ---- what comes and goes ---- */

/* Of a rule, and of those that it delegates to. */
static void mark_destinations(struct mesh_rules *m, const struct virtual_service *v)
{
    void *d;
    char *to;
    if (!m->marks_destinations)
        return;
    for (size_t at = 0; (to = virtual_service_next_destination(v, &at));) {
        touch_host(m, to);
        free(to);
    }
    for (size_t at = 0; v->n_hosts && map_next(&m->by_key[RULE_ROUTES], &at, NULL, &d);)
        if (!((const struct virtual_service *)d)->n_hosts && delegates_to(v, d))
            mark_destinations(m, d);
}

static void unlink_routes(struct mesh_rules *m, struct virtual_service *v)
{
    char *to;
    for (size_t i = 0; i < v->n_hosts; i++)
        list_remove_rule(hosts_of(m, RULE_ROUTES, v->hosts[i]), v->hosts[i], v);
    for (size_t at = 0; (to = virtual_service_next_destination(v, &at));) {
        list_remove_rule(&m->senders, to, v);
        free(to);
    }
    mark_destinations(m, v);
    touch_routes(m, v);
    virtual_service_free(v);
}

void mesh_rules_put_virtual_service(struct mesh_rules *m, struct virtual_service *v)
{
    struct virtual_service *before = map_put_cstr(&m->by_key[RULE_ROUTES], v->o.key, v);
    char *to;
    if (before)
        unlink_routes(m, before);
    for (size_t i = 0; i < v->n_hosts; i++)
        list_put(hosts_of(m, RULE_ROUTES, v->hosts[i]), v->hosts[i], v);
    for (size_t at = 0; (to = virtual_service_next_destination(v, &at));) {
        list_put(&m->senders, to, v);
        free(to);
    }
    mark_destinations(m, v);
    touch_routes(m, v);
}

void mesh_rules_remove_virtual_service(struct mesh_rules *m, struct str key)
{
    struct virtual_service *v = map_remove(&m->by_key[RULE_ROUTES], key);
    if (v)
        unlink_routes(m, v);
}

static void tell_credentials(const struct mesh_rules *m, const struct destination_rule *d,
                             bool used)
{
    for (size_t i = 0; i < d->n_credentials && m->credential_observer; i++)
        m->credential_observer(d->selector ? str_from(d->o.ns) : STR(""), d->credentials[i], used,
                               m->credential_user);
}

static void unlink_destination(struct mesh_rules *m, struct destination_rule *d)
{
    list_remove_rule(hosts_of(m, RULE_DESTINATION, d->host), d->host, d);
    touch_destination(m, d->host);
    tell_credentials(m, d, false);
    destination_rule_free(d);
}

void mesh_rules_put_destination_rule(struct mesh_rules *m, struct destination_rule *d)
{
    struct destination_rule *before = map_put_cstr(&m->by_key[RULE_DESTINATION], d->o.key, d);
    tell_credentials(m, d, true);
    if (before)
        unlink_destination(m, before);
    list_put(hosts_of(m, RULE_DESTINATION, d->host), d->host, d);
    touch_destination(m, d->host);
}

void mesh_rules_remove_destination_rule(struct mesh_rules *m, struct str key)
{
    struct destination_rule *d = map_remove(&m->by_key[RULE_DESTINATION], key);
    if (d)
        unlink_destination(m, d);
}

void mesh_rules_set_credential_observer(struct mesh_rules *m, mesh_rules_credential_observer *fn,
                                        void *user)
{
    m->credential_observer = fn;
    m->credential_user = user;
}

void mesh_rules_secret_changed(struct mesh_rules *m, struct str ns, struct str name)
{
    void *rule;
    for (size_t at = 0; map_next(&m->by_key[RULE_DESTINATION], &at, NULL, &rule);) {
        const struct destination_rule *d = rule;
        if (str_is(ns, d->selector ? d->o.ns : "") && destination_rule_has_credential(d, name))
            touch_destination(m, d->host);
    }
}

const struct destination_rule *mesh_rules_next_destination_rule(const struct mesh_rules *m,
                                                                size_t *at)
{
    void *d;
    return map_next(&m->by_key[RULE_DESTINATION], at, NULL, &d) ? d : NULL;
}

const struct virtual_service *mesh_rules_virtual_service(const struct mesh_rules *m, struct str key)
{
    return map_find(&m->by_key[RULE_ROUTES], key);
}

const struct virtual_service *mesh_rules_next_virtual_service(const struct mesh_rules *m,
                                                              size_t *at)
{
    void *v;
    return map_next(&m->by_key[RULE_ROUTES], at, NULL, &v) ? v : NULL;
}

void mesh_rules_set_observer(struct mesh_rules *m, mesh_rules_observer *fn, void *user)
{
    m->observer = fn;
    m->observer_user = user;
}

size_t mesh_rules_count(const struct mesh_rules *m)
{
    return m->by_key[RULE_ROUTES].used + m->by_key[RULE_DESTINATION].used;
}

/* ---- destinations ---- */

static bool is_older(const struct destination_rule *a, const struct destination_rule *b)
{
    return istio_object_compare(&a->o, &b->o) < 0;
}

/* Those of one namespace with the most specific host, the oldest first; one that selects the client
 * counts alone. */
static bool add_rules_of(const struct mesh_rules *m, const struct mesh_client *c, const char *name,
                         struct str ns, bool own, struct destination *ret)
{
    VEC(const struct destination_rule *) found = {0};
    const struct destination_rule *chosen = NULL;
    const struct rule_list *l;
    size_t longest = 0;
    for (size_t at = 0; (l = next_list(m, RULE_DESTINATION, name, &at));)
        for (size_t i = 0; i < l->v.n; i++) {
            const struct destination_rule *d = l->v.v[i];
            size_t length = *d->host == '*' ? strlen(d->host) : SIZE_MAX;
            if (!str_is(ns, d->o.ns) || (!own && !istio_object_is_seen(&d->o, c->ns)) ||
                length < longest ||
                (d->selector && (!own || !mesh_client_has_labels(c, d->selector))))
                continue;
            if (length > longest) {
                vec_clear(&found);
                chosen = NULL;
            }
            longest = length;
            if (d->selector)
                chosen = !chosen || is_older(d, chosen) ? d : chosen;
            size_t to = found.n;
            vec_push(&found, d);
            for (; to > 0 && is_older(d, found.v[to - 1]); to--)
                found.v[to] = found.v[to - 1];
            found.v[to] = d;
        }
    if (chosen)
        destination_add(ret, chosen);
    for (size_t i = 0; i < found.n && !chosen; i++)
        destination_add(ret, found.v[i]);
    bool any = found.n;
    vec_done(&found);
    return any;
}

static void find_destination(const struct mesh_rules *m, const struct mesh_client *c,
                             const char *name, struct str ns, struct destination *ret)
{
    *ret = (struct destination){0};
    if (c->ns.n && add_rules_of(m, c, name, c->ns, true, ret))
        return;
    if (ns.n && !str_eq(ns, c->ns) && add_rules_of(m, c, name, ns, false, ret))
        return;
    if (!str_is(c->ns, MESH_ROOT_NAMESPACE))
        add_rules_of(m, c, name, STR(MESH_ROOT_NAMESPACE), false, ret);
}

void mesh_rules_destination(const struct mesh_rules *m, const struct mesh_client *client,
                            const char *service, struct destination *ret)
{
    AUTO_CHARS char *host = service_key_host(service);
    find_destination(m, client, host, service_key_namespace(service), ret);
}

/* ---- who calls ---- */

static unsigned destination_varies(const struct mesh_rules *m, const char *host)
{
    AUTO_CHARS char *key = istio_host_service(host);
    struct str ns = service_key_namespace(key ? key : "");
    const struct rule_list *l;
    unsigned by = 0;
    if (!key && m->entries) {
        ns = service_entries_namespace(m->entries, host);
        by |= service_entries_varies(m->entries, host) ? MESH_VARIES_BY_NAMESPACE : 0;
    }
    for (size_t at = 0; (l = next_list(m, RULE_DESTINATION, host, &at));)
        for (size_t i = 0; i < l->v.n; i++) {
            const struct destination_rule *d = l->v.v[i];
            if (!d->o.for_all || (!str_is(ns, d->o.ns) && !streq(d->o.ns, MESH_ROOT_NAMESPACE)) ||
                d->selector)
                by |= MESH_VARIES_BY_NAMESPACE;
            if (d->selector || d->by_labels)
                by |= MESH_VARIES_BY_LABELS;
            if (d->by_locality)
                by |= MESH_VARIES_BY_LOCALITY;
        }
    return by;
}

/* The one that a route of v names; NULL: it names none, or there is none. */
static const struct virtual_service *
delegate_in(const struct mesh_rules *m, const struct virtual_service *v, const json_t *http)
{
    const json_t *to = json_object_get(http, "delegate");
    const char *ns = json_key_str(to, "namespace"), *name = json_key_str(to, "name");
    if (str_empty(name))
        return NULL;
    AUTO_CHARS char *key = xasprintf("%s/%s", str_empty(ns) ? v->o.ns : ns, name);
    return map_find_cstr(&m->by_key[RULE_ROUTES], key);
}

static unsigned routes_vary(const struct mesh_rules *m, const struct virtual_service *v)
{
    unsigned by = v->o.for_all && !v->by_namespace ? 0 : MESH_VARIES_BY_NAMESPACE;
    char *to;
    if (v->by_labels)
        by |= MESH_VARIES_BY_LABELS;
    for (size_t at = 0; (to = virtual_service_next_destination(v, &at));) {
        by |= destination_varies(m, to) & ~(unsigned)MESH_VARIES_BY_LOCALITY;
        free(to);
    }
    const json_t *list = json_object_get(v->o.spec, "http");
    for (size_t i = 0; v->n_hosts && i < json_array_size(list); i++) {
        const struct virtual_service *d = delegate_in(m, v, json_array_get(list, i));
        if (d && !d->n_hosts)
            by |= routes_vary(m, d);
    }
    return by;
}

unsigned mesh_rules_vary(const struct mesh_rules *m, const char *service)
{
    AUTO_CHARS char *host = service_key_host(service);
    const struct rule_list *l;
    unsigned by = destination_varies(m, host);
    for (size_t at = 0; (l = next_list(m, RULE_ROUTES, host, &at));)
        for (size_t i = 0; i < l->v.n; i++)
            by |= routes_vary(m, l->v.v[i]);
    return by;
}

void mesh_rules_mark_local(struct mesh_rules *m)
{
    struct joined_service *s;
    for (size_t at = 0; m->by_key[RULE_DESTINATION].used && service_join_next(m->join, &at, &s);)
        if (mesh_rules_vary(m, s->key) & MESH_VARIES_BY_LOCALITY)
            service_join_mark(m->join, s);
}

/* ---- routes ---- */

static uint16_t port_of(const char *service, uint16_t port, void *user)
{
    const struct mesh_rules *m = user;
    const struct joined_service *s = service_join_find(m->join, service);
    return s && s->object && s->object->n_ports == 1 ? s->object->ports[0].port : port;
}

static char *entry_of(const char *host, uint16_t port, struct str ns, void *user)
{
    const struct mesh_rules *m = user;
    return m->entries ? service_entries_resolve(m->entries, host, port, ns) : NULL;
}

static const struct virtual_service *delegate_of(const char *ns, const char *name, void *user)
{
    const struct mesh_rules *m = user;
    AUTO_CHARS char *key = xasprintf("%s/%s", ns, name);
    return map_find_cstr(&m->by_key[RULE_ROUTES], key);
}

/* How specific the host is by which it covers the name. */
static size_t length_of(const struct virtual_service *v, const char *name)
{
    size_t longest = 0;
    for (size_t i = 0; i < v->n_hosts; i++)
        if (streq(v->hosts[i], name))
            return SIZE_MAX;
        else if (istio_host_covers(v->hosts[i], name))
            longest = MAX(longest, strlen(v->hosts[i]));
    return longest;
}

/* The one with the most specific host; of several the oldest. */
static const struct virtual_service *find_routes(const struct mesh_rules *m,
                                                 const struct mesh_client *c, const char *name,
                                                 struct findings *findings)
{
    const struct virtual_service *best = NULL;
    const struct rule_list *l;
    for (size_t at = 0; (l = next_list(m, RULE_ROUTES, name, &at));)
        for (size_t i = 0; i < l->v.n; i++) {
            const struct virtual_service *v = l->v.v[i], *worse = v;
            if (!v->for_mesh || !istio_object_is_seen(&v->o, c->ns) || v == best)
                continue;
            size_t length = length_of(v, name), longest = best ? length_of(best, name) : 0;
            bool better = !best || length > longest ||
                          (length == longest && istio_object_compare(&v->o, &best->o) < 0);
            if (better) {
                worse = best;
                best = v;
            }
            if (worse && length == longest && findings)
                finding_add(findings, FINDING_WARNING, "HostConflict", worse->o.key, "spec.hosts",
                            "put the routes into one object",
                            "%s is the host of %s, too, which is older: its routes are served",
                            name, best->o.key);
        }
    return best;
}

/* Is there what it names? */
static void check_backend(const struct mesh_rules *m, const struct route_backend *b,
                          const char *host, const struct destination *d,
                          const struct route_origin *of, struct findings *findings)
{
    const struct joined_service *s = b->service ? service_join_find(m->join, b->service) : NULL;
    if (!b->service)
        finding_add(findings, FINDING_ERROR, "HostNotFound", of->object, of->field,
                    "add a ServiceEntry for it, or name a Service as "
                    "NAME.NAMESPACE.svc.cluster.local",
                    "there is no ServiceEntry of %s at that port: what is sent there gets 503",
                    host);
    else if (!s || !s->object)
        finding_add(findings, FINDING_ERROR, "HostNotFound", of->object, of->field,
                    "name it as NAME.NAMESPACE.svc.cluster.local, or by its short name in its own "
                    "namespace",
                    "there is no Service %s: what is sent there gets 503", host);
    else if (b->subset && !destination_find(d, b->subset))
        finding_add(findings, FINDING_ERROR, "SubsetNotFound", of->object, of->field,
                    "define it in a DestinationRule for that host",
                    "no DestinationRule defines subset %s of %s: what is sent there gets 503",
                    b->subset, host);
}

static void apply_destination(const struct mesh_rules *m, const struct mesh_client *c,
                              const struct route_backend *b, struct route *r,
                              const struct route_origin *of, struct findings *findings)
{
    struct str ns = service_key_namespace(b->service ? b->service : "");
    AUTO_CHARS char *host = b->service ? service_key_host(b->service) : xstrdup(b->host);
    struct destination d;
    struct traffic_policy policy;
    find_destination(m, c, host, ns, &d);
    const struct destination_subset *subset = b->subset ? destination_find(&d, b->subset) : NULL;
    if (findings)
        check_backend(m, b, host, &d, of, findings);
    if (r && !r->n_keys && !r->affinity.name && (d.policy || subset)) {
        destination_policy(&d, subset, b->port, &policy);
        traffic_policy_hash(&policy, r);
        traffic_policy_done(&policy);
    }
    destination_done(&d);
}

/* By which hash it goes there (the first that has one), and whether what it names is there. */
static void apply_destinations(const struct mesh_rules *m, const struct mesh_client *c,
                               struct route *r, struct findings *findings)
{
    for (uint32_t i = 0; i < r->n_backends; i++)
        apply_destination(m, c, &r->backends[i], r, &r->origin, findings);
    for (uint32_t i = 0; i < r->n_mirrors && findings; i++)
        apply_destination(m, c, &r->mirrors[i].to, NULL, &r->origin, findings);
}

static void add_default(struct route_host *h, const char *service, uint16_t port)
{
    struct route *r = route_host_add(h);
    r->name = xstrdup("default");
    r->path = (struct route_path){.kind = ROUTE_PATH_PREFIX, .text = xstrdup("/")};
    r->origin = (struct route_origin){service_key_is_entry(service) ? "ServiceEntry" : "Service",
                                      xstrdup(service), xstrdup("")};
    route_add_backend(r, service, port, 1);
    virtual_service_default_retry(r);
}

struct route_host *mesh_rules_routes(const struct mesh_rules *m, const struct mesh_client *client,
                                     const char *service, uint16_t port, struct findings *findings)
{
    AUTO_CHARS char *host = service_key_host(service);
    struct route_host *h = route_host_new(host);
    const struct virtual_service *v = find_routes(m, client, host, findings);
    const struct virtual_service_place place = {
        .gateway = ISTIO_MESH_GATEWAY,
        .client = client,
        .port = port,
        .port_of = port_of,
        .entry_of = entry_of,
        .delegate_of = delegate_of,
        .user = (void *)(uintptr_t)m,
    };
    if (v)
        virtual_service_compile(v, &place, h, findings);
    if (!h->n_routes)
        add_default(h, service, port);
    for (uint32_t i = 0; i < h->n_routes; i++)
        apply_destinations(m, client, &h->routes[i], v ? findings : NULL);
    return h;
}

struct route_host *mesh_rules_streams(const struct mesh_rules *m, const struct mesh_client *client,
                                      const char *service, uint16_t port, const struct ip *address,
                                      struct findings *findings)
{
    AUTO_CHARS char *host = service_key_host(service);
    struct route_host *h = route_host_new(host);
    const struct virtual_service *v = find_routes(m, client, host, findings);
    const struct virtual_service_place place = {
        .gateway = ISTIO_MESH_GATEWAY,
        .client = client,
        .port = port,
        .address = address,
        .port_of = port_of,
        .entry_of = entry_of,
        .user = (void *)(uintptr_t)m,
    };
    if (v)
        virtual_service_compile_streams(v, &place, h);
    for (uint32_t i = 0; i < h->n_streams && findings; i++)
        for (uint32_t k = 0; k < h->streams[i].n_backends; k++)
            apply_destination(m, client, &h->streams[i].backends[k], NULL, &h->streams[i].origin,
                              findings);
    return h;
}

void mesh_rules_gateway_routes(const struct mesh_rules *m, const struct virtual_service *v,
                               const char *gateway, const char *ns, uint16_t port,
                               struct route_host *to, struct findings *findings)
{
    const struct mesh_client client = {.ns = str_from(ns)};
    const struct virtual_service_place place = {
        .gateway = gateway,
        .client = &client,
        .port = port,
        .port_of = port_of,
        .entry_of = entry_of,
        .delegate_of = delegate_of,
        .user = (void *)(uintptr_t)m,
    };
    uint32_t from = to->n_routes;
    virtual_service_compile(v, &place, to, findings);
    for (uint32_t i = from; i < to->n_routes; i++)
        apply_destinations(m, &client, &to->routes[i], findings);
}

void mesh_rules_gateway_streams(const struct mesh_rules *m, const struct virtual_service *v,
                                const char *gateway, uint16_t port, struct route_host *to)
{
    const struct mesh_client client = {0};
    const struct virtual_service_place place = {
        .gateway = gateway,
        .client = &client,
        .port = port,
        .port_of = port_of,
        .entry_of = entry_of,
        .user = (void *)(uintptr_t)m,
    };
    virtual_service_compile_streams(v, &place, to);
}

/* ---- the whole ---- */

struct mesh_rules *mesh_rules_new(struct service_join *join)
{
    struct mesh_rules *m = NEW(struct mesh_rules);
    m->join = join;
    return m;
}

void mesh_rules_set_entries(struct mesh_rules *m, struct service_entries *entries)
{
    m->entries = entries;
}

struct service_entries *mesh_rules_get_entries(const struct mesh_rules *m)
{
    return m->entries;
}

bool mesh_rules_is_served(const struct mesh_rules *m, const struct joined_service *s, uint16_t port,
                          struct str ns)
{
    return !s->entry || service_entries_is_served(m->entries, s->key, port, ns);
}

static void lists_done(struct map *m)
{
    void *l;
    for (size_t at = 0; map_next(m, &at, NULL, &l);) {
        vec_done(&((struct rule_list *)l)->v);
        free(l);
    }
    map_done(m);
}

void mesh_rules_free(struct mesh_rules *m)
{
    void *rule;
    if (!m)
        return;
    for (size_t at = 0; map_next(&m->by_key[RULE_ROUTES], &at, NULL, &rule);)
        virtual_service_free(rule);
    for (size_t at = 0; map_next(&m->by_key[RULE_DESTINATION], &at, NULL, &rule);)
        destination_rule_free(rule);
    for (unsigned kind = 0; kind < RULE_KINDS; kind++) {
        map_done(&m->by_key[kind]);
        lists_done(&m->exact[kind]);
        lists_done(&m->wild[kind]);
    }
    lists_done(&m->senders);
    map_done(&m->touched);
    free(m);
}
