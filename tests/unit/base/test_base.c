/* base: strings, numbers, maps, buffers, arenas, times, addresses, flags. */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/args.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/map.h"
#include "base/rand.h"
#include "base/time.h"
#include "base/vec.h"

static void test_str(void **state)
{
    struct str rest;
    (void)state;
    assert_str(str_cut(STR("a/b/c"), '/', &rest), "a");
    assert_str(rest, "b/c");
    assert_str(str_cut(STR("abc"), '/', &rest), "abc");
    assert_null(rest.p);
    assert_str(str_trim(STR(" \tx y ")), "x y");
    assert_true(str_eq_nocase(STR("Content-Length"), STR("content-length")));
    assert_true(str_starts(STR("abc"), STR("ab")) && str_ends(STR("abc"), STR("bc")));
}

static void test_numbers(void **state)
{
    uint64_t u;
    int64_t i;
    (void)state;
    assert_ok(str_to_u64(STR("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_int_equal(str_to_u64(STR("18446744073709551616"), &u), -ERANGE);
    assert_int_equal(str_to_u64(STR("+1"), &u), -EINVAL);
    assert_int_equal(str_to_u64(STR(""), &u), -EINVAL);
    assert_ok(str_to_i64(STR("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_int_equal(str_to_i64(STR("9223372036854775808"), &i), -ERANGE);
}

static void test_names(void **state)
{
    (void)state;
    assert_true(str_is_dns1123_label(STR("a-1")));
    assert_false(str_is_dns1123_label(STR("-a")) || str_is_dns1123_label(STR("A")) ||
                 str_is_dns1123_label(STR("a.b")));
    assert_true(str_is_dns1123_subdomain(STR("a.b-c.d")));
    assert_false(str_is_dns1123_subdomain(STR("a..b")) || str_is_dns1123_subdomain(STR(".a")) ||
                 str_is_dns1123_subdomain(STR("a-.b")));
}

static void test_map(void **state)
{
    struct map m = {0};
    static int values[5000];
    char key[32];
    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        assert_null(map_put_cstr(&m, key, &values[i]));
    }
    for (int i = 0; i < 5000; i += 2) {
        snprintf(key, sizeof(key), "key-%d", i);
        assert_ptr_equal(map_remove_cstr(&m, key), &values[i]);
    }
    assert_int_equal(m.used, 2500);
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        assert_ptr_equal(map_find_cstr(&m, key), i % 2 ? &values[i] : NULL);
    }
    size_t seen = 0;
    struct str k;
    void *v;
    for (size_t at = 0; map_next(&m, &at, &k, &v);) {
        assert_ptr_equal(map_remove(&m, k), v); /* removing while walking is allowed */
        seen++;
    }
    assert_int_equal(seen, 2500);
    map_done(&m);
}

/* Keys that belong to the values: the newest value's counts. */
static void test_map_that_borrows(void **state)
{
    struct map m = {.borrows = true};
    char first[] = "key", second[] = "key";
    struct str key;
    (void)state;
    assert_null(map_put_cstr(&m, first, first));
    assert_ptr_equal(map_put_cstr(&m, second, second), first);
    memset(first, 'x', 3);
    assert_ptr_equal(map_find_cstr(&m, "key"), second);
    size_t at = 0;
    assert_true(map_next(&m, &at, &key, NULL));
    assert_ptr_equal(key.p, second);
    assert_ptr_equal(map_remove_cstr(&m, second), second);
    assert_int_equal(m.used, 0);
    map_put_cstr(&m, second, second);
    map_done(&m);
    assert_true(m.borrows);
}

static void test_buf_cap(void **state)
{
    AUTO_DONE(buf) struct buf b = {.cap = 10};
    (void)state;
    buf_add_cstr(&b, "12345");
    buf_addf(&b, "%d", 678);
    assert_false(b.failed);
    buf_add_cstr(&b, "too much");
    assert_true(b.failed);
    assert_str(buf_str(&b), "12345678");
    buf_add_char(&b, 'x'); /* failure is sticky */
    assert_int_equal(b.n, 8);
}

static void test_buf_survives_failed_allocation(void **state)
{
    (void)state;
    for (unsigned long n = 1; n < 6; n++) {
        AUTO_DONE(buf) struct buf b = {0};
        fault_arm(FAULT_ALLOC, n);
        for (int i = 0; i < 1000; i++)
            buf_add_cstr(&b, "0123456789");
        fault_arm(FAULT_ALLOC, 0);
        assert_true(b.failed);
        assert_true(b.n % 10 == 0 && b.n < 10000);
    }
}

static int deferred_order;
static void on_deferred(void *p)
{
    assert_int_equal(deferred_order++, *(int *)p);
}

static void test_arena(void **state)
{
    struct arena *a = arena_new(100000);
    int second = 0, first = 1;
    (void)state;
    for (int i = 0; i < 100; i++) {
        char *p = arena_alloc(a, 100);
        assert_non_null(p);
        assert_true((uintptr_t)p % 16 == 0);
        memset(p, 0xff, 100);
    }
    assert_str(arena_str(a, STR("copy")), "copy");
    assert_null(arena_alloc(a, 200000));
    assert_ok(arena_defer(a, on_deferred, &first));
    assert_ok(arena_defer(a, on_deferred, &second));
    deferred_order = 0;
    arena_free(a); /* the newest first */
    assert_int_equal(deferred_order, 2);
}

static void test_times(void **state)
{
    char text[28], age[24];
    int64_t us;
    uint64_t ms;
    (void)state;
    time_format_rfc3339(1700000000, text);
    assert_string_equal(text, "2023-11-14T22:13:20Z");
    time_format_rfc3339_micro(1700000000123456, text);
    assert_string_equal(text, "2023-11-14T22:13:20.123456Z");
    char date[30];
    time_format_http(1700000000, date);
    assert_string_equal(date, "Tue, 14 Nov 2023 22:13:20 GMT");
    assert_ok(time_parse_rfc3339(STR("2023-11-14T23:13:20.5+01:00"), &us));
    assert_true(us == 1700000000500000);
    assert_int_equal(time_parse_rfc3339(STR("2023-13-14T22:13:20Z"), &us), -EINVAL);
    assert_int_equal(time_parse_rfc3339(STR("yesterday"), &us), -EINVAL);
    assert_int_equal(time_parse_rfc3339(STR("2023-02-29T00:00:00Z"), &us), -EINVAL);
    assert_int_equal(time_parse_rfc3339(STR("2023-01-01\0"
                                            "00:00:00Z"),
                                        &us),
                     -EINVAL);
    assert_int_equal(time_parse_rfc3339(STR("0000-01-01T00:00:00+01:00"), &us), -EINVAL);
    assert_ok(time_parse_rfc3339(STR("0001-01-01T00:00:00.25Z"), &us)); /* Go's zero, nearly */
    time_format_rfc3339_micro(us, text);
    assert_string_equal(text, "0001-01-01T00:00:00.250000Z");
    static const struct {
        int64_t s;
        const char *text;
    } ages[] = {{0, "0s"},       {119, "119s"},  {125, "2m5s"},    {600, "10m"},   {10799, "179m"},
                {11100, "3h5m"}, {86400, "24h"}, {180000, "2d2h"}, {864000, "10d"}};
    for (size_t i = 0; i < ARRAY_LEN(ages); i++) {
        time_format_human(ages[i].s, age);
        assert_string_equal(age, ages[i].text);
    }
    assert_ok(time_parse_duration(STR("1m30.5s"), &ms));
    assert_true(ms == 90500);
    assert_int_equal(time_parse_duration(STR("5"), &ms), -EINVAL);
}

static void test_addresses(void **state)
{
    struct ip ip;
    struct prefix p;
    char text[PREFIX_TEXT_BYTES];
    (void)state;
    assert_ok(ip_parse(STR("10.96.0.1"), &ip));
    assert_int_equal(ip_parse(STR("010.0.0.1"), &ip), -EINVAL); /* CVE-2021-29923 */
    assert_int_equal(ip_parse(STR("1.2.3"), &ip), -EINVAL);
    assert_int_equal(ip_parse(STR("fe80::1%eth0"), &ip), -EINVAL);
    assert_ok(prefix_parse(STR("10.96.3.7/20"), &p));
    ip = prefix_network(&p);
    assert_string_equal(ip_format(&ip, text), "10.96.0.0");
    assert_ok(prefix_nth(&p, 257, &ip));
    assert_string_equal(ip_format(&ip, text), "10.96.1.1");
    assert_true(prefix_contains(&p, &ip));
    assert_int_equal(prefix_nth(&p, 4096, &ip), -ERANGE);
    assert_ok(prefix_parse(STR("fd00:10:96::/112"), &p));
    assert_ok(prefix_nth(&p, 65535, &ip));
    assert_string_equal(ip_format(&ip, text), "fd00:10:96::ffff");
    assert_int_equal(prefix_parse(STR("10.0.0.0/33"), &p), -EINVAL);
    assert_int_equal(prefix_parse(STR("10.0.0.0/08"), &p), -EINVAL);
}

/* argv is writable by tradition; the parser does not write. */
#define WORD(text) ((char *)(uintptr_t)(text))

static void test_flags(void **state)
{
    const char *name = "none";
    int64_t n = 1;
    bool yes = false;
    uint64_t ms = 0;
    struct arg_list files = {0}, rest = {0};
    struct arg table[] = {
        {"name", 'n', ARG_STRING, &name, NULL, "", 0, 0, false},
        {"count", 0, ARG_INT, &n, NULL, "", 1, 10, false},
        {"yes", 'y', ARG_BOOL, &yes, NULL, "", 0, 0, false},
        {"wait", 0, ARG_DURATION, &ms, NULL, "", 0, 0, false},
        {"file", 'f', ARG_STRINGS, &files, NULL, "", 0, 0, false},
        {.name = NULL},
    };
    struct err err = {0};
    char *good[] = {WORD("x"),   WORD("-n"),     WORD("a"),  WORD("--count=3"), WORD("word"),
                    WORD("-y"),  WORD("--wait"), WORD("2s"), WORD("-fone"),     WORD("--file"),
                    WORD("two"), WORD("--"),     WORD("-n")};
    char *typo[] = {WORD("x"), WORD("--coutn=3")};
    char *range[] = {WORD("x"), WORD("--count=11")};
    size_t dashes;
    (void)state;
    assert_ok(args_parse(table, ARRAY_LEN(good), good, false, &rest, &dashes, &err));
    assert_string_equal(name, "a");
    assert_int_equal(n, 3);
    assert_true(yes && ms == 2000 && files.n == 2 && rest.n == 2 && dashes == 1);
    assert_string_equal(rest.v[1], "-n");
    assert_int_equal(args_parse(table, 2, typo, false, &rest, NULL, &err), -EINVAL);
    assert_non_null(strstr(err_text(&err), "did you mean --count?"));
    assert_int_equal(args_parse(table, 2, range, false, &rest, NULL, &err), -EINVAL);
    vec_done(&files);
    vec_done(&rest);
}

static void test_random_names(void **state)
{
    char a[11], uuid[37];
    (void)state;
    rand_suffix(a, 10);
    assert_int_equal(strspn(a, "bcdfghjklmnpqrstvwxz2456789"), 10);
    rand_uuid(uuid);
    assert_int_equal(strlen(uuid), 36);
    assert_int_equal(uuid[14], '4');
    for (int i = 0; i < 1000; i++)
        assert_true(rand_below(7) < 7);
}

/* As the C library writes them. */
static void test_every_octet(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 256; n++) {
        struct ip ip = {AF_INET, {(uint8_t)n, (uint8_t)(255 - n), (uint8_t)(n * 7), 0}};
        char got[IP_TEXT_BYTES], want[INET_ADDRSTRLEN];
        assert_non_null(inet_ntop(AF_INET, ip.bytes, want, sizeof(want)));
        assert_string_equal(ip_format(&ip, got), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_octet),  cmocka_unit_test(test_str),
        cmocka_unit_test(test_numbers),      cmocka_unit_test(test_names),
        cmocka_unit_test(test_map),          cmocka_unit_test(test_map_that_borrows),
        cmocka_unit_test(test_buf_cap),      cmocka_unit_test(test_buf_survives_failed_allocation),
        cmocka_unit_test(test_arena),        cmocka_unit_test(test_times),
        cmocka_unit_test(test_addresses),    cmocka_unit_test(test_flags),
        cmocka_unit_test(test_random_names),
    };
    return RUN_TESTS(tests);
}
