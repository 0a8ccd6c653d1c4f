#pragma once
/* DNS messages (RFC 1035, 2782, 6891): parse a query, write an answer. No sockets, no zone. Names
 * are lower-case text without the trailing dot; labels that are not letters, digits, '-', '_' or
 * '*' are refused. */

#include "base/addr.h"
#include "base/buf.h"

enum {
    DNS_NAME_BYTES = 256,     /* with NUL */
    DNS_UDP_BYTES = 512,      /* without EDNS */
    DNS_UDP_BYTES_MAX = 4096, /* with it, whatever the client can take */
    DNS_TCP_BYTES_MAX = 65535,
    DNS_DUPLICATES_AMONG = 256, /* answers; later ones may stand there twice */
};

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_OPT = 41,
    DNS_IXFR = 251,
    DNS_AXFR = 252,
    DNS_ANY = 255,
};

enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16, /* told with EDNS only */
};

enum { DNS_CLASS_IN = 1 };

struct dns_query {
    uint16_t id;
    uint8_t opcode;
    bool recursion_desired;
    char name[DNS_NAME_BYTES];
    uint16_t type;
    uint16_t class_;
    bool checking_disabled; /* CD: copied into the answer (RFC 4035 section 3.1.6) */
    bool has_edns;
    uint8_t edns_version;
    uint16_t udp_bytes;  /* what the client can take */
    struct str question; /* as it came, for the echo; borrowed */
};

/* -EBADMSG: not a query with one question; ret->id is set when 12 bytes were there, so that FORMERR
 * can be sent. */
int dns_query_parse(struct str bytes, struct dns_query *ret) NODISCARD;

/* The question of a message as it stands there, whatever its labels: of one that is handed on, and
 * of what comes back. -EBADMSG: it has not exactly one, or its name is compressed. */
int dns_question_of(struct str message, struct str *ret) NODISCARD;
/* A short answer to a query that is not looked into further, or cannot be; none to what is none. */
void dns_refuse(struct str query, enum dns_rcode rcode, struct buf *ret);

/* A answer being written. Sections must come in order: answers, then authority, then additional. */
struct dns_reply {
    struct buf *b;
    size_t begin;
    size_t limit;
    size_t question_end;
    const struct dns_query *query;
    uint16_t counts[3];
    bool truncated;
};
enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL };

/* limit: bytes the whole message may have. */
void dns_reply_begin(struct dns_reply *r, struct buf *b, const struct dns_query *q, size_t limit);
void dns_reply_ip(struct dns_reply *r, enum dns_section s, const char *name, uint32_t ttl,
                  const struct ip *ip);
void dns_reply_name(struct dns_reply *r, enum dns_section s, const char *name, uint16_t type,
                    uint32_t ttl, const char *target);
void dns_reply_srv(struct dns_reply *r, const char *name, uint32_t ttl, uint16_t priority,
                   uint16_t weight, uint16_t port, const char *target);
void dns_reply_txt(struct dns_reply *r, const char *name, uint32_t ttl,
                   struct str text); /* at most 255 bytes */
void dns_reply_soa(struct dns_reply *r, const char *zone, uint32_t ttl, uint32_t serial,
                   uint32_t negative_ttl);
/* Writes the head. Whole records are left out once the limit is reached; TC says so when answers
 * are missing. */
void dns_reply_end(struct dns_reply *r, enum dns_rcode rcode);
