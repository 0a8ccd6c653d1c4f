/* Passwords on their thread: answered at the loop, remembered, bounded, cancelled. */
#include "proxy/password_pool.h"

#include "test.h"

#define HASH "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"
#define SLOW "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"

static struct loop *loop;
static unsigned rights, wrongs;

static void on_answer(bool right, void *user)
{
    (void)user;
    ++*(right ? &rights : &wrongs);
}

static enum password_answer ask(enum htpasswd_kind kind, const char *hash, const char *password)
{
    struct password_question *q;
    return password_ask(loop, kind, str_from(hash), str_from(password), on_answer, NULL, &q);
}

static void wait_for(const unsigned *count, unsigned n)
{
    for (int i = 0; *count < n && i < 6000; i++)
        loop_turn(loop, 10);
    assert_int_equal(*count, n);
}

static int start(void **state)
{
    (void)state;
    rights = wrongs = 0;
    return loop_new(&loop, NULL);
}

static int finish(void **state)
{
    (void)state;
    password_pool_stop();
    loop_turn(loop, 0);
    loop_free(loop);
    return 0;
}

static void test_once_and_then_at_once(void **state)
{
    (void)state;
    assert_int_equal(ask(HTPASSWD_APR1, HASH, "secret"), PASSWORD_LATER);
    assert_int_equal(ask(HTPASSWD_APR1, HASH, "wrong"), PASSWORD_LATER);
    wait_for(&rights, 1);
    wait_for(&wrongs, 1);
    assert_int_equal(ask(HTPASSWD_APR1, HASH, "secret"), PASSWORD_RIGHT);
    assert_int_equal(ask(HTPASSWD_APR1, HASH, "wrong"), PASSWORD_WRONG);
    /* What was right of one hash says nothing of another: a password that has been changed. */
    assert_int_equal(ask(HTPASSWD_CRYPT, SLOW, "secret"), PASSWORD_LATER);
    wait_for(&rights, 2);
    assert_int_equal(ask(HTPASSWD_SHA, "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret"),
                     PASSWORD_RIGHT);
}

static void test_no_more_wait_than_may(void **state)
{
    unsigned taken = 0, refused = 0;
    (void)state;
    for (unsigned i = 0; i < 4 * PASSWORD_WAITING_MAX && !refused; i++) {
        AUTO_CHARS char *password = xasprintf("wrong-%u", i);
        enum password_answer a = ask(HTPASSWD_CRYPT, SLOW, password);
        taken += a == PASSWORD_LATER;
        refused += a == PASSWORD_BUSY;
    }
    assert_int_equal(refused, 1);
    assert_true(taken >= PASSWORD_WAITING_MAX);
    wait_for(&wrongs, taken);
}

static void test_cancelled(void **state)
{
    struct password_question *q = NULL;
    (void)state;
    assert_int_equal(
        password_ask(loop, HTPASSWD_CRYPT, STR(SLOW), STR("secret"), on_answer, NULL, &q),
        PASSWORD_LATER);
    password_cancel(q);
    assert_int_equal(ask(HTPASSWD_CRYPT, SLOW, "else"), PASSWORD_LATER);
    wait_for(&wrongs, 1);
    assert_int_equal(rights, 0);
}

static void test_stopped_with_questions_left(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        AUTO_CHARS char *password = xasprintf("%u", i);
        (void)ask(HTPASSWD_CRYPT, SLOW, password);
    }
    password_pool_stop();
    assert_int_equal(ask(HTPASSWD_CRYPT, SLOW, "secret"), PASSWORD_LATER); /* it begins anew */
    wait_for(&rights, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_once_and_then_at_once, start, finish),
        cmocka_unit_test_setup_teardown(test_no_more_wait_than_may, start, finish),
        cmocka_unit_test_setup_teardown(test_cancelled, start, finish),
        cmocka_unit_test_setup_teardown(test_stopped_with_questions_left, start, finish),
    };
    return RUN_TESTS(tests);
}
