/* Whose addresses are: asked for once, forgotten when there are too many, freed once. */
#include "proxy/peer.h"
#include "test.h"

struct world {
    struct loop *loop;
    size_t wanted, unwanted;
};

static void on_want(struct str name, bool wanted, void *user)
{
    struct world *w = user;
    assert_true(name.n > 1 && name.p[0] == '/');
    w->wanted += wanted;
    w->unwanted += !wanted;
}

static struct ip address(unsigned i)
{
    return (struct ip){AF_INET, {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
}

static void start(struct world *w)
{
    memset(w, 0, sizeof(*w));
    assert_ok(loop_new(&w->loop, NULL));
    peers_start(w->loop, on_want, w);
}

static void finish(struct world *w)
{
    peers_stop();
    loop_free(w->loop);
}

/* More than there is room for, before the main thread has been told of the first one. */
static void test_too_many_at_once(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    for (unsigned i = 0; i < PEER_SLOTS_MAX + 100; i++) {
        struct ip ip = address(i);
        struct peer_slot *s = peer_slot_use(&ip);
        assert_non_null(s);
        peer_slot_end_use(s);
    }
    loop_turn(w.loop, 0);
    assert_int_equal(w.unwanted, PEER_SLOTS_MAX); /* those that nobody used any more */
    assert_int_equal(w.wanted, 100);
    for (unsigned i = 0; i < PEER_SLOTS_MAX + 100; i++) { /* and again, told of in turn */
        struct ip ip = address(i + (1 << 20));
        peer_slot_end_use(peer_slot_use(&ip));
        if (i % 1000 == 0)
            loop_turn(w.loop, 0);
    }
    loop_turn(w.loop, 0);
    finish(&w);
}

static void test_all_in_use(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    for (unsigned i = 0; i < PEER_SLOTS_MAX; i++) {
        struct ip ip = address(i);
        assert_non_null(peer_slot_use(&ip));
    }
    struct ip one_more = address(PEER_SLOTS_MAX), first = address(0);
    assert_null(peer_slot_use(&one_more));
    assert_non_null(peer_slot_use(&first));
    loop_turn(w.loop, 0);
    assert_int_equal(w.wanted, PEER_SLOTS_MAX);
    assert_int_equal(w.unwanted, 0);
    finish(&w);
}

static void test_texts(void **state)
{
    (void)state;
    AUTO_CHARS char *copy = xstrdup("a;b");
    const char *one = label_text(STR("a;b"));
    assert_ptr_equal(label_text(str_from(copy)), one);
    assert_null(label_text(STR("")));
    assert_non_null(label_text_of_some(STR("x"), 1));
    assert_null(label_text_of_some(STR("y"), 1));
    assert_non_null(label_text_of_some(STR("x"), 1)); /* it is there */
    assert_non_null(label_text(STR("y")));
    peers_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_many_at_once),
        cmocka_unit_test(test_all_in_use),
        cmocka_unit_test(test_texts),
    };
    return RUN_TESTS(tests);
}
