/* DNS wire format, sans I/O.
 *
 * Reading never leaves the message and never follows a compression pointer in a question (no client
 * sends one, and not following is the surest way not to loop). Writing compresses owner names that
 * equal the question's, which is nearly all of them. A record that does not fit is taken back
 * whole. */
#include "codec/dns.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"

enum { DNS_HEAD_BYTES = 12 };

static uint16_t u16_at(struct str s, size_t at)
{
    return (uint16_t)((uint8_t)s.p[at] << 8 | (uint8_t)s.p[at + 1]);
}

static bool is_label_char(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '*';
}

/* Reads an uncompressed name at *at. */
static int read_name(struct str s, size_t *at, char ret[DNS_NAME_BYTES])
{
    size_t out = 0;
    for (;;) {
        if (*at >= s.n)
            return -EBADMSG;
        uint8_t n = (uint8_t)s.p[(*at)++];
        if (n == 0)
            break;
        if (n > 63 || s.n - *at < n || out + n + 2 > DNS_NAME_BYTES)
            return -EBADMSG;
        if (out)
            ret[out++] = '.';
        for (uint8_t i = 0; i < n; i++) {
            char c = s.p[(*at)++];
            if (!is_label_char(c))
                return -EBADMSG;
            ret[out++] = (char)tolower((unsigned char)c);
        }
    }
    ret[out] = 0;
    return 0;
}

/* Looks for EDNS among the additional records; queries have nothing else there. */
static void read_edns(struct str s, size_t at, unsigned records, struct dns_query *ret)
{
    for (; records && at < s.n && s.p[at] == 0 && s.n - at >= 11; records--) {
        uint16_t type = u16_at(s, at + 1), length = u16_at(s, at + 9);
        if (type == DNS_OPT) {
            ret->has_edns = true;
            ret->edns_version = (uint8_t)s.p[at + 6];
            ret->udp_bytes =
                (uint16_t)MIN(MAX((int)u16_at(s, at + 3), DNS_UDP_BYTES), DNS_UDP_BYTES_MAX);
        }
        at += 11u + length;
    }
}

int dns_query_parse(struct str s, struct dns_query *ret)
{
    *ret = (struct dns_query){.udp_bytes = DNS_UDP_BYTES};
    if (s.n < DNS_HEAD_BYTES)
        return -EBADMSG;
    ret->id = u16_at(s, 0);
    uint16_t flags = u16_at(s, 2);
    ret->opcode = (uint8_t)(flags >> 11 & 15);
    ret->recursion_desired = flags >> 8 & 1;
    ret->checking_disabled = flags >> 4 & 1;
    size_t at = DNS_HEAD_BYTES;
    if (flags & 0x8000 || u16_at(s, 4) != 1 || read_name(s, &at, ret->name) < 0 || s.n - at < 4)
        return -EBADMSG;
    ret->type = u16_at(s, at);
    ret->class_ = u16_at(s, at + 2);
    at += 4;
    ret->question = str_sub(s, DNS_HEAD_BYTES, at);
    if (u16_at(s, 6) == 0 && u16_at(s, 8) == 0)
        read_edns(s, at, u16_at(s, 10), ret);
    return 0;
}

int dns_question_of(struct str message, struct str *ret)
{
    size_t at = DNS_HEAD_BYTES;
    uint8_t n;
    if (message.n < DNS_HEAD_BYTES || u16_at(message, 4) != 1)
        return -EBADMSG;
    do {
        if (at >= message.n)
            return -EBADMSG;
        n = (uint8_t)message.p[at++];
        if (n > 63 || message.n - at < n || at - DNS_HEAD_BYTES + n > DNS_NAME_BYTES)
            return -EBADMSG;
        at += n;
    } while (n);
    if (message.n - at < 4)
        return -EBADMSG;
    *ret = str_sub(message, DNS_HEAD_BYTES, at + 4);
    return 0;
}

/* ---- writing ---- */

void dns_refuse(struct str query, enum dns_rcode rcode, struct buf *ret)
{
    struct str question = STR("");
    uint8_t head[DNS_HEAD_BYTES] = {0};
    ASSERT(rcode < 16);
    if (query.n < DNS_HEAD_BYTES || query.p[2] & 0x80)
        return;
    if (dns_question_of(query, &question) < 0)
        question = STR("");
    head[0] = (uint8_t)query.p[0];
    head[1] = (uint8_t)query.p[1];
    head[2] = (uint8_t)(0x80 | (query.p[2] & 0x79)); /* what it asked for, and that it wants more */
    head[3] = (uint8_t)(0x80 | rcode);
    head[5] = question.n != 0;
    buf_add(ret, head, sizeof(head));
    buf_add_str(ret, question);
}

static void write_whole_name(struct dns_reply *r, const char *name)
{
    for (struct str rest = str_from(name), label; rest.p && rest.n;) {
        label = str_cut(rest, '.', &rest);
        label.n = MIN(label.n, (size_t)63);
        buf_add_u8(r->b, (uint8_t)label.n);
        buf_add_str(r->b, label);
    }
    buf_add_u8(r->b, 0);
}

static void write_name(struct dns_reply *r, const char *name)
{
    if (r->query->question.n && streq(name, r->query->name))
        buf_add_be16(r->b, 0xc000 | DNS_HEAD_BYTES);
    else
        write_whole_name(r, name);
}

void dns_reply_begin(struct dns_reply *r, struct buf *b, const struct dns_query *q, size_t limit)
{
    static const char head[DNS_HEAD_BYTES];
    ASSERT(limit >= DNS_UDP_BYTES && limit <= DNS_TCP_BYTES_MAX);
    *r = (struct dns_reply){.b = b, .begin = b->n, .limit = limit, .query = q};
    buf_add(b, head, sizeof(head));
    buf_add_str(b, q->question);
    r->question_end = b->n;
}

