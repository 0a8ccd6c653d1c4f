/* A discovery stream's state: for each type what is subscribed, what is held, the nonce.
 *
 * Requests of a stream are sent in the order of the types' dependence: clusters, endpoints,
 * listeners, routes, secrets; and changed subscriptions before the ACK of the response that changed
 * them, so that a server learns of new endpoints wanted before it goes on. */
#include "xds/xds_client.h"

#include <envoy/service/discovery/v3/discovery.pb-c.h>
#include <errno.h>

#include "base/assert.h"
#include "base/vec.h"

typedef Envoy__Service__Discovery__V3__DiscoveryRequest pb_request;
typedef Envoy__Service__Discovery__V3__DiscoveryResponse pb_response;
typedef Envoy__Service__Discovery__V3__DeltaDiscoveryRequest pb_delta_request;
typedef Envoy__Service__Discovery__V3__DeltaDiscoveryResponse pb_delta_response;
typedef Envoy__Service__Discovery__V3__DeltaDiscoveryRequest__InitialResourceVersionsEntry
    pb_version;

/* google.rpc.Code INTERNAL, as Envoy refuses with. */
enum {
    CODE_INTERNAL = 13,
    REFUSED_BYTES_MAX = 64 * 1024, /* of what is told about one response */
};

static char subscribed; /* the value of every name */

struct xds_names {
    char **v;
    size_t n, cap;
};

struct xds_versions {
    pb_version *v;
    size_t n, cap;
};

struct subscription {
    bool all;
    bool asked;             /* on this stream */
    struct map names;       /* name -> &subscribed */
    struct map versions;    /* delta: name -> char *, what is held */
    struct xds_names added; /* delta: not sent yet */
    struct xds_names removed;
    bool changed;  /* state of the world: names are not what was sent */
    char *version; /* state of the world: accepted last; NULL: nothing */
    char *nonce;   /* of this stream; NULL: none yet */
};

struct xds_client {
    bool delta;
    bool is_open;
    bool node_sent;
    bool busy; /* in on_update: what is to be sent waits */
    const Envoy__Config__Core__V3__Node *node;
    const struct xds_client_ops *ops;
    void *user;
    struct subscription types[XDS_RESOURCES];
};

struct xds_client *xds_client_new(bool delta, const Envoy__Config__Core__V3__Node *node,
                                  const struct xds_client_ops *ops, void *user)
{
    struct xds_client *c = NEW(struct xds_client);
    c->delta = delta;
    c->node = node;
    c->ops = ops;
    c->user = user;
    return c;
}

static void forget_changes(struct subscription *s)
{
    VEC_FOREACH (name, &s->added)
        free(*name);
    VEC_FOREACH (name, &s->removed)
        free(*name);
    s->added.n = s->removed.n = 0;
    s->changed = false;
}

void xds_client_free(struct xds_client *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < XDS_RESOURCES; i++) {
        struct subscription *s = &c->types[i];
        void *version;
        forget_changes(s);
        vec_done(&s->added);
        vec_done(&s->removed);
        for (size_t at = 0; map_next(&s->versions, &at, NULL, &version);)
            free(version);
        map_done(&s->versions);
        map_done(&s->names);
        free(s->version);
        free(s->nonce);
    }
    free(c);
}

const char *xds_client_method(const struct xds_client *c)
{
    return c->delta
               ? "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
               : "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
}

/* ---- requests ---- */

static void send_message(struct xds_client *c, const ProtobufCMessage *m)
{
    AUTO_DONE(buf) struct buf b = {0};
    if (pb_pack(m, &b) == 0)
        c->ops->send(buf_str(&b), c->user);
    c->node_sent = true;
}

static Envoy__Config__Core__V3__Node *node_once(struct xds_client *c)
{
    return c->node_sent ? NULL : (void *)(uintptr_t)c->node;
}

/* What every request says of the type. NULL text: no refusal. */
struct answer {
    const char *nonce;
    Google__Rpc__Status *refusal;
};

