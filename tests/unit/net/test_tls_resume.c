/* Session tickets, what they are good for, and a client's kept sessions. */
#include <pthread.h>
#include <stdio.h>

#include "tls_world.h"

#include <time.h>

/* Instead of the C library's, for OpenSSL too: nothing waits for a certificate to end. */
static time_t clock_ahead_s;

time_t time(time_t *ret)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += clock_ahead_s;
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}

static struct tls_ticket_keys *random_keys(const struct tls_ticket_keys *before, size_t keep)
{
    struct tls_ticket_keys *k = NULL;
    assert_ok(tls_ticket_keys_new_random(before, keep, &k, NULL));
    return k;
}

/* One connection that reads what comes after the handshake (tickets); was it resumed? */
static bool resumes(struct world *w, const char *name)
{
    struct chain got = {0};
    sessions(w, &(struct tls_session_options){.server_name = name, .resume = true});
    if (shake(w) < 0)
        fail_msg("client: %s; server: %s", tls_session_error(w->client),
                 tls_session_error(w->server));
    assert_int_equal(tls_session_read(w->client, &got, 100), -EAGAIN);
    bool yes = tls_session_resumed(w->client);
    assert_int_equal(tls_session_resumed(w->server), yes);
    carry(w, true, 100);
    sessions_end(w);
    return yes;
}

static void server_again(struct world *w, struct tls_config s)
{
    struct err err = {0};
    tls_context_unref(w->server_context);
    s.cert_pem = buf_str(&server_cert.cert);
    s.key_pem = buf_str(&server_cert.key);
    if (tls_context_new_server(&s, &w->server_context, &err) < 0)
        fail_msg("%s", err_text(&err));
}

static void check_resumption(const char *version, size_t step)
{
    AUTO_DONE(world) struct world w = {.step = step};
    struct tls_ticket_keys *keys = random_keys(NULL, 0);
    struct tls_config s = {.ticket_keys = keys};
    contexts(&w, s, (struct tls_config){.max_version = version});
    assert_false(resumes(&w, "one.test"));
    assert_true(resumes(&w, "one.test"));
    assert_true(resumes(&w, "one.test"));
    server_again(&w, s); /* a rebuilt context */
    assert_true(resumes(&w, "one.test"));

    struct tls_ticket_keys *rotated = random_keys(keys, 1);
    server_again(&w, (struct tls_config){.ticket_keys = rotated});
    assert_true(resumes(&w, "one.test")); /* and gets a ticket under the new key */
    struct tls_ticket_keys *third = random_keys(rotated, 1);
    server_again(&w, (struct tls_config){.ticket_keys = third});
    assert_true(resumes(&w, "one.test")); /* which is kept, `keys` is not */

    struct tls_ticket_keys *fresh = random_keys(NULL, 0);
    server_again(&w, (struct tls_config){.ticket_keys = fresh});
    assert_false(resumes(&w, "one.test"));
    server_again(&w, (struct tls_config){0});
    assert_false(resumes(&w, "one.test"));
    assert_false(resumes(&w, "one.test"));
    tls_ticket_keys_unref(keys);
    tls_ticket_keys_unref(rotated);
    tls_ticket_keys_unref(third);
    tls_ticket_keys_unref(fresh);
}

static void test_resumption(void **state)
{
    (void)state;
    for (size_t step = 0; step < 2; step++) {
        check_resumption("1.3", step);
        check_resumption("1.2", step);
    }
}

/* Bytes of the server after the client's last of the handshake. */
static size_t ticket_bytes(struct tls_ticket_keys *keys)
{
    AUTO_DONE(world) struct world w = {0};
    contexts(&w, (struct tls_config){.ticket_keys = keys}, (struct tls_config){0});
    sessions(&w, &(struct tls_session_options){.server_name = "one.test"});
    assert_int_equal(tls_session_handshake(w.client), -EAGAIN);
    deliver(&w);
    assert_int_equal(tls_session_handshake(w.server), -EAGAIN);
    deliver(&w);
    assert_ok(tls_session_handshake(w.client));
    deliver(&w);
    assert_ok(tls_session_handshake(w.server));
    return w.wire[1][1].n;
}

