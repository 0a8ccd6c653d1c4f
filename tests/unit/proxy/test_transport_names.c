/* Names of the older form (match_subject_alt_names), by handshakes: of any kind, and whom they keep
 * out. */
#include "tls_world.h"

#include <envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h>

#include "codec/json.h"
#include "codec/pb_json.h"
#include "proxy/transport_config.h"
#include "xds/xds_types.h"

static const struct tls_name names[] = {URI("spiffe://lab/ns/a/sa/b"),
                                        DNS("one.test"),
                                        {TLS_NAME_IP, STR("10.0.0.1")},
                                        {TLS_NAME_EMAIL, STR("a@b")}};

/* What a client that is told so makes of a server with all of those names; matchers: as JSON. */
static int meets(const char *matchers)
{
    AUTO_DONE(pair) struct pair cert = {0};
    AUTO_DONE(world) struct world w = {0};
    AUTO(arena) struct arena *a = arena_new(0);
    struct err err = {0};
    struct compile c = {.scratch = a, .err = &err};
    struct upstream_tls *tls;
    ProtobufCMessage *m;
    issue(&cert, "server", names, ARRAY_LEN(names));
    AUTO_JSON json_t *list = json_loads(matchers, 0, NULL);
    AUTO_JSON json_t *j = json_pack(
        "{s:s,s:{s:s,s:{s:{s:{s:s%},s:O}}}}", "name", "t", "typed_config", "@type",
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context", "validation_context", "trusted_ca", "inline_string", ca.cert.p,
        ca.cert.n, "match_subject_alt_names", list);
    assert_ok(pb_json_parse(j, &envoy__config__core__v3__transport_socket__descriptor,
                            &xds_json_types, a, &m, NULL, &err));
    uint8_t proxy;
    int r = upstream_tls_compile(&c, (const void *)m, &tls, &proxy);
    if (r < 0)
        return r;
    contexts(&w, (struct tls_config){CERTIFIED(cert)}, (struct tls_config){.insecure = true});
    tls_context_unref(w.client_context);
    w.client_context = tls_slot_context(tls->slot);
    r = meet(&w, "one.test");
    upstream_tls_free(tls);
    return r;
}

static void test_names(void **state)
{
    static const struct {
        const char *matchers;
        bool ok;
    } cases[] = {
        {"[{\"exact\":\"spiffe://lab/ns/a/sa/b\"}]", true},
        {"[{\"exact\":\"spiffe://lab/ns/a/sa/c\"}]", false},
        {"[{\"exact\":\"spiffe://x\"},{\"exact\":\"spiffe://lab/ns/a/sa/b\"}]", true},
        {"[{\"prefix\":\"spiffe://lab/\"}]", true},
        {"[{\"prefix\":\"spiffe://other/\"}]", false},
        {"[{\"exact\":\"one.test\"}]", true},
        {"[{\"exact\":\"two.test\"}]", false},
        {"[{\"exact\":\"10.0.0.1\"}]", true},
        {"[{\"exact\":\"10.0.0.2\"}]", false},
        {"[{\"exact\":\"a@b\"}]", true},
        {"[{\"suffix\":\"/sa/b\"}]", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if ((meets(cases[i].matchers) == 0) != cases[i].ok)
            fail_msg("%s", cases[i].matchers);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    assert_true(meets("[{\"safe_regex\":{\"regex\":\"a\"}}]") == -EINVAL);
    assert_true(meets("[{\"exact\":\"a\",\"ignore_case\":true}]") == -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, group_up, group_down);
}
