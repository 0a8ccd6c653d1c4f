/* The server's side of a discovery stream. Scripted: what is said, a line a response, to requests
 * by hand. And against the house's own client: whatever changes when, in the end it has what is
 * there, and never a route whose cluster, or a cluster whose endpoints, it was not given before. */
#include "test.h"

#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <envoy/config/route/v3/route.pb-c.h>
#include <envoy/service/discovery/v3/discovery.pb-c.h>
#include <errno.h>
#include <stdio.h>

#include "base/vec.h"
#include "codec/pb.h"
#include "codec/pb_msg.h"
#include "xds/xds_client.h"
#include "xds/xds_stream.h"

struct world {
    bool delta;
    struct xds_set *set;
    struct xds_stream *stream;
    struct buf said;
    struct buf answers;
    VEC(char *) messages; /* raw, for the client */
    VEC(size_t) sizes;
    struct err err;
};

/* A resource: name and a text that stands for what it is. */
static struct xds_entry *entry(enum xds_resource type, const char *name, const char *text,
                               const char *endpoints)
{
    AUTO_DONE(buf) struct buf b = {0};
    pb_add_bytes(&b, 1, str_from(name));
    pb_add_bytes(&b, 1000, str_from(text));
    return xds_entry_new(type, str_from(name), buf_str(&b), str_from(endpoints));
}

static void put(struct world *w, enum xds_resource type, const char *name, const char *text)
{
    xds_set_put(w->set, entry(type, name, text, type == XDS_CLUSTER ? name : ""));
}

