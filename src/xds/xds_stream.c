/* A discovery stream's state on the server: for each type what is wanted, what was sent last, what
 * is to be looked at, and the response under way. */
#include "xds/xds_stream.h"

#include <envoy/service/discovery/v3/discovery.pb-c.h>
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/map.h"
#include "codec/pb.h"
#include "codec/pb_msg.h"
#include "xds/xds_inline.h"
#include "xds/xds_runs.h"

typedef Envoy__Service__Discovery__V3__DiscoveryRequest pb_request;
typedef Envoy__Service__Discovery__V3__DeltaDiscoveryRequest pb_delta_request;

enum { REQUEST_BYTES_MAX = 64 << 20 }; /* unpacked */

struct subscription {
    bool asked;
    bool all;
    bool must_answer; /* even if there is nothing to say */
    bool answered;    /* the client has answered a response */
    bool outstanding;
    /* What is wanted by name, what the client was sent last or says it has, what is to be looked
     * at. */
    struct xds_table names;
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
    struct map tables; /* name -> struct xds_entry: those with their hosts */
    struct subscription types[XDS_RESOURCES];
};

/* ---- what is there, and who wants it ---- */

static bool has(const struct subscription *u, const struct xds_name *name, enum xds_mark mark)
{
    return xds_table_has(&u->names, name, mark);
}

/* A table with its hosts in it, made once until one of them changes. */
static struct xds_entry *find_table(struct xds_stream *s, const struct xds_name *name)
{
    struct xds_entry *e = map_find(&s->tables, name->text), *bare;
    if (!e && (bare = xds_set_find_name(s->set, name))) {
        e = xds_inline_hosts(s->set, bare);
        map_put(&s->tables, name->text, e);
    }
    return e;
}

static enum xds_may may_have(const struct xds_stream *s, const struct xds_name *name)
{
    if (name->type != XDS_SECRET)
        return XDS_MAY;
    return s->hides_secrets ? XDS_MAY_NOT : s->may ? s->may(name->text, s->may_user) : XDS_MAY;
}

/* What this client may see. */
static struct xds_entry *find(struct xds_stream *s, const struct xds_name *name)
{
    if (s->foreign && name->type == XDS_ROUTE)
        return find_table(s, name);
    struct xds_entry *e = xds_set_find_name(s->set, name);
    return e && may_have(s, name) == XDS_MAY ? e : NULL;
}

static bool is_undecided(const struct xds_stream *s, const struct xds_name *name)
{
    return name->type == XDS_SECRET && xds_set_find_name(s->set, name) &&
           may_have(s, name) == XDS_MAY_LATER;
}

static bool is_wanted(const struct xds_stream *s, const struct xds_name *name)
{
    const struct subscription *u = &s->types[name->type];
    return u->all || has(u, name, XDS_WANTED) || (name->table && has(u, name->table, XDS_WANTED));
}

static void note_changed(struct xds_stream *s, struct xds_name *name)
{
    struct subscription *u = &s->types[name->type];
    if (s->foreign && name->type == XDS_ROUTE)
        xds_entry_unref(map_remove(&s->tables, name->text));
    if (u->asked && is_wanted(s, name))
        xds_table_mark(&u->names, name, XDS_CHANGED);
}

static void on_change(struct xds_watch *w, struct xds_name *name)
{
    struct xds_stream *s = CONTAINER_OF(w, struct xds_stream, watch);
    struct xds_name *table =
        s->foreign && name->table ? xds_name_find(XDS_ROUTE, name->table->text) : NULL;
    note_changed(s, name);
    if (table) /* else nobody has it */
        note_changed(s, table);
}

struct xds_stream *xds_stream_new(bool delta, const struct xds_stream_ops *ops, void *user)
{
    struct xds_stream *s = NEW(struct xds_stream);
    s->delta = delta;
    s->ops = ops;
    s->user = user;
    s->watch.on_change = on_change;
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
    struct xds_name *name;
    for (size_t at = 0; xds_table_next(&u->names, XDS_SECRET, XDS_WANTED, &at, &name);)
        note_changed(s, name);
    for (size_t at = 0; u->all && xds_table_next(&u->names, XDS_SECRET, XDS_HELD, &at, &name);)
        note_changed(s, name);
}

