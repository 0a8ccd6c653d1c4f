/* Which VirtualService makes which hosts is kept by name, so that whoever comes, changes or goes
 * marks what it made and what it makes now. */
#include "model/gateway_routes.h"

#include "base/vec.h"

#define KIND "VirtualService"

enum { PORT_PLAIN = 80, PORT_TLS = 443 };

struct names {
    VEC(char *) v;
};

/* A host that some VirtualService makes. */
struct host_slot {
    VEC(char *) rules; /* keys of VirtualServices */
};

struct gateway_routes {
    const struct gateway_routes_options *options;
    struct mesh_rules *rules;
    struct map gateways; /* key -> struct istio_gateway */
    struct map makes;    /* key of a VirtualService -> struct names */
    struct map hosts;    /* name -> struct host_slot */
    struct map changed;  /* keys of VirtualServices */
    struct map dirty;    /* names */
    char *taken;         /* the name given last */
    VEC(const struct gateway_host *) passages;
    bool passage_changed;
};

/* ---- what goes with what ---- */

/* The Gateway that the i-th of a VirtualService's gateways names; NULL: none of ours. */
static const struct istio_gateway *gateway_of(const struct gateway_routes *t,
                                              const struct virtual_service *v, size_t i,
                                              const char **ret_name)
{
    const char *name = json_string_value(json_array_get(json_object_get(v->o.spec, "gateways"), i));
    *ret_name = name;
    if (str_empty(name) || streq(name, ISTIO_MESH_GATEWAY))
        return NULL;
    AUTO_CHARS char *key = strchr(name, '/') ? xstrdup(name) : xasprintf("%s/%s", v->o.ns, name);
    const struct istio_gateway *g = map_find_cstr(&t->gateways, key);
    return g && istio_gateway_selects(g, t->options->labels) ? g : NULL;
}

static size_t n_gateways(const struct virtual_service *v)
{
    return MIN(json_array_size(json_object_get(v->o.spec, "gateways")),
               (size_t)VIRTUAL_SERVICE_GATEWAYS_MAX);
}

static void add_name(struct names *to, const char *name)
{
    VEC_FOREACH (known, &to->v)
        if (streq(*known, name))
            return;
    vec_push(&to->v, xstrdup(name));
}

static void names_free(struct names *n)
{
    if (!n)
        return;
    VEC_FOREACH (name, &n->v)
        free(*name);
    vec_done(&n->v);
    free(n);
}

static bool is_passage(const struct gateway_server *s)
{
    return s->tls == GATEWAY_AUTO_PASSTHROUGH;
}

static struct names *names_of(const struct gateway_routes *t, const struct virtual_service *v)
{
    struct names *all = NEW(struct names);
    const char *text;
    bool seen = v && istio_object_is_seen(&v->o, str_from(t->options->ns));
    for (size_t i = 0; seen && i < n_gateways(v); i++) {
        const struct istio_gateway *g = gateway_of(t, v, i, &text);
        for (size_t s = 0; g && s < g->n_servers; s++)
            for (size_t k = 0; !is_passage(&g->servers[s]) && k < g->servers[s].n_hosts; k++)
                for (size_t h = 0; h < v->n_hosts; h++) {
                    const char *both =
                        gateway_host_meet(&g->servers[s].hosts[k], v->o.ns, v->hosts[h]);
                    if (both)
                        add_name(all, both);
                }
    }
    return all;
}

/* ---- what is to be looked at again ---- */

static void on_rule(const struct virtual_service *v, void *user)
{
    struct gateway_routes *t = user;
    map_put_cstr(&t->changed, v->o.key, t);
}

static struct host_slot *slot_of(struct gateway_routes *t, const char *name)
{
    struct host_slot *s = map_find_cstr(&t->hosts, name);
    if (!s) {
        s = NEW(struct host_slot);
        map_put_cstr(&t->hosts, name, s);
    }
    return s;
}

static void leave(struct gateway_routes *t, const char *name, const char *key)
{
    struct host_slot *s = slot_of(t, name);
    for (size_t i = 0; i < s->rules.n; i++)
        if (streq(s->rules.v[i], key)) {
            free(s->rules.v[i]);
            vec_remove(&s->rules, i);
            break;
        }
    map_put_cstr(&t->dirty, name, t);
}

