/* A kubeconfig from elsewhere: what is taken of it, and what is refused, by field. */
#include "kube/config.h"
#include "test.h"

#define CONFIG(server, cluster, user)                                                              \
    "current-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"                  \
    "clusters: [{name: a, cluster: {server: '" server "'" cluster "}}]\n"                          \
    "users: [{name: a, user: {token: secret" user "}}]\n"

static void test_what_is_taken(void **state)
{
    struct kube_config *c = NULL;
    struct err err = {0};
    (void)state;
    assert_ok(kube_config_parse(STR(CONFIG("https://api.example/k8s/",
                                           ", certificate-authority-data: YQ==, "
                                           "insecure-skip-tls-verify: false",
                                           "")),
                                &c, &err));
    assert_string_equal(c->host, "api.example");
    assert_string_equal(c->path, "/k8s");
    assert_string_equal(c->ca_pem, "a");
    assert_string_equal(c->token, "secret");
    assert_int_equal(c->port, 443);
    kube_config_free(c);
}

static void test_what_is_refused(void **state)
{
    static const struct {
        const char *text, *told;
    } wrongs[] = {
        {"", "current-context"},
        {"[", ""},
        {CONFIG("http://api.example", "", ""), "server: \"http://api.example\" is not https://"},
        {CONFIG("https://:1", "", ""), "has no host"},
        {CONFIG("https://a", ", insecure-skip-tls-verify: true", ""), "insecure-skip-tls-verify"},
        {CONFIG("https://a", ", certificate-authority: /etc/ca", ""), "certificate-authority is"},
        {CONFIG("https://a", ", proxy-url: 'http://p'", ""), "proxy-url"},
        {CONFIG("https://a", ", certificate-authority-data: '!'", ""), "not base64"},
        {CONFIG("https://a", "", ", tokenFile: /etc/shadow"), "tokenFile"},
        {CONFIG("https://a", "", ", client-key: /etc/key"), "client-key"},
        {CONFIG("https://a", "", ", client-certificate: /etc/crt"), "client-certificate"},
        {CONFIG("https://a", "", ", exec: {command: x}"), "exec"},
        {CONFIG("https://a", "", ", auth-provider: {name: x}"), "auth-provider"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
        struct kube_config *c = NULL;
        struct err err = {0};
        assert_true(kube_config_parse(str_from(wrongs[i].text), &c, &err) < 0);
        assert_null(c);
        if (!strstr(err_text(&err), wrongs[i].told) || strstr(err_text(&err), "secret"))
            fail_msg("%s: %s", wrongs[i].text, err_text(&err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_taken),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
