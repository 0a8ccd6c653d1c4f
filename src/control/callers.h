#pragma once
/* Who a proxy is that opens a stream over TLS: the service account of its token, as the API server
 * knows it (authentication.k8s.io TokenReview), and whether that may have what gateways have. */

#include "kube/client.h"

#define CALLERS_AUDIENCE "fairlead-control" /* whom the tokens are meant for */

struct callers_options {
    const char *const *gateways; /* "namespace/name" of service accounts; ends in NULL */
};

/* ok: it may; else why it may not (for the caller and the log: never the token). name: whom it
 * turned out to be; NULL: nobody. Borrowed. */
typedef void callers_fn(bool ok, const char *name, const char *why, void *user);

struct callers_check;

/* authorization: the field as it came, .p NULL: none. Always answers later, once. */
struct callers_check *callers_ask(struct kube_client *c, const struct callers_options *o,
                                  struct str authorization, callers_fn *fn, void *user);
void callers_cancel(struct callers_check *k); /* without an answer; NULL is allowed */
