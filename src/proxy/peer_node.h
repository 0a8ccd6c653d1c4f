#pragma once
/* Who we are ourselves, as Istio's proxies say it in their node: its ID
 * "sidecar~ADDRESS~POD.NAMESPACE~DOMAIN" and its metadata. */

#include <envoy/config/core/v3/base.pb-c.h>

#include "base/addr.h"
#include "base/buf.h"

/* Of a sidecar or a gateway ("router"): its address, and its workload's text (peer.h) as far as it
 * is said; of a gateway without metadata its cluster is its name. *ret_sidecar: which of them. */
bool peer_node_read(const Envoy__Config__Core__V3__Node *n, struct ip *ret_ip, struct buf *ret_text,
                    bool *ret_sidecar);
