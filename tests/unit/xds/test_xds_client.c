/* The client's side of a discovery stream against a scripted server: what is sent, word for word.
 */
#include "test.h"

#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <envoy/service/discovery/v3/discovery.pb-c.h>
#include <errno.h>

#include "codec/pb_msg.h"
#include "xds/xds_client.h"

/* What was sent, a line a request; and what on_update was told. */
struct world {
    struct xds_client *c;
    bool delta;
    struct buf sent, got;
    const char *refuse; /* the next update: the name of the item, "" for the whole; NULL: none */
    const char *then_subscribe;
};

static void add_names(struct buf *b, const char *what, char **names, size_t n)
{
    if (!n)
        return;
    buf_addf(b, " %s", what);
    for (size_t i = 0; i < n; i++) /* maps have no order: sort by choosing the least */
        for (size_t k = i + 1; k < n; k++)
            if (strcmp(names[k], names[i]) < 0) {
                char *t = names[i];
                names[i] = names[k];
                names[k] = t;
            }
    for (size_t i = 0; i < n; i++)
        buf_addf(b, "%c%s", i ? ',' : '=', names[i]);
}

static const char *word_of(const char *url)
{
    enum xds_resource r;
    return xds_resource_of(str_from(url), &r) < 0 ? "?" : xds_resource_type(r)->word;
}

static void add_status(struct buf *b, const Google__Rpc__Status *s)
{
    if (s)
        buf_addf(b, " error=%d(%s)", s->code, s->message);
}

static void on_send(struct str message, void *user)
{
    struct world *w = user;
    AUTO(arena) struct arena *a = arena_new(0);
    ProtobufCMessage *m;
    assert_int_equal(
        pb_unpack(w->delta ? &envoy__service__discovery__v3__delta_discovery_request__descriptor
                           : &envoy__service__discovery__v3__discovery_request__descriptor,
                  message, a, &m, NULL),
        0);
    if (w->delta) {
        Envoy__Service__Discovery__V3__DeltaDiscoveryRequest *r = (void *)m;
        buf_addf(&w->sent, "%s%s", word_of(r->type_url), r->node ? " node" : "");
        add_names(&w->sent, "+", r->resource_names_subscribe, r->n_resource_names_subscribe);
        add_names(&w->sent, "-", r->resource_names_unsubscribe, r->n_resource_names_unsubscribe);
        for (size_t i = 0; i < r->n_initial_resource_versions; i++)
            buf_addf(&w->sent, " held=%s@%s", r->initial_resource_versions[i]->key,
                     r->initial_resource_versions[i]->value);
        if (*r->response_nonce)
            buf_addf(&w->sent, " nonce=%s", r->response_nonce);
        add_status(&w->sent, r->error_detail);
    } else {
        Envoy__Service__Discovery__V3__DiscoveryRequest *r = (void *)m;
        buf_addf(&w->sent, "%s%s", word_of(r->type_url), r->node ? " node" : "");
        add_names(&w->sent, "names", r->resource_names, r->n_resource_names);
        if (*r->version_info)
            buf_addf(&w->sent, " version=%s", r->version_info);
        if (*r->response_nonce)
            buf_addf(&w->sent, " nonce=%s", r->response_nonce);
        add_status(&w->sent, r->error_detail);
    }
    buf_add_char(&w->sent, '\n');
}

static void on_update(const struct xds_update *u, struct buf *refused, void *user)
{
    struct world *w = user;
    buf_addf(&w->got, "%s%s", xds_resource_type(u->type)->word, u->full ? " full" : "");
    for (size_t i = 0; i < u->n_items; i++) {
        struct xds_item *item = &u->items[i];
        buf_addf(&w->got, " " STR_FMT "@" STR_FMT, STR_ARG(item->name), STR_ARG(item->version));
        item->refused = w->refuse && str_is(item->name, w->refuse);
    }
    for (size_t i = 0; i < u->n_removed; i++)
        buf_addf(&w->got, " -" STR_FMT, STR_ARG(u->removed[i]));
    buf_add_char(&w->got, '\n');
    if (w->refuse)
        buf_addf(refused, "no %s", w->refuse);
    w->refuse = NULL;
    if (w->then_subscribe)
        xds_client_subscribe(w->c, XDS_ENDPOINT, str_from(w->then_subscribe));
    w->then_subscribe = NULL;
}

