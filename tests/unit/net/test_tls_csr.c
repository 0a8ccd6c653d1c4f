/* Requests for certificates: made, signed, and refused. What a request asks for has no effect. */
#include "net/tls_csr.h"

#include <errno.h>
#include <stdio.h>

#include "net/tls.h"
#include "test.h"

#define WHO "spiffe://cluster.local/ns/a/sa/b"

struct root {
    struct buf cert, key;
    struct tls_ca *ca;
};

static void root_done(struct root *r)
{
    tls_ca_free(r->ca);
    buf_done(&r->cert);
    buf_done(&r->key);
}

static void make_root(struct root *r, uint32_t days, bool rsa)
{
    const struct tls_cert_request q = {
        .common_name = "root", .is_ca = true, .days = days, .rsa = rsa};
    struct err err = {0};
    if (tls_cert_issue(&q, STR(""), STR(""), &r->cert, &r->key, &err) < 0 ||
        tls_ca_new(buf_str(&r->cert), buf_str(&r->key), &r->ca, &err) < 0)
        fail_msg("%s", err_text(&err));
}

/* Both ends with one certificate: what each sees of the other. */
static void meet(const struct root *r, struct str cert, struct str key, struct tls_session **ret_c,
                 struct tls_session **ret_s, struct chain wires[2])
{
    struct tls_config o = {
        .cert_pem = cert, .key_pem = key, .ca_pem = buf_str(&r->cert), .require_peer_cert = true};
    const struct tls_name_match who = {TLS_NAME_URI, TLS_MATCH_EXACT, STR(WHO)};
    struct tls_context *c = NULL, *s = NULL;
    struct err err = {0};
    o.peer_names = &who;
    o.n_peer_names = 1;
    if (tls_context_new_server(&o, &s, &err) < 0 || tls_context_new_client(&o, &c, &err) < 0)
        fail_msg("%s", err_text(&err));
    *ret_c = tls_session_new(c, &(struct tls_session_options){0});
    *ret_s = tls_session_new(s, &(struct tls_session_options){0});
    tls_context_unref(c);
    tls_context_unref(s);
    tls_session_set_wires(*ret_c, &wires[0], &wires[1]);
    tls_session_set_wires(*ret_s, &wires[1], &wires[0]);
    int a = -EAGAIN, b = -EAGAIN;
    for (int i = 0; i < 10 && (a == -EAGAIN || b == -EAGAIN); i++) {
        a = tls_session_handshake(*ret_c);
        b = tls_session_handshake(*ret_s);
    }
    if (a < 0 || b < 0)
        fail_msg("%s, %s", tls_session_error(*ret_c), tls_session_error(*ret_s));
}

static void check_signed(bool rsa_root)
{
    AUTO_DONE(root) struct root r = {0};
    AUTO_DONE(buf) struct buf csr = {0};
    AUTO_DONE(buf) struct buf key = {0};
    AUTO_DONE(buf) struct buf cert = {0};
    struct chain wires[2] = {{0}, {0}};
    struct tls_session *c, *s;
    struct err err = {0};
    int64_t begin, end;
    make_root(&r, 10, rsa_root);
    assert_int_equal(
        tls_csr_new("spiffe://cluster.local/ns/kube-system/sa/admin", &csr, &key, &err), 0);
    if (tls_ca_sign(r.ca, buf_str(&csr), &(struct tls_csr_terms){STR(WHO), 3600}, &cert, &err) < 0)
        fail_msg("%s", err_text(&err));
    assert_int_equal(tls_cert_times(buf_str(&cert), &begin, &end), 0);
    assert_int_equal(end - begin, 3900);
    meet(&r, buf_str(&cert), buf_str(&key), &c, &s, wires);
    const struct tls_peer *p = tls_session_peer(s);
    assert_true(p && p->verified);
    assert_int_equal(p->uris.n, 1); /* not what was asked for */
    assert_true(str_is(p->uris.v[0], WHO));
    assert_int_equal(p->dns.n, 0);
    assert_int_equal(p->subject.n, 0);
    tls_session_free(c);
    tls_session_free(s);
    chain_done(&wires[0]);
    chain_done(&wires[1]);
}

static void test_signed(void **state)
{
    (void)state;
    check_signed(false);
}

static void test_signed_by_rsa(void **state)
{
    (void)state;
    check_signed(true);
}

