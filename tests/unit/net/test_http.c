/* HTTP server and client on one loop: plain and TLS, whole answers, streams, limits, reuse, lost
 * peers, upgrades. */
#include "dns_world.h"

#include <errno.h>
#include <stdio.h>

#include "net/http_client.h"
#include "net/http_server.h"

struct world {
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct tls_context *server_tls, *client_tls;
    struct http_exchange *stream; /* the open /stream exchange */
    unsigned stream_over;
    struct conn *tunnel;
};

struct outcome {
    bool done;
    int code;
    int status;
    struct buf body;
    struct conn *upgraded;
};

static void on_tunnel_data(struct conn *c, void *user)
{
    (void)user;
    conn_write_chain(c, conn_in(c));
}

static void on_tunnel_close(struct conn *c, int code, const char *text, void *user)
{
    struct world *w = user;
    (void)c;
    (void)code;
    (void)text;
    w->tunnel = NULL;
}

static const struct conn_ops tunnel_ops = {.on_data = on_tunnel_data, .on_close = on_tunnel_close};

static void on_stream_over(struct http_exchange *x, void *user)
{
    struct world *w = user;
    (void)x;
    w->stream = NULL;
    w->stream_over++;
}

static void on_request(struct http_exchange *x, void *user)
{
    struct world *w = user;
    struct str path = http_exchange_path(x);
    if (str_is(path, "/stream")) {
        http_exchange_start(x, 200, NULL, 0);
        w->stream = x;
        http_exchange_set_done(x, on_stream_over, w);
    } else if (str_is(path, "/upgrade")) {
        struct http_header h[] = {{STR("Upgrade"), STR("echo")},
                                  {STR("Connection"), STR("Upgrade")}};
        w->tunnel = http_exchange_upgrade(x, h, 2);
        conn_set_ops(w->tunnel, &tunnel_ops, w);
    } else if (str_starts(path, STR("/interim/"))) {
        uint64_t n = 0;
        assert_ok(str_to_u64(str_sub(path, 9, path.n), &n));
        struct conn *c = http_exchange_take_conn(x);
        conn_set_ops(c, &tunnel_ops, w);
        for (uint64_t i = 0; i < n; i++)
            conn_write(c, STR("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"));
        conn_write(c, STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
        conn_close_after_flush(c);
    } else if (str_is(path, "/silent")) {
        return; /* never answered */
    } else {
        AUTO_DONE(buf) struct buf b = {0};
        buf_addf(&b, STR_FMT " " STR_FMT " " STR_FMT, STR_ARG(http_exchange_method(x)),
                 STR_ARG(path), STR_ARG(http_exchange_body(x)));
        http_exchange_reply(x, 200, NULL, 0, buf_str(&b));
    }
}

static const struct http_server_ops server_ops = {.on_request = on_request};

static void make_tls(struct world *w)
{
    AUTO_DONE(buf) struct buf ca = {0}, ca_key = {0}, cert = {0}, key = {0};
    struct ip ip;
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    struct tls_cert_request ca_request = {.common_name = "ca", .is_ca = true, .days = 1};
    struct tls_cert_request request = {
        .common_name = "leaf", .ips = &ip, .n_ips = 1, .server = true, .client = true, .days = 1};
    static const char *const orgs[] = {"system:masters", "others"};
    request.organizations = orgs;
    request.n_organizations = 2;
    assert_ok(tls_cert_issue(&ca_request, (struct str){0}, (struct str){0}, &ca, &ca_key, NULL));
    assert_ok(tls_cert_issue(&request, buf_str(&ca), buf_str(&ca_key), &cert, &key, NULL));
    struct tls_config c = {
        .cert_pem = buf_str(&cert), .key_pem = buf_str(&key), .ca_pem = buf_str(&ca)};
    assert_ok(tls_context_new_server(&c, &w->server_tls, NULL));
    assert_ok(tls_context_new_client(&c, &w->client_tls, NULL));
}

static void world_up(struct world *w, bool tls)
{
    struct ip ip;
    memset(w, 0, sizeof(*w));
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    assert_ok(loop_new(&w->loop, NULL));
    if (tls)
        make_tls(w);
    struct http_server_config sc = {.tls = w->server_tls, .body_bytes_max = 100000};
    assert_ok(http_server_new(w->loop, &ip, 0, &sc, &server_ops, w, &w->server, NULL));
    struct http_client_config cc = {
        .ip = ip, .port = http_server_port(w->server), .host = "127.0.0.1", .tls = w->client_tls};
    w->client = http_client_new(w->loop, &cc);
}

static void world_down(struct world *w)
{
    http_client_free(w->client);
    conn_free(w->tunnel);
    http_server_free(w->server);
    loop_turn(w->loop, 0);
    tls_context_unref(w->server_tls);
    tls_context_unref(w->client_tls);
    loop_free(w->loop);
}

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    struct outcome *o = user;
    (void)text;
    o->done = true;
    o->code = code;
    o->status = http_call_status(call);
    buf_add_str(&o->body, http_call_body(call));
}