void xds_stream_free(struct xds_stream *s)
{
    if (!s)
        return;
    xds_set_unwatch(&s->watch);
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++)
        xds_table_done(&s->types[type].names, type);
    void *table;
    for (size_t at = 0; map_next(&s->tables, &at, NULL, &table);)
        xds_entry_unref(table);
    map_done(&s->tables);
    free(s);
}

/* ---- what is held ---- */

static void let_go(struct xds_stream *s, const struct xds_name *name)
{
    struct xds_entry *e = xds_table_take(&s->types[name->type].names, name);
    if (e && e->endpoints_key)
        xds_table_unmark(&s->types[XDS_ENDPOINT].names, e->endpoints_key, XDS_AWAITED);
    xds_entry_unref(e);
}

/* Takes the entry. */
static void hold(struct xds_stream *s, struct xds_entry *e)
{
    let_go(s, e->key);
    xds_entry_unref(xds_table_put(&s->types[e->type].names, e));
}

/* What the client says it has; mostly that is what there is, which is held then. */
static void hold_version(struct xds_stream *s, enum xds_resource type, struct str name,
                         struct str version)
{
    const struct xds_name *known = xds_name_find(type, name);
    struct xds_entry *e = known ? find(s, known) : NULL;
    hold(s, e && str_eq(e->version, version) ? xds_entry_ref(e)
                                             : xds_entry_new_held(type, name, version));
}

static bool has_version(const struct subscription *u, const struct xds_entry *e)
{
    const struct xds_entry *h = xds_table_find(&u->names, e->key);
    return h && (h == e || str_eq(h->version, e->version));
}

static void mark_asked(struct subscription *u, struct xds_name *name)
{
    xds_table_mark(&u->names, name, XDS_CHANGED);
    xds_table_mark(&u->names, name, XDS_ASKED_FOR);
}

/* It is not to be looked at any more. The name may be gone then. */
static void settle(struct subscription *u, struct xds_name *name)
{
    xds_table_unmark(&u->names, name, XDS_ASKED_FOR);
    xds_table_unmark(&u->names, name, XDS_CHANGED);
}

/* ---- responses ---- */

enum field {
    VERSION_INFO = 1,
    TYPE_URL = 4,
    NONCE = 5,
    REMOVED = 6, /* delta */
};

/* One that is made: fields of its own, and resources, which wait until there are some of
 * neighbouring names: those are likely to be sent to others, too, and made once (xds_runs.h). */
struct response {
    struct xds_stream *stream;
    struct buf own;
    struct chain shared;
    struct xds_entry *waiting[XDS_RUN_ENTRIES];
    size_t n_waiting;
    size_t bytes; /* of resources, and names of those that have gone */
};

static struct xds_runs *runs_of(struct xds_set *set)
{
    while (set->over)
        set = set->over;
    if (!set->runs)
        set->runs = xds_runs_new();
    return set->runs;
}

static enum xds_form form_of(const struct xds_stream *s)
{
    return s->delta ? XDS_AS_RESOURCE : XDS_AS_ANY;
}

static void flush_waiting(struct response *r)
{
    if (r->n_waiting)
        xds_runs_add(runs_of(r->stream->set), form_of(r->stream), r->waiting, r->n_waiting,
                     &r->shared);
    while (r->n_waiting)
        xds_entry_unref(r->waiting[--r->n_waiting]);
}

static void add_resource(struct response *r, struct xds_entry *e)
{
    const struct xds_set *set = r->stream->set;
    r->bytes += e->resource.n;
    if (set->over && xds_table_find(&set->entries[e->type], e->key)) { /* nobody else's */
        xds_entry_add(&r->own, form_of(r->stream), e);
        return;
    }
    if (r->n_waiting == XDS_RUN_ENTRIES ||
        (r->n_waiting && r->waiting[0]->key->id / XDS_RUN_ENTRIES != e->key->id / XDS_RUN_ENTRIES))
        flush_waiting(r);
    r->waiting[r->n_waiting++] = xds_entry_ref(e);
}

static bool is_empty(const struct response *r)
{
    return !r->bytes && !r->own.n;
}

