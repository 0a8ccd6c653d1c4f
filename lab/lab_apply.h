#pragma once
/* Creating objects from manifests through the API: for `lab up`. An object that is there already is
 * replaced by a merge. */

#include "kube/client.h"

/* The cluster DNS: ServiceAccount, Deployment and Service kube-dns (the tenth address of the first
 * service range). */
int lab_apply_system(struct kube_client *c, const char *service_cidrs, struct err *reterr)
    NODISCARD;
/* The control plane and its gateways, as deploy/ingress/ingress.yaml has them. */
int lab_apply_ingress(struct kube_client *c, struct err *reterr) NODISCARD;
/* The same with the webhook that puts proxies beside pods (deploy/mesh), and the definitions of
 * Istio's kinds (deploy/crds). cni: nodes make the pods' rules, which need no right to. */
int lab_apply_mesh(struct kube_client *c, bool cni, struct err *reterr) NODISCARD;
/* The objects of kube/manifest.h: all or none, as far as a dry run can tell. */
int lab_apply(struct kube_client *c, const json_t *objects, struct err *reterr) NODISCARD;
