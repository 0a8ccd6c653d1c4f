/* Container environment: expansion, order, references, fields. */
#include <errno.h>

#include "lab/node/pod_env.h"
#include "test.h"

static json_t *config;

static json_t *lookup(const char *kind, const char *name, void *user)
{
    (void)user;
    return streq(kind, "ConfigMap") && streq(name, "settings") ? config : NULL;
}

static void test_expand(void **state)
{
    (void)state;
    struct env e = {0};
    env_set(&e, "A", "one");
    env_set_runtime(&e, "HOME", "/root");
    env_set_runtime(&e, "SHELL", "/bin/sh");
    env_set(&e, "SHELL", "own");
    static const char *const cases[][2] = {{"$(A)", "one"},        {"x$(A)y$(A)", "xoneyone"},
                                           {"$(B)", "$(B)"},       {"$$(A)", "$(A)"},
                                           {"$A", "$A"},           {"$(A", "$(A"},
                                           {"$$$(A)", "$one"},     {"", ""},
                                           {"$(HOME)", "$(HOME)"}, {"$(SHELL)", "own"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_CHARS char *got = env_expand(&e, cases[i][0]);
        assert_string_equal(got, cases[i][1]);
    }
    env_done(&e);
}

static json_t *parse(const char *text)
{
    json_t *j;
    assert_ok(json_parse(str_from(text), 0, NULL, &j, NULL));
    return j;
}

static void test_container(void **state)
{
    (void)state;
    AUTO_JSON json_t *pod =
        parse("{\"metadata\":{\"name\":\"p\",\"labels\":{\"app.kubernetes.io/name\":\"web\"}},"
              "\"status\":{\"podIP\":\"10.1.2.3\",\"podIPs\":[{\"ip\":\"10.1.2.3\"},{\"ip\":\"fd00:"
              ":1\"}]}}");
    AUTO_JSON json_t *c =
        parse("{\"envFrom\":[{\"prefix\":\"P_\",\"configMapRef\":{\"name\":\"settings\"}},{"
              "\"secretRef\":{\"name\":\"none\",\"optional\":true}}],"
              "\"env\":[{\"name\":\"P_a\",\"value\":\"own\"},{\"name\":\"URL\",\"value\":\"http://"
              "$(IP):80\"},"
              "{\"name\":\"IP\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"status.podIP\"}}},{"
              "\"name\":\"URL2\",\"value\":\"http://$(IP):80\"},"
              "{\"name\":\"L\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.labels['app."
              "kubernetes.io/name']\"}}},"
              "{\"name\":\"M\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.memory\","
              "\"divisor\":\"1Mi\"}}},"
              "{\"name\":\"K\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"settings\",\"key\":"
              "\"b\"}}}],"
              "\"resources\":{\"limits\":{\"memory\":\"64Mi\"}}}");
    config = parse("{\"data\":{\"a\":\"1\",\"b\":\"2\"}}");
    struct env e = {0};
    struct err err = {0};
    assert_ok(env_of_container(&e, pod, c, lookup, NULL, &err));
    static const char *const expected[][2] = {{"P_a", "own"},
                                              {"P_b", "2"},
                                              {"URL", "http://$(IP):80"},
                                              {"URL2", "http://10.1.2.3:80"},
                                              {"L", "web"},
                                              {"M", "64"},
                                              {"K", "2"}};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_string_equal(env_get(&e, expected[i][0]), expected[i][1]);
    env_done(&e);
    AUTO_CHARS char *ips = pod_field(pod, "status.podIPs");
    assert_string_equal(ips, "10.1.2.3,fd00::1");
    json_decref(config);
    config = NULL;
    assert_int_equal(env_of_container(&e, pod, c, lookup, NULL, &err), -ENOENT);
    assert_string_equal(err.msg, "configmap \"settings\" not found");
    env_done(&e);
}

static void test_secret_value(void **state)
{
    (void)state;
    AUTO_JSON json_t *secret = parse("{\"data\":{\"k\":\"aGVsbG8=\",\"bad\":\"!\"}}");
    size_t n = 0;
    AUTO_CHARS char *value = config_value(secret, "Secret", "k", &n);
    assert_string_equal(value, "hello");
    assert_int_equal(n, 5);
    assert_null(config_value(secret, "Secret", "bad", NULL));
    assert_null(config_value(secret, "Secret", "none", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_container),
        cmocka_unit_test(test_secret_value),
    };
    return RUN_TESTS(tests);
}