static void test_tickets_only_when_asked_for(void **state)
{
    struct tls_ticket_keys *keys = random_keys(NULL, 0);
    (void)state;
    assert_int_equal(ticket_bytes(NULL), 0);
    assert_true(ticket_bytes(keys) > 200);
    tls_ticket_keys_unref(keys);
}

/* What was verified under one demand is not good under another. */
static void test_tickets_stay_in_their_verify_context(void **state)
{
    (void)state;
    for (int v = 0; v < 2; v++) {
        AUTO_DONE(world) struct world w = {0};
        struct tls_ticket_keys *keys = random_keys(NULL, 0);
        struct tls_name_match m = {TLS_NAME_DNS, TLS_MATCH_EXACT, STR("client.test")};
        struct tls_config s = {.ticket_keys = keys, .ca_pem = buf_str(&ca.cert)};
        contexts(&w, s,
                 (struct tls_config){CERTIFIED(client_cert), .max_version = v ? "1.3" : "1.2"});
        assert_false(resumes(&w, "one.test"));
        assert_true(resumes(&w, "one.test"));
        s.peer_names = &m;
        s.n_peer_names = 1;
        server_again(&w, s);
        assert_false(resumes(&w, "one.test"));
        assert_true(resumes(&w, "one.test"));
        m.value = STR("CLIENT.test"); /* the same in other letters */
        server_again(&w, s);
        assert_true(resumes(&w, "one.test"));
        m = (struct tls_name_match){TLS_NAME_DNS, TLS_MATCH_PREFIX, STR("client.test")};
        server_again(&w, s);
        assert_false(resumes(&w, "one.test"));
        m.value = STR("client.");
        server_again(&w, s);
        assert_false(resumes(&w, "one.test"));
        s.require_peer_cert = true;
        server_again(&w, s);
        assert_false(resumes(&w, "one.test"));
        AUTO_DONE(buf) struct buf both = {0};
        buf_add_str(&both, buf_str(&ca.cert));
        buf_add_str(&both, buf_str(&other_ca.cert));
        s.ca_pem = buf_str(&both);
        server_again(&w, s);
        assert_false(resumes(&w, "one.test"));
        assert_true(resumes(&w, "one.test"));
        tls_ticket_keys_unref(keys);
    }
}

static void test_facts_survive_resumption(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    struct tls_ticket_keys *keys = random_keys(NULL, 0);
    (void)state;
    contexts(&w,
             (struct tls_config){
                 .ticket_keys = keys, .ca_pem = buf_str(&ca.cert), .require_peer_cert = true},
             (struct tls_config){CERTIFIED(client_cert)});
    assert_false(resumes(&w, "one.test"));
    sessions(&w, &(struct tls_session_options){.server_name = "one.test", .resume = true});
    assert_ok(shake(&w));
    assert_true(tls_session_resumed(w.server));
    assert_true(tls_session_peer(w.server)->verified);
    assert_str(tls_session_peer(w.server)->uris.v[0], "spiffe://lab/ns/a/sa/b");
    assert_true(tls_session_peer(w.client)->verified);
    tls_ticket_keys_unref(keys);
}