static const char *word_of(const char *url)
{
    enum xds_resource r;
    return xds_resource_of(str_from(url), &r) < 0 ? "?" : xds_resource_type(r)->word;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* " +a=1,b=2", sorted: maps have no order. */
static void add_items(struct buf *to, char sign, char **v, size_t n)
{
    if (n)
        qsort(v, n, sizeof(*v), by_text);
    for (size_t i = 0; i < n; i++) {
        buf_addf(to, "%s%s", i ? "," : sign == '+' ? " +" : " -", v[i]);
        free(v[i]);
    }
}

static char *item_text(const Google__Protobuf__Any *any, const char *name)
{
    struct str in = str_of(any->value.data, any->value.len);
    struct pb_field f;
    struct str text = {0}, own = {0};
    while (pb_next(&in, &f) > 0)
        *(f.number == 1 ? &own : &text) = f.bytes;
    if (name)
        assert_str(own, name);
    return xasprintf("%.*s=%.*s", (int)own.n, own.p, (int)text.n, text.p);
}

/* What is in a Resource that stands for itself. */
static char *wrapped_text(const Google__Protobuf__Any *any)
{
    AUTO(arena) struct arena *a = arena_new(0);
    ProtobufCMessage *m;
    assert_ok(pb_unpack(&envoy__service__discovery__v3__resource__descriptor,
                        str_of(any->value.data, any->value.len), a, &m, NULL));
    const Envoy__Service__Discovery__V3__Resource *r = (const void *)m;
    return item_text(r->resource, r->name);
}

static void say_delta(struct world *w,
                      const Envoy__Service__Discovery__V3__DeltaDiscoveryResponse *m)
{
    VEC(char *) items = {0};
    buf_addf(&w->said, "%s", word_of(m->type_url));
    for (size_t i = 0; i < m->n_resources; i++) {
        assert_int_equal(strlen(m->resources[i]->version), 16);
        vec_push(&items, item_text(m->resources[i]->resource, m->resources[i]->name));
    }
    add_items(&w->said, '+', items.v, items.n);
    vec_clear(&items);
    for (size_t i = 0; i < m->n_removed_resources; i++)
        vec_push(&items, xstrdup(m->removed_resources[i]));
    add_items(&w->said, '-', items.v, items.n);
    buf_addf(&w->said, " #%s\n", m->nonce);
    vec_done(&items);
}

static void say_sotw(struct world *w, const Envoy__Service__Discovery__V3__DiscoveryResponse *m)
{
    VEC(char *) items = {0};
    buf_addf(&w->said, "%s", word_of(m->type_url));
    for (size_t i = 0; i < m->n_resources; i++)
        vec_push(&items, strcmp(m->resources[i]->type_url, m->type_url) != 0
                             ? wrapped_text(m->resources[i])
                             : item_text(m->resources[i], NULL));
    add_items(&w->said, '+', items.v, items.n);
    buf_addf(&w->said, " #%s\n", m->nonce);
    vec_done(&items);
}

static void on_send(struct str message, void *user)
{
    struct world *w = user;
    AUTO(arena) struct arena *a = arena_new(0);
    ProtobufCMessage *m;
    assert_ok(pb_unpack(w->delta
                            ? &envoy__service__discovery__v3__delta_discovery_response__descriptor
                            : &envoy__service__discovery__v3__discovery_response__descriptor,
                        message, a, &m, NULL));
    if (w->delta)
        say_delta(w, (const void *)m);
    else
        say_sotw(w, (const void *)m);
    vec_push(&w->messages, xmalloc(message.n + 1));
    memcpy(w->messages.v[w->messages.n - 1], message.p, message.n);
    vec_push(&w->sizes, message.n);
}

static struct xds_set *on_node(const Envoy__Config__Core__V3__Node *node, void *user,
                               struct err *reterr)
{
    struct world *w = user;
    if (node && strcmp(node->id, "stranger") == 0) {
        err_set(reterr, -EACCES, NULL, "not known");
        return NULL;
    }
    return w->set;
}

static void on_answer(const struct xds_answer *a, void *user)
{
    struct world *w = user;
    buf_addf(&w->answers, "%s%s%s;", xds_resource_type(a->type)->word, a->refused ? "!" : "",
             a->text);
}

static const struct xds_stream_ops ops = {
    .send = on_send, .on_node = on_node, .on_answer = on_answer};

static void start(struct world *w, bool delta)
{
    *w = (struct world){.delta = delta, .set = xds_set_new()};
    w->stream = xds_stream_new(delta, &ops, w);
}

static void finish(struct world *w)
{
    xds_stream_free(w->stream);
    xds_set_free(w->set);
    buf_done(&w->said);
    buf_done(&w->answers);
    VEC_FOREACH (m, &w->messages)
        free(*m);
    vec_done(&w->messages);
    vec_done(&w->sizes);
}

static void expect(struct world *w, const char *want)
{
    assert_string_equal(buf_cstr(&w->said), want);
    buf_clear(&w->said);
}

/* "cds +a +b -c #1 !why @a=VERSION": what is subscribed, unsubscribed, the nonce, a refusal, what
 * is held. In state of the world + are the names. */
static int ask(struct world *w, const char *script)
{
    AUTO_CHARS char *text = xstrdup(script);
    char *save = NULL, *add[8], *drop[8], *nonce = (char *)(uintptr_t) "";
    size_t n_add = 0, n_drop = 0, n_held = 0;
    Google__Rpc__Status status;
    Envoy__Service__Discovery__V3__DeltaDiscoveryRequest__InitialResourceVersionsEntry held, *helds;
    AUTO_DONE(buf) struct buf b = {0};
    const char *url = NULL;
    bool refused = false;
    google__rpc__status__init(&status);
    for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        if (*word == '+')
            add[n_add++] = word + 1;
        else if (*word == '-')
            drop[n_drop++] = word + 1;
        else if (*word == '#')
            nonce = word + 1;
        else if (*word == '!')
            status.message = word + 1, refused = true;
        else if (*word == '@') {
            envoy__service__discovery__v3__delta_discovery_request__initial_resource_versions_entry__init(
                &held);
            held.key = strtok_r(word + 1, "=", &save);
            held.value = strtok_r(NULL, " ", &save);
            helds = &held;
            n_held = 1;
        } else
            for (enum xds_resource r = 0; r < XDS_RESOURCES; r++)
                if (strcmp(word, xds_resource_type(r)->word) == 0)
                    url = xds_resource_type(r)->type_url;
    }
    if (w->delta) {
        Envoy__Service__Discovery__V3__DeltaDiscoveryRequest m;
        envoy__service__discovery__v3__delta_discovery_request__init(&m);
        m.type_url = (char *)(uintptr_t)url;
        m.response_nonce = nonce;
        m.resource_names_subscribe = add;
        m.n_resource_names_subscribe = n_add;
        m.resource_names_unsubscribe = drop;
        m.n_resource_names_unsubscribe = n_drop;
        m.initial_resource_versions = &helds;
        m.n_initial_resource_versions = n_held;
        m.error_detail = refused ? &status : NULL;
        assert_ok(pb_pack(&m.base, &b));
    } else {
        Envoy__Service__Discovery__V3__DiscoveryRequest m;
        envoy__service__discovery__v3__discovery_request__init(&m);
        m.type_url = (char *)(uintptr_t)url;
        m.response_nonce = nonce;
        m.resource_names = add;
        m.n_resource_names = n_add;
        m.error_detail = refused ? &status : NULL;
        assert_ok(pb_pack(&m.base, &b));
    }
    return xds_stream_receive(w->stream, buf_str(&b), &w->err);
}

static void push(struct world *w)
{
    xds_stream_push(w->stream);
}

static void test_delta_names(void **state)
{
    struct world w;
    (void)state;
    start(&w, true);
    put(&w, XDS_ENDPOINT, "a", "1");
    assert_ok(ask(&w, "eds +a +b"));
    expect(&w, "eds +a=1 -b #1\n"); /* what is not there is said to be gone */
    put(&w, XDS_ENDPOINT, "a", "2");
    put(&w, XDS_ENDPOINT, "c", "1");
    push(&w);
    expect(&w, ""); /* one at a time */
    put(&w, XDS_ENDPOINT, "a", "3");
    put(&w, XDS_ENDPOINT, "b", "1");
    assert_ok(ask(&w, "eds #1"));
    expect(&w, "eds +a=3,b=1 #2\n"); /* as it is by now, once */
    assert_ok(ask(&w, "eds +c -b #2"));
    expect(&w, "eds +c=1 #3\n");
    assert_ok(ask(&w, "eds #3"));
    put(&w, XDS_ENDPOINT, "b", "2"); /* nobody wants it any more */
    xds_set_remove(w.set, XDS_ENDPOINT, STR("c"));
    push(&w);
    expect(&w, "eds -c #4\n");
    assert_ok(ask(&w, "eds +a #4"));
    expect(&w, "eds +a=3 #5\n"); /* asked for again, given again */
    put(&w, XDS_ENDPOINT, "a", "4");
    put(&w, XDS_ENDPOINT, "a", "3");
    assert_ok(ask(&w, "eds #5"));
    expect(&w, ""); /* it came back to what it was */
    finish(&w);
}

