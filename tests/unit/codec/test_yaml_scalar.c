/* Scalars, keys and merges of YAML, as Kubernetes' own reader takes them. */
#include <errno.h>

#include "codec/yaml.h"
#include "test.h"

/* What kubectl 1.37 makes of each, by `kubectl create --dry-run=client -o json`. */
static const struct {
    const char *text, *json;
} scalars[] = {
    {"yes", "true"},
    {"Yes", "true"},
    {"YES", "true"},
    {"no", "false"},
    {"on", "true"},
    {"off", "false"},
    {"On", "true"},
    {"OFF", "false"},
    {"y", "true"},
    {"n", "false"},
    {"Y", "true"},
    {"N", "false"},
    {"true", "true"},
    {"True", "true"},
    {"TRUE", "true"},
    {"~", "null"},
    {"null", "null"},
    {"Null", "null"},
    {"0x1F", "31"},
    {"0X1f", "31"},
    {"-0x1F", "-31"},
    {"+0x1F", "31"},
    {"0o400", "256"},
    {"0O400", "256"},
    {"-0o17", "-15"},
    {"0400", "256"},
    {"0644", "420"},
    {"08", "8"},
    {"0789", "789"},
    {"-0400", "-256"},
    {"0b101", "5"},
    {"0B11", "3"},
    {"1_000", "1000"},
    {"0x1_F", "31"},
    {"1_000.5", "1000.5"},
    {"1.5", "1.5"},
    {"1.", "1"},
    {".5", "0.5"},
    {"-.5", "-0.5"},
    {"+.5", "0.5"},
    {"+1", "1"},
    {"1e3", "1000"},
    {"1E3", "1000"},
    {"1e+3", "1000"},
    {"1.0", "1"},
    {"1.50", "1.5"},
    {"12345678901234567890", "12345678901234567000.0"},
    {"18446744073709551615", "18446744073709552000.0"},
    {"9223372036854775808", "9223372036854776000.0"},
    {"99999999999999999999", "100000000000000000000.0"},
    {"123456789012345678901234567890", "1.2345678901234568e+29"},
    {"1:30", "\"1:30\""},
    {"190:20:30", "\"190:20:30\""},
    {"2001-01-01", "\"2001-01-01\""},
    {"2001-01-01T00:00:00Z", "\"2001-01-01T00:00:00Z\""},
    {"=", "\"=\""},
    {"<<", "\"<<\""},
    {"0x", "\"0x\""},
    {"0o", "\"0o\""},
    {"0b", "\"0b\""},
    {"0o8", "\"0o8\""},
    {"0xZ", "\"0xZ\""},
    {"1__0", "10"},
    {"_1", "\"_1\""},
    {"1_", "1"},
    {"0_7", "7"},
    {"+", "\"+\""},
    {"-0", "0"},
    {"00", "0"},
    {"0.0", "0"},
    {"-0.0", "0"},
    {"1e400", "\"1e400\""},
    {"1e-400", "0"},
    {"0o777777777777777777777", "9223372036854775807"},
    {"0x10000000000000000", "\"0x10000000000000000\""},
    {"NULL", "null"},
    {"nULL", "\"nULL\""},
    {"TrUe", "\"TrUe\""},
    {"'yes'", "\"yes\""},
    {"!!str 5", "\"5\""},
    {"!!int \"5\"", "5"},
    {"!!bool yes", "true"},
    {"!!float 1", "1"},
    {"!!binary aGk=", "\"hi\""},
    {"1.0e2", "100"},
    {"0.1e1", "1"},
    {"007", "7"},
    {"0x0F", "15"},
    {"1,000", "\"1,000\""},
    {"0.5_5", "0.55"},
};

static void test_scalars_are_read_as_kubectl_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(scalars); i++) {
        AUTO_CHARS char *text = xasprintf("v: %s\n", scalars[i].text);
        AUTO_CHARS char *expected = xasprintf("{\"v\":%s}", scalars[i].json);
        AUTO_JSON json_t *j = NULL;
        AUTO_JSON json_t *e = NULL;
        assert_ok(json_parse(str_from(expected), 0, NULL, &e, NULL));
        assert_ok(yaml_parse(str_from(text), &j, NULL));
        const json_t *is = json_at(j, "v"), *should = json_at(e, "v");
        bool same = json_is_number(is) && json_is_number(should)
                        ? json_number_value(is) == json_number_value(should)
                        : json_equal(json_object_get(j, "v"), json_object_get(e, "v"));
        if (!same)
            fail_msg("%s is not %s", scalars[i].text, scalars[i].json);
        if (json_is_number(should) && json_number_value(should) < 9e18)
            assert_int_equal(json_is_integer(is), json_is_integer(should));
    }
    static const char *const refused[] = {
        "v: .inf",         "v: -.Inf", "v: .nan",    "v: !!null x",  "v: !!int a",
        "v: !!binary '*'", "~: v",     "v: {<<: 5}", "v: {<<: [1]}", "v: {<<: {a: 1}, b: 1, b: 2}"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        json_t *j = NULL;
        if (yaml_parse(str_from(refused[i]), &j, NULL) != -EINVAL)
            fail_msg("%s is taken", refused[i]);
    }
}

static void test_keys_and_merges(void **state)
{
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"v: {<<: {a: 1}, b: 2}", "{\"a\":1,\"b\":2}"},
        {"x: &b {a: 1, c: 3}\nv:\n  <<: *b\n  c: 4", "{\"a\":1,\"c\":4}"},
        {"x: &b {a: 1}\ny: &c {a: 2, d: 5}\nv:\n  <<: [*b, *c]\n  x: 1",
         "{\"a\":1,\"d\":5,\"x\":1}"},
        {"v:\n  a: 9\n  <<: {a: 1}", "{\"a\":1}"},
        {"v: {\"<<\": {a: 1}}", "{\"<<\":{\"a\":1}}"},
        {"x: &b {a: 1}\nv:\n  <<: *b\n  <<: {c: 2}", "{\"a\":1,\"c\":2}"},
        {"v: {on: x, 5: q, 0x10: z, 1e3: w, 1.5: u}",
         "{\"true\":\"x\",\"5\":\"q\",\"16\":\"z\",\"1000\":\"w\",\"1.5\":\"u\"}"},
        {"v: !!set {a, b}", "{\"a\":null,\"b\":null}"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = NULL;
        AUTO_JSON json_t *e = NULL;
        struct err err = {0};
        assert_ok(json_parse(str_from(rows[i].json), 0, NULL, &e, NULL));
        if (yaml_parse(str_from(rows[i].yaml), &j, &err) < 0 ||
            !json_equal(json_object_get(j, "v"), e))
            fail_msg("%s is not %s: %s %s", rows[i].yaml, rows[i].json, err_text(&err),
                     json_dumps(j, 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_are_read_as_kubectl_does),
        cmocka_unit_test(test_keys_and_merges),
    };
    return RUN_TESTS(tests);
}
