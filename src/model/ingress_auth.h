#pragma once
/* Readers of the annotations of authentication (as in ingress_guard.h), and what follows from all
 * of them together. */

#include "model/ingress_annotations.h"

const char *read_auth_type(struct ingress_policy *p, const char *value);
const char *read_auth_secret(struct ingress_policy *p, const char *value);
const char *read_auth_secret_type(struct ingress_policy *p, const char *value);
const char *read_auth_realm(struct ingress_policy *p, const char *value);
const char *read_satisfy(struct ingress_policy *p, const char *value);
const char *read_auth_url(struct ingress_policy *p, const char *value);
const char *read_auth_method(struct ingress_policy *p, const char *value);
const char *read_auth_signin(struct ingress_policy *p, const char *value);
const char *read_auth_signin_redirect_param(struct ingress_policy *p, const char *value);
const char *read_auth_response_headers(struct ingress_policy *p, const char *value);
const char *read_auth_request_redirect(struct ingress_policy *p, const char *value);
const char *read_auth_proxy_set_headers(struct ingress_policy *p, const char *value);
const char *read_auth_always_set_cookie(struct ingress_policy *p, const char *value);
/* When all have been read. */
void ingress_auth_finish(struct ingress_policy *p, const struct ingress_object *i,
                         struct findings *f);
/* "name", or "namespace/name" of the Ingress's own namespace, as "namespace/name", the caller's:
 * what lies in another one is not its to use. NULL: refused. */
char *ingress_own_object(const struct ingress_object *i, const char *name);
/* What protects, and is not well: the Ingress's locations answer 503; told of that annotation. */
void ingress_close_for(struct ingress_policy *p, const struct ingress_object *i, struct findings *f,
                       const char *annotation, const char *what, const char *remedy);
/* The Service that a host is the name of: 0, *ret "namespace/name", the caller's. -ENOENT: none. */
int ingress_service_of_host(const char *host, char **ret) NODISCARD;
