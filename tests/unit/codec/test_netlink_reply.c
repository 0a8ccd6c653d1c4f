/* Answers of rtnetlink and the connection table, built by hand and cut short at every byte. */
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include "codec/ctnl.h"
#include "codec/rtnl_reply.h"
#include "test.h"

static struct nlmsg first(const struct buf *b)
{
    struct str bytes = buf_str(b);
    struct nlmsg m;
    assert_int_equal(nlmsg_next(&bytes, &m), 1);
    return m;
}

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_int_equal(ip_parse(str_from(text), &ip), 0);
    return ip;
}

static void add_tuple(struct buf *b, uint16_t type, const char *src, const char *dst,
                      uint16_t src_port, uint16_t dst_port, uint8_t proto)
{
    struct ip s = ip_of(src), d = ip_of(dst);
    bool v4 = s.family == AF_INET;
    size_t tuple = nla_nest_begin(b, type), ip = nla_nest_begin(b, CTA_TUPLE_IP);
    nla_add(b, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, s.bytes, ip_bytes(&s));
    nla_add(b, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, d.bytes, ip_bytes(&d));
    nla_nest_end(b, ip);
    size_t p = nla_nest_begin(b, CTA_TUPLE_PROTO);
    nla_add_u8(b, CTA_PROTO_NUM, proto);
    nla_add_be16(b, CTA_PROTO_SRC_PORT, src_port);
    nla_add_be16(b, CTA_PROTO_DST_PORT, dst_port);
    nla_nest_end(b, p);
    nla_nest_end(b, tuple);
}

static void add_flow(struct buf *b, bool v6, uint8_t proto)
{
    size_t at = nlmsg_begin(b, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW, NLM_F_MULTI, 5);
    struct nfgenmsg g = {.nfgen_family = v6 ? AF_INET6 : AF_INET};
    nlmsg_fixed(b, &g, sizeof(g));
    if (v6) {
        add_tuple(b, CTA_TUPLE_ORIG, "fd00::2", "fd00:96::a", 4000, 53, proto);
        add_tuple(b, CTA_TUPLE_REPLY, "fd00:1::7", "fd00::2", 5353, 4000, proto);
    } else {
        add_tuple(b, CTA_TUPLE_ORIG, "10.0.0.2", "10.96.0.10", 4000, 53, proto);
        add_tuple(b, CTA_TUPLE_REPLY, "10.1.0.7", "10.0.0.2", 5353, 4000, proto);
    }
    nla_add_be32(b, CTA_ID, 0xabcd);
    nlmsg_end(b, at);
}

static void test_flow(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        AUTO_DONE(buf) struct buf b = {0}, del = {0};
        struct conntrack_flow f;
        uint8_t family = v6 ? AF_INET6 : AF_INET;
        add_flow(&b, v6, IPPROTO_UDP);
        struct nlmsg m = first(&b);
        assert_true(ctnl_parse_flow(&m, family, &f));
        struct ip dst = ip_of(v6 ? "fd00:96::a" : "10.96.0.10"),
                  reply = ip_of(v6 ? "fd00:1::7" : "10.1.0.7");
        assert_true(ip_eq(&f.dst, &dst) && ip_eq(&f.reply_src, &reply));
        assert_int_equal(f.src_port, 4000);
        assert_int_equal(f.dst_port, 53);
        assert_int_equal(f.reply_src_port, 5353);
        assert_false(ctnl_parse_flow(&m, v6 ? AF_INET : AF_INET6, &f));

        ctnl_add_delete(&del, &m, family, 9);
        struct nlmsg d = first(&del);
        assert_int_equal(d.type, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE);
        assert_int_equal(d.seq, 9);
        struct str attrs = nlmsg_attrs(&d, sizeof(struct nfgenmsg)),
                   of = nlmsg_attrs(&m, sizeof(struct nfgenmsg));
        assert_true(str_eq(nla_find(attrs, CTA_TUPLE_ORIG), nla_find(of, CTA_TUPLE_ORIG)));
        assert_int_equal(nla_be32(nla_find(attrs, CTA_ID), 0), 0xabcd);
        assert_false(nla_find(attrs, CTA_TUPLE_REPLY).p);
    }
}

static void test_other_protocols_and_truncation(void **state)
{
    AUTO_DONE(buf) struct buf tcp = {0}, udp = {0};
    struct conntrack_flow f;
    (void)state;
    add_flow(&tcp, false, IPPROTO_TCP);
    struct nlmsg m = first(&tcp);
    assert_false(ctnl_parse_flow(&m, AF_INET, &f));
    add_flow(&udp, false, IPPROTO_UDP);
    m = first(&udp);
    size_t whole = m.payload.n, understood = 0;
    for (m.payload.n = 0; m.payload.n < whole; m.payload.n++)
        understood += ctnl_parse_flow(&m, AF_INET, &f);
    assert_in_range(understood, 1, 8); /* only the id, which comes last, may be missing */
}

