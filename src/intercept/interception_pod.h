#pragma once
/* The rules that an injected pod asks its node for: its container that looks whether they are there
 * says which, as the injector has written it. */

#include "codec/json.h"
#include "intercept/interception.h"

#define INTERCEPTION_CHECK "istio-validation" /* the container, as in Istio */

/* pod: with its spec. True: it asks for some. */
bool interception_is_asked_for(const json_t *pod);
/* -EINVAL: what it asks for cannot be read. With its name servers unknown, all DNS is the proxy's
 * where it takes DNS. *ret_ipv6: interception_apply(). Free with interception_done, always. */
int interception_of_pod(const json_t *pod, struct interception *ret, bool *ret_ipv6,
                        struct err *reterr) NODISCARD;
/* The same, made in the network namespace of the calling thread. */
int interception_apply_pod(const json_t *pod, struct err *reterr) NODISCARD;
