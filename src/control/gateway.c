/* Hosts to a gateway's resources. A host is a virtual host at each side, a resource by itself, made
 * when it changes (VHDS); proxies that do not know that are given tables of all of them. Clusters
 * live as long as some host names them. */
#include "control/gateway_priv.h"

#include <stdio.h>

#include "base/log.h"
#include "base/vec.h"
#include "control/mesh_telemetry.h"
#include "control/translate.h"
#include "net/tls.h"

#define DEFAULT_SECRET GATEWAY_DEFAULT_SECRET
#define ALL_HOSTS      "*"

enum { CERTIFICATE_DAYS = 3650, SECRET_NAME_MAX = 600, LISTENER_NAME_MAX = 80 };

static const struct route_upstream usual_upstream;
static const char *const routes_names[TRANSLATE_SIDES] = {"http", "https"};

/* NULL: there is none. */
static struct xds_entry *virtual_host(const struct gateway *g, unsigned peer, unsigned side,
                                      const char *name)
{
    AUTO_CHARS char *resource = xasprintf("%s/%s", routes_names[side], name);
    return xds_set_find(g->sets[peer], XDS_HOST, str_from(resource));
}

static void keep_virtual_host(struct gateway *g, unsigned peer, unsigned side, const char *name,
                              struct xds_entry *e)
{
    const struct xds_entry *before = virtual_host(g, peer, side, name);
    g->host_bytes[peer][side] += e->message.n - (before ? before->message.n : 0);
    xds_set_put(g->sets[peer], e);
}

static void put_virtual_host(struct gateway *g, unsigned peer, unsigned side, const char *name,
                             struct str packed)
{
    keep_virtual_host(g, peer, side, name,
                      translate_virtual_host(routes_names[side], name, packed));
}

static void drop_virtual_hosts(struct gateway *g, const char *name)
{
    for (unsigned peer = 0; peer < TRANSLATE_PEERS; peer++)
        for (unsigned side = 0; g->sets[peer] && side < TRANSLATE_SIDES; side++) {
            const struct xds_entry *e = virtual_host(g, peer, side, name);
            if (!e)
                continue;
            g->host_bytes[peer][side] -= e->message.n;
            xds_set_remove(g->sets[peer], XDS_HOST, e->name);
        }
}

static void put_error_host(struct gateway *g, unsigned peer, const struct error_host *h)
{
    AUTO_DONE(buf) struct buf packed = {0};
    translate_error_host(&h->to, &packed);
    for (unsigned side = 0; side < TRANSLATE_SIDES; side++)
        put_virtual_host(g, peer, side, h->name, buf_str(&packed));
}

static void use_error_host(struct gateway *g, const struct route_backend *to)
{
    char name[CLUSTER_NAME_MAX];
    size_t at = 0;
    translate_error_host_name(to, name);
    gateway_use_backend(g, to, &usual_upstream);
    while (at < g->errors.n && strcmp(g->errors.v[at].name, name) < 0)
        at++;
    if (at == g->errors.n || !streq(g->errors.v[at].name, name)) {
        vec_push(&g->errors, (struct error_host){0});
        memmove(&g->errors.v[at + 1], &g->errors.v[at],
                (g->errors.n - 1 - at) * sizeof(*g->errors.v));
        g->errors.v[at] = (struct error_host){
            xstrdup(name), {.service = xstrdup(to->service), .port = to->port, .weight = 1}, 0};
        for (unsigned peer = 0; peer < TRANSLATE_PEERS; peer++)
            if (g->sets[peer])
                put_error_host(g, peer, &g->errors.v[at]);
    }
    g->errors.v[at].users++;
}

static void stop_using_error_host(struct gateway *g, const struct route_backend *to)
{
    char name[CLUSTER_NAME_MAX];
    translate_error_host_name(to, name);
    gateway_stop_using_backend(g, to, &usual_upstream);
    for (size_t i = 0; i < g->errors.n; i++) {
        struct error_host *h = &g->errors.v[i];
        if (!streq(h->name, name) || --h->users)
            continue;
        drop_virtual_hosts(g, name);
        free(h->name);
        free(h->to.service);
        vec_remove(&g->errors, i);
        return;
    }
}

