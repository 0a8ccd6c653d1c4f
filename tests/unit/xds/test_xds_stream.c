/* The server's side of a discovery stream. Scripted: what is said, a line a response, to requests
 * by hand. */
#include "xds/xds_runs.h"
#include "xds_stream_world.h"

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

/* A cluster that has changed is another one to Envoy: its endpoints are said again. */
static void test_endpoints_of_a_cluster_that_changes(void **state)
{
    struct world w;
    (void)state;
    for (int delta = 0; delta < 2; delta++) {
        start(&w, delta);
        put(&w, XDS_CLUSTER, "a", "1");
        put(&w, XDS_CLUSTER, "b", "1");
        put(&w, XDS_ENDPOINT, "a", "1");
        put(&w, XDS_ENDPOINT, "b", "1");
        assert_ok(ask(&w, "cds"));
        assert_ok(ask(&w, "eds +a +b"));
        assert_ok(ask(&w, delta ? "eds #1" : "eds +a +b #1"));
        assert_ok(ask(&w, "cds #1"));
        buf_clear(&w.said);
        put(&w, XDS_CLUSTER, "b", "2");
        push(&w);
        expect(&w, delta ? "cds +b=2 #2\neds +b=1 #2\n" : "cds +a=1,b=2 #2\neds +b=1 #2\n");
        finish(&w);
    }
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

/* What is the same for all is made once, whatever lies over it; what is somebody's own is not
 * kept. */
static void test_streams_share_what_they_are_sent(void **state)
{
    enum { N = 100, LONG = 300 };
    struct world common, w[2];
    char name[16], text[LONG + 1];
    size_t kept = 0;
    (void)state;
    memset(text, 'x', LONG);
    text[LONG] = 0;
    start(&common, true);
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "c%u", i);
        put(&common, XDS_CLUSTER, name, text);
    }
    for (size_t i = 0; i < ARRAY_LEN(w); i++) {
        start(&w[i], true);
        xds_set_free(w[i].set);
        w[i].set = xds_set_new_over(common.set);
        snprintf(name, sizeof(name), "own%zu", i);
        put(&w[i], XDS_CLUSTER, name, text);
        assert_ok(ask(&w[i], "cds"));
        buf_clear(&w[i].said);
        assert_true(!i || xds_runs_bytes(common.set->runs) == kept);
        kept = xds_runs_bytes(common.set->runs);
        assert_in_range(kept, N * LONG, w[i].sizes.v[0] - LONG);
        struct xds_stream_state s;
        xds_stream_get_state(w[i].stream, XDS_CLUSTER, &s);
        assert_int_equal(s.held, N + 1);
    }
    xds_stream_trim(w[0].stream);
    assert_int_equal(xds_runs_bytes(common.set->runs), 0);
    finish(&w[1]);
    finish(&w[0]);
    finish(&common);
}

/* Who says that he holds what there is holds that, and no copy of its version. */
static void test_held_is_what_is_there(void **state)
{
    struct world w;
    (void)state;
    start(&w, true);
    put(&w, XDS_CLUSTER, "a", "1");
    struct xds_entry *e = xds_set_find(w.set, XDS_CLUSTER, STR("a"));
    AUTO_CHARS char *script = xasprintf("cds @a=%.*s", (int)e->version.n, e->version.p);
    assert_int_equal(e->refs, 1);
    assert_ok(ask(&w, script));
    expect(&w, "cds #1\n");
    assert_int_equal(e->refs, 2);
    finish(&w);
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

/* What the client may have: a letter each. */
static enum xds_may may(struct str name, void *user)
{
    const char *answers = user;
    return str_is(name, "key") ? (enum xds_may)answers[0] : XDS_MAY;
}

static void test_secrets_that_one_may_have(void **state)
{
    struct world w;
    char answers[2] = {XDS_MAY_LATER};
    struct xds_stream_state st;
    (void)state;
    for (int delta = 0; delta < 2; delta++) {
        start(&w, delta);
        answers[0] = XDS_MAY_LATER;
        xds_stream_guard_secrets(w.stream, may, answers);
        put(&w, XDS_SECRET, "key", "private");
        put(&w, XDS_SECRET, "free", "1");
        assert_ok(ask(&w, "sds +key +free"));
        expect(&w, "sds +free=1 #1\n"); /* nothing of what is not known yet, not even that it is not
                                           there */
        assert_ok(ask(&w, delta ? "sds #1" : "sds #1 +key +free"));
        expect(&w, "");
        xds_stream_get_state(w.stream, XDS_SECRET, &st);
        assert_int_equal(st.withheld, 0);
        answers[0] = XDS_MAY;
        xds_stream_secrets_changed(w.stream);
        push(&w);
        expect(&w, "sds +key=private #2\n");
        assert_ok(ask(&w, delta ? "sds #2" : "sds #2 +key +free"));
        answers[0] = XDS_MAY_NOT;
        xds_stream_secrets_changed(w.stream);
        push(&w);
        expect(&w, delta ? "sds -key #3\n" : "");
        put(&w, XDS_SECRET, "key", "other");
        push(&w);
        expect(&w, "");
        xds_stream_get_state(w.stream, XDS_SECRET, &st);
        assert_int_equal(st.withheld, 1);
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
        cmocka_unit_test(test_endpoints_of_a_cluster_that_changes),
        cmocka_unit_test(test_sets_over_others),
        cmocka_unit_test(test_streams_share_what_they_are_sent),
        cmocka_unit_test(test_held_is_what_is_there),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_secrets_that_are_hidden),
        cmocka_unit_test(test_secrets_that_one_may_have),
        cmocka_unit_test(test_long_responses_are_cut),
    };
    return RUN_TESTS(tests);
}