static void on_upgrade(struct http_call *call, struct conn *c, void *user)
{
    struct outcome *o = user;
    (void)call;
    o->done = true;
    o->upgraded = c;
}

static const struct http_call_ops whole = {.on_done = on_done, .on_upgrade = on_upgrade};

static void finish(struct world *w, struct outcome *o)
{
    for (int i = 0; i < 2000 && !o->done; i++)
        loop_turn(w->loop, 10);
    assert_true(o->done);
}

static struct outcome fetch(struct world *w, const char *method, const char *target,
                            struct str body)
{
    struct outcome o = {0};
    struct http_request r = {.method = method, .target = target, .body = body};
    (void)http_call_start(w->client, &r, &whole, &o);
    finish(w, &o);
    return o;
}

static void check_requests(bool tls)
{
    struct world w;
    world_up(&w, tls);
    struct outcome o = fetch(&w, "GET", "/x", (struct str){0});
    assert_ok(o.code);
    assert_int_equal(o.status, 200);
    assert_str(buf_str(&o.body), "GET /x ");
    buf_done(&o.body);
    AUTO_DONE(buf) struct buf big = {0};
    for (int i = 0; i < 90000; i++)
        buf_add_char(&big, (char)('a' + i % 26));
    o = fetch(&w, "POST", "/y", buf_str(&big));
    assert_ok(o.code);
    assert_int_equal(o.body.n, 8 + 90000);
    assert_memory_equal(o.body.p + 8, big.p, 90000);
    buf_done(&o.body);
    assert_int_equal(http_server_connections(w.server), 1); /* the connection was used again */
    world_down(&w);
}

static void test_plain(void **state)
{
    (void)state;
    check_requests(false);
}

static void test_tls(void **state)
{
    (void)state;
    check_requests(true);
}

static void test_body_over_limit_is_413(void **state)
{
    struct world w;
    AUTO_DONE(buf) struct buf big = {0};
    (void)state;
    world_up(&w, false);
    for (int i = 0; i < 100001; i++)
        buf_add_char(&big, 'x');
    struct outcome o = fetch(&w, "POST", "/y", buf_str(&big));
    assert_int_equal(o.status, 413);
    buf_done(&o.body);
    world_down(&w);
}

/* Answers of 1xx come before the answer; who sends them for ever has none. */
static void test_interim_answers_are_passed_over(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false);
    struct outcome few = fetch(&w, "GET", "/interim/10", STR(""));
    assert_int_equal(few.status, 200);
    assert_str(buf_str(&few.body), "ok");
    struct outcome many = fetch(&w, "GET", "/interim/1000", STR(""));
    assert_int_equal(many.code, -E2BIG);
    buf_done(&few.body);
    buf_done(&many.body);
    world_down(&w);
}

struct pieces {
    struct buf got;
    struct outcome end;
};

static void on_piece(struct http_call *call, struct str piece, void *user)
{
    struct pieces *p = user;
    (void)call;
    buf_add_str(&p->got, piece);
}

