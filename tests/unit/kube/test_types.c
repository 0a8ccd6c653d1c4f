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

static struct slice_object *decode_slice(const char *family, const char *endpoints,
                                         struct intern *topologies, bool all)
{
    AUTO_JSON json_t *j = NULL;
    AUTO_CHARS char *text =
        xasprintf("{\"metadata\":{\"name\":\"s\",\"namespace\":\"ns\",\"labels\":{"
                  "\"kubernetes.io/service-name\":\"a\"}},\"addressType\":\"%s\","
                  "\"endpoints\":[%s]}",
                  family, endpoints);
    assert_ok(json_parse(str_from(text), 0, NULL, &j, NULL));
    return slice_object_decode(j, &(struct slice_decoding){.topologies = topologies, .all = all});
}

static void assert_address(const struct slice_object *s, uint32_t i, const char *want)
{
    char text[IP_TEXT_BYTES];
    struct ip ip = slice_object_ip(s, i);
    assert_string_equal(ip_format(&ip, text), want);
}

/* The first address alone carries traffic; who asks for all gets the names, too. */
static void test_slice_endpoints(void **state)
{
    static const char endpoints[] =
        "{\"addresses\":[\"10.0.0.1\",\"10.0.0.2\"],\"nodeName\":\"n1\",\"hostname\":\"h\","
        "\"targetRef\":{\"kind\":\"Pod\",\"name\":\"p\"},"
        "\"conditions\":{\"ready\":false,\"terminating\":true}},"
        "{\"addresses\":[\"10.0.0.3\"],\"nodeName\":\"n1\","
        "\"targetRef\":{\"kind\":\"VM\",\"name\":\"p\"}}";
    struct intern topologies = {0};
    (void)state;
    struct slice_object *s = decode_slice("IPv4", endpoints, &topologies, false);
    assert_int_equal(s->n_endpoints, 2);
    assert_null(s->names);
    assert_address(s, 0, "10.0.0.1");
    assert_address(s, 1, "10.0.0.3");
    assert_false(s->endpoints[0].ready);
    assert_true(s->endpoints[0].serving && s->endpoints[0].terminating);
    assert_true(s->endpoints[1].ready && !s->endpoints[1].terminating && !s->hinted);
    assert_int_equal(s->endpoints[0].topology, s->endpoints[1].topology);
    assert_int_equal(intern_count(&topologies), 1);
    slice_object_free(s);
    assert_int_equal(intern_count(&topologies), 0);
    s = decode_slice("IPv4", endpoints, &topologies, true);
    assert_int_equal(s->n_endpoints, 3);
    assert_address(s, 1, "10.0.0.2");
    assert_true(!s->endpoints[0].further && s->endpoints[1].further && !s->endpoints[2].further);
    assert_string_equal(s->names[1].hostname, "h");
    assert_string_equal(s->names[1].pod, "p");
    assert_null(s->names[2].hostname);
    assert_null(s->names[2].pod);
    slice_object_free(s);
    intern_done(&topologies);
}

static void test_slice_families(void **state)
{
    struct intern topologies = {0};
    (void)state;
    struct slice_object *s = decode_slice(
        "IPv6", "{\"addresses\":[\"fd00::1\"]},{\"addresses\":[\"10.0.0.1\"]},{\"addresses\":[]}",
        &topologies, false);
    assert_int_equal(s->n_endpoints, 1);
    assert_address(s, 0, "fd00::1");
    slice_object_free(s);
    s = decode_slice("FQDN", "{\"addresses\":[\"example.org\"]}", &topologies, true);
    assert_int_equal(s->n_endpoints, 0);
    slice_object_free(s);
    intern_done(&topologies);
}

/* What DNS needs to know of a Service. */
static void test_service_kinds(void **state)
{
    static const struct {
        const char *spec, *external_name;
        bool headless, dns_only;
    } rows[] = {
        {"{\"clusterIP\":\"10.96.0.1\"}", NULL, false, false},
        {"{\"clusterIP\":\"None\"}", NULL, true, true},
        {"{\"type\":\"ExternalName\",\"externalName\":\"x.test\"}", "x.test", false, true},
        {"{\"type\":\"ExternalName\"}", "", false, true},
        {"{}", NULL, false, true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = json_object(), *spec = NULL;
        assert_ok(json_parse(str_from(rows[i].spec), 0, NULL, &spec, NULL));
        json_put_str(j, "metadata.name", "a");
        json_put(j, "spec", json_incref(spec));
        AUTO(service_object) struct service_object *s = service_object_decode(j);
        assert_true(streq(s->external_name, rows[i].external_name));
        assert_int_equal(s->headless, rows[i].headless);
        assert_int_equal(s->dns_only, rows[i].dns_only);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_external_ips_have_a_limit),
        cmocka_unit_test(test_slice_endpoints),
        cmocka_unit_test(test_slice_families),
        cmocka_unit_test(test_service_kinds),
    };
    return RUN_TESTS(tests);
}
