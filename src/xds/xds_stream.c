/* A discovery stream's state on the server: for each type what is wanted, what was sent last, what
 * is to be looked at, and the response under way. */
#include "xds/xds_stream.h"

#include <envoy/service/discovery/v3/discovery.pb-c.h>
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/vec.h"
#include "codec/pb.h"
#include "codec/pb_msg.h"
#include "xds/xds_inline.h"

typedef Envoy__Service__Discovery__V3__DiscoveryRequest pb_request;
typedef Envoy__Service__Discovery__V3__DeltaDiscoveryRequest pb_delta_request;

enum { REQUEST_BYTES_MAX = 64 << 20 }; /* unpacked */

/* Values of the sets of names. */
static char wanted, changed, asked_for;

struct subscription {
    bool asked;
    bool all;
    bool must_answer; /* even if there is nothing to say */
    bool answered;    /* the client has answered a response */
    struct map names; /* wanted by name */
    struct map held;  /* name -> struct xds_entry: what the client was sent last, or says it has */
    struct map dirty; /* name -> &changed, or &asked_for: say it even if it is held or not there */
    bool outstanding;
    uint64_t nonce; /* of the response sent last */
    uint64_t sent, acked, refused;
};

struct xds_stream {
    struct xds_watch watch;
    bool delta;
    bool hides_secrets;
    xds_may_fn *may; /* NULL: each */
    void *may_user;
    bool foreign;        /* none of ours */
    struct xds_set *set; /* NULL: nobody has asked yet */
    const struct xds_stream_ops *ops;
    void *user;
    struct map tables;  /* name -> struct xds_entry: those with their hosts */
    struct map awaited; /* endpoints of clusters sent, which the client has not asked for yet */
    struct subscription types[XDS_RESOURCES];
};

/* A table with its hosts in it, made once until one of them changes. */
static struct xds_entry *find_table(struct xds_stream *s, struct str name)
{
    struct xds_entry *e = map_find(&s->tables, name), *bare;
    if (!e && (bare = xds_set_find(s->set, XDS_ROUTE, name))) {
        e = xds_inline_hosts(s->set, bare);
        map_put(&s->tables, name, e);
    }
    return e;
}

static enum xds_may may_have(const struct xds_stream *s, enum xds_resource type, struct str name)
{
    if (type != XDS_SECRET)
        return XDS_MAY;
    return s->hides_secrets ? XDS_MAY_NOT : s->may ? s->may(name, s->may_user) : XDS_MAY;
}

/* What this client may see. */
static struct xds_entry *find(struct xds_stream *s, enum xds_resource type, struct str name)
{
    if (s->foreign && type == XDS_ROUTE)
        return find_table(s, name);
    struct xds_entry *e = xds_set_find(s->set, type, name);
    return e && may_have(s, type, name) == XDS_MAY ? e : NULL;
}

static bool is_undecided(const struct xds_stream *s, enum xds_resource type, struct str name)
{
    return type == XDS_SECRET && xds_set_find(s->set, type, name) &&
           may_have(s, type, name) == XDS_MAY_LATER;
}

static bool is_wanted(const struct xds_stream *s, enum xds_resource type, struct str name)
{
    const struct subscription *u = &s->types[type];
    return u->all || map_find(&u->names, name) ||
           (type == XDS_HOST && map_find(&u->names, xds_host_table(name)));
}

static void note_changed(struct xds_stream *s, enum xds_resource type, struct str name)
{
    struct subscription *u = &s->types[type];
    if (s->foreign && type == XDS_ROUTE)
        xds_entry_unref(map_remove(&s->tables, name));
    if (u->asked && is_wanted(s, type, name) && !map_find(&u->dirty, name))
        map_put(&u->dirty, name, &changed);
}

static void on_change(struct xds_watch *w, enum xds_resource type, struct str name)
{
    struct xds_stream *s = CONTAINER_OF(w, struct xds_stream, watch);
    note_changed(s, type, name);
    if (s->foreign && type == XDS_HOST)
        note_changed(s, XDS_ROUTE, xds_host_table(name));
}