static void test_no_longer_than_the_ca(void **state)
{
    AUTO_DONE(root) struct root r = {0};
    AUTO_DONE(buf) struct buf csr = {0};
    AUTO_DONE(buf) struct buf key = {0};
    AUTO_DONE(buf) struct buf cert = {0};
    int64_t begin, end, ca_begin, ca_end;
    (void)state;
    make_root(&r, 1, false);
    assert_int_equal(tls_csr_new(NULL, &csr, &key, NULL), 0);
    assert_int_equal(tls_ca_sign(r.ca, buf_str(&csr), &(struct tls_csr_terms){STR(WHO), 30 * 86400},
                                 &cert, NULL),
                     0);
    assert_int_equal(tls_cert_times(buf_str(&cert), &begin, &end), 0);
    assert_int_equal(tls_cert_times(buf_str(&r.cert), &ca_begin, &ca_end), 0);
    assert_int_equal(end, ca_end);
}

/* A request whose signature is another's, one that is cut, and what is none. */
static void test_refused(void **state)
{
    AUTO_DONE(root) struct root r = {0};
    AUTO_DONE(buf) struct buf csr = {0};
    AUTO_DONE(buf) struct buf key = {0};
    AUTO_DONE(buf) struct buf cert = {0};
    AUTO_DONE(buf) struct buf large = {0};
    const struct tls_csr_terms t = {STR(WHO), 3600};
    struct err err = {0};
    (void)state;
    make_root(&r, 10, false);
    assert_int_equal(tls_csr_new(NULL, &csr, &key, NULL), 0);
    char *near_end = memmem(csr.p, csr.n, "\n-----END", 9);
    assert_non_null(near_end);
    near_end[-8] = near_end[-8] == 'A' ? 'B' : 'A'; /* in the signature */
    int code = tls_ca_sign(r.ca, buf_str(&csr), &t, &cert, &err);
    assert_int_equal(code, -EINVAL);
    assert_int_equal(tls_ca_sign(r.ca, str_sub(buf_str(&csr), 0, csr.n / 2), &t, &cert, &err),
                     -EINVAL);
    assert_int_equal(tls_ca_sign(r.ca, STR("none"), &t, &cert, &err), -EINVAL);
    assert_int_equal(tls_ca_sign(r.ca, buf_str(&r.cert), &t, &cert, &err), -EINVAL);
    for (size_t i = 0; i <= TLS_CSR_BYTES_MAX; i++)
        buf_add_char(&large, 'x');
    assert_int_equal(tls_ca_sign(r.ca, buf_str(&large), &t, &cert, &err), -EINVAL);
    assert_int_equal(cert.n, 0);
}

static void test_weak_keys(void **state)
{
    static const struct {
        const char *file;
        bool ok;
    } cases[] = {{"rsa1024.csr", false},
                 {"rsa2048.csr", true},
                 {"p384.csr", true},
                 {"ed25519.csr", false},
                 {"p224.csr", false}};
    AUTO_DONE(root) struct root r = {0};
    (void)state;
    make_root(&r, 10, false);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_CHARS char *path = xasprintf("tests/fuzz/corpus/csr/%s", cases[i].file);
        AUTO_DONE(buf) struct buf cert = {0};
        char text[4096];
        struct err err = {0};
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        size_t n = fread(text, 1, sizeof(text), f);
        fclose(f);
        int code = tls_ca_sign(r.ca, str_of(text, n), &(struct tls_csr_terms){STR(WHO), 3600},
                               &cert, &err);
        if (code != (cases[i].ok ? 0 : -EKEYREJECTED))
            fail_msg("%s: %d, %s", cases[i].file, code, err_text(&err));
    }
}

static void test_a_ca_must_be_one(void **state)
{
    AUTO_DONE(root) struct root r = {0};
    AUTO_DONE(root) struct root other = {0};
    AUTO_DONE(buf) struct buf leaf = {0};
    AUTO_DONE(buf) struct buf key = {0};
    const struct tls_cert_request q = {.common_name = "leaf", .days = 1};
    struct tls_ca *ca = NULL;
    struct err err = {0};
    (void)state;
    make_root(&r, 10, false);
    make_root(&other, 10, false);
    assert_int_equal(tls_cert_issue(&q, buf_str(&r.cert), buf_str(&r.key), &leaf, &key, &err), 0);
    assert_int_equal(tls_ca_new(buf_str(&leaf), buf_str(&key), &ca, &err), -EINVAL);
    assert_string_equal(err_text(&err), "the certificate is not one of a CA");
    assert_int_equal(tls_ca_new(buf_str(&r.cert), buf_str(&other.key), &ca, &err), -EINVAL);
    assert_string_equal(err_text(&err), "the key is not the certificate's");
    assert_null(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signed),    cmocka_unit_test(test_signed_by_rsa),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_no_longer_than_the_ca),
        cmocka_unit_test(test_weak_keys), cmocka_unit_test(test_a_ca_must_be_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
