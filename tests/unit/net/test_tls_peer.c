/* What a peer's certificate says, and which names are allowed. */
#include <stdio.h>

#include "tls_world.h"

static void test_facts_of_the_peer(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    AUTO_DONE(pair) struct pair cert = {0};
    AUTO_DONE(buf) struct buf pem = {0};
    const char *const orgs[] = {"a, b"};
    const struct tls_name names[] = {URI("spiffe://lab/ns/a/sa/b"), DNS("a.test"),
                                     DNS("b.test,URI:x"),           DNS("c\0.test"),
                                     {TLS_NAME_IP, STR("fd00::1")}, {TLS_NAME_EMAIL, STR("a@b")}};
    (void)state;
    issue_by(&ca, &cert,
             &(struct tls_cert_request){.common_name = "who",
                                        .organizations = orgs,
                                        .n_organizations = 1,
                                        .names = names,
                                        .n_names = ARRAY_LEN(names),
                                        .client = true,
                                        .days = 2});
    contexts(&w, (struct tls_config){.ca_pem = buf_str(&ca.cert)},
             (struct tls_config){CERTIFIED(cert)});
    must_meet(&w, "one.test");
    const struct tls_peer *p = tls_session_peer(w.server);
    assert_non_null(p);
    assert_true(p->verified);
    assert_int_equal(p->uris.n, 1);
    assert_str(p->uris.v[0], "spiffe://lab/ns/a/sa/b");
    assert_int_equal(p->dns.n, 2); /* the one with the NUL is left out */
    assert_str(p->dns.v[0], "a.test");
    assert_str(p->dns.v[1], "b.test,URI:x");
    assert_int_equal(p->ips.n, 1);
    assert_str(p->ips.v[0], "fd00::1");
    assert_int_equal(p->emails.n, 1);
    assert_str(p->subject, "CN=who,O=a\\, b");
    assert_str(p->issuer, "CN=ca");
    assert_in_range(p->serial.n, 2, 32);
    assert_int_equal(p->sha256.n, 64);
    assert_int_equal(p->not_after_s - p->not_before_s, 2 * 86400 + 300);
    assert_ptr_equal(tls_session_peer(w.server), p);
    assert_true(tls_session_peer_pem(w.server, &pem));
    assert_true(str_eq(buf_str(&pem), buf_str(&cert.cert)));
    assert_false(tls_session_peer_pem(w.client, &pem) && !pem.n);
}

static void test_an_insecure_peer_is_not_verified(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    (void)state;
    contexts(&w, (struct tls_config){0}, (struct tls_config){.insecure = true});
    must_meet(&w, NULL);
    assert_false(tls_session_peer(w.client)->verified);
}

static bool allowed(const struct pair *cert, struct tls_name_match m, char *ret_error, size_t n)
{
    AUTO_DONE(world) struct world w = {0};
    contexts(&w,
             (struct tls_config){.ca_pem = buf_str(&ca.cert),
                                 .require_peer_cert = true,
                                 .peer_names = &m,
                                 .n_peer_names = 1},
             (struct tls_config){CERTIFIED(*cert)});
    bool ok = meet(&w, "one.test") == 0;
    if (ret_error)
        snprintf(ret_error, n, "%s", tls_session_error(w.server));
    return ok;
}

