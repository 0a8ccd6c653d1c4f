/* The choice of a filter chain: each fact narrows, the most specific first, never going back; and
 * no two chains may claim the same connection. */
#include "test.h"

#include <stdio.h>

#include "codec/json.h"
#include "codec/pb_json.h"
#include "proxy/listener_config.h"
#include "xds/xds_types.h"

#define CHAIN(name, match)                                                                         \
    "{'name':'" name "','filter_chain_match':{" match "},'filters':[{'name':'h','typed_config':{"  \
    "'@type':'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',"        \
    "'stat_prefix':'t','cluster':'c'}}]}"

#define ALL(...) join((const char *const[]){__VA_ARGS__, NULL})

static const char *join(const char *const *chains)
{
    static char text[8192];
    size_t n = 0;
    for (size_t i = 0; chains[i]; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? "," : "", chains[i]);
    return text;
}

/* JSON as the tests write it: ' stands for ". */
static int compile(const char *chains, const char *otherwise, struct listener_config **ret,
                   struct err *err)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_CHARS char *json = xasprintf(
        "{'address':{'socket_address':{'address':'127.0.0.1','port_value':1}},'filter_chains':[%s]"
        "%s%s}",
        chains, otherwise ? ",'default_filter_chain':" : "", otherwise ? otherwise : "");
    json_t *j = NULL;
    ProtobufCMessage *m = NULL;
    struct compile c = {.scratch = a, .err = err};
    for (char *p = json; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (json_parse(str_from(json), 0, NULL, &j, err) < 0 ||
        pb_json_parse(j, &envoy__config__listener__v3__listener__descriptor, &xds_json_types, a, &m,
                      NULL, err) < 0)
        fail_msg("%s: %s", err_text(err), json);
    json_decref(j);
    return listener_config_compile(&c, (const void *)m, ret);
}

static struct listener_config *listener(const char *chains, const char *otherwise)
{
    struct listener_config *l = NULL;
    struct err err = {0};
    if (compile(chains, otherwise, &l, &err) < 0)
        fail_msg("%s", err_text(&err));
    return l;
}

static struct ip ip(const char *text)
{
    struct ip i;
    assert_ok(ip_parse(str_from(text), &i));
    return i;
}

/* A connection from 10.0.0.9:999 to 10.0.0.1:443 that speaks nothing in particular. */
static struct filter_chain_facts facts(void)
{
    return (struct filter_chain_facts){.destination = ip("10.0.0.1"),
                                       .source = ip("10.0.0.9"),
                                       .direct_source = ip("10.0.0.9"),
                                       .destination_port = 443,
                                       .source_port = 999};
}

static void finds(const struct listener_config *l, const struct filter_chain_facts *f,
                  const char *expected)
{
    const struct filter_chain *c = filter_chains_find(&l->chains, f);
    if (!expected)
        assert_null(c);
    else if (!c)
        fail_msg("nothing, expected %s", expected);
    else
        assert_string_equal(c->name, expected);
}

static void finds_name(const struct listener_config *l, const char *name, const char *expected)
{
    struct filter_chain_facts f = facts();
    f.tls = true;
    f.server_name = str_from(name);
    finds(l, &f, expected);
}

static void test_server_names(void **state)
{
    struct listener_config *l = listener(ALL(CHAIN("exact", "'server_names':['A.example.com']"),
                                             CHAIN("short", "'server_names':['*.com']"),
                                             CHAIN("long", "'server_names':['*.example.com']")),
                                         CHAIN("otherwise", ""));
    (void)state;
    finds_name(l, "a.example.com", "exact");
    finds_name(l, "b.example.com", "long");
    finds_name(l, "b.c.example.com", "long");
    finds_name(l, "example.com", "short");
    finds_name(l, "com", "otherwise");
    finds_name(l, "", "otherwise");
    listener_config_unref(l);
}

/* Destination port before name: the port's chain is asked alone, and what it does not take goes to
 * nobody else. */
