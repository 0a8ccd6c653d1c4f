/* The bytes of a last good configuration: there and back, and every way in which they may be
 * damaged. */
#include "test.h"

#include <errno.h>

#include "base/hash.h"
#include "proxy/last_good_file.h"

/* A packed resource whose first field is its name. */
static struct str named(struct arena *a, const char *name, size_t more)
{
    struct buf b = {0};
    buf_add_u8(&b, 0x0a);
    buf_add_u8(&b, (uint8_t)strlen(name));
    buf_add_cstr(&b, name);
    for (size_t i = 0; i < more; i++)
        buf_add(&b, "\x10\x01", 2); /* field 2: 1 */
    struct str copy = arena_str(a, buf_str(&b));
    buf_done(&b);
    return copy;
}

static struct xds_item item(struct arena *a, const char *name, const char *version, size_t more)
{
    return (struct xds_item){str_from(name), str_from(version), named(a, name, more), false, NULL};
}

static void make(struct arena *a, struct buf *b)
{
    struct xds_item clusters[] = {item(a, "a", "1", 3), item(a, "bb", "", 0)};
    struct xds_item secret[] = {item(a, "s", "v", 1)};
    struct last_good_file f = {.node_id = STR("n1"), .node_cluster = STR("test"), .at_ms = 5};
    f.types[XDS_CLUSTER] = (struct last_good_type){clusters, 2};
    f.types[XDS_SECRET] = (struct last_good_type){secret, 1};
    assert_int_equal(last_good_encode(&f, b, NULL), 0);
}

static void test_there_and_back(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf b = {0};
    struct last_good_file f;
    (void)state;
    make(a, &b);
    assert_int_equal(last_good_decode(buf_str(&b), a, &f, NULL), 0);
    assert_true(str_is(f.node_id, "n1"));
    assert_true(str_is(f.node_cluster, "test"));
    assert_int_equal(f.at_ms, 5);
    assert_int_equal(f.types[XDS_CLUSTER].n, 2);
    assert_true(str_is(f.types[XDS_CLUSTER].items[0].name, "a"));
    assert_true(str_is(f.types[XDS_CLUSTER].items[0].version, "1"));
    assert_true(str_eq(f.types[XDS_CLUSTER].items[0].bytes, named(a, "a", 3)));
    assert_true(str_is(f.types[XDS_CLUSTER].items[1].version, ""));
    assert_int_equal(f.types[XDS_ENDPOINT].n + f.types[XDS_LISTENER].n + f.types[XDS_ROUTE].n, 0);
    assert_true(str_is(f.types[XDS_SECRET].items[0].name, "s"));
}

static void test_every_bit_counts(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf b = {0};
    struct last_good_file f;
    (void)state;
    make(a, &b);
    for (size_t i = 0; i < b.n; i++)
        for (int bit = 0; bit < 8; bit++) {
            struct err err = {0};
            b.p[i] = (char)(b.p[i] ^ 1 << bit);
            assert_int_equal(last_good_decode(buf_str(&b), a, &f, &err), -EBADMSG);
            assert_true(*err.msg);
            b.p[i] = (char)(b.p[i] ^ 1 << bit);
        }
    for (size_t n = 0; n < b.n; n++) {
        struct err err = {0};
        assert_int_equal(last_good_decode(str_of(b.p, n), a, &f, &err), -EBADMSG);
        assert_non_null(strstr(err.msg, "it is cut"));
    }
    buf_add_char(&b, 0);
    assert_int_equal(last_good_decode(buf_str(&b), a, &f, NULL), -EBADMSG);
}

/* With a checksum that fits: what somebody has made. */
static void expect_refused(struct arena *a, struct buf *b, const char *message)
{
    struct last_good_file f;
    struct err err = {0};
    for (size_t i = 0; i < 8; i++)
        b->p[16 + i] = (char)((b->n - LAST_GOOD_HEADER_BYTES) >> 8 * i);
    uint64_t sum = hash_bytes_seed(b->p + LAST_GOOD_HEADER_BYTES, b->n - LAST_GOOD_HEADER_BYTES,
                                   hash_bytes_seed(b->p, 24, 0));
    for (size_t i = 0; i < 8; i++)
        b->p[24 + i] = (char)(sum >> 8 * i);
    assert_int_equal(last_good_decode(buf_str(b), a, &f, &err), -EBADMSG);
    assert_non_null(strstr(err.msg, message));
}

static void test_a_checksum_is_not_all(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf b = {0};
    (void)state;
    make(a, &b);
    buf_add_cstr(&b, "more");
    expect_refused(a, &b, "4 bytes too many");
    b.n = LAST_GOOD_HEADER_BYTES + 7;
    expect_refused(a, &b, "it has no time");
    b.n = LAST_GOOD_HEADER_BYTES + 10;
    expect_refused(a, &b, "a record does not fit");
    b.n = 0;
    make(a, &b);
    char *name = memmem(b.p, b.n,
                        "\x0a\x02"
                        "bb",
                        4); /* of the resource's envelope */
    assert_non_null(name);
    name[3] = 'c';
    expect_refused(a, &b,
                   "resource 1 of type.googleapis.com/envoy.config.cluster.v3.Cluster is not");
    name[3] = 'b';
    char *url = memmem(b.p, b.n, "Listener", 8);
    assert_non_null(url);
    url[0] = 'l';
    expect_refused(a, &b, "is expected");
}

static void test_too_large(void **state)
{
    AUTO_DONE(buf) struct buf b = {0}, large = {0};
    struct last_good_file f = {.node_id = STR(""), .node_cluster = STR("")};
    struct err err = {0};
    (void)state;
    assert_non_null(buf_reserve(&large, LAST_GOOD_BYTES_MAX));
    memset(large.p, 'x', LAST_GOOD_BYTES_MAX);
    large.n = LAST_GOOD_BYTES_MAX;
    struct xds_item one = {STR("one"), STR(""), buf_str(&large), false, NULL};
    f.types[XDS_LISTENER] = (struct last_good_type){&one, 1};
    assert_int_equal(last_good_encode(&f, &b, &err), -E2BIG);
    assert_non_null(strstr(err.msg, "over the limit"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_a_checksum_is_not_all),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
