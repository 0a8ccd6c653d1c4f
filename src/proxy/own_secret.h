#pragma once
/* Secrets that no control plane sends, given to the store as if one had: what Istio's agent gives
 * an Envoy by SDS. Main thread. */

#include "proxy/store.h"

/* False: the store has refused it, which is logged; what was in force stays. */
bool own_secret_give_certificate(struct store *s, const char *name, unsigned version,
                                 const struct buf *chain, const struct buf *key);
/* crl_pem: empty: none. */
bool own_secret_give_trust(struct store *s, const char *name, unsigned version,
                           const struct buf *pem, const struct buf *crl_pem);