static void on_pieces_done(struct http_call *call, int code, const char *text, void *user)
{
    struct pieces *p = user;
    (void)call;
    (void)text;
    p->end.done = true;
    p->end.code = code;
}

static void test_stream_shares_bytes(void **state)
{
    static const struct http_call_ops ops = {.on_data = on_piece, .on_done = on_pieces_done};
    struct pieces a = {0}, b = {0};
    struct world w;
    (void)state;
    world_up(&w, true);
    struct http_request r = {.method = "GET", .target = "/stream"};
    struct http_call *call = http_call_start(w.client, &r, &ops, &a);
    for (int i = 0; i < 200 && !w.stream; i++)
        loop_turn(w.loop, 10);
    struct bytes *event = bytes_new(STR("event\n"));
    for (int i = 0; i < 1000; i++)
        http_exchange_write_bytes(w.stream, event);
    for (int i = 0; i < 200 && a.got.n < 6000; i++)
        loop_turn(w.loop, 10);
    assert_int_equal(a.got.n, 6000);
    assert_int_equal(event->refs, 1); /* every queue let go of it */
    bytes_unref(event);
    http_exchange_finish(w.stream);
    finish(&w, &a.end);
    assert_ok(a.end.code);
    assert_int_equal(w.stream_over, 1);
    /* A reader that goes away ends the exchange. */
    call = http_call_start(w.client, &r, &ops, &b);
    for (int i = 0; i < 200 && !w.stream; i++)
        loop_turn(w.loop, 10);
    http_call_cancel(call);
    for (int i = 0; i < 200 && w.stream; i++)
        loop_turn(w.loop, 10);
    assert_int_equal(w.stream_over, 2);
    assert_false(b.end.done);
    buf_done(&a.got);
    buf_done(&b.got);
    world_down(&w);
}

static void on_client_tunnel(struct conn *c, void *user)
{
    struct outcome *o = user;
    while (conn_in(c)->n) {
        struct str piece = chain_front(conn_in(c));
        buf_add_str(&o->body, piece);
        chain_consume(conn_in(c), piece.n);
    }
}

static void on_client_tunnel_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    (void)user;
}

static void test_upgrade(void **state)
{
    static const struct conn_ops ops = {.on_data = on_client_tunnel,
                                        .on_close = on_client_tunnel_close};
    struct world w;
    (void)state;
    world_up(&w, false);
    struct outcome o = fetch(&w, "GET", "/upgrade", (struct str){0});
    assert_non_null(o.upgraded);
    conn_set_ops(o.upgraded, &ops, &o);
    conn_write(o.upgraded, STR("ping"));
    for (int i = 0; i < 200 && o.body.n < 4; i++)
        loop_turn(w.loop, 10);
    assert_str(buf_str(&o.body), "ping");
    conn_free(o.upgraded);
    buf_done(&o.body);
    for (int i = 0; i < 200 && w.tunnel; i++) {
        if (conn_eof(w.tunnel)) {
            conn_free(w.tunnel);
            w.tunnel = NULL;
        }
        loop_turn(w.loop, 10);
    }
    world_down(&w);
}

static void test_timeout_and_refusal(void **state)
{
    struct world w;
    struct outcome o = {0};
    (void)state;
    world_up(&w, false);
    struct http_request r = {.method = "GET", .target = "/silent", .timeout_ms = 30};
    (void)http_call_start(w.client, &r, &whole, &o);
    finish(&w, &o);
    assert_int_equal(o.code, -ETIMEDOUT);
    http_server_free(w.server);
    w.server = NULL;
    loop_turn(w.loop, 0);
    o = fetch(&w, "GET", "/x", (struct str){0});
    assert_int_equal(o.code, -ECONNREFUSED);
    world_down(&w);
}

/* A client for this server under a name that the test's own name server knows. */
static void use_name(struct world *w, struct dns_world *dns, const char *name, const char *prefix)
{
    struct http_client_config cc = {.port = http_server_port(w->server),
                                    .host = name,
                                    .prefix = prefix,
                                    .resolver = dns->resolver};
    http_client_free(w->client);
    w->client = http_client_new(w->loop, &cc);
}

