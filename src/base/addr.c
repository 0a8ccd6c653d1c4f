/* IP address and prefix values. Pure. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/assert.h"

int ip_parse(struct str s, struct ip *ret)
{
    char text[IP_TEXT_BYTES];
    struct ip ip = {0};
    if (s.n == 0 || s.n >= sizeof(text))
        return -EINVAL;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    ip.family = memchr(s.p, ':', s.n) ? AF_INET6 : AF_INET;
    /* inet_pton refuses octal-looking parts of IPv4 (a leading zero), hexadecimal and short forms.
     */
    if (inet_pton(ip.family, text, ip.bytes) != 1)
        return -EINVAL;
    *ret = ip;
    return 0;
}

int prefix_parse(struct str s, struct prefix *ret)
{
    struct str len_text;
    struct prefix p;
    uint64_t len;
    struct str ip_text = str_cut(s, '/', &len_text);
    if (!len_text.p || ip_parse(ip_text, &p.ip) < 0 || len_text.n > 3 ||
        str_to_u64(len_text, &len) < 0 || len > ip_bytes(&p.ip) * 8 ||
        (len_text.n > 1 && len_text.p[0] == '0'))
        return -EINVAL;
    p.len = (uint8_t)len;
    *ret = p;
    return 0;
}

/* Four numbers; the C library's way is a printf. */
static void format_v4(const uint8_t *bytes, char *ret)
{
    for (int i = 0; i < 4; i++) {
        uint8_t n = bytes[i];
        if (n >= 100)
            *ret++ = (char)('0' + n / 100);
        if (n >= 10)
            *ret++ = (char)('0' + n / 10 % 10);
        *ret++ = (char)('0' + n % 10);
        *ret++ = i < 3 ? '.' : '\0';
    }
}

const char *ip_format(const struct ip *ip, char ret[IP_TEXT_BYTES])
{
    if (ip->family == AF_INET)
        format_v4(ip->bytes, ret);
    else if (!ip->family || !inet_ntop(ip->family, ip->bytes, ret, IP_TEXT_BYTES))
        ret[0] = '\0';
    return ret;
}

const char *prefix_format(const struct prefix *p, char ret[PREFIX_TEXT_BYTES])
{
    char ip[IP_TEXT_BYTES];
    snprintf(ret, PREFIX_TEXT_BYTES, "%s/%u", ip_format(&p->ip, ip), p->len);
    return ret;
}

bool ip_eq(const struct ip *a, const struct ip *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, ip_bytes(a)) == 0;
}

struct ip ip_unmapped(const struct ip *ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct ip v4 = {.family = AF_INET};
    if (ip->family != AF_INET6 || memcmp(ip->bytes, mapped, sizeof(mapped)) != 0)
        return *ip;
    memcpy(v4.bytes, ip->bytes + 12, 4);
    return v4;
}

int ip_cmp(const struct ip *a, const struct ip *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, ip_bytes(a));
}

bool ip_is_loopback(const struct ip *ip)
{
    static const struct ip six = {.family = AF_INET6, .bytes = {[15] = 1}};
    return ip->family == AF_INET ? ip->bytes[0] == 127 : ip_eq(ip, &six);
}

bool prefix_contains(const struct prefix *p, const struct ip *ip)
{
    if (p->ip.family != ip->family)
        return false;
    size_t whole = p->len / 8;
    if (memcmp(p->ip.bytes, ip->bytes, whole))
        return false;
    uint8_t mask = (uint8_t)(0xff00 >> (p->len % 8));
    return p->len % 8 == 0 || ((p->ip.bytes[whole] ^ ip->bytes[whole]) & mask) == 0;
}

struct ip prefix_network(const struct prefix *p)
{
    struct ip ip = p->ip;
    for (size_t i = 0; i < ip_bytes(&ip); i++) {
        int keep = (int)p->len - (int)i * 8;
        if (keep <= 0)
            ip.bytes[i] = 0;
        else if (keep < 8)
            ip.bytes[i] = (uint8_t)(ip.bytes[i] & (0xff00 >> keep));
    }
    return ip;
}

uint64_t prefix_size(const struct prefix *p)
{
    size_t host_bits = ip_bytes(&p->ip) * 8 - p->len;
    return host_bits >= 63 ? (uint64_t)1 << 63 : (uint64_t)1 << host_bits;
}

int prefix_nth(const struct prefix *p, uint64_t n, struct ip *ret)
{
    if (n >= prefix_size(p))
        return -ERANGE;
    struct ip ip = prefix_network(p);
    for (size_t i = ip_bytes(&ip); i-- > 0 && n;) {
        n += ip.bytes[i];
        ip.bytes[i] = (uint8_t)n;
        n >>= 8;
    }
    *ret = ip;
    return 0;
}

socklen_t ip_to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (ip->family == AF_INET6) {
        struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ret;
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(port);
        memcpy(&sin6->sin6_addr, ip->bytes, 16);
        return sizeof(*sin6);
    }
    struct sockaddr_in *sin = (struct sockaddr_in *)ret;
    sin->sin_family = AF_INET;
    sin->sin_port = htons(port);
    memcpy(&sin->sin_addr, ip->bytes, 4);
    return sizeof(*sin);
}

int ip_from_sockaddr(const struct sockaddr *sa, struct ip *ret, uint16_t *ret_port)
{
    struct ip ip = {.family = (uint8_t)sa->sa_family};
    uint16_t port;
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in sin;
        memcpy(&sin, sa, sizeof(sin));
        memcpy(ip.bytes, &sin.sin_addr, 4);
        port = ntohs(sin.sin_port);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 sin6;
        memcpy(&sin6, sa, sizeof(sin6));
        memcpy(ip.bytes, &sin6.sin6_addr, 16);
        port = ntohs(sin6.sin6_port);
    } else {
        return -EAFNOSUPPORT;
    }
    *ret = ip;
    if (ret_port)
        *ret_port = port;
    return 0;
}

bool ip_is_any(const struct ip *ip)
{
    static const uint8_t zero[16];
    return memcmp(ip->bytes, zero, ip_bytes(ip)) == 0;
}

int ip_port_parse(struct str s, struct ip *ret, uint16_t *ret_port)
{
    size_t colon = s.n;
    uint64_t port;
    while (colon > 0 && s.p[colon - 1] != ':')
        colon--;
    if (colon == 0 || str_to_u64(str_sub(s, colon, s.n), &port) < 0 || port > UINT16_MAX)
        return -EINVAL;
    struct str host = str_sub(s, 0, colon - 1);
    bool brackets = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    struct ip ip;
    if (ip_parse(brackets ? str_sub(host, 1, host.n - 1) : host, &ip) < 0 ||
        (brackets && ip.family != AF_INET6))
        return -EINVAL;
    *ret = ip;
    *ret_port = (uint16_t)port;
    return 0;
}
