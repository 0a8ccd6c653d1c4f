/* A pool to an endpoint on loopback: who waits for whom, what circuit breakers refuse, and what
 * goes on after the endpoint has left; and which pools a worker keeps through a change of
 * endpoints. */
#include "proxy/upstream.h"

#include <errno.h>

#include "cluster_test.h"
#include "net/http1_conn.h"
#include "net/listener.h"
#include "proxy/worker.h"

enum { REQUESTS = 8 };

struct asker {
    struct upstream_wait wait;
    struct http_stream *s;
    bool ready, failed, over;
    unsigned status;
    enum reason why;
};

struct world {
    struct loop *loop;
    struct listener *listener;
    struct cluster *cluster;
    struct endpoint *endpoint;
    struct upstream *u;
    struct asker askers[REQUESTS];
    struct http_stream *asked[REQUESTS]; /* at the endpoint, not answered yet */
    size_t n_asked, n_conns, n_closed;
};

static void turn(struct world *w)
{
    for (int i = 0; i < 20; i++)
        loop_turn(w->loop, 1);
}

/* ---- the endpoint ---- */

static void no_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    (void)s, (void)data, (void)end, (void)user;
}

static void on_served_over(struct http_stream *s, enum http_end end, int code, const char *text,
                           void *user)
{
    (void)s, (void)end, (void)code, (void)text, (void)user;
}

static void on_request(struct http_conn *hc, struct http_stream *s, void *user)
{
    static const struct http_stream_ops ops = {.on_data = no_data, .on_over = on_served_over};
    struct world *w = user;
    (void)hc;
    http_stream_set_ops(s, &ops, w);
    w->asked[w->n_asked++] = s;
}

static void on_conn_over(struct http_conn *hc, int code, const char *text, void *user)
{
    struct world *w = user;
    (void)hc, (void)code, (void)text;
    w->n_closed++;
}

static void on_accept(int fd, void *user)
{
    static const struct http_conn_ops ops = {.on_request = on_request, .on_close = on_conn_over};
    struct world *w = user;
    w->n_conns++;
    http1_conn_new_server(conn_new_accepted(w->loop, fd, NULL, &conn_no_ops, NULL), NULL, &ops, w);
}

/* The oldest one first. */
static void answer(struct world *w)
{
    struct http_field fields[2];
    struct http_head head = {.fields = fields, .cap = 2, .status = 204};
    assert_true(w->n_asked);
    http_stream_send_head(w->asked[0], &head, true);
    memmove(w->asked, w->asked + 1, --w->n_asked * sizeof(w->asked[0]));
    turn(w);
}

/* ---- who asks ---- */

static void on_head(struct http_stream *s, struct http_head *h, bool end, void *user)
{
    (void)s, (void)end;
    ((struct asker *)user)->status = h->status;
}

static void on_over(struct http_stream *s, enum http_end end, int code, const char *text,
                    void *user)
{
    struct asker *a = user;
    (void)s, (void)end, (void)code, (void)text;
    a->over = true;
    a->s = NULL;
    upstream_ended(&a->wait);
}

static void send_request(struct asker *a)
{
    struct http_field fields[2];
    struct http_head head = {
        .fields = fields, .cap = 2, .method = STR("GET"), .target = STR("/"), .minor = 1};
    IGNORE_RESULT(http_head_add(&head, HTTP_NAME_HOST, STR("x")));
    http_stream_send_head(a->s, &head, true);
    http_stream_resume(a->s);
}

static void on_ready(struct http_stream *s, void *user)
{
    struct asker *a = user;
    a->ready = true;
    a->s = s;
    send_request(a);
}

static void on_failed(enum reason why, const char *text, void *user)
{
    struct asker *a = user;
    (void)text;
    a->failed = true;
    a->why = why;
    upstream_ended(&a->wait);
}

static int ask(struct world *w, int i)
{
    static const struct http_stream_ops ops = {
        .on_head = on_head, .on_data = no_data, .on_over = on_over};
    struct asker *a = &w->askers[i];
    *a = (struct asker){
        .wait = {.ops = &ops, .user = a, .on_ready = on_ready, .on_failed = on_failed}};
    upstream_enter(w->u, &a->wait);
    int r = upstream_take(&a->wait, false, &a->s);
    if (r == 0)
        send_request(a);
    return r;
}

