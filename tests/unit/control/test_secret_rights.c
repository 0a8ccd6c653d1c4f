/* Who may have private keys, against a server that answers reviews as it is told, on one loop over
 * loopback and by a manual clock. */
#include "control/secret_rights.h"

#include <stdio.h>

#include "json_text.h"
#include "kube_client_rig.h"

#define CART "system:serviceaccount:shop:cart"

enum { AT_ONCE = 16, MINUTE = 60 * 1000 };

struct world {
    struct kube_client_rig rig;
    struct secret_rights *rights;
    bool allows, broken, silent;
    unsigned asked, changes;
    char question[2000], changed[200];
};

static void on_request(struct http_exchange *x, void *user)
{
    struct world *w = user;
    w->asked++;
    snprintf(w->question, sizeof(w->question), STR_FMT, STR_ARG(http_exchange_body(x)));
    if (!w->silent)
        http_exchange_reply(x, w->broken ? 500 : 201, NULL, 0,
                            w->allows ? STR("{\"status\":{\"allowed\":true}}")
                                      : STR("{\"status\":{\"allowed\":false}}"));
}

static void on_change(const char *account, void *user)
{
    struct world *w = user;
    w->changes++;
    snprintf(w->changed, sizeof(w->changed), "%s", account);
}

static void world_up(struct world *w)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    *w = (struct world){0};
    rig_up(&w->rig, &ops, w);
    w->rights = secret_rights_new(w->rig.client, on_change, w);
}

static void world_down(struct world *w)
{
    secret_rights_free(w->rights);
    rig_down(&w->rig);
}

static void pass(struct world *w, uint64_t ms)
{
    rig_pass(&w->rig, ms);
}

static void test_nobody_has_a_key_before_it_is_known(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    w.allows = true;
    secret_rights_use(w.rights, CART);
    pass(&w, MINUTE);
    assert_int_equal(w.asked, 0); /* nobody wants one */
    assert_int_equal(secret_rights_may(w.rights, CART), XDS_MAY_LATER);
    pass(&w, 0);
    assert_int_equal(secret_rights_may(w.rights, CART), XDS_MAY);
    assert_string_equal(w.changed, CART);
    AUTO_JSON json_t *j = json_of(w.question);
    AUTO_JSON json_t *wanted =
        json_of("{'user':'system:serviceaccount:shop:cart','groups':['system:serviceaccounts',"
                "'system:serviceaccounts:shop','system:authenticated'],'resourceAttributes':"
                "{'namespace':'shop','verb':'list','resource':'secrets'}}");
    assert_true(json_equal(json_object_get(j, "spec"), wanted));
    assert_false(secret_rights_refused(w.rights, CART));
    world_down(&w);
}

static void test_it_is_asked_again(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    w.allows = true;
    secret_rights_use(w.rights, CART);
    (void)secret_rights_may(w.rights, CART);
    pass(&w, 0);
    w.allows = false;
    pass(&w, 4 * MINUTE);
    assert_int_equal(w.asked, 1);
    assert_int_equal(secret_rights_may(w.rights, CART), XDS_MAY);
    pass(&w, MINUTE + 1000);
    assert_int_equal(w.asked, 2);
    assert_int_equal(secret_rights_may(w.rights, CART), XDS_MAY_NOT);
    assert_true(secret_rights_refused(w.rights, CART));
    assert_int_equal(w.changes, 2);
    w.allows = true;
    pass(&w, MINUTE + 1000);
    assert_int_equal(secret_rights_may(w.rights, CART), XDS_MAY);
    assert_int_equal(w.changes, 3);
    world_down(&w);
}

static void test_a_server_that_is_away_changes_nothing(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    w.broken = true;
    secret_rights_use(w.rights, CART);
    (void)secret_rights_may(w.rights, CART);
    pass(&w, 0);
    assert_int_equal(secret_rights_may(w.rights, CART), XDS_MAY_LATER);
    w.broken = false;
    w.allows = true;
    pass(&w, 6000);
    assert_int_equal(secret_rights_may(w.rights, CART), XDS_MAY);
    w.broken = true;
    pass(&w, 6 * MINUTE);
    assert_int_equal(w.asked, 3);
    assert_int_equal(secret_rights_may(w.rights, CART), XDS_MAY);
    world_down(&w);
}

static void test_an_account_is_forgotten_with_its_last_stream(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    w.allows = true;
    secret_rights_use(w.rights, CART);
    secret_rights_use(w.rights, CART);
    (void)secret_rights_may(w.rights, CART);
    pass(&w, 0);
    secret_rights_end_use(w.rights, CART);
    assert_int_equal(secret_rights_may(w.rights, CART), XDS_MAY);
    secret_rights_end_use(w.rights, CART);
    assert_int_equal(secret_rights_may(w.rights, CART), XDS_MAY_NOT);
    secret_rights_use(w.rights, "ann");
    assert_int_equal(secret_rights_may(w.rights, "ann"), XDS_MAY_NOT); /* no service account */
    pass(&w, 6 * MINUTE);
    assert_int_equal(w.asked, 1);
    world_down(&w);
}

static void test_so_many_are_asked_at_a_time(void **state)
{
    struct world w;
    char account[AT_ONCE + 4][60];
    (void)state;
    world_up(&w);
    w.silent = true;
    for (int i = 0; i < AT_ONCE + 4; i++) {
        snprintf(account[i], sizeof(account[i]), "system:serviceaccount:shop:a%d", i);
        secret_rights_use(w.rights, account[i]);
        (void)secret_rights_may(w.rights, account[i]);
    }
    pass(&w, 0);
    assert_int_equal(w.asked, AT_ONCE);
    w.silent = false;
    w.allows = true;
    secret_rights_end_use(w.rights, account[0]); /* one that is asked about: the next may be */
    secret_rights_end_use(w.rights, account[AT_ONCE + 3]); /* and one that waits */
    pass(&w, 0);
    assert_int_equal(w.asked, AT_ONCE + 3);
    world_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_has_a_key_before_it_is_known),
        cmocka_unit_test(test_it_is_asked_again),
        cmocka_unit_test(test_a_server_that_is_away_changes_nothing),
        cmocka_unit_test(test_an_account_is_forgotten_with_its_last_stream),
        cmocka_unit_test(test_so_many_are_asked_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
