/* Key sets over loopback: what is fetched, when again, and what is not. */
#include "control/key_sets.h"

#include <stdio.h>
#include <unistd.h>

#include "../net/jwks_vectors.h"
#include "base/time.h"
#include "json_text.h"
#include "net/http_server.h"
#include "net/tls.h"

enum { SECOND = 1000 * 1000, MINUTE = 60 * SECOND };

struct world {
    struct loop *loop;
    struct http_server *server;
    struct key_sets *keys;
    char *set;            /* that /keys answers; NULL: 500 */
    const char *location; /* of /away */
    unsigned asked, changes, troubles;
    char why[200];
    uint64_t now_us;
};

/* With the server's port for %u. The caller's. */
static char *with_port(const struct world *w, const char *text)
{
    const char *at = strstr(text, "%u");
    return at ? xasprintf("%.*s%u%s", (int)(at - text), text, http_server_port(w->server), at + 2)
              : xstrdup(text);
}

static void on_request(struct http_exchange *x, void *user)
{
    struct world *w = user;
    struct str path = http_exchange_path(x);
    w->asked++;
    if (str_is(path, "/silent"))
        return;
    if (str_is(path, "/away")) {
        AUTO_CHARS char *where = with_port(w, w->location);
        const struct http_header to = {STR("location"), str_from(where)};
        http_exchange_reply(x, 302, &to, 1, STR(""));
    } else if (str_is(path, "/realm/.well-known/openid-configuration")) {
        AUTO_CHARS char *doc =
            xasprintf("{\"issuer\":\"x\",\"jwks_uri\":\"http://127.0.0.1:%u/keys?a=b\"}",
                      http_server_port(w->server));
        http_exchange_reply(x, 200, NULL, 0, str_from(doc));
    } else if (str_is(path, "/big")) {
        AUTO_DONE(buf) struct buf big = {0};
        for (int i = 0; i < KEY_SET_BYTES_MAX / 8 + 1; i++)
            buf_add_cstr(&big, "        ");
        http_exchange_reply(x, 200, NULL, 0, buf_str(&big));
    } else if (str_is(path, "/keys") && w->set) {
        http_exchange_reply(x, 200, NULL, 0, str_from(w->set));
    } else {
        http_exchange_reply(x, 500, NULL, 0, STR("sorry"));
    }
}

static void on_change(void *user)
{
    ((struct world *)user)->changes++;
}

static void on_trouble(const char *source, const char *why, void *user)
{
    struct world *w = user;
    (void)source;
    w->troubles++;
    snprintf(w->why, sizeof(w->why), "%s", why);
}

static void start(struct world *w, bool loopback)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    static const struct key_sets_ops key_ops = {on_change, on_trouble};
    const struct http_server_config config = {.tls = NULL};
    struct ip ip;
    *w = (struct world){.now_us = (uint64_t)MINUTE};
    time_set_manual(w->now_us);
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    assert_ok(loop_new(&w->loop, NULL));
    assert_ok(http_server_new(w->loop, &ip, 0, &config, &ops, w, &w->server, NULL));
    w->keys = key_sets_new(w->loop, &(struct key_sets_options){loopback, &key_ops, w});
    w->set = xasprintf("{\"keys\":[%s]}", vectors[0].key);
}

static void turn(struct world *w)
{
    for (int i = 0; i < 60; i++)
        loop_turn(w->loop, 0);
}

/* Time goes on. */
static void pass(struct world *w, uint64_t us)
{
    w->now_us += us;
    time_set_manual(w->now_us);
    turn(w);
}

static void finish(struct world *w)
{
    key_sets_free(w->keys);
    http_server_free(w->server);
    loop_turn(w->loop, 0);
    loop_free(w->loop);
    free(w->set);
    time_set_manual(0);
}

/* The one rule that there is. */
static json_t *use(struct world *w, const char *text)
{
    AUTO_CHARS char *whole = with_port(w, text);
    json_t *rule = json_of(whole);
    key_sets_begin(w->keys);
    key_sets_use(w->keys, rule);
    key_sets_end(w->keys);
    turn(w);
    return rule;
}

#define URI "{'issuer':'i','jwksUri':'http://127.0.0.1:%u/keys'}"

