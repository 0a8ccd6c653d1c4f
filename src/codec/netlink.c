/* Netlink message bytes. Sans-I/O: nl/ owns the sockets. Reading trusts nothing: every length is
 * checked against what is left, because a reply can be truncated by a receive buffer that was too
 * small. */
#include "codec/netlink.h"

#include <errno.h>

#include "base/assert.h"

static void pad4(struct buf *b)
{
    static const char zero[4];
    buf_add(b, zero, (4 - b->n % 4) % 4);
}

size_t nlmsg_begin(struct buf *b, uint16_t type, uint16_t flags, uint32_t seq)
{
    size_t begin = b->n;
    struct nlmsghdr h = {.nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = seq};
    ASSERT(begin % 4 == 0);
    buf_add(b, &h, sizeof(h));
    return begin;
}

void nlmsg_fixed(struct buf *b, const void *p, size_t n)
{
    buf_add(b, p, n);
    pad4(b);
}

void nlmsg_end(struct buf *b, size_t begin)
{
    if (b->failed)
        return;
    ASSERT(begin % 4 == 0 && b->n >= begin + sizeof(struct nlmsghdr));
    uint32_t len = (uint32_t)(b->n - begin);
    memcpy(b->p + begin + offsetof(struct nlmsghdr, nlmsg_len), &len, sizeof(len));
}

void nla_add(struct buf *b, uint16_t type, const void *p, size_t n)
{
    if (n > UINT16_MAX - sizeof(struct nlattr)) {
        b->failed = true;
        return;
    }
    ASSERT(p || n == 0);
    struct nlattr a = {.nla_len = (uint16_t)(sizeof(a) + n), .nla_type = type};
    buf_add(b, &a, sizeof(a));
    buf_add(b, p, n);
    pad4(b);
}

void nla_add_u8(struct buf *b, uint16_t type, uint8_t v)
{
    nla_add(b, type, &v, sizeof(v));
}

void nla_add_u16(struct buf *b, uint16_t type, uint16_t v)
{
    nla_add(b, type, &v, sizeof(v));
}

void nla_add_u32(struct buf *b, uint16_t type, uint32_t v)
{
    nla_add(b, type, &v, sizeof(v));
}

void nla_add_be16(struct buf *b, uint16_t type, uint16_t v)
{
    nla_add_u16(b, type, __builtin_bswap16(v));
}

void nla_add_be32(struct buf *b, uint16_t type, uint32_t v)
{
    nla_add_u32(b, type, __builtin_bswap32(v));
}

void nla_add_be64(struct buf *b, uint16_t type, uint64_t v)
{
    uint64_t be = __builtin_bswap64(v);
    nla_add(b, type, &be, sizeof(be));
}

void nla_add_cstr(struct buf *b, uint16_t type, const char *s)
{
    nla_add(b, type, s, strlen(s) + 1);
}

size_t nla_nest_begin(struct buf *b, uint16_t type)
{
    size_t begin = b->n;
    nla_add(b, (uint16_t)(type | NLA_F_NESTED), NULL, 0);
    return begin;
}

void nla_nest_end(struct buf *b, size_t begin)
{
    if (b->failed)
        return;
    if (b->n - begin > UINT16_MAX) {
        b->failed = true;
        return;
    }
    ASSERT(b->n >= begin + sizeof(struct nlattr));
    uint16_t len = (uint16_t)(b->n - begin);
    memcpy(b->p + begin, &len, sizeof(len));
}

int nlmsg_next(struct str *bytes, struct nlmsg *ret)
{
    struct nlmsghdr h;
    if (bytes->n == 0)
        return 0;
    if (bytes->n < sizeof(h))
        return -EBADMSG;
    memcpy(&h, bytes->p, sizeof(h));
    if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > bytes->n)
        return -EBADMSG;
    ret->type = h.nlmsg_type;
    ret->flags = h.nlmsg_flags;
    ret->seq = h.nlmsg_seq;
    ret->pid = h.nlmsg_pid;
    ret->payload = str_sub(*bytes, sizeof(h), h.nlmsg_len);
    *bytes = str_sub(*bytes, MIN(((size_t)h.nlmsg_len + 3) & ~(size_t)3, bytes->n), bytes->n);
    return 1;
}

