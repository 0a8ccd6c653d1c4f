#pragma once
/* DNS messages over UDP and TCP (RFC 7766) at one address: what is asked is handed on as it came,
 * and answered at once or later. */

#include "base/addr.h"
#include "base/str.h"
#include "net/loop.h"

struct dns_listener;
struct dns_asked; /* a message that waits for its answer */

enum {
    DNS_ASKED_MAX = 4096, /* that wait at a time; further ones are not heard */
};

/* message: borrowed for the call. dns_asked_answer() must follow, now or later, on the loop's
 * thread. */
typedef void dns_listener_fn(struct dns_asked *q, struct str message, void *user);

/* port 0: one that is free of both. */
int dns_listener_new(struct loop *l, const struct ip *ip, uint16_t port, dns_listener_fn *fn,
                     void *user, struct dns_listener **ret, struct err *reterr) NODISCARD;
/* What waits is not answered any more, and its owner must have let go of it. NULL is allowed. */
void dns_listener_free(struct dns_listener *s);
uint16_t dns_listener_port(const struct dns_listener *s);

bool dns_asked_is_tcp(const struct dns_asked *q);
/* q is gone afterwards. Empty: there is none. */
void dns_asked_answer(struct dns_asked *q, struct str message);
