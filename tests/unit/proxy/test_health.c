/* Active health checks: what a result changes, when the next check comes, and checks of an endpoint
 * on loopback. */
#include "proxy/health.h"

#include <errno.h>

#include "base/time.h"
#include "cluster_test.h"
#include "net/http1_conn.h"
#include "net/listener.h"

/* g good, b bad, n no answer; then: H healthy, F failing, P pending (not counted). */
static void judge(uint32_t unhealthy, uint32_t healthy, unsigned flags, const char *results,
                  const char *want)
{
    struct health_config c = {.unhealthy_threshold = unhealthy, .healthy_threshold = healthy};
    struct health_state s = {.good = 0};
    char got[32] = "";
    for (size_t i = 0; results[i]; i++) {
        enum health_result r = results[i] == 'g'   ? HEALTH_GOOD
                               : results[i] == 'b' ? HEALTH_BAD
                                                   : HEALTH_NO_ANSWER;
        unsigned before = flags;
        enum health_change change = health_judge(&c, &s, r, flags, &flags);
        got[i] = flags & ENDPOINT_PENDING_CHECK ? 'P' : flags & ENDPOINT_FAILED_CHECK ? 'F' : 'H';
        bool changed = (before ^ flags) & ENDPOINT_FAILED_CHECK;
        assert_int_equal(change == HEALTH_CHANGED, changed);
    }
    if (strcmp(got, want) != 0)
        fail_msg("%s: %s, not %s", results, got, want);
}

static void test_thresholds(void **state)
{
    enum { NEW = ENDPOINT_FAILED_CHECK | ENDPOINT_PENDING_CHECK };
    (void)state;
    judge(3, 2, ENDPOINT_FAILED_CHECK, "gnnngg", "HHHFFH"); /* the first good one counts at once */
    judge(3, 2, ENDPOINT_FAILED_CHECK, "ngg", "FFH");
    judge(3, 2, NEW, "ng", "FF");
    judge(3, 2, NEW, "g", "H");
    judge(3, 2, ENDPOINT_FAILED_CHECK, "gnngnnn", "HHHHHHF"); /* in a row */
    judge(3, 2, ENDPOINT_FAILED_CHECK, "gb", "HF");           /* what it says itself */
    judge(3, 3, ENDPOINT_FAILED_CHECK, "nggnggg", "FFFFFFH");
    judge(1, 1, ENDPOINT_EJECTED, "gn", "HF");
}

static void test_intervals(void **state)
{
    struct health_config c = {.interval_ms = 10,
                              .unhealthy_interval_ms = 20,
                              .unhealthy_edge_ms = 30,
                              .healthy_edge_ms = 40,
                              .idle_interval_ms = 50,
                              .idle_healthy_interval_ms = 60};
    (void)state;
    assert_int_equal(health_next_ms(&c, HEALTH_SAME, false, true, 0), 10);
    assert_int_equal(health_next_ms(&c, HEALTH_SAME, true, true, 0), 20);
    assert_int_equal(health_next_ms(&c, HEALTH_CHANGED, true, true, 0), 20);
    assert_int_equal(health_next_ms(&c, HEALTH_PENDING, false, true, 0), 30);
    assert_int_equal(health_next_ms(&c, HEALTH_PENDING, true, true, 0), 40);
    assert_int_equal(health_next_ms(&c, HEALTH_PENDING, true, false, 0), 50);
    assert_int_equal(health_next_ms(&c, HEALTH_SAME, false, false, 0), 60);
    c.jitter_ms = 5;
    c.jitter_percent = 50;
    assert_int_equal(health_next_ms(&c, HEALTH_SAME, false, true, 4 | 4ull << 32), 18);
}

static void test_statuses(void **state)
{
    struct health_config c = {.n_retriable = 1, .retriable = {{500, 504}}};
    (void)state;
    assert_int_equal(health_of_status(&c, 200), HEALTH_GOOD);
    assert_int_equal(health_of_status(&c, 204), HEALTH_BAD);
    assert_int_equal(health_of_status(&c, 503), HEALTH_NO_ANSWER);
    assert_int_equal(health_of_status(&c, 504), HEALTH_BAD);
    c.n_expected = 1;
    c.expected[0] = (struct health_range){201, 300};
    assert_int_equal(health_of_status(&c, 200), HEALTH_BAD);
    assert_int_equal(health_of_status(&c, 299), HEALTH_GOOD);
    assert_int_equal(health_of_status(&c, 300), HEALTH_BAD);
}

static void test_what_must_come(void **state)
{
    struct str want[] = {STR("ab"), STR("ba")};
    struct health_config c = {.receive = want, .n_receive = 2};
    (void)state;
    assert_true(health_matches(&c, STR("xxabxba")));
    assert_false(health_matches(&c, STR("aba"))); /* no byte twice */
    assert_false(health_matches(&c, STR("baab")));
    assert_false(health_matches(&c, STR("")));
}