static void finish(struct xds_stream *s, enum xds_resource type, struct response *r)
{
    struct subscription *u = &s->types[type];
    struct chain message = {0};
    char nonce[24];
    snprintf(nonce, sizeof(nonce), "%llu", (unsigned long long)++u->nonce);
    pb_add_bytes(&r->own, TYPE_URL, str_from(xds_resource_type(type)->type_url));
    pb_add_bytes(&r->own, NONCE, str_from(nonce));
    u->outstanding = true;
    u->must_answer = false;
    u->sent++;
    flush_waiting(r);
    ASSERT(!r->own.failed);
    struct bytes *own = bytes_new(buf_str(&r->own));
    chain_add_bytes(&message, own);
    bytes_unref(own);
    chain_move_all(&message, &r->shared);
    s->ops->send(&message, s->user);
    chain_done(&message);
}

static void response_done(struct response *r)
{
    ASSERT(!r->n_waiting); /* what was added was sent */
    buf_done(&r->own);
    chain_done(&r->shared);
}

/* A cluster goes out: routes wait for its endpoints. One that has changed is another one to Envoy,
 * for which it does not ask for endpoints a second time, and waits (15 s; 1.40). */
static void note_sent(struct xds_stream *s, struct xds_entry *e)
{
    const struct subscription *u = &s->types[e->type];
    bool differs = xds_table_find(&u->names, e->key) && !has_version(u, e);
    hold(s, xds_entry_ref(e));
    if (!e->endpoints_key)
        return;
    if (!is_wanted(s, e->endpoints_key))
        xds_table_mark(&s->types[XDS_ENDPOINT].names, e->endpoints_key, XDS_AWAITED);
    else if (s->foreign && differs)
        mark_asked(&s->types[XDS_ENDPOINT], e->endpoints_key);
}

static size_t waiting_names(const struct subscription *u)
{
    return u->names.counts[XDS_CHANGED];
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
        if (s->types[namers[i]].outstanding || waiting_names(&s->types[namers[i]]))
            return false;
    return clusters->answered || !clusters->asked;
}

/* True: the name was looked at and is done with. */
static bool add_delta(struct xds_stream *s, const struct xds_name *name, struct response *r)
{
    struct subscription *u = &s->types[name->type];
    struct xds_entry *e = find(s, name);
    bool asked_for = has(u, name, XDS_ASKED_FOR);
    if (!is_wanted(s, name))
        return true;
    if (is_undecided(s, name))
        return false;
    if (e) {
        if (asked_for || !has_version(u, e)) {
            add_resource(r, e);
            note_sent(s, e);
        }
        return true;
    }
    bool held = has(u, name, XDS_HELD);
    if (held && !may_remove(s, name->type))
        return false;
    if (held || asked_for) {
        pb_add_bytes(&r->own, REMOVED, name->text);
        r->bytes += name->text.n;
    }
    if (held)
        let_go(s, name);
    return true;
}

static void push_delta(struct xds_stream *s, enum xds_resource type)
{
    struct subscription *u = &s->types[type];
    struct response r = {.stream = s};
    const size_t most = type == XDS_HOST ? XDS_DELTA_HOSTS_BYTES : XDS_DELTA_BYTES;
    struct xds_name *name;
    for (size_t at = 0; r.bytes < most && xds_table_next(&u->names, type, XDS_CHANGED, &at, &name);)
        if (add_delta(s, name, &r))
            settle(u, name);
    if (!is_empty(&r) || u->must_answer)
        finish(s, type, &r);
    response_done(&r);
}

static bool is_whole_state(enum xds_resource type)
{
    return type == XDS_CLUSTER || type == XDS_LISTENER || type == XDS_HOST || type == XDS_NAMES;
}

/* Of clusters, listeners and virtual hosts all that is wanted goes, whatever has changed; what is
 * not there has gone. */
static void add_whole_state(struct xds_stream *s, enum xds_resource type, struct response *r)
{
    struct subscription *u = &s->types[type];
    struct xds_name *name;
    struct xds_entry *there;
    for (struct xds_iter i = {0}; xds_set_next(s->set, type, &i, &there);)
        if (is_wanted(s, there->key) && find(s, there->key)) {
            add_resource(r, there);
            note_sent(s, there);
        }
    for (size_t at = 0; xds_table_next(&u->names, type, XDS_HELD, &at, &name);) {
        if (find(s, name))
            continue;
        if (may_remove(s, type))
            let_go(s, name);
        else /* once more, and gone the next time */
            add_resource(r, xds_table_find(&u->names, name));
    }
}

