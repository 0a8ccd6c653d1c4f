/* TLS sessions: handshakes, ALPN, the choice of a certificate, configuration, memory. */
#include <malloc.h>

#include "tls_world.h"

/* ---- basics ---- */

static void test_a_mebibyte_both_ways(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    (void)state;
    contexts(&w, (struct tls_config){0}, (struct tls_config){0});
    must_meet(&w, "one.test");
    carry(&w, true, 1 << 20);
    carry(&w, false, 1 << 20);
    assert_string_equal(tls_session_version(w.client), "TLSv1.3");
    assert_str(tls_session_server_name(w.server), "one.test");
    assert_int_equal(tls_session_alpn(w.client).n, 0);
    assert_null(tls_session_peer(w.server));
}

static void test_byte_at_a_time(void **state)
{
    AUTO_DONE(world) struct world w = {.step = 1};
    (void)state;
    contexts(&w, (struct tls_config){0}, (struct tls_config){0});
    must_meet(&w, "one.test");
    carry(&w, true, 20000);
    carry(&w, false, 20000);
}

static void test_close_notify_is_the_end(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    struct chain got = {0};
    (void)state;
    contexts(&w, (struct tls_config){0}, (struct tls_config){0});
    must_meet(&w, "one.test");
    assert_int_equal(tls_session_read(w.server, &got, 100), -EAGAIN);
    tls_session_shutdown(w.client);
    deliver(&w);
    assert_int_equal(tls_session_read(w.server, &got, 100), 0);
    chain_done(&got);
}

static void test_a_wrong_name_is_refused(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    (void)state;
    contexts(&w, (struct tls_config){0}, (struct tls_config){0});
    assert_int_equal(meet(&w, "two.test"), -EPROTO);
    says(tls_session_error(w.client), "ostname mismatch");
    sessions_end(&w);
    /* SNI and what is verified are apart. */
    sessions(&w, &(struct tls_session_options){.sni = "two.test", .verify_name = "one.test"});
    assert_ok(shake(&w));
    assert_str(tls_session_server_name(w.server), "two.test");
}

static void test_a_wrong_ca_is_refused(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    (void)state;
    contexts(&w, (struct tls_config){0}, (struct tls_config){.ca_pem = buf_str(&other_ca.cert)});
    assert_int_equal(meet(&w, "one.test"), -EPROTO);
    says(tls_session_error(w.client), "certificate of the peer");
}

static void test_an_expired_certificate_is_refused(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    AUTO_DONE(pair) struct pair old = {0};
    const struct tls_name names[] = {DNS("one.test")};
    (void)state;
    issue_by(&ca, &old,
             &(struct tls_cert_request){.common_name = "x",
                                        .names = names,
                                        .n_names = 1,
                                        .server = true,
                                        .days = 1,
                                        .starts_in_days = -2});
    contexts(&w, (struct tls_config){CERTIFIED(old)}, (struct tls_config){0});
    assert_int_equal(meet(&w, "one.test"), -EPROTO);
    says(tls_session_error(w.client), "expired");
}

static void test_client_certificates(void **state)
{
    (void)state;
    for (int require = 0; require < 2; require++)
        for (int has = 0; has < 2; has++) {
            AUTO_DONE(world) struct world w = {0};
            AUTO_DONE(buf) struct buf cn = {0};
            AUTO_DONE(buf) struct buf orgs = {0};
            struct tls_config c = {0};
            if (has)
                c = (struct tls_config){CERTIFIED(client_cert)};
            contexts(&w,
                     (struct tls_config){.ca_pem = buf_str(&ca.cert), .require_peer_cert = require},
                     c);
            bool ok = meet(&w, "one.test") == 0;
            assert_int_equal(ok, has || !require);
            if (!ok)
                says(tls_session_error(w.server), "did not return a certificate");
            assert_int_equal(tls_session_peer_subject(w.server, &cn, &orgs), has);
            if (has)
                assert_str(buf_str(&cn), "client");
        }
}

/* ---- ALPN ---- */

