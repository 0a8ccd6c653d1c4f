#pragma once
/* Annotations of ingress-nginx, read by closed grammars into fields: never text that is put into
 * something. A value that is refused has one fate: what protects closes the Ingress's locations
 * (503), everything else keeps its default; a finding tells either. */

#include "kube/ingress.h"
#include "model/finding.h"
#include "model/route.h"

/* A pair of a header or cookie and what chooses by it. */
struct ingress_canary {
    bool on;
    char *header, *header_value, *header_pattern; /* NULL: none */
    char *cookie;
    uint32_t weight, weight_total;
};

struct ingress_redirect {
    char *permanent, *temporal; /* as given; NULL: none */
    uint16_t permanent_code, temporal_code;
};

/* What annotations of authentication say, until all of them are read. */
struct ingress_auth_names {
    bool basic;
    char *secret, *sign_in, *sign_in_param, *set_headers;
};

struct ingress_policy {
    bool closed; /* what protects could not be had: its locations answer 503 */
    bool has_allowlist, has_limit_allowlist;
    struct ingress_auth_names auth;
    struct route_client_cert *client_cert; /* of its hosts; NULL: none */
    struct route_guard *guard; /* of all its locations; not changed any more once it is made */
    bool ssl_redirect, force_ssl_redirect;
    bool use_regex;
    char *rewrite_target;
    char *app_root;
    char *upstream_vhost;
    struct ingress_redirect redirect;
    struct route_upstream upstream;
    uint32_t read_timeout_s;
    struct route_cors cors;
    struct ingress_canary canary;
};

/* Of one Ingress, with ingress-nginx's defaults or ours; findings name annotations as
 * metadata.annotations[NAME]. */
struct ingress_policy *ingress_policy_new(const struct ingress_object *i, bool nginx,
                                          struct findings *f);
void ingress_policy_free(struct ingress_policy *p); /* NULL is allowed */

/* For the page of annotations: name and state of row n; NULL behind the last. */
const char *ingress_annotation_row(size_t n, const char **ret_state);
