/* What a node's routers are told, drawn from objects; and what is said to bgpd for it. */
#include <errno.h>

#include "json_text.h"

#include "agent/bgp_rules.h"

struct world {
    struct bgp_rules *r;
    struct ip ips[8];
    size_t n;
};

static void put(struct world *w, enum bgp_kind kind, const char *name, const char *more)
{
    const char *ns = kind == BGP_NODE ? "" : "'namespace':'s',";
    bool whole = strstr(more, "'metadata'") != NULL;
    AUTO_CHARS char *text = whole ? xasprintf("{%s}", more)
                                  : xasprintf("{'metadata':{%s'name':'%s'},%s}", ns, name, more);
    AUTO_CHARS char *key = xasprintf("%s%s", kind == BGP_NODE ? "" : "s/", name);
    AUTO_JSON json_t *j = json_of(text);
    bgp_rules_put(w->r, kind, str_from(key), j);
}

static void put_spec(struct world *w, enum bgp_kind kind, const char *name, const char *spec)
{
    AUTO_CHARS char *more = xasprintf("'spec':{%s}", spec);
    put(w, kind, name, more);
}

static void want(struct world *w, const char *ip)
{
    assert_int_equal(ip_parse(str_from(ip), &w->ips[w->n++]), 0);
}

static struct world begin(void)
{
    struct world w = {.r = bgp_rules_new("n1")};
    put(&w, BGP_NODE, "n1",
        "'status':{'addresses':[{'type':'ExternalIP','address':'10.9.9.9'},"
        "{'type':'InternalIP','address':'10.0.0.1'}]}");
    put_spec(&w, BGP_POOL, "lan", "'addresses':['192.0.2.0/24','2001:db8::/64']");
    put_spec(&w, BGP_PEER, "tor", "'myASN':64512,'peerASN':64513,'peerAddress':'10.0.0.2'");
    put_spec(&w, BGP_ADVERTISEMENT, "all", "");
    return w;
}

static const char *draw(struct world *w, const struct frr_config *there)
{
    static struct buf text;
    struct bgp_picture p;
    bgp_rules_draw(w->r, w->ips, w->n, there, &p);
    buf_clear(&text);
    frr_config_format(&p.bgpd, &text);
    if (p.bfdd.v.n)
        buf_add_cstr(&text, "---\n");
    frr_config_format(&p.bfdd, &text);
    findings_format(&p.findings, &text);
    bgp_picture_done(&p);
    return buf_cstr(&text);
}

static bool says(struct world *w, const char *line)
{
    const char *text = draw(w, NULL);
    if (strstr(text, line))
        return true;
    print_message("no \"%s\" in:\n%s", line, text);
    return false;
}

static void end(struct world *w)
{
    bgp_rules_free(w->r);
}

static const char picture[] = "router bgp 64512 view fairlead-64512\n"
                              " bgp router-id 10.0.0.1\n"
                              " no bgp default ipv4-unicast\n"
                              " bgp graceful-restart preserve-fw-state\n"
                              " no bgp network import-check\n"
                              " neighbor 10.0.0.2 remote-as 64513\n"
                              " neighbor 10.0.0.2 description BGPPeer tor\n"
                              " neighbor 10.0.0.2 timers connect 10\n"
                              " address-family ipv4 unicast\n"
                              "  neighbor 10.0.0.2 activate\n"
                              "  neighbor 10.0.0.2 route-map fairlead-in in\n"
                              "  neighbor 10.0.0.2 route-map fairlead-64512-10.0.0.2 out\n"
                              "  network 192.0.2.1/32\n"
                              "  network 192.0.2.2/32\n"
                              "route-map fairlead-in deny 10\n"
                              "ip prefix-list fairlead-64512-10.0.0.2-10 permit 192.0.2.1/32\n"
                              "ip prefix-list fairlead-64512-10.0.0.2-10 permit 192.0.2.2/32\n"
                              "route-map fairlead-64512-10.0.0.2 permit 10\n"
                              " match ip address prefix-list fairlead-64512-10.0.0.2-10\n"
                              "route-map fairlead-64512-10.0.0.2 deny 65535\n";

static void test_a_picture(void **state)
{
    (void)state;
    struct world w = begin();
    want(&w, "192.0.2.2");
    want(&w, "192.0.2.1");
    want(&w, "198.51.100.1"); /* of no pool */
    want(&w, "2001:db8::1");  /* the peer's session carries IPv4 */
    assert_string_equal(draw(&w, NULL), picture);
    assert_true(bgp_rules_announce(w.r, &w.ips[0]) && !bgp_rules_announce(w.r, &w.ips[2]));
    end(&w);
}

