/* Heads of the PROXY protocol. Types and lengths are checked before what they announce is waited
 * for, so that nobody waits for what will be refused. */
#include "codec/proxy_protocol.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"

enum {
    V1_BYTES_MAX = 107, /* of version 1, with CR LF */
    HEAD_V2 = 16,
};

static const char signature_v1[] = "PROXY ";
static const char signature_v2[] = "\r\n\r\n\0\r\nQUIT\n";

static bool begins_with(struct str s, const char *signature, size_t n)
{
    return memcmp(s.p, signature, MIN(s.n, n)) == 0;
}

static int read_port(struct str s, uint16_t *ret)
{
    uint64_t n;
    if (s.n > 5 || (s.n > 1 && s.p[0] == '0') || str_to_u64(s, &n) < 0 || n > UINT16_MAX)
        return -EBADMSG;
    *ret = (uint16_t)n;
    return 0;
}

static int read_line(struct str line, struct proxy_protocol *p)
{
    struct str rest;
    struct str family = str_cut(line, ' ', &rest);
    if (str_is(family, "UNKNOWN")) {
        p->local = true; /* whatever follows */
        return 1;
    }
    int wanted = str_is(family, "TCP4") ? AF_INET : str_is(family, "TCP6") ? AF_INET6 : 0;
    struct str words[4];
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!rest.p)
            return -EBADMSG;
        words[i] = str_cut(rest, ' ', &rest);
    }
    if (!wanted || rest.p || ip_parse(words[0], &p->source) < 0 ||
        ip_parse(words[1], &p->destination) < 0 || p->source.family != wanted ||
        p->destination.family != wanted || read_port(words[2], &p->source_port) < 0 ||
        read_port(words[3], &p->destination_port) < 0)
        return -EBADMSG;
    return 1;
}

static int read_v1(struct str bytes, struct proxy_protocol *p)
{
    struct str s = str_sub(bytes, 0, MIN(bytes.n, (size_t)V1_BYTES_MAX));
    const char *end = memchr(s.p, '\n', s.n);
    if (!end)
        return bytes.n >= V1_BYTES_MAX ? -EBADMSG : 0;
    p->version = 1;
    p->bytes = (size_t)(end - s.p) + 1;
    if (p->bytes < sizeof(signature_v1) + 1 || end[-1] != '\r')
        return -EBADMSG;
    return read_line(str_sub(s, sizeof(signature_v1) - 1, p->bytes - 2), p);
}

static void read_addresses(const uint8_t *p, uint8_t family, size_t n, struct proxy_protocol *ret)
{
    ret->source.family = ret->destination.family = family;
    memcpy(ret->source.bytes, p, n);
    memcpy(ret->destination.bytes, p + n, n);
    ret->source_port = (uint16_t)(p[2 * n] << 8 | p[2 * n + 1]);
    ret->destination_port = (uint16_t)(p[2 * n + 2] << 8 | p[2 * n + 3]);
}

static int read_v2(struct str bytes, struct proxy_protocol *p)
{
    const uint8_t *b = (const uint8_t *)bytes.p;
    if (bytes.n < HEAD_V2)
        return 0;
    uint8_t version = b[12] >> 4, command = b[12] & 15, family = b[13] >> 4, transport = b[13] & 15;
    size_t length = (size_t)(b[14] << 8 | b[15]);
    if (version != 2 || command > 1)
        return -EBADMSG;
    size_t ip = family == 1 ? 4 : family == 2 ? 16 : 0;
    p->version = 2;
    p->local = command == 0 || family == 0;
    p->bytes = HEAD_V2 + length;
    if (!p->local && (!ip || transport != 1))
        return -EAFNOSUPPORT;
    if (!p->local && length < 2 * ip + 4)
        return -EBADMSG;
    if (p->bytes > PROXY_PROTOCOL_BYTES_MAX)
        return -E2BIG;
    if (bytes.n < p->bytes)
        return 0;
    if (!p->local)
        read_addresses(b + HEAD_V2, family == 1 ? AF_INET : AF_INET6, ip, p);
    return 1;
}

int proxy_protocol_read(struct str bytes, struct proxy_protocol *ret)
{
    struct proxy_protocol p = {0};
    int r = -ENOENT;
    if (!bytes.n)
        return 0;
    if (begins_with(bytes, signature_v1, sizeof(signature_v1) - 1))
        r = read_v1(bytes, &p);
    else if (begins_with(bytes, signature_v2, sizeof(signature_v2) - 1))
        r = read_v2(bytes, &p);
    if (r == 1)
        *ret = p;
    return r;
}

static size_t write_v1(const struct proxy_protocol *p, bool local, char *ret)
{
    char from[IP_TEXT_BYTES], to[IP_TEXT_BYTES];
    int n = local ? snprintf(ret, PROXY_PROTOCOL_WRITTEN_MAX, "PROXY UNKNOWN\r\n")
                  : snprintf(ret, PROXY_PROTOCOL_WRITTEN_MAX, "PROXY %s %s %s %u %u\r\n",
                             p->source.family == AF_INET6 ? "TCP6" : "TCP4",
                             ip_format(&p->source, from), ip_format(&p->destination, to),
                             p->source_port, p->destination_port);
    ASSERT(n > 0 && n < PROXY_PROTOCOL_WRITTEN_MAX);
    return (size_t)n;
}

static size_t write_v2(const struct proxy_protocol *p, bool local, char *ret)
{
    enum { VERSION = 2 << 4, PROXY = 1, TCP4 = 0x11, TCP6 = 0x21 };
    size_t ip = local ? 0 : ip_bytes(&p->source), length = local ? 0 : 2 * ip + 4;
    uint8_t *b = (uint8_t *)ret;
    memcpy(b, signature_v2, sizeof(signature_v2) - 1);
    b[12] = (uint8_t)(local ? VERSION : VERSION | PROXY);
    b[13] = (uint8_t)(local ? 0 : p->source.family == AF_INET6 ? TCP6 : TCP4);
    b[14] = 0;
    b[15] = (uint8_t)length;
    if (local)
        return HEAD_V2;
    memcpy(b + HEAD_V2, p->source.bytes, ip);
    memcpy(b + HEAD_V2 + ip, p->destination.bytes, ip);
    b += HEAD_V2 + 2 * ip;
    b[0] = (uint8_t)(p->source_port >> 8);
    b[1] = (uint8_t)p->source_port;
    b[2] = (uint8_t)(p->destination_port >> 8);
    b[3] = (uint8_t)p->destination_port;
    return HEAD_V2 + length;
}

size_t proxy_protocol_write(const struct proxy_protocol *p, char ret[PROXY_PROTOCOL_WRITTEN_MAX])
{
    bool local = p->local || !p->source.family || p->source.family != p->destination.family;
    ASSERT(p->version == 1 || p->version == 2);
    return p->version == 1 ? write_v1(p, local, ret) : write_v2(p, local, ret);
}
