#pragma once
/* The words in which rules are told: flags of `fairlead-proxy interception`, which are in a pod's
 * containers as the injector has written them, too. */

#include "base/args.h"
#include "intercept/interception.h"

enum { INTERCEPTION_DNS_PORT = 15053 }; /* Istio's */

struct interception_flags {
    const char *inbound, *inbound_except, *outbound, *outbound_except, *also, *ports_except;
    int64_t uid, gid, inbound_port, outbound_port;
    bool dns, ipv6, remove, check;
};

enum { INTERCEPTION_FLAGS = 15 }; /* with the NULL at the end */

/* ret: as where nothing is said. table: borrows ret, which outlives it. */
void interception_flags_init(struct interception_flags *ret, struct arg table[INTERCEPTION_FLAGS]);
/* What the flags say; of dns nothing, since whose name servers is for the caller to know. -EINVAL
 * names the flag. Free with interception_done, always. */
int interception_of_flags(const struct interception_flags *f, struct interception *ret,
                          struct err *reterr) NODISCARD;