static void work_rule(struct gateway_routes *t, const char *key)
{
    const struct virtual_service *v = mesh_rules_virtual_service(t->rules, str_from(key));
    struct names *now = names_of(t, v), *before = map_remove_cstr(&t->makes, key);
    for (size_t i = 0; before && i < before->v.n; i++)
        leave(t, before->v.v[i], key);
    names_free(before);
    VEC_FOREACH (name, &now->v) {
        vec_push(&slot_of(t, *name)->rules, xstrdup(key));
        map_put_cstr(&t->dirty, *name, t);
    }
    if (now->v.n)
        map_put_cstr(&t->makes, key, now);
    else
        names_free(now);
}

static void work_rules(struct gateway_routes *t)
{
    struct str key;
    while (t->changed.used) {
        size_t at = 0;
        map_next(&t->changed, &at, &key, NULL);
        AUTO_CHARS char *text = str_dup(key);
        map_remove_cstr(&t->changed, text);
        work_rule(t, text);
    }
}

/* Gateways change seldom: whoever names this one is looked for. */
static void touch_gateway(struct gateway_routes *t, const char *key)
{
    const struct virtual_service *v;
    for (size_t at = 0; (v = mesh_rules_next_virtual_service(t->rules, &at));)
        for (size_t i = 0; i < n_gateways(v); i++) {
            const char *name =
                json_string_value(json_array_get(json_object_get(v->o.spec, "gateways"), i));
            AUTO_CHARS char *full =
                name && strchr(name, '/') ? xstrdup(name) : xasprintf("%s/%s", v->o.ns, name ?: "");
            if (streq(full, key))
                on_rule(v, t);
        }
}

static void gather_passages(struct gateway_routes *t)
{
    size_t before = t->passages.n;
    void *p;
    vec_clear(&t->passages);
    for (size_t at = 0; map_next(&t->gateways, &at, NULL, &p);) {
        const struct istio_gateway *g = p;
        bool ours = istio_gateway_selects(g, t->options->labels);
        for (size_t s = 0; ours && s < g->n_servers; s++)
            for (size_t k = 0; is_passage(&g->servers[s]) && k < g->servers[s].n_hosts; k++)
                vec_push(&t->passages, &g->servers[s].hosts[k]);
    }
    t->passage_changed = t->passage_changed || before || t->passages.n;
}

bool gateway_routes_next_passage(const struct gateway_routes *t, size_t *at,
                                 const struct gateway_host **ret)
{
    if (*at >= t->passages.n)
        return false;
    *ret = t->passages.v[(*at)++];
    return true;
}

bool gateway_routes_take_passage_change(struct gateway_routes *t)
{
    bool changed = t->passage_changed;
    t->passage_changed = false;
    return changed;
}

void gateway_routes_put(struct gateway_routes *t, struct istio_gateway *g)
{
    istio_gateway_free(map_put_cstr(&t->gateways, g->o.key, g));
    gather_passages(t);
    touch_gateway(t, g->o.key);
}

void gateway_routes_remove(struct gateway_routes *t, struct str key)
{
    AUTO_CHARS char *text = str_dup(key);
    istio_gateway_free(map_remove_cstr(&t->gateways, text));
    gather_passages(t);
    touch_gateway(t, text);
}

void gateway_routes_secret_changed(struct gateway_routes *t, const char *key)
{
    void *p;
    for (size_t at = 0; map_next(&t->gateways, &at, NULL, &p);) {
        const struct istio_gateway *g = p;
        for (size_t i = 0; i < g->n_servers; i++) {
            AUTO_CHARS char *ca =
                xasprintf("%s/%s", t->options->ns, g->servers[i].ca ? g->servers[i].ca : "");
            if (streq(ca, key))
                touch_gateway(t, g->o.key);
        }
    }
}

/* ---- a host ---- */

/* Of one VirtualService, at one of the two ports. */
struct part {
    const struct gateway_routes *t;
    const struct virtual_service *v;
    const char *gateway; /* as the VirtualService calls it */
    uint16_t port;
    bool owns; /* of the namespace whose the host is */
};

