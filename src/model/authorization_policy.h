#pragma once
/* AuthorizationPolicies (security.istio.io/v1): who may call a workload, and for what. Pure. One
 * that cannot be read is told with the path of its field and keeps its last good form; without one
 * it forbids whatever its workloads are asked for, unless it would only have watched. */

#include "model/mesh_config.h"
#include "model/selected_objects.h"

enum authorization_action {
    AUTHORIZATION_ALLOW,
    AUTHORIZATION_DENY,
    AUTHORIZATION_AUDIT,
    AUTHORIZATION_CUSTOM,
};

/* What a condition is about. */
enum authorization_key {
    AUTHORIZATION_PRINCIPAL, /* cluster.local/ns/NAMESPACE/sa/ACCOUNT */
    AUTHORIZATION_REQUEST_PRINCIPAL,
    AUTHORIZATION_NAMESPACE,
    AUTHORIZATION_ACCOUNT, /* NAMESPACE/ACCOUNT, or one of the policy's namespace */
    AUTHORIZATION_TRUST_DOMAIN,
    AUTHORIZATION_PEER,   /* the address that the connection comes from */
    AUTHORIZATION_CLIENT, /* behind proxies that are believed */
    AUTHORIZATION_HOST,
    AUTHORIZATION_PORT,
    AUTHORIZATION_METHOD,
    AUTHORIZATION_PATH,
    AUTHORIZATION_HEADER, /* path[0]: its name */
    AUTHORIZATION_AUDIENCE,
    AUTHORIZATION_PRESENTER,
    AUTHORIZATION_CLAIM, /* path: where in the token */
    AUTHORIZATION_ADDRESS,
    AUTHORIZATION_SERVER_NAME,
    AUTHORIZATION_METADATA, /* path[0]: the filter, path[1]: its key */
};

/* One of values (if there are any), and none of not_values. */
struct authorization_condition {
    enum authorization_key key;
    const json_t *values, *not_values; /* of strings; NULL: none; of the object */
    json_t *path;                      /* of strings, its own reference; NULL: none */
};

/* All of them. */
struct authorization_conditions {
    VEC(struct authorization_condition) v;
};

/* One of from, one of to (none: any), and when. */
struct authorization_rule {
    VEC(struct authorization_conditions) from, to;
    struct authorization_conditions when;
};

struct authorization_policy {
    struct istio_object o;
    enum authorization_action action;
    const char *provider; /* of CUSTOM */
    const json_t *labels; /* NULL: of its whole namespace */
    bool dry_run;         /* decides nothing */
    bool nobodys;         /* of what is no sidecar */
    bool broken;
    VEC(struct authorization_rule) rules;
};

/* NULL: no object. */
struct authorization_policy *authorization_policy_decode(const json_t *j);
/* Adds what is wrong with its provider. */
void authorization_policy_check(struct authorization_policy *p, const struct mesh_config *c);
void authorization_policy_free(struct authorization_policy *p); /* NULL is allowed */
/* Is the key one of requests, which a connection does not have? */
bool authorization_key_is_http(enum authorization_key key);

/* ---- the table ---- */

/* struct authorization_policy of workloads; what is in root_namespace is of the whole mesh. */
struct selected_objects *authorization_policies_new(const char *root_namespace);

struct authorization_list {
    VEC(const struct authorization_policy *) v;
};
/* Appends; borrowed until something changes. */
void authorization_policies_find(const struct selected_objects *t, struct str ns,
                                 const struct workloads *pods, const struct workload *pod,
                                 struct authorization_list *ret);