static void world_init(struct world *w)
{
    static const struct listener_options o = {.reuse_port = false};
    struct ip ip;
    *w = (struct world){.n_conns = 0};
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    assert_ok(loop_new(&w->loop, NULL));
    assert_ok(listener_new(w->loop, &ip, 0, &o, on_accept, w, &w->listener, NULL));
    w->endpoint = endpoint_new(&ip, listener_port(w->listener));
    w->cluster = cluster_new(STR("c"));
    w->u = upstream_new(w->loop, 0, w->cluster, w->endpoint, 0);
}

/* With all askers gone, it has given everything back. */
static void world_done(struct world *w, bool retired)
{
    for (int i = 0; i < REQUESTS; i++) {
        if (w->askers[i].s)
            http_stream_abort(w->askers[i].s);
        upstream_leave(&w->askers[i].wait);
    }
    while (w->n_asked)
        http_stream_abort(w->asked[--w->n_asked]);
    turn(w);
    if (!retired)
        upstream_free(w->u);
    turn(w);
    assert_int_equal(atomic_load(&w->cluster->breakers.of[0].connections.used), 0);
    assert_int_equal(atomic_load(&w->cluster->breakers.of[0].pending.used), 0);
    assert_int_equal(breakers_requests(&w->cluster->breakers, 0), 0);
    assert_int_equal(endpoint_active(w->endpoint), 0);
    assert_int_equal(atomic_load(&w->endpoint->refs), 1);
    assert_int_equal(atomic_load(&w->cluster->refs), 1);
    assert_int_equal(w->n_closed, w->n_conns);
    endpoint_unref(w->endpoint);
    cluster_unref(w->cluster);
    listener_free(w->listener);
    loop_turn(w->loop, 0);
    loop_free(w->loop);
}

static void test_connections_are_used_again(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    assert_int_equal(ask(&w, 0), -EAGAIN);
    assert_int_equal(ask(&w, 1), -EAGAIN);
    turn(&w);
    assert_int_equal(w.n_conns, 2);
    assert_int_equal(endpoint_active(w.endpoint), 2);
    answer(&w);
    answer(&w);
    assert_true(w.askers[0].status == 204 && w.askers[1].over);
    assert_int_equal(endpoint_active(w.endpoint), 0);
    assert_int_equal(ask(&w, 2), 0);
    assert_int_equal(ask(&w, 3), 0);
    assert_int_equal(ask(&w, 4), -EAGAIN);
    turn(&w);
    assert_int_equal(w.n_conns, 3);
    world_done(&w, false);
}

static void test_a_limit_of_connections(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    w.cluster->breakers.of[0].connections.max = 1;
    w.cluster->breakers.of[0].pending.max = 2;
    assert_int_equal(ask(&w, 0), -EAGAIN);
    turn(&w);
    assert_int_equal(ask(&w, 1), -EAGAIN);
    assert_int_equal(ask(&w, 2), -EAGAIN);
    assert_int_equal(ask(&w, 3), -EBUSY); /* a third that waits */
    turn(&w);
    assert_int_equal(w.n_conns, 1);
    answer(&w); /* one after the other */
    assert_true(w.askers[0].over && w.askers[1].ready && !w.askers[2].ready);
    answer(&w);
    answer(&w);
    assert_true(w.askers[2].over);
    assert_int_equal(w.n_conns, 1);
    world_done(&w, false);
}

static int ask_for(struct world *w, int i, const char *host)
{
    static const struct http_stream_ops ops = {
        .on_head = on_head, .on_data = no_data, .on_over = on_over};
    struct asker *a = &w->askers[i];
    struct http_field fields[2];
    struct http_head head = {.fields = fields, .cap = 2};
    *a = (struct asker){
        .wait = {.ops = &ops, .user = a, .on_ready = on_ready, .on_failed = on_failed}};
    IGNORE_RESULT(http_head_add(&head, HTTP_NAME_HOST, str_from(host)));
    upstream_enter(w->u, &a->wait);
    upstream_name(&a->wait, w->cluster, &head);
    int r = upstream_take(&a->wait, false, &a->s);
    if (r == 0)
        send_request(a);
    return r;
}

