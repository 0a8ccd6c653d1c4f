/* ClientHello: records are put together, then lengths are walked. Nothing is believed that does not
 * lie within what it is part of. */
#include "codec/tls_hello.h"

#include <errno.h>

enum {
    RECORD_HEAD = 5,
    RECORD_MAX = 16 * 1024 + 256, /* what lies may be above the plain limit, never beyond this */
    RECORD_HANDSHAKE = 22,
    MESSAGE_HEAD = 4,
    MESSAGE_CLIENT_HELLO = 1,
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_ALPN = 16,
    NAME_MAX_BYTES = 255,
};

struct reader {
    const uint8_t *p;
    size_t n;
    bool failed;
};

static uint32_t number(struct reader *r, size_t bytes)
{
    uint32_t v = 0;
    if (r->n < bytes) {
        r->failed = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | r->p[i];
    r->p += bytes;
    r->n -= bytes;
    return v;
}

static struct reader part(struct reader *r, size_t n)
{
    struct reader sub = {.p = r->p, .n = n};
    if (r->n < n) {
        r->failed = true;
        return (struct reader){.failed = true};
    }
    r->p += n;
    r->n -= n;
    return sub;
}

/* What a length of so many bytes announces. */
static struct reader vector(struct reader *r, size_t length_bytes)
{
    return part(r, number(r, length_bytes));
}

static int read_server_name(struct reader ext, struct tls_hello *h)
{
    struct reader list = vector(&ext, 2);
    if (ext.failed || ext.n || !list.n || h->server_name.p)
        return -EBADMSG;
    while (list.n) {
        uint32_t type = number(&list, 1);
        struct reader name = vector(&list, 2);
        if (list.failed)
            return -EBADMSG;
        if (type != 0)
            continue;
        if (!name.n || name.n > NAME_MAX_BYTES || h->server_name.p || memchr(name.p, 0, name.n))
            return -EBADMSG;
        h->server_name = str_of(name.p, name.n);
    }
    return 0;
}

static int read_protocols(struct reader ext, struct tls_hello *h)
{
    struct reader list = vector(&ext, 2);
    if (ext.failed || ext.n || !list.n || h->protocols.p)
        return -EBADMSG;
    h->protocols = str_of(list.p, list.n);
    while (list.n) {
        struct reader name = vector(&list, 1);
        if (list.failed || !name.n)
            return -EBADMSG;
    }
    return 0;
}

static int read_message(struct reader m, struct tls_hello *ret)
{
    struct tls_hello h = {0};
    part(&m, 2 + 32); /* version, random */
    struct reader id = vector(&m, 1);
    struct reader ciphers = vector(&m, 2);
    struct reader compressions = vector(&m, 1);
    if (m.failed || id.n > 32 || ciphers.n < 2 || ciphers.n % 2 || !compressions.n)
        return -EBADMSG;
    if (m.n) {
        struct reader all = vector(&m, 2);
        if (m.failed || m.n)
            return -EBADMSG;
        while (all.n) {
            uint32_t type = number(&all, 2);
            struct reader ext = vector(&all, 2);
            if (all.failed)
                return -EBADMSG;
            int r = type == EXTENSION_SERVER_NAME ? read_server_name(ext, &h)
                    : type == EXTENSION_ALPN      ? read_protocols(ext, &h)
                                                  : 0;
            if (r < 0)
                return r;
        }
    }
    *ret = h;
    return 1;
}

/* The payloads of the records, as far as they have come, in `room`. 1: the message is whole. */
static int gather(struct str bytes, char *room, size_t *ret_n)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    size_t at = 0, n = 0;
    for (;;) {
        size_t left = bytes.n - at;
        if (left >= 1 && p[at] != RECORD_HANDSHAKE)
            return at ? -EBADMSG : -EPROTO;
        if (left >= 2 && p[at + 1] != 3)
            return at ? -EBADMSG : -EPROTO;
        if (left < RECORD_HEAD)
            return 0;
        size_t length = (size_t)(p[at + 3] << 8 | p[at + 4]);
        if (!length || length > RECORD_MAX)
            return -EBADMSG;
        size_t have = MIN(length, left - RECORD_HEAD);
        if (have > TLS_HELLO_BYTES_MAX - n)
            return -E2BIG;
        memcpy(room + n, bytes.p + at + RECORD_HEAD, have);
        n += have;
        const uint8_t *m = (const uint8_t *)room;
        if (n >= 1 && m[0] != MESSAGE_CLIENT_HELLO)
            return -EBADMSG;
        if (n >= MESSAGE_HEAD) {
            size_t whole = (size_t)(m[1] << 16 | m[2] << 8 | m[3]);
            if (whole > TLS_HELLO_BYTES_MAX - MESSAGE_HEAD)
                return -E2BIG;
            if (n >= MESSAGE_HEAD + whole) {
                *ret_n = MESSAGE_HEAD + whole;
                return 1;
            }
        }
        if (have < length)
            return 0;
        at += RECORD_HEAD + length;
    }
}

int tls_hello_read(struct str bytes, char room[TLS_HELLO_BYTES_MAX], struct tls_hello *ret)
{
    size_t n = 0;
    int r = gather(bytes, room, &n);
    if (r != 1)
        return r;
    return read_message(
        (struct reader){.p = (const uint8_t *)room + MESSAGE_HEAD, .n = n - MESSAGE_HEAD}, ret);
}

struct str tls_hello_next_protocol(struct str *list)
{
    if (!list->n)
        return (struct str){NULL, 0};
    size_t n = MIN((size_t)(uint8_t)list->p[0], list->n - 1);
    struct str name = str_sub(*list, 1, 1 + n);
    *list = str_sub(*list, 1 + n, list->n);
    return name;
}