static void test_filter(void **state)
{
    AUTO_DONE(buf) struct buf with = {0}, without = {0};
    struct conntrack_filter filter = {AF_INET, ip_of("10.96.0.10"), 53};
    (void)state;
    ctnl_add_dump(&with, &filter, true, 1);
    ctnl_add_dump(&without, &filter, false, 2);
    struct nlmsg m = first(&with), plain = first(&without);
    struct str attrs = nlmsg_attrs(&m, sizeof(struct nfgenmsg));
    struct str tuple = nla_find(attrs, CTA_TUPLE_ORIG);
    assert_int_equal(nla_be16(nla_find(nla_find(tuple, CTA_TUPLE_PROTO), CTA_PROTO_DST_PORT), 0),
                     53);
    assert_int_equal(nla_find(nla_find(tuple, CTA_TUPLE_IP), CTA_IP_V4_DST).n, 4);
    assert_true(nla_find(attrs, CTA_FILTER).n > 0);
    assert_int_equal(m.flags & NLM_F_DUMP, NLM_F_DUMP);
    assert_int_equal(nlmsg_attrs(&plain, sizeof(struct nfgenmsg)).n, 0);
}

static void add_addr(struct buf *b, uint8_t len)
{
    struct ip ip = ip_of("198.18.3.4");
    struct ifaddrmsg msg = {.ifa_family = AF_INET, .ifa_prefixlen = len, .ifa_index = 7};
    size_t at = nlmsg_begin(b, RTM_NEWADDR, NLM_F_MULTI, 1);
    nlmsg_fixed(b, &msg, sizeof(msg));
    nla_add(b, IFA_ADDRESS, ip.bytes, 4);
    nlmsg_end(b, at);
}

static void test_addresses_and_routes(void **state)
{
    AUTO_DONE(buf) struct buf addr = {0}, bad = {0}, route = {0}, all = {0};
    char text[PREFIX_TEXT_BYTES];
    struct prefix p;
    unsigned index;
    (void)state;
    add_addr(&addr, 24);
    struct nlmsg m = first(&addr);
    assert_true(rtnl_parse_addr(&m, &p, &index));
    assert_string_equal(prefix_format(&p, text), "198.18.3.4/24");
    assert_int_equal(index, 7);
    assert_false(rtnl_parse_route(&m, &p, &index));
    for (size_t n = m.payload.n; n-- > 0;) {
        m.payload.n = n;
        assert_false(rtnl_parse_addr(&m, &p, &index));
    }
    add_addr(&bad, 33); /* more bits than the address has */
    m = first(&bad);
    assert_false(rtnl_parse_addr(&m, &p, &index));

    struct ip net = ip_of("fd00:10::");
    struct rtmsg msg = {.rtm_family = AF_INET6, .rtm_dst_len = 64};
    size_t at = nlmsg_begin(&route, RTM_NEWROUTE, NLM_F_MULTI, 1);
    nlmsg_fixed(&route, &msg, sizeof(msg));
    nla_add(&route, RTA_DST, net.bytes, 16);
    nla_add_u32(&route, RTA_OIF, 3);
    nlmsg_end(&route, at);
    m = first(&route);
    assert_true(rtnl_parse_route(&m, &p, &index));
    assert_string_equal(prefix_format(&p, text), "fd00:10::/64");
    assert_int_equal(index, 3);

    msg.rtm_dst_len = 0; /* a default route carries no destination */
    at = nlmsg_begin(&all, RTM_NEWROUTE, NLM_F_MULTI, 1);
    nlmsg_fixed(&all, &msg, sizeof(msg));
    nlmsg_end(&all, at);
    m = first(&all);
    assert_false(rtnl_parse_route(&m, &p, &index));
}

static void test_end_of_a_dump_may_carry_an_error(void **state)
{
    AUTO_DONE(buf) struct buf ok = {0}, failed = {0};
    struct str text;
    (void)state;
    size_t at = nlmsg_begin(&ok, NLMSG_DONE, NLM_F_MULTI, 1);
    nlmsg_fixed(&ok, &(int32_t){0}, 4);
    nlmsg_end(&ok, at);
    at = nlmsg_begin(&failed, NLMSG_DONE, NLM_F_MULTI | NLM_F_ACK_TLVS, 1);
    nlmsg_fixed(&failed, &(int32_t){-ENOBUFS}, 4);
    nla_add_cstr(&failed, NLMSGERR_ATTR_MSG, "no room");
    nlmsg_end(&failed, at);
    struct nlmsg m = first(&ok);
    assert_int_equal(nlmsg_done(&m, &text), 0);
    m.payload.n = 0; /* old kernels send none */
    assert_int_equal(nlmsg_done(&m, &text), 0);
    m = first(&failed);
    assert_int_equal(nlmsg_done(&m, &text), -ENOBUFS);
    assert_str(text, "no room");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flow),
        cmocka_unit_test(test_other_protocols_and_truncation),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_addresses_and_routes),
        cmocka_unit_test(test_end_of_a_dump_may_carry_an_error),
    };
    return RUN_TESTS(tests);
}
