/* Client contexts that are one to OpenSSL: each allows whom it allows, whichever of them was first
 * and whichever is left. */
#include <errno.h>

#include "net/tls.h"
#include "test.h"

struct pair {
    struct buf cert, key;
};

static void pair_done(struct pair *p)
{
    buf_done(&p->cert);
    buf_done(&p->key);
}

static void issue(struct pair *p, const struct pair *ca, const char *uri)
{
    const struct tls_name name = {TLS_NAME_URI, str_from(uri)};
    const struct tls_cert_request q = {.common_name = "x",
                                       .is_ca = !ca,
                                       .server = true,
                                       .client = true,
                                       .days = 1,
                                       .names = &name,
                                       .n_names = uri ? 1 : 0};
    assert_int_equal(tls_cert_issue(&q, ca ? buf_str(&ca->cert) : STR(""),
                                    ca ? buf_str(&ca->key) : STR(""), &p->cert, &p->key, NULL),
                     0);
}

static struct tls_context *client(const struct pair *ca, const char *allowed)
{
    const struct tls_name_match who = {TLS_NAME_URI, TLS_MATCH_EXACT, str_from(allowed)};
    const struct tls_config o = {
        .ca_pem = buf_str(&ca->cert), .peer_names = &who, .n_peer_names = allowed ? 1 : 0};
    struct tls_context *c;
    struct err err = {0};
    if (tls_context_new_client(&o, &c, &err) < 0)
        fail_msg("%s", err_text(&err));
    return c;
}

static bool meets(struct tls_context *c, struct tls_context *s)
{
    struct chain wires[2] = {{0}, {0}};
    struct tls_session *a = tls_session_new(c, &(struct tls_session_options){0}),
                       *b = tls_session_new(s, &(struct tls_session_options){0});
    int x = -EAGAIN, y = -EAGAIN;
    tls_session_set_wires(a, &wires[0], &wires[1]);
    tls_session_set_wires(b, &wires[1], &wires[0]);
    for (int i = 0; i < 10 && (x == -EAGAIN || y == -EAGAIN); i++) {
        x = tls_session_handshake(a);
        y = tls_session_handshake(b);
    }
    tls_session_free(a);
    tls_session_free(b);
    chain_done(&wires[0]);
    chain_done(&wires[1]);
    return x == 0 && y == 0;
}

static void count(bool trusted, const struct tls_peer *facts, void *user)
{
    (void)facts;
    *(int *)user += trusted;
}

static void test_each_allows_whom_it_allows(void **state)
{
    AUTO_DONE(pair) struct pair ca = {0};
    AUTO_DONE(pair) struct pair other = {0};
    AUTO_DONE(pair) struct pair leaf = {0};
    struct tls_context *s, *clients[4];
    int trusted = 0;
    (void)state;
    issue(&ca, NULL, NULL);
    issue(&other, NULL, NULL);
    issue(&leaf, &ca, "spiffe://a");
    const struct tls_config o = {.cert_pem = buf_str(&leaf.cert), .key_pem = buf_str(&leaf.key)};
    assert_int_equal(tls_context_new_server(&o, &s, NULL), 0);
    clients[0] = client(&ca, "spiffe://b");
    clients[1] = client(&ca, "spiffe://a");
    clients[2] = client(&ca, NULL); /* anybody below that CA */
    clients[3] = client(&other, "spiffe://a");
    static const bool ok[] = {false, true, true, false};
    for (size_t gone = 0; gone < ARRAY_LEN(clients); gone++) {
        for (size_t i = gone; i < ARRAY_LEN(clients); i++)
            assert_int_equal(meets(clients[i], s), ok[i]);
        tls_context_unref(clients[gone]);
    }
    clients[0] = client(&ca, "spiffe://a"); /* when none is left: anew */
    assert_true(meets(clients[0], s));
    tls_context_each(clients[0], count, &trusted);
    assert_int_equal(trusted, 1);
    tls_context_unref(clients[0]);
    tls_context_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allows_whom_it_allows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