struct xds_stream *xds_stream_new(bool delta, const struct xds_stream_ops *ops, void *user)
{
    struct xds_stream *s = NEW(struct xds_stream);
    s->delta = delta;
    s->ops = ops;
    s->user = user;
    s->watch.on_change = on_change;
    for (size_t i = 0; i < XDS_RESOURCES; i++)
        s->types[i].held.borrows = true;
    return s;
}

void xds_stream_hide_secrets(struct xds_stream *s)
{
    s->hides_secrets = true;
}

void xds_stream_guard_secrets(struct xds_stream *s, xds_may_fn *fn, void *user)
{
    s->may = fn;
    s->may_user = user;
}

void xds_stream_secrets_changed(struct xds_stream *s)
{
    struct subscription *u = &s->types[XDS_SECRET];
    struct str name;
    for (size_t at = 0; map_next(&u->names, &at, &name, NULL);)
        note_changed(s, XDS_SECRET, name);
    for (size_t at = 0; u->all && map_next(&u->held, &at, &name, NULL);)
        note_changed(s, XDS_SECRET, name);
}

void xds_stream_free(struct xds_stream *s)
{
    if (!s)
        return;
    xds_set_unwatch(&s->watch);
    for (size_t i = 0; i < XDS_RESOURCES; i++) {
        struct subscription *u = &s->types[i];
        void *e;
        for (size_t at = 0; map_next(&u->held, &at, NULL, &e);)
            xds_entry_unref(e);
        map_done(&u->held);
        map_done(&u->names);
        map_done(&u->dirty);
    }
    void *table;
    for (size_t at = 0; map_next(&s->tables, &at, NULL, &table);)
        xds_entry_unref(table);
    map_done(&s->tables);
    map_done(&s->awaited);
    free(s);
}

/* ---- what is held ---- */

static void let_go(struct xds_stream *s, enum xds_resource type, struct str name)
{
    struct xds_entry *e = map_remove(&s->types[type].held, name);
    if (e && e->endpoints.n)
        map_remove(&s->awaited, e->endpoints);
    xds_entry_unref(e);
}

static void hold(struct xds_stream *s, struct xds_entry *e)
{
    let_go(s, e->type, e->name);
    map_put(&s->types[e->type].held, e->name, e);
}

static bool has_version(const struct subscription *u, const struct xds_entry *e)
{
    const struct xds_entry *h = map_find(&u->held, e->name);
    return h && str_eq(h->version, e->version);
}

/* ---- responses ---- */

enum field {
    VERSION_INFO = 1,
    RESOURCES = 2,
    TYPE_URL = 4,
    NONCE = 5,
    REMOVED = 6, /* delta */
};

static void finish(struct xds_stream *s, enum xds_resource type, struct buf *message)
{
    struct subscription *u = &s->types[type];
    char nonce[24];
    snprintf(nonce, sizeof(nonce), "%llu", (unsigned long long)++u->nonce);
    pb_add_bytes(message, TYPE_URL, str_from(xds_resource_type(type)->type_url));
    pb_add_bytes(message, NONCE, str_from(nonce));
    u->outstanding = true;
    u->must_answer = false;
    u->sent++;
    ASSERT(!message->failed);
    s->ops->send(buf_str(message), s->user);
}

/* A cluster goes out: routes wait for its endpoints. One that has changed is another one to Envoy,
 * for which it does not ask for endpoints a second time, and waits (15 s; 1.40). */
static void note_sent(struct xds_stream *s, struct xds_entry *e)
{
    const struct subscription *u = &s->types[e->type];
    bool differs = map_find(&u->held, e->name) && !has_version(u, e);
    hold(s, xds_entry_ref(e));
    if (!e->endpoints.n)
        return;
    if (!is_wanted(s, XDS_ENDPOINT, e->endpoints))
        map_put(&s->awaited, e->endpoints, &wanted);
    else if (s->foreign && differs)
        map_put(&s->types[XDS_ENDPOINT].dirty, e->endpoints, &asked_for);
}

/* Clusters leave, with their endpoints, when nobody can name them any more. Of a stream that has
 * just begun that is not known before it has asked for its routes, which is before it answers. */
