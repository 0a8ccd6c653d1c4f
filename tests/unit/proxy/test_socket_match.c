/* Which of a cluster's ways to speak to an endpoint its labels choose. */
#include "proxy/socket_match.h"

#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <errno.h>

#include "codec/pb_json.h"
#include "json_text.h"
#include "proxy/cluster.h"
#include "xds/xds_types.h"

#define TLS                                                                                        \
    "{'name':'t','typed_config':{'@type':'type.googleapis.com/"                                    \
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext','sni':'%s'}}"
#define RAW                                                                                        \
    "{'name':'r','typed_config':{'@type':'type.googleapis.com/"                                    \
    "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer'}}"
#define NAMES "'name':'c','type':'STATIC','connect_timeout':'1s'"

static int compile(const char *text, struct cluster **ret, struct err *reterr)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_JSON json_t *j = json_of(text);
    struct compile c = {.scratch = a, .err = reterr};
    ProtobufCMessage *m;
    if (pb_json_parse(j, &envoy__config__cluster__v3__cluster__descriptor, &xds_json_types, a, &m,
                      NULL, reterr) < 0)
        fail_msg("%s", err_text(reterr));
    return cluster_compile(&c, (const void *)m, ret);
}

static const char *sni_for(struct cluster *c, size_t i)
{
    struct lb_plan *plan = cluster_plan(c);
    const struct upstream_tls *t = cluster_tls(c, plan->set->entries.v[i].endpoint);
    lb_plan_unref(plan);
    return t ? t->sni : NULL;
}

#define ENDPOINT                                                                                   \
    "{'endpoint':{'address':{'socket_address':{'address':'10.0.0.1','port_value':%u}}},"           \
    "'metadata':{'filter_metadata':{'envoy.transport_socket_match':{%s}}}}"
#define ENDPOINTS "'load_assignment':{'cluster_name':'c','endpoints':[{'lb_endpoints':["

static void test_the_first_that_fits(void **state)
{
    AUTO_CHARS char *text =
        xasprintf("{" NAMES ",'transport_socket':" TLS ",'transport_socket_matches':["
                  "{'name':'a','match':{'k':'1','l':'2'},'transport_socket':" TLS "},"
                  "{'name':'b','match':{'k':'1'},'transport_socket':" TLS "},"
                  "{'name':'c','match':{'k':'3'},'transport_socket':" RAW "}]," ENDPOINTS ENDPOINT
                  "," ENDPOINT "," ENDPOINT "," ENDPOINT "," ENDPOINT "]}]}}",
                  "else", "both", "one", 1, "'l':'2','k':'1'", 2, "'k':'1','l':'x'", 3, "'k':'3'",
                  4, "'k':true", 5, "");
    struct cluster *c;
    struct err err = {0};
    (void)state;
    if (compile(text, &c, &err) < 0)
        fail_msg("%s", err_text(&err));
    assert_string_equal(sni_for(c, 0), "both");
    assert_string_equal(sni_for(c, 1), "one");
    assert_null(sni_for(c, 2)); /* in plain */
    assert_string_equal(sni_for(c, 3), "else");
    assert_string_equal(sni_for(c, 4), "else");
    const struct upstream_tls *t;
    size_t n = 0;
    for (size_t at = 0; cluster_next_tls(c, &at, &t); n++)
        assert_non_null(t);
    assert_int_equal(n, 3); /* those of which secrets may be wanted */
    cluster_unref(c);
}

/* What asks for nothing is for all. */
static void test_one_for_all(void **state)
{
    AUTO_CHARS char *text = xasprintf(
        "{" NAMES ",'transport_socket_matches':[{'name':'a','match':{},'transport_socket':" TLS
        "}]," ENDPOINTS ENDPOINT "]}]}}",
        "all", 1, "");
    struct cluster *c;
    struct err err = {0};
    (void)state;
    if (compile(text, &c, &err) < 0)
        fail_msg("%s", err_text(&err));
    assert_string_equal(sni_for(c, 0), "all");
    cluster_unref(c);
}

static void test_refused(void **state)
{
    struct cluster *c = NULL;
    struct err err = {0};
    (void)state;
    assert_int_equal(compile("{" NAMES ",'transport_socket_matches':[{'name':'a','match':{'k':1},"
                             "'transport_socket':" RAW "}]}",
                             &c, &err),
                     -EINVAL);
    assert_string_equal(err_text(&err), "transport_socket_matches[0]: match: only values that are "
                                        "texts are implemented");
    assert_int_equal(compile("{" NAMES ",'transport_socket_matches':[{'name':'a'}]}", &c, &err),
                     -EINVAL);
    assert_null(c);
}

/* An address whose labels change is another endpoint: its connections were made otherwise. */
static void test_labels_that_change(void **state)
{
    struct endpoint_maker m;
    struct ip ip;
    (void)state;
    assert_ok(ip_parse(STR("10.0.0.1"), &ip));
    endpoint_maker_init(&m, NULL);
    endpoint_maker_locality(&m, 0, 0);
    assert_non_null(endpoint_maker_add(&m, &ip, 80, STR("")));
    struct endpoint_set *before = endpoint_maker_take(&m);
    endpoint_maker_done(&m);
    for (int same = 0; same < 2; same++) {
        endpoint_maker_init(&m, before);
        endpoint_maker_locality(&m, 0, 0);
        const struct endpoint_entry *e =
            endpoint_maker_add(&m, &ip, 80, same ? STR("") : STR("k\0v\0"));
        assert_int_equal(e->endpoint == before->entries.v[0].endpoint, same);
        endpoint_maker_done(&m);
    }
    endpoint_set_unref(before);
}

#define PROXIED(version, socket)                                                                   \
    "{'name':'p','typed_config':{'@type':'type.googleapis.com/envoy.extensions."                   \
    "transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport',"                         \
    "'config':{'version':'" version "'},'transport_socket':" socket "}}"
#define MATCH(name, socket) "{'name':'" name "','match':{},'transport_socket':" socket "}"

/* The PROXY protocol is the cluster's: all of its sockets say the same of it. */
static void test_the_proxy_protocol(void **state)
{
    static const struct {
        const char *sockets;
        int version; /* -1: refused */
    } cases[] = {
        {"'transport_socket':" RAW, 0},
        {"'transport_socket':" PROXIED("V1", RAW), 1},
        {"'transport_socket_matches':[" MATCH("a", PROXIED("V2", RAW)) "," MATCH(
             "b", PROXIED("V2", RAW)) "]",
         2},
        {"'transport_socket_matches':[" MATCH("a", PROXIED("V2", RAW)) "," MATCH("b", RAW) "]", -1},
        {"'transport_socket':" RAW
         ",'transport_socket_matches':[" MATCH("a", PROXIED("V1", RAW)) "]",
         -1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_CHARS char *text = xasprintf("{" NAMES ",%s}", cases[i].sockets);
        struct cluster *c;
        struct err err = {0};
        int r = compile(text, &c, &err);
        assert_int_equal(r < 0, cases[i].version < 0);
        if (r < 0) {
            assert_non_null(strstr(err_text(&err), "transport_socket_matches: the PROXY protocol"));
            continue;
        }
        assert_int_equal(c->proxy_version, cases[i].version);
        cluster_unref(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_proxy_protocol), cmocka_unit_test(test_the_first_that_fits),
        cmocka_unit_test(test_one_for_all),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_labels_that_change),
    };
    return RUN_TESTS(tests);
}
