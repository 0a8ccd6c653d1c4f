#pragma once
/* The rules by which what a pod sends and is sent goes through the proxy beside it: nf_tables in
 * the pod's network namespace, table "fairlead-interception". What is redirected, and what is let
 * through so that nothing goes in circles, is as of istio-init. */

#include "base/addr.h"
#include "base/vec.h"
#include "codec/nfnl.h"

#define INTERCEPTION_TABLE "fairlead-interception"

struct port_list {
    bool all; /* "*" */
    VEC(uint16_t) v;
};

struct prefix_list {
    bool all;
    VEC(struct prefix) v;
};

struct interception {
    uint32_t uid, gid; /* the proxy's: what it sends itself is let through */
    uint16_t outbound_port, inbound_port;
    struct port_list inbound, inbound_except; /* at which the pod is served */
    struct prefix_list outbound, outbound_except;
    /* Name servers: what the pod asks them goes to dns_port; none: to them. all: whomever it asks,
     * but itself. */
    struct prefix_list dns;
    uint16_t dns_port;
    struct port_list outbound_also, outbound_ports_except; /* also: whatever the address */
};

/* "80,443", "*" or "". -EINVAL. */
int port_list_read(const char *text, struct port_list *ret, struct err *reterr) NODISCARD;
int prefix_list_read(const char *text, struct prefix_list *ret, struct err *reterr) NODISCARD;
void interception_done(struct interception *i);

/* Appends what makes the table anew, whatever was in it; ipv6: for that family, too. */
void interception_write(const struct interception *i, bool ipv6, struct nfnl_batch *b);
/* What takes it away. The table must be there. */
void interception_remove(bool ipv6, struct nfnl_batch *b);
