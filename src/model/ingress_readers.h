#pragma once
/* Readers of annotations that stand in files of their own; ingress_annotations.def says which
 * annotation has which. */

#include "model/ingress_annotations.h"

/* Takes a value into the policy. NULL: taken; else why not (constant text), and nothing has
 * changed.
 */
typedef const char *ingress_reader(struct ingress_policy *p, const char *value);

/* ---- ingress_affinity.c: who goes to which endpoint ---- */
ingress_reader read_affinity, read_affinity_mode, read_affinity_canary_behavior;
ingress_reader read_session_cookie_name, read_session_cookie_path, read_session_cookie_domain;
ingress_reader read_session_cookie_secure, read_session_cookie_samesite;
ingress_reader read_session_cookie_conditional_samesite_none, read_session_cookie_max_age;
ingress_reader read_session_cookie_expires, read_session_cookie_change_on_failure;
ingress_reader read_load_balance, read_upstream_hash_by;
/* What a key is made of, into an array of the caller's (route_keys_free). */
const char *ingress_read_keys(const char *value, struct route_key **ret, uint32_t *ret_n);
void ingress_affinity_init(struct ingress_affinity *a);
void ingress_affinity_done(struct ingress_affinity *a);
/* What it makes of a route that forwards, whose path is set. */
void ingress_affinity_apply(const struct ingress_affinity *a, struct route *r);

/* ---- ingress_steer.c: what becomes of a request on its way ---- */
ingress_reader read_mirror_target, read_mirror_host, read_mirror_request_body;
ingress_reader read_proxy_next_upstream, read_proxy_next_upstream_tries;
ingress_reader read_proxy_next_upstream_timeout, read_x_forwarded_prefix;
ingress_reader read_connection_proxy_header, read_service_upstream, read_preserve_trailing_slash;
ingress_reader read_from_to_www_redirect, read_server_alias, read_ssl_passthrough;
ingress_reader read_custom_headers;
void ingress_steer_init(struct ingress_steer *s, bool nginx);
void ingress_steer_done(struct ingress_steer *s);
/* When all have been read. */
void ingress_steer_finish(struct ingress_policy *p, const struct ingress_object *i,
                          struct findings *f);
/* What it makes of a route that forwards. */
void ingress_steer_apply(const struct ingress_policy *p, struct route *r);

/* ---- ingress_auth_cache.c: what is remembered of an auth server's answers ---- */
ingress_reader read_auth_cache_key, read_auth_cache_duration;
void ingress_auth_cache_finish(struct ingress_policy *p);

/* ---- ingress_answers.c: what becomes of answers on their way back ---- */
ingress_reader read_proxy_cookie_domain, read_proxy_cookie_path;
ingress_reader read_proxy_redirect_from, read_proxy_redirect_to, read_relative_redirects;
ingress_reader read_limit_rate, read_limit_rate_after, read_enable_access_log;
/* When all have been read. */
void ingress_answers_finish(struct ingress_policy *p, const struct ingress_object *i,
                            struct findings *f);
/* What it makes of a route whose action is known. */
void ingress_answers_apply(const struct route_answers *a, struct route *r);

/* ---- ingress_errors.c: whose answers take the place of errors ---- */
ingress_reader read_custom_http_errors, read_default_backend, read_disable_proxy_intercept_errors;
/* backend: whose answers, namespace/name, NULL: nobody's; of: the route's own. */
void ingress_errors_apply(const struct ingress_errors *e, const char *backend, uint16_t port,
                          const struct ingress_backend *of, struct route *r);