static void test_delta_all(void **state)
{
    struct world w;
    (void)state;
    start(&w, true);
    assert_ok(ask(&w, "lds"));
    expect(&w, "lds #1\n"); /* an empty answer is one */
    put(&w, XDS_LISTENER, "a", "1");
    push(&w);
    expect(&w, "");
    assert_ok(ask(&w, "lds #1 !no"));
    assert_string_equal(buf_cstr(&w.answers), "lds!no;");
    expect(&w, "lds +a=1 #2\n");
    assert_ok(ask(&w, "lds #1")); /* an answer twice says nothing */
    put(&w, XDS_LISTENER, "b", "1");
    push(&w);
    expect(&w, "");
    assert_ok(ask(&w, "lds #2"));
    expect(&w, "lds +b=1 #3\n");
    assert_ok(ask(&w, "lds #3 -*"));
    put(&w, XDS_LISTENER, "b", "2");
    push(&w);
    expect(&w, "");
    finish(&w);
}

static void test_reconnected(void **state)
{
    struct world w;
    (void)state;
    start(&w, true);
    put(&w, XDS_CLUSTER, "a", "1");
    struct xds_entry *e = xds_set_find(w.set, XDS_CLUSTER, STR("a"));
    AUTO_CHARS char *script = xasprintf("cds @a=%.*s", (int)e->version.n, e->version.p);
    assert_ok(ask(&w, script));
    expect(&w, "cds #1\n");
    finish(&w);

    start(&w, true); /* what it holds has gone meanwhile: it leaves behind the routes */
    put(&w, XDS_ROUTE, "r", "1");
    assert_ok(ask(&w, "cds @gone=1"));
    expect(&w, "cds #1\n");
    assert_ok(ask(&w, "rds +r"));
    expect(&w, "");
    assert_ok(ask(&w, "cds #1"));
    expect(&w, "rds +r=1 #1\n");
    assert_ok(ask(&w, "rds #1"));
    expect(&w, "cds -gone #2\n");
    finish(&w);

    start(&w, true);
    put(&w, XDS_ENDPOINT, "a", "1");
    assert_ok(ask(&w, "eds +a @a=1"));
    expect(&w, "eds +a=1 #1\n");
    finish(&w);
}

static void test_make_before_break(void **state)
{
    struct world w;
    (void)state;
    start(&w, true);
    put(&w, XDS_CLUSTER, "a", "1");
    put(&w, XDS_ENDPOINT, "a", "1");
    put(&w, XDS_ROUTE, "r", "to-a");
    put(&w, XDS_LISTENER, "l", "1");
    assert_ok(ask(&w, "cds"));
    expect(&w, "cds +a=1 #1\n");
    assert_ok(ask(&w, "lds"));
    expect(&w, ""); /* a's endpoints first */
    assert_ok(ask(&w, "eds +a"));
    expect(&w, "eds +a=1 #1\n");
    assert_ok(ask(&w, "cds #1"));
    expect(&w, "");
    assert_ok(ask(&w, "eds #1"));
    expect(&w, "lds +l=1 #1\n");
    assert_ok(ask(&w, "rds +r"));
    expect(&w, "rds +r=to-a #1\n");
    assert_ok(ask(&w, "lds #1"));
    assert_ok(ask(&w, "rds #1"));
    expect(&w, "");
    /* from a to b */
    put(&w, XDS_ROUTE, "r", "to-b");
    xds_set_remove(w.set, XDS_CLUSTER, STR("a"));
    xds_set_remove(w.set, XDS_ENDPOINT, STR("a"));
    put(&w, XDS_CLUSTER, "b", "1");
    put(&w, XDS_ENDPOINT, "b", "1");
    push(&w);
    expect(&w, "cds +b=1 #2\n");
    assert_ok(ask(&w, "eds +b"));
    expect(&w, "eds +b=1 #2\n");
    assert_ok(ask(&w, "cds #2"));
    expect(&w, "");
    assert_ok(ask(&w, "eds #2"));
    expect(&w, "rds +r=to-b #2\n");
    assert_ok(ask(&w, "rds #2"));
    expect(&w, "cds -a #3\neds -a #3\n");
    assert_ok(ask(&w, "eds #3"));
    /* a refused cluster does not hold the routes for ever */
    put(&w, XDS_CLUSTER, "c", "bad");
    put(&w, XDS_ROUTE, "r", "to-c");
    assert_ok(ask(&w, "cds #3"));
    expect(&w, "cds +c=bad #4\n");
    assert_ok(ask(&w, "cds #4 !bad"));
    expect(&w, "rds +r=to-c #3\n");
    /* nor one that goes before anybody has asked for its endpoints */
    assert_ok(ask(&w, "rds #3"));
    put(&w, XDS_CLUSTER, "d", "1");
    push(&w);
    expect(&w, "cds +d=1 #5\n");
    xds_set_remove(w.set, XDS_CLUSTER, STR("d"));
    put(&w, XDS_ROUTE, "r", "to-e");
    assert_ok(ask(&w, "cds #5"));
    expect(&w, "");
    finish(&w);
}

