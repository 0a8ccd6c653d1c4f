/* A kube-proxy's traces by mode, and what only looks like one, in a network namespace of its own
 * (skipped where that is not allowed). The older iptables' tables: tests/cluster/test_moving.py. */
#include <errno.h>
#include <sched.h>

#include "nl/kube_proxy_rules.h"
#include "nl/rtnl.h"
#include "test.h"

static void table(struct nft *n, uint8_t family, const char *name, const char *chain, bool gone)
{
    struct nfnl_batch b;
    nft_batch_begin(n, &b, 0);
    nfnl_batch_table(&b, family, name);
    nfnl_table_new(&b);
    if (gone)
        nfnl_table_delete(&b);
    else
        nfnl_chain_new(&b, chain, NULL, -1, 0);
    assert_ok(nft_commit(n, &b, NULL));
    nfnl_batch_done(&b);
}

static void assert_found(int n, const char *text)
{
    AUTO_DONE(buf) struct buf b = {0};
    assert_int_equal(kube_proxy_rules_find(&b, NULL), n);
    assert_string_equal(buf_cstr(&b), text);
}

static void test_row_47_traces_by_mode(void **state)
{
    AUTO(nft) struct nft *n = NULL;
    AUTO(nl_socket) struct nl_socket *links = NULL;
    (void)state;
    assert_ok(nft_new(&n, NULL));
    assert_ok(nl_socket_new(NETLINK_ROUTE, &links, NULL));
    assert_found(0, "");
    table(n, NFPROTO_IPV4, "nat", "DOCKER", false);
    table(n, NFPROTO_IPV4, "filter", "KUBE-SERVICES", false);
    table(n, NFPROTO_INET, "kube-proxy", "services", false);
    assert_found(0, "");
    table(n, NFPROTO_IPV4, "nat", "KUBE-SERVICES", false);
    assert_found(1, "chain KUBE-SERVICES of iptables");
    table(n, NFPROTO_IPV6, "nat", "KUBE-SERVICES", false);
    table(n, NFPROTO_IPV4, "kube-proxy", "services", false);
    table(n, NFPROTO_IPV6, "kube-proxy", "services", false);
    assert_ok(rtnl_bridge_add(links, "kube-ipvs0", NULL));
    assert_found(5, "table ip kube-proxy of nftables, chain KUBE-SERVICES of iptables, "
                    "table ip6 kube-proxy of nftables, chain KUBE-SERVICES of ip6tables, "
                    "interface kube-ipvs0 of ipvs");
    table(n, NFPROTO_IPV4, "nat", NULL, true);
    table(n, NFPROTO_IPV6, "nat", NULL, true);
    table(n, NFPROTO_IPV4, "kube-proxy", NULL, true);
    assert_found(2, "table ip6 kube-proxy of nftables, interface kube-ipvs0 of ipvs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_row_47_traces_by_mode)};
    if (unshare(CLONE_NEWNET) < 0)
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