static void refuse(const char *more, const char *why)
{
    char text[1024];
    struct cluster *c;
    struct err err = {0};
    snprintf(text, sizeof(text),
             "{'name':'c','health_checks':[{'timeout':'1s','interval':'5s','unhealthy_threshold':2,"
             "'healthy_threshold':1,%s}]}",
             more);
    assert_int_equal(cluster_from(text, &c, &err), -EINVAL);
    assert_string_equal(err_text(&err), why);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    refuse("'http_health_check':{'path':'x y'}",
           "health_checks[0]: path: must begin with / and have no blanks");
    refuse("'http_health_check':{'path':'/','expected_statuses':[{'start':200,'end':200}]}",
           "health_checks[0]: expected_statuses[0]: statuses are 100 to 599, the end is not "
           "included");
    refuse("'http_health_check':{'path':'/','method':'CONNECT'}",
           "health_checks[0]: method: is none that a check can use");
    refuse("'http_health_check':{'path':'/','request_headers_to_add':[{'header':{'key':'a','value':"
           "'%START_TIME%'}}]}",
           "health_checks[0]: request_headers_to_add[0]: only plain texts are implemented");
    refuse("'tcp_health_check':{'send':{'text':'0g'}}",
           "health_checks[0]: invalid hex string '0g'");
    refuse("'tcp_health_check':{'send':{'text':'000'}}",
           "health_checks[0]: invalid hex string '000'");
    refuse("'grpc_health_check':{}",
           "health_checks[0]: only http_health_check and tcp_health_check are implemented yet");
}

/* ---- an endpoint on loopback ---- */

struct world {
    struct loop *loop;
    struct listener *listener;
    struct cluster *cluster;
    unsigned status; /* what it answers; 0: nothing */
    unsigned n_asked, n_accepted;
    char asked[512];
    int fds[16]; /* TCP */
    const char *says;
    bool tcp;
};

static void no_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    (void)s, (void)data, (void)end, (void)user;
}

static void on_over(struct http_stream *s, enum http_end end, int code, const char *text,
                    void *user)
{
    (void)s, (void)end, (void)code, (void)text, (void)user;
}

static void on_client_end(struct http_stream *s, void *user)
{
    (void)user;
    http_stream_abort(s);
}

static void on_request(struct http_conn *hc, struct http_stream *s, void *user)
{
    static const struct http_stream_ops ops = {
        .on_data = no_data, .on_client_end = on_client_end, .on_over = on_over};
    struct world *w = user;
    struct http_field fields[2];
    struct http_head head = {.fields = fields, .cap = 2, .status = (uint16_t)w->status};
    struct http_head *asked = http_stream_head(s);
    (void)hc;
    snprintf(w->asked, sizeof(w->asked), STR_FMT " " STR_FMT "", STR_ARG(asked->method),
             STR_ARG(asked->target));
    for (uint16_t i = 0; i < asked->n; i++)
        snprintf(w->asked + strlen(w->asked), sizeof(w->asked) - strlen(w->asked),
                 "|%.*s: " STR_FMT, (int)asked->fields[i].name_n, asked->fields[i].name,
                 STR_ARG(http_field_value(&asked->fields[i])));
    w->n_asked++;
    http_stream_set_ops(s, &ops, w);
    if (w->status)
        http_stream_send_head(s, &head, true);
}

static void on_conn_over(struct http_conn *hc, int code, const char *text, void *user)
{
    (void)hc, (void)code, (void)text, (void)user;
}

static void on_accept(int fd, void *user)
{
    static const struct http_conn_ops ops = {.on_request = on_request, .on_close = on_conn_over};
    struct world *w = user;
    if (w->tcp) {
        if (w->says)
            assert_int_equal(write(fd, w->says, strlen(w->says)), strlen(w->says));
        w->fds[w->n_accepted++ % ARRAY_LEN(w->fds)] = fd;
        return;
    }
    w->n_accepted++;
    http1_conn_new_server(conn_new_accepted(w->loop, fd, NULL, &conn_no_ops, NULL), NULL, &ops, w);
}

static void turn(struct world *w)
{
    for (int i = 0; i < 20; i++)
        loop_turn(w->loop, 1);
}

static void world_init(struct world *w, const char *check, const char *more)
{
    static const struct listener_options o = {.reuse_port = false};
    char text[2048];
    struct ip ip;
    struct err err = {0};
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    assert_ok(loop_new(&w->loop, NULL));
    assert_ok(listener_new(w->loop, &ip, 0, &o, on_accept, w, &w->listener, NULL));
    snprintf(text, sizeof(text),
             "{'name':'c','health_checks':[{'timeout':'0.05s','interval':'0.001s',"
             "'no_traffic_interval':'0.001s','unhealthy_threshold':2,'healthy_threshold':1,%s}],%s"
             "'load_assignment':{'cluster_name':'c','endpoints':[{'lb_endpoints':[{'endpoint':{"
             "'address':{'socket_address':{'address':'127.0.0.1','port_value':%u}}}}]}]}}",
             check, more, listener_port(w->listener));
    if (cluster_from(text, &w->cluster, &err) < 0)
        fail_msg("%s", err_text(&err));
    cluster_start(w->cluster, w->loop);
}

