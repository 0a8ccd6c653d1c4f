#pragma once
/* Who a proxy is that opens a stream over TLS: the service account of its token, as the API server
 * knows it (authentication.k8s.io TokenReview). */

#include "kube/client.h"

/* Whom the tokens are meant for: us, or, as Istio's proxies have them, whoever is the CA. */
#define CALLERS_AUDIENCE       "fairlead-control"
#define CALLERS_AUDIENCE_ISTIO "istio-ca"

/* The namespace and the name in "system:serviceaccount:NAMESPACE:NAME"; empty: another user. */
struct str callers_account(const char *user, struct str *ret_name);

/* ok: name is whom it turned out to be, borrowed; else why nobody (for the caller and the log:
 * never the token), constant. */
typedef void callers_fn(bool ok, const char *name, const char *why, void *user);

struct callers_check;

/* authorization: the field as it came, .p NULL: none. Always answers later, once. */
struct callers_check *callers_ask(struct kube_client *c, struct str authorization, callers_fn *fn,
                                  void *user);
void callers_cancel(struct callers_check *k); /* without an answer; NULL is allowed */