static void send_sotw(struct xds_client *c, enum xds_resource type, const struct answer *a)
{
    struct subscription *s = &c->types[type];
    pb_request m;
    VEC(char *) names = {0};
    struct str name;
    if (!s->all)
        for (size_t at = 0; map_next(&s->names, &at, &name, NULL);)
            vec_push(&names, (char *)(uintptr_t)name.p);
    envoy__service__discovery__v3__discovery_request__init(&m);
    m.node = node_once(c);
    m.type_url = (char *)(uintptr_t)xds_resource_type(type)->type_url;
    m.version_info = s->version ? s->version : m.version_info;
    m.response_nonce = s->nonce ? s->nonce : m.response_nonce;
    m.error_detail = a ? a->refusal : NULL;
    m.resource_names = names.v;
    m.n_resource_names = names.n;
    s->asked = true;
    forget_changes(s);
    send_message(c, &m.base);
    vec_done(&names);
}

/* Names of `from` that are (or are not) subscribed now. */
static void keep_names(const struct subscription *s, const struct xds_names *from, bool there,
                       struct xds_names *to)
{
    VEC_FOREACH (name, from)
        if ((map_find_cstr(&s->names, *name) != NULL) == there)
            vec_push(to, *name);
}

/* All that is subscribed, and what is held of it: a stream's first request. */
static void say_all(const struct subscription *s, struct xds_names *names,
                    struct xds_versions *versions)
{
    struct str name;
    void *version;
    for (size_t at = 0; map_next(&s->names, &at, &name, NULL);)
        vec_push(names, (char *)(uintptr_t)name.p);
    vec_reserve(versions, s->versions.used);
    for (size_t at = 0; map_next(&s->versions, &at, &name, &version);) {
        pb_version *v = vec_add(versions);
        envoy__service__discovery__v3__delta_discovery_request__initial_resource_versions_entry__init(
            v);
        v->key = (char *)(uintptr_t)name.p;
        v->value = version;
    }
}

static void send_delta(struct xds_client *c, enum xds_resource type, const struct answer *a)
{
    struct subscription *s = &c->types[type];
    pb_delta_request m;
    struct xds_names names = {0}, gone = {0};
    struct xds_versions versions = {0};
    VEC(pb_version *) entries = {0};
    envoy__service__discovery__v3__delta_discovery_request__init(&m);
    if (s->asked) {
        keep_names(s, &s->added, true, &names);
        keep_names(s, &s->removed, false, &gone);
    } else {
        say_all(s, &names, &versions);
    }
    VEC_FOREACH (v, &versions)
        vec_push(&entries, v);
    m.resource_names_subscribe = names.v;
    m.n_resource_names_subscribe = names.n;
    m.resource_names_unsubscribe = gone.v;
    m.n_resource_names_unsubscribe = gone.n;
    m.initial_resource_versions = entries.v;
    m.n_initial_resource_versions = entries.n;
    m.type_url = (char *)(uintptr_t)xds_resource_type(type)->type_url;
    if (a) {
        m.response_nonce = (char *)(uintptr_t)a->nonce;
        m.error_detail = a->refusal;
    }
    if (!s->asked || a || names.n || gone.n) {
        m.node = node_once(c);
        send_message(c, &m.base);
    }
    s->asked = true;
    forget_changes(s);
    vec_done(&names);
    vec_done(&gone);
    vec_done(&versions);
    vec_done(&entries);
}