static void test_it_is_fetched_and_looked_at_again(void **state)
{
    struct world w;
    (void)state;
    start(&w, true);
    AUTO_JSON json_t *rule = use(&w, URI);
    assert_string_equal(key_sets_find(w.keys, rule), w.set);
    assert_true(w.asked == 1 && w.changes == 1 && w.troubles == 0);
    pass(&w, 17ull * MINUTE);
    assert_int_equal(w.asked, 1);
    pass(&w, 6ull * MINUTE);
    assert_true(w.asked == 2 && w.changes == 1); /* it is the same */
    char *before = w.set;
    w.set = xasprintf("{\"keys\":[%s]}", vectors[1].key);
    pass(&w, 23ull * MINUTE);
    assert_int_equal(w.changes, 2);
    assert_string_equal(key_sets_find(w.keys, rule), w.set);
    free(w.set); /* what fails leaves the last one, and is tried again soon, then later */
    w.set = NULL;
    pass(&w, 23ull * MINUTE);
    assert_true(w.troubles == 1 && w.changes == 2);
    assert_string_equal(w.why, "it is answered with status 500");
    assert_non_null(key_sets_find(w.keys, rule));
    unsigned asked = w.asked;
    pass(&w, 2ull * SECOND);
    assert_int_equal(w.asked, asked + 1);
    pass(&w, 1ull * SECOND);
    assert_int_equal(w.asked, asked + 1);
    pass(&w, 2ull * SECOND);
    assert_int_equal(w.asked, asked + 2);
    assert_int_equal(w.troubles, 1); /* once */
    w.set = before;
    pass(&w, 6ull * MINUTE);
    assert_int_equal(w.changes, 3);
    key_sets_begin(w.keys); /* nobody names it any more */
    key_sets_end(w.keys);
    assert_null(key_sets_find(w.keys, rule));
    asked = w.asked;
    pass(&w, 40ull * MINUTE);
    assert_int_equal(w.asked, asked);
    finish(&w);
}

static void test_by_the_issuer(void **state)
{
    struct world w;
    (void)state;
    start(&w, true);
    assert_true(key_sets_settled(w.keys));
    AUTO_JSON json_t *rule = use(&w, "{'issuer':'http://127.0.0.1:%u/realm/'}");
    assert_string_equal(key_sets_find(w.keys, rule), w.set);
    assert_int_equal(w.asked, 2);
    AUTO_JSON json_t *none = use(&w, "{'issuer':'http://127.0.0.1:%u'}");
    assert_null(key_sets_find(w.keys, none));
    assert_int_equal(w.troubles, 1);
    finish(&w);
}

