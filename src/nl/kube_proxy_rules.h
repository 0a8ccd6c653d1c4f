#pragma once
/* Whose Services are in this network namespace's kernel beside ours: a kube-proxy's, in each of its
 * modes, whether it still runs or not. Looks, and changes nothing. */

#include "nl/nft.h"

/* "nftables table ip kube-proxy, …", into ret; returns how many of its traces there are: 0 and an
 * empty text if none, a negative errno if the kernel cannot be asked (EPERM: needs root). */
int kube_proxy_rules_find(struct buf *ret, struct err *reterr) NODISCARD;
