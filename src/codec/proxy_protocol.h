#pragma once
/* The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): who the client is, said
 * by a proxy before us in the first bytes of a connection. */

#include "base/addr.h"

enum { PROXY_PROTOCOL_WRITTEN_MAX = 107 }; /* of what is written here */
enum { PROXY_PROTOCOL_BYTES_MAX = 4096 };  /* of a head, with what else it carries */

struct proxy_protocol {
    uint8_t version;
    bool local; /* it names nobody (LOCAL, UNKNOWN): the connection's own addresses hold */
    struct ip source, destination;
    uint16_t source_port, destination_port;
    size_t bytes; /* of the head */
};

/* 1: read. 0: more is needed. -ENOENT: it is none. -EBADMSG: it begins as one and is malformed.
 * -E2BIG: longer than the limit. -EAFNOSUPPORT: neither TCP over IPv4 nor IPv6. */
int proxy_protocol_read(struct str bytes, struct proxy_protocol *ret) NODISCARD;

/* version 1 or 2, of TCP; local, or addresses of two families: it names nobody. Its length. */
size_t proxy_protocol_write(const struct proxy_protocol *p, char ret[PROXY_PROTOCOL_WRITTEN_MAX]);
