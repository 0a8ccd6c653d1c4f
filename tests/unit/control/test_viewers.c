/* Who may look, against a server that answers reviews as it is told, on one loop over loopback and
 * by a manual clock. */
#include "control/viewers.h"

#include <stdio.h>

#include "json_text.h"
#include "kube_client_rig.h"

enum { AT_ONCE = 64, A_SECOND = 200 };

struct world {
    struct kube_client_rig rig;
    struct viewers *viewers;
    bool broken, silent;
    unsigned tokens, accesses;
    char access[2000]; /* the last question */
    unsigned answers;
    int status;
    char text[1000];
};

static json_t *who_is(const char *token)
{
    if (streq(token, "forged"))
        return json_pack("{s:b,s:{}}", "authenticated", 0, "user");
    return json_pack("{s:b,s:{s:s,s:[s],s:s,s:{s:[s]}},s:[s]}", "authenticated", 1, "user",
                     "username", token, "groups", "watchers", "uid", "u-1", "extra", "a/b", "c",
                     "audiences", streq(token, "other") ? "fairlead-control" : "fairlead-view");
}

/* ann may see everything; bob what is of shop. */
static bool may(const json_t *review)
{
    const char *user = json_at_str(review, "spec.user"),
               *ns = json_at_str(review, "spec.resourceAttributes.namespace");
    return streq(user, "ann") || (streq(user, "bob") && streq(ns, "shop"));
}

static void on_request(struct http_exchange *x, void *user)
{
    struct world *w = user;
    AUTO_JSON json_t *review = NULL;
    AUTO_DONE(buf) struct buf b = {0};
    bool token = str_ends(http_exchange_path(x), STR("/tokenreviews"));
    *(token ? &w->tokens : &w->accesses) += 1;
    if (w->silent)
        return;
    assert_ok(json_parse(http_exchange_body(x), 0, NULL, &review, NULL));
    if (!token)
        snprintf(w->access, sizeof(w->access), STR_FMT, STR_ARG(http_exchange_body(x)));
    json_object_set_new(review, "status",
                        token ? who_is(json_at_str(review, "spec.token"))
                              : json_pack("{s:b}", "allowed", (int)may(review)));
    json_write(&b, review);
    http_exchange_reply(x, w->broken ? 500 : 201, NULL, 0, buf_str(&b));
}

static void world_up(struct world *w)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    *w = (struct world){0};
    rig_up(&w->rig, &ops, w);
    w->viewers = viewers_new(w->rig.client);
}

static void world_down(struct world *w)
{
    viewers_free(w->viewers);
    rig_down(&w->rig);
}

static void on_answer(int status, const char *text, void *user)
{
    struct world *w = user;
    w->answers++;
    w->status = status;
    snprintf(w->text, sizeof(w->text), "%s", text);
}

/* The status. */
static int ask(struct world *w, const char *field, const char *verb, const char *resource,
               const char *ns)
{
    const struct view what = {verb, resource, str_from(ns)};
    unsigned before = w->answers;
    struct viewers_check *k =
        viewers_ask(w->viewers, field ? str_from(field) : (struct str){0}, &what, on_answer, w);
    for (int i = 0; k && w->answers == before && i < RIG_TURNS; i++)
        loop_turn(w->rig.loop, 100);
    assert_int_equal(w->answers, before + 1);
    return w->status;
}

static void test_who_may_looks_and_is_asked_about_as_the_server_knows_it(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    assert_int_equal(ask(&w, "Bearer ann", "get", "traces", ""), 200);
    AUTO_JSON json_t *j = json_of(w.access);
    AUTO_JSON json_t *wanted =
        json_of("{'user':'ann','groups':['watchers'],'uid':'u-1','extra':{'a/b':['c']},"
                "'resourceAttributes':{'group':'view.fairlead.dev','resource':'traces',"
                "'verb':'get'}}");
    assert_true(json_equal(json_object_get(j, "spec"), wanted));
    assert_int_equal(ask(&w, "bearer bob", "watch", "traffic", "shop"), 200);
    assert_non_null(strstr(w.access, "\"namespace\":\"shop\""));
    world_down(&w);
}