static void for_error_hosts(struct gateway *g, const struct route_host *h,
                            void (*fn)(struct gateway *g, const struct route_backend *to))
{
    for (uint32_t r = 0; h && r < h->n_routes; r++)
        if (h->routes[r].errors)
            fn(g, &h->routes[r].errors->to);
}

static void use_mirror(struct gateway *g, const struct route_mirror *m)
{
    char name[CLUSTER_NAME_MAX];
    if (!m->host)
        gateway_use_backend(g, &m->to, &usual_upstream);
    else if (gateway_use(&g->clusters, translate_host_cluster_name(m->host, m->port, m->tls, name)))
        gateway_put(g, translate_host_cluster(m->host, m->port, m->tls));
}

static void stop_using_mirror(struct gateway *g, const struct route_mirror *m)
{
    char name[CLUSTER_NAME_MAX];
    if (!m->host)
        gateway_stop_using_backend(g, &m->to, &usual_upstream);
    else if (gateway_stop_using(&g->clusters,
                                translate_host_cluster_name(m->host, m->port, m->tls, name)))
        gateway_drop(g, XDS_CLUSTER, str_from(name));
}

static void for_mirrors(struct gateway *g, const struct route_host *h,
                        void (*fn)(struct gateway *g, const struct route_mirror *m))
{
    for (uint32_t r = 0; h && r < h->n_routes; r++)
        for (uint32_t i = 0; i < h->routes[r].n_mirrors; i++)
            fn(g, &h->routes[r].mirrors[i]);
}

/* Of a guard's request. */
static void use_host(struct gateway *g, const struct route_auth_request *q)
{
    char name[CLUSTER_NAME_MAX];
    if (gateway_use(&g->clusters, translate_host_cluster_name(q->host, q->port, q->tls, name)))
        gateway_put(g, translate_host_cluster(q->host, q->port, q->tls));
}

static void stop_using_host(struct gateway *g, const struct route_auth_request *q)
{
    char name[CLUSTER_NAME_MAX];
    if (gateway_stop_using(&g->clusters,
                           translate_host_cluster_name(q->host, q->port, q->tls, name)))
        gateway_drop(g, XDS_CLUSTER, str_from(name));
}

struct uses {
    void (*backend)(struct gateway *g, const struct route_backend *to,
                    const struct route_upstream *up);
    void (*host)(struct gateway *g, const struct route_auth_request *q);
};

static void for_backends(struct gateway *g, const struct route_host *h, const struct uses *fn)
{
    for (uint32_t n = 0; h && n < h->n_routes; n++) {
        const struct route *r = &h->routes[n];
        for (uint32_t i = 0; i < r->n_backends; i++)
            fn->backend(g, &r->backends[i], &r->upstream);
        if (r->asks.service)
            fn->backend(g, &r->asks, &r->asks_by);
        else if (r->guard && r->guard->request.on)
            fn->host(g, &r->guard->request);
    }
}

/* ---- certificates ---- */

static const char *secret_name(const char *key, char ret[SECRET_NAME_MAX])
{
    snprintf(ret, SECRET_NAME_MAX, "kubernetes://%s", key);
    return ret;
}

static struct certificate *certificate_of(struct gateway *g, const char *key)
{
    struct certificate *c = map_find_cstr(&g->certificates, key);
    if (!c) {
        c = NEW(struct certificate);
        map_put_cstr(&g->certificates, key, c);
    }
    return c;
}

static void drop_if_unused(struct gateway *g, const char *key, struct certificate *c)
{
    if (c->users || c->entry)
        return;
    map_remove_cstr(&g->certificates, key);
    free(c);
}

/* key: "" and NULL are none of a Secret. */
static void use_secret(struct gateway *g, const char *key)
{
    if (str_empty(key))
        return;
    struct certificate *c = certificate_of(g, key);
    if (c->users++ == 0 && c->entry)
        gateway_put(g, xds_entry_ref(c->entry));
}

static void stop_using_secret(struct gateway *g, const char *key)
{
    char name[SECRET_NAME_MAX];
    if (str_empty(key))
        return;
    struct certificate *c = certificate_of(g, key);
    if (--c->users == 0)
        gateway_drop(g, XDS_SECRET, str_from(secret_name(key, name)));
    drop_if_unused(g, key, c);
}

