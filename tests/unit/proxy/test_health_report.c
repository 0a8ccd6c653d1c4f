/* A machine's app, asked over loopback by a manual clock: what is told, and when. */
#include "proxy/health_report.h"

#include <errno.h>

#include "base/time.h"
#include "net/http_server.h"
#include "test.h"

enum { TURNS = 40, PERIOD_MS = 5000 };

struct world {
    struct loop *loop;
    struct http_server *server;
    struct health_report *report;
    uint64_t now_ms;
    int status;
    unsigned asked;
    struct buf told;
};

static void on_request(struct http_exchange *x, void *user)
{
    struct world *w = user;
    w->asked++;
    assert_str(http_exchange_path(x), HEALTH_REPORT_PATH);
    http_exchange_reply(x, w->status, NULL, 0, w->status == 200 ? STR("") : STR("refused\n"));
}

static void on_change(bool healthy, const char *message, void *user)
{
    struct world *w = user;
    buf_addf(&w->told, "%s ", healthy ? "well" : message);
}

/* Questions of which each is answered so. */
static void answer(struct world *w, int status, int n)
{
    w->status = status;
    for (int i = 0; i < n; i++) {
        unsigned before = w->asked;
        w->now_ms += PERIOD_MS;
        time_set_manual(w->now_ms * 1000);
        for (int k = 0; k < TURNS; k++)
            loop_turn(w->loop, 1);
        assert_int_equal(w->asked, before + 1);
    }
}

static void expect(struct world *w, const char *told)
{
    assert_string_equal(buf_cstr(&w->told), told);
    buf_clear(&w->told);
}

static void test_what_changes_is_told(void **state)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    static const struct http_server_config sc = {.idle_timeout_ms = 86400000};
    const struct health_settings s = {
        .delay_ms = PERIOD_MS, .period_ms = PERIOD_MS, .timeout_ms = 1000, .up = 2, .down = 3};
    struct world w = {.now_ms = 1000000};
    struct ip ip;
    (void)state;
    time_set_manual(w.now_ms * 1000);
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    assert_ok(loop_new(&w.loop, NULL));
    assert_ok(http_server_new(w.loop, &ip, 0, &sc, &ops, &w, &w.server, NULL));
    w.report = health_report_new(w.loop, &s, http_server_port(w.server), on_change, &w);
    answer(&w, 200, 1);
    expect(&w, "");
    answer(&w, 200, 1);
    expect(&w, "well ");
    answer(&w, 200, 3);
    answer(&w, 503, 2);
    answer(&w, 200, 1); /* in turn, not in all */
    answer(&w, 503, 2);
    expect(&w, "");
    answer(&w, 503, 1);
    expect(&w, "refused ");
    answer(&w, 503, 4);
    answer(&w, 200, 1);
    expect(&w, "");
    answer(&w, 200, 1);
    expect(&w, "well ");
    health_report_free(w.report);
    http_server_free(w.server);
    loop_turn(w.loop, 0);
    loop_free(w.loop);
    buf_done(&w.told);
    time_set_manual(0);
}

static void test_one_that_has_never_been_well(void **state)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    static const struct http_server_config sc = {.idle_timeout_ms = 86400000};
    const struct health_settings s = {
        .delay_ms = PERIOD_MS, .period_ms = PERIOD_MS, .timeout_ms = 1000, .up = 1, .down = 2};
    struct world w = {.now_ms = 1000000};
    struct ip ip;
    (void)state;
    time_set_manual(w.now_ms * 1000);
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    assert_ok(loop_new(&w.loop, NULL));
    assert_ok(http_server_new(w.loop, &ip, 0, &sc, &ops, &w, &w.server, NULL));
    w.report = health_report_new(w.loop, &s, http_server_port(w.server), on_change, &w);
    answer(&w, 500, 1);
    expect(&w, "");
    answer(&w, 500, 1);
    expect(&w, "refused ");
    answer(&w, 200, 1);
    expect(&w, "well ");
    health_report_free(w.report);
    http_server_free(w.server);
    loop_turn(w.loop, 0);
    loop_free(w.loop);
    buf_done(&w.told);
    time_set_manual(0);
}

static void test_settings(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"{", NULL},
        {"{\"readinessProbe\":{\"exec\":{\"command\":[\"x\"]}}}",
         "readinessProbe.exec: is not offered: give httpGet, tcpSocket or grpc"},
        {"{\"readinessProbe\":{\"httpGet\":{\"port\":80},\"periodSeconds\":-1}}",
         "periodSeconds: is not between 1 and 3600"},
        {"{\"readinessProbe\":{\"httpGet\":{\"port\":80},\"failureThreshold\":4000}}",
         "failureThreshold: is not between 1 and 3600"},
    };
    struct health_settings s = {0};
    struct err err = {0};
    char *probers = NULL;
    (void)state;
    assert_ok(health_settings_parse(STR("{}"), &s, &probers, &err));
    assert_null(probers);
    assert_int_equal(s.period_ms, 0);
    assert_ok(health_settings_parse(STR("{\"readinessProbe\":{\"httpGet\":{\"port\":80}}}"), &s,
                                    &probers, &err));
    assert_string_equal(probers, "{\"" HEALTH_REPORT_PATH "\":{\"httpGet\":{\"port\":80}}}");
    free(probers);
    assert_int_equal(s.period_ms, 10000);
    assert_int_equal(s.timeout_ms, 1000);
    assert_int_equal(s.up, 1);
    assert_int_equal(s.down, 3);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        err = (struct err){0};
        assert_int_equal(health_settings_parse(str_from(bad[i].text), &s, &probers, &err), -EINVAL);
        assert_null(probers);
        if (bad[i].why)
            assert_string_equal(err_text(&err), bad[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_changes_is_told),
        cmocka_unit_test(test_one_that_has_never_been_well),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
