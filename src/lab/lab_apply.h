#pragma once
/* Creating objects from manifests through the API: for `lab up`. An object that is there already is
 * replaced by a merge. */

#include "kube/client.h"

/* The cluster DNS: ServiceAccount, Deployment and Service kube-dns (the tenth address of the first
 * service range). */
int lab_apply_system(struct kube_client *c, const char *service_cidrs, struct err *reterr)
    NODISCARD;
/* A file, or every .yaml, .yml and .json of a directory. */
int lab_apply_file(struct kube_client *c, const char *path, struct err *reterr) NODISCARD;