static void test_a_right_in_one_namespace_is_none_in_another(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    assert_int_equal(ask(&w, "Bearer bob", "watch", "traffic", "shop"), 200);
    assert_int_equal(ask(&w, "Bearer bob", "watch", "traffic", "bank"), 403);
    assert_string_equal(w.text, "bob may not watch traffic.view.fairlead.dev in namespace bank: an "
                                "administrator grants it by a RoleBinding there to the ClusterRole "
                                "fairlead-traffic-viewer (docs/mesh.md)");
    assert_int_equal(ask(&w, "Bearer bob", "get", "configuration", ""), 403);
    assert_string_equal(w.text,
                        "bob may not get configuration.view.fairlead.dev in all namespaces: an "
                        "administrator grants it by a ClusterRoleBinding to the ClusterRole "
                        "fairlead-viewer (docs/mesh.md)");
    world_down(&w);
}

static void test_an_answer_is_kept_for_ten_seconds(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(&w, "Bearer ann", "get", "traces", ""), 200);
        assert_int_equal(ask(&w, "Bearer eve", "get", "traces", ""), 403);
    }
    assert_int_equal(w.tokens, 2);
    assert_int_equal(w.accesses, 2);
    time_set_manual((w.rig.now_ms + 9999) * 1000);
    assert_int_equal(ask(&w, "Bearer ann", "get", "traces", ""), 200);
    assert_int_equal(w.tokens, 2);
    time_set_manual((w.rig.now_ms + 10000) * 1000);
    assert_int_equal(ask(&w, "Bearer ann", "get", "traces", ""), 200);
    assert_int_equal(w.tokens, 3);
    assert_int_equal(w.accesses, 3);
    world_down(&w);
}

static void test_strangers_are_told_what_to_show_and_are_not_kept(void **state)
{
    static const char *const fields[] = {"Bearer forged", "Bearer other"};
    struct world w;
    (void)state;
    world_up(&w);
    assert_int_equal(ask(&w, NULL, "get", "traces", ""), 401);
    assert_non_null(strstr(w.text, "--audience fairlead-view"));
    assert_int_equal(ask(&w, "Basic ann", "get", "traces", ""), 401);
    assert_int_equal(ask(&w, "Bearer  ", "get", "traces", ""), 401);
    assert_int_equal(ask(&w, "Bearer \xff\xfe", "get", "traces", ""), 401);
    assert_int_equal(w.tokens, 0);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        assert_int_equal(ask(&w, fields[i], "get", "traces", ""), 401);
        assert_null(strstr(w.text, "forged"));
        assert_int_equal(ask(&w, fields[i], "get", "traces", ""), 401);
    }
    assert_int_equal(w.tokens, 4);
    assert_int_equal(w.accesses, 0);
    assert_int_equal(viewers_get_stats(w.viewers).unknown, 8);
    world_down(&w);
}

static void test_a_server_that_fails_lets_nobody_in_and_is_asked_again(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    w.broken = true;
    assert_int_equal(ask(&w, "Bearer ann", "get", "traces", ""), 503);
    w.broken = false;
    assert_int_equal(ask(&w, "Bearer ann", "get", "traces", ""), 200);
    world_down(&w);
}

static void test_so_many_at_a_time_and_in_a_second(void **state)
{
    struct world w;
    struct viewers_check *checks[AT_ONCE];
    const struct view what = {"get", "traces", STR("")};
    (void)state;
    world_up(&w);
    w.silent = true;
    for (int i = 0; i < AT_ONCE; i++) {
        char field[40];
        snprintf(field, sizeof(field), "Bearer %d", i);
        checks[i] = viewers_ask(w.viewers, str_from(field), &what, on_answer, &w);
        assert_non_null(checks[i]);
    }
    assert_int_equal(ask(&w, "Bearer ann", "get", "traces", ""), 429);
    for (int i = 0; i < AT_ONCE; i++)
        viewers_cancel(checks[i]);
    assert_int_equal(w.answers, 1);
    w.silent = false;
    for (int i = AT_ONCE + 1; i < A_SECOND; i++)
        assert_int_equal(ask(&w, "Bearer forged", "get", "traces", ""), 401);
    assert_int_equal(ask(&w, "Bearer ann", "get", "traces", ""), 429);
    time_set_manual((w.rig.now_ms + 1000) * 1000);
    assert_int_equal(ask(&w, "Bearer ann", "get", "traces", ""), 200);
    world_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_may_looks_and_is_asked_about_as_the_server_knows_it),
        cmocka_unit_test(test_a_right_in_one_namespace_is_none_in_another),
        cmocka_unit_test(test_an_answer_is_kept_for_ten_seconds),
        cmocka_unit_test(test_strangers_are_told_what_to_show_and_are_not_kept),
        cmocka_unit_test(test_a_server_that_fails_lets_nobody_in_and_is_asked_again),
        cmocka_unit_test(test_so_many_at_a_time_and_in_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
