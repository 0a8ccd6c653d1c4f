/* Resolver against a name server of the test's own on loopback: both families, absent names, TCP
 * after truncation, look-ups that nobody waits for any more. */
#include "dns_world.h"

#include <errno.h>
#include <stdio.h>

struct answer {
    bool done;
    int code;
    struct ip ips[RESOLVER_IPS_MAX];
    size_t n;
    char text[320];
};

static void world_up(struct dns_world *w)
{
    struct loop *l;
    assert_ok(loop_new(&l, NULL));
    dns_world_up(w, l);
}

static void world_down(struct dns_world *w)
{
    dns_world_down(w);
    loop_turn(w->loop, 0);
    loop_free(w->loop);
}

static void on_answer(int code, const struct ip *ips, size_t n, const char *text, void *user)
{
    struct answer *a = user;
    assert_false(a->done);
    a->done = true;
    a->code = code;
    a->n = n;
    memcpy(a->ips, ips, n * sizeof(*ips));
    snprintf(a->text, sizeof(a->text), "%s", text);
}

static struct answer ask(struct dns_world *w, const char *name)
{
    struct answer a = {0};
    (void)resolver_lookup(w->resolver, name, on_answer, &a);
    assert_false(a.done); /* never from inside */
    for (int i = 0; i < 2000 && !a.done; i++)
        loop_turn(w->loop, 10);
    assert_true(a.done);
    return a;
}

static void check_both_families(const struct answer *a)
{
    char text[IP_TEXT_BYTES];
    bool v4 = false, v6 = false;
    assert_ok(a->code);
    for (size_t i = 0; i < a->n; i++) {
        ip_format(&a->ips[i], text);
        v4 = v4 || streq(text, "192.0.2.1");
        v6 = v6 || streq(text, "2001:db8::1");
    }
    assert_true(v4 && v6);
}

static void test_both_families(void **state)
{
    struct dns_world w;
    (void)state;
    world_up(&w);
    struct answer a = ask(&w, "api.test");
    assert_int_equal(a.n, 2);
    check_both_families(&a);
    assert_int_equal(w.queries, 2);
    assert_int_equal(w.tcp_queries, 0);
    world_down(&w);
}

static void test_absent_name(void **state)
{
    struct dns_world w;
    (void)state;
    world_up(&w);
    struct answer a = ask(&w, "gone.test");
    assert_int_equal(a.code, -ENOENT);
    assert_int_equal(a.n, 0);
    assert_string_equal(a.text, "gone.test: no such host");
    world_down(&w);
}

static void test_address_and_hosts_file_ask_nobody(void **state)
{
    struct dns_world w;
    char text[IP_TEXT_BYTES];
    (void)state;
    world_up(&w);
    struct answer a = ask(&w, "192.0.2.7");
    assert_ok(a.code);
    assert_string_equal(ip_format(&a.ips[0], text), "192.0.2.7");
    a = ask(&w, "localhost");
    assert_ok(a.code);
    assert_int_equal(w.queries, 0);
    world_down(&w);
}

static void test_tcp_after_truncation(void **state)
{
    struct dns_world w;
    (void)state;
    world_up(&w);
    w.truncate = true;
    struct answer a = ask(&w, "api.test");
    check_both_families(&a);
    assert_int_equal(w.tcp_queries, 2);
    world_down(&w);
}

static void test_nobody_waits(void **state)
{
    struct dns_world w;
    struct answer a = {0}, b = {0};
    (void)state;
    world_up(&w);
    w.silent = true;
    struct resolver_query *q = resolver_lookup(w.resolver, "api.test", on_answer, &a);
    (void)resolver_lookup(w.resolver, "api.test", on_answer, &b);
    loop_turn(w.loop, 10);
    resolver_cancel(q);
    /* Answered by c-ares at once, cancelled before it was told. */
    q = resolver_lookup(w.resolver, "192.0.2.7", on_answer, &a);
    resolver_cancel(q);
    loop_turn(w.loop, 10);
    w.silent = false;
    struct answer late = ask(&w, "api.test");
    check_both_families(&late);
    world_down(&w); /* one look-up is still open */
    assert_false(a.done || b.done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_families),
        cmocka_unit_test(test_absent_name),
        cmocka_unit_test(test_address_and_hosts_file_ask_nobody),
        cmocka_unit_test(test_tcp_after_truncation),
        cmocka_unit_test(test_nobody_waits),
    };
    return RUN_TESTS(tests);
}