struct record {
    size_t begin;
    size_t length_at;
};

static struct record record_begin(struct dns_reply *r, const char *name, uint16_t type,
                                  uint32_t ttl)
{
    struct record rec = {.begin = r->b->n};
    write_name(r, name);
    buf_add_be16(r->b, type);
    buf_add_be16(r->b, DNS_CLASS_IN);
    buf_add_be32(r->b, ttl);
    rec.length_at = r->b->n;
    buf_add_be16(r->b, 0);
    return rec;
}

/* RFC 2181 section 5: a set has no record twice. */
static bool is_there_already(const struct dns_reply *r, struct record rec)
{
    const char *before = r->b->p + r->question_end;
    return r->counts[DNS_ANSWER] <= DNS_DUPLICATES_AMONG &&
           memmem(before, rec.begin - r->question_end, r->b->p + rec.begin, r->b->n - rec.begin);
}

static void record_end(struct dns_reply *r, enum dns_section s, struct record rec)
{
    size_t reserve = r->query->has_edns ? 11 : 0;
    if (r->b->failed || r->truncated || r->b->n - r->begin + reserve > r->limit) {
        r->b->n = MIN(rec.begin, r->b->n);
        r->truncated = r->truncated || s == DNS_ANSWER;
        return;
    }
    size_t n = r->b->n - rec.length_at - 2;
    r->b->p[rec.length_at] = (char)(n >> 8);
    r->b->p[rec.length_at + 1] = (char)n;
    ASSERT(n <= UINT16_MAX && s >= DNS_ANSWER && s <= DNS_ADDITIONAL);
    for (unsigned later = s + 1u; later <= DNS_ADDITIONAL; later++)
        ASSERT(r->counts[later] == 0); /* sections come in order */
    if (is_there_already(r, rec))
        r->b->n = rec.begin;
    else
        r->counts[s]++;
}

void dns_reply_ip(struct dns_reply *r, enum dns_section s, const char *name, uint32_t ttl,
                  const struct ip *ip)
{
    struct record rec = record_begin(r, name, ip->family == AF_INET6 ? DNS_AAAA : DNS_A, ttl);
    buf_add(r->b, ip->bytes, ip_bytes(ip));
    record_end(r, s, rec);
}

void dns_reply_name(struct dns_reply *r, enum dns_section s, const char *name, uint16_t type,
                    uint32_t ttl, const char *target)
{
    struct record rec = record_begin(r, name, type, ttl);
    write_name(r, target);
    record_end(r, s, rec);
}

void dns_reply_srv(struct dns_reply *r, const char *name, uint32_t ttl, uint16_t priority,
                   uint16_t weight, uint16_t port, const char *target)
{
    struct record rec = record_begin(r, name, DNS_SRV, ttl);
    buf_add_be16(r->b, priority);
    buf_add_be16(r->b, weight);
    buf_add_be16(r->b, port);
    write_whole_name(r, target); /* RFC 2782: not compressed */
    record_end(r, DNS_ANSWER, rec);
}

void dns_reply_txt(struct dns_reply *r, const char *name, uint32_t ttl, struct str text)
{
    ASSERT(text.n <= 255);
    struct record rec = record_begin(r, name, DNS_TXT, ttl);
    buf_add_u8(r->b, (uint8_t)text.n);
    buf_add_str(r->b, text);
    record_end(r, DNS_ANSWER, rec);
}

void dns_reply_soa(struct dns_reply *r, const char *zone, uint32_t ttl, uint32_t serial,
                   uint32_t negative_ttl)
{
    char name[DNS_NAME_BYTES + 16];
    bool asked = r->query->type == DNS_SOA && streq(zone, r->query->name);
    struct record rec = record_begin(r, zone, DNS_SOA, ttl);
    snprintf(name, sizeof(name), "ns.dns.%s", zone);
    write_name(r, name);
    snprintf(name, sizeof(name), "hostmaster.%s", zone);
    write_name(r, name);
    buf_add_be32(r->b, serial);
    buf_add_be32(r->b, 7200);
    buf_add_be32(r->b, 1800);
    buf_add_be32(r->b, 86400);
    buf_add_be32(r->b, negative_ttl);
    record_end(r, asked ? DNS_ANSWER : DNS_AUTHORITY, rec);
}

void dns_reply_end(struct dns_reply *r, enum dns_rcode rcode)
{
    const struct dns_query *q = r->query;
    if (q->has_edns) {
        buf_add_u8(r->b, 0);
        buf_add_be16(r->b, DNS_OPT);
        buf_add_be16(r->b, DNS_UDP_BYTES_MAX);
        buf_add_be32(r->b, (uint32_t)rcode >> 4 << 24); /* the code's upper bits; version 0 */
        buf_add_be16(r->b, 0);
        r->counts[DNS_ADDITIONAL]++;
    }
    if (r->b->failed)
        return;
    bool authoritative = rcode == DNS_NOERROR || rcode == DNS_NXDOMAIN;
    unsigned flags = 0x8000u | (unsigned)q->opcode << 11 | (authoritative ? 0x0400u : 0) |
                     (r->truncated ? 0x0200u : 0) | (q->recursion_desired ? 0x0100u : 0) |
                     (q->checking_disabled ? 0x0010u : 0) | ((unsigned)rcode & 15);
    const uint16_t words[6] = {q->id,        (uint16_t)flags, q->question.n ? 1 : 0,
                               r->counts[0], r->counts[1],    r->counts[2]};
    for (size_t i = 0; i < 6; i++) {
        r->b->p[r->begin + 2 * i] = (char)(words[i] >> 8);
        r->b->p[r->begin + 2 * i + 1] = (char)words[i];
    }
}