static void test_a_session(void **state)
{
    (void)state;
    struct world w = begin();
    put_spec(&w, BGP_PEER, "tor",
             "'myASN':4200000000,'dynamicASN':'external','localASN':65001,"
             "'peerAddress':'2001:db8:9::2','sourceAddress':'2001:db8:9::1','peerPort':1179,"
             "'holdTime':'9s','connectTime':'5s','routerID':'10.1.1.1','ebgpMultiHop':true,"
             "'dualStackAddressFamily':true,'enableGracefulRestart':true,'bfdProfile':'fast',"
             "'passwordSecret':{'name':'tor'}");
    put_spec(&w, BGP_BFD_PROFILE, "fast",
             "'receiveInterval':100,'transmitInterval':300,'detectMultiplier':5,'echoInterval':60,"
             "'echoMode':true,'passiveMode':true,'minimumTtl':10");
    put(&w, BGP_SECRET, "tor", "'type':'kubernetes.io/basic-auth','data':{'password':'c2VjcmV0'}");
    want(&w, "2001:db8::1");
    const char *text = draw(&w, NULL);
    static const char expected[] =
        "router bgp 4200000000 view fairlead-4200000000\n"
        " bgp router-id 10.1.1.1\n"
        " no bgp default ipv4-unicast\n"
        " bgp graceful-restart preserve-fw-state\n"
        " no bgp network import-check\n"
        " neighbor 2001:db8:9::2 remote-as external\n"
        " neighbor 2001:db8:9::2 local-as 65001 no-prepend replace-as\n"
        " neighbor 2001:db8:9::2 description BGPPeer tor\n"
        " neighbor 2001:db8:9::2 bfd\n"
        " neighbor 2001:db8:9::2 bfd profile fairlead-fast\n"
        " neighbor 2001:db8:9::2 password (hidden)\n"
        " neighbor 2001:db8:9::2 ebgp-multihop 255\n"
        " neighbor 2001:db8:9::2 update-source 2001:db8:9::1\n"
        " neighbor 2001:db8:9::2 port 1179\n"
        " neighbor 2001:db8:9::2 timers 3 9\n"
        " neighbor 2001:db8:9::2 timers connect 5\n"
        " neighbor 2001:db8:9::2 graceful-restart\n"
        " address-family ipv4 unicast\n"
        "  neighbor 2001:db8:9::2 activate\n"
        "  neighbor 2001:db8:9::2 route-map fairlead-in in\n"
        "  neighbor 2001:db8:9::2 route-map fairlead-4200000000-2001:db8:9::2 out\n"
        " address-family ipv6 unicast\n"
        "  neighbor 2001:db8:9::2 activate\n";
    assert_memory_equal(text, expected, sizeof(expected) - 1);
    assert_non_null(
        strstr(text, "match ipv6 address prefix-list fairlead-4200000000-2001:db8:9::2-11\n"));
    assert_string_equal(strstr(text, "---\n"), "---\nbfd\n"
                                               " profile fairlead-fast\n"
                                               "  detect-multiplier 5\n"
                                               "  receive-interval 100\n"
                                               "  echo transmit-interval 60\n"
                                               "  echo receive-interval 60\n"
                                               "  echo-mode\n"
                                               "  passive-mode\n"
                                               "  minimum-ttl 10\n");
    end(&w);
}

static void test_attributes(void **state)
{
    (void)state;
    struct world w = begin();
    put_spec(&w, BGP_COMMUNITY, "names", "'communities':[{'name':'gold','value':'65000:9'}]");
    put_spec(&w, BGP_ADVERTISEMENT, "all",
             "'localPref':200,'communities':['gold','65000:1','large:1:2:3','65535:65281']");
    put_spec(&w, BGP_ADVERTISEMENT, "wide", "'aggregationLength':26,'communities':['65000:7']");
    put_spec(&w, BGP_ADVERTISEMENT, "others", "'peers':['spine'],'communities':['1:1']");
    put_spec(&w, BGP_PEER, "spine", "'myASN':64512,'peerASN':64512,'peerAddress':'10.0.0.3'");
    want(&w, "192.0.2.1");
    want(&w, "192.0.2.2");
    assert_true(says(&w, "route-map fairlead-64512-10.0.0.2 permit 10\n"
                         " match ip address prefix-list fairlead-64512-10.0.0.2-10\n"
                         " set community 65000:1 65000:9 no-export additive\n"
                         " set local-preference 200\n"
                         " set large-community 1:2:3 additive\n"
                         "route-map fairlead-64512-10.0.0.2 permit 20\n"
                         " match ip address prefix-list fairlead-64512-10.0.0.2-20\n"
                         " set community 65000:7 additive\n"
                         "route-map fairlead-64512-10.0.0.2 deny 65535\n"));
    assert_true(says(&w, "ip prefix-list fairlead-64512-10.0.0.2-20 permit 192.0.2.0/26\n"));
    assert_true(says(&w, " set community 1:1 65000:1 65000:9 no-export additive\n"));
    assert_true(says(&w,
                     "error InvalidBGPAdvertisement s/others spec.localPref: another advertisement "
                     "of the same addresses to peer spine says 200\n"));
    end(&w);
}