static bool may_remove(const struct xds_stream *s, enum xds_resource type)
{
    static const enum xds_resource namers[] = {XDS_LISTENER, XDS_ROUTE, XDS_HOST};
    const struct subscription *clusters = &s->types[XDS_CLUSTER];
    if (type != XDS_CLUSTER && type != XDS_ENDPOINT)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(namers); i++)
        if (s->types[namers[i]].outstanding || s->types[namers[i]].dirty.used)
            return false;
    return clusters->answered || !clusters->asked;
}

/* True: the name was looked at and is done with. */
static bool add_delta(struct xds_stream *s, enum xds_resource type, struct str name, void *why,
                      struct buf *message)
{
    struct subscription *u = &s->types[type];
    struct xds_entry *e = find(s, type, name);
    if (!is_wanted(s, type, name))
        return true;
    if (is_undecided(s, type, name))
        return false;
    if (e) {
        if (why == &asked_for || !has_version(u, e)) {
            pb_add_bytes(message, RESOURCES, e->resource);
            note_sent(s, e);
        }
        return true;
    }
    bool held = map_find(&u->held, name) != NULL;
    if (held && !may_remove(s, type))
        return false;
    if (held || why == &asked_for)
        pb_add_bytes(message, REMOVED, name);
    if (held)
        let_go(s, type, name);
    return true;
}

static void push_delta(struct xds_stream *s, enum xds_resource type)
{
    struct subscription *u = &s->types[type];
    AUTO_DONE(buf) struct buf message = {0};
    const size_t most = type == XDS_HOST ? XDS_DELTA_HOSTS_BYTES : XDS_DELTA_BYTES;
    struct str name;
    void *why;
    for (size_t at = 0; message.n < most && map_next(&u->dirty, &at, &name, &why);)
        if (add_delta(s, type, name, why, &message))
            map_remove(&u->dirty, name);
    if (message.n || u->must_answer)
        finish(s, type, &message);
}

static bool is_whole_state(enum xds_resource type)
{
    return type == XDS_CLUSTER || type == XDS_LISTENER || type == XDS_HOST || type == XDS_NAMES;
}

/* A resource among those of a response of the state of the world. */
static void add_any(const struct xds_entry *e, struct buf *message)
{
    static const struct str wrapped = STR(XDS_TYPE_PREFIX "envoy.service.discovery.v3.Resource");
    enum { ANY_TYPE = 1, ANY_VALUE = 2 };
    if (e->type != XDS_HOST && e->type != XDS_NAMES) {
        pb_add_bytes(message, RESOURCES, e->any);
        return;
    }
    size_t any = pb_begin(message, RESOURCES);
    pb_add_bytes(message, ANY_TYPE, wrapped);
    pb_add_bytes(message, ANY_VALUE, e->resource);
    pb_end(message, any);
}

/* Of clusters, listeners and virtual hosts all that is wanted goes, whatever has changed; what is
 * not there has gone. */
static void add_whole_state(struct xds_stream *s, enum xds_resource type, struct buf *message)
{
    struct subscription *u = &s->types[type];
    struct str name;
    struct xds_entry *there;
    void *e;
    for (struct xds_iter i = {0}; xds_set_next(s->set, type, &i, &there);)
        if (is_wanted(s, type, there->name) && find(s, type, there->name)) {
            add_any(there, message);
            note_sent(s, there);
        }
    for (size_t at = 0; map_next(&u->held, &at, &name, &e);) {
        if (find(s, type, name))
            continue;
        if (may_remove(s, type))
            let_go(s, type, name);
        else /* once more, and gone the next time */
            add_any(e, message);
    }
}

/* True: looked at. *ret_say: there is something to be said. */
static bool look_at(struct xds_stream *s, enum xds_resource type, struct str name, void *why,
                    bool *ret_say, struct buf *message)
{
    struct subscription *u = &s->types[type];
    struct xds_entry *e = find(s, type, name);
    if (is_undecided(s, type, name))
        return false;
    bool say = is_wanted(s, type, name) &&
               (e ? why == &asked_for || !has_version(u, e)
                  : map_find(&u->held, name) || (why == &asked_for && is_whole_state(type)));
    if (!is_whole_state(type)) {
        if (say && e) {
            add_any(e, message);
            note_sent(s, e);
        } else if (!e) {
            let_go(s, type, name); /* there is no word for it */
        }
        *ret_say = *ret_say || (say && e);
        return true;
    }
    if (say && !e && !may_remove(s, type))
        return false;
    *ret_say = *ret_say || say;
    return true;
}