void xds_client_tell_health(struct xds_client *c, bool healthy, const char *message)
{
    enum { UNHEALTHY = 500 }; /* as Istio's agents */
    Google__Rpc__Status wrong;
    google__rpc__status__init(&wrong);
    wrong.code = UNHEALTHY;
    wrong.message = (char *)(uintptr_t)message;
    if (c->delta) {
        pb_delta_request m;
        envoy__service__discovery__v3__delta_discovery_request__init(&m);
        m.node = node_once(c);
        m.type_url = (char *)(uintptr_t)XDS_HEALTH_TYPE;
        m.error_detail = healthy ? NULL : &wrong;
        send_message(c, &m.base);
    } else {
        pb_request m;
        envoy__service__discovery__v3__discovery_request__init(&m);
        m.node = node_once(c);
        m.type_url = (char *)(uintptr_t)XDS_HEALTH_TYPE;
        m.error_detail = healthy ? NULL : &wrong;
        send_message(c, &m.base);
    }
}

static void send_request(struct xds_client *c, enum xds_resource type, const struct answer *a)
{
    if (c->delta)
        send_delta(c, type, a);
    else
        send_sotw(c, type, a);
}

static bool is_wanted(const struct subscription *s)
{
    return s->all || s->names.used;
}

void xds_client_flush(struct xds_client *c)
{
    if (!c->is_open || c->busy)
        return;
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        const struct subscription *s = &c->types[type];
        if (s->asked ? s->changed : is_wanted(s))
            send_request(c, type, NULL);
    }
}

void xds_client_open(struct xds_client *c)
{
    ASSERT(!c->is_open);
    c->is_open = true;
    c->node_sent = false;
    for (size_t i = 0; i < XDS_RESOURCES; i++) {
        c->types[i].asked = false;
        free(TAKE(c->types[i].nonce));
        forget_changes(&c->types[i]);
    }
    xds_client_flush(c);
}

void xds_client_close(struct xds_client *c)
{
    c->is_open = false;
    for (size_t i = 0; i < XDS_RESOURCES; i++) { /* the next one is told everything */
        c->types[i].asked = false;
        forget_changes(&c->types[i]);
    }
}

/* ---- subscriptions ---- */

void xds_client_subscribe_all(struct xds_client *c, enum xds_resource type)
{
    ASSERT(type < XDS_RESOURCES);
    c->types[type].all = true;
}

void xds_client_subscribe(struct xds_client *c, enum xds_resource type, struct str name)
{
    struct subscription *s = &c->types[type];
    ASSERT(type < XDS_RESOURCES && !s->all);
    if (map_put(&s->names, name, &subscribed))
        return;
    s->changed = true;
    if (c->delta && s->asked)
        vec_push(&s->added, str_dup(name));
}

static void drop_version(struct subscription *s, struct str name)
{
    free(map_remove(&s->versions, name));
}

/* Of a table's virtual hosts. */
static void drop_versions_of(struct subscription *s, struct str table)
{
    struct str name;
    for (size_t at = 0; map_next(&s->versions, &at, &name, NULL);)
        if (str_eq(xds_host_table(name), table))
            drop_version(s, name);
}

void xds_client_unsubscribe(struct xds_client *c, enum xds_resource type, struct str name)
{
    struct subscription *s = &c->types[type];
    if (!map_remove(&s->names, name))
        return;
    drop_version(s, name);
    if (type == XDS_HOST)
        drop_versions_of(s, name);
    s->changed = true;
    if (c->delta && s->asked)
        vec_push(&s->removed, str_dup(name));
}

bool xds_client_is_subscribed(const struct xds_client *c, enum xds_resource type, struct str name)
{
    const struct subscription *s = &c->types[type];
    return s->all || map_find(&s->names, name) ||
           (type == XDS_HOST && map_find(&s->names, xds_host_table(name)));
}

void xds_client_hold(struct xds_client *c, enum xds_resource type, struct str name,
                     struct str version)
{
    if (c->delta)
        free(map_put(&c->types[type].versions, name, str_dup(version)));
}

/* ---- responses ---- */

struct kept_text *xds_item_text(struct xds_item *i)
{
    if (!i->text)
        i->text = kept_text_new(i->version, i->bytes);
    return kept_text_ref(i->text);
}

void xds_items_done(struct xds_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        kept_text_unref(TAKE(items[i].text));
}

