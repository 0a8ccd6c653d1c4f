#pragma once
/* What the ConfigMap of ingress-nginx says: defaults of annotations, and what holds for all. A
 * value that is not taken leaves the default, and a finding tells; so does a key without effect. */

#include "codec/json.h"
#include "model/finding.h"
#include "model/route.h"

enum ingress_server_field { INGRESS_SERVER_USUAL, INGRESS_SERVER_NONE, INGRESS_SERVER_OURS };

struct ingress_settings {
    struct ingress_default {
        char *annotation; /* its name */
        char *value;      /* which it takes */
    } * defaults;
    uint32_t n_defaults;
    bool hsts, hsts_subdomains, hsts_preload; /* of hosts with TLS, over TLS */
    uint32_t hsts_max_age_s;
    uint16_t https_code; /* of redirects to https and to a host's own name */
    bool forwarded;      /* what is before us is believed: X-Forwarded-* */
    bool underscores; /* names of requests' fields that hold some go through; else they are dropped
                       */
    bool says_keep_alive;
    uint32_t keep_alive_s;                   /* 0: a connection has one request */
    uint32_t keep_alive_requests;            /* 0: no limit */
    uint16_t rate_status, concurrent_status; /* of requests above a limit; 0: 503 */
    bool proxy_protocol;                     /* connections begin with its head */
    struct ingress_default *global_auth; /* annotations of auth-url of all Ingresses without one */
    uint32_t n_global_auth;
    /* What protects all Ingresses could not be had: those that say nothing themselves answer 503 */
    bool global_auth_closes, allowlist_closes, denylist_closes;
    enum ingress_server_field server;
    char **hidden; /* fields of answers that are taken out */
    uint32_t n_hidden;
    char **allowed; /* fields of answers that Ingresses may set */
    uint32_t n_allowed;
    unsigned tls_min, tls_max;       /* 12, 13; 0: the default */
    char *add_headers, *set_headers; /* namespace/name of the ConfigMaps with fields of answers, of
                                        requests; NULL: none */
};

/* key: namespace/name, for the findings; data: of the ConfigMap, NULL: none. */
struct ingress_settings *ingress_settings_new(const char *key, const json_t *data,
                                              struct findings *f);
void ingress_settings_free(struct ingress_settings *s); /* NULL is allowed */
/* May an Ingress set that field of answers? s NULL: none. */
bool ingress_settings_allow(const struct ingress_settings *s, const char *field);
/* Of Strict-Transport-Security, owned; NULL: it is not sent. s NULL: as by default. */
char *ingress_settings_hsts(const struct ingress_settings *s);