static void test_state_of_the_world(void **state)
{
    struct world w;
    (void)state;
    start(&w, false);
    put(&w, XDS_CLUSTER, "a", "1");
    put(&w, XDS_CLUSTER, "b", "1");
    put(&w, XDS_ENDPOINT, "a", "1");
    put(&w, XDS_ENDPOINT, "b", "1");
    assert_ok(ask(&w, "cds"));
    expect(&w, "cds +a=1,b=1 #1\n");
    assert_ok(ask(&w, "eds +a +b"));
    expect(&w, "eds +a=1,b=1 #1\n");
    assert_ok(ask(&w, "cds #1"));
    put(&w, XDS_ENDPOINT, "b", "2");
    assert_ok(ask(&w, "eds +a +b #1"));
    expect(&w, "eds +b=2 #2\n"); /* of endpoints only what changed */
    put(&w, XDS_CLUSTER, "b", "2");
    push(&w);
    expect(&w, "cds +a=1,b=2 #2\n"); /* of clusters all */
    assert_ok(ask(&w, "eds +a #1")); /* of the answer before: not looked at */
    assert_ok(ask(&w, "eds +a #2"));
    put(&w, XDS_ENDPOINT, "b", "3");
    push(&w);
    expect(&w, "");
    assert_ok(ask(&w, "eds +a +b #2")); /* a nonce says nothing twice but names */
    expect(&w, "eds +b=3 #3\n");
    assert_ok(ask(&w, "eds +a +b #3"));
    assert_ok(ask(&w, "cds #2"));
    assert_ok(ask(&w, "rds +r"));
    expect(&w, "");
    xds_set_remove(w.set, XDS_CLUSTER, STR("b"));
    put(&w, XDS_ROUTE, "r", "1");
    push(&w);
    expect(&w, "rds +r=1 #1\n"); /* b leaves when the route is taken */
    put(&w, XDS_CLUSTER, "c", "1");
    push(&w);
    expect(&w, "cds +a=1,b=2,c=1 #3\n");
    assert_ok(ask(&w, "rds +r #1"));
    assert_ok(ask(&w, "cds #3"));
    expect(&w, "cds +a=1,c=1 #4\n");
    finish(&w);

    start(&w, false); /* gRPC's clients name what they want */
    put(&w, XDS_LISTENER, "svc", "1");
    put(&w, XDS_LISTENER, "other", "1");
    assert_ok(ask(&w, "lds +svc"));
    expect(&w, "lds +svc=1 #1\n");
    assert_ok(ask(&w, "lds +svc +none #1"));
    expect(&w, "lds +svc=1 #2\n"); /* without it: it is not there */
    finish(&w);
}

/* Virtual hosts are asked for by their table: it stands for those that come later, too. */
static void test_hosts(void **state)
{
    struct world w;
    (void)state;
    start(&w, true);
    put(&w, XDS_HOST, "t/a", "1");
    put(&w, XDS_HOST, "t/b", "1");
    put(&w, XDS_HOST, "n/t/a", "1"); /* a table may have slashes */
    put(&w, XDS_HOST, "u/a", "1");
    assert_ok(ask(&w, "vhds +t"));
    expect(&w, "vhds +t/a=1,t/b=1 #1\n");
    assert_ok(ask(&w, "vhds #1"));
    put(&w, XDS_HOST, "t/c", "1");
    put(&w, XDS_HOST, "u/a", "2");
    xds_set_remove(w.set, XDS_HOST, STR("t/a"));
    push(&w);
    expect(&w, "vhds +t/c=1 -t/a #2\n");
    assert_ok(ask(&w, "vhds +n/t +none #2")); /* of the other there is nothing, which is said */
    expect(&w, "vhds +n/t/a=1 -none #3\n");
    assert_ok(ask(&w, "vhds +u/a +u/b -t #3")); /* one by one, on demand */
    expect(&w, "vhds +u/a=2 -u/b #4\n");
    assert_ok(ask(&w, "vhds #4"));
    put(&w, XDS_HOST, "t/c", "2");
    put(&w, XDS_HOST, "u/c", "1");
    put(&w, XDS_HOST, "none/x", "1");
    push(&w);
    expect(&w, "vhds +none/x=1 #5\n");
    finish(&w);

    start(&w, true); /* a client that holds some already */
    put(&w, XDS_HOST, "t/a", "1");
    put(&w, XDS_HOST, "t/b", "2");
    assert_ok(ask(&w, "vhds +t @t/gone=1"));
    expect(&w, "vhds +t/a=1,t/b=2 -t/gone #1\n");
    finish(&w);

    start(&w, false);
    put(&w, XDS_HOST, "t/a", "1");
    put(&w, XDS_HOST, "t/b", "1");
    put(&w, XDS_HOST, "u/a", "1");
    assert_ok(ask(&w, "vhds +t +none"));
    expect(&w, "vhds +t/a=1,t/b=1 #1\n");
    assert_ok(ask(&w, "vhds +t +none #1"));
    xds_set_remove(w.set, XDS_HOST, STR("t/a"));
    push(&w);
    expect(&w, "vhds +t/b=1 #2\n"); /* always all of them */
    assert_ok(ask(&w, "vhds +none #2"));
    put(&w, XDS_HOST, "t/b", "2");
    push(&w);
    expect(&w, "");
    finish(&w);
}

