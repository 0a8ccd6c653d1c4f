/* What a runtime says to the plugin, and the plugin's place in a list. */
#include "test.h"

#include <errno.h>

#include "cni/cni_config.h"
#include "json_text.h"

static void test_configurations(void **state)
{
    AUTO_DONE(cni_config) struct cni_config c = {0};
    enum cni_error code;
    (void)state;
    assert_ok(cni_config_read(STR("{\"cniVersion\":\"1.0.0\",\"prevResult\":{},\"socket\":\"/s\","
                                  "\"excludeNamespaces\":[\"a\",3,\"b\"]}"),
                              &c, &code, NULL));
    assert_string_equal(c.version, "1.0.0");
    assert_string_equal(c.socket, "/s");
    assert_non_null(c.prev_result);
    assert_true(cni_namespace_is_excluded(&c, STR("b")));
    assert_false(cni_namespace_is_excluded(&c, STR("c")));
    cni_config_done(&c);
    assert_ok(cni_config_read(STR("{\"cniVersion\":\"0.3.1\"}"), &c, &code, NULL));
    assert_string_equal(c.socket, "/run/fairlead-cni/socket");
    assert_null(c.prev_result);
    assert_false(cni_namespace_is_excluded(&c, STR("a")));
}

static void test_what_is_refused(void **state)
{
    static const struct {
        const char *text;
        enum cni_error code;
        const char *says;
    } cases[] = {
        {"", CNI_NOT_DECODED, ""},
        {"{\"cniVersion\":", CNI_NOT_DECODED, ""},
        {"[]", CNI_INVALID_CONFIG, "no object"},
        {"{\"cniVersion\":\"1.0.0\",\"prevResult\":[]}", CNI_INVALID_CONFIG, "prevResult"},
        {"{}", CNI_INCOMPATIBLE_VERSION, "cniVersion"},
        {"{\"cniVersion\":\"0.1.0\"}", CNI_INCOMPATIBLE_VERSION, "'0.1.0'"},
        {"{\"cniVersion\":1}", CNI_INCOMPATIBLE_VERSION, "cniVersion"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_DONE(cni_config) struct cni_config c = {0};
        struct err err = {0};
        enum cni_error code = 0;
        assert_true(cni_config_read(str_from(cases[i].text), &c, &code, &err) < 0);
        if (code != cases[i].code || !strstr(err_text(&err), cases[i].says))
            fail_msg("%s: %d %s", cases[i].text, (int)code, err_text(&err));
        assert_non_null(c.version);
    }
}

static void test_arguments(void **state)
{
    const char *args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0;X=;Y";
    (void)state;
    assert_true(str_is(cni_arg(args, "K8S_POD_NAMESPACE"), "shop"));
    assert_true(str_is(cni_arg(args, "K8S_POD_NAME"), "cart-0"));
    assert_int_equal(cni_arg(args, "X").n, 0);
    assert_int_equal(cni_arg(args, "Y").n, 0);
    assert_int_equal(cni_arg(args, "POD_NAME").n, 0);
    assert_int_equal(cni_arg("", "X").n, 0);
}

static void test_the_place_in_a_list(void **state)
{
    AUTO_JSON json_t *list = json_of("{'plugins':[{'type':'bridge'}]}"), *none = json_array();
    AUTO_JSON json_t *some = json_of("['a']"), *no_list = json_of("{'type':'bridge'}");
    AUTO_JSON json_t *empty = json_of("{'plugins':[]}");
    bool changed;
    (void)state;
    assert_ok(cni_list_put(list, "/s", none, &changed, NULL));
    assert_true(changed);
    assert_ok(cni_list_put(list, "/s", none, &changed, NULL));
    assert_false(changed);
    assert_ok(cni_list_put(list, "/s", some, &changed, NULL)); /* other words */
    assert_true(changed);
    json_array_append_new(json_object_get(list, "plugins"), json_of("{'type':'tuning'}"));
    assert_ok(cni_list_put(list, "/s", some, &changed, NULL)); /* behind who came later */
    assert_true(changed);
    AUTO_DONE(buf) struct buf text = {0};
    json_write(&text, list);
    assert_string_equal(buf_cstr(&text),
                        "{\"plugins\":[{\"type\":\"bridge\"},{\"type\":\"tuning\"},{\"type\":"
                        "\"fairlead-cni\",\"socket\":\"/s\",\"excludeNamespaces\":[\"a\"]}]}");
    assert_true(cni_list_remove(list));
    assert_false(cni_list_remove(list));
    assert_int_equal(json_array_size(json_object_get(list, "plugins")), 2);
    assert_int_equal(cni_list_put(no_list, "/s", none, &changed, NULL), -EINVAL);
    assert_int_equal(cni_list_put(empty, "/s", none, &changed, NULL), -EINVAL);
    assert_false(cni_list_remove(no_list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configurations),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_the_place_in_a_list),
    };
    return RUN_TESTS(tests);
}
