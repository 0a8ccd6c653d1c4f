#pragma once
/* Whom proxies trust: the root of this cluster's certificates, and this program's own certificate
 * below it. The root is a Secret (kubernetes.io/tls), made by whoever comes first and shared by all
 * replicas; somebody else (cert-manager) may have made it. Its certificate is told in a ConfigMap
 * that proxies mount. */

#include "kube/client.h"
#include "net/tls.h"

struct authority;

struct authority_options {
    const char *namespace_; /* of both objects */
    const char *service;    /* the Service that proxies ask for: the certificate has its names */
};

#define AUTHORITY_SECRET     "fairlead-ca"           /* tls.crt, tls.key */
#define AUTHORITY_CONFIG_MAP "fairlead-ca-root-cert" /* root-cert.pem */

/* on_context: a server's context of a certificate that is good for a day; a new one comes long
 * before. Borrowed. What fails is tried again, and told in the log. */
struct authority *authority_new(struct kube_client *c, const struct authority_options *o,
                                void (*on_context)(struct tls_context *t, void *user), void *user);
void authority_free(struct authority *a); /* NULL is allowed */