/* ---- tables of who does not take hosts ---- */

static void put_table(struct world *w, const char *name, bool by_themselves)
{
    AUTO_DONE(buf) struct buf b = {0};
    pb_add_text(&b, 1, name);
    size_t host = pb_begin(&b, 2);
    pb_add_text(&b, 1, "any");
    pb_add_text(&b, 2, "*");
    pb_end(&b, host);
    if (by_themselves)
        pb_add_text(&b, 9, ""); /* vhds */
    pb_add_uint(&b, 14, 1);
    xds_set_put(w->set, xds_entry_new(XDS_ROUTE, str_from(name), buf_str(&b), STR("")));
}

/* domains: "a b". */
static void put_host(struct world *w, const char *name, const char *domains)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct str rest = str_from(domains);
    pb_add_text(&b, 1, name);
    while (rest.p)
        pb_add_bytes(&b, 2, str_cut(rest, ' ', &rest));
    xds_set_put(w->set, xds_entry_new(XDS_HOST, str_from(name), buf_str(&b), STR("")));
}

/* The hosts of the table that was sent last: "any=*;t/a=x,y;". */
static char *hosts_of_last(const struct world *w)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf b = {0};
    ProtobufCMessage *m, *table;
    assert_ok(pb_unpack(&envoy__service__discovery__v3__delta_discovery_response__descriptor,
                        str_of(w->messages.v[w->messages.n - 1], w->sizes.v[w->sizes.n - 1]), a, &m,
                        NULL));
    const Envoy__Service__Discovery__V3__DeltaDiscoveryResponse *r = (const void *)m;
    const Google__Protobuf__Any *any = r->resources[0]->resource;
    assert_ok(pb_unpack(&envoy__config__route__v3__route_configuration__descriptor,
                        str_of(any->value.data, any->value.len), a, &table, NULL));
    const Envoy__Config__Route__V3__RouteConfiguration *t = (const void *)table;
    assert_null(t->vhds);
    assert_true(t->ignore_port_in_host_matching);
    for (size_t i = 0; i < t->n_virtual_hosts; i++) {
        buf_addf(&b, "%s=", t->virtual_hosts[i]->name);
        for (size_t k = 0; k < t->virtual_hosts[i]->n_domains; k++)
            buf_addf(&b, "%s%s", k ? "," : "", t->virtual_hosts[i]->domains[k]);
        buf_add_char(&b, ';');
    }
    return buf_take_cstr(&b);
}

static void expect_hosts(const struct world *w, const char *want)
{
    AUTO_CHARS char *hosts = hosts_of_last(w);
    assert_string_equal(hosts, want);
}

/* Hosts stand in their tables; of two with one domain the first has it. */
static void test_hosts_in_their_tables(void **state)
{
    struct world w;
    (void)state;
    start(&w, true);
    put_table(&w, "80", true);
    put_host(&w, "80/b", "b b.ns x");
    put_host(&w, "80/a", "a x *");
    put_host(&w, "80/c", "b x");
    put_host(&w, "81/d", "d");
    assert_ok(ask(&w, "rds +80"));
    expect_hosts(&w, "any=*;80/a=a,x;80/b=b,b.ns;");
    assert_ok(ask(&w, "rds #1"));
    buf_clear(&w.said);
    push(&w);
    expect(&w, "");
    put_host(&w, "81/d", "e"); /* of another one */
    push(&w);
    expect(&w, "");
    put_host(&w, "80/d", "d");
    push(&w);
    expect_hosts(&w, "any=*;80/a=a,x;80/b=b,b.ns;80/d=d;");
    assert_ok(ask(&w, "rds #2"));
    xds_set_remove(w.set, XDS_HOST, STR("80/a"));
    push(&w);
    expect_hosts(&w, "any=*;80/b=b,b.ns,x;80/d=d;");
    assert_ok(ask(&w, "rds #3"));
    put_table(&w, "80", false); /* none comes by itself any more */
    push(&w);
    expect_hosts(&w, "any=*;");
    assert_ok(ask(&w, "rds #4"));
    buf_clear(&w.said);
    xds_set_remove(w.set, XDS_ROUTE, STR("80"));
    push(&w);
    expect(&w, "rds -80 #5\n");
    finish(&w);
}

/* One of ours says so, and is given tables as they are. */
static void test_hosts_of_ours(void **state)
{
    struct world w;
    Envoy__Service__Discovery__V3__DeltaDiscoveryRequest m;
    Envoy__Config__Core__V3__Node node;
    AUTO_DONE(buf) struct buf b = {0};
    char *features[] = {(char *)(uintptr_t) "envoy.x",
                        (char *)(uintptr_t) "type.fairlead.dev/fairlead.filters.http.v1.Answer"},
         *names[] = {(char *)(uintptr_t) "80"};
    (void)state;
    start(&w, true);
    put_table(&w, "80", true);
    put_host(&w, "80/a", "a");
    envoy__service__discovery__v3__delta_discovery_request__init(&m);
    envoy__config__core__v3__node__init(&node);
    node.client_features = features;
    node.n_client_features = 2;
    m.node = &node;
    m.type_url = (char *)(uintptr_t) "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
    m.resource_names_subscribe = names;
    m.n_resource_names_subscribe = 1;
    assert_ok(pb_pack(&m.base, &b));
    assert_ok(xds_stream_receive(w.stream, buf_str(&b), &w.err));
    assert_non_null(strstr(buf_cstr(&w.said), "rds +80="));
    buf_clear(&w.said);
    assert_ok(ask(&w, "rds #1"));
    put_host(&w, "80/a", "b");
    push(&w);
    expect(&w, "");
    finish(&w);
}