struct receipt {
    struct xds_client *c;
    enum xds_resource type;
    VEC(struct xds_item) items;
    struct map names; /* of this response */
    struct buf refused;
};

/* One resource, if it was asked for. */
static void add_item(struct receipt *r, const Google__Protobuf__Any *any, const char *name,
                     const char *version)
{
    const char *url = xds_resource_type(r->type)->type_url;
    if (!any || strcmp(any->type_url, url) != 0) {
        buf_addf(&r->refused,
                 "%s%.200s: type URL %.200s does not match the message-wide type URL %s",
                 r->refused.n ? "; " : "", name ? name : "", any ? any->type_url : "", url);
        return;
    }
    struct str bytes = str_of(any->value.data, any->value.len), inner = {0};
    bool nameless = r->type == XDS_WORKLOAD || r->type == XDS_NAMES;
    if (!nameless)
        inner = xds_resource_name(bytes);
    /* A host's own is another than the resource's. */
    if (r->type == XDS_NAMES || (name && (nameless || (r->type == XDS_HOST && inner.n)))) {
        inner = str_from(name ? name : ""); /* istiod's only table of names is called nothing */
    } else if (!inner.n || (name && !str_is(inner, name))) {
        buf_addf(&r->refused, "%sresource %.200s is named %.*s", r->refused.n ? "; " : "",
                 name ? name : "", (int)MIN(inner.n, (size_t)200), inner.n ? inner.p : "(nothing)");
        return;
    }
    if (map_put(&r->names, inner, &subscribed)) {
        buf_addf(&r->refused, "%sduplicate %s %.*s found", r->refused.n ? "; " : "",
                 r->type == XDS_CLUSTER    ? "cluster"
                 : r->type == XDS_LISTENER ? "listener"
                                           : "resource",
                 (int)MIN(inner.n, (size_t)200), inner.p);
        return;
    }
    if (xds_client_is_subscribed(r->c, r->type, inner))
        vec_push(&r->items, (struct xds_item){inner, str_from(version), bytes, false, NULL});
}

/* A resource that comes in an envelope of its own (xDS: TTLs, explicit names). */
static bool is_wrapped(const Google__Protobuf__Any *any)
{
    return str_is(pb_type_name(str_from(any->type_url)),
                  envoy__service__discovery__v3__resource__descriptor.name);
}

static void read_sotw(struct receipt *r, const pb_response *m, struct arena *a)
{
    for (size_t i = 0; i < m->n_resources; i++) {
        const Google__Protobuf__Any *any = m->resources[i];
        ProtobufCMessage *inner;
        struct err err = {0};
        if (!is_wrapped(any)) {
            add_item(r, any, NULL, m->version_info);
        } else if (pb_unpack(&envoy__service__discovery__v3__resource__descriptor,
                             str_of(any->value.data, any->value.len), a, &inner, &err) < 0) {
            buf_addf(&r->refused, "resource %zu: %s", i, err_text(&err));
        } else {
            const Envoy__Service__Discovery__V3__Resource *res = (const void *)inner;
            add_item(r, res->resource, *res->name ? res->name : NULL, m->version_info);
        }
    }
}

static void read_delta(struct receipt *r, const pb_delta_response *m)
{
    for (size_t i = 0; i < m->n_resources; i++) {
        const Envoy__Service__Discovery__V3__Resource *res = m->resources[i];
        if (map_find_cstr(&r->names, res->name))
            buf_addf(&r->refused, "%sduplicate name %.200s found among added/updated resources",
                     r->refused.n ? "; " : "", res->name);
        else
            add_item(r, res->resource, res->name, res->version);
    }
}

static void keep_versions(struct receipt *r, const struct xds_update *u)
{
    struct subscription *s = &r->c->types[r->type];
    for (size_t i = 0; i < u->n_removed; i++)
        drop_version(s, u->removed[i]);
    VEC_FOREACH (item, &r->items)
        if (!item->refused && xds_client_is_subscribed(r->c, r->type, item->name))
            xds_client_hold(r->c, r->type, item->name, item->version);
}

