#pragma once
/* Netlink messages as bytes: a builder that appends to a growable buffer and a reader that never
 * leaves it. No sockets. Attribute types and payloads are the kernel's (linux/netlink.h); nested
 * attributes carry NLA_F_NESTED. */

#include <linux/netlink.h>

#include "base/buf.h"
#include "base/err.h"

/* ---- building ---- */

/* Appends a message header; returns its offset for nlmsg_end. */
size_t nlmsg_begin(struct buf *b, uint16_t type, uint16_t flags, uint32_t seq);
/* Appends the fixed header that follows (struct nfgenmsg, ifinfomsg, …), zero-padded to 4 bytes. */
void nlmsg_fixed(struct buf *b, const void *p, size_t n);
/* Closes the message: writes its length. */
void nlmsg_end(struct buf *b, size_t begin);

void nla_add(struct buf *b, uint16_t type, const void *p, size_t n);
void nla_add_u8(struct buf *b, uint16_t type, uint8_t v);
void nla_add_u16(struct buf *b, uint16_t type, uint16_t v);
void nla_add_u32(struct buf *b, uint16_t type, uint32_t v);
void nla_add_be16(struct buf *b, uint16_t type, uint16_t v);
void nla_add_be32(struct buf *b, uint16_t type, uint32_t v);
void nla_add_be64(struct buf *b, uint16_t type, uint64_t v);
void nla_add_cstr(struct buf *b, uint16_t type, const char *s); /* with its NUL */
size_t nla_nest_begin(struct buf *b, uint16_t type);
/* Payloads over 65531 bytes do not fit an attribute: marks the buffer failed. */
void nla_nest_end(struct buf *b, size_t begin);

/* ---- reading ---- */

struct nlmsg {
    uint16_t type;
    uint16_t flags;
    uint32_t seq;
    uint32_t pid;
    struct str payload; /* after struct nlmsghdr */
};

/* Cuts the next message off *bytes. 1 = *ret is set, 0 = end, -EBADMSG = truncated or a wrong
 * length. */
int nlmsg_next(struct str *bytes, struct nlmsg *ret) NODISCARD;
/* Attributes that follow a fixed header of n bytes (rounded up to 4); empty if the payload is
 * shorter. */
struct str nlmsg_attrs(const struct nlmsg *m, size_t fixed);

struct nla {
    uint16_t type; /* without NLA_F_NESTED and NLA_F_NET_BYTEORDER */
    struct str data;
};

/* Cuts the next attribute off *bytes; same results as nlmsg_next. */
int nla_next(struct str *bytes, struct nla *ret) NODISCARD;
/* The first attribute of a type; .p is NULL if absent. */
struct str nla_find(struct str attrs, uint16_t type);

/* Fixed-size reads; fallback when the payload is too short or absent. */
uint8_t nla_u8(struct str data, uint8_t fallback);
uint16_t nla_u16(struct str data, uint16_t fallback);
uint32_t nla_u32(struct str data, uint32_t fallback);
uint16_t nla_be16(struct str data, uint16_t fallback);
uint32_t nla_be32(struct str data, uint32_t fallback);
uint64_t nla_be64(struct str data, uint64_t fallback);
/* A string payload without its NUL. */
struct str nla_text(struct str data);

/* Reads an NLMSG_ERROR payload: 0 or a negative errno, and the kernel's extended message if there
 * is one. */
int nlmsg_error(const struct nlmsg *m, struct str *ret_text);
/* The same of the NLMSG_DONE that ends a dump: the error that cut it short, or 0. */
int nlmsg_done(const struct nlmsg *m, struct str *ret_text);
