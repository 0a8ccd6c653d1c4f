/* Traces of spans that come from everywhere: joined, cleaned, bounded. */
#include "test.h"

#include <stdio.h>

#include "control/trace_store.h"

static void __attribute__((format(printf, 3, 4)))
add(struct trace_store *s, const char *service, const char *fmt, ...)
{
    AUTO_DONE(buf) struct buf text = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&text, fmt, ap);
    va_end(ap);
    trace_store_add(s, buf_str(&text), service);
}

#define TRACE "463ac35c9f6413ad48485a3953bb6124"

static void test_spans_are_joined_and_say_whose_they_are(void **state)
{
    struct trace_store *s = trace_store_new();
    (void)state;
    add(s, "cart.shop",
        "[{\"traceId\":\"" TRACE "\",\"id\":\"00000000000000b2\",\"parentId\":\"00000000000000a1\","
        "\"name\":\"ingress\",\"kind\":\"SERVER\",\"timestamp\":2000,\"duration\":10,"
        "\"localEndpoint\":{\"serviceName\":\"somebody-else\"},\"tags\":{\"error\":\"true\"},"
        "\"more\":[1,2,3]}]");
    add(s, "web.shop",
        "[{\"traceId\":\"463AC35C9F6413AD48485A3953BB6124\",\"id\":\"00000000000000a1\","
        "\"name\":\"egress\",\"kind\":\"CLIENT\",\"timestamp\":1990,\"duration\":40,\"tags\":{"
        "\"http.method\":\"GET\",\"http.url\":\"http://cart/?access_token=x\"}}]"); /* which is not
                                                                                       kept */
    AUTO_JSON json_t *spans = trace_store_find(s, STR(TRACE));
    assert_int_equal(json_array_size(spans), 2);
    assert_string_equal(json_at_str(json_array_get(spans, 0), "localEndpoint.serviceName"),
                        "web.shop");
    assert_string_equal(json_at_str(json_array_get(spans, 1), "localEndpoint.serviceName"),
                        "cart.shop");
    assert_null(json_object_get(json_array_get(spans, 1), "more"));
    AUTO_JSON json_t *list = trace_store_list(s, 10);
    const json_t *one = json_array_get(list, 0);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_at_str(one, "service"), "web.shop");
    assert_string_equal(json_at_str(one, "name"), "GET http://cart/");
    AUTO_DONE(buf) struct buf all = {0};
    json_write(&all, spans);
    assert_null(strstr(buf_cstr(&all), "access_token"));
    assert_int_equal(json_at_int(one, "duration", 0), 40);
    assert_true(json_at_bool(one, "error", false));
    trace_store_free(s);
}

static void test_what_is_no_span_is_dropped(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[1]",
        "[{}]",
        "[{\"traceId\":\"x\",\"id\":\"00000000000000a1\",\"timestamp\":1,\"duration\":1}]",
        "[{\"traceId\":\"" TRACE "\",\"id\":\"a1\",\"timestamp\":1,\"duration\":1}]",
        "[{\"traceId\":\"" TRACE "\",\"id\":\"00000000000000a1\",\"timestamp\":1,\"duration\":-1}]",
        "[{\"traceId\":\"" TRACE "\",\"id\":\"00000000000000a1\"}]",
    };
    struct trace_store *s = trace_store_new();
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        trace_store_add(s, str_from(bad[i]), "x");
    struct trace_store_stats st = trace_store_get_stats(s);
    assert_int_equal(st.traces, 0);
    assert_int_equal(st.spans, 0);
    assert_int_equal(st.dropped, ARRAY_LEN(bad));
    assert_null(trace_store_find(s, STR(TRACE)));
    assert_null(trace_store_find(s, STR("nonsense")));
    trace_store_free(s);
}

static void test_the_oldest_goes(void **state)
{
    struct trace_store *s = trace_store_new();
    (void)state;
    for (int i = 0; i < TRACES_MAX + 10; i++)
        add(s, "x",
            "[{\"traceId\":\"%016x\",\"id\":\"00000000000000a1\",\"timestamp\":5,\"duration\":1}]",
            i + 1);
    assert_int_equal(trace_store_get_stats(s).traces, TRACES_MAX);
    assert_null(trace_store_find(s, STR("000000000000000a")));
    AUTO_JSON json_t *kept = trace_store_find(s, STR("000000000000000b"));
    assert_int_equal(json_array_size(kept), 1);
    for (int i = 0; i < TRACE_SPANS_MAX + 5; i++)
        add(s, "x", "[{\"traceId\":\"" TRACE "\",\"id\":\"%016x\",\"timestamp\":5,\"duration\":1}]",
            i);
    AUTO_JSON json_t *many = trace_store_find(s, STR(TRACE));
    assert_int_equal(json_array_size(many), TRACE_SPANS_MAX);
    trace_store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans_are_joined_and_say_whose_they_are),
        cmocka_unit_test(test_what_is_no_span_is_dropped),
        cmocka_unit_test(test_the_oldest_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
