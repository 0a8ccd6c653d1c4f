#pragma once
/* IP addresses and prefixes as values: IPv4 and IPv6 in one 16-byte form (IPv4 in the first four
 * bytes). */

#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/str.h"

struct ip {
    uint8_t family; /* AF_INET, AF_INET6, or 0 = unset */
    uint8_t bytes[16];
};

struct prefix {
    struct ip ip; /* as written; prefix_network() clears the host bits */
    uint8_t len;
};

enum { IP_TEXT_BYTES = 46, PREFIX_TEXT_BYTES = 50 };

/* Strict: no leading zeros (CVE-2021-29923), no zone, no port. -EINVAL. */
int ip_parse(struct str s, struct ip *ret) NODISCARD;
/* "IP:PORT"; IPv6 with or without brackets. -EINVAL. */
int ip_port_parse(struct str s, struct ip *ret, uint16_t *ret_port) NODISCARD;
/* "10.0.0.0/8"; -EINVAL. */
int prefix_parse(struct str s, struct prefix *ret) NODISCARD;
const char *ip_format(const struct ip *ip, char ret[IP_TEXT_BYTES]);
const char *prefix_format(const struct prefix *p, char ret[PREFIX_TEXT_BYTES]);

static inline size_t ip_bytes(const struct ip *ip)
{
    return ip->family == AF_INET6 ? 16 : 4;
}
bool ip_eq(const struct ip *a, const struct ip *b);
/* The IPv4 address inside ::ffff:a.b.c.d (RFC 4291 2.5.5.2); others unchanged. */
struct ip ip_unmapped(const struct ip *ip);
int ip_cmp(const struct ip *a, const struct ip *b);
bool ip_is_loopback(const struct ip *ip);
bool ip_is_any(const struct ip *ip); /* 0.0.0.0, :: */
bool prefix_contains(const struct prefix *p, const struct ip *ip);
struct ip prefix_network(const struct prefix *p);
/* The n-th address of the prefix (0 = the network itself); -ERANGE past its end. */
int prefix_nth(const struct prefix *p, uint64_t n, struct ip *ret) NODISCARD;
/* How many addresses it holds, at most 2^63. */
uint64_t prefix_size(const struct prefix *p);

/* Fills a socket address; returns its length. port in host order. */
socklen_t ip_to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *ret);
int ip_from_sockaddr(const struct sockaddr *sa, struct ip *ret, uint16_t *ret_port) NODISCARD;