static struct world world_new(bool delta)
{
    return (struct world){.delta = delta};
}

/* Behind world_new, for the client holds the address. */
static void world_begin(struct world *w)
{
    static Envoy__Config__Core__V3__Node node;
    static const struct xds_client_ops ops = {.send = on_send, .on_update = on_update};
    envoy__config__core__v3__node__init(&node);
    w->c = xds_client_new(w->delta, &node, &ops, w);
}

static void world_done(struct world *w)
{
    xds_client_free(w->c);
    buf_done(&w->sent);
    buf_done(&w->got);
}

static void assert_sent(struct world *w, const char *want)
{
    assert_string_equal(w->sent.n ? buf_cstr(&w->sent) : "", want);
    buf_clear(&w->sent);
}

static void assert_got(struct world *w, const char *want)
{
    assert_string_equal(w->got.n ? buf_cstr(&w->got) : "", want);
    buf_clear(&w->got);
}

/* A response with resources of these names ("a,b"; "" none), whose version is `version`; gone:
 * removed_resources. */
static int respond(struct world *w, enum xds_resource type, const char *names, const char *version,
                   const char *nonce, const char *gone)
{
    const char *url = xds_resource_type(type)->type_url;
    char copy[256], gone_copy[256], *at = copy, *gone_at = gone_copy;
    Google__Protobuf__Any any[8], *anys[8];
    Envoy__Service__Discovery__V3__Resource res[8], *ress[8];
    struct buf bytes[8] = {{0}};
    char *removed[8];
    size_t n = 0, n_gone = 0;
    AUTO_DONE(buf) struct buf b = {0};
    snprintf(copy, sizeof(copy), "%s", names);
    snprintf(gone_copy, sizeof(gone_copy), "%s", gone ? gone : "");
    for (char *name; *names && (name = strsep(&at, ",")); n++) {
        Envoy__Config__Cluster__V3__Cluster m;
        envoy__config__cluster__v3__cluster__init(&m);
        m.name = name; /* field 1 of all */
        assert_int_equal(pb_pack(&m.base, &bytes[n]), 0);
        google__protobuf__any__init(&any[n]);
        any[n].type_url = (char *)(uintptr_t)url;
        any[n].value = (ProtobufCBinaryData){bytes[n].n, (uint8_t *)bytes[n].p};
        anys[n] = &any[n];
        envoy__service__discovery__v3__resource__init(&res[n]);
        res[n].name = name;
        res[n].version = (char *)(uintptr_t)version;
        res[n].resource = &any[n];
        ress[n] = &res[n];
    }
    while (gone && (removed[n_gone] = strsep(&gone_at, ",")))
        n_gone++;
    if (w->delta) {
        Envoy__Service__Discovery__V3__DeltaDiscoveryResponse m;
        envoy__service__discovery__v3__delta_discovery_response__init(&m);
        m.type_url = (char *)(uintptr_t)url;
        m.nonce = (char *)(uintptr_t)nonce;
        m.resources = ress;
        m.n_resources = n;
        m.removed_resources = removed;
        m.n_removed_resources = n_gone;
        assert_int_equal(pb_pack(&m.base, &b), 0);
    } else {
        Envoy__Service__Discovery__V3__DiscoveryResponse m;
        envoy__service__discovery__v3__discovery_response__init(&m);
        m.type_url = (char *)(uintptr_t)url;
        m.nonce = (char *)(uintptr_t)nonce;
        m.version_info = (char *)(uintptr_t)version;
        m.resources = anys;
        m.n_resources = n;
        assert_int_equal(pb_pack(&m.base, &b), 0);
    }
    for (size_t i = 0; i < n; i++)
        buf_done(&bytes[i]);
    return xds_client_receive(w->c, buf_str(&b), NULL);
}

static void good(struct world *w, enum xds_resource type, const char *names, const char *version,
                 const char *nonce, const char *gone)
{
    assert_int_equal(respond(w, type, names, version, nonce, gone), 0);
}

