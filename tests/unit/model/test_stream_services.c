/* Ports to Services: what a line of the ConfigMap may be. */
#include "test.h"

#include "model/stream_services.h"

static void test_lines(void **state)
{
    static const struct {
        const char *port, *value, *want; /* NULL: refused */
    } rows[] = {
        {"9000", "ns/web:80", "ns/web 80 0"},
        {"9000", "ns/web:http", "ns/web http 0"},
        {"9000", "ns/web:80:PROXY", "ns/web 80 1"},
        {"9000", "ns/web:80:", "ns/web 80 0"},
        {"9000", "ns/web:80::PROXY", NULL},
        {"9000", "ns/web:80:PROXY:PROXY", NULL},
        {"9000", "ns/web:80:proxy", NULL},
        {"9000", "web:80", NULL},
        {"9000", "ns/web", NULL},
        {"9000", "ns/web:", NULL},
        {"9000", "/web:80", NULL},
        {"9000", "ns/we b:80", NULL},
        {"9000", "", NULL},
        {"0", "ns/web:80", NULL},
        {"65536", "ns/web:80", NULL},
        {"http", "ns/web:80", NULL},
        {"8080", "ns/web:80", NULL},
    };
    static const uint16_t taken[] = {8080};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *data = json_pack("{s:s}", rows[i].port, rows[i].value);
        struct stream_services s;
        struct findings f = {0};
        stream_services_read("ns/tcp", data, taken, 1, &s, &f);
        AUTO_CHARS char *got =
            s.n ? xasprintf("%s %s %d", s.v[0].service, s.v[0].port, s.v[0].proxied) : NULL;
        if (!streq(got, rows[i].want) || (s.n == 0) != (f.n == 1))
            fail_msg("%s: %s is %s", rows[i].port, rows[i].value, got ? got : "refused");
        stream_services_done(&s);
        findings_done(&f);
    }
}

static void test_twice(void **state)
{
    AUTO_JSON json_t *data = json_pack("{s:s,s:s}", "9000", "ns/a:80", "09000", "ns/b:80");
    struct stream_services s;
    struct findings f = {0};
    (void)state;
    stream_services_read("ns/tcp", data, NULL, 0, &s, &f);
    assert_int_equal(s.n, 1);
    assert_int_equal(f.n, 1);
    stream_services_refuse_udp("ns/udp", data, &f);
    assert_int_equal(f.n, 3);
    stream_services_done(&s);
    findings_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_twice),
    };
    return RUN_TESTS(tests);
}
