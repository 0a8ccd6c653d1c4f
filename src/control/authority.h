#pragma once
/* Whom proxies trust: the roots of this cluster's certificates, the CA below them that signs, and
 * this program's own certificate. The CA is the Secret `cacerts`, as Istio has it, if somebody has
 * put it there; else `fairlead-ca` (kubernetes.io/tls), made by whoever comes first and shared by
 * all replicas. The roots are told in a ConfigMap that proxies mount. Both Secrets are watched:
 * what is changed holds at once. */

#include "control/ca.h"
#include "kube/client.h"
#include "net/tls.h"

struct authority;

struct authority_options {
    const char *namespace_; /* of both objects */
    const char *service;    /* the Service that proxies ask for: the certificate has its names */
};

/* ca-cert.pem, ca-key.pem, cert-chain.pem (those between), root-cert.pem */
#define AUTHORITY_PLUGGED "cacerts"
/* tls.crt, tls.key; ca.crt: the roots, if those are others */
#define AUTHORITY_SECRET     "fairlead-ca"
#define AUTHORITY_CONFIG_MAP "fairlead-ca-root-cert" /* root-cert.pem */

/* A certificate that is good for a day, as contexts of servers, and the CA. Borrowed. */
struct authority_issue {
    struct tls_context *streams; /* HTTP/2 */
    struct tls_context *web;     /* HTTP/1.1 */
    struct ca_material ca;
};

/* on_issue: the first one, and each new one, long before the last ends. Borrowed. What fails is
 * tried again, and told in the log. */
struct authority *authority_new(struct kube_client *c, const struct authority_options *o,
                                void (*on_issue)(const struct authority_issue *i, void *user),
                                void *user);
void authority_free(struct authority *a); /* NULL is allowed */
