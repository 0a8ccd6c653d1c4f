/* Duration and Timestamp as texts, both ways. */
#include "test.h"

#include <errno.h>

#include "codec/pb_time.h"

static void assert_duration(const char *text, int64_t seconds, int32_t nanos, const char *back)
{
    int64_t s = -99;
    int32_t n = -99;
    char out[48];
    assert_ok(pb_duration_parse(str_from(text), &s, &n));
    assert_int_equal(s, seconds);
    assert_int_equal(n, nanos);
    assert_ok(pb_duration_format(s, n, out, sizeof(out)));
    assert_string_equal(out, back);
}

static void test_durations(void **state)
{
    (void)state;
    assert_duration("0s", 0, 0, "0s");
    assert_duration("0.25s", 0, 250000000, "0.250s");
    assert_duration("-1.5s", -1, -500000000, "-1.500s");
    assert_duration("-0.000001s", 0, -1000, "-0.000001s");
    assert_duration("3.000000001s", 3, 1, "3.000000001s");
    assert_duration("315576000000s", 315576000000, 0, "315576000000s");
    assert_duration("007s", 7, 0, "7s");
}

static void test_durations_refused(void **state)
{
    static const char *const bad[] = {"",    "s",    "1",    "1m",   "1 s", " 1s",   "1.s", ".5s",
                                      "+1s", "--1s", "1e3s", "0x1s", "1ss", "1.-5s", "1s "};
    int64_t s;
    int32_t n;
    char out[48];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (pb_duration_parse(str_from(bad[i]), &s, &n) != -EINVAL)
            fail_msg("%s", bad[i]);
    assert_int_equal(pb_duration_parse(STR("315576000001s"), &s, &n), -ERANGE);
    assert_int_equal(pb_duration_parse(STR("315576000000.1s"), &s, &n), -ERANGE);
    assert_int_equal(pb_duration_parse(STR("9999999999999s"), &s, &n), -ERANGE);
    assert_int_equal(pb_duration_parse(STR("1.0000000001s"), &s, &n), -ERANGE);
    assert_int_equal(pb_duration_format(1, -1, out, sizeof(out)), -ERANGE);
    assert_int_equal(pb_duration_format(0, 1000000000, out, sizeof(out)), -ERANGE);
    assert_int_equal(pb_duration_format(INT64_MIN, 0, out, sizeof(out)), -ERANGE);
}

static void assert_timestamp(const char *text, int64_t seconds, int32_t nanos, const char *back)
{
    int64_t s = -99;
    int32_t n = -99;
    char out[48];
    assert_ok(pb_timestamp_parse(str_from(text), &s, &n));
    assert_int_equal(s, seconds);
    assert_int_equal(n, nanos);
    assert_ok(pb_timestamp_format(s, n, out, sizeof(out)));
    assert_string_equal(out, back);
}

static void test_timestamps(void **state)
{
    int64_t s;
    int32_t n;
    char out[48];
    (void)state;
    assert_timestamp("1970-01-01T00:00:00Z", 0, 0, "1970-01-01T00:00:00Z");
    assert_timestamp("2026-11-28T07:18:53.5+01:00", 1795846733, 500000000,
                     "2026-11-28T06:18:53.500Z");
    assert_timestamp("0001-01-01T00:00:00Z", -62135596800, 0, "0001-01-01T00:00:00Z");
    assert_timestamp("9999-12-31T23:59:59.999999999Z", 253402300799, 999999999,
                     "9999-12-31T23:59:59.999999999Z");
    assert_int_equal(pb_timestamp_parse(STR("2026-02-30T00:00:00Z"), &s, &n), -ERANGE);
    assert_int_equal(pb_timestamp_parse(STR("2026-02-03T24:00:00Z"), &s, &n), -ERANGE);
    assert_int_equal(pb_timestamp_parse(STR("0001-01-01T00:00:00+01:00"), &s, &n), -ERANGE);
    assert_int_equal(pb_timestamp_parse(STR("2026-02-03 00:00:00Z"), &s, &n), -EINVAL);
    assert_int_equal(pb_timestamp_parse(STR("2026-02-03T00:00:00"), &s, &n), -EINVAL);
    assert_int_equal(pb_timestamp_parse(STR("2026-02-03T00:00:00Zx"), &s, &n), -EINVAL);
    assert_int_equal(pb_timestamp_parse(STR(""), &s, &n), -EINVAL);
    assert_int_equal(pb_timestamp_format(253402300800, 0, out, sizeof(out)), -ERANGE);
    assert_int_equal(pb_timestamp_format(0, -1, out, sizeof(out)), -ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_durations_refused),
        cmocka_unit_test(test_timestamps),
    };
    return RUN_TESTS(tests);
}
