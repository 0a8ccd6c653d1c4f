#include "codec/ndp.h"

#include <errno.h>
#include <netinet/in.h>

enum {
    HEADER = 40,
    SOLICITATION = 135,
    ADVERTISEMENT = 136,
    OPTION_SOURCE_MAC = 1,
    OPTION_TARGET_MAC = 2,
    PACKET_MAX = 65535 + HEADER,
};

/* One's complement sum of the pseudo header and the message: 0xffff if its checksum is right. */
static uint16_t sum(const uint8_t *packet, const uint8_t *message, size_t n)
{
    uint32_t s = IPPROTO_ICMPV6 + (uint32_t)n;
    for (size_t i = 8; i < HEADER; i += 2)
        s += (uint32_t)packet[i] << 8 | packet[i + 1];
    for (size_t i = 0; i < n; i++)
        s += i % 2 ? message[i] : (uint32_t)message[i] << 8;
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)s;
}

static struct ip ip_at(const uint8_t *p)
{
    struct ip ip = {.family = AF_INET6};
    memcpy(ip.bytes, p, 16);
    return ip;
}

static bool is_unspecified(const struct ip *ip)
{
    static const struct ip none = {.family = AF_INET6};
    return ip_eq(ip, &none);
}

struct ip ndp_solicited_node(const struct ip *ip)
{
    struct ip group = {.family = AF_INET6, .bytes = {0xff, 2, [11] = 1, [12] = 0xff}};
    memcpy(group.bytes + 13, ip->bytes + 13, 3);
    return group;
}

void ndp_multicast_mac(const struct ip *ip, uint8_t ret[6])
{
    ret[0] = ret[1] = 0x33;
    memcpy(ret + 2, ip->bytes + 12, 4);
}

/* Each has a length that is not nought, in units of 8 bytes, and ends where the packet does. */
static int read_options(const uint8_t *p, size_t n, struct ndp_solicitation *ret)
{
    while (n) {
        size_t size = n >= 2 ? (size_t)p[1] * 8 : 0;
        if (!size || size > n)
            return -EINVAL;
        if (p[0] == OPTION_SOURCE_MAC && size == 8) {
            ret->has_mac = true;
            memcpy(ret->mac, p + 2, 6);
        }
        p += size;
        n -= size;
    }
    return 0;
}

int ndp_parse_solicitation(struct str packet, struct ndp_solicitation *ret)
{
    const uint8_t *p = (const uint8_t *)packet.p, *m = p + HEADER;
    struct ndp_solicitation s = {0};
    if (packet.n < HEADER + 24 || packet.n > PACKET_MAX || p[0] >> 4 != 6 ||
        p[6] != IPPROTO_ICMPV6 || p[7] != 255)
        return -EINVAL;
    size_t n = (size_t)p[4] << 8 | p[5]; /* what is behind it fills the frame */
    if (n < 24 || n > packet.n - HEADER || m[0] != SOLICITATION || m[1] != 0 ||
        sum(p, m, n) != 0xffff)
        return -EINVAL;
    struct ip destination = ip_at(p + 24);
    s.source = ip_at(p + 8);
    s.target = ip_at(m + 8);
    if (s.target.bytes[0] == 0xff || s.source.bytes[0] == 0xff ||
        read_options(m + 24, n - 24, &s) < 0)
        return -EINVAL;
    struct ip group = ndp_solicited_node(&s.target);
    if (is_unspecified(&s.source) && (s.has_mac || !ip_eq(&destination, &group)))
        return -EINVAL;
    *ret = s;
    return 0;
}

void ndp_format_advertisement(const struct ndp_advertisement *a,
                              uint8_t ret[NDP_ADVERTISEMENT_BYTES])
{
    uint8_t *m = ret + HEADER;
    memset(ret, 0, NDP_ADVERTISEMENT_BYTES);
    ret[0] = 0x60;
    ret[5] = NDP_ADVERTISEMENT_BYTES - HEADER;
    ret[6] = IPPROTO_ICMPV6;
    ret[7] = 255;
    memcpy(ret + 8, a->source.bytes, 16);
    memcpy(ret + 24, a->destination.bytes, 16);
    m[0] = ADVERTISEMENT;
    m[4] = (uint8_t)((a->solicited ? 0x40 : 0) | (a->override ? 0x20 : 0));
    memcpy(m + 8, a->target.bytes, 16);
    m[24] = OPTION_TARGET_MAC;
    m[25] = 1;
    memcpy(m + 26, a->mac, 6);
    uint16_t check = (uint16_t)~sum(ret, m, NDP_ADVERTISEMENT_BYTES - HEADER);
    m[2] = (uint8_t)(check >> 8);
    m[3] = (uint8_t)check;
}
