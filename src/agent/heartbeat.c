/* Layout: "FLH1", a byte of flags, the time in 8 bytes, the length of the name and the name, and of
 * all that the signature. */
#include "agent/heartbeat.h"

#include <errno.h>

#include "net/digest.h"

enum { HEAD = 4 + 1 + 8 + 1, SERVES = 1 };

static const char magic[4] = {'F', 'L', 'H', '1'};

void heartbeat_encode(const struct heartbeat *h, struct str key, struct buf *ret)
{
    uint8_t signature[SHA256_BYTES];
    size_t begin = ret->n;
    buf_add(ret, magic, sizeof(magic));
    buf_add_u8(ret, h->serves ? SERVES : 0);
    buf_add_be32(ret, (uint32_t)((uint64_t)h->time_ms >> 32));
    buf_add_be32(ret, (uint32_t)h->time_ms);
    buf_add_u8(ret, (uint8_t)h->node.n);
    buf_add_str(ret, h->node);
    hmac_sha256(key, str_of(ret->p + begin, ret->n - begin), signature);
    buf_add(ret, signature, sizeof(signature));
}

int heartbeat_decode(struct str datagram, struct str key, struct heartbeat *ret)
{
    const uint8_t *p = (const uint8_t *)datagram.p;
    uint8_t signature[SHA256_BYTES];
    uint64_t time_ms = 0;
    if (datagram.n < HEAD + SHA256_BYTES || memcmp(p, magic, sizeof(magic)) != 0)
        return -EINVAL;
    size_t name = p[HEAD - 1];
    if (!name || name > HEARTBEAT_NAME_MAX || datagram.n != HEAD + name + SHA256_BYTES)
        return -EINVAL;
    hmac_sha256(key, str_of(p, HEAD + name), signature);
    if (!digest_eq(signature, p + HEAD + name))
        return -EACCES;
    for (size_t i = 0; i < 8; i++)
        time_ms = time_ms << 8 | p[5 + i];
    *ret = (struct heartbeat){str_of(p + HEAD, name), (int64_t)time_ms, p[4] & SERVES};
    return 0;
}

bool heartbeat_is_new(const struct heartbeat *h, int64_t last_ms, int64_t now_ms)
{
    return h->time_ms > last_ms && h->time_ms > now_ms - HEARTBEAT_SKEW_MS &&
           h->time_ms < now_ms + HEARTBEAT_SKEW_MS;
}
