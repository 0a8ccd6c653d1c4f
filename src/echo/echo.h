#pragma once
/* The sample workload: servers that tell who answered. One loop, one set of options shared by all
 * of them. */

#include "base/addr.h"
#include "base/list.h"
#include "base/vec.h"
#include "net/http_server.h"
#include "net/udp_server.h"

struct echo_ports {
    uint16_t v[16];
    size_t n;
};

struct echo_options {
    char *name;
    char *version;
    struct echo_ports http;
    struct echo_ports tcp;
    struct echo_ports udp;
    uint64_t delay_ms;
    uint64_t fail_percent; /* of ordinary requests, answered 500 */
    uint64_t drain_ms;
    bool text; /* text answers where JSON is the default */
};

struct echo {
    struct loop *loop;
    const struct echo_options *options;
    VEC(struct http_server *) servers;
    VEC(struct listener *) listeners;
    VEC(struct udp_server *) sockets;
    struct list_node streams; /* open TCP echo connections */
    size_t n_streams;
    bool draining;
};

/* Flags win over ECHO_NAME, ECHO_VERSION, ECHO_HTTP, ECHO_TCP, ECHO_UDP, ECHO_DELAY,
 * ECHO_FAIL_RATE, ECHO_DRAIN, ECHO_FORMAT. Returns -1 to go on, or the exit code. */
int echo_options_load(int argc, char **argv, struct echo_options *ret) NODISCARD;
void echo_options_done(struct echo_options *o);

/* Listen on every port of the options, IPv6 and IPv4 alike. */
int echo_http_start(struct echo *e, struct err *reterr) NODISCARD;
int echo_tcp_start(struct echo *e, struct err *reterr) NODISCARD;
int echo_udp_start(struct echo *e, struct err *reterr) NODISCARD;
void echo_tcp_stop(struct echo *e);
void echo_stop(struct echo *e);

/* "address:port" with IPv4-mapped addresses as IPv4, IPv6 in brackets. */
enum { ECHO_ADDR_BYTES = 64 };
const char *echo_addr_format(const struct ip *ip, uint16_t port, char ret[ECHO_ADDR_BYTES]);
