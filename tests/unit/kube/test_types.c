/* Services and slices as the agent reads them; what they mean is told by the model's golden tests.
 */
#include "kube/types.h"
#include "test.h"

/* As many addresses as a body can hold: the first ones count, each once. */
static void test_external_ips_have_a_limit(void **state)
{
    enum { ADDRESSES = 70000 };
    AUTO_JSON json_t *j = json_object();
    json_t *list = json_array();
    char text[32];
    (void)state;
    json_put_str(j, "metadata.name", "many");
    json_put_str(j, "spec.clusterIP", "10.96.0.1");
    for (unsigned i = 0; i < ADDRESSES; i++) {
        snprintf(text, sizeof(text), "11.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        json_array_append_new(list, json_string(text));
        if (i == 0)
            json_array_append_new(list, json_string(text));
    }
    json_put(j, "spec.externalIPs", list);
    struct service_object *s = service_object_decode(j);
    assert_int_equal(s->n_external_ips, SERVICE_IPS_MAX);
    assert_int_equal(s->external_ips[1].bytes[3], 1);
    assert_int_equal(s->n_cluster_ips, 1);
    service_object_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_external_ips_have_a_limit),
    };
    return RUN_TESTS(tests);
}
