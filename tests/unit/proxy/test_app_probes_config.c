/* The table of probes that a sidecar does for its app. */
#include "json_text.h"

#include <errno.h>

#include "proxy/app_probes.h"

static int parse(const char *text, struct app_probe_table *ret, struct err *err)
{
    AUTO_JSON json_t *j = json_of(text);
    AUTO_DONE(buf) struct buf b = {0};
    json_write(&b, j);
    return app_probe_table_parse(buf_str(&b), ret, err);
}

static void test_good(void **state)
{
    struct app_probe_table t = {0};
    (void)state;
    assert_ok(parse("{'/a':{'httpGet':{'path':'x?q=1','port':80,'scheme':'HTTPS','httpHeaders':[{"
                    "'name':'Host','value':'h'},{'name':'A','value':'b'},{'name':'Connection',"
                    "'value':'close'}]},'timeoutSeconds':3},'/b':{'tcpSocket':{'port':65535}},"
                    "'/c':{'grpc':{'port':1,'service':'s'},'timeoutSeconds':0}}",
                    &t, NULL));
    assert_int_equal(t.n, 3);
    assert_int_equal(t.v[0].kind, APP_PROBE_HTTP);
    assert_string_equal(t.v[0].target, "/x?q=1");
    assert_string_equal(t.v[0].host, "h");
    assert_true(t.v[0].https);
    assert_int_equal(t.v[0].n_headers, 2);
    assert_int_equal(t.v[0].timeout_ms, 3000);
    assert_int_equal(t.v[1].kind, APP_PROBE_TCP);
    assert_int_equal(t.v[1].port, 65535);
    assert_int_equal(t.v[2].kind, APP_PROBE_GRPC);
    assert_string_equal(t.v[2].service, "s");
    assert_int_equal(t.v[2].timeout_ms, 1000);
    app_probe_table_done(&t);
}

static void test_where_metrics_are(void **state)
{
    static const struct {
        const char *json;
        uint16_t port; /* 0: none */
        const char *path;
    } good[] = {
        {"{\"scrape\":\"true\",\"port\":\"8080\",\"path\":\"/m?x=1\"}", 8080, "/m?x=1"},
        {"{\"scrape\":\"true\"}", 80, "/metrics"},
        {"{\"scrape\":\"false\",\"port\":\"8080\"}", 0, NULL},
        {"{}", 0, NULL},
    };
    static const char *const bad[] = {
        "",
        "{\"scrape\":\"true\",\"port\":\"0\"}",
        "{\"scrape\":\"true\",\"port\":\"65536\"}",
        "{\"scrape\":\"true\",\"port\":\"http\"}",
        "{\"scrape\":\"true\",\"path\":\"metrics\"}",
        "{\"scrape\":\"true\",\"path\":\"/m HTTP/1.1\\r\\nx: y\"}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct app_metrics_target t = {0};
        assert_ok(app_metrics_parse(str_from(good[i].json), &t, NULL));
        assert_int_equal(t.port, good[i].port);
        assert_true(streq(t.path, good[i].path));
        app_metrics_target_done(&t);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct app_metrics_target t = {0};
        struct err err = {0};
        assert_true(app_metrics_parse(str_from(bad[i]), &t, &err) < 0);
        assert_true(*err_text(&err) && !t.port && !t.path);
    }
}

static void test_bad(void **state)
{
    static const char *const bad[] = {
        "[]",
        "{'/a':{}}",
        "{'/a':{'exec':{}}}",
        "{'/a':{'httpGet':{'port':'web'}}}",
        "{'/a':{'httpGet':{'port':0}}}",
        "{'/a':{'tcpSocket':{'port':65536}}}",
        "{'/a':{'httpGet':{'port':80,'path':'/a b'}}}",
        "{'/a':{'httpGet':{'port':80,'path':'/a\\r\\nb'}}}",
        "{'/a':{'httpGet':{'port':80,'httpHeaders':[{'name':'a:b','value':'c'}]}}}",
        "{'/a':{'httpGet':{'port':80,'httpHeaders':[{'name':'a','value':'c\\r\\nd: e'}]}}}",
        "{'/a':{'httpGet':{'port':80,'httpHeaders':[{'value':'c'}]}}}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct app_probe_table t = {0};
        struct err err = {0};
        if (parse(bad[i], &t, &err) != -EINVAL || !*err.msg)
            fail_msg("%s", bad[i]);
        assert_int_equal(t.n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good),
                                       cmocka_unit_test(test_where_metrics_are),
                                       cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