static void set_certificate(struct gateway *g, const char *key, struct xds_entry *entry)
{
    struct certificate *c = certificate_of(g, key);
    char name[SECRET_NAME_MAX];
    g->listeners_changed = g->listeners_changed || (c->users && !c->entry != !entry);
    xds_entry_unref(c->entry);
    c->entry = entry;
    if (c->users && entry)
        gateway_put(g, xds_entry_ref(entry));
    else if (c->users)
        gateway_drop(g, XDS_SECRET, str_from(secret_name(key, name)));
    drop_if_unused(g, key, c);
}

int gateway_put_secret(struct gateway *g, const char *key, struct str chain_pem, struct str key_pem,
                       struct err *reterr)
{
    char name[SECRET_NAME_MAX];
    struct tls_context *context;
    if (!chain_pem.n && !key_pem.n) {
        set_certificate(g, key, NULL);
        return 0;
    }
    const struct tls_config config = {.cert_pem = chain_pem, .key_pem = key_pem};
    int r = tls_context_new_server(&config, &context, reterr);
    if (r < 0)
        return r;
    tls_context_unref(context);
    set_certificate(g, key, translate_secret(secret_name(key, name), chain_pem, key_pem));
    return 0;
}

bool gateway_has_secret(const struct gateway *g, const char *key)
{
    const struct certificate *c = map_find_cstr(&g->certificates, key);
    return c && c->entry;
}

struct auth_objects *gateway_auth_objects(struct gateway *g)
{
    return &g->objects;
}

/* ---- hosts ---- */

