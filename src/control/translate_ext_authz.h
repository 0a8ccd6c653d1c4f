#pragma once
/* Who else is asked about a request: AuthorizationPolicies with action CUSTOM. */

#include "control/translate_telemetry.h"
#include "model/authorization_policy.h"

/* What a policy's provider is asked by; cluster: ret. NULL: nobody of that name can be asked. */
const struct mesh_provider *translate_ext_authz_find(const struct authorization_policy *p,
                                                     const struct mesh_config *config,
                                                     translate_find_cluster *find, void *user,
                                                     char ret[CLUSTER_NAME_MAX]);
/* The HTTP filter that asks it, where the shadow rules before it name one of its policies. */
json_t *translate_ext_authz(const struct mesh_provider *p, const char *cluster);
/* What names of policies begin with that are the provider's, up to their own "ns[", so that no
 * provider's is another's. The caller's. */
char *translate_ext_authz_prefix(const char *provider);
#define TRANSLATE_EXT_AUTHZ_SHADOW "istio_ext_authz_"
