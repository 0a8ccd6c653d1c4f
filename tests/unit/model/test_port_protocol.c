/* What is spoken at a port, by appProtocol, name and number. */
#include "test.h"

#include <netinet/in.h>

#include "model/port_protocol.h"

static const struct {
    const char *name, *app;
    uint16_t port;
    enum port_protocol is;
} cases[] = {
    {"http", NULL, 80, PORT_HTTP},
    {"http-web", NULL, 80, PORT_HTTP},
    {"HTTP-web", NULL, 80, PORT_HTTP},
    {"httpx", NULL, 80, PORT_SNIFFED},
    {"web-http", NULL, 80, PORT_SNIFFED},
    {"", NULL, 80, PORT_SNIFFED},
    {"http2", NULL, 80, PORT_HTTP2},
    {"grpc-x", NULL, 80, PORT_HTTP2},
    {"grpc-web", NULL, 80, PORT_HTTP},
    {"grpc-web-x", NULL, 80, PORT_HTTP},
    {"https", NULL, 443, PORT_TLS},
    {"tls-x", NULL, 443, PORT_TLS},
    {"mysql", NULL, 80, PORT_TCP},
    {"tcp-http", NULL, 80, PORT_TCP},
    {"", NULL, 3306, PORT_TCP},
    {"http", NULL, 3306, PORT_HTTP},
    {"tcp", "http", 80, PORT_HTTP},
    {"tcp", "HTTP2", 80, PORT_HTTP2},
    {"http", "kubernetes.io/h2c", 80, PORT_HTTP2},
    {"x", "kubernetes.io/ws", 80, PORT_HTTP},
    {"x", "kubernetes.io/wss", 80, PORT_TLS},
    {"http", "example.com/own", 80, PORT_HTTP}, /* nobody's: the name says */
    {"http", "", 80, PORT_HTTP},
    {"udp-x", NULL, 80, PORT_SNIFFED}, /* it is a port of TCP */
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct service_port p = {.name = (char *)(uintptr_t)cases[i].name,
                                       .app_protocol = (char *)(uintptr_t)cases[i].app,
                                       .proto = IPPROTO_TCP,
                                       .port = cases[i].port};
        if (port_protocol(&p) != cases[i].is)
            fail_msg("case %zu: %s", i, port_protocol_word(port_protocol(&p)));
    }
    assert_int_equal(port_protocol(&(struct service_port){
                         .name = (char *)(uintptr_t) "http", .proto = IPPROTO_UDP, .port = 80}),
                     PORT_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return RUN_TESTS(tests);
}
