#pragma once
/* What kinds a server offers and where their objects are, asked from the server. Waits for answers
 * (kube_call_wait): for commands, not for controllers. */

#include "kube/client.h"

struct kube_resource {
    char plural[80];
    char kind[80];
    char group_version[120];
    bool namespaced;
};

/* By plural, singular, short name or kind, optionally with its group ("deployments.apps"). -ENOENT:
 * the server has no such type; other errors: it did not answer. */
int kube_resource_find(struct kube_client *c, const char *word, struct kube_resource *ret,
                       struct err *reterr) NODISCARD;
/* By the two fields every manifest has. */
int kube_resource_of_kind(struct kube_client *c, const char *api_version, const char *kind,
                          struct kube_resource *ret, struct err *reterr) NODISCARD;
/* "/apis/apps/v1/namespaces/NS/deployments[/NAME]"; ns NULL: all. Owned. */
char *kube_resource_path(const struct kube_resource *r, const char *ns, const char *name);
