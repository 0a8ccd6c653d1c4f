#pragma once
/* kubeconfig: where the API server is and who we are. Follows kubectl's rules: --kubeconfig,
 * $KUBECONFIG (first file that has the context), ~/.kube/config, then the pod's service account. */

#include "base/addr.h"
#include "base/err.h"

struct kube_config {
    char *server; /* https://host:port */
    char *host;   /* of server: a name or an address */
    uint16_t port;
    char *path; /* of server, without a slash at its end: "" or "/k8s/clusters/c-1" */
    bool tls;
    char *ca_pem; /* owned; NULL = system store */
    char *cert_pem;
    char *key_pem;
    char *token;
    char *token_file; /* read again when it changes (service account) */
    char *tls_server_name;
    bool insecure;
    char *context;    /* its name */
    char *namespace_; /* the context's, or "default" */
};

/* path NULL: the rules above. context NULL: current-context. */
int kube_config_load(const char *path, const char *context, struct kube_config **ret,
                     struct err *reterr) NODISCARD;
/* One that somebody else has written, of its current context: what it says of files and programs of
 * this machine is refused (-EOPNOTSUPP), and so is a server that is not verified. */
int kube_config_parse(struct str text, struct kube_config **ret, struct err *reterr) NODISCARD;
int kube_config_in_cluster(struct kube_config **ret, struct err *reterr) NODISCARD;
void kube_config_free(struct kube_config *c);
DEFINE_AUTO(kube_config);
