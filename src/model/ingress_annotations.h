#pragma once
/* Annotations of ingress-nginx, read by closed grammars into fields: never text that is put into
 * something. A value that is refused has one fate: what protects closes the Ingress's locations
 * (503), everything else keeps its default; a finding tells either. */

#include "kube/ingress.h"
#include "model/finding.h"
#include "model/ingress_settings.h"
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

/* Which endpoint: read by ingress_affinity.c. */
struct ingress_affinity {
    bool on, persistent,
        changes; /* by a cookie; which names an endpoint; which follows a failure */
    bool by_load;
    uint32_t expires_s;
    struct route_cookie cookie; /* its path NULL: the route's */
    struct route_key *keys;
    uint32_t n_keys;
};

/* What becomes of a request on its way, and names of the host: read by ingress_steer.c. */
struct ingress_steer {
    struct route_mirror mirror;
    struct route_retry retry;
    char *forwarded_prefix; /* NULL: none */
    char *answer_map;       /* namespace/name of a ConfigMap with fields of answers; NULL: none */
    bool to_service;
    bool www;         /* the host's other name, with www. or without, is redirected to it */
    bool passthrough; /* TLS for the host goes to its backend as it is */
    char **aliases;   /* lower case */
    uint32_t n_aliases;
};

/* Read by ingress_errors.c. */
struct ingress_errors {
    uint16_t codes[ROUTE_ERROR_CODES_MAX];
    uint32_t n_codes;
    char *backend; /* a Service of the Ingress's namespace; NULL: none */
    bool off;
};

struct ingress_policy {
    bool closed; /* what protects could not be had: its locations answer 503 */
    bool has_allowlist, has_limit_allowlist;
    bool global_auth; /* the auth server is that of all Ingresses; until all is read: it may be */
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
    struct ingress_affinity affinity;
    struct ingress_steer steer;
    struct ingress_errors errors;
    struct route_answers answers; /* a pair may be half one; read by ingress_answers.c */
};

/* Without any annotation; nginx: served as ingress-nginx does. */
struct ingress_policy *ingress_policy_usual(bool nginx);
/* Of one Ingress; settings NULL: none. Findings name annotations as metadata.annotations[NAME]. */
struct ingress_policy *ingress_policy_new(const struct ingress_object *i, bool nginx,
                                          const struct ingress_settings *settings,
                                          struct findings *f);
/* One value into a policy; *ret_why NULL: taken. False: no annotation of that name is read. */
bool ingress_annotation_take(struct ingress_policy *p, const char *name, const char *value,
                             const char **ret_why);
void ingress_policy_free(struct ingress_policy *p); /* NULL is allowed */

/* Whether it is done here or not: where it cannot be said to somebody else, its paths are closed
 * there. */
bool ingress_annotation_protects(const char *name);
/* Why there is nothing to do for it; NULL: it is not of that kind. */
const char *ingress_annotation_needless(const char *name);
/* For the page of annotations: name and state of row n; NULL behind the last. */
const char *ingress_annotation_row(size_t n, const char **ret_state);
