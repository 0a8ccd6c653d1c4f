/* What the ConfigMap takes: its own keys, and those that are defaults of annotations. */
#include "test.h"

#include <stdio.h>

#include "model/ingress_annotations.h"

/* Ids of what was told, joined by blanks. */
static struct ingress_settings *settings_of(const char *name, const char *value, char told[256])
{
    AUTO_JSON json_t *data = json_pack("{s:s}", name, value);
    struct findings f = {0};
    struct ingress_settings *s = ingress_settings_new("ns/config", data, &f);
    *told = '\0';
    for (size_t i = 0; i < f.n; i++)
        snprintf(told + strlen(told), 256 - strlen(told), "%s%s", i ? " " : "", f.v[i].id);
    findings_done(&f);
    return s;
}

static void test_what_is_taken(void **state)
{
    static const struct {
        const char *name, *value, *told;
    } rows[] = {{"hsts", "yes", "SettingInvalid"},
                {"hsts", "false", ""},
                {"hsts-max-age", "-1", "SettingInvalid"},
                {"http-redirect-code", "304", "SettingInvalid"},
                {"http-redirect-code", "302", ""},
                {"keep-alive", "75s", "SettingInvalid"},
                {"keep-alive-requests", "0", "SettingInvalid"},
                {"hide-headers", "a b", "SettingInvalid"},
                {"hide-headers", "", "SettingInvalid"},
                {"hide-headers", "X-A, X-B,", ""},
                {"global-allowed-response-headers", "X-A,Content-Length", "SettingInvalid"},
                {"global-allowed-response-headers", "X-A, x-b", ""},
                {"ssl-protocols", "TLSv1 TLSv1.2", "SettingInvalid"},
                {"ssl-protocols", "TLSv1.3", ""},
                {"add-headers", "name", "SettingInvalid"},
                {"add-headers", "ns/name", ""},
                {"proxy-read-timeout", "abc", "SettingInvalid"},
                {"proxy-read-timeout", "9", ""},
                {"ssl-redirect", "maybe", "SettingInvalid"},
                {"limit-req-status-code", "429", ""},
                {"limit-req-status-code", "399", "SettingInvalid"},
                {"limit-conn-status-code", "600", "SettingInvalid"},
                {"whitelist-source-range", "10.0.0.0/8", ""},
                {"denylist-source-range", "10.0.0.0/33", "SettingInvalid"},
                {"use-proxy-protocol", "yes", "SettingInvalid"},
                {"disable-access-log", "true", ""},
                {"limit-rate", "10k", "SettingInvalid"},
                {"global-auth-url", "http://a.example/", ""},
                {"global-auth-url", "ftp://a.example/", "SettingInvalid"},
                {"global-auth-signin", "https://a.example/", ""},
                {"global-auth-proxy-set-headers", "a", "SettingNotSupported"},
                {"proxy-buffering", "on", ""},
                {"use-gzip", "true", "SettingNotSupported"},
                {"canary", "true", "SettingNotSupported"}};
    char told[256];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ingress_settings_free(settings_of(rows[i].name, rows[i].value, told));
        if (strcmp(told, rows[i].told) != 0)
            fail_msg("%s=%s: %s", rows[i].name, rows[i].value, told);
    }
}

static void test_defaults_of_annotations(void **state)
{
    char told[256];
    const struct ingress_object object = {.key = (char *)(uintptr_t) "ns/i"};
    struct ingress_settings *s = settings_of("proxy-read-timeout", "9", told);
    struct findings f = {0};
    (void)state;
    for (int nginx = 0; nginx < 2; nginx++) {
        struct ingress_policy *p = ingress_policy_new(&object, nginx, s, &f);
        assert_int_equal(p->read_timeout_s, nginx ? 9 : 60);
        ingress_policy_free(p);
    }
    assert_int_equal(f.n, 0);
    ingress_settings_free(s);
}

static void test_hsts(void **state)
{
    char told[256];
    struct ingress_settings *off = settings_of("hsts", "false", told),
                            *age = settings_of("hsts-max-age", "5", told);
    AUTO_CHARS char *usual = ingress_settings_hsts(NULL), *other = ingress_settings_hsts(age);
    (void)state;
    assert_string_equal(usual, "max-age=31536000; includeSubDomains");
    assert_string_equal(other, "max-age=5; includeSubDomains");
    assert_null(ingress_settings_hsts(off));
    ingress_settings_free(off);
    ingress_settings_free(age);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_taken),
        cmocka_unit_test(test_defaults_of_annotations),
        cmocka_unit_test(test_hsts),
    };
    return RUN_TESTS(tests);
}
