/* Helm's record: what goes in comes out; what is none is refused. */
#include <errno.h>

#include "chart/chart.h"
#include "chart/release.h"
#include "codec/base64.h"
#include "test.h"

static json_t *secret_of(struct str text)
{
    AUTO_DONE(buf) struct buf zipped = {0};
    AUTO_DONE(buf) struct buf inner = {0};
    AUTO_DONE(buf) struct buf outer = {0};
    assert_ok(release_zip(text, &zipped));
    base64_encode(buf_str(&zipped), &inner);
    base64_encode(buf_str(&inner), &outer);
    return json_pack("{s:{s:s},s:{s:s}}", "metadata", "name", "n", "data", "release",
                     buf_cstr(&outer));
}

static void test_there_and_back(void **state)
{
    (void)state;
    AUTO_JSON json_t *record = release_record(7, "2026-01-01T00:00:00Z", json_pack("{s:i}", "a", 1),
                                              STR("---\nx: y\n"), STR("notes"));
    AUTO_DONE(release) struct release r = {0};
    release_set_status(record, "deployed", "Install complete");
    AUTO_JSON json_t *secret = release_secret(record, NULL);
    assert_string_equal(json_key_str(secret, "type"), "helm.sh/release.v1");
    assert_string_equal(json_at_str(secret, "metadata.name"), "sh.helm.release.v1.fairlead.v7");
    assert_string_equal(json_at_str(secret, "metadata.labels.version"), "7");
    assert_string_equal(json_at_str(secret, "metadata.labels.status"), "deployed");
    assert_ok(release_read(secret, &r, NULL));
    assert_int_equal(r.version, 7);
    assert_string_equal(r.status, "deployed");
    assert_string_equal(r.manifest, "---\nx: y\n");
    assert_int_equal(json_at_int(r.config, "a", 0), 1);
    assert_true(json_equal(r.record, record));
    assert_string_equal(json_at_str(r.record, "chart.metadata.name"), "fairlead");
    assert_string_equal(json_at_str(r.record, "info.first_deployed"), "2026-01-01T00:00:00Z");
}

static void test_no_config(void **state)
{
    (void)state;
    AUTO_DONE(release) struct release r = {0};
    AUTO_JSON json_t *secret =
        secret_of(STR("{\"version\":1,\"manifest\":\"\",\"info\":{\"status\":\"deployed\"}}"));
    assert_ok(release_read(secret, &r, NULL));
    assert_true(json_is_object(r.config));
}

static void test_what_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "{",
        "{\"version\":0,\"manifest\":\"\",\"info\":{\"status\":\"deployed\"}}",
        "{\"version\":1,\"info\":{\"status\":\"deployed\"}}",
        "{\"version\":1,\"manifest\":\"\"}"};
    struct err err = {0};
    struct release r;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_JSON json_t *secret = secret_of(str_from(texts[i]));
        assert_true(release_read(secret, &r, &err) < 0);
        assert_non_null(strstr(err_text(&err), "Secret n is no record"));
    }
    AUTO_JSON json_t *plain = json_pack("{s:{s:s}}", "data", "release", "eA==");
    assert_true(release_read(plain, &r, &err) < 0);
    AUTO_JSON json_t *empty = json_object();
    assert_true(release_read(empty, &r, &err) < 0);
}

/* Little that becomes much. */
static void test_a_bomb(void **state)
{
    (void)state;
    AUTO_DONE(buf) struct buf zipped = {0};
    AUTO_DONE(buf) struct buf twice = {0};
    AUTO_DONE(buf) struct buf out = {0};
    AUTO_CHARS char *zeros = xcalloc(1, RELEASE_BYTES_MAX);
    struct err err = {0};
    assert_ok(release_zip(str_of(zeros, RELEASE_BYTES_MAX), &zipped));
    assert_ok(release_unzip(buf_str(&zipped), &out, NULL));
    assert_int_equal(out.n, RELEASE_BYTES_MAX);
    buf_clear(&out);
    buf_clear(&zipped);
    assert_ok(release_zip(str_of(zeros, 1000), &zipped));
    /* Cut off. */
    assert_int_equal(release_unzip(str_first(buf_str(&zipped), zipped.n - 9), &out, &err), -EINVAL);
    assert_true(release_zip(str_of(zeros, RELEASE_BYTES_MAX + (size_t)1), &twice) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_no_config),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_a_bomb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