static void check_alpn(const struct str *s, size_t n_s, const struct str *c, size_t n_c,
                       const char *expected)
{
    AUTO_DONE(world) struct world w = {0};
    contexts(&w, (struct tls_config){.alpn = s, .n_alpn = n_s},
             (struct tls_config){.alpn = c, .n_alpn = n_c});
    must_meet(&w, "one.test");
    assert_str(tls_session_alpn(w.client), expected);
    assert_str(tls_session_alpn(w.server), expected);
}

static void test_alpn(void **state)
{
    const struct str h2_first[] = {STR("h2"), STR("http/1.1")};
    const struct str h1_first[] = {STR("http/1.1"), STR("h2")};
    const struct str other[] = {STR("istio")};
    struct tls_context *c = NULL;
    struct err err = {0};
    (void)state;
    check_alpn(h2_first, 2, h1_first, 2, "h2"); /* the server prefers */
    check_alpn(h1_first, 2, h2_first, 2, "http/1.1");
    check_alpn(h1_first, 1, h2_first, 2, "http/1.1");
    check_alpn(other, 1, h2_first, 2, ""); /* nothing in common: goes on */
    check_alpn(h2_first, 2, NULL, 0, "");
    check_alpn(NULL, 0, h2_first, 2, "");
    struct str bad = {0};
    assert_true(tls_context_new_client(&(struct tls_config){.alpn = &bad, .n_alpn = 1}, &c, &err) <
                0);
    says(err_text(&err), "alpn: a name of 0 bytes");
}

/* ---- certificates by SNI ---- */

/* The certificate's CN tells which one was chosen. */
static void check_choice(struct world *w, const char *sni, const char *expected_cn)
{
    sessions(w, &(struct tls_session_options){.sni = sni});
    if (shake(w) < 0)
        fail_msg("%s: %s", sni, tls_session_error(w->client));
    AUTO_CHARS char *subject = xasprintf("CN=%s", expected_cn);
    assert_str(tls_session_peer(w->client)->subject, subject);
    sessions_end(w);
}

static void test_certificate_by_sni(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    AUTO_DONE(pair) struct pair first = {0};
    AUTO_DONE(pair) struct pair exact = {0};
    AUTO_DONE(pair) struct pair wild = {0};
    AUTO_DONE(pair) struct pair by_cn = {0};
    AUTO_DONE(pair) struct pair listed = {0};
    AUTO_DONE(pair) struct pair second = {0};
    const struct str listed_names[] = {STR("listed.test")};
    (void)state;
    issue(&first, "first", NAMES(DNS("first.test")), 1);
    issue(&wild, "wild", NAMES(DNS("*.example.test")), 1);
    issue(&exact, "exact", NAMES(DNS("x.test"), DNS("a.example.test")), 2);
    issue(&by_cn, "cn.test", NULL, 0);
    issue(&second, "second", NAMES(DNS("x.test"), DNS("first.test")), 2);
    issue(&listed, "listed", NAMES(DNS("not-this.test")), 1);
    const struct tls_certificate more[] = {{NAMED(wild), NULL, 0},
                                           {NAMED(exact), NULL, 0},
                                           {NAMED(by_cn), NULL, 0},
                                           {NAMED(listed), listed_names, 1},
                                           {NAMED(second), NULL, 0}};
    contexts(&w, (struct tls_config){CERTIFIED(first), .certificates = more, .n_certificates = 5},
             (struct tls_config){0});
    check_choice(&w, "first.test", "first");
    check_choice(&w, "x.test", "exact"); /* of those of the same name and key type the first */
    check_choice(&w, "a.example.test", "exact");
    check_choice(&w, "A.EXAMPLE.test", "exact");
    check_choice(&w, "b.Example.test", "wild");
    check_choice(&w, "c.b.example.test", "first"); /* one label only */
    check_choice(&w, "example.test", "first");
    check_choice(&w, "cn.test", "cn.test");
    check_choice(&w, "exact", "first"); /* the CN does not count beside DNS names */
    check_choice(&w, "listed.test", "listed");
    check_choice(&w, "not-this.test", "first");
    check_choice(&w, NULL, "first");
}

