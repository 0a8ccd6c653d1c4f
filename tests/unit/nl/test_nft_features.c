/* What a kernel lacks is told, in a network namespace of its own (skipped where that is not
 * allowed): a part that no kernel has, a part that all have, and that nothing of it stays. */
#include <errno.h>
#include <sched.h>

#include "nl/nft_features.h"
#include "test.h"

static void add_unknown(struct nfnl_batch *b, uint8_t family)
{
    (void)family;
    nfnl_chain_new(b, "never", "no-such-type", 0, 0);
}

/* Refused at a message of IPv6 alone. */
static void add_unknown_v6(struct nfnl_batch *b, uint8_t family)
{
    if (family == NFPROTO_IPV6)
        add_unknown(b, family);
}

static void add_nothing(struct nfnl_batch *b, uint8_t family)
{
    (void)b;
    (void)family;
}

struct seen {
    int n;
    const char *names[4];
    uint8_t families[4];
};

static void on_missing(const struct nft_feature *f, uint8_t family, const char *why, void *user)
{
    struct seen *s = user;
    assert_true(s->n < 4 && why[0]);
    s->names[s->n] = f->name;
    s->families[s->n++] = family;
}

static void test_what_is_missing_is_named(void **state)
{
    static const struct nft_feature made_up[] = {{"nothing", "", "", false, add_nothing},
                                                 {"unknown", "", "", false, add_unknown},
                                                 {"half", "", "", false, add_unknown_v6}};
    struct seen s = {0};
    struct err e = {0};
    (void)state;
    assert_int_equal(nft_features_probe(made_up, 3, on_missing, &s, &e), 3);
    assert_string_equal(s.names[0], "unknown");
    assert_string_equal(s.names[1], "unknown");
    assert_string_equal(s.names[2], "half");
    assert_int_equal(s.families[0], NFPROTO_IPV4);
    assert_int_equal(s.families[1], NFPROTO_IPV6);
    assert_int_equal(s.families[2], NFPROTO_IPV6);
}

static void test_nothing_stays(void **state)
{
    AUTO(nft) struct nft *n = NULL;
    AUTO_DONE(buf) struct buf lacks = {0};
    struct err e = {0};
    bool there = true;
    (void)state;
    if (nft_features_missing_text(true, &lacks, &e) != 0)
        fail_msg("%s%s", err_text(&e), buf_cstr(&lacks));
    assert_int_equal(nft_new(&n, &e), 0);
    assert_int_equal(nft_table_exists(n, NFPROTO_IPV4, "fairlead-probe", &there, &e), 0);
    assert_false(there);
    assert_int_equal(nft_table_exists(n, NFPROTO_IPV6, "fairlead-probe", &there, &e), 0);
    assert_false(there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_missing_is_named),
        cmocka_unit_test(test_nothing_stays),
    };
    if (unshare(CLONE_NEWNET) < 0)
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