/* What many see in common lies below what one has of its own. */
static void test_sets_over_others(void **state)
{
    struct world common, w;
    (void)state;
    start(&common, true);
    start(&w, true);
    xds_set_free(w.set);
    w.set = xds_set_new_over(common.set);
    put(&common, XDS_CLUSTER, "a", "common");
    put(&common, XDS_CLUSTER, "b", "common");
    put(&w, XDS_CLUSTER, "b", "own");
    assert_ok(ask(&w, "cds"));
    expect(&w, "cds +a=common,b=own #1\n");
    assert_ok(ask(&w, "cds #1"));
    put(&common, XDS_CLUSTER, "b", "other"); /* it is hidden */
    push(&w);
    expect(&w, "");
    put(&common, XDS_CLUSTER, "a", "other");
    put(&common, XDS_CLUSTER, "c", "common");
    push(&w);
    expect(&w, "cds +a=other,c=common #2\n");
    assert_ok(ask(&w, "cds #2"));
    xds_set_remove(w.set, XDS_CLUSTER, STR("b"));
    xds_set_remove(common.set, XDS_CLUSTER, STR("c"));
    push(&w);
    expect(&w, "cds +b=other -c #3\n");
    assert_ok(ask(&w, "cds #3"));
    put(&w, XDS_CLUSTER, "c", "own");
    put(&w, XDS_CLUSTER, "a", "own");
    push(&w);
    expect(&w, "cds +a=own,c=own #4\n");
    finish(&w);
    finish(&common);
}

static void test_strangers(void **state)
{
    struct world w;
    Envoy__Service__Discovery__V3__DeltaDiscoveryRequest m;
    Envoy__Config__Core__V3__Node node;
    AUTO_DONE(buf) struct buf b = {0};
    (void)state;
    start(&w, true);
    assert_int_equal(xds_stream_receive(w.stream, STR("\377\377"), &w.err), -EBADMSG);
    envoy__service__discovery__v3__delta_discovery_request__init(&m);
    envoy__config__core__v3__node__init(&node);
    node.id = (char *)(uintptr_t) "stranger";
    m.node = &node;
    assert_ok(pb_pack(&m.base, &b));
    assert_int_equal(xds_stream_receive(w.stream, buf_str(&b), &w.err), -EACCES);
    assert_string_equal(w.err.msg, "not known");
    xds_stream_push(w.stream);
    buf_clear(&b);
    node.id = (char *)(uintptr_t) "friend";
    m.type_url = (char *)(uintptr_t) "type.googleapis.com/what.is.This"; /* nothing comes of it */
    assert_ok(pb_pack(&m.base, &b));
    assert_ok(xds_stream_receive(w.stream, buf_str(&b), &w.err));
    expect(&w, "");
    finish(&w);
}

static void test_secrets_that_are_hidden(void **state)
{
    struct world w;
    (void)state;
    for (int delta = 0; delta < 2; delta++) {
        start(&w, delta);
        xds_stream_hide_secrets(w.stream);
        put(&w, XDS_SECRET, "key", "private");
        put(&w, XDS_ENDPOINT, "a", "1");
        assert_ok(ask(&w, "sds +key"));
        expect(&w, delta ? "sds -key #1\n" : "");
        put(&w, XDS_SECRET, "key", "other");
        assert_ok(ask(&w, delta ? "sds #1 +*" : "sds +key +*"));
        push(&w);
        assert_null(strstr(buf_cstr(&w.said), "other"));
        buf_clear(&w.said);
        assert_ok(ask(&w, "eds +a"));
        expect(&w, "eds +a=1 #1\n");
        finish(&w);
    }
}

static void test_long_responses_are_cut(void **state)
{
    struct world w;
    struct xds_stream_state s;
    (void)state;
    start(&w, true);
    AUTO_CHARS char *text = xcalloc(1, 600 * 1024 + 1);
    memset(text, 'x', 600 * 1024);
    for (int i = 0; i < 9; i++) {
        char name[2] = {(char)('a' + i), 0};
        put(&w, XDS_CLUSTER, name, text);
    }
    assert_ok(ask(&w, "cds"));
    assert_true(w.said.n < 4u << 20);
    xds_stream_get_state(w.stream, XDS_CLUSTER, &s);
    assert_int_equal(s.held, 4);
    assert_int_equal(s.waiting, 5);
    assert_ok(ask(&w, "cds #1"));
    assert_ok(ask(&w, "cds #2"));
    xds_stream_get_state(w.stream, XDS_CLUSTER, &s);
    assert_int_equal(s.held, 9);
    finish(&w);
}