/* Where the request's host is whom TLS speaks to, a connection is of one host. */
static void test_a_connection_for_each_host(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    w.cluster->http.auto_sni = true;
    assert_int_equal(ask_for(&w, 0, "a.example:8443"), -EAGAIN);
    assert_true(str_is(w.askers[0].wait.name, "a.example"));
    turn(&w);
    assert_int_equal(ask_for(&w, 1, "b.example"), -EAGAIN);
    turn(&w);
    assert_int_equal(w.n_conns, 2);
    answer(&w);
    answer(&w);
    assert_int_equal(ask_for(&w, 2, "B.example"), 0); /* each has its own, and keeps it */
    assert_int_equal(ask_for(&w, 3, "c.example"), -EAGAIN);
    turn(&w);
    assert_int_equal(w.n_conns, 3);
    answer(&w);
    answer(&w);
    assert_true(w.askers[2].over && w.askers[3].over);
    assert_int_equal(ask_for(&w, 4, "[::1]:80"), -EAGAIN);
    assert_true(str_is(w.askers[4].wait.name, "::1"));
    turn(&w);
    answer(&w);
    world_done(&w, false);
}

/* At a limit, an idle connection to somebody else goes; one that is used does not. */
static void test_hosts_at_a_limit(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    w.cluster->http.auto_sni = true;
    w.cluster->breakers.of[0].connections.max = 1;
    assert_int_equal(ask_for(&w, 0, "a.example"), -EAGAIN);
    turn(&w);
    answer(&w);
    assert_int_equal(ask_for(&w, 1, "b.example"), -EAGAIN);
    turn(&w);
    assert_int_equal(w.n_conns, 2);
    assert_int_equal(w.n_closed, 1);
    assert_int_equal(atomic_load(&w.cluster->breakers.of[0].connections.used), 1);
    assert_int_equal(ask_for(&w, 2, "b.example"), -EAGAIN); /* waits for that one */
    turn(&w);
    assert_int_equal(w.n_conns, 2);
    answer(&w);
    turn(&w);
    answer(&w);
    assert_true(w.askers[1].over && w.askers[2].over);
    world_done(&w, false);
}

static void test_a_limit_of_requests(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    w.cluster->breakers.of[0].requests.max = 1;
    assert_int_equal(ask(&w, 0), -EAGAIN);
    assert_int_equal(ask(&w, 1), -EAGAIN); /* as many may wait */
    turn(&w);
    assert_true(w.askers[0].ready && w.askers[1].failed);
    assert_int_equal(w.askers[1].why, REASON_OVERFLOW);
    assert_int_equal(ask(&w, 2), -EBUSY); /* on the connection that was made for 1 */
    answer(&w);
    assert_int_equal(ask(&w, 3), 0);
    turn(&w);
    answer(&w);
    assert_true(w.askers[3].over);
    world_done(&w, false);
}

static void test_a_limit_of_the_endpoint(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    w.cluster->host_connections_max = 2;
    atomic_store(&w.endpoint->conns, 1); /* another worker's */
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(&w, i), -EAGAIN);
    turn(&w);
    assert_int_equal(w.n_conns, 1);
    atomic_fetch_sub(&w.endpoint->conns, 1);
    assert_int_equal(ask(&w, 3), -EAGAIN);
    turn(&w);
    assert_int_equal(w.n_conns, 2);
    world_done(&w, false);
}

static void test_a_pool_without_connections_may_make_one(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    w.cluster->breakers.of[0].connections.max = 1;
    breaker_take_over(&w.cluster->breakers.of[0].connections); /* of another endpoint */
    assert_int_equal(ask(&w, 0), -EAGAIN);
    turn(&w);
    assert_true(w.askers[0].ready);
    breaker_give(&w.cluster->breakers.of[0].connections);
    world_done(&w, false);
}

static void test_nobody_is_left_behind_when_the_endpoint_goes(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    w.cluster->breakers.of[0].connections.max = 2;
    assert_int_equal(ask(&w, 0), -EAGAIN);
    assert_int_equal(ask(&w, 1), -EAGAIN);
    turn(&w);
    answer(&w); /* one connection is idle, */
    assert_int_equal(w.n_asked, 1);
    assert_int_equal(w.n_closed, 0);
    upstream_retire(w.u);
    turn(&w);
    assert_int_equal(w.n_closed, 1); /* and is closed at once */
    assert_false(w.askers[1].over);
    answer(&w);
    assert_true(w.askers[1].over && w.askers[1].status == 204);
    assert_int_equal(w.n_closed, 2);
    world_done(&w, true);
}