struct str nlmsg_attrs(const struct nlmsg *m, size_t fixed)
{
    fixed = (fixed + 3) & ~(size_t)3;
    if (m->payload.n < fixed)
        return (struct str){NULL, 0};
    return str_sub(m->payload, fixed, m->payload.n);
}

int nla_next(struct str *bytes, struct nla *ret)
{
    struct nlattr a;
    if (bytes->n == 0)
        return 0;
    if (bytes->n < sizeof(a))
        return -EBADMSG;
    memcpy(&a, bytes->p, sizeof(a));
    if (a.nla_len < sizeof(a) || a.nla_len > bytes->n)
        return -EBADMSG;
    ret->type = a.nla_type & NLA_TYPE_MASK;
    ret->data = str_sub(*bytes, sizeof(a), a.nla_len);
    *bytes = str_sub(*bytes, MIN(((size_t)a.nla_len + 3) & ~(size_t)3, bytes->n), bytes->n);
    return 1;
}

struct str nla_find(struct str attrs, uint16_t type)
{
    struct nla a;
    while (nla_next(&attrs, &a) == 1)
        if (a.type == type)
            return a.data;
    return (struct str){NULL, 0};
}

uint8_t nla_u8(struct str data, uint8_t fallback)
{
    return data.n >= 1 ? (uint8_t)data.p[0] : fallback;
}

uint16_t nla_u16(struct str data, uint16_t fallback)
{
    if (data.n >= sizeof(fallback))
        memcpy(&fallback, data.p, sizeof(fallback));
    return fallback;
}

uint32_t nla_u32(struct str data, uint32_t fallback)
{
    if (data.n >= sizeof(fallback))
        memcpy(&fallback, data.p, sizeof(fallback));
    return fallback;
}

uint16_t nla_be16(struct str data, uint16_t fallback)
{
    return data.n >= 2 ? __builtin_bswap16(nla_u16(data, 0)) : fallback;
}

uint32_t nla_be32(struct str data, uint32_t fallback)
{
    return data.n >= 4 ? __builtin_bswap32(nla_u32(data, 0)) : fallback;
}

uint64_t nla_be64(struct str data, uint64_t fallback)
{
    if (data.n < sizeof(fallback))
        return fallback;
    memcpy(&fallback, data.p, sizeof(fallback));
    return __builtin_bswap64(fallback);
}

struct str nla_text(struct str data)
{
    size_t n = data.n ? strnlen(data.p, data.n) : 0;
    return (struct str){data.p, n};
}

int nlmsg_error(const struct nlmsg *m, struct str *ret_text)
{
    struct nlmsgerr e;
    struct str rest;
    if (ret_text)
        *ret_text = (struct str){NULL, 0};
    if (m->payload.n < sizeof(e))
        return -EBADMSG;
    memcpy(&e, m->payload.p, sizeof(e));
    if (!ret_text || !(m->flags & NLM_F_ACK_TLVS))
        return e.error > 0 ? -EBADMSG : e.error;
    size_t skip = sizeof(e);
    if (!(m->flags & NLM_F_CAPPED) && e.msg.nlmsg_len >= sizeof(struct nlmsghdr))
        skip += (((size_t)e.msg.nlmsg_len + 3) & ~(size_t)3) - sizeof(struct nlmsghdr);
    rest = skip <= m->payload.n ? str_sub(m->payload, skip, m->payload.n) : (struct str){NULL, 0};
    *ret_text = nla_text(nla_find(rest, NLMSGERR_ATTR_MSG));
    return e.error > 0 ? -EBADMSG : e.error;
}

int nlmsg_done(const struct nlmsg *m, struct str *ret_text)
{
    int32_t error = 0;
    *ret_text = (struct str){NULL, 0};
    if (m->payload.n < sizeof(error))
        return 0;
    memcpy(&error, m->payload.p, sizeof(error));
    if (m->flags & NLM_F_ACK_TLVS)
        *ret_text = nla_text(nla_find(nlmsg_attrs(m, sizeof(error)), NLMSGERR_ATTR_MSG));
    return error > 0 ? -EBADMSG : error;
}