/* The first server by which the host is taken there. */
static const struct gateway_server *server_of(const struct istio_gateway *g,
                                              const struct virtual_service *v, const char *name,
                                              uint16_t port)
{
    for (size_t s = 0; g && s < g->n_servers; s++)
        for (size_t k = 0; g->servers[s].port == port && k < g->servers[s].n_hosts; k++)
            for (size_t h = 0; h < v->n_hosts; h++)
                if (streq(gateway_host_meet(&g->servers[s].hosts[k], v->o.ns, v->hosts[h]), name))
                    return &g->servers[s];
    return NULL;
}

static void add_redirect(const struct part *p, struct route_host *h)
{
    struct route *r = route_host_add(h);
    r->path = (struct route_path){.kind = ROUTE_PATH_PREFIX, .text = xstrdup("/")};
    r->action = ROUTE_REDIRECT;
    r->redirect = (struct route_redirect){.code = 301, .scheme = xstrdup("https")};
    r->origin = (struct route_origin){KIND, xstrdup(p->v->o.key), xstrdup("spec.gateways")};
}

static void set_client_cert(const struct part *p, const struct gateway_server *s,
                            struct route_host *h)
{
    if (h->client_cert)
        return;
    h->client_cert = route_client_cert_new();
    h->client_cert->secret = xasprintf("%s/%s", p->t->options->ns, s->ca);
    h->client_cert->verify = ROUTE_VERIFY_ON;
    h->client_cert->depth = 10; /* as in OpenSSL and Envoy, which set no other limit */
}

/* Whoever says the name gets a connection as it is. */
static void set_passthrough(const struct part *p, struct route_host *h)
{
    struct route_host *streams = route_host_new(h->name);
    mesh_rules_gateway_streams(p->t->rules, p->v, p->gateway, p->port, streams);
    for (uint32_t i = 0; i < streams->n_streams && !h->passthrough.service; i++) {
        const struct route_stream *s = &streams->streams[i];
        bool meant = !s->n_server_names;
        for (uint32_t k = 0; k < s->n_server_names && !meant; k++)
            meant = istio_host_covers(s->server_names[k], h->name);
        if (!meant || !s->backends[0].service)
            continue;
        if (s->n_backends > 1 || s->backends[0].subset)
            finding_add(&h->findings, FINDING_WARNING, "RouteNotServed", p->v->o.key,
                        s->origin.field, "name one destination without a subset",
                        "of connections that go on encrypted gateways give all to %s",
                        s->backends[0].service);
        h->passthrough = (struct route_backend){
            .service = xstrdup(s->backends[0].service), .port = s->backends[0].port, .weight = 1};
    }
    route_host_unref(streams);
}

static void add_side(const struct part *p, const struct gateway_server *s, struct route_host *h)
{
    uint32_t from = h->n_routes;
    /* How TLS of the host ends is a matter of whose it is: others of its namespace add paths. */
    if (!p->owns && (s->tls == GATEWAY_PASSTHROUGH || (s->credential && !h->secret) ||
                     (s->tls == GATEWAY_MUTUAL && !h->client_cert))) {
        finding_add(&h->findings, FINDING_WARNING, "HostConflict", p->v->o.key, "spec.gateways",
                    "let who has the host say how TLS ends",
                    "%s is a host of another namespace, %s: its TLS is not touched", h->name,
                    h->owner.object);
        return;
    }
    if (s->tls == GATEWAY_PASSTHROUGH) {
        set_passthrough(p, h);
        return;
    }
    if (s->https_redirect)
        add_redirect(p, h);
    else
        mesh_rules_gateway_routes(p->t->rules, p->v, p->gateway, p->t->options->ns, p->port, h,
                                  &h->findings);
    if (s->credential && !h->secret)
        h->secret = xasprintf("%s/%s", p->t->options->ns, s->credential);
    if (s->tls == GATEWAY_MUTUAL)
        set_client_cert(p, s, h);
    for (uint32_t i = from; i < h->n_routes; i++) {
        h->routes[i].only_at = p->port == PORT_TLS ? ROUTE_AT_TLS : ROUTE_AT_PLAIN;
        if (p->port == PORT_TLS)
            h->routes[i].client_cert = h->client_cert;
    }
}