/* Where it is, or belongs. */
static size_t host_at(const struct gateway *g, const char *name)
{
    size_t low = 0, high = g->hosts.n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (strcmp(g->hosts.v[mid]->name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Another certificate, whom TLS goes to, or the host's coming and going: the listener has other
 * chains. */
static bool same_chain(const struct route_host *a, const struct route_host *b)
{
    const struct route_backend none = {0}, *x = a ? &a->passthrough : &none,
                               *y = b ? &b->passthrough : &none;
    return streq(a ? a->secret : NULL, b ? b->secret : NULL) && streq(x->service, y->service) &&
           x->port == y->port;
}

static void use_passthrough(struct gateway *g, const struct route_host *h)
{
    if (h && h->passthrough.service)
        gateway_use_backend(g, &h->passthrough, &usual_upstream);
}

static void stop_using_passthrough(struct gateway *g, const struct route_host *h)
{
    if (h && h->passthrough.service)
        gateway_stop_using_backend(g, &h->passthrough, &usual_upstream);
}

/* NULL: there is none. */
static struct route_host *find_host(const struct gateway *g, const char *name)
{
    size_t at = host_at(g, name);
    return at < g->hosts.n && streq(g->hosts.v[at]->name, name) ? g->hosts.v[at] : NULL;
}

static void pack_for(struct gateway *g, const struct route_host *h, enum translate_peer peer)
{
    const struct route_host *all = find_host(g, ALL_HOSTS);
    AUTO_DONE(buf) struct buf b = {0};
    for (unsigned side = 0; side < TRANSLATE_SIDES; side++) {
        const struct translate_view view = {side, peer, &g->objects, g->settings};
        struct xds_entry *same =
            peer == TRANSLATE_MESHED ? virtual_host(g, TRANSLATE_OURS, side, h->name) : NULL;
        if (same) { /* what they are led to differs, not where */
            keep_virtual_host(g, peer, side, h->name, xds_entry_ref(same));
            continue;
        }
        buf_clear(&b);
        if (!translate_host(h, all, &view, &b))
            log_warn("a host is too large, and closed: it answers 503; fewer paths, or less that "
                     "protects each",
                     kv_s("host", h->name));
        put_virtual_host(g, peer, side, h->name, buf_str(&b));
    }
}

static void pack(struct gateway *g, const struct route_host *h)
{
    for (unsigned peer = 0; peer < TRANSLATE_PEERS; peer++)
        if (g->sets[peer])
            pack_for(g, h, peer);
}

/* They hold the routes of all hosts. */
static void pack_wildcards(struct gateway *g)
{
    VEC_FOREACH (h, &g->hosts)
        if ((*h)->one_label)
            pack(g, *h);
}

/* Its place among the others. */
static void keep_host(struct gateway *g, const char *name, struct route_host *h)
{
    size_t at = host_at(g, name);
    bool known = find_host(g, name);
    if (known && !h) {
        vec_remove(&g->hosts, at);
    } else if (known) {
        g->hosts.v[at] = h;
    } else if (h) {
        vec_push(&g->hosts, NULL);
        memmove(&g->hosts.v[at + 1], &g->hosts.v[at], (g->hosts.n - 1 - at) * sizeof(*g->hosts.v));
        g->hosts.v[at] = h;
    }
}

struct route_host *gateway_put_host(struct gateway *g, const char *name, struct route_host *h)
{
    struct route_host *before = find_host(g, name);
    for_backends(g, h, &(struct uses){gateway_use_backend, use_host});
    for_mirrors(g, h, use_mirror);
    for_error_hosts(g, h, use_error_host);
    use_passthrough(g, h);
    for_backends(g, before, &(struct uses){gateway_stop_using_backend, stop_using_host});
    for_mirrors(g, before, stop_using_mirror);
    for_error_hosts(g, before, stop_using_error_host);
    stop_using_passthrough(g, before);
    use_secret(g, h ? h->secret : NULL);
    stop_using_secret(g, before ? before->secret : NULL);
    g->routes_changed = true;
    /* Who asks for certificates of clients may have another CA now. */
    g->listeners_changed = g->listeners_changed || !same_chain(before, h) ||
                           (before && before->client_cert) || (h && h->client_cert);
    keep_host(g, name, h);
    if (h)
        pack(g, h);
    else
        drop_virtual_hosts(g, name);
    if (streq(name, ALL_HOSTS))
        pack_wildcards(g);
    return before;
}

size_t gateway_hosts(const struct gateway *g)
{
    return g->hosts.n;
}

/* ---- the certificate of all others ---- */

static int make_default_secret(struct gateway *g, struct err *reterr)
{
    static const char *const names[] = {"fairlead.invalid"};
    AUTO_DONE(buf) struct buf chain = {0};
    AUTO_DONE(buf) struct buf key = {0};
    const struct tls_cert_request request = {.common_name = "Fairlead default certificate",
                                             .dns_names = names,
                                             .n_dns_names = 1,
                                             .server = true,
                                             .days = CERTIFICATE_DAYS};
    int r = tls_cert_issue(&request, STR(""), STR(""), &chain, &key, reterr);
    if (r == 0)
        gateway_put(g, translate_secret(DEFAULT_SECRET, buf_str(&chain), buf_str(&key)));
    return r;
}

/* ---- the whole ---- */

/* Whoever has the most is left out of what is too much in all, not whoever comes last. */
static void close_largest(struct gateway *g, enum translate_peer peer, enum translate_side side,
                          const struct map *were_closed)
{
    const size_t limit =
        peer == TRANSLATE_FOREIGN ? TRANSLATE_TABLE_BYTES_MAX : TRANSLATE_HOSTS_BYTES_MAX;
    AUTO_DONE(buf) struct buf b = {0};
    VEC(size_t) sizes = {0}; /* of g->hosts: looked up once, however many are to be closed */
    if (g->host_bytes[peer][side] > limit)
        VEC_FOREACH (h, &g->hosts)
            vec_push(&sizes, virtual_host(g, peer, side, (*h)->name)->message.n);
    while (g->host_bytes[peer][side] > limit && sizes.n) {
        size_t most = 0;
        for (size_t i = 1; i < sizes.n; i++)
            most = sizes.v[i] > sizes.v[most] ? i : most;
        const char *name = g->hosts.v[most]->name;
        buf_clear(&b);
        translate_closed_host(name, &b);
        if (b.n >= sizes.v[most])
            break; /* there is no more to be had */
        put_virtual_host(g, peer, side, name, buf_str(&b));
        sizes.v[most] = b.n;
        if (!map_put_cstr(&g->closed, name, g) && !map_find_cstr(were_closed, name))
            log_warn("there is too much of all hosts; the largest is closed: it answers 503",
                     kv_s("host", name));
    }
    vec_done(&sizes);
}

/* Those that were closed may be as large as there is room for by now. */
static void open_closed(struct gateway *g, const struct map *were_closed)
{
    struct str name;
    for (size_t at = 0; map_next(were_closed, &at, &name, NULL);) {
        AUTO_CHARS char *text = str_dup(name);
        const struct route_host *h = find_host(g, text);
        if (h)
            pack(g, h);
    }
}

/* For who takes tables as a whole. */
static struct xds_entry *whole_routes(const struct gateway *g, unsigned peer, unsigned side)
{
    VEC(struct str) packed = {0};
    VEC_FOREACH (h, &g->hosts)
        vec_push(&packed, virtual_host(g, peer, side, (*h)->name)->message);
    VEC_FOREACH (e, &g->errors)
        vec_push(&packed, virtual_host(g, peer, side, e->name)->message);
    struct xds_entry *e = translate_routes(routes_names[side], packed.v, packed.n);
    vec_done(&packed);
    return e;
}

static void flush_routes(struct gateway *g, enum translate_peer peer, const struct map *were_closed)
{
    bool whole = peer == TRANSLATE_FOREIGN;
    for (unsigned side = 0; side < TRANSLATE_SIDES; side++) {
        close_largest(g, peer, side, were_closed);
        xds_set_put(g->sets[peer], whole ? whole_routes(g, peer, side)
                                         : translate_routes_by_hosts(routes_names[side]));
    }
}

static const char *listener_name(const struct gateway *g, uint16_t port,
                                 char ret[LISTENER_NAME_MAX])
{
    snprintf(ret, LISTENER_NAME_MAX, "%s_%u", g->options->address, port);
    return ret;
}

static void put_listener(struct gateway *g, uint16_t port, enum translate_side side,
                         const struct translate_chain *chains, size_t n, enum translate_peer peer)
{
    char name[LISTENER_NAME_MAX];
    listener_name(g, port, name);
    struct mesh_telemetry *t = peer == TRANSLATE_MESHED && g->mesh.peers.pods && g->mesh.rules
                                   ? mesh_telemetry_find(&g->mesh.peers, g->mesh.rules, g->join,
                                                         str_from(g->mesh.ns), NULL)
                                   : NULL;
    struct mesh_told told = {NULL, NULL, NULL};
    if (t) {
        told = t->side[TELEMETRY_CLIENT];
        if (!g->collector.service && !mesh_told_traces_to_us(&told))
            told.tracing = NULL; /* to nobody whom the gateway knows */
        if (told.stats)          /* strangers choose the hosts that they ask for */
            json_object_set_new(told.stats, "disable_host_header_fallback", json_true());
    }
    const struct translate_listener l = {.name = name,
                                         .address = g->options->address,
                                         .port = port,
                                         .routes = routes_names[side],
                                         .chains = chains,
                                         .n_chains = n,
                                         .settings = g->settings,
                                         .answer_fields = g->answer_fields,
                                         .request_fields = g->request_fields,
                                         .told = t ? &told : NULL,
                                         .peer = peer};
    xds_set_put(g->sets[peer], translate_listener(&l));
    mesh_telemetry_free(t);
}

void gateway_telemetry_changed(struct gateway *g)
{
    g->listeners_changed = true;
}

/* Where spans go is a cluster like those that hosts lead to. */
static void use_collector(struct gateway *g)
{
    struct route_backend before = g->collector;
    uint16_t port = 0;
    char *key = g->mesh.peers.pods && g->mesh.rules
                    ? mesh_telemetry_collector(&g->mesh.peers, g->join, str_from(g->mesh.ns), &port)
                    : NULL;
    g->collector = (struct route_backend){.service = key, .port = port};
    if (key)
        gateway_use_backend(g, &g->collector, &usual_upstream);
    if (before.service)
        gateway_stop_using_backend(g, &before, &usual_upstream);
    free(before.service);
}

/* Where TLS for a host ends, and what it asks for. Returns a name that the chain borrows; NULL: it
 * has the default certificate. */
static char *name_chain(const struct gateway *g, const struct route_host *h,
                        struct translate_chain *c)
{
    const struct route_backend *through = &h->passthrough;
    char name[CLUSTER_NAME_MAX];
    char *own = NULL;
    if (through->service) {
        c->secret = NULL;
        c->cluster = own =
            xstrdup(translate_cluster_name(through->service, through->port, &usual_upstream, name));
        return own;
    }
    if (!str_empty(h->secret) && gateway_has_secret(g, h->secret))
        c->secret = own = xstrdup(secret_name(h->secret, name));
    if (h->client_cert) {
        c->ca = auth_objects_ca(&g->objects, h->client_cert->secret);
        c->verify_depth = h->client_cert->depth;
    }
    return own;
}

static void flush_listeners(struct gateway *g, enum translate_peer peer)
{
    VEC(struct translate_chain) chains = {0};
    VEC(char *) names = {0}; /* of secrets, of clusters */
    struct translate_chain other = {.secret = DEFAULT_SECRET};
    VEC_FOREACH (h, &g->hosts) {
        struct translate_chain c = {.server_name = (*h)->name, .secret = DEFAULT_SECRET};
        char *name = name_chain(g, *h, &c);
        if (streq(c.server_name, ALL_HOSTS)) {
            /* A Gateway may take all hosts; of Ingresses it is the default certificate. */
            if (c.secret && name && streq((*h)->owner.kind, "VirtualService"))
                other.secret = c.secret;
            other.ca = c.ca;
            other.verify_depth = c.verify_depth;
        } else if (name || c.ca) {
            vec_push(&chains, c);
        }
        if (name)
            vec_push(&names, name);
    }
    vec_push(&chains, other);
    put_listener(g, g->options->http_port, TRANSLATE_PLAIN, NULL, 0, peer);
    put_listener(g, g->options->https_port, TRANSLATE_TLS, chains.v, chains.n, peer);
    VEC_FOREACH (name, &names)
        free(*name);
    vec_done(&names);
    vec_done(&chains);
}

void gateway_set_config(struct gateway *g, const struct ingress_settings *settings,
                        const struct route_fields *answer_fields,
                        const struct route_fields *request_fields)
{
    g->settings = settings;
    g->answer_fields = answer_fields;
    g->request_fields = request_fields;
    g->listeners_changed = true;
}

/* ---- ports to Services ---- */

static void put_stream(struct gateway *g, const struct stream *s)
{
    char name[LISTENER_NAME_MAX], cluster[CLUSTER_NAME_MAX];
    gateway_use_backend(g, &s->to, &usual_upstream);
    translate_cluster_name(s->to.service, s->to.port, &usual_upstream, cluster);
    gateway_put(g, translate_stream(listener_name(g, s->listen, name), g->options->address,
                                    s->listen, cluster, s->proxied));
}

/* Its listener goes, if none of the others has its port. */
static void drop_stream(struct gateway *g, struct stream *s)
{
    char name[LISTENER_NAME_MAX];
    bool kept = false;
    VEC_FOREACH (other, &g->streams)
        kept = kept || other->listen == s->listen;
    if (!kept)
        gateway_drop(g, XDS_LISTENER, str_from(listener_name(g, s->listen, name)));
    gateway_stop_using_backend(g, &s->to, &usual_upstream);
    free(s->to.service);
}

void gateway_put_streams(struct gateway *g, const struct stream_services *services)
{
    VEC(struct stream) before = {g->streams.v, g->streams.n, g->streams.cap};
    memset(&g->streams, 0, sizeof(g->streams));
    for (size_t i = 0; i < services->n; i++) {
        const struct stream_service *from = &services->v[i];
        uint16_t port = stream_service_port(from, g->join);
        if (!port)
            continue;
        vec_push(&g->streams,
                 (struct stream){from->listen,
                                 {.service = xstrdup(from->service), .port = port, .weight = 1},
                                 from->proxied});
        put_stream(g, &g->streams.v[g->streams.n - 1]);
    }
    VEC_FOREACH (s, &before)
        drop_stream(g, s);
    vec_done(&before);
}

static void flush_all_routes(struct gateway *g)
{
    struct map were_closed = g->closed;
    g->closed = (struct map){0};
    open_closed(g, &were_closed);
    for (unsigned peer = 0; peer < TRANSLATE_PEERS; peer++)
        if (g->sets[peer])
            flush_routes(g, peer, &were_closed);
    map_done(&were_closed);
}

void gateway_flush(struct gateway *g)
{
    if (g->routes_changed)
        flush_all_routes(g);
    if (g->listeners_changed)
        use_collector(g);
    for (unsigned peer = 0; g->listeners_changed && peer < TRANSLATE_PEERS; peer++)
        if (g->sets[peer])
            flush_listeners(g, peer);
    g->routes_changed = g->listeners_changed = false;
    gateway_passage_flush(g->passage);
}

int gateway_new(const struct gateway_options *o, const struct service_join *join,
                struct gateway **ret, struct err *reterr)
{
    struct gateway *g = NEW(struct gateway);
    g->options = o;
    g->join = join;
    g->passage_options = (struct gateway_passage_options){o->address, join};
    g->passage = gateway_passage_new(&g->passage_options);
    g->sets[TRANSLATE_OURS] = xds_set_new();
    g->routes_changed = g->listeners_changed = true;
    int r = make_default_secret(g, reterr);
    if (r < 0)
        gateway_free(g);
    else
        *ret = g;
    return r;
}

void gateway_set_mesh(struct gateway *g, const struct gateway_mesh *m)
{
    g->mesh = *m;
}

void gateway_free(struct gateway *g)
{
    void *certificate;
    size_t at = 0;
    if (!g)
        return;
    gateway_passage_free(g->passage);
    while (g->hosts.n) {
        AUTO_CHARS char *name = xstrdup(g->hosts.v[g->hosts.n - 1]->name);
        route_host_unref(gateway_put_host(g, name, NULL));
    }
    gateway_put_streams(g, &(struct stream_services){0});
    if (g->collector.service)
        gateway_stop_using_backend(g, &g->collector, &usual_upstream);
    free(g->collector.service);
    vec_done(&g->hosts);
    vec_done(&g->errors);
    map_done(&g->closed);
    map_done(&g->clusters);
    map_done(&g->endpoints);
    map_done(&g->backend_secrets);
    map_done(&g->served);
    while (map_next(&g->certificates, &at, NULL, &certificate)) {
        xds_entry_unref(((struct certificate *)certificate)->entry);
        free(certificate);
    }
    map_done(&g->certificates);
    auth_objects_done(&g->objects);
    for (unsigned peer = 0; peer < TRANSLATE_PEERS; peer++)
        if (g->sets[peer])
            xds_set_free(g->sets[peer]);
    free(g);
}

/* Clusters and Secrets that proxies of the kind are not given. */
static void leave_out(struct gateway *g, enum translate_peer peer)
{
    char name[CLUSTER_NAME_MAX];
    struct str key;
    VEC_FOREACH (h, &g->hosts)
        for (uint32_t n = 0; n < (*h)->n_routes; n++) {
            const struct route *r = &(*h)->routes[n];
            for (uint32_t i = 0; i < r->n_backends && !gateway_is_for(&r->upstream, peer); i++)
                xds_set_remove(
                    g->sets[peer], XDS_CLUSTER,
                    str_from(translate_cluster_name(r->backends[i].service, r->backends[i].port,
                                                    &r->upstream, name)));
        }
    for (size_t at = 0; map_next(&g->backend_secrets, &at, &key, NULL);)
        for (unsigned part = 0; part < TRANSLATE_SECRET_PARTS; part++) {
            AUTO_CHARS char *of = str_dup(key);
            xds_set_remove(g->sets[peer], XDS_SECRET,
                           str_from(translate_secret_name(of, part, name)));
        }
}

/* Made when the first one asks: most clusters have proxies of one kind. */
static void make_set(struct gateway *g, enum translate_peer peer)
{
    const struct xds_set *all = g->sets[TRANSLATE_OURS];
    g->sets[peer] = xds_set_new();
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        struct xds_entry *e;
        for (struct xds_iter i = {0}; xds_set_next(all, type, &i, &e);)
            if (type != XDS_ROUTE && type != XDS_HOST) /* made anew below, as listeners are */
                xds_set_put(g->sets[peer], xds_entry_ref(e));
    }
    leave_out(g, peer);
    if (peer == TRANSLATE_MESHED) {
        gateway_put_meshed_all(g);
        gateway_passage_begin(g->passage, &g->mesh, g->sets[peer]);
        gateway_passage_flush(g->passage);
    }
    VEC_FOREACH (h, &g->hosts)
        pack_for(g, *h, peer);
    VEC_FOREACH (e, &g->errors)
        put_error_host(g, peer, e);
    flush_routes(g, peer, &g->closed);
    flush_listeners(g, peer);
}

struct xds_set *gateway_set(struct gateway *g, enum translate_peer peer)
{
    if (!g->sets[peer])
        make_set(g, peer);
    return g->sets[peer];
}