static void test_allowed_names(void **state)
{
    AUTO_DONE(pair) struct pair cert = {0};
    const struct tls_name names[] = {URI("spiffe://lab/ns/a/sa/b"),
                                     DNS("A.test"),
                                     DNS("*.w.test"),
                                     DNS("nul.test\0.evil"),
                                     {TLS_NAME_IP, STR("10.0.0.1")},
                                     {TLS_NAME_EMAIL, STR("a@b")}};
    static const struct {
        struct tls_name_match m;
        bool ok;
    } cases[] = {
        {{TLS_NAME_URI, TLS_MATCH_EXACT, {"spiffe://lab/ns/a/sa/b", 22}}, true},
        {{TLS_NAME_URI, TLS_MATCH_EXACT, {"spiffe://lab/ns/a/sa/B", 22}}, false},
        {{TLS_NAME_URI, TLS_MATCH_EXACT, {"spiffe://lab/ns/a/sa", 20}}, false},
        {{TLS_NAME_URI, TLS_MATCH_PREFIX, {"spiffe://lab/ns/a/", 18}}, true},
        {{TLS_NAME_URI, TLS_MATCH_PREFIX, {"piffe", 5}}, false},
        {{TLS_NAME_URI, TLS_MATCH_SUFFIX, {"/sa/b", 5}}, true},
        {{TLS_NAME_URI, TLS_MATCH_SUFFIX, {"/sa/", 4}}, false},
        {{TLS_NAME_URI, TLS_MATCH_CONTAINS, {"/ns/a/", 6}}, true},
        {{TLS_NAME_URI, TLS_MATCH_CONTAINS, {"/ns/b/", 6}}, false},
        {{TLS_NAME_DNS, TLS_MATCH_EXACT, {"spiffe://lab/ns/a/sa/b", 22}}, false}, /* typed */
        {{TLS_NAME_DNS, TLS_MATCH_EXACT, {"a.TEST", 6}}, true},
        {{TLS_NAME_DNS, TLS_MATCH_PREFIX, {"A.t", 3}}, true},
        {{TLS_NAME_DNS, TLS_MATCH_EXACT, {"x.w.test", 8}}, true}, /* wildcard */
        {{TLS_NAME_DNS, TLS_MATCH_EXACT, {"y.x.w.test", 10}}, false},
        {{TLS_NAME_DNS, TLS_MATCH_EXACT, {"w.test", 6}}, false},
        {{TLS_NAME_DNS, TLS_MATCH_EXACT, {"nul.test", 8}}, false},
        {{TLS_NAME_DNS, TLS_MATCH_PREFIX, {"nul.test", 8}}, false},
        {{TLS_NAME_IP, TLS_MATCH_EXACT, {"10.0.0.1", 8}}, true},
        {{TLS_NAME_IP, TLS_MATCH_EXACT, {"10.0.0.2", 8}}, false},
        {{TLS_NAME_EMAIL, TLS_MATCH_EXACT, {"a@b", 3}}, true},
        {{TLS_NAME_EMAIL, TLS_MATCH_EXACT, {"a@c", 3}}, false},
    };
    (void)state;
    issue(&cert, "who", names, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (allowed(&cert, cases[i].m, NULL, 0) != cases[i].ok)
            fail_msg("case %zu: %s", i, cases[i].m.value.p);
}

static void test_names_refused_are_told(void **state)
{
    AUTO_DONE(pair) struct pair cert = {0};
    AUTO_DONE(pair) struct pair bare = {0};
    char text[400];
    const struct tls_name_match m = {TLS_NAME_DNS, TLS_MATCH_EXACT, STR("z.test")};
    (void)state;
    issue(&cert, "who", NAMES(DNS("a\n.test"), URI("spiffe://lab/b")), 2);
    assert_false(allowed(&cert, m, text, sizeof(text)));
    assert_string_equal(text, "TLS: certificate of the peer: none of its names [DNS:a?.test, "
                              "URI:spiffe://lab/b] is allowed");
    issue(&bare, "z.test", NULL, 0); /* the CN is no name */
    assert_false(allowed(&bare, m, text, sizeof(text)));
    assert_string_equal(text, "TLS: certificate of the peer: none of its names [] is allowed");
}

static void test_allowed_names_of_a_server(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    (void)state;
    contexts(&w, (struct tls_config){CERTIFIED(client_cert)},
             (struct tls_config){.peer_names =
                                     MATCH(TLS_NAME_URI, TLS_MATCH_PREFIX, STR("spiffe://lab/"))});
    must_meet(&w, "sni-only.test"); /* not among the names, and need not be */
    sessions_end(&w);
    sessions(&w, &(struct tls_session_options){.verify_name = "wrong.test"});
    assert_int_equal(shake(&w), -EPROTO);
    sessions_end(&w);
    tls_context_unref(w.client_context);
    tls_context_unref(w.server_context);
    contexts(&w, (struct tls_config){CERTIFIED(client_cert)},
             (struct tls_config){
                 .peer_names = MATCH(TLS_NAME_URI, TLS_MATCH_PREFIX, STR("spiffe://other/"))});
    assert_int_equal(meet(&w, "client.test"), -EPROTO);
    says(tls_session_error(w.client), "URI:spiffe://lab/ns/a/sa/b, DNS:client.test] is allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts_of_the_peer),
        cmocka_unit_test(test_an_insecure_peer_is_not_verified),
        cmocka_unit_test(test_allowed_names),
        cmocka_unit_test(test_names_refused_are_told),
        cmocka_unit_test(test_allowed_names_of_a_server),
    };
    return cmocka_run_group_tests(tests, group_up, group_down);
}