static void test_never_back(void **state)
{
    struct listener_config *l = listener(
        ALL(CHAIN("port", "'destination_port':443,'server_names':['a.b']"),
            CHAIN("name", "'server_names':['c.d']"),
            CHAIN("net", "'prefix_ranges':[{'address_prefix':'10.0.0.0','prefix_len':8}]")),
        NULL);
    struct filter_chain_facts f = facts();
    (void)state;
    f.tls = true;
    f.server_name = STR("a.b");
    finds(l, &f, "port");
    f.server_name = STR("c.d");
    finds(l, &f, NULL);
    f.destination_port = 80;
    finds(l, &f, "net"); /* the address goes before the name */
    f.destination = ip("11.0.0.1");
    finds(l, &f, "name");
    listener_config_unref(l);
}

static void test_addresses(void **state)
{
#define NET(name, field, prefix, len)                                                              \
    CHAIN(name, "'" field "':[{'address_prefix':'" prefix "','prefix_len':" len "}]")
    struct listener_config *l =
        listener(ALL(NET("wide", "prefix_ranges", "10.0.0.0", "8"),
                     NET("narrow", "prefix_ranges", "10.0.0.0", "24"),
                     NET("v6", "prefix_ranges", "fd00::", "8"), CHAIN("any", "")),
                 NULL);
    struct filter_chain_facts f = facts();
    (void)state;
    finds(l, &f, "narrow");
    f.destination = ip("10.1.0.1");
    finds(l, &f, "wide");
    f.destination = ip("fd00::1");
    finds(l, &f, "v6");
    f.destination = ip("fe00::1");
    finds(l, &f, "any");
    f.destination.family = 0; /* a Unix socket */
    finds(l, &f, "any");
    listener_config_unref(l);
}

static void test_sources(void **state)
{
    struct listener_config *l =
        listener(ALL(CHAIN("local", "'source_type':'SAME_IP_OR_LOOPBACK'"),
                     CHAIN("ports", "'source_type':'EXTERNAL','source_ports':[7,999]"),
                     CHAIN("ext", "'source_type':'EXTERNAL'"),
                     NET("direct", "direct_source_prefix_ranges", "192.168.0.0", "16"),
                     NET("source", "source_prefix_ranges", "172.16.0.0", "12")),
                 NULL);
    struct filter_chain_facts f = facts();
    (void)state;
    finds(l, &f, "ports");
    f.source_port = 8;
    finds(l, &f, "ext");
    f.source = f.destination;
    finds(l, &f, "local");
    f.source = ip("127.0.0.1");
    finds(l, &f, "local");
    f.source = ip("172.16.0.1"); /* the type goes before the address */
    finds(l, &f, "ext");
    f.direct_source = ip("192.168.1.1");
    finds(l, &f, "direct");
    listener_config_unref(l);
}

static void test_protocols(void **state)
{
    struct listener_config *l = listener(
        ALL(CHAIN("tls", "'transport_protocol':'tls'"),
            CHAIN("raw", "'transport_protocol':'raw_buffer'"),
            CHAIN("h2", "'application_protocols':['h2']"),
            CHAIN("mesh", "'transport_protocol':'tls','application_protocols':['istio','h3']")),
        NULL);
    struct filter_chain_facts f = facts();
    (void)state;
    assert_true(l->chains.needs_tls_facts);
    assert_int_equal(l->filters[0], LISTENER_TLS_INSPECTOR); /* who forgot it gets it */
    finds(l, &f, "raw");
    f.protocols = STR("\x02h2");
    finds(l, &f, "raw"); /* the transport goes first */
    f.tls = true;
    finds(l, &f, "tls");
    f.protocols = STR("\x02h2\x05istio");
    finds(l, &f, "mesh");
    listener_config_unref(l);
}

