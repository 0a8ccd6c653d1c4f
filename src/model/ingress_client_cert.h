#pragma once
/* Readers of the annotations of client certificates (as in ingress_guard.h). */

#include "model/ingress_annotations.h"

const char *read_auth_tls_secret(struct ingress_policy *p, const char *value);
const char *read_auth_tls_verify_client(struct ingress_policy *p, const char *value);
const char *read_auth_tls_verify_depth(struct ingress_policy *p, const char *value);
const char *read_auth_tls_error_page(struct ingress_policy *p, const char *value);
const char *read_auth_tls_pass_certificate_to_upstream(struct ingress_policy *p, const char *value);
const char *read_auth_tls_match_cn(struct ingress_policy *p, const char *value);
/* When all have been read. */
void ingress_client_cert_finish(struct ingress_policy *p, const struct ingress_object *i,
                                struct findings *f);
