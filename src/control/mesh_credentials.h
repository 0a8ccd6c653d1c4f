#pragma once
/* What a DestinationRule's credentialName stands for: the Secret of that name, and beside it
 * NAME-cacert, as Istio has them. Pure. */

#include "control/auth_objects.h"
#include "control/translate_mesh.h"

/* ns: whose Secrets they are; NULL: this client is given none, and so speaks to nobody. */
struct mesh_credentials mesh_credentials_find(const struct auth_objects *all,
                                              const struct traffic_tls *t, const char *ns);
