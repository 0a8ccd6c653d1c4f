#pragma once
/* Node ports on loopback (row 17): the kernel's rules never rewrite those, so a relay of TCP
 * listens on 127.0.0.1 and ::1 and connects to an endpoint. A thread of its own; told what to serve
 * by the thread that made it. */

#include <stdatomic.h>

#include "dataplane/dataplane.h"

struct relay;

struct relay_options {
    bool families[2]; /* IPv4, IPv6: listens there */
};

struct relay_counters { /* of IPv4, IPv6 */
    uint64_t listeners[2];
    uint64_t failures[2]; /* a port could not be listened at when it came */
    uint64_t connections, refused, unreachable;
};

int relay_new(const struct relay_options *o, struct relay **ret, struct err *reterr) NODISCARD;
/* Node ports of TCP are served from now on as the frontend says; others are ignored. */
void relay_set(struct relay *r, const struct frontend *f);
void relay_get_counters(const struct relay *r, struct relay_counters *ret);
/* Cuts what is open. */
void relay_free(struct relay *r);
