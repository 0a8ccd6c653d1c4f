/* WebSocket framing. Sans-I/O; unmasks in place, so a frame costs no copy. */
#include "codec/websocket.h"

#include <errno.h>

#include "base/assert.h"
#include "base/rand.h"
#include "codec/base64.h"
#include "codec/sha1.h"

static uint64_t read_be(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static bool opcode_is_known(unsigned opcode)
{
    return opcode <= WEBSOCKET_BINARY || (opcode >= WEBSOCKET_CLOSE && opcode <= WEBSOCKET_PONG);
}

enum { HEAD_MAX = 14 };

int websocket_frame_read(struct chain *in, bool from_client, struct websocket_frame *ret,
                         size_t *ret_consumed)
{
    unsigned char p[HEAD_MAX];
    size_t head = 2;
    chain_copy(in, p, MIN(in->n, (size_t)HEAD_MAX));
    if (in->n < 2)
        return 0;
    unsigned opcode = p[0] & 0x0f;
    bool masked = p[1] & 0x80;
    uint64_t n = p[1] & 0x7f;
    bool control = opcode & 8;
    if ((p[0] & 0x70) || !opcode_is_known(opcode) || masked != from_client ||
        (control && (n > 125 || !(p[0] & 0x80))))
        return -EBADMSG;
    size_t extra = n == 126 ? 2 : n == 127 ? 8 : 0;
    head += extra + (masked ? 4 : 0);
    if (in->n < head)
        return 0;
    if (extra)
        n = read_be(p + 2, extra);
    if (n > WEBSOCKET_FRAME_BYTES_MAX)
        return -E2BIG;
    if (in->n < head + n)
        return 0;
    struct str whole = chain_linear(in, head + (size_t)n);
    if (!whole.p)
        return -ENOMEM;
    char *payload = in->first->p + head;
    const unsigned char *mask = p + head - 4;
    for (uint64_t i = 0; masked && i < n; i++)
        payload[i] = (char)(payload[i] ^ mask[i % 4]);
    ret->opcode = (enum websocket_opcode)opcode;
    ret->final = p[0] & 0x80;
    ret->payload = str_of(payload, (size_t)n);
    *ret_consumed = head + (size_t)n;
    return 1;
}

static void frame_head(struct buf *out, unsigned opcode, bool masked, size_t n,
                       unsigned char mask[4])
{
    unsigned bit = masked ? 0x80 : 0;
    ASSERT(!(opcode & 8) || n <= 125); /* RFC 6455 section 5.5 */
    buf_add_u8(out, (uint8_t)(0x80 | opcode));
    if (n < 126) {
        buf_add_u8(out, (uint8_t)(bit | n));
    } else if (n < 65536) {
        buf_add_u8(out, (uint8_t)(bit | 126));
        buf_add_be16(out, (uint16_t)n);
    } else {
        buf_add_u8(out, (uint8_t)(bit | 127));
        buf_add_be32(out, (uint32_t)((uint64_t)n >> 32));
        buf_add_be32(out, (uint32_t)n);
    }
    if (masked) {
        rand_bytes(mask, 4);
        buf_add(out, mask, 4);
    }
}

static void add_masked(struct buf *out, const void *p, size_t n, bool masked,
                       const unsigned char mask[4], size_t at)
{
    const unsigned char *bytes = p;
    if (!masked) {
        buf_add(out, p, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        buf_add_u8(out, bytes[i] ^ mask[(at + i) % 4]);
}

void websocket_frame_write(struct buf *out, enum websocket_opcode opcode, bool masked,
                           struct str payload)
{
    unsigned char mask[4];
    frame_head(out, opcode, masked, payload.n, mask);
    add_masked(out, payload.p, payload.n, masked, mask, 0);
}

void websocket_channel_write(struct buf *out, uint8_t channel, bool masked, struct str payload)
{
    unsigned char mask[4];
    frame_head(out, WEBSOCKET_BINARY, masked, payload.n + 1, mask);
    add_masked(out, &channel, 1, masked, mask, 0);
    add_masked(out, payload.p, payload.n, masked, mask, 1);
}

void websocket_close_write(struct buf *out, bool masked, uint16_t code)
{
    unsigned char bytes[2] = {(unsigned char)(code >> 8), (unsigned char)code};
    websocket_frame_write(out, WEBSOCKET_CLOSE, masked, str_of(bytes, 2));
}

void websocket_accept_key(struct str key, char ret[29])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[64 + sizeof(guid)];
    unsigned char digest[20];
    size_t n = MIN(key.n, (size_t)64);
    if (n)
        memcpy(text, key.p, n);
    memcpy(text + n, guid, sizeof(guid) - 1);
    sha1(str_of(text, n + sizeof(guid) - 1), digest);
    base64_encode_short(digest, sizeof(digest), ret);
}

void websocket_key_new(char ret[25])
{
    unsigned char bytes[16];
    rand_bytes(bytes, sizeof(bytes));
    base64_encode_short(bytes, sizeof(bytes), ret);
}
