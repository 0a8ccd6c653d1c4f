#pragma once
/* The lab's certificates and kubeconfigs: one CA per lab, made at its first start and kept in its
 * state directory. */

#include "base/addr.h"
#include "lab/state_dir.h"

struct certificates_options {
    const char *lab;
    const char *server;       /* https://IP:6443, into every kubeconfig */
    const struct ip *api_ips; /* subject alternative names of the API server */
    size_t n_api_ips;
};

/* Makes what is missing: pki/ca.{crt,key}, pki/apiserver.*, pki/kubelet-client.*, pki/sa.key,
 * pki/tokens, and kubeconfigs "kubeconfig" (the user's), "controllers.kubeconfig". Idempotent. */
int certificates_make(const struct state_dir *d, const struct certificates_options *o,
                      struct err *reterr) NODISCARD;

/* For one node: pki/NODE.* (serving, the node's addresses), NODE.kubeconfig (system:node:NODE) and
 * NODE-agent.kubeconfig. */
int certificates_make_node(const struct state_dir *d, const struct certificates_options *o,
                           const char *node, const struct ip *ips, size_t n_ips, struct err *reterr)
    NODISCARD;
