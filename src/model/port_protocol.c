/* Protocols of ports. */
#include "model/port_protocol.h"

#include <netinet/in.h>

static const struct {
    const char *word;
    enum port_protocol is;
} words[] = {{"tcp", PORT_TCP},
             {"http", PORT_HTTP},
             {"http_proxy", PORT_HTTP},
             {"http2", PORT_HTTP2},
             {"grpc", PORT_HTTP2},
             {"grpc-web", PORT_HTTP},
             {"https", PORT_TLS},
             {"tls", PORT_TLS},
             {"mongo", PORT_TCP},
             {"redis", PORT_TCP},
             {"mysql", PORT_TCP},
             {"kubernetes.io/h2c", PORT_HTTP2},
             {"udp", PORT_OTHER},
             {"kubernetes.io/ws", PORT_HTTP},
             {"kubernetes.io/wss", PORT_TLS}};

static bool find(struct str word, enum port_protocol *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(word, str_from(words[i].word))) {
            *ret = words[i].is;
            return true;
        }
    return false;
}

/* Where the server speaks first: whoever waits for a client's first bytes waits for ever. */
static bool server_speaks_first(uint16_t port)
{
    return port == 25 || port == 53 || port == 3306 || port == 27017;
}

enum port_protocol port_protocol(const struct service_port *p)
{
    static const struct str grpc_web = STR("grpc-web");
    enum port_protocol is;
    struct str name = str_from(p->name), rest;
    if (p->proto != IPPROTO_TCP)
        return PORT_OTHER;
    if (p->app_protocol && *p->app_protocol && find(str_from(p->app_protocol), &is))
        return is;
    if (name.n >= grpc_web.n && str_eq_nocase(str_sub(name, 0, grpc_web.n), grpc_web))
        return PORT_HTTP; /* the one with a '-' in it */
    if (find(str_cut(name, '-', &rest), &is) && is != PORT_OTHER)
        return is;
    return server_speaks_first(p->port) ? PORT_TCP : PORT_SNIFFED;
}

const char *port_protocol_word(enum port_protocol p)
{
    static const char *const names[] = {"sniffed", "http", "http2", "tls", "tcp", "other"};
    return names[p];
}