static void test_where(void **state)
{
    (void)state;
    struct world w = begin();
    want(&w, "192.0.2.1");
    put_spec(&w, BGP_ADVERTISEMENT, "all", "'nodeSelectors':[{'matchLabels':{'a':'b'}}]");
    assert_null(strstr(draw(&w, NULL), "network 192"));
    put(&w, BGP_NODE, "n1", "'metadata':{'name':'n1','labels':{'a':'b'}}");
    assert_true(says(&w, "network 192.0.2.1/32"));
    put(&w, BGP_NODE, "n2", "'metadata':{'name':'n2'}"); /* another one */
    assert_true(says(&w, "network 192.0.2.1/32"));
    put(&w, BGP_NODE, "n1",
        "'metadata':{'name':'n1','labels':{'a':'b',"
        "'node.kubernetes.io/exclude-from-external-load-balancers':''}}");
    assert_null(strstr(draw(&w, NULL), "network 192"));
    assert_true(says(&w, "neighbor 10.0.0.2 remote-as")); /* the session stays */
    put(&w, BGP_NODE, "n1",
        "'metadata':{'name':'n1','labels':{'a':'b'}},"
        "'status':{'conditions':[{'type':'NetworkUnavailable','status':'True'}]}");
    assert_null(strstr(draw(&w, NULL), "network 192"));
    bgp_rules_put(w.r, BGP_NODE, STR("n1"), NULL);
    assert_string_equal(draw(&w, NULL), "");
    put(&w, BGP_NODE, "n1", "'metadata':{'name':'n1','labels':{'a':'b'}}");
    put_spec(&w, BGP_PEER, "tor",
             "'myASN':64512,'peerASN':64513,'peerAddress':'10.0.0.2',"
             "'nodeSelectors':[{'matchLabels':{'a':'c'}}]");
    assert_string_equal(draw(&w, NULL), "");
    put_spec(&w, BGP_PEER, "tor",
             "'myASN':64512,'peerASN':64513,'peerAddress':'10.0.0.2',"
             "'nodeSelectors':[{'matchLabels':{'a':'c'}},{}]");
    put_spec(&w, BGP_ADVERTISEMENT, "all", "'ipAddressPools':['wan']");
    assert_null(strstr(draw(&w, NULL), "network 192"));
    put_spec(&w, BGP_ADVERTISEMENT, "all", "'ipAddressPools':['lan']");
    assert_true(says(&w, "network 192.0.2.1/32"));
    bgp_rules_put(w.r, BGP_POOL, STR("s/lan"), NULL);
    assert_null(strstr(draw(&w, NULL), "network 192"));
    end(&w);
}