/* What was not good stays so, and is never good for a server that takes good ones alone. */
static void test_unverified_clients(void **state)
{
    (void)state;
    for (int v = 0; v < 2; v++) {
        AUTO_DONE(world) struct world w = {0};
        struct tls_ticket_keys *keys = random_keys(NULL, 0);
        struct tls_config s = {
            .ticket_keys = keys, .ca_pem = buf_str(&other_ca.cert), .accept_unverified = true};
        contexts(&w, s,
                 (struct tls_config){CERTIFIED(client_cert), .max_version = v ? "1.3" : "1.2"});
        for (int again = 0; again < 2; again++) {
            assert_int_equal(resumes(&w, "one.test"), again);
            sessions(&w, &(struct tls_session_options){.server_name = "one.test", .resume = true});
            assert_ok(shake(&w));
            assert_false(tls_session_peer(w.server)->verified);
            says(tls_session_peer(w.server)->why, "unable to");
            sessions_end(&w);
        }
        s.accept_unverified = false;
        server_again(&w, s);
        sessions(&w, &(struct tls_session_options){.server_name = "one.test", .resume = true});
        int r = shake(&w);
        if (r == 0) { /* TLS 1.3: the client is told with the first byte that it reads */
            struct chain got = {0};
            carry(&w, true, 100);
            assert_int_equal(tls_session_read(w.client, &got, 100), -EPROTO);
        }
        sessions_end(&w);
        s.accept_unverified = true;
        s.ca_pem = buf_str(&ca.cert);
        server_again(&w, s);
        sessions(&w, &(struct tls_session_options){.server_name = "one.test", .resume = true});
        assert_ok(shake(&w));
        assert_false(tls_session_resumed(w.server));
        assert_true(tls_session_peer(w.server)->verified);
        assert_null(tls_session_peer(w.server)->why);
        sessions_end(&w);
        tls_ticket_keys_unref(keys);
    }
}

/* Good for ten minutes more. */
static void issue_ending(struct pair *ret)
{
    const struct tls_name names[] = {DNS("one.test")};
    clock_ahead_s = 600;
    issue_by(&ca, ret,
             &(struct tls_cert_request){.common_name = "ending",
                                        .names = names,
                                        .n_names = 1,
                                        .server = true,
                                        .client = true,
                                        .days = 1,
                                        .starts_in_days = -1});
    clock_ahead_s = 0;
}

/* A certificate that has ended does not live on in a ticket, on neither side. */
static void test_resumption_ends_with_the_certificate(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool of_client = i % 2;
        AUTO_DONE(world) struct world w = {0};
        AUTO_DONE(pair) struct pair ending = {0};
        struct tls_ticket_keys *keys = random_keys(NULL, 0);
        struct tls_config s = {.ticket_keys = keys, .ca_pem = buf_str(&ca.cert)};
        struct tls_config c = {.max_version = i < 2 ? "1.3" : "1.2"};
        issue_ending(&ending);
        struct tls_config *who = of_client ? &c : &s;
        who->cert_pem = buf_str(&ending.cert);
        who->key_pem = buf_str(&ending.key);
        contexts(&w, s, c);
        assert_false(resumes(&w, "one.test"));
        clock_ahead_s = 590;
        assert_true(resumes(&w, "one.test"));
        clock_ahead_s = 610;
        sessions(&w, &(struct tls_session_options){.server_name = "one.test", .resume = true});
        assert_int_equal(shake(&w), -EPROTO);
        says(tls_session_error(of_client ? w.server : w.client), "expired");
        clock_ahead_s = 0;
        tls_ticket_keys_unref(keys);
    }
}

static void test_a_ticket_ends(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    struct tls_ticket_keys *keys = random_keys(NULL, 0);
    (void)state;
    contexts(&w, (struct tls_config){.ticket_keys = keys}, (struct tls_config){0});
    assert_false(resumes(&w, "one.test"));
    clock_ahead_s = 7190;
    assert_true(resumes(&w, "one.test"));
    clock_ahead_s += 7210;
    assert_false(resumes(&w, "one.test"));
    clock_ahead_s = 0;
    tls_ticket_keys_unref(keys);
}

