#include "codec/arp.h"

#include <errno.h>

static const uint8_t head[6] = {0, 1, 8, 0, 6, 4}; /* Ethernet, IPv4, the lengths of both */

int arp_parse(struct str message, struct arp *ret)
{
    const uint8_t *p = (const uint8_t *)message.p;
    if (message.n < ARP_BYTES || memcmp(p, head, sizeof(head)) != 0 || p[6] != 0 ||
        (p[7] != ARP_REQUEST && p[7] != ARP_REPLY))
        return -EINVAL;
    *ret = (struct arp){.operation = p[7], .sender.family = AF_INET, .target.family = AF_INET};
    memcpy(ret->sender_mac, p + 8, 6);
    memcpy(ret->sender.bytes, p + 14, 4);
    memcpy(ret->target_mac, p + 18, 6);
    memcpy(ret->target.bytes, p + 24, 4);
    return 0;
}

void arp_format(const struct arp *a, uint8_t ret[ARP_BYTES])
{
    memcpy(ret, head, sizeof(head));
    ret[6] = 0;
    ret[7] = (uint8_t)a->operation;
    memcpy(ret + 8, a->sender_mac, 6);
    memcpy(ret + 14, a->sender.bytes, 4);
    memcpy(ret + 18, a->target_mac, 6);
    memcpy(ret + 24, a->target.bytes, 4);
}