static void test_sotw_begin_ack_nack(void **state)
{
    AUTO_DONE(world) struct world w = world_new(false);
    (void)state;
    world_begin(&w);
    xds_client_subscribe_all(w.c, XDS_CLUSTER);
    assert_sent(&w, "");
    xds_client_open(w.c);
    assert_sent(&w, "cds node\n");
    good(&w, XDS_CLUSTER, "a,b", "1", "n1", NULL);
    assert_got(&w, "cds full a@1 b@1\n");
    assert_sent(&w, "cds version=1 nonce=n1\n");
    w.refuse = "b";
    good(&w, XDS_CLUSTER, "a,b", "2", "n2", NULL);
    assert_sent(&w, "cds version=1 nonce=n2 error=13(no b)\n");
    good(&w, XDS_CLUSTER, "a", "3", "n3", NULL);
    assert_sent(&w, "cds version=3 nonce=n3\n");
}

static void test_sotw_names_and_reconnect(void **state)
{
    AUTO_DONE(world) struct world w = world_new(false);
    (void)state;
    world_begin(&w);
    xds_client_subscribe_all(w.c, XDS_CLUSTER);
    xds_client_open(w.c);
    assert_sent(&w, "cds node\n");
    w.then_subscribe = "a"; /* endpoints are asked for before the ACK */
    good(&w, XDS_CLUSTER, "a", "1", "n1", NULL);
    assert_sent(&w, "eds names=a\ncds version=1 nonce=n1\n");
    good(&w, XDS_ENDPOINT, "a,unasked", "5", "n2", NULL);
    assert_got(&w, "cds full a@1\neds a@5\n");
    assert_sent(&w, "eds names=a version=5 nonce=n2\n");
    xds_client_subscribe(w.c, XDS_ENDPOINT, STR("b"));
    xds_client_flush(w.c);
    xds_client_flush(w.c);
    assert_sent(&w, "eds names=a,b version=5 nonce=n2\n");
    xds_client_unsubscribe(w.c, XDS_ENDPOINT, STR("a"));
    xds_client_unsubscribe(w.c, XDS_ENDPOINT, STR("b"));
    xds_client_flush(w.c);
    assert_sent(&w, "eds version=5 nonce=n2\n"); /* none any more; never silence */
    xds_client_subscribe(w.c, XDS_ENDPOINT, STR("b"));
    xds_client_close(w.c);
    xds_client_flush(w.c);
    assert_sent(&w, "");
    xds_client_open(w.c);
    assert_sent(&w, "cds node version=1\neds names=b version=5\n");
}

/* An answer to a response carries the names as they are then. */
static void test_sotw_ack_with_new_names(void **state)
{
    AUTO_DONE(world) struct world w = world_new(false);
    (void)state;
    world_begin(&w);
    xds_client_subscribe(w.c, XDS_ENDPOINT, STR("a"));
    xds_client_open(w.c);
    assert_sent(&w, "eds node names=a\n");
    w.then_subscribe = "b";
    good(&w, XDS_ENDPOINT, "a", "1", "n1", NULL);
    assert_sent(&w, "eds names=a,b version=1 nonce=n1\n");
    xds_client_flush(w.c);
    assert_sent(&w, "");
}

static void test_delta(void **state)
{
    AUTO_DONE(world) struct world w = world_new(true);
    (void)state;
    world_begin(&w);
    xds_client_subscribe_all(w.c, XDS_CLUSTER);
    xds_client_open(w.c);
    assert_sent(&w, "cds node\n");
    w.then_subscribe = "a";
    good(&w, XDS_CLUSTER, "a,b", "1", "n1", NULL);
    assert_got(&w, "cds a@1 b@1\n");
    assert_sent(&w, "eds +=a\ncds nonce=n1\n");
    good(&w, XDS_ENDPOINT, "a", "7", "n2", NULL);
    assert_sent(&w, "eds nonce=n2\n");
    w.refuse = "b";
    good(&w, XDS_CLUSTER, "a,b", "2", "n3", NULL); /* a@2 is taken, b@1 stays */
    assert_sent(&w, "cds nonce=n3 error=13(no b)\n");
    good(&w, XDS_CLUSTER, "", "", "n4", "b,c");
    assert_got(&w, "eds a@7\ncds a@2 b@2\ncds -b -c\n");
    assert_sent(&w, "cds nonce=n4\n");
    xds_client_subscribe(w.c, XDS_ENDPOINT, STR("d"));
    xds_client_unsubscribe(w.c, XDS_ENDPOINT, STR("d")); /* never said */
    xds_client_subscribe(w.c, XDS_ENDPOINT, STR("e"));
    xds_client_flush(w.c);
    buf_clear(&w.got);
    assert_sent(&w, "eds +=e -=d\n");
    xds_client_close(w.c);
    xds_client_open(w.c);
    assert_sent(&w, "cds node held=a@2\neds +=a,e held=a@7\n");
}