static void test_names_are_resolved_and_addresses_tried_in_turn(void **state)
{
    struct world w;
    struct dns_world dns;
    (void)state;
    world_up(&w, false);
    dns_world_up(&dns, w.loop);
    assert_ok(ip_parse(STR("127.0.0.1"), &dns.v4[0]));
    assert_ok(ip_parse(STR("127.0.0.2"), &dns.v4[1])); /* nobody listens there */
    dns.v6.family = 0;
    use_name(&w, &dns, "api.test", "/base");
    for (int i = 0; i < 6; i++) {
        struct outcome o = fetch(&w, "GET", "/x", (struct str){0});
        assert_ok(o.code);
        assert_str(buf_str(&o.body), "GET /base/x ");
        buf_done(&o.body);
        /* Without a kept connection the next call starts at the address that served the last. */
        use_name(&w, &dns, "api.test", "/base");
        struct ip first = dns.v4[0];
        dns.v4[0] = dns.v4[1];
        dns.v4[1] = first;
    }
    use_name(&w, &dns, "gone.test", NULL);
    struct outcome o = fetch(&w, "GET", "/x", (struct str){0});
    assert_int_equal(o.code, -ENOENT);
    /* Addresses of which none answers are forgotten, so that a changed record is seen. */
    unsigned queries = dns.queries;
    use_name(&w, &dns, "api.test", NULL);
    struct ip good = dns.v4[0].bytes[3] == 1 ? dns.v4[0] : dns.v4[1];
    dns.v4[0] = dns.v4[0].bytes[3] == 1 ? dns.v4[1] : dns.v4[0];
    dns.v4[1].family = 0;
    o = fetch(&w, "GET", "/x", (struct str){0});
    assert_int_equal(o.code, -ECONNREFUSED);
    dns.v4[0] = good;
    o = fetch(&w, "GET", "/x", (struct str){0});
    assert_ok(o.code);
    assert_int_equal(dns.queries, queries + 4);
    buf_done(&o.body);
    dns_world_down(&dns);
    world_down(&w);
}

static void test_untrusted_server_is_refused(void **state)
{
    struct world w, other;
    (void)state;
    world_up(&w, true);
    world_up(&other, true);
    struct ip ip;
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    struct http_client_config cc = {
        .ip = ip, .port = http_server_port(w.server), .host = "127.0.0.1", .tls = other.client_tls};
    struct http_client *client = w.client;
    w.client = http_client_new(w.loop, &cc);
    struct outcome o = fetch(&w, "GET", "/x", (struct str){0});
    assert_true(o.code < 0);
    http_client_free(client);
    world_down(&w);
    world_down(&other);
}

static void test_es256(void **state)
{
    AUTO_DONE(buf) struct buf cert = {0}, key = {0};
    struct tls_cert_request r = {.common_name = "signer", .is_ca = true, .days = 1};
    uint8_t sig[64];
    (void)state;
    assert_ok(tls_cert_issue(&r, (struct str){0}, (struct str){0}, &cert, &key, NULL));
    assert_ok(tls_es256_sign(buf_str(&key), STR("message"), sig, NULL));
    assert_ok(tls_es256_verify(buf_str(&key), STR("message"), sig));
    assert_ok(tls_es256_verify(buf_str(&cert), STR("message"), sig));
    assert_int_equal(tls_es256_verify(buf_str(&key), STR("massage"), sig), -EKEYREJECTED);
    sig[5] ^= 1;
    assert_int_equal(tls_es256_verify(buf_str(&key), STR("message"), sig), -EKEYREJECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_body_over_limit_is_413),
        cmocka_unit_test(test_interim_answers_are_passed_over),
        cmocka_unit_test(test_stream_shares_bytes),
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_timeout_and_refusal),
        cmocka_unit_test(test_names_are_resolved_and_addresses_tried_in_turn),
        cmocka_unit_test(test_untrusted_server_is_refused),
        cmocka_unit_test(test_es256),
    };
    return RUN_TESTS(tests);
}