static void world_done(struct world *w)
{
    cluster_stop(w->cluster);
    assert_int_equal(atomic_load(&w->cluster->refs), 1);
    cluster_unref(w->cluster);
    listener_free(w->listener);
    for (int i = 0; i < 20; i++)
        loop_turn(w->loop, 1);
    for (unsigned i = 0; i < ARRAY_LEN(w->fds); i++)
        if (w->fds[i] > 0)
            close(w->fds[i]);
    loop_free(w->loop);
}

/* Until the plan says so. */
static void expect(struct world *w, unsigned healthy, unsigned excluded)
{
    uint64_t begin = time_mono_us();
    const struct lb_priority *p;
    do {
        loop_turn(w->loop, 10);
        p = &w->cluster->plan->priorities[0];
    } while ((p->healthy != healthy || p->excluded != excluded) &&
             time_mono_us() - begin < 10000000);
    assert_int_equal(p->healthy, healthy);
    assert_int_equal(p->excluded, excluded);
}

static void test_http(void **state)
{
    struct world w = {.status = 200};
    (void)state;
    world_init(&w,
               "'http_health_check':{'path':'/hc','request_headers_to_add':[{'header':{'key':"
               "'x-a','value':'1'}}]}",
               "");
    assert_int_equal(w.cluster->plan->priorities[0].healthy, 0); /* before the first answer */
    assert_true(w.cluster->plan->priorities[0].panic);
    expect(&w, 1, 0);
    assert_string_equal(w.asked, "GET /hc|user-agent: Envoy/HC|host: c|x-a: 1");
    turn(&w);
    assert_true(w.n_asked > 1);
    assert_int_equal(w.n_accepted, 1); /* on one connection */
    w.status = 404;
    expect(&w, 0, 0);
    w.status = 200;
    expect(&w, 1, 0);
    w.status = 0; /* no answer */
    expect(&w, 0, 0);
    w.status = 200;
    expect(&w, 1, 0);
    world_done(&w);
}

static void test_new_ones_are_not_counted(void **state)
{
    struct world w = {.status = 200};
    (void)state;
    world_init(&w, "'reuse_connection':false,'http_health_check':{'path':'/','host':'h'}",
               "'common_lb_config':{'ignore_new_hosts_until_first_hc':true},");
    assert_int_equal(w.cluster->plan->priorities[0].excluded, 1);
    expect(&w, 1, 0);
    turn(&w);
    assert_true(strstr(w.asked, "host: h"));
    assert_true(w.n_accepted > 1);
    world_done(&w);
}

static void test_tcp(void **state)
{
    struct world w = {.tcp = true};
    (void)state;
    world_init(&w, "'tcp_health_check':{}", "");
    expect(&w, 1, 0);
    listener_free(TAKE(w.listener));
    expect(&w, 0, 0);
    world_done(&w);
}

static void test_tcp_with_an_answer(void **state)
{
    struct world w = {.tcp = true, .says = "+PONG"};
    (void)state;
    world_init(
        &w, "'tcp_health_check':{'send':{'text':'50494e47'},'receive':[{'text':'504f4e47'}]}", "");
    expect(&w, 1, 0);
    w.says = "+NO";
    expect(&w, 0, 0);
    world_done(&w);
}

static void test_endpoints_that_come_and_go(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    struct world w = {.status = 200};
    struct pb_path path = {.n = 0};
    struct err err = {0};
    char text[1024];
    (void)state;
    world_init(&w, "'http_health_check':{'path':'/'}", "");
    expect(&w, 1, 0);
    struct endpoint *first = endpoint_ref(w.cluster->plan->set->entries.v[0].endpoint);
    snprintf(text, sizeof(text),
             "{'cluster_name':'c','endpoints':[{'lb_endpoints':["
             "{'endpoint':{'address':{'socket_address':{'address':'127.0.0.1','port_value':%u}}}},"
             "{'endpoint':{'address':{'socket_address':{'address':'127.0.0.2','port_value':1}},"
             "'health_check_config':{'port_value':%u,'hostname':'other'}}},"
             "{'endpoint':{'address':{'socket_address':{'address':'127.0.0.3','port_value':1}},"
             "'health_check_config':{'disable_active_health_check':true}}}]}]}",
             listener_port(w.listener), listener_port(w.listener));
    assert_ok(cluster_set_endpoints(
        w.cluster,
        (const void *)message_from(
            a, &envoy__config__endpoint__v3__cluster_load_assignment__descriptor, text),
        &path, &err));
    assert_int_equal(w.cluster->plan->priorities[0].healthy, 2); /* the first stays so */
    assert_ok(cluster_set_endpoints(
        w.cluster,
        (const void *)message_from(
            a, &envoy__config__endpoint__v3__cluster_load_assignment__descriptor,
            "{'cluster_name':'c'}"),
        &path, &err));
    turn(&w);
    unsigned asked = w.n_asked;
    turn(&w);
    assert_int_equal(w.n_asked, asked); /* nobody asks any more */
    assert_int_equal(atomic_load(&first->refs), 1);
    endpoint_unref(first);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_what_must_come),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_http),
        cmocka_unit_test(test_new_ones_are_not_counted),
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_tcp_with_an_answer),
        cmocka_unit_test(test_endpoints_that_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
