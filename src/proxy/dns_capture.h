#pragma once
/* A sidecar's DNS: what its pod asks of DNS comes here (interception), names that the control plane
 * has told of are answered, all others are handed on. Main thread. */

#include "codec/dns.h"
#include "intercept/interception_flags.h"
#include "net/loop.h"
#include "net/resolv_conf.h"
#include "proxy/name_table.h"

enum {
    DNS_CAPTURE_PORT = INTERCEPTION_DNS_PORT,
    DNS_CAPTURE_TTL_S = 30, /* Istio's */
};

/* ---- pure ---- */
/* Writes the answer; false: it is not ours to give. A name with one of the search list's behind it
 * is the name, so that a resolver's first try is its last. */
bool dns_capture_answer(const struct name_table *names, const struct resolv_conf *conf,
                        const struct dns_query *q, size_t limit, struct buf *ret);

/* ---- the main thread ---- */
struct dns_capture;

/* On 127.0.0.1, UDP and TCP. conf: whom to ask for others, at server_port (53). The names and conf
 * must outlive it. */
int dns_capture_new(struct loop *l, const struct name_table *names, const struct resolv_conf *conf,
                    uint16_t port, uint16_t server_port, struct dns_capture **ret,
                    struct err *reterr) NODISCARD;
void dns_capture_free(struct dns_capture *d); /* NULL is allowed */
uint16_t dns_capture_port(const struct dns_capture *d);
