#pragma once
/* Questions handed on to the name servers of the machine as they came, and their answers back:
 * whatever types and extensions are in them. One loop. */

#include "net/loop.h"
#include "net/resolv_conf.h"

enum {
    DNS_FORWARD_MAX = 1024,    /* at a time */
    DNS_FORWARD_TRY_MS = 2000, /* until the next server is asked */
    DNS_FORWARD_TRIES = 3,
};

struct dns_forward;
struct dns_forwarded;

/* answer: to the message that was handed on, with its id; empty: there was none. Not called from
 * inside dns_forward_ask(). */
typedef void dns_forward_fn(struct str answer, void *user);

/* Asks the servers of `conf` at that port, in their order. */
struct dns_forward *dns_forward_new(struct loop *l, const struct resolv_conf *conf, uint16_t port);
/* What is under way ends without an answer. NULL is allowed. */
void dns_forward_free(struct dns_forward *f);
/* -EBADMSG: that is no question; -EBUSY: too many are under way. */
int dns_forward_ask(struct dns_forward *f, struct str message, bool tcp, dns_forward_fn *fn,
                    void *user) NODISCARD;