/* ---- against the client ---- */

enum { NAMES = 6, ROUNDS = 3000 };

struct peer {
    struct world w;
    struct xds_client *client;
    VEC(char *) requests;
    VEC(size_t) request_sizes;
    struct map has[XDS_RESOURCES]; /* what the client was told */
    unsigned refuse;               /* one update in so many */
    unsigned seed, refusals;
};

static unsigned draw(struct peer *p, unsigned below)
{
    p->seed = p->seed * 1103515245u + 12345u;
    return (p->seed >> 8) % below;
}

static void client_send(struct str message, void *user)
{
    struct peer *p = user;
    vec_push(&p->requests, xmalloc(message.n + 1));
    memcpy(p->requests.v[p->requests.n - 1], message.p, message.n);
    vec_push(&p->request_sizes, message.n);
}

static const enum xds_resource namers[] = {XDS_ROUTE, XDS_HOST};

/* A route or host "to-X" needs cluster X, which needs its endpoints. */
static void check_routes(struct peer *p)
{
    void *text;
    for (size_t i = 0; i < ARRAY_LEN(namers); i++)
        for (size_t at = 0; map_next(&p->has[namers[i]], &at, NULL, &text);) {
            const char *cluster = strstr(text, "to-") + 3;
            assert_non_null(map_find_cstr(&p->has[XDS_CLUSTER], cluster));
            assert_non_null(map_find_cstr(&p->has[XDS_ENDPOINT], cluster));
        }
}

static bool is_target(const struct peer *p, char name)
{
    void *e;
    for (size_t i = 0; i < ARRAY_LEN(namers); i++)
        for (size_t at = 0; map_next(&p->w.set->entries[namers[i]], &at, NULL, &e);) {
            struct str any = ((const struct xds_entry *)e)->any;
            if (any.p[any.n - 1] == name)
                return true;
        }
    return false;
}

/* What goes has gone, whatever is refused beside it. */
static void take_removals(struct peer *p, const struct xds_update *u)
{
    for (size_t i = 0; i < u->n_removed; i++)
        free(map_remove(&p->has[u->type], u->removed[i]));
    if (u->type != XDS_CLUSTER)
        return;
    for (char c = 'a'; c < 'a' + NAMES; c++)
        if (!map_find(&p->has[XDS_CLUSTER], str_of(&c, 1)) &&
            xds_client_is_subscribed(p->client, XDS_ENDPOINT, str_of(&c, 1))) {
            xds_client_unsubscribe(p->client, XDS_ENDPOINT, str_of(&c, 1));
            free(map_remove(&p->has[XDS_ENDPOINT], str_of(&c, 1)));
        }
}

static void client_update(const struct xds_update *u, struct buf *refused, void *user)
{
    struct peer *p = user;
    if (p->refuse && draw(p, p->refuse) == 0) {
        take_removals(p, u);
        buf_addf(refused, "no");
        p->refusals++;
        for (size_t i = 0; i < u->n_items; i++)
            u->items[i].refused = true;
        return;
    }
    if (u->full) {
        struct str name;
        void *text;
        for (size_t at = 0; map_next(&p->has[u->type], &at, &name, &text);) {
            map_remove(&p->has[u->type], name);
            free(text);
        }
    }
    for (size_t i = 0; i < u->n_items; i++) {
        struct str in = u->items[i].bytes;
        struct pb_field f;
        char *text = NULL;
        while (pb_next(&in, &f) > 0)
            if (f.number == 1000)
                text = str_dup(f.bytes);
        free(map_put(&p->has[u->type], u->items[i].name, text));
        if (u->type == XDS_CLUSTER)
            xds_client_subscribe(p->client, XDS_ENDPOINT, u->items[i].name);
    }
    take_removals(p, u);
    if (!p->refusals) /* else it may keep a route of long ago */
        check_routes(p);
}

static const struct xds_client_ops client_ops = {.send = client_send, .on_update = client_update};

/* One message of either direction; false: none is under way. */
static bool carry(struct peer *p)
{
    bool up = p->requests.n && (!p->w.messages.n || draw(p, 2));
    if (up) {
        AUTO_CHARS char *m = p->requests.v[0];
        struct str message = str_of(m, p->request_sizes.v[0]);
        vec_remove(&p->requests, 0);
        vec_remove(&p->request_sizes, 0);
        assert_ok(xds_stream_receive(p->w.stream, message, NULL));
    } else if (p->w.messages.n) {
        AUTO_CHARS char *m = p->w.messages.v[0];
        struct str message = str_of(m, p->w.sizes.v[0]);
        vec_remove(&p->w.messages, 0);
        vec_remove(&p->w.sizes, 0);
        assert_ok(xds_client_receive(p->client, message, NULL));
    } else {
        return false;
    }
    return true;
}

static void expect_same(struct peer *p)
{
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        struct str name;
        void *e;
        size_t n = 0;
        for (size_t at = 0; map_next(&p->w.set->entries[type], &at, &name, &e);) {
            struct xds_entry *has = e;
            struct str in = str_of(has->any.p, has->any.n);
            const char *text = map_find(&p->has[type], name);
            if (type == XDS_ENDPOINT && !map_find(&p->has[XDS_CLUSTER], name))
                continue;
            assert_non_null(text);
            assert_true(str_contains(in, str_from(text)));
            n++;
        }
        assert_int_equal(p->has[type].used, n);
    }
}

