/* nf_tables encoder and reader: bytes out, the same elements back; lists split at the attribute's
 * limit. */
#include <errno.h>
#include <stdio.h>

#include "codec/nfnl.h"
#include "test.h"

struct seen {
    size_t elems;
    uint64_t sum;
    char chain[32];
};

static int on_elem(const struct nfnl_elem *e, void *user)
{
    struct seen *s = user;
    uint32_t v = 0;
    memcpy(&v, e->key.p, MIN(e->key.n, sizeof(v)));
    s->elems++;
    s->sum += v;
    if (e->has_verdict)
        snprintf(s->chain, sizeof(s->chain), STR_FMT, STR_ARG(e->chain));
    return 0;
}

static void batch_read(const struct nfnl_batch *b, struct seen *s, size_t *ret_elem_messages)
{
    struct str bytes = buf_str(&b->buf);
    struct nlmsg m;
    uint32_t seq = b->seq_first;
    *ret_elem_messages = 0;
    while (nlmsg_next(&bytes, &m) == 1) {
        assert_int_equal(m.seq, seq++);
        if (!nfnl_is(&m, NFT_MSG_NEWSETELEM))
            continue;
        ++*ret_elem_messages;
        assert_int_equal(nfnl_parse_elems(&m, on_elem, s), 0);
    }
    assert_int_equal(bytes.n, 0);
}

static void test_elements_split_over_messages(void **state)
{
    (void)state;
    struct nfnl_batch b;
    struct seen s = {0};
    size_t messages;
    nfnl_batch_init(&b, 100, 7);
    nfnl_batch_table(&b, NFPROTO_IPV4, "t");
    nfnl_elems_begin(&b, NFT_MSG_NEWSETELEM, "m");
    for (uint32_t i = 0; i < 5000; i++)
        nfnl_elem_add(&b, str_of(&i, 4), str_of(&i, 4));
    nfnl_elems_end(&b);
    assert_true(nfnl_batch_finish(&b));
    batch_read(&b, &s, &messages);
    assert_int_equal(s.elems, 5000);
    assert_int_equal(s.sum, 4999ull * 5000 / 2);
    assert_true(messages > 1 && messages < 6);
    nfnl_batch_done(&b);
}

static void test_empty_list_leaves_no_message(void **state)
{
    (void)state;
    struct nfnl_batch b;
    nfnl_batch_init(&b, 1, 0);
    nfnl_batch_table(&b, NFPROTO_IPV4, "t");
    nfnl_elems_begin(&b, NFT_MSG_DELSETELEM, "m");
    nfnl_elems_end(&b);
    assert_true(nfnl_batch_is_empty(&b));
    assert_false(nfnl_batch_finish(&b));
    nfnl_batch_done(&b);
}

static void test_verdict_elements(void **state)
{
    (void)state;
    struct nfnl_batch b;
    struct seen s = {0};
    size_t messages;
    uint32_t key = 3;
    nfnl_batch_init(&b, 1, 0);
    nfnl_batch_table(&b, NFPROTO_IPV6, "t");
    nfnl_elems_begin(&b, NFT_MSG_NEWSETELEM, "m");
    nfnl_elem_add_verdict(&b, str_of(&key, 4), NFT_JUMP, "endpoints-3");
    nfnl_elems_end(&b);
    assert_true(nfnl_batch_finish(&b));
    batch_read(&b, &s, &messages);
    assert_string_equal(s.chain, "endpoints-3");
    nfnl_batch_done(&b);
}

static void test_truncated_answers_are_refused(void **state)
{
    (void)state;
    struct nfnl_batch b;
    struct seen s = {0};
    uint32_t key = 3;
    nfnl_batch_init(&b, 1, 0);
    nfnl_batch_table(&b, NFPROTO_IPV4, "t");
    nfnl_elems_begin(&b, NFT_MSG_NEWSETELEM, "m");
    nfnl_elem_add(&b, str_of(&key, 4), str_of(&key, 4));
    nfnl_elems_end(&b);
    struct str bytes = str_sub(buf_str(&b.buf), b.msg, b.buf.n);
    struct nlmsg m;
    assert_int_equal(nlmsg_next(&bytes, &m), 1);
    for (size_t n = m.payload.n - 1; n > 16; n--) {
        struct nlmsg cut = m;
        cut.payload.n = n;
        int r = nfnl_parse_elems(&cut, on_elem, &s);
        assert_true(r == 0 || r == -EBADMSG);
    }
    assert_int_equal(s.elems, 0);
    nfnl_batch_done(&b);
}

static void test_concatenated_types(void **state)
{
    (void)state;
    static const enum nfnl_type key[] = {NFNL_TYPE_IP, NFNL_TYPE_INET_PROTO,
                                         NFNL_TYPE_INET_SERVICE};
    assert_int_equal(nfnl_type_concat(key, 3), 7 << 12 | 12 << 6 | 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements_split_over_messages),
        cmocka_unit_test(test_empty_list_leaves_no_message),
        cmocka_unit_test(test_verdict_elements),
        cmocka_unit_test(test_truncated_answers_are_refused),
        cmocka_unit_test(test_concatenated_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