static void test_sessions_are_kept_by_name_and_only_so_many(void **state)
{
    AUTO_DONE(world) struct world w = {0};
    struct tls_ticket_keys *keys = random_keys(NULL, 0);
    (void)state;
    /* Verified by its URI, so that any SNI will do. */
    contexts(&w, (struct tls_config){CERTIFIED(client_cert), .ticket_keys = keys},
             (struct tls_config){.peer_names =
                                     MATCH(TLS_NAME_URI, TLS_MATCH_PREFIX, STR("spiffe://lab/"))});
    for (int i = 0; i < TLS_RESUME_SESSIONS_MAX; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%d.test", i);
        assert_false(resumes(&w, name));
    }
    assert_true(resumes(&w, "n0.test"));
    assert_false(resumes(&w, "further.test")); /* takes the place of n1, the longest unused */
    assert_true(resumes(&w, "n0.test"));
    assert_true(resumes(&w, "n2.test"));
    assert_false(resumes(&w, "n1.test"));
    /* Without `resume` a kept session is not used. */
    assert_ok(meet(&w, "n0.test"));
    assert_false(tls_session_resumed(w.client));
    tls_ticket_keys_unref(keys);
}

static void test_ticket_keys_given(void **state)
{
    struct tls_ticket_keys *k = NULL;
    struct err err = {0};
    char raw[TLS_TICKET_KEY_BYTES] = "secret";
    struct str good = str_of(raw, sizeof(raw)), bad = STR("secret");
    (void)state;
    assert_true(tls_ticket_keys_new(&bad, 1, &k, &err) < 0);
    assert_string_equal(err_text(&err), "ticket_keys: a key of 6 bytes: expected 80");
    assert_true(tls_ticket_keys_new(&good, 0, &k, &err) < 0);
    AUTO_DONE(world) struct world w = {0};
    assert_ok(tls_ticket_keys_new(&good, 1, &k, &err));
    contexts(&w, (struct tls_config){.ticket_keys = k}, (struct tls_config){0});
    tls_ticket_keys_unref(k);
    assert_false(resumes(&w, "one.test"));
    assert_ok(tls_ticket_keys_new(&good, 1, &k, &err)); /* the same bytes, as another worker has */
    server_again(&w, (struct tls_config){.ticket_keys = k});
    tls_ticket_keys_unref(k);
    assert_true(resumes(&w, "one.test"));
}

/* Contexts, the client's sessions and ticket keys are shared by threads (make tsan). */
static void *many_connections(void *of)
{
    struct world w = *(struct world *)of;
    size_t resumed = 0;
    for (int i = 0; i < 50; i++) {
        struct chain got = {0};
        sessions(&w, &(struct tls_session_options){.server_name = "one.test", .resume = true});
        if (shake(&w) == 0 && tls_session_read(w.client, &got, 100) == -EAGAIN)
            resumed += tls_session_resumed(w.client);
        sessions_end(&w);
    }
    chain_pool_trim();
    return (void *)resumed;
}

static void test_threads_share_contexts(void **state)
{
    enum { N = 3 };
    AUTO_DONE(world) struct world w = {0};
    struct tls_ticket_keys *keys = random_keys(NULL, 0);
    pthread_t threads[N];
    (void)state;
    contexts(&w, (struct tls_config){.ticket_keys = keys}, (struct tls_config){0});
    assert_false(resumes(&w, "one.test"));
    for (int i = 0; i < N; i++)
        assert_ok(pthread_create(&threads[i], NULL, many_connections, &w));
    for (int i = 0; i < N; i++) {
        void *resumed = NULL;
        assert_ok(pthread_join(threads[i], &resumed));
        assert_int_equal((size_t)resumed, 50);
    }
    tls_ticket_keys_unref(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resumption),
        cmocka_unit_test(test_tickets_only_when_asked_for),
        cmocka_unit_test(test_tickets_stay_in_their_verify_context),
        cmocka_unit_test(test_unverified_clients),
        cmocka_unit_test(test_facts_survive_resumption),
        cmocka_unit_test(test_resumption_ends_with_the_certificate),
        cmocka_unit_test(test_a_ticket_ends),
        cmocka_unit_test(test_sessions_are_kept_by_name_and_only_so_many),
        cmocka_unit_test(test_ticket_keys_given),
        cmocka_unit_test(test_threads_share_contexts),
    };
    return cmocka_run_group_tests(tests, group_up, group_down);
}