static void test_who_waits_is_served_after_the_endpoint_has_gone(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    w.cluster->breakers.of[0].connections.max = 1;
    assert_int_equal(ask(&w, 0), -EAGAIN);
    turn(&w);
    assert_int_equal(ask(&w, 1), -EAGAIN);
    upstream_retire(w.u);
    turn(&w);
    assert_false(w.askers[1].failed);
    answer(&w);
    assert_true(w.askers[0].over && w.askers[0].status == 204 && w.askers[1].ready);
    answer(&w);
    assert_true(w.askers[1].over && w.askers[1].status == 204);
    assert_int_equal(w.n_closed, w.n_conns);
    world_done(&w, true);
}

static void test_retired_while_it_connects(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    assert_int_equal(ask(&w, 0), -EAGAIN);
    upstream_retire(w.u);
    turn(&w);
    assert_true(w.askers[0].ready);
    answer(&w);
    assert_int_equal(w.askers[0].status, 204);
    world_done(&w, true);
}

static void test_nobody_listens(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    listener_free(TAKE(w.listener));
    assert_int_equal(ask(&w, 0), -EAGAIN);
    upstream_retire(w.u);
    turn(&w);
    assert_true(w.askers[0].failed);
    assert_int_equal(w.askers[0].why, REASON_CONNECT_FAILED);
    world_done(&w, true);
}

/* ---- of a worker ---- */

static struct upstream *choose(struct worker *w, struct cluster *c)
{
    return worker_upstream(w, c, &(struct lb_request){0});
}

static void put(struct cluster *c, const char *text)
{
    AUTO(arena) struct arena *a = arena_new(0);
    struct pb_path path = {.n = 0};
    struct err err = {0};
    assert_ok(cluster_set_endpoints(
        c,
        (const void *)message_from(
            a, &envoy__config__endpoint__v3__cluster_load_assignment__descriptor, text),
        &path, &err));
}

#define LB(ip)    "{'endpoint':{'address':{'socket_address':{'address':'" ip "','port_value':80}}}}"
#define SET(list) "{'cluster_name':'c','endpoints':[{'lb_endpoints':[" list "]}]}"

static void test_pools_stay_through_a_new_set(void **state)
{
    struct proxy_config *config = NEW(struct proxy_config);
    struct worker *w;
    struct err err = {0};
    (void)state;
    config->refs = 1;
    config->clusters = cluster_table_new();
    assert_ok(worker_new(config, 0, 1, &w, &err));
    struct cluster *c = cluster_new(STR("c"));
    assert_null(choose(w, c));
    put(c, SET(LB("10.0.0.1") "," LB("10.0.0.2")));
    assert_null(choose(w, c)); /* not before its loop has come to it */
    loop_turn(worker_loop(w), 0);
    struct upstream *first = choose(w, c), *second = choose(w, c);
    assert_true(first && second && first != second);
    if (*upstream_endpoint(first)->text && strstr(upstream_endpoint(first)->text, ".2:")) {
        struct upstream *u = first;
        first = second;
        second = u;
    }
    put(c, SET(LB("10.0.0.3") "," LB("10.0.0.2")));
    struct upstream_wait wait = {.priority = 0};
    upstream_enter(first, &wait); /* chosen before the change comes */
    loop_turn(worker_loop(w), 0);
    for (int i = 0; i < 4; i++) {
        struct upstream *u = choose(w, c);
        assert_true(u == second || strstr(upstream_endpoint(u)->text, "10.0.0.3"));
    }
    assert_string_equal(upstream_endpoint(first)->text, "10.0.0.1:80"); /* it is still there */
    upstream_leave(&wait);
    put(c, SET(""));
    loop_turn(worker_loop(w), 0);
    assert_null(choose(w, c));
    put(c, SET(LB("10.0.0.1"))); /* on its way when the worker ends */
    worker_free(w);
    assert_int_equal(atomic_load(&c->refs), 1);
    cluster_unref(c);
    proxy_config_unref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_are_used_again),
        cmocka_unit_test(test_a_limit_of_connections),
        cmocka_unit_test(test_a_connection_for_each_host),
        cmocka_unit_test(test_hosts_at_a_limit),
        cmocka_unit_test(test_a_limit_of_requests),
        cmocka_unit_test(test_a_limit_of_the_endpoint),
        cmocka_unit_test(test_a_pool_without_connections_may_make_one),
        cmocka_unit_test(test_nobody_is_left_behind_when_the_endpoint_goes),
        cmocka_unit_test(test_who_waits_is_served_after_the_endpoint_has_gone),
        cmocka_unit_test(test_retired_while_it_connects),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_pools_stay_through_a_new_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