/* Cluster with endpoints, the route that names one of those there are. */
static void change(struct peer *p)
{
    char text[32], host[] = "t/x", name[2] = {(char)('a' + (char)draw(p, NAMES)), 0};
    snprintf(text, sizeof(text), "%u", draw(p, 1000));
    host[2] = (char)('a' + (char)draw(p, NAMES));
    switch (draw(p, 5)) {
    case 0:
        put(&p->w, XDS_CLUSTER, name, text);
        put(&p->w, XDS_ENDPOINT, name, text);
        break;
    case 1:
        if (is_target(p, *name))
            break;
        xds_set_remove(p->w.set, XDS_CLUSTER, str_from(name));
        if (draw(p, 2))
            xds_set_remove(p->w.set, XDS_ENDPOINT, str_from(name));
        break;
    case 2:
        if (xds_set_find(p->w.set, XDS_ENDPOINT, str_from(name)))
            put(&p->w, XDS_ENDPOINT, name, text);
        break;
    case 3:
        xds_set_remove(p->w.set, XDS_HOST, str_from(host));
        break;
    default:
        put(&p->w, XDS_CLUSTER, name, text);
        put(&p->w, XDS_ENDPOINT, name, text);
        snprintf(text, sizeof(text), "%u-to-%s", draw(p, 1000), name);
        if (draw(p, 2))
            put(&p->w, XDS_ROUTE, "r", text);
        else
            put(&p->w, XDS_HOST, host, text);
    }
    if (draw(p, 3))
        xds_stream_push(p->w.stream);
}

static void churn(bool delta, unsigned refuse, unsigned seed)
{
    struct peer p = {.seed = seed, .refuse = refuse};
    Envoy__Config__Core__V3__Node node;
    envoy__config__core__v3__node__init(&node);
    start(&p.w, delta);
    p.client = xds_client_new(delta, &node, &client_ops, &p);
    xds_client_subscribe_all(p.client, XDS_CLUSTER);
    xds_client_subscribe_all(p.client, XDS_LISTENER);
    xds_client_subscribe(p.client, XDS_ROUTE, STR("r"));
    xds_client_subscribe(p.client, XDS_HOST, STR("t"));
    xds_client_open(p.client);
    for (int i = 0; i < ROUNDS; i++) {
        change(&p);
        for (unsigned n = draw(&p, 4); n && carry(&p); n--)
            ;
        /* The connection breaks; the next server is another. State of the world cannot keep what
         * went meanwhile until the routes have come: nothing went. */
        if (draw(&p, 300) == 0) {
            xds_stream_push(p.w.stream);
            while (!delta && carry(&p))
                ;
            xds_stream_free(p.w.stream);
            xds_client_close(p.client);
            while (p.requests.n)
                free(vec_pop(&p.requests));
            while (p.w.messages.n)
                free(vec_pop(&p.w.messages));
            vec_clear(&p.request_sizes);
            vec_clear(&p.w.sizes);
            p.w.stream = xds_stream_new(delta, &ops, &p.w);
            xds_client_open(p.client);
            while (!delta && carry(&p))
                ;
        }
    }
    p.refuse = 0;
    for (char c = 'a'; c < 'a' + NAMES; c++) { /* what was refused comes again when it changes */
        char name[2] = {c, 0};
        char host[] = {'t', '/', c, 0};
        xds_set_remove(p.w.set, XDS_CLUSTER, str_from(name));
        xds_set_remove(p.w.set, XDS_HOST, str_from(host));
    }
    put(&p.w, XDS_HOST, "t/a", "last-to-a");
    put(&p.w, XDS_CLUSTER, "a", "last");
    put(&p.w, XDS_ENDPOINT, "a", "last");
    put(&p.w, XDS_ROUTE, "r", "last-to-a");
    for (int i = 0; i < 3; i++) {
        xds_stream_push(p.w.stream);
        while (carry(&p))
            ;
    }
    expect_same(&p);
    assert_true(!refuse || p.refusals);
    for (size_t i = 0; i < XDS_RESOURCES; i++) {
        void *text;
        for (size_t at = 0; map_next(&p.has[i], &at, NULL, &text);)
            free(text);
        map_done(&p.has[i]);
    }
    vec_done(&p.requests);
    vec_done(&p.request_sizes);
    xds_client_free(p.client);
    finish(&p.w);
}

static void test_churn(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 10; seed++) {
        churn(true, 0, seed);
        churn(false, 0, seed);
        churn(true, 5, seed);
        churn(false, 5, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delta_names),
        cmocka_unit_test(test_delta_all),
        cmocka_unit_test(test_reconnected),
        cmocka_unit_test(test_make_before_break),
        cmocka_unit_test(test_state_of_the_world),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_hosts_in_their_tables),
        cmocka_unit_test(test_hosts_of_ours),
        cmocka_unit_test(test_sets_over_others),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_secrets_that_are_hidden),
        cmocka_unit_test(test_long_responses_are_cut),
        cmocka_unit_test(test_churn),
    };
    return RUN_TESTS(tests);
}