static void test_delta_unsubscribe_and_again(void **state)
{
    AUTO_DONE(world) struct world w = world_new(true);
    (void)state;
    world_begin(&w);
    xds_client_subscribe(w.c, XDS_ROUTE, STR("r"));
    xds_client_subscribe(w.c, XDS_ROUTE, STR("q"));
    xds_client_open(w.c);
    good(&w, XDS_ROUTE, "r", "1", "n1", NULL);
    buf_clear(&w.sent);
    xds_client_unsubscribe(w.c, XDS_ROUTE, STR("r"));
    xds_client_flush(w.c);
    assert_sent(&w, "rds -=r\n");
    xds_client_subscribe(w.c, XDS_ROUTE, STR("r"));
    xds_client_flush(w.c);
    assert_sent(&w, "rds +=r\n");
    xds_client_close(w.c);
    xds_client_open(w.c); /* what was given up is not held */
    assert_sent(&w, "rds node +=q,r\n");
}

/* What is told of many bad resources stays short, and text. */
static void test_many_refusals(void **state)
{
    AUTO_DONE(world) struct world w = world_new(false);
    (void)state;
    world_begin(&w);
    xds_client_subscribe_all(w.c, XDS_CLUSTER);
    xds_client_open(w.c);
    buf_clear(&w.sent);
    Google__Protobuf__Any any, *anys[2000];
    google__protobuf__any__init(&any);
    any.type_url = (char *)(uintptr_t) "t/\xc3\xa9\xc3\xa9";
    for (size_t i = 0; i < ARRAY_LEN(anys); i++)
        anys[i] = &any;
    Envoy__Service__Discovery__V3__DiscoveryResponse m;
    envoy__service__discovery__v3__discovery_response__init(&m);
    m.type_url = (char *)(uintptr_t)xds_resource_type(XDS_CLUSTER)->type_url;
    m.resources = anys;
    m.n_resources = ARRAY_LEN(anys);
    AUTO_DONE(buf) struct buf b = {0};
    assert_int_equal(pb_pack(&m.base, &b), 0);
    assert_int_equal(xds_client_receive(w.c, buf_str(&b), NULL), 0);
    assert_in_range(w.sent.n, XDS_NACK_TEXT_MAX, XDS_NACK_TEXT_MAX + 100);
    for (size_t i = 0; i < w.sent.n; i++)
        assert_true((uint8_t)w.sent.p[i] < 0x7f);
}

static void test_hostile_responses(void **state)
{
    AUTO_DONE(world) struct world w = world_new(true);
    struct err err = {0};
    (void)state;
    world_begin(&w);
    xds_client_subscribe_all(w.c, XDS_CLUSTER);
    xds_client_open(w.c);
    assert_sent(&w, "cds node\n");
    good(&w, XDS_LISTENER, "l", "1", "n1", NULL); /* nobody asked for listeners */
    assert_sent(&w, "");
    assert_got(&w, "");
    assert_int_equal(xds_client_receive(w.c, STR("\xff\xff"), &err), -EBADMSG);
    good(&w, XDS_CLUSTER, "a,a", "1", "n2", NULL);
    assert_sent(&w, "cds nonce=n2 error=13(duplicate name a found among added/updated "
                    "resources)\n");
    good(&w, XDS_CLUSTER, "", "1", "n3", NULL);
    assert_sent(&w, "cds nonce=n3\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sotw_begin_ack_nack),
        cmocka_unit_test(test_sotw_names_and_reconnect),
        cmocka_unit_test(test_sotw_ack_with_new_names),
        cmocka_unit_test(test_delta),
        cmocka_unit_test(test_delta_unsubscribe_and_again),
        cmocka_unit_test(test_hostile_responses),
        cmocka_unit_test(test_many_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