/* True: looked at. *ret_say: there is something to be said. */
static bool look_at(struct xds_stream *s, const struct xds_name *name, bool *ret_say,
                    struct response *r)
{
    struct subscription *u = &s->types[name->type];
    struct xds_entry *e = find(s, name);
    bool asked_for = has(u, name, XDS_ASKED_FOR);
    if (is_undecided(s, name))
        return false;
    bool say = is_wanted(s, name) &&
               (e ? asked_for || !has_version(u, e)
                  : has(u, name, XDS_HELD) || (asked_for && is_whole_state(name->type)));
    if (!is_whole_state(name->type)) {
        if (say && e) {
            add_resource(r, e);
            note_sent(s, e);
        } else if (!e) {
            let_go(s, name); /* there is no word for it */
        }
        *ret_say = *ret_say || (say && e);
        return true;
    }
    if (say && !e && !may_remove(s, name->type))
        return false;
    *ret_say = *ret_say || say;
    return true;
}

static void push_sotw(struct xds_stream *s, enum xds_resource type)
{
    struct subscription *u = &s->types[type];
    struct response r = {.stream = s};
    bool say = u->must_answer;
    char version[24];
    struct xds_name *name;
    for (size_t at = 0; xds_table_next(&u->names, type, XDS_CHANGED, &at, &name);)
        if (look_at(s, name, &say, &r))
            settle(u, name);
    if (say) {
        if (is_whole_state(type))
            add_whole_state(s, type, &r);
        snprintf(version, sizeof(version), "%llu", (unsigned long long)s->set->changes);
        pb_add_bytes(&r.own, VERSION_INFO, str_from(version));
        finish(s, type, &r);
    }
    response_done(&r);
}

static void push_type(struct xds_stream *s, enum xds_resource type)
{
    const struct subscription *u = &s->types[type];
    if (!u->asked || u->outstanding || (!waiting_names(u) && !u->must_answer))
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
    if (!clusters->outstanding && !endpoints->outstanding &&
        !endpoints->names.counts[XDS_AWAITED]) {
        push_type(s, XDS_LISTENER);
        push_type(s, XDS_ROUTE);
        push_type(s, XDS_HOST);
        push_type(s, XDS_NAMES); /* who is told where goes there at once */
    }
    push_type(s, XDS_CLUSTER); /* what may leave now */
    push_type(s, XDS_ENDPOINT);
}

void xds_stream_trim(struct xds_stream *s)
{
    if (s->set)
        xds_runs_clear(runs_of(s->set));
}

/* ---- requests ---- */

/* Hosts, by the name of their table: as want() does, of each. False: there is none. */
static bool want_table(struct xds_stream *s, const struct xds_name *table, bool first)
{
    struct subscription *u = &s->types[XDS_HOST];
    struct xds_name *name;
    struct xds_entry *e;
    bool any = false;
    for (struct xds_iter i = {0}; xds_set_next(s->set, XDS_HOST, &i, &e);) {
        if (e->key->table != table)
            continue;
        any = true;
        if (!first || !has_version(u, e))
            mark_asked(u, e->key);
    }
    for (size_t at = 0; xds_table_next(&u->names, XDS_HOST, XDS_HELD, &at, &name);)
        if (name->table == table && !find(s, name))
            xds_table_mark(&u->names, name, XDS_CHANGED);
    return any;
}

static void want_name(struct xds_stream *s, struct xds_name *name, bool first)
{
    struct subscription *u = &s->types[name->type];
    const struct xds_entry *e = find(s, name);
    xds_table_mark(&u->names, name, XDS_WANTED);
    if (name->type == XDS_ENDPOINT)
        xds_table_unmark(&u->names, name, XDS_AWAITED);
    if (name->type == XDS_HOST && want_table(s, name, first))
        return; /* else it is told that there is nothing of that name */
    if (!first || !e || !has_version(u, e))
        mark_asked(u, name);
}

static void want(struct xds_stream *s, enum xds_resource type, struct str text, bool first)
{
    struct xds_name *name = xds_name_new(type, text);
    want_name(s, name, first);
    xds_name_unref(name);
}