static void push_sotw(struct xds_stream *s, enum xds_resource type)
{
    struct subscription *u = &s->types[type];
    AUTO_DONE(buf) struct buf message = {0};
    bool say = u->must_answer;
    char version[24];
    struct str name;
    void *why;
    for (size_t at = 0; map_next(&u->dirty, &at, &name, &why);)
        if (look_at(s, type, name, why, &say, &message))
            map_remove(&u->dirty, name);
    if (!say)
        return;
    if (is_whole_state(type))
        add_whole_state(s, type, &message);
    snprintf(version, sizeof(version), "%llu", (unsigned long long)s->set->changes);
    pb_add_bytes(&message, VERSION_INFO, str_from(version));
    finish(s, type, &message);
}

static void push_type(struct xds_stream *s, enum xds_resource type)
{
    struct subscription *u = &s->types[type];
    if (!u->asked || u->outstanding || (!u->dirty.used && !u->must_answer))
        return;
    if (s->delta)
        push_delta(s, type);
    else
        push_sotw(s, type);
}

void xds_stream_push(struct xds_stream *s)
{
    const struct subscription *clusters = &s->types[XDS_CLUSTER],
                              *endpoints = &s->types[XDS_ENDPOINT];
    if (!s->set)
        return;
    push_type(s, XDS_CLUSTER);
    push_type(s, XDS_ENDPOINT);
    push_type(s, XDS_SECRET);
    push_type(s, XDS_WORKLOAD);
    if (!clusters->outstanding && !endpoints->outstanding && !s->awaited.used) {
        push_type(s, XDS_LISTENER);
        push_type(s, XDS_ROUTE);
        push_type(s, XDS_HOST);
        push_type(s, XDS_NAMES); /* who is told where goes there at once */
    }
    push_type(s, XDS_CLUSTER); /* what may leave now */
    push_type(s, XDS_ENDPOINT);
}

/* ---- requests ---- */

/* Hosts, by the name of their table: as want() does, of each. False: there is none. */
static bool want_table(struct xds_stream *s, struct str table, bool first)
{
    struct subscription *u = &s->types[XDS_HOST];
    struct str name;
    struct xds_entry *e;
    bool any = false;
    for (struct xds_iter i = {0}; xds_set_next(s->set, XDS_HOST, &i, &e);) {
        if (!str_eq(xds_host_table(e->name), table))
            continue;
        any = true;
        if (!first || !has_version(u, e))
            map_put(&u->dirty, e->name, &asked_for);
    }
    for (size_t at = 0; map_next(&u->held, &at, &name, NULL);)
        if (str_eq(xds_host_table(name), table) && !find(s, XDS_HOST, name))
            map_put(&u->dirty, name, &changed);
    return any;
}

static void want(struct xds_stream *s, enum xds_resource type, struct str name, bool first)
{
    struct subscription *u = &s->types[type];
    const struct xds_entry *e = find(s, type, name);
    map_put(&u->names, name, &wanted);
    if (type == XDS_ENDPOINT)
        map_remove(&s->awaited, name);
    if (type == XDS_HOST && want_table(s, name, first))
        return; /* else it is told that there is nothing of that name */
    if (!first || !e || !has_version(u, e))
        map_put(&u->dirty, name, &asked_for);
}

static void want_all(struct xds_stream *s, enum xds_resource type)
{
    struct subscription *u = &s->types[type];
    struct str name;
    struct xds_entry *e;
    u->all = true;
    u->must_answer = true;
    for (struct xds_iter i = {0}; xds_set_next(s->set, type, &i, &e);)
        map_put(&u->dirty, e->name, &changed);
    for (size_t at = 0; map_next(&u->held, &at, &name, NULL);)
        map_put(&u->dirty, name, &changed);
}