static void tell_gateways(const struct gateway_routes *t, const struct virtual_service *v,
                          struct route_host *h)
{
    const char *name;
    for (size_t i = 0; i < n_gateways(v); i++) {
        AUTO_CHARS char *field = xasprintf("spec.gateways[%zu]", i);
        if (!gateway_of(t, v, i, &name) && !streq(name, ISTIO_MESH_GATEWAY))
            finding_add(&h->findings, FINDING_WARNING, "GatewayNotFound", v->o.key, field,
                        "create it, or correct the name",
                        "there is no Gateway %.100s for these gateways", name ? name : "");
    }
}

static void add_rule(const struct gateway_routes *t, const struct virtual_service *v, bool owns,
                     struct route_host *h)
{
    static const uint16_t ports[] = {PORT_PLAIN, PORT_TLS};
    tell_gateways(t, v, h);
    for (size_t side = 0; side < ARRAY_LEN(ports); side++)
        for (size_t i = 0; i < n_gateways(v); i++) {
            struct part p = {t, v, NULL, ports[side], owns};
            const struct istio_gateway *g = gateway_of(t, v, i, &p.gateway);
            const struct gateway_server *s = server_of(g, v, h->name, p.port);
            if (s)
                add_side(&p, s, h);
        }
}

static struct route_host *build(const struct gateway_routes *t, const char *name,
                                const struct host_slot *s)
{
    struct route_host *h = route_host_new(name);
    VEC(const struct virtual_service *) rules = {0};
    VEC_FOREACH (key, &s->rules) {
        const struct virtual_service *v = mesh_rules_virtual_service(t->rules, str_from(*key));
        size_t at = rules.n;
        if (!v)
            continue;
        vec_push(&rules, v);
        for (; at > 0 && istio_object_compare(&v->o, &rules.v[at - 1]->o) < 0; at--)
            rules.v[at] = rules.v[at - 1];
        rules.v[at] = v;
    }
    if (rules.n) {
        h->owner = (struct route_origin){KIND, xstrdup(rules.v[0]->o.key), xstrdup("spec.hosts")};
        h->since_s = rules.v[0]->o.created_s;
    }
    VEC_FOREACH (v, &rules)
        add_rule(t, *v, streq((*v)->o.ns, rules.v[0]->o.ns), h);
    vec_done(&rules);
    return h;
}

bool gateway_routes_take_dirty(struct gateway_routes *t, const char **ret_name,
                               struct route_host **ret)
{
    struct str name;
    size_t at = 0;
    work_rules(t);
    if (!map_next(&t->dirty, &at, &name, NULL))
        return false;
    free(t->taken);
    *ret_name = t->taken = str_dup(name);
    map_remove_cstr(&t->dirty, t->taken);
    struct host_slot *s = map_find_cstr(&t->hosts, t->taken);
    *ret = s->rules.n ? build(t, t->taken, s) : NULL;
    if (s->rules.n)
        return true;
    map_remove_cstr(&t->hosts, t->taken);
    vec_done(&s->rules);
    free(s);
    return true;
}

struct gateway_routes *gateway_routes_new(const struct gateway_routes_options *o,
                                          struct mesh_rules *rules)
{
    struct gateway_routes *t = NEW(struct gateway_routes);
    t->options = o;
    t->rules = rules;
    mesh_rules_set_observer(rules, on_rule, t);
    return t;
}

void gateway_routes_free(struct gateway_routes *t)
{
    void *value;
    if (!t)
        return;
    mesh_rules_set_observer(t->rules, NULL, NULL);
    for (size_t at = 0; map_next(&t->gateways, &at, NULL, &value);)
        istio_gateway_free(value);
    for (size_t at = 0; map_next(&t->makes, &at, NULL, &value);)
        names_free(value);
    for (size_t at = 0; map_next(&t->hosts, &at, NULL, &value);) {
        struct host_slot *s = value;
        VEC_FOREACH (key, &s->rules)
            free(*key);
        vec_done(&s->rules);
        free(s);
    }
    map_done(&t->gateways);
    map_done(&t->makes);
    map_done(&t->hosts);
    map_done(&t->changed);
    map_done(&t->dirty);
    vec_done(&t->passages);
    free(t->taken);
    free(t);
}