/* What is wrong with a peer is said, and it is left out. */
static void test_refusals(void **state)
{
    static const struct {
        const char *spec, *said;
    } cases[] = {
        {"'myASN':0,'peerASN':1,'peerAddress':'10.0.0.2'",
         "spec.myASN: the AS of this end is missing"},
        {"'myASN':1,'peerAddress':'10.0.0.2'", "spec.peerASN: the AS of the peer is missing"},
        {"'myASN':1,'peerASN':2,'dynamicASN':'internal','peerAddress':'10.0.0.2'",
         "spec.dynamicASN: peerASN is there, too"},
        {"'myASN':1,'peerASN':2", "spec.peerAddress: the address of the peer is missing"},
        {"'myASN':1,'peerASN':2,'peerAddress':'10.0.0.2\\n!'", "is no address"},
        {"'myASN':1,'peerASN':1,'peerAddress':'10.0.0.2','ebgpMultiHop':true",
         "spec.ebgpMultiHop: the peer is of the same AS"},
        {"'myASN':1,'peerASN':2,'interface':'eth0'",
         "spec.interface: peers without an address: not supported"},
        {"'myASN':1,'peerASN':2,'peerAddress':'10.0.0.2','vrf':'red'", "spec.vrf: not supported"},
        {"'myASN':1,'peerASN':2,'peerAddress':'10.0.0.2','holdTime':'2s'",
         "spec.holdTime: 2 s are too short"},
        {"'myASN':1,'peerASN':2,'peerAddress':'10.0.0.2','holdTime':'9s','keepaliveTime':'10s'",
         "spec.keepaliveTime: is longer than the hold time"},
        {"'myASN':1,'peerASN':2,'peerAddress':'10.0.0.2','password':'a b'",
         "spec.password: cannot be given to bgpd"},
        {"'myASN':1,'peerASN':2,'peerAddress':'10.0.0.2','password':'a\\nno router bgp'",
         "spec.password: cannot be given to bgpd"},
        {"'myASN':1,'peerASN':2,'peerAddress':'10.0.0.2','passwordSecret':{'name':'x'}",
         "spec.passwordSecret.name: the Secret x is not there"},
        {"'myASN':1,'peerASN':2,'peerAddress':'10.0.0.2','passwordSecret':{'name':'opaque'}",
         "the Secret opaque is not of type kubernetes.io/basic-auth"},
        {"'myASN':1,'peerASN':2,'peerAddress':'10.0.0.2','bfdProfile':'x'",
         "spec.bfdProfile: there is no BFDProfile x that can be used"},
        {"'myASN':1,'peerASN':2,'peerAddress':'10.0.0.2','routerID':'::1'",
         "spec.routerID: is an IPv6 address"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w = begin();
        put(&w, BGP_SECRET, "opaque", "'type':'Opaque','data':{'password':'c2VjcmV0'}");
        put_spec(&w, BGP_PEER, "tor", cases[i].spec);
        assert_true(says(&w, cases[i].said));
        assert_true(says(&w, "error InvalidBGPPeer s/tor "));
        assert_null(strstr(draw(&w, NULL), "router bgp"));
        end(&w);
    }
}

static void test_peers_at_odds(void **state)
{
    (void)state;
    struct world w = begin();
    put_spec(&w, BGP_PEER, "z", "'myASN':64512,'peerASN':64513,'peerAddress':'10.0.0.2'");
    assert_true(says(&w, "InvalidBGPPeer s/z spec.peerAddress: BGPPeer tor has the same address"));
    put_spec(&w, BGP_PEER, "z",
             "'myASN':64512,'peerASN':64513,'peerAddress':'10.0.0.3','routerID':'1.1.1.1'");
    assert_true(says(&w, "InvalidBGPPeer s/z spec.routerID: BGPPeer tor has another one"));
    put_spec(&w, BGP_PEER, "z", "'myASN':64599,'peerASN':64513,'peerAddress':'10.0.0.3'");
    assert_true(says(&w, "router bgp 64599 view fairlead-64599\n"));
    put_spec(&w, BGP_ADVERTISEMENT, "all", "'aggregationLength':16");
    want(&w, "192.0.2.1");
    assert_true(says(&w,
                     "InvalidBGPAdvertisement s/all spec.aggregationLength: 192.0.0.0/16 reaches "
                     "beyond a range of pool lan"));
    put_spec(&w, BGP_ADVERTISEMENT, "all", "'communities':['gold'],'serviceSelectors':[{}]");
    assert_true(says(&w, "InvalidBGPAdvertisement s/all spec.serviceSelectors: not supported"));
    put_spec(&w, BGP_ADVERTISEMENT, "all", "'communities':['gold']");
    assert_true(says(&w, "spec.communities[0]: \"gold\" is no community, and no name of one"));
    put_spec(&w, BGP_COMMUNITY, "names", "'communities':[{'name':'gold','value':'65536:1'}]");
    assert_true(says(&w, "InvalidCommunity s/names spec.communities[0].value: \"65536:1\" is no "
                         "community"));
    end(&w);
}

/* ---- what bgpd shows, and what is said to it ---- */

static const char shown[] =
    "frr version 8.4.4\nfrr defaults traditional\n!\nhostname vm\n!\n"
    "router bgp 65099\n neighbor 10.0.0.77 remote-as 65098\n !\n address-family ipv4 unicast\n"
    "  network 203.0.113.0/24\n exit-address-family\nexit\n!\n"
    "router bgp 65099 view mine\n neighbor 2001:db8::77 remote-as 1\nexit\n!\n"
    "router bgp 64512 view fairlead-64512\n bgp router-id 10.0.0.1\n"
    " no bgp default ipv4-unicast\n bgp graceful-restart preserve-fw-state\n"
    " no bgp network import-check\n neighbor 10.0.0.2 remote-as 64513\n"
    " neighbor 10.0.0.2 description BGPPeer tor\n neighbor 10.0.0.2 timers connect 10\n !\n"
    " address-family ipv4 unicast\n  network 192.0.2.1/32\n  network 192.0.2.2/32\n"
    "  neighbor 10.0.0.2 activate\n  neighbor 10.0.0.2 route-map fairlead-in in\n"
    "  neighbor 10.0.0.2 route-map fairlead-64512-10.0.0.2 out\n exit-address-family\nexit\n!\n"
    "ip prefix-list fairlead-64512-10.0.0.2-10 seq 5 permit 192.0.2.1/32\n"
    "ip prefix-list fairlead-64512-10.0.0.2-10 seq 10 permit 192.0.2.2/32\n"
    "ip prefix-list theirs seq 10 permit 192.0.2.2/32\n!\n"
    "route-map fairlead-in deny 10\nexit\n!\n"
    "route-map fairlead-64512-10.0.0.2 permit 10\n"
    " match ip address prefix-list fairlead-64512-10.0.0.2-10\nexit\n!\n"
    "route-map fairlead-64512-10.0.0.2 deny 65535\nexit\n!\nroute-map theirs permit 10\n"
    " set local-preference 1\nexit\n!\nend\n";

static const char *commands(const struct frr_config *from, const struct frr_config *to)
{
    static struct buf text;
    struct frr_commands c = {0};
    int depth = 0;
    frr_config_diff(from, to, &c);
    buf_clear(&text);
    VEC_FOREACH (one, &c) {
        depth -= one->kind == FRR_LEAVE;
        buf_addf(&text, "%*s%s\n", depth, "", one->text);
        depth += one->kind == FRR_ENTER;
    }
    assert_int_equal(depth, 0);
    frr_commands_done(&c);
    return buf_cstr(&text);
}

static const char *to_picture(struct world *w, const struct frr_config *there)
{
    struct bgp_picture p;
    bgp_rules_draw(w->r, w->ips, w->n, there, &p);
    const char *text = commands(there, &p.bgpd);
    bgp_picture_done(&p);
    return text;
}

static void test_what_is_there_is_left_alone(void **state)
{
    (void)state;
    struct frr_config there = {0}, nothing = {0};
    struct ip ip;
    struct world w = begin();
    frr_config_parse(str_from(shown), &there);
    want(&w, "192.0.2.1");
    want(&w, "192.0.2.2");
    assert_string_equal(to_picture(&w, &there), "");
    assert_string_equal(commands(&nothing, &nothing), "");
    for (size_t i = 0; i < 3; i++) {
        static const char *const ips[] = {"10.0.0.77", "2001:db8::77", "10.0.0.2"};
        assert_int_equal(ip_parse(str_from(ips[i]), &ip), 0);
        assert_int_equal(frr_config_is_foreign(&there, &ip), i < 2);
    }
    put_spec(&w, BGP_PEER, "tor", "'myASN':64512,'peerASN':64513,'peerAddress':'10.0.0.77'");
    assert_non_null(
        strstr(draw(&w, &there), "a neighbor of this address in a block that is not ours"));
    /* All of ours goes, and nothing else. */
    assert_string_equal(commands(&there, &nothing),
                        "no router bgp 64512 view fairlead-64512\n"
                        "no ip prefix-list fairlead-64512-10.0.0.2-10 permit 192.0.2.1/32\n"
                        "no ip prefix-list fairlead-64512-10.0.0.2-10 permit 192.0.2.2/32\n"
                        "no route-map fairlead-in deny 10\n"
                        "no route-map fairlead-64512-10.0.0.2 permit 10\n"
                        "no route-map fairlead-64512-10.0.0.2 deny 65535\n");
    frr_config_done(&there);
    end(&w);
}

/* A NUL would make one name of two. */
static void test_what_is_no_text(void **state)
{
    static const char odd[] =
        "router bgp 645\0\0 view fairlead-645\n neighbor 10.0.0.2 remote-as 1\n"
        "route-map fairlead-in deny 10\nexit\n";
    struct frr_config c = {0};
    (void)state;
    frr_config_parse(str_of(odd, sizeof(odd) - 1), &c);
    assert_int_equal(c.v.n, 1);
    assert_string_equal(c.v.v[0].outer, "route-map fairlead-in deny 10");
    frr_config_done(&c);
}

/* Routes that stay are not touched; new ones are known to the filters before they are there. */
static void test_changes(void **state)
{
    (void)state;
    struct frr_config there = {0};
    struct world w = begin();
    frr_config_parse(str_from(shown), &there);
    want(&w, "192.0.2.2");
    want(&w, "192.0.2.3");
    assert_string_equal(to_picture(&w, &there),
                        "router bgp 64512 view fairlead-64512\n"
                        " address-family ipv4 unicast\n"
                        "  no network 192.0.2.1/32\n"
                        " exit\n"
                        "exit\n"
                        "ip prefix-list fairlead-64512-10.0.0.2-10 permit 192.0.2.3/32\n"
                        "router bgp 64512 view fairlead-64512\n"
                        " address-family ipv4 unicast\n"
                        "  network 192.0.2.3/32\n"
                        " exit\n"
                        "exit\n"
                        "no ip prefix-list fairlead-64512-10.0.0.2-10 permit 192.0.2.1/32\n");
    w.n = 0;
    want(&w, "192.0.2.1");
    want(&w, "192.0.2.2");
    put_spec(&w, BGP_PEER, "tor",
             "'myASN':64512,'peerASN':64513,'peerAddress':'10.0.0.2','holdTime':'9s'");
    assert_string_equal(to_picture(&w, &there),
                        "router bgp 64512 view fairlead-64512\n"
                        " no neighbor 10.0.0.2\n"
                        " neighbor 10.0.0.2 remote-as 64513\n"
                        " neighbor 10.0.0.2 description BGPPeer tor\n"
                        " neighbor 10.0.0.2 timers 3 9\n"
                        " neighbor 10.0.0.2 timers connect 10\n"
                        " address-family ipv4 unicast\n"
                        "  neighbor 10.0.0.2 activate\n"
                        "  neighbor 10.0.0.2 route-map fairlead-in in\n"
                        "  neighbor 10.0.0.2 route-map fairlead-64512-10.0.0.2 out\n"
                        " exit\n"
                        "exit\n");
    put_spec(&w, BGP_PEER, "tor", "'myASN':64512,'peerASN':64513,'peerAddress':'10.0.0.2'");
    put_spec(&w, BGP_ADVERTISEMENT, "all", "'localPref':7");
    assert_string_equal(to_picture(&w, &there),
                        "no route-map fairlead-64512-10.0.0.2 permit 10\n"
                        "route-map fairlead-64512-10.0.0.2 permit 10\n"
                        " match ip address prefix-list fairlead-64512-10.0.0.2-10\n"
                        " set local-preference 7\n"
                        "exit\n");
    frr_config_done(&there);
    end(&w);
}

/* What is drawn, said, shown and read again is the same. */
static void test_there_and_back(void **state)
{
    (void)state;
    struct frr_config read = {0}, nothing = {0};
    struct bgp_picture p;
    AUTO_DONE(buf) struct buf text = {0};
    struct world w = begin();
    put_spec(&w, BGP_BFD_PROFILE, "fast", "'receiveInterval':100,'echoMode':true");
    put_spec(&w, BGP_PEER, "six",
             "'myASN':64512,'peerASN':64513,'peerAddress':'2001:db8::2','bfdProfile':'fast'");
    want(&w, "192.0.2.1");
    want(&w, "2001:db8::1");
    bgp_rules_draw(w.r, w.ips, w.n, NULL, &p);
    frr_config_format(&p.bgpd, &text);
    frr_config_parse(buf_str(&text), &read);
    assert_true(frr_config_equal(&read, &p.bgpd));
    assert_string_equal(commands(&read, &p.bgpd), "");
    frr_config_done(&read);
    buf_clear(&text);
    frr_config_format(&p.bfdd, &text);
    buf_add_cstr(&text, " !\nexit\n");
    frr_config_parse(buf_str(&text), &read);
    assert_true(frr_config_equal(&read, &p.bfdd));
    assert_string_equal(commands(&read, &nothing), "bfd\n no profile fairlead-fast\nexit\n");
    frr_config_done(&read);
    bgp_picture_done(&p);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_picture),
        cmocka_unit_test(test_a_session),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_where),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_peers_at_odds),
        cmocka_unit_test(test_what_is_there_is_left_alone),
        cmocka_unit_test(test_what_is_no_text),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
