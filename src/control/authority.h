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

/* A certificate that is good for a day, as contexts of servers, and the root it is below (PEM). */
struct authority_issue {
    struct tls_context *streams; /* HTTP/2 */
    struct tls_context *web;     /* HTTP/1.1 */
    struct str root;
};

/* on_issue: the first one, and each new one, long before the last ends. Borrowed. What fails is
 * tried again, and told in the log. */
struct authority *authority_new(struct kube_client *c, const struct authority_options *o,
                                void (*on_issue)(const struct authority_issue *i, void *user),
                                void *user);
void authority_free(struct authority *a); /* NULL is allowed */