static void test_first_offer_wins(void **state)
{
    struct listener_config *l = listener(ALL(CHAIN("a", "'application_protocols':['a']"),
                                             CHAIN("b", "'application_protocols':['b']")),
                                         NULL);
    struct filter_chain_facts f = facts();
    (void)state;
    f.tls = true;
    f.protocols = STR("\1x\1b\1a");
    finds(l, &f, "b");
    f.protocols = STR("\1x");
    finds(l, &f, NULL);
    listener_config_unref(l);
}

/* The index and the search through all say the same: a chain that matches by an address that
 * nobody has turns the index off. */
static void test_index(void **state)
{
    static const char *const names[] = {"",  "a",    "a.b", "x.a.b", "y.x.a.b", ".a.b",
                                        "b", "a.b.", ".",   "c.d",   "q.c.d",   "..a.b"};
#define FIVE                                                                                       \
    CHAIN("1", "'server_names':['a.b','*.x.a.b']"), CHAIN("2", "'server_names':['*.b']"),          \
        CHAIN("3", "'server_names':['*.a.b','c.d'],'source_ports':[1]"),                           \
        CHAIN("4", "'source_ports':[999]"), CHAIN("5", "'server_names':['*.c.d']")
    struct listener_config *indexed = listener(ALL(FIVE), NULL);
    struct listener_config *not =
        listener(ALL(FIVE, NET("off", "prefix_ranges", "203.0.113.1", "32")), NULL);
    (void)state;
    assert_true(indexed->chains.by_name.used > 0);
    assert_int_equal(not ->chains.by_name.used, 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (uint16_t port = 998; port < 1000; port++) {
            struct filter_chain_facts f = facts();
            f.server_name = str_from(names[i]);
            f.source_port = port == 998 ? 1 : port;
            const struct filter_chain *one = filter_chains_find(&indexed->chains, &f);
            const struct filter_chain *two = filter_chains_find(&not ->chains, &f);
            if (!one != !two || (one && !streq(one->name, two->name)))
                fail_msg("%s: %s, %s", names[i], one ? one->name : "-", two ? two->name : "-");
        }
    listener_config_unref(indexed);
    listener_config_unref(not );
}

static void refused(const char *chains, const char *expected)
{
    struct listener_config *l = NULL;
    struct err err = {0};
    assert_true(compile(chains, NULL, &l, &err) < 0);
    if (!strstr(err_text(&err), expected))
        fail_msg("%s, expected %s", err_text(&err), expected);
}

static void test_claims(void **state)
{
    struct listener_config *l;
    (void)state;
    refused("", "no filter chains specified");
    refused(ALL(CHAIN("one", ""), CHAIN("two", "")),
            "filter chain 'two' has the same matching rules defined as 'one'");
    refused(ALL(NET("one", "prefix_ranges", "10.0.0.1", "8"),
                NET("two", "prefix_ranges", "10.9.0.0", "8")),
            "the same matching rules");
    refused(ALL(CHAIN("one", "'source_ports':[1,2]"), CHAIN("two", "'source_ports':[3,2]")),
            "overlapping matching rules");
    refused(ALL(NET("one", "prefix_ranges", "0.0.0.0", "0"), CHAIN("two", "")), "overlapping");
    refused(ALL(CHAIN("one", "'server_names':['a*']")), "partial wildcards");
    refused(ALL(CHAIN("one", "'destination_port':70000")), "destination_port");
    l = listener(ALL(CHAIN("one", "'server_names':['a','A']"),
                     CHAIN("two", "'server_names':['a'],'source_ports':[1]")),
                 NULL);
    listener_config_unref(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_names), cmocka_unit_test(test_never_back),
        cmocka_unit_test(test_addresses),    cmocka_unit_test(test_sources),
        cmocka_unit_test(test_protocols),    cmocka_unit_test(test_first_offer_wins),
        cmocka_unit_test(test_claims),       cmocka_unit_test(test_index),
    };
    return RUN_TESTS(tests);
}