static void let_unwanted_go(struct xds_stream *s, enum xds_resource type)
{
    struct subscription *u = &s->types[type];
    struct str name;
    for (size_t at = 0; map_next(&u->held, &at, &name, NULL);)
        if (!is_wanted(s, type, name)) {
            map_remove(&u->dirty, name);
            let_go(s, type, name);
        }
}

static void want_no_more(struct xds_stream *s, enum xds_resource type, struct str name)
{
    struct subscription *u = &s->types[type];
    if (!map_remove(&u->names, name) || u->all)
        return;
    if (type == XDS_HOST)
        let_unwanted_go(s, type);
    if (is_wanted(s, type, name))
        return;
    let_go(s, type, name);
    map_remove(&u->dirty, name);
}

static void want_all_no_more(struct xds_stream *s, enum xds_resource type)
{
    s->types[type].all = false;
    let_unwanted_go(s, type);
}

/* An answer to the response under way; false: it is about another one. */
static bool take_answer(struct xds_stream *s, enum xds_resource type, const char *nonce,
                        const Google__Rpc__Status *refusal, const char *version)
{
    struct subscription *u = &s->types[type];
    char last[24];
    snprintf(last, sizeof(last), "%llu", (unsigned long long)u->nonce);
    if (!*nonce)
        return true; /* subscriptions alone */
    if (strcmp(nonce, last) != 0)
        return false;
    if (!u->outstanding)
        return true; /* it was answered: subscriptions alone */
    u->outstanding = false;
    u->answered = true;
    *(refusal ? &u->refused : &u->acked) += 1;
    if (type == XDS_CLUSTER && (refusal || !s->types[XDS_ENDPOINT].asked)) {
        map_done(&s->awaited); /* not all of them will be asked for */
    }
    if (s->ops->on_answer) {
        const struct xds_answer a = {type, refusal != NULL, refusal ? refusal->message : "",
                                     version};
        s->ops->on_answer(&a, s->user);
    }
    return true;
}

/* It says which of our own types it knows. */
static bool is_ours(const Envoy__Config__Core__V3__Node *node)
{
    for (size_t i = 0; node && i < node->n_client_features; i++)
        if (str_starts(str_from(node->client_features[i]), STR(XDS_OWN_PREFIX)))
            return true;
    return false;
}

static int start(struct xds_stream *s, const Envoy__Config__Core__V3__Node *node,
                 struct err *reterr)
{
    if (s->set)
        return 0;
    s->foreign = !is_ours(node);
    s->set = s->ops->on_node(node, s->user, reterr);
    if (!s->set)
        return -EACCES;
    xds_set_watch(s->set, &s->watch);
    return 0;
}

/* Who names nothing wants all. */
static bool is_wanted_whole(enum xds_resource type)
{
    return type == XDS_CLUSTER || type == XDS_LISTENER || type == XDS_NAMES;
}

static bool is_wildcard(const char *name)
{
    return streq(name, "*");
}

static int receive_delta(struct xds_stream *s, const pb_delta_request *m, enum xds_resource type,
                         struct err *reterr)
{
    struct subscription *u = &s->types[type];
    bool first = !u->asked;
    u->asked = true;
    (void)take_answer(s, type, m->response_nonce, m->error_detail, "");
    if (u->names.used + m->n_resource_names_subscribe > XDS_NAMES_MAX)
        return err_set(reterr, -E2BIG, NULL, "more than %d names of a type", XDS_NAMES_MAX);
    for (size_t i = 0; first && i < m->n_initial_resource_versions; i++)
        hold(s, xds_entry_new_held(type, str_from(m->initial_resource_versions[i]->key),
                                   str_from(m->initial_resource_versions[i]->value)));
    if (first && !m->n_resource_names_subscribe && is_wanted_whole(type))
        want_all(s, type);
    for (size_t i = 0; i < m->n_resource_names_subscribe; i++)
        if (is_wildcard(m->resource_names_subscribe[i]))
            want_all(s, type);
        else
            want(s, type, str_from(m->resource_names_subscribe[i]), first);
    for (size_t i = 0; i < m->n_resource_names_unsubscribe; i++)
        if (is_wildcard(m->resource_names_unsubscribe[i]))
            want_all_no_more(s, type);
        else
            want_no_more(s, type, str_from(m->resource_names_unsubscribe[i]));
    return 0;
}