static void test_rsa_beside_ecdsa(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    AUTO_DONE(pair) struct pair rsa = {0};
    AUTO_DONE(pair) struct pair other = {0};
    const struct tls_name names[] = {DNS("one.test")};
    (void)state;
    issue_by(&ca, &rsa,
             &(struct tls_cert_request){.common_name = "rsa",
                                        .names = names,
                                        .n_names = 1,
                                        .server = true,
                                        .rsa = true,
                                        .days = 1});
    const struct tls_name other_names[] = {DNS("other.test")};
    issue_by(&ca, &other,
             &(struct tls_cert_request){.common_name = "other",
                                        .names = other_names,
                                        .n_names = 1,
                                        .server = true,
                                        .rsa = true,
                                        .days = 1});
    const struct tls_certificate all[] = {
        {NAMED(server_cert), NULL, 0}, {NAMED(other), NULL, 0}, {NAMED(rsa), NULL, 0}};
    static const struct {
        const char *ciphers, *cn;
    } cases[] = {{"ECDHE-RSA-AES128-GCM-SHA256", "rsa"},
                 {"ECDHE-ECDSA-AES128-GCM-SHA256", "server"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        contexts(&w, (struct tls_config){.certificates = all, .n_certificates = 3},
                 (struct tls_config){.ciphers = cases[i].ciphers, .max_version = "1.2"});
        check_choice(&w, "one.test", cases[i].cn);
        check_choice(&w, NULL, cases[i].cn);
        world_done(&w);
        w = (struct world){0};
    }
    contexts(&w, (struct tls_config){.certificates = all, .n_certificates = 3},
             (struct tls_config){0});
    check_choice(&w, "one.test", "server");
    check_choice(&w, "other.test", "other"); /* not the first, though OpenSSL likes its type more */
}

static void test_a_wildcard_is_a_whole_label(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    AUTO_DONE(pair) struct pair cert = {0};
    (void)state;
    issue(&cert, "wild", NAMES(DNS("o*.part.test"), DNS("*.whole.test")), 2);
    contexts(&w, (struct tls_config){CERTIFIED(cert)}, (struct tls_config){0});
    assert_int_equal(meet(&w, "one.part.test"), -EPROTO);
    sessions_end(&w);
    assert_ok(meet(&w, "one.whole.test"));
    sessions_end(&w);
    assert_int_equal(meet(&w, "a.one.whole.test"), -EPROTO);
}

/* The hello is in the clear: a NUL byte put into its name. */
static void test_sni_with_nul_is_refused(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    static char hello[4096];
    (void)state;
    contexts(&w, (struct tls_config){0}, (struct tls_config){0});
    sessions(&w, &(struct tls_session_options){.server_name = "one.test"});
    assert_int_equal(tls_session_handshake(w.client), -EAGAIN);
    size_t n = w.wire[0][1].n;
    assert_in_range(n, 100, sizeof(hello));
    chain_copy(&w.wire[0][1], hello, n);
    char *at = memmem(hello, n, "one.test", 8);
    assert_non_null(at);
    at[3] = '\0';
    chain_add(&w.wire[1][0], str_of(hello, n));
    assert_int_equal(tls_session_handshake(w.server), -EPROTO);
    /* Too long a name does not even leave. */
    char long_name[300];
    memset(long_name, 'a', sizeof(long_name));
    long_name[299] = '\0';
    assert_null(
        tls_session_new(w.client_context, &(struct tls_session_options){.server_name = long_name}));
}

/* ---- configuration ---- */

static void test_versions_ciphers_curves(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    (void)state;
    contexts(&w, (struct tls_config){.max_version = "1.2"},
             (struct tls_config){.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"});
    must_meet(&w, "one.test");
    assert_string_equal(tls_session_version(w.server), "TLSv1.2");
    assert_string_equal(tls_session_cipher(w.server), "ECDHE-ECDSA-AES256-GCM-SHA384");
    world_done(&w);
    w = (struct world){0};
    contexts(&w, (struct tls_config){.max_version = "1.2"},
             (struct tls_config){.min_version = "1.3"});
    assert_int_equal(meet(&w, "one.test"), -EPROTO);
    world_done(&w);
    w = (struct world){0};
    contexts(&w, (struct tls_config){.curves = "P-384", .cipher_suites = "TLS_AES_128_GCM_SHA256"},
             (struct tls_config){.curves = "P-384:X25519"});
    must_meet(&w, "one.test");
    assert_string_equal(tls_session_cipher(w.server), "TLS_AES_128_GCM_SHA256");
    world_done(&w);
    w = (struct world){0};
    contexts(&w, (struct tls_config){.curves = "P-384"}, (struct tls_config){.curves = "X25519"});
    assert_int_equal(meet(&w, "one.test"), -EPROTO);
}

/* Nobody is asked for its password. */
#define ENCRYPTED_KEY                                                                              \
    "-----BEGIN EC PRIVATE KEY-----\n"                                                             \
    "Proc-Type: 4,ENCRYPTED\n"                                                                     \
    "DEK-Info: AES-128-CBC,AD70214F6B88214BD77960FFE6A7C899\n"                                     \
    "\n"                                                                                           \
    "RXhj1OLBvIiyJuBk7xDlF/MTf2CWuMK+WnhyB6YLtcpribyrcQV411FBvh9taVAp\n"                           \
    "/rbqmw8OinVBTfvGeiNZi6wo8Ek7SXxPoIbzUGu0x5cJG2NAf78w9wrUZh8ZiXRh\n"                           \
    "7w5kdvn8A/3hc/4iRda8B2sHUOPy1Zei9g0S9PSEV6s=\n"                                               \
    "-----END EC PRIVATE KEY-----\n"

static void test_bad_configuration(void **state)
{
    const struct tls_name_match ip = {TLS_NAME_IP, TLS_MATCH_PREFIX, STR("10.")};
    const struct tls_name_match empty = {TLS_NAME_DNS, TLS_MATCH_PREFIX, STR("")};
    const struct tls_certificate broken[] = {{NAMED(server_cert), NULL, 0},
                                             {buf_str(&server_cert.cert), STR("x"), NULL, 0}};
    AUTO_DONE(buf) struct buf broken_ca = {0};
    buf_add_str(&broken_ca, buf_str(&ca.cert));
    buf_add_str(&broken_ca, str_sub(buf_str(&ca.cert), 0, ca.cert.n / 2));
    AUTO_DONE(buf) struct buf broken_chain = {0};
    buf_add_str(&broken_chain, buf_str(&server_cert.cert));
    buf_add_str(&broken_chain, str_sub(buf_str(&ca.cert), 0, ca.cert.n / 2));
    const struct {
        struct tls_config c;
        const char *says;
    } cases[] = {
        {{.min_version = "1.1"}, "min_version: TLS version \"1.1\": expected 1.2 or 1.3"},
        {{.min_version = "1.3", .max_version = "1.2"}, "min_version: above max_version"},
        {{.ciphers = "ECDHE-RSA-AES128-GCM-SHA256:NOPE"}, "ciphers: \"NOPE\" is not known"},
        {{.cipher_suites = "TLS_NOPE"}, "cipher_suites: \"TLS_NOPE\" is not known"},
        {{.cipher_suites = ""}, "cipher_suites: \"\" is not known"},
        {{.curves = "X25519:nope"}, "curves: \"nope\" is not known"},
        {{.ca_pem = buf_str(&broken_ca)}, "CA bundle: certificate 2: "},
        {{.cert_pem = buf_str(&broken_chain), .key_pem = buf_str(&server_cert.key)},
         "certificate 2 of the chain: "},
        {{.cert_pem = buf_str(&server_cert.cert), .key_pem = STR(ENCRYPTED_KEY)}, "private key: "},
        {{.ca_pem = STR("x")}, "CA bundle holds no certificate"},
        {{.peer_names = &ip, .n_peer_names = 1}, "peer_names: names count only"},
        {{.ca_pem = buf_str(&ca.cert), .peer_names = &ip, .n_peer_names = 1},
         "peer_names[0]: expected an IP address that matches exactly"},
        {{.ca_pem = buf_str(&ca.cert), .peer_names = &empty, .n_peer_names = 1},
         "peer_names[0]: expected a name that is not empty"},
        {{.certificates = broken, .n_certificates = 2}, "certificates[1]: private key: "},
        {{.certificates = &(struct tls_certificate){.chain_pem = STR("x")}, .n_certificates = 1},
         "certificates[0]: a certificate and its private key belong together"},
        {{.cert_pem = STR("x"), .key_pem = STR("y")}, "certificate: "},
        {{.cert_pem = buf_str(&client_cert.cert), .key_pem = buf_str(&server_cert.key)},
         "private key: "},
        {{.n_alpn = 17}, "alpn: 17 names: at most 16"},
        {{.cert_pem = STR("x")}, "a TLS server needs a certificate and a key"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tls_context *context = NULL;
        struct tls_config c = cases[i].c;
        struct err err = {0};
        if (!c.cert_pem.n && !c.n_certificates)
            c.cert_pem = buf_str(&server_cert.cert), c.key_pem = buf_str(&server_cert.key);
        assert_true(tls_context_new_server(&c, &context, &err) < 0);
        if (!str_starts(str_from(err_text(&err)), str_from(cases[i].says)))
            fail_msg("\"%s\" is not \"%s\"", err_text(&err), cases[i].says);
    }
}

/* ---- memory ---- */

/* docs/perf/tls.md tells the figures. 0: the malloc of a sanitizer does not tell. */
static size_t idle_bytes(struct tls_config s, struct tls_config c)
{
    enum { N = 200 };
    static struct world all[N];
    AUTO_DONE(world) struct world first = {0};
    contexts(&first, s, c);
    must_meet(&first, "one.test"); /* what is made once, is made */
    carry(&first, true, 20000);
    carry(&first, false, 20000);
    sessions_end(&first);
    chain_pool_trim(); /* blocks kept for reuse are nobody's */
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < N; i++) {
        all[i].server_context = first.server_context;
        all[i].client_context = first.client_context;
        must_meet(&all[i], "one.test");
        carry(&all[i], true, 20000);
        carry(&all[i], false, 20000);
        tls_session_free(all[i].client);
        all[i].client = NULL;
    }
    chain_pool_trim();
    size_t each = (mallinfo2().uordblks - before) / N;
    for (int i = 0; i < N; i++)
        sessions_end(&all[i]);
    return MEM_POOLS_ARE_OFF || !before ? 0 : each;
}

static void test_memory_of_an_idle_session(void **state)
{
    const struct tls_config any = {0}, old = {.max_version = "1.2"};
    const struct tls_config asking = {.ca_pem = buf_str(&ca.cert)};
    const struct tls_config certified = {CERTIFIED(client_cert)};
    const size_t bytes[] = {idle_bytes(any, any), idle_bytes(any, old),
                            idle_bytes(asking, certified)};
    static const char *const what[] = {"TLS 1.3", "TLS 1.2", "TLS 1.3 with a client's certificate"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
        print_message("an idle server session, %s: %zu bytes\n", what[i], bytes[i]);
        assert_in_range(bytes[i], 0, 24000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mebibyte_both_ways),
        cmocka_unit_test(test_byte_at_a_time),
        cmocka_unit_test(test_close_notify_is_the_end),
        cmocka_unit_test(test_a_wrong_name_is_refused),
        cmocka_unit_test(test_a_wrong_ca_is_refused),
        cmocka_unit_test(test_an_expired_certificate_is_refused),
        cmocka_unit_test(test_client_certificates),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_certificate_by_sni),
        cmocka_unit_test(test_rsa_beside_ecdsa),
        cmocka_unit_test(test_a_wildcard_is_a_whole_label),
        cmocka_unit_test(test_sni_with_nul_is_refused),
        cmocka_unit_test(test_versions_ciphers_curves),
        cmocka_unit_test(test_bad_configuration),
        cmocka_unit_test(test_memory_of_an_idle_session),
    };
    return cmocka_run_group_tests(tests, group_up, group_down);
}