static void test_what_is_not_taken(void **state)
{
    static const struct {
        const char *rule, *set, *location, *why;
    } all[] = {
        {URI, "{\"keys\":[]}", NULL, "no key in it can be used"},
        {URI, "<html>", NULL, "JSON"},
        {URI, NULL, NULL, "status 500"},
        {"{'issuer':'i','jwksUri':'http://127.0.0.1:%u/big'}", NULL, NULL, "too large"},
        {"{'issuer':'i','jwksUri':'http://127.0.0.1:%u/away'}", NULL, "http://127.0.0.2:%u/keys",
         "another host"},
        {"{'issuer':'i','jwksUri':'http://127.0.0.1:%u/away'}", NULL, "//127.0.0.2/keys", "no URL"},
        {"{'issuer':'i','jwksUri':'http://127.0.0.1:%u/away'}", NULL, "/away", "too often"},
        {"{'issuer':'i','jwksUri':'http://169.254.169.254/latest'}", NULL, NULL, "not asked"},
        {"{'issuer':'i','jwksUri':'http://[fe80::1]/latest'}", NULL, NULL, "not asked"},
        {"{'issuer':'i','jwksUri':'http://[::ffff:169.254.169.254]/'}", NULL, NULL, "not asked"},
        {"{'issuer':'i','jwksUri':'http://[64:ff9b::a9fe:a9fe]/'}", NULL, NULL, "not asked"},
        {"{'issuer':'i','jwksUri':'http://0.0.0.0:%u/keys'}", NULL, NULL, "not asked"},
        {"{'issuer':'i','jwksUri':'https://127.0.0.1:%u/keys'}", NULL, NULL, ""},
        {"{'issuer':'i','jwksUri':'ftp://127.0.0.1/keys'}", NULL, NULL, "no URL"},
        {"{'issuer':'i'}", NULL, NULL, "no URL"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct world w;
        start(&w, true);
        free(w.set);
        w.set = all[i].set ? xstrdup(all[i].set) : NULL;
        w.location = all[i].location;
        AUTO_JSON json_t *rule = use(&w, all[i].rule);
        pass(&w, 6ull * SECOND);
        if (key_sets_find(w.keys, rule) || !w.troubles || !strstr(w.why, all[i].why))
            fail_msg("%s: %s", all[i].rule, w.why);
        finish(&w);
    }
}

static void test_loopback_has_to_be_allowed(void **state)
{
    struct world w;
    (void)state;
    start(&w, false);
    AUTO_JSON json_t *rule = use(&w, URI);
    assert_null(key_sets_find(w.keys, rule));
    assert_int_equal(w.asked, 0);
    assert_non_null(strstr(w.why, "not asked"));
    AUTO_JSON json_t *mapped =
        use(&w, "{'issuer':'i','jwksUri':'http://[::ffff:127.0.0.1]:%u/keys'}");
    assert_null(key_sets_find(w.keys, mapped));
    assert_int_equal(w.asked, 0);
    finish(&w);
}

static void test_with_the_same_host_it_may_redirect(void **state)
{
    struct world w;
    (void)state;
    start(&w, true);
    w.location = "/keys";
    AUTO_JSON json_t *rule = use(&w, "{'issuer':'i','jwksUri':'http://127.0.0.1:%u/away'}");
    assert_string_equal(key_sets_find(w.keys, rule), w.set);
    finish(&w);
}

/* Whom the system trusts, and by name. */
static void test_over_tls(void **state)
{
    static const struct tls_name here[] = {{TLS_NAME_IP, STR("127.0.0.1")}};
    const struct tls_cert_request ca = {.common_name = "ca", .is_ca = true, .days = 2},
                                  site = {.common_name = "site",
                                          .names = here,
                                          .n_names = 1,
                                          .server = true,
                                          .days = 2};
    AUTO_DONE(buf) struct buf ca_cert = {0};
    AUTO_DONE(buf) struct buf ca_key = {0};
    AUTO_DONE(buf) struct buf cert = {0};
    AUTO_DONE(buf) struct buf key = {0};
    char path[] = "/tmp/key-sets-XXXXXX";
    AUTO_FD int fd = mkstemp(path);
    struct world w;
    (void)state;
    assert_ok(tls_cert_issue(&ca, STR(""), STR(""), &ca_cert, &ca_key, NULL));
    assert_ok(tls_cert_issue(&site, buf_str(&ca_cert), buf_str(&ca_key), &cert, &key, NULL));
    assert_int_equal(write(fd, ca_cert.p, ca_cert.n), ca_cert.n);
    for (int trusted = 0; trusted < 2; trusted++) {
        const struct tls_config config = {.cert_pem = buf_str(&cert), .key_pem = buf_str(&key)};
        struct tls_context *tls;
        setenv("SSL_CERT_FILE", trusted ? path : "/dev/null", 1);
        start(&w, true);
        time_set_manual(0); /* certificates are of today */
        assert_ok(tls_context_new_server(&config, &tls, NULL));
        http_server_set_tls(w.server, tls);
        AUTO_JSON json_t *rule = use(&w, "{'issuer':'i','jwksUri':'https://127.0.0.1:%u/keys'}");
        for (int i = 0; i < 100 && !w.troubles && !w.changes; i++)
            loop_turn(w.loop, 10);
        assert_int_equal(key_sets_find(w.keys, rule) != NULL, trusted);
        assert_int_equal(w.troubles, !trusted);
        finish(&w);
        tls_context_unref(tls);
    }
    unsetenv("SSL_CERT_FILE");
    unlink(path);
}

static void test_an_answer_that_does_not_come(void **state)
{
    struct world w;
    (void)state;
    start(&w, true);
    AUTO_JSON json_t *rule =
        use(&w, "{'issuer':'i','timeout':'2s','jwksUri':'http://127.0.0.1:%u/silent'}");
    assert_int_equal(w.asked, 1);
    assert_false(key_sets_settled(w.keys));
    pass(&w, 1900ull * 1000);
    assert_int_equal(w.troubles, 0);
    pass(&w, 300ull * 1000);
    assert_int_equal(w.troubles, 1);
    assert_true(key_sets_settled(w.keys));
    assert_null(key_sets_find(w.keys, rule));
    finish(&w);
}

static void test_a_limit_of_sets(void **state)
{
    struct world w;
    (void)state;
    start(&w, true);
    key_sets_begin(w.keys);
    for (int i = 0; i <= KEY_SETS_MAX; i++) {
        AUTO_CHARS char *text = xasprintf("{'issuer':'i','jwksUri':'http://127.0.0.1:%u/keys?%d'}",
                                          http_server_port(w.server), i);
        AUTO_JSON json_t *rule = json_of(text);
        key_sets_use(w.keys, rule);
        key_sets_use(w.keys, rule); /* of several one is fetched */
    }
    key_sets_end(w.keys);
    for (int i = 0; i < 40; i++)
        turn(&w);
    assert_int_equal(w.asked, KEY_SETS_MAX);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_fetched_and_looked_at_again),
        cmocka_unit_test(test_by_the_issuer),
        cmocka_unit_test(test_what_is_not_taken),
        cmocka_unit_test(test_loopback_has_to_be_allowed),
        cmocka_unit_test(test_with_the_same_host_it_may_redirect),
        cmocka_unit_test(test_over_tls),
        cmocka_unit_test(test_an_answer_that_does_not_come),
        cmocka_unit_test(test_a_limit_of_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