static void want_all(struct xds_stream *s, enum xds_resource type)
{
    struct subscription *u = &s->types[type];
    struct xds_name *name;
    struct xds_entry *e;
    u->all = true;
    u->must_answer = true;
    for (struct xds_iter i = {0}; xds_set_next(s->set, type, &i, &e);)
        xds_table_mark(&u->names, e->key, XDS_CHANGED);
    for (size_t at = 0; xds_table_next(&u->names, type, XDS_HELD, &at, &name);)
        xds_table_mark(&u->names, name, XDS_CHANGED);
}

static void let_unwanted_go(struct xds_stream *s, enum xds_resource type)
{
    struct subscription *u = &s->types[type];
    struct xds_name *name;
    for (size_t at = 0; xds_table_next(&u->names, type, XDS_HELD, &at, &name);)
        if (!is_wanted(s, name)) {
            settle(u, name);
            let_go(s, name);
        }
}

static void drop_name(struct xds_stream *s, struct xds_name *name)
{
    struct subscription *u = &s->types[name->type];
    xds_name_ref(name);
    xds_table_unmark(&u->names, name, XDS_WANTED);
    if (!is_wanted(s, name)) {
        let_go(s, name);
        settle(u, name);
    }
    xds_name_unref(name);
}

static void want_no_more(struct xds_stream *s, enum xds_resource type, struct str text)
{
    struct subscription *u = &s->types[type];
    struct xds_name *name = xds_name_find(type, text);
    if (!name || !has(u, name, XDS_WANTED))
        return;
    drop_name(s, name);
    if (!u->all && type == XDS_HOST)
        let_unwanted_go(s, type);
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
    if (type == XDS_CLUSTER &&
        (refusal || !s->types[XDS_ENDPOINT].asked)) /* not all are asked for */
        xds_table_unmark_all(&s->types[XDS_ENDPOINT].names, XDS_ENDPOINT, XDS_AWAITED);
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
    if (u->names.counts[XDS_WANTED] + m->n_resource_names_subscribe > XDS_NAMES_MAX)
        return err_set(reterr, -E2BIG, NULL, "more than %d names of a type", XDS_NAMES_MAX);
    for (size_t i = 0; first && i < m->n_initial_resource_versions; i++)
        hold_version(s, type, str_from(m->initial_resource_versions[i]->key),
                     str_from(m->initial_resource_versions[i]->value));
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
    struct xds_name *name;
    u->all = false;
    for (size_t i = 0; i < m->n_resource_names; i++) {
        if (is_wildcard(m->resource_names[i])) {
            want_all(s, type);
            continue;
        }
        name = xds_name_new(type, str_from(m->resource_names[i]));
        if (!has(u, name, XDS_WANTED))
            want_name(s, name, false);
        xds_table_mark(&u->names, name, XDS_NAMED);
        xds_name_unref(name);
    }
    bool fewer = u->names.counts[XDS_NAMED] < u->names.counts[XDS_WANTED];
    for (size_t at = 0; fewer && xds_table_next(&u->names, type, XDS_WANTED, &at, &name);)
        if (!has(u, name, XDS_NAMED))
            drop_name(s, name);
    xds_table_unmark_all(&u->names, type, XDS_NAMED);
    if (fewer && type == XDS_HOST)
        let_unwanted_go(s, type);
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
    struct xds_name *name;
    size_t n = 0;
    for (size_t at = 0; s->set && xds_table_next(&u->names, XDS_SECRET, XDS_WANTED, &at, &name);)
        n += xds_set_find_name(s->set, name) && may_have(s, name) == XDS_MAY_NOT;
    return n;
}

void xds_stream_get_state(const struct xds_stream *s, enum xds_resource type,
                          struct xds_stream_state *ret)
{
    const struct subscription *u = &s->types[type];
    *ret = (struct xds_stream_state){.asked = u->asked,
                                     .all = u->all,
                                     .names = u->names.counts[XDS_WANTED],
                                     .held = u->names.counts[XDS_HELD],
                                     .sent = u->sent,
                                     .acked = u->acked,
                                     .refused = u->refused,
                                     .outstanding = u->outstanding,
                                     .waiting = waiting_names(u),
                                     .withheld = type == XDS_SECRET ? count_withheld(s, u) : 0};
}
