/* TLS contexts that are exchanged alone: secrets that are there, that come later, that change. */
#include "test.h"

#include <envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h>

#include "codec/json.h"
#include "codec/pb_json.h"
#include "proxy/transport_config.h"
#include "xds/xds_types.h"

typedef Envoy__Extensions__TransportSockets__Tls__V3__Secret pb_secret;

struct world {
    struct arena *arena;
    const pb_secret *site; /* the secret of that name; NULL: not there */
    struct compile c;
    struct err err;
};

static const pb_secret *find_secret(struct str name,
                                    const Envoy__Config__Core__V3__ConfigSource *from, void *user)
{
    (void)from;
    struct world *w = user;
    return str_is(name, "site") ? w->site : NULL;
}

static void begin(struct world *w)
{
    *w = (struct world){.arena = arena_new(0)};
    w->c = (struct compile){
        .scratch = w->arena, .find_secret = find_secret, .secrets = w, .err = &w->err};
}

static const ProtobufCMessage *message(struct world *w, const ProtobufCMessageDescriptor *d,
                                       const char *text)
{
    AUTO_CHARS char *json = xstrdup(text);
    json_t *j = NULL;
    ProtobufCMessage *m = NULL;
    for (char *p = json; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (json_parse(str_from(json), 0, NULL, &j, &w->err) < 0 ||
        pb_json_parse(j, d, &xds_json_types, w->arena, &m, NULL, &w->err) < 0)
        fail_msg("%s: %s", err_text(&w->err), json);
    json_decref(j);
    return m;
}

static const Envoy__Config__Core__V3__TransportSocket *socket_of(struct world *w, const char *type,
                                                                 const char *text)
{
    AUTO_CHARS char *json = xasprintf("{'name':'t','typed_config':{'@type':'type.googleapis.com/"
                                      "envoy.extensions.transport_sockets.%s',%s}}",
                                      type, text);
    return (const void *)message(w, &envoy__config__core__v3__transport_socket__descriptor, json);
}

/* A fresh certificate as the secret "site". */
static void set_secret(struct world *w, const char *name)
{
    AUTO_DONE(buf) struct buf cert = {0};
    AUTO_DONE(buf) struct buf key = {0};
    const struct tls_cert_request q = {
        .common_name = name, .dns_names = &name, .n_dns_names = 1, .server = true, .days = 1};
    assert_ok(tls_cert_issue(&q, STR(""), STR(""), &cert, &key, NULL));
    pb_secret *s = (pb_secret *)(uintptr_t)message(
        w, &envoy__extensions__transport_sockets__tls__v3__secret__descriptor,
        "{'name':'site','tls_certificate':{'certificate_chain':{'inline_string':'x'},"
        "'private_key':{'inline_string':'x'}}}");
    char *texts[2] = {arena_alloc(w->arena, cert.n + 1), arena_alloc(w->arena, key.n + 1)};
    memcpy(texts[0], cert.p, cert.n);
    memcpy(texts[1], key.p, key.n);
    texts[0][cert.n] = texts[1][key.n] = 0;
    s->tls_certificate->certificate_chain->inline_string = texts[0];
    s->tls_certificate->private_key->inline_string = texts[1];
    w->site = s;
}

#define SERVER "tls.v3.DownstreamTlsContext"
#define CLIENT "tls.v3.UpstreamTlsContext"
#define PROXY  "proxy_protocol.v3.ProxyProtocolUpstreamTransport"
#define TYPE   "type.googleapis.com/envoy.extensions.transport_sockets."
#define RAW    "{'name':'r','typed_config':{'@type':'" TYPE "raw_buffer.v3.RawBuffer'}}"
#define SDS                                                                                        \
    "'common_tls_context':{'tls_certificate_sds_secret_configs':[{'name':'site','sds_config':"     \
    "{'ads':{}}}]}"

static void test_a_secret_that_comes_and_changes(void **state)
{
    struct world w;
    struct tls_slot *slot;
    (void)state;
    begin(&w);
    assert_ok(tls_slot_compile_server(&w.c, socket_of(&w, SERVER, SDS), &slot));
    assert_null(tls_slot_context(slot)); /* never anything else instead */
    assert_true(tls_slot_needs(slot, STR("site")));
    assert_false(tls_slot_needs(slot, STR("other")));
    set_secret(&w, "a.b");
    assert_ok(tls_slot_rebuild(slot, &w.c));
    struct tls_context *first = tls_slot_context(slot);
    assert_non_null(first);
    set_secret(&w, "c.d");
    assert_ok(tls_slot_rebuild(slot, &w.c));
    struct tls_context *second = tls_slot_context(slot);
    assert_ptr_not_equal(first, second); /* who has the first keeps it */
    tls_context_unref(first);

    static char broken[] = "broken";
    ((pb_secret *)(uintptr_t)w.site)->tls_certificate->private_key->inline_string = broken;
    assert_true(tls_slot_rebuild(slot, &w.c) < 0);
    assert_true(tls_slot_needs(slot, STR("site"))); /* it is asked again */
    first = tls_slot_context(slot);
    assert_ptr_equal(first, second); /* the old one stays */
    w.site = NULL;
    assert_ok(tls_slot_rebuild(slot, &w.c));
    assert_true(tls_slot_needs(slot, STR("site")));
    tls_context_unref(first);
    first = tls_slot_context(slot);
    assert_ptr_equal(first, second);
    tls_context_unref(first);
    tls_context_unref(second);
    tls_slot_unref(slot);
    arena_free(w.arena);
}

static void refused(const char *type, const char *text, const char *expected)
{
    struct world w;
    struct tls_slot *slot = NULL;
    struct upstream_tls *tls = NULL;
    uint8_t proxy;
    begin(&w);
    int r = !streq(type, SERVER)
                ? upstream_tls_compile(&w.c, socket_of(&w, type, text), &tls, &proxy)
                : tls_slot_compile_server(&w.c, socket_of(&w, type, text), &slot);
    assert_true(r < 0);
    if (!strstr(err_text(&w.err), expected))
        fail_msg("%s, expected %s", err_text(&w.err), expected);
    arena_free(w.arena);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    refused(SERVER, "'common_tls_context':{}", "No TLS certificates found for server context");
    refused(SERVER, "'common_tls_context':{'tls_certificate_sds_secret_configs':[{'name':'x'}]}",
            "tls_certificate_sds_secret_configs[0]: Unknown static secret: x");
    refused(CLIENT,
            "'common_tls_context':{'tls_params':{'tls_minimum_protocol_version':'TLSv1_1'}}",
            "TLS below 1.2");
    refused(CLIENT, "'common_tls_context':{'tls_params':{'cipher_suites':['NONE-SUCH']}}",
            "NONE-SUCH");
    refused(CLIENT,
            "'common_tls_context':{'validation_context':{'match_typed_subject_alt_names':["
            "{'san_type':'DNS','matcher':{'exact':'a'}}]}}",
            "without trusted CA");
    refused(CLIENT,
            "'common_tls_context':{'validation_context':{'trusted_ca':{'inline_string':'x'}}}",
            "CA bundle");
    refused(SERVER, "'session_ticket_keys':{'keys':[{'inline_string':'short'}]}",
            "No TLS certificates");
    refused(CLIENT, "'auto_host_sni':true", "auto_host_sni");
    refused(PROXY, "'config':{'version':'V1'}", "transport_socket must be set");
    refused(PROXY, "'config':{'version':7},'transport_socket':" RAW, "config.version: is none");
    refused(PROXY,
            "'transport_socket':{'name':'t','typed_config':{'@type':'" TYPE CLIENT
            "','auto_host_sni':true}}",
            "typed_config.transport_socket");
}

static void test_towards_endpoints(void **state)
{
    struct world w;
    struct upstream_tls *tls;
    uint8_t proxy;
    (void)state;
    begin(&w);
    assert_ok(upstream_tls_compile(&w.c, socket_of(&w, CLIENT, "'sni':'a.b','max_session_keys':0"),
                                   &tls, &proxy));
    assert_int_equal(proxy, 0);
    assert_string_equal(upstream_tls_options(tls, 1).sni, "a.b");
    assert_false(upstream_tls_options(tls, 1).resume);
    upstream_tls_free(tls);
    assert_ok(upstream_tls_compile(&w.c, socket_of(&w, CLIENT, SDS), &tls, &proxy));
    assert_null(tls_slot_context(tls->slot));
    assert_true(upstream_tls_options(tls, 1).resume);
    upstream_tls_free(tls);
    assert_ok(upstream_tls_compile(
        &w.c,
        (const void *)message(&w, &envoy__config__core__v3__transport_socket__descriptor,
                              "{'name':'t','typed_config':{'@type':'type.googleapis.com/envoy."
                              "extensions.transport_sockets.raw_buffer.v3.RawBuffer'}}"),
        &tls, &proxy));
    assert_null(tls); /* plain */
    /* The PROXY protocol before either. */
    assert_ok(upstream_tls_compile(
        &w.c, socket_of(&w, PROXY, "'config':{'version':'V2'},'transport_socket':" RAW), &tls,
        &proxy));
    assert_null(tls);
    assert_int_equal(proxy, 2);
    assert_ok(upstream_tls_compile(
        &w.c,
        socket_of(&w, PROXY,
                  "'transport_socket':{'name':'t','typed_config':{'@type':'" TYPE CLIENT
                  "','sni':'a.b'}}"),
        &tls, &proxy));
    assert_string_equal(upstream_tls_options(tls, 1).sni, "a.b");
    assert_int_equal(proxy, 1);
    upstream_tls_free(tls);
    arena_free(w.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_secret_that_comes_and_changes),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_towards_endpoints),
    };
    return RUN_TESTS(tests);
}