/* The names of a request are all that is wanted. */
static void replace_names(struct xds_stream *s, enum xds_resource type, const pb_request *m)
{
    struct subscription *u = &s->types[type];
    struct map before = u->names;
    struct str name;
    u->names = (struct map){0};
    u->all = false;
    for (size_t i = 0; i < m->n_resource_names; i++) {
        name = str_from(m->resource_names[i]);
        if (is_wildcard(m->resource_names[i]))
            want_all(s, type);
        else if (map_remove(&before, name))
            map_put(&u->names, name, &wanted);
        else
            want(s, type, name, false);
    }
    for (size_t at = 0; map_next(&before, &at, &name, NULL);)
        if (!is_wanted(s, type, name)) {
            let_go(s, type, name);
            map_remove(&u->dirty, name);
        }
    if (type == XDS_HOST && before.used)
        let_unwanted_go(s, type);
    map_done(&before);
}

static int receive_sotw(struct xds_stream *s, const pb_request *m, enum xds_resource type,
                        struct err *reterr)
{
    struct subscription *u = &s->types[type];
    bool first = !u->asked;
    u->asked = true;
    if (m->n_resource_names > XDS_NAMES_MAX)
        return err_set(reterr, -E2BIG, NULL, "more than %d names of a type", XDS_NAMES_MAX);
    if (first) { /* whatever nonce a former stream had */
        if (!m->n_resource_names && is_wanted_whole(type))
            want_all(s, type);
        else
            replace_names(s, type, m);
        return 0;
    }
    if (!take_answer(s, type, m->response_nonce, m->error_detail, m->version_info))
        return 0; /* about an older response: the answer to the last one says more */
    if (m->n_resource_names || !u->all)
        replace_names(s, type, m);
    return 0;
}

int xds_stream_receive(struct xds_stream *s, struct str message, struct err *reterr)
{
    AUTO(arena) struct arena *a = arena_new(REQUEST_BYTES_MAX);
    enum xds_resource type;
    ProtobufCMessage *m;
    int r = pb_unpack(s->delta ? &envoy__service__discovery__v3__delta_discovery_request__descriptor
                               : &envoy__service__discovery__v3__discovery_request__descriptor,
                      message, a, &m, reterr);
    if (r < 0)
        return r;
    const pb_request *sotw = (const void *)m;
    const pb_delta_request *delta = (const void *)m;
    r = start(s, s->delta ? delta->node : sotw->node, reterr);
    if (r < 0)
        return r;
    const char *url = s->delta ? delta->type_url : sotw->type_url;
    if (streq(url, XDS_HEALTH_TYPE) && s->ops->on_health) {
        const Google__Rpc__Status *wrong = s->delta ? delta->error_detail : sotw->error_detail;
        s->ops->on_health(!wrong, wrong ? wrong->message : "", s->user);
        return 0;
    }
    if (xds_resource_of(str_from(url), &type) < 0)
        return 0; /* nothing of that type will ever come */
    r = s->delta ? receive_delta(s, delta, type, reterr) : receive_sotw(s, sotw, type, reterr);
    if (r == 0)
        xds_stream_push(s);
    return r;
}

static size_t count_withheld(const struct xds_stream *s, const struct subscription *u)
{
    struct str name;
    size_t n = 0;
    for (size_t at = 0; s->set && map_next(&u->names, &at, &name, NULL);)
        n += xds_set_find(s->set, XDS_SECRET, name) && may_have(s, XDS_SECRET, name) == XDS_MAY_NOT;
    return n;
}

void xds_stream_get_state(const struct xds_stream *s, enum xds_resource type,
                          struct xds_stream_state *ret)
{
    const struct subscription *u = &s->types[type];
    *ret = (struct xds_stream_state){.asked = u->asked,
                                     .all = u->all,
                                     .names = u->names.used,
                                     .held = u->held.used,
                                     .sent = u->sent,
                                     .acked = u->acked,
                                     .refused = u->refused,
                                     .outstanding = u->outstanding,
                                     .waiting = u->dirty.used,
                                     .withheld = type == XDS_SECRET ? count_withheld(s, u) : 0};
}