/* A string of protobuf must be UTF-8, wherever it was cut. */
static void make_text(struct buf *b)
{
    b->n = MIN(b->n, (size_t)XDS_NACK_TEXT_MAX);
    b->failed = false; /* the rest is left out */
    for (size_t i = 0; i < b->n; i++)
        if ((uint8_t)b->p[i] < 0x20 || (uint8_t)b->p[i] > 0x7e)
            b->p[i] = '?';
}

/* The ACK or NACK, behind whatever subscriptions it has changed. */
static void answer(struct receipt *r, const char *version, const char *nonce)
{
    struct subscription *s = &r->c->types[r->type];
    Google__Rpc__Status status;
    struct answer a = {.nonce = nonce};
    free(s->nonce);
    s->nonce = xstrdup(nonce);
    google__rpc__status__init(&status);
    if (r->refused.n) {
        make_text(&r->refused);
        status.code = CODE_INTERNAL;
        status.message = (char *)(uintptr_t)buf_cstr(&r->refused);
        a.refusal = &status;
    } else if (!r->c->delta) {
        free(s->version);
        s->version = xstrdup(version);
    }
    bool changed = s->changed;
    s->changed = false; /* goes with the answer */
    r->c->busy = false;
    xds_client_flush(r->c);
    s->changed = changed;
    if (r->c->is_open)
        send_request(r->c, r->type, &a);
}

static void deliver(struct receipt *r, struct xds_update *u)
{
    u->type = r->type;
    u->items = r->items.v;
    u->n_items = r->items.n;
    r->c->busy = true;
    r->c->ops->on_update(u, &r->refused, r->c->user);
    if (r->c->delta)
        keep_versions(r, u);
    xds_items_done(r->items.v, r->items.n);
}

static void receive_sotw(struct receipt *r, const pb_response *m, struct arena *a)
{
    struct xds_update u = {.full = r->c->types[r->type].all || r->type == XDS_HOST};
    read_sotw(r, m, a);
    deliver(r, &u);
    answer(r, m->version_info, m->nonce);
}

static void receive_delta(struct receipt *r, const pb_delta_response *m, struct arena *a)
{
    struct str *removed = arena_alloc(a, (m->n_removed_resources + 1) * sizeof(*removed));
    struct xds_update u = {.removed = removed, .n_removed = m->n_removed_resources};
    for (size_t i = 0; removed && i < u.n_removed; i++)
        removed[i] = str_from(m->removed_resources[i]);
    read_delta(r, m);
    deliver(r, &u);
    answer(r, "", m->nonce);
}

int xds_client_receive(struct xds_client *c, struct str message, struct err *reterr)
{
    AUTO(arena) struct arena *a = arena_new(XDS_RESPONSE_BYTES_MAX);
    struct receipt r = {.c = c, .refused = {.cap = REFUSED_BYTES_MAX}};
    ProtobufCMessage *m;
    ASSERT(c->is_open);
    int code =
        pb_unpack(c->delta ? &envoy__service__discovery__v3__delta_discovery_response__descriptor
                           : &envoy__service__discovery__v3__discovery_response__descriptor,
                  message, a, &m, reterr);
    if (code < 0)
        return code;
    const char *url = c->delta ? ((const pb_delta_response *)(const void *)m)->type_url
                               : ((const pb_response *)(const void *)m)->type_url;
    if (xds_resource_of(str_from(url), &r.type) < 0 || !c->types[r.type].asked)
        return 0; /* nobody asked for this: no answer, as Envoy */
    if (c->delta)
        receive_delta(&r, (const void *)m, a);
    else
        receive_sotw(&r, (const void *)m, a);
    vec_done(&r.items);
    map_done(&r.names);
    buf_done(&r.refused);
    return 0;
}
