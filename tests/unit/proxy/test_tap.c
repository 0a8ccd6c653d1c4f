/* Orders to tell of requests: which they match, how many, how long; and what may wait. */
#include "test.h"

#include "base/time.h"
#include "codec/pb_msg.h"
#include "proxy/mesh_report.h"
#include "proxy/tap.h"

typedef Fairlead__Telemetry__V1__Order pb_order;
typedef Fairlead__Telemetry__V1__Request pb_request;
typedef Fairlead__Telemetry__V1__Report pb_report;

static pb_order order(uint64_t id)
{
    pb_order m;
    fairlead__telemetry__v1__order__init(&m);
    m.id = id;
    return m;
}

static ProtobufCBinaryData bytes(const char *text)
{
    return mesh_bytes(str_from(text));
}

static void see(const char *method, const char *path, unsigned status)
{
    struct http_field room[4];
    struct http_head h = {.fields = room, .cap = ARRAY_LEN(room)};
    Fairlead__Telemetry__V1__Pair pair;
    pb_request m;
    assert_int_equal(http_head_add_text(&h, STR("x-user"), STR("jason")), 0);
    assert_int_equal(http_head_add_text(&h, STR("authorization"), STR("Bearer x")), 0);
    assert_int_equal(http_head_add_text(&h, STR("x-auth-token"), STR("y")), 0);
    fairlead__telemetry__v1__pair__init(&pair);
    fairlead__telemetry__v1__request__init(&m);
    pair.peer = bytes("cart;shop;cart;v1;c;cart;v1");
    m.pair = &pair;
    m.method = bytes(method);
    m.path = bytes(path);
    m.status = status;
    tap_seen(&m, &h);
}

/* How many were told, and how many were not. */
static size_t taken(uint64_t *ret_dropped)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO(arena) struct arena *a = arena_new(0);
    ProtobufCMessage *m;
    tap_take(&b, ret_dropped);
    assert_int_equal(
        pb_unpack(&fairlead__telemetry__v1__report__descriptor, buf_str(&b), a, &m, NULL), 0);
    return ((pb_report *)m)->n_requests;
}

static void test_without_an_order_nothing_is_kept(void **state)
{
    uint64_t dropped;
    (void)state;
    assert_false(tap_is_open());
    see("GET", "/", 200);
    assert_int_equal(taken(&dropped), 0);
    assert_int_equal(dropped, 0);
}

static void test_what_it_matches(void **state)
{
    pb_order m = order(1);
    uint64_t dropped;
    (void)state;
    m.method = (char *)(uintptr_t) "GET";
    m.path_prefix = (char *)(uintptr_t) "/a";
    m.status_from = 500;
    m.status_to = 599;
    m.peer = bytes("cart");
    tap_order(&m);
    assert_true(tap_is_open());
    see("GET", "/abc", 503);
    see("POST", "/abc", 503);
    see("GET", "/b", 503);
    see("GET", "/abc", 200);
    see("GET", "/abc", 600);
    assert_int_equal(taken(&dropped), 1);
    m.peer = bytes("car");
    tap_order(&m); /* the same id: instead of the first */
    see("GET", "/abc", 503);
    assert_int_equal(taken(&dropped), 0);
    m.end = true;
    tap_order(&m);
    assert_false(tap_is_open());
}

static void test_fields_that_were_asked_for_but_no_credentials(void **state)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO(arena) struct arena *a = arena_new(0);
    char *fields[] = {(char *)(uintptr_t) "X-User", (char *)(uintptr_t) "Authorization",
                      (char *)(uintptr_t) "X-Auth-Token", (char *)(uintptr_t) "nothing"};
    pb_order m = order(2);
    ProtobufCMessage *got;
    uint64_t dropped;
    (void)state;
    m.fields = fields;
    m.n_fields = ARRAY_LEN(fields);
    tap_order(&m);
    see("GET", "/", 200);
    tap_take(&b, &dropped);
    assert_int_equal(
        pb_unpack(&fairlead__telemetry__v1__report__descriptor, buf_str(&b), a, &got, NULL), 0);
    const pb_request *r = ((pb_report *)got)->requests[0];
    assert_int_equal(r->order, 2);
    assert_int_equal(r->n_fields, 1);
    assert_memory_equal(r->fields[0]->name.data, "x-user", 6);
    assert_memory_equal(r->fields[0]->value.data, "jason", 5);
    tap_end_all();
}

static void test_rate_and_time(void **state)
{
    pb_order m = order(3);
    uint64_t dropped;
    (void)state;
    time_set_manual(10 * 1000000);
    m.requests_per_second = 3;
    m.seconds = 5;
    tap_order(&m);
    for (int i = 0; i < 10; i++)
        see("GET", "/", 200);
    assert_int_equal(taken(&dropped), 3);
    assert_int_equal(dropped, 7);
    time_set_manual(11 * 1000000);
    see("GET", "/", 200);
    assert_int_equal(taken(&dropped), 1);
    time_set_manual(15 * 1000000);
    see("GET", "/", 200);
    assert_int_equal(taken(&dropped), 0); /* and the order is over */
    assert_false(tap_is_open());
    time_set_manual(0);
}

static void test_what_waits_is_bounded(void **state)
{
    char path[TAP_TEXT_BYTES + 1];
    pb_order m;
    uint64_t dropped;
    (void)state;
    memset(path, '/', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    time_set_manual(10 * 1000000);
    for (uint64_t i = 0; i < TAP_ORDERS_MAX + 3; i++) {
        m = order(10 + i);
        m.requests_per_second = TAP_RATE_MAX;
        tap_order(&m);
    }
    for (int i = 0; i < 500; i++)
        see("GET", path, 200);
    size_t n = taken(&dropped);
    assert_in_range(n, TAP_WAITING_BYTES / 700, TAP_WAITING_BYTES / TAP_TEXT_BYTES);
    assert_int_equal(n + dropped, 500 * TAP_ORDERS_MAX);
    see("GET", path, 200); /* there is room again */
    assert_int_equal(taken(&dropped), TAP_ORDERS_MAX);
    tap_end_all();
    assert_false(tap_is_open());
    time_set_manual(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_an_order_nothing_is_kept),
        cmocka_unit_test(test_what_it_matches),
        cmocka_unit_test(test_fields_that_were_asked_for_but_no_credentials),
        cmocka_unit_test(test_rate_and_time),
        cmocka_unit_test(test_what_waits_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
